//! Opens a task: finds a duplicate that already waits, checks the limits, and applies the cool-down after a
//! denial.

use std::sync::Arc;

use portero::audit::{AuditEvent, AuditRecord};
use portero::binding::fingerprint;
use portero::call::Call;
use portero::clock::Moment;
use portero::config::ApprovalSettings;
use portero::ipc::Act;
use portero::names::{Actor, TaskId, ToolId};
use portero::pipeline::Refusal;
use portero::policy::{Action, Decision, DecisionSource, Policy};
use portero::task::{CallOrigin, SessionChild, Task, TaskState};
use rusqlite::Connection;

use super::child::CallPlace;
use super::denials::timed_denial;
use super::queue::{ApprovalQueue, store_refusal};
use super::transition::{deadline_after, transition_record};
use crate::auth::Authorization;
use crate::journal::{AuditMode, task_record};
use crate::store::{StoreError, denials, overrides, tasks};

/// A project with this many waiting calls can't use the last quarter of the total limit, so other projects
/// can still ask.
const FAIR_SHARE_LIMIT: u64 = 5;

/// The checks for a new task.
struct OpeningCheck {
    settings: ApprovalSettings,
    fingerprint: String,
    policy: Arc<Policy>,
    now: Moment,
}

impl ApprovalQueue {
    /// Opens a task, or returns the identical one that already waits.
    pub(super) async fn open_task(
        &self,
        call: Call,
        origin: CallOrigin,
        decision: Decision,
        child: Option<SessionChild>,
    ) -> Result<Task, Refusal> {
        let (gate, task) = self.prepare_task(call, origin, decision, child).await?;
        self.insert_unless_duplicate(task, &Actor::Agent, move |store, task| {
            gate.check_deny_cooldown(store, task)?;
            gate.check_pending_limits(store, task)
        })
        .await
    }

    /// Asks again for a task that has ended. The new task has the same principal and waits like any other.
    /// `call` is its call, concealed by today's rules.
    /// After a recent denial it asks only if `proof` is an [`Authorization`] of this repetition by a person.
    ///
    /// # Errors
    /// [`Refusal::Declined`] if the task is still open or was cancelled by the agent; [`Refusal::Denied`] if
    /// policy denies the call now; otherwise as for every call.
    pub async fn repeat_task(
        &self,
        ended: &Task,
        call: Call,
        by: &Actor,
        proof: Option<Authorization>,
    ) -> Result<Task, Refusal> {
        let id = ended.id;
        match ended.state {
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Interrupted
            | TaskState::Expired
            | TaskState::Denied => {}
            TaskState::PendingApproval | TaskState::Approved | TaskState::Executing => {
                return Err(Refusal::Declined(format!("task {id} is {}: it has not ended", ended.state)));
            }
            TaskState::Cancelled => {
                return Err(Refusal::Declined(format!("task {id} is cancelled: the agent took it back")));
            }
        }
        let (asker, now) = (Some(ended.origin.asker()), self.deps.clock.now());
        let decision = self.deps.policy.load().decide_without_denials(call.identity(), asker, now);
        if decision.action == Action::Deny {
            return Err(Refusal::Denied(decision));
        }
        let (gate, task) =
            self.prepare_task(call, ended.origin.clone(), decision, ended.child.clone()).await?;
        let task = Task { repeats: Some(id), ..task };
        let insists = proof.is_some_and(|proof| proof.covers(&Act::Repeat(id)));
        self.insert_unless_duplicate(task, by, move |store, task| {
            if !insists {
                gate.check_deny_cooldown(store, task)?;
            }
            gate.check_total_limit(store)
        })
        .await
    }

    /// What [`ApprovalQueue::open_task`] would do, without doing it: returns the identical task that waits, or none where
    /// a new one would be opened.
    pub(super) async fn preview_task(
        &self,
        call: Call,
        origin: CallOrigin,
        decision: Decision,
        child: Option<SessionChild>,
    ) -> Result<Option<TaskId>, Refusal> {
        let (gate, task) = self.prepare_task(call, origin, decision, child).await?;
        let waiting = self.deps.journal.store().read(move |store| {
            let twin = tasks::find_duplicate(store, &task.origin.principal, &task.binding)?;
            if let Some(twin) = twin.filter(|twin| !tasks::is_expired(twin, gate.now.wall)) {
                return Ok(Some(twin.id));
            }
            gate.check_deny_cooldown(store, &task)?;
            gate.check_pending_limits(store, &task)?;
            Ok(None)
        });
        waiting.map_err(store_refusal)
    }

    /// Stores a task if `may` permits it, or returns the identical one that already waits.
    async fn insert_unless_duplicate(
        &self,
        task: Task,
        by: &Actor,
        may: impl Fn(&Connection, &Task) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Result<Task, Refusal> {
        let (id, now, by) = (task.id, task.asked, by.clone());
        let opened = self.deps.journal.change(AuditMode::Required, move |store| {
            let mut records = Vec::new();
            // Search and insertion share one transaction, so two identical calls at the same time open one
            // task.
            if let Some(twin) = tasks::find_duplicate(store, &task.origin.principal, &task.binding)? {
                if !tasks::is_expired(&twin, now) {
                    return Ok((twin, records));
                }
                // An overdue task that the timer hasn't expired yet makes room: at most one task of a call
                // may wait.
                records.extend(transition_record(
                    &tasks::expire_task(store, twin.id, now)?,
                    &Actor::Expiry,
                    None,
                ));
            }
            // The limits are checked after the search for a duplicate, so a duplicate never counts against
            // them.
            may(store, &task)?;
            tasks::insert_task(store, &task)?;
            records.push(task_record(&task, &by, None));
            Ok((task.clone(), records))
        });
        let task = opened.await.map_err(store_refusal)?;
        if task.id == id {
            // A duplicate may have expired in this change, and its waiters must see that.
            self.notify_waiters();
            self.task_opened.notify_one();
            // Before the agent learns that the call waits, so that its next one finds it. A session notes those itself that
            // wait to run in its own process.
            if task.child.is_none() {
                self.waiting.note_task(&task, now);
            }
        }
        Ok(task)
    }

    /// Builds the task, not yet stored, and the checks that it must pass.
    async fn prepare_task(
        &self,
        call: Call,
        origin: CallOrigin,
        decision: Decision,
        child: Option<SessionChild>,
    ) -> Result<(OpeningCheck, Task), Refusal> {
        // What was asked for in a session's process is bound to it, whether it is still there or not.
        let place = if child.is_some() { CallPlace::Session } else { CallPlace::Daemon };
        let binding = self.current_binding(&call, &origin.directory, child.as_ref(), place).await?;
        let key = self.deps.journal.store().read(overrides::binding_key).map_err(store_refusal)?;
        let fingerprint = fingerprint(&key, &call)?;
        let settings = (**self.deps.settings.load()).clone();
        let (moment, policy) = (self.deps.clock.now(), self.deps.policy.load_full());
        let now = moment.wall;
        let task = Task {
            id: TaskId::fresh(),
            state: TaskState::PendingApproval,
            call,
            decision,
            origin,
            binding,
            asked: now,
            expires: deadline_after(now, settings.decision_timeout),
            changed: now,
            note: None,
            result: None,
            error: None,
            repeats: None,
            repeated: None,
            child,
            fresh: false,
            votes: Vec::new(),
            quorums: Vec::new(),
        };
        Ok((OpeningCheck { settings, fingerprint, policy, now: moment }, task))
    }

    /// Records that no task was opened. The refusal doesn't depend on the record, so a failed write is
    /// retried later.
    pub(super) fn record_refusal(&self, tool: ToolId, origin: &CallOrigin, refusal: &Refusal) {
        let record = AuditRecord {
            at: self.now(),
            session: Some(origin.session),
            principal: Some(origin.principal.clone()),
            address: origin.remote_address(),
            event: AuditEvent::Refused { tool, reason: refusal.to_string() },
        };
        self.deps.journal.record_unsynced(record);
    }
}

impl OpeningCheck {
    /// Fails during the cool-down after a denial of the same call, unless a person allowed it since. Policy
    /// knows the denial a moment after the store, so the store is asked too.
    fn check_deny_cooldown(&self, store: &Connection, task: &Task) -> Result<(), StoreError> {
        let (principal, asker, call) = (&task.origin.principal, task.origin.asker(), task.call.identity());
        // Policy knows of a denial also while the wall clock is set back.
        let decision = self.policy.decide_call(call, asker, self.now, None);
        if matches!(decision.source, DecisionSource::Denial(_)) {
            return Err(StoreError::Refused(decision.to_string()));
        }
        let Some(denial) = denials::find_denial(store, principal, &self.fingerprint)? else {
            return Ok(());
        };
        if self.policy.allows_since(denial.at, call, asker, self.now) {
            return Ok(());
        }
        let lasts = self.settings.deny_cooldown;
        let denial = timed_denial(principal.clone(), self.fingerprint.clone(), denial, self.now, lasts);
        if denial.is_live(self.now) {
            return Err(StoreError::Refused(denial.to_decision().to_string()));
        }
        Ok(())
    }

    /// Fails if enough calls wait for a person. Limits are checked from the narrowest to the widest, so the
    /// message names the closest one.
    fn check_pending_limits(&self, store: &Connection, task: &Task) -> Result<(), StoreError> {
        let waiting = tasks::count_waiting(store, task.origin.session, &task.origin.principal)?;
        let ApprovalSettings {
            max_pending_per_session: pending_most,
            max_pending_per_project: pending_most_of_project,
            max_pending_total: pending_most_in_all,
            ..
        } = self.settings;
        let in_all = u64::from(pending_most_in_all);
        if waiting.session >= u64::from(pending_most) {
            limit_refusal("of this session", waiting.session)
        } else if waiting.principal >= u64::from(pending_most_of_project) {
            limit_refusal("of this project", waiting.principal)
        } else if waiting.all >= in_all - in_all / 4 && waiting.principal >= FAIR_SHARE_LIMIT {
            limit_refusal("of all projects, with several of this one,", waiting.all)
        } else {
            self.check_total_limit(store)
        }
    }

    fn check_total_limit(&self, store: &Connection) -> Result<(), StoreError> {
        match tasks::count_all_waiting(store)? {
            waiting if waiting >= u64::from(self.settings.max_pending_total) => {
                limit_refusal("of all projects", waiting)
            }
            _ => Ok(()),
        }
    }
}

fn limit_refusal(whose: &str, most: u64) -> Result<(), StoreError> {
    Err(StoreError::Refused(format!(
        "{most} calls {whose} wait for a person already, and no more may. This one did not run and does not wait. \
         Go on with other work until some are decided, or take some back with portero/cancel_task"
    )))
}
