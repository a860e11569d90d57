//! `portero pending --watch`: one task, with what its tool says of itself.

use portero::ipc::{Failure, Look, Reply};
use portero::names::TaskId;

use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, task: TaskId) -> Result<Reply, Failure> {
    let task = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let hints = daemon.catalog.tool(&task.call.tool).map(|tool| tool.hints);
    Ok(Reply::Look(Box::new(Look { task: shown::task(daemon, task), hints })))
}
