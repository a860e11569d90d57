//! The agent takes its own task back.

use portero::ipc::{Failure, Reply};
use portero::names::{Principal, TaskId};

use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, principal: &Principal, task: TaskId) -> Result<Reply, Failure> {
    let cancelled = daemon.desk.cancel(task, principal).await;
    cancelled
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
