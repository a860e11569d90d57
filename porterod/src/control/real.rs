//! `portero task ID --real`: what a task's server really gets and what it answered.
//!
//! A value that the anonymizer keeps from the agent is shown to whoever knows the passphrase, at the terminal
//! device; that it was shown is in the audit before it is.

use portero::anonymize::Fake;
use portero::ipc::{Disclosed, Failure, RealTask, Reply};
use portero::json::RawJson;
use portero::names::TaskId;
use portero::secret::Secret;

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::journal::Weight;
use crate::passphrase::What;

/// Reveals as the executor would: for the task's own server, by the rules of now.
pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    task: TaskId,
    confirming: Confirming,
) -> Result<Reply, Failure> {
    let task = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let confirmed = confirm(daemon, by, confirming, What::Reveal(task.id)).await?;
    let about = format!("task {}", task.id);
    let record = daemon.journal.act("task real", &about, true, Some(confirmed.by()));
    let spends = confirmed.spends();
    let recorded = daemon.journal.change(Weight::Strict, move |store| {
        if let Some((ticket, step)) = &spends {
            ticket.spend(store, *step)?;
        }
        Ok(((), vec![record.clone()]))
    });
    recorded.await.map_err(|error| failure::of_store(&error))?;
    let anonymizer = daemon.anonymizer.load();
    let server = &task.call.tool.server;
    let reveal =
        |json: &Fake<RawJson>| Disclosed::from(Secret::new(anonymizer.reveal(server, json).expose().get()));
    Ok(Reply::RealTask(Box::new(RealTask {
        params: reveal(&task.call.params),
        meta: task.call.meta.as_ref().map(reveal),
        result: task.result.as_ref().map(reveal),
        error: task.error.as_ref().map(reveal),
    })))
}
