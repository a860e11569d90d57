//! `portero again ID`. It permits nothing: the new task waits for a person as any other.

use portero::ipc::{Failure, Reply};
use portero::names::TaskId;

use super::{failure, shown, submit};
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, by: &str, task: TaskId) -> Result<Reply, Failure> {
    let ended = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let call = submit::conceal(daemon, ended.call.clone())?;
    let asked = daemon.desk.again(&ended, call, by).await;
    asked
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|refusal| failure::of_refusal(&refusal))
}
