//! `portero pending --watch`: one task, with what its tool says of itself.

use portero::ipc::{Failure, Look, Reply};
use portero::names::TaskId;

use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, task: TaskId) -> Result<Reply, Failure> {
    look(daemon, task).map(|look| Reply::Look(Box::new(look)))
}

/// A task as a person is shown it.
///
/// # Errors
/// When there is no such task, or the store cannot be read.
pub fn look(daemon: &Daemon, task: TaskId) -> Result<Look, Failure> {
    let task = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let hints = daemon.servers.tool(&task.call.tool, &task.origin.directory).map(|tool| tool.hints);
    Ok(Look { task: shown::task(daemon, task), hints })
}
