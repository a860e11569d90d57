//! Tasks as a person sees them, and the person's decisions.

use std::sync::Arc;
use std::time::Duration;

use portero::anonymize::Fake;
use portero::ipc::requests::approvals::{
    ApproveTask, AskAgain, CheckApproval, FindTasks, GetTask, InspectTask, ListTasks, RejectTask, RevealTask,
    WatchTasks,
};
use portero::ipc::{Act, DaemonFailure, DisclosedSecret, FailureKind, InspectedTask, RealTask, TaskChanges};
use portero::json::RawJson;
use portero::names::{Actor, TaskId};
use portero::secret::Secret;
use portero::task::{Task, TaskState};

use super::attempt::Attempt;
use super::confirmation::Confirmation;
use super::{PersonCaller, PersonRequest, failure, sessions, shown};
use crate::approvals::TaskFilter;
use crate::auth::Authorization;
use crate::daemon::Daemon;
use crate::journal::AuditMode;
use crate::journal::outbox::NoticesAfter;
use crate::store::{StoreError, tasks};

/// The time for a server to list its tools before a person types, or before a press is answered. Telegram
/// drops an answer a few seconds later, and the chat waits meanwhile.
pub(super) const DEFINITION_TIMEOUT: Duration = Duration::from_secs(4);
/// The same time once a terminal confirmed. The call would wait as long before it runs.
const CONFIRMED_DEFINITION_TIMEOUT: Duration = Duration::from_secs(30);

impl PersonRequest for ListTasks {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Vec<Task>, DaemonFailure> {
        let Self { state, after, limit } = self;
        let listed = daemon.approval_queue.list_tasks(&TaskFilter { principal: None, state, after, limit });
        listed.map(|tasks| shown::tasks(daemon, tasks)).map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for FindTasks {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Vec<TaskId>, DaemonFailure> {
        daemon.approval_queue.find_task_ids(&self.part, self.state).map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for GetTask {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Task>, DaemonFailure> {
        let found = daemon.approval_queue.find_task(self.task, None);
        found.map(|task| Box::new(shown::task(daemon, task))).map_err(|error| failure::of_approval(&error))
    }
}

impl PersonRequest for RevealTask {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Reveal(self.task)).into())
    }

    /// Shows real values to a person who knows the passphrase, at their terminal. The audit has the record
    /// before they see one.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Box<RealTask>, DaemonFailure> {
        let task =
            daemon.approval_queue.find_task(self.task, None).map_err(|error| failure::of_approval(&error))?;
        let act = Act::Reveal(task.id);
        let confirmed = caller.confirmation(self.challenge).authorize(daemon, caller.by, &act).await?;
        let record = daemon.journal.act_record(act.word(), &act.about(), true, Some(confirmed.actor()));
        let consumes = confirmed.button().cloned();
        // The button is used up in the same transaction, so one press reveals once.
        let recorded = daemon.journal.change(AuditMode::Required, move |store| {
            if let Some(button) = &consumes {
                button.consume(store)?;
            }
            Ok(((), vec![record.clone()]))
        });
        recorded.await.map_err(|error| failure::of_store(&error))?;
        let anonymizer = daemon.anonymizer.load();
        let server = &task.call.tool.server;
        let reveal = |json: &Fake<RawJson>| {
            DisclosedSecret::from(Secret::new(anonymizer.reveal(server, json).expose().get()))
        };
        Ok(Box::new(RealTask {
            params: reveal(&task.call.params),
            meta: task.call.meta.as_ref().map(reveal),
            result: task.result.as_ref().map(reveal),
            error: task.error.as_ref().map(reveal),
        }))
    }
}

impl PersonRequest for InspectTask {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Box<InspectedTask>, DaemonFailure> {
        shown::look(daemon, self.task).map(Box::new)
    }
}

impl PersonRequest for WatchTasks {
    /// Waits for news after the client's place. The client keeps the place, so a slow one costs nothing. A
    /// client whose missed entries are gone starts over with the waiting tasks.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<TaskChanges, DaemonFailure> {
        let stored = |error: StoreError| failure::of_store(&error);
        let Some(place) = self.after else { return watch_anew(daemon).map_err(stored) };
        // Subscribed before the read, so an entry in between wakes the loop.
        let mut changes = daemon.outbox.subscribe();
        loop {
            match daemon.outbox.entries_after(place).map_err(stored)? {
                NoticesAfter::Removed => return watch_anew(daemon).map_err(stored),
                NoticesAfter::Entries(entries) => {
                    if let Some(last) = entries.last() {
                        let place = last.seq;
                        return Ok(TaskChanges { place, anew: None, entries });
                    }
                }
            }
            tokio::select! {
                // The sender lives as long as the daemon.
                _ = changes.changed() => {}
                () = caller.withdrawn.cancelled() => {
                    return Err(DaemonFailure::new(FailureKind::Refused, "withdrawn"));
                }
            }
        }
    }
}

/// The tasks that wait now. The place is read first, so events in between come again and none is lost.
fn watch_anew(daemon: &Daemon) -> Result<TaskChanges, StoreError> {
    let place = daemon.outbox.last_seq()?;
    let waiting =
        daemon.journal.store().read(move |store| tasks::ids_in_state(store, TaskState::PendingApproval))?;
    Ok(TaskChanges { place, anew: Some(waiting), entries: Vec::new() })
}

impl PersonRequest for CheckApproval {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Task>, DaemonFailure> {
        let task =
            daemon.approval_queue.find_task(self.task, None).map_err(|error| failure::of_approval(&error))?;
        let runnable = daemon.approval_queue.check_runnable(&task, self.fresh, DEFINITION_TIMEOUT).await;
        runnable.map_err(|error| failure::of_approval(&error))?;
        Ok(Box::new(shown::task(daemon, task)))
    }
}

impl PersonRequest for ApproveTask {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::approve(self.task, self.fresh)).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        let Self { task, fresh, challenge } = self;
        approve(daemon, caller.by, (task, fresh), caller.confirmation(challenge)).await
    }
}

/// Approves a task, once it is confirmed.
pub(super) async fn approve(
    daemon: &Daemon,
    by: &Actor,
    (task, fresh): (TaskId, bool),
    confirmation: Confirmation,
) -> Result<Box<Task>, DaemonFailure> {
    check_approval(daemon, (task, fresh), &confirmation).await?;
    let confirmed = confirmation.authorize(daemon, by, &Act::approve(task, fresh)).await?;
    approve_confirmed(daemon, (task, fresh), confirmed).await
}

/// Refuses an approval that would not make the call run, before the factor is checked.
pub(super) async fn check_approval(
    daemon: &Daemon,
    (task, fresh): (TaskId, bool),
    confirmation: &Confirmation,
) -> Result<(), DaemonFailure> {
    let refused = |error| failure::of_approval(&error);
    // Refused before a person types a passphrase in vain.
    if !matches!(confirmation, Confirmation::Pressed(_)) {
        daemon.approval_queue.check_single_approval(task).map_err(refused)?;
    }
    let found = daemon.approval_queue.find_task(task, None).map_err(refused)?;
    // A press must be answered in time; a terminal may wait as long as the call would.
    let timeout = match confirmation {
        Confirmation::Typed(_) | Confirmation::OnTelegram(_) => CONFIRMED_DEFINITION_TIMEOUT,
        Confirmation::Pressed(_) => DEFINITION_TIMEOUT,
    };
    daemon.approval_queue.check_runnable(&found, fresh, timeout).await.map_err(refused)
}

/// Approves a task that a person confirmed.
pub(super) async fn approve_confirmed(
    daemon: &Daemon,
    (task, fresh): (TaskId, bool),
    confirmed: Authorization,
) -> Result<Box<Task>, DaemonFailure> {
    let approved = match fresh {
        true => daemon.approval_queue.approve_fresh(task, confirmed).await,
        false => daemon.approval_queue.approve(task, confirmed).await,
    };
    let approved = approved.map_err(|error| failure::of_approval(&error))?;
    Ok(Box::new(shown::task(daemon, approved)))
}

impl PersonRequest for RejectTask {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Reject(self.task)).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        let Self { task, reason, for_now } = self;
        // The reason reaches the agent, so it is concealed.
        let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
        let rejected = match for_now {
            true => daemon.approval_queue.reject_without_cooldown(task, reason, caller.by).await,
            false => daemon.approval_queue.reject(task, reason, caller.by).await,
        };
        enforce_denials(daemon).await;
        rejected.map(|task| Box::new(shown::task(daemon, task))).map_err(|error| failure::of_approval(&error))
    }
}

/// Makes the present denials of single calls apply in every session. Also called after a failure: a denial that
/// could not be saved applies all the same.
pub async fn enforce_denials(daemon: &Daemon) {
    let added = match daemon.approval_queue.call_denials() {
        Ok(denials) => daemon.overrides.add_call_denials(denials).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = added {
        tracing::error!(%error, "the denials of single calls are not saved everywhere");
    }
}

impl PersonRequest for AskAgain {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Repeat(self.task)).into())
    }

    /// Asks for the same call again; the new task waits like any other. A call that the person denied a
    /// moment ago needs their proof, or an agent could wear them out.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        let ended =
            daemon.approval_queue.find_task(self.task, None).map_err(|error| failure::of_approval(&error))?;
        // Today's rules may conceal more than those of the first call.
        let call = sessions::conceal(daemon, ended.call.clone())?;
        let cools = daemon
            .approval_queue
            .deny_cooldown(&ended, &call)
            .map_err(|refusal| failure::of_refusal(&refusal))?;
        let proof = match (cools, self.challenge) {
            (None, _) => None,
            (Some(_), Some(challenge)) => {
                let act = Act::Repeat(self.task);
                Some(caller.confirmation(challenge).authorize(daemon, caller.by, &act).await?)
            }
            (Some(until), None) => {
                let until = until.strftime("%Y-%m-%d %H:%M:%SZ");
                let words = format!(
                    "you said no to exactly this call: until {until} it does not ask again by itself"
                );
                return Err(DaemonFailure::new(FailureKind::Challenge, words)
                    .with_hint("`portero again` on a terminal asks for the passphrase; else wait"));
            }
        };
        let asked = daemon.approval_queue.repeat_task(&ended, call, caller.by, proof).await;
        if let Ok(task) = &asked {
            daemon.sessions.tell_holder(task);
        }
        asked.map(|task| Box::new(shown::task(daemon, task))).map_err(|refusal| failure::of_refusal(&refusal))
    }
}
