//! `portero approve ID`. Widens.

use portero::ipc::{Failure, Reply};
use portero::names::TaskId;

use super::challenge::{Confirming, confirm};
use super::{failure, shown};
use crate::daemon::Daemon;
use crate::passphrase::What;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    task: TaskId,
    confirming: Confirming,
) -> Result<Reply, Failure> {
    // Said before anyone tries a passphrase for nothing.
    if !matches!(confirming, Confirming::Tapped(_)) {
        daemon.desk.takes_one(task).map_err(|error| failure::of_desk(&error))?;
    }
    let confirmed = confirm(daemon, by, confirming, What::Call(task)).await?;
    let approved = daemon.desk.approve(task, confirmed).await;
    approved
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
