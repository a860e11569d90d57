//! `portero approve ID`. Widens.

use std::time::Duration;

use portero::ipc::{Failure, Reply};
use portero::names::TaskId;

use super::challenge::{Confirming, confirm};
use super::{failure, shown};
use crate::daemon::Daemon;
use crate::passphrase::What;

/// How long a server may take to say what it offers before a person is asked to type, or a tap is answered: Telegram
/// gives an answer up after a few seconds more, and nothing else is heard there meanwhile.
const DEFINITION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long it may take once a terminal said yes. The call would wait for the same before it runs.
const CONFIRMED_DEFINITION_TIMEOUT: Duration = Duration::from_secs(30);

/// Tells whether a yes would make a task's call run.
pub(super) async fn check(daemon: &Daemon, task: TaskId) -> Result<Reply, Failure> {
    check_within(daemon, task, DEFINITION_TIMEOUT).await
}

async fn check_within(daemon: &Daemon, task: TaskId, timeout: Duration) -> Result<Reply, Failure> {
    let task = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let runnable = daemon.desk.check_runnable(&task, timeout).await;
    runnable.map_err(|error| failure::of_desk(&error))?;
    Ok(Reply::Task(Box::new(shown::task(daemon, task))))
}

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
    let timeout = match &confirming {
        Confirming::Typed(_) | Confirming::Asked(_) => CONFIRMED_DEFINITION_TIMEOUT,
        Confirming::Tapped(_) | Confirming::Affirmed(_) => DEFINITION_TIMEOUT,
    };
    check_within(daemon, task, timeout).await?;
    let confirmed = confirm(daemon, by, confirming, What::Call(task)).await?;
    let approved = daemon.desk.approve(task, confirmed).await;
    approved
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
