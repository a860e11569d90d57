//! One task of a session's principal, perhaps once it is final.

use std::time::Duration;

use portero::ipc::{Failure, FailureKind, Reply};
use portero::names::{Principal, TaskId};
use tokio_util::sync::CancellationToken;

use super::{failure, shown};
use crate::daemon::Daemon;

const WAIT_MOST: Duration = Duration::from_secs(3600);

pub(super) async fn answer(
    daemon: &Daemon,
    principal: &Principal,
    task: TaskId,
    wait_millis: u64,
    withdrawn: CancellationToken,
) -> Result<Reply, Failure> {
    let most = Duration::from_millis(wait_millis).min(WAIT_MOST);
    let waited = tokio::select! {
        waited = daemon.desk.wait_final(task, Some(principal), most) => waited,
        () = withdrawn.cancelled() => return Err(Failure::new(FailureKind::Refused, "withdrawn")),
    };
    let task = waited.map_err(|error| failure::of_desk(&error))?;
    daemon.desk.heard(std::slice::from_ref(&task)).await;
    Ok(Reply::Task(Box::new(shown::task(daemon, task))))
}
