//! `portero reject ID`. Narrows.

use portero::ipc::{Failure, Reply};
use portero::names::TaskId;

use super::{failure, shown};
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    task: TaskId,
    reason: Option<String>,
    for_now: bool,
) -> Result<Reply, Failure> {
    let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
    let rejected = match for_now {
        true => daemon.desk.reject_for_now(task, reason, by).await,
        false => daemon.desk.reject(task, reason, by).await,
    };
    rejected
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|error| failure::of_desk(&error))
}
