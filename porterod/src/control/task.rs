//! `portero task ID`: one task, whole.

use portero::ipc::{Failure, Reply};
use portero::names::TaskId;

use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, task: TaskId) -> Result<Reply, Failure> {
    daemon
        .desk
        .task(task, None)
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
