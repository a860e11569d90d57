//! `portero approve ID`. Widens.

use portero::ipc::{Challenge, Failure, Reply, Width};
use portero::names::TaskId;

use super::challenge::confirm;
use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    task: TaskId,
    challenge: Challenge,
) -> Result<Reply, Failure> {
    let confirmed = confirm(daemon, by, challenge, Width::One).await?;
    let approved = daemon.desk.approve(task, confirmed).await;
    approved
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
