//! The queue: its queries, and the one transition that every change of a task uses.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::binding::{BindingInputs, ConfiguredInputs, compute_binding};
use portero::call::Call;
use portero::clock::{Clock, Moment};
use portero::config::ApprovalSettings;
use portero::names::{Actor, Principal, TaskId};
use portero::pipeline::{self, BoxFuture, CallContext, GrantUses, JoinedCall, Refusal, WaitingCalls};
use portero::policy::{Action, CallerIdentity, Decision, Policy};
use portero::sync::lock;
use portero::task::{CallOrigin, ChildLoss, SessionChild, Task, TaskState, UnseenTasks};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::binding::BindingSource;
use super::child::{CallPlace, ServerSettings};
use super::error::ApprovalError;
use super::transition::store_transition;
use super::unsaved_rejections::UnsavedRejections;
use crate::journal::{AuditMode, Journal};
use crate::sessions::handover::SessionChildren;
use crate::store::tasks::{self, TaskFilter, Transition, TransitionRequest};
use crate::store::{Durability, StoreError, overrides};

/// The parts of an approval queue.
pub struct ApprovalQueueDeps {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// Computes what approvals bind to.
    pub binding_source: Arc<dyn BindingSource>,
    /// The processes that sessions run.
    pub children: Arc<dyn SessionChildren>,
    /// What the configuration says of servers.
    pub server_settings: Arc<dyn ServerSettings>,
    /// The daemon's policy: configuration and overrides.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Counts the uses of grants.
    pub grant_uses: Arc<dyn GrantUses>,
    /// The current limits.
    pub settings: Arc<ArcSwap<ApprovalSettings>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The file for rejections that the store could not take yet.
    pub rejections: PathBuf,
}

/// The queue of calls that wait for a person.
pub struct ApprovalQueue {
    pub(super) deps: ApprovalQueueDeps,
    /// Counts changes, to wake callers that wait for a final state.
    changes: watch::Sender<u64>,
    /// Signals the executor that a task was approved.
    pub(super) task_approved: Notify,
    /// Signals the timer that a task may expire sooner than it expects.
    pub(super) task_opened: Notify,
    /// The calls that wait to run in the daemon's own processes.
    pub(super) waiting: WaitingCalls,
    /// Rejections that could not be saved yet.
    pub(super) rejections: Arc<UnsavedRejections>,
    /// The finished tasks that a session took over to tell its agent.
    claimed_news: Mutex<HashSet<TaskId>>,
    /// Why the calls of waiting tasks would not run, as their servers said when they were asked last.
    pub(super) void_by_server: Mutex<HashMap<TaskId, String>>,
}

/// How many claimed tasks are remembered.
const MAX_CLAIMED_NEWS: usize = 10_000;

impl ApprovalQueue {
    /// A queue over the tasks of this store. People learn of changes through the outbox.
    #[must_use]
    pub fn new(parts: ApprovalQueueDeps) -> Arc<Self> {
        let changes = watch::Sender::new(0);
        let rejections = UnsavedRejections::new(
            Arc::clone(&parts.journal),
            Arc::clone(&parts.clock),
            changes.clone(),
            parts.rejections.clone(),
        );
        Arc::new(Self {
            deps: parts,
            changes,
            task_approved: Notify::new(),
            task_opened: Notify::new(),
            waiting: WaitingCalls::default(),
            rejections,
            claimed_news: Mutex::default(),
            void_by_server: Mutex::default(),
        })
    }

    /// The rejections that apply and aren't in the store yet.
    #[must_use]
    pub const fn rejections(&self) -> &Arc<UnsavedRejections> {
        &self.rejections
    }

    /// One task with all fields. With a principal, only that principal's tasks are found.
    ///
    /// # Errors
    /// [`ApprovalError::NotFound`].
    pub fn find_task(&self, task: TaskId, principal: Option<&Principal>) -> Result<Task, ApprovalError> {
        let principal = principal.cloned();
        let found =
            self.deps.journal.store().read(move |store| tasks::get_task(store, task, principal.as_ref()))?;
        found.map(|task| self.rejections.apply_to_task(task)).ok_or(ApprovalError::NotFound(task))
    }

    /// Tasks without their results and errors, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_tasks(&self, which: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        let wanted = which.clone();
        // The store doesn't know the unsaved rejections, so the filter by state applies again after them.
        let mut found = self.deps.journal.store().read(move |store| tasks::list_tasks(store, &wanted))?;
        if !self.rejections.is_empty() {
            found = found.into_iter().map(|task| self.rejections.apply_to_task(task)).collect();
            found.retain(|task| which.state.is_none_or(|state| state == task.state));
        }
        Ok(found)
    }

    /// The number of tasks in each state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_by_state(&self) -> Result<Vec<(TaskState, u64)>, StoreError> {
        self.deps.journal.store().read(tasks::count_by_state)
    }

    /// The ids that begin or end with `part`; at most about a thousand.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find_task_ids(&self, part: &str, state: Option<TaskState>) -> Result<Vec<TaskId>, StoreError> {
        let part = part.to_owned();
        let found = self.deps.journal.store().read(move |store| tasks::find_by_id_part(store, &part))?;
        let fits = found.into_iter().filter(|(_, is)| state.is_none_or(|state| state == *is));
        Ok(fits.map(|(task, _)| task).collect())
    }

    /// The number of tasks that wait for a person.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_pending(&self) -> Result<u64, StoreError> {
        let waiting = self.deps.journal.store().read(tasks::count_all_waiting)?;
        Ok(waiting.saturating_sub(self.rejections.count_waiting()))
    }

    /// The task once it is final, or in its present state after `most`.
    ///
    /// # Errors
    /// As [`ApprovalQueue::find_task`].
    pub async fn wait_until_final(
        &self,
        task: TaskId,
        principal: Option<&Principal>,
        most: Duration,
    ) -> Result<Task, ApprovalError> {
        let mut changes = self.changes.subscribe();
        let until = Instant::now().checked_add(most);
        loop {
            let principal = principal.cloned();
            let state = self
                .deps
                .journal
                .store()
                .read(move |store| tasks::task_state(store, task, principal.as_ref()))?;
            let is_rejected = self.rejections.is_rejected(task);
            if is_rejected || state.ok_or(ApprovalError::NotFound(task))?.is_final() {
                break;
            }
            // Subscribed before the state was read, so a change between the two wakes this wait.
            let changed = changes.changed();
            let waited = match until {
                Some(until) => tokio::time::timeout_at(until, changed).await,
                None => Ok(changed.await),
            };
            if !matches!(waited, Ok(Ok(()))) {
                break;
            }
        }
        self.find_task(task, principal)
    }

    /// Returns once no task is executing, or if the store can't be read.
    pub async fn none_executes(&self) {
        let which = TaskFilter { state: Some(TaskState::Executing), limit: 1, ..TaskFilter::default() };
        let mut changes = self.changes.subscribe();
        while self.list_tasks(&which).is_ok_and(|tasks| !tasks.is_empty()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The finished tasks of a principal that no agent has fetched.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unseen_tasks(&self, principal: &Principal) -> Result<UnseenTasks, StoreError> {
        let principal = principal.clone();
        self.deps.journal.store().read(move |store| tasks::unseen_tasks(store, &principal))
    }

    /// Of these tasks of a principal those that finished, that no agent has fetched, and that weren't claimed before.
    /// So each is one session's to tell, however many sessions the principal has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn claim_news(&self, principal: &Principal, tasks: Vec<TaskId>) -> Result<UnseenTasks, StoreError> {
        let principal = principal.clone();
        let store = self.deps.journal.store();
        let unseen = store.read(move |store| tasks::unseen_among(store, &principal, &tasks))?;
        let mut claimed = lock(&self.claimed_news);
        if claimed.len() >= MAX_CLAIMED_NEWS {
            // A session claims a task once, soon after it ended, so the older ones aren't claimed again.
            claimed.clear();
        }
        let mut last: Vec<_> = unseen.into_iter().filter(|finished| claimed.insert(finished.task)).collect();
        let count = last.len() as u64;
        last.truncate(UnseenTasks::MAX_LISTED);
        Ok(UnseenTasks { count, last })
    }

    /// Marks these tasks as seen by an agent. If that can't be stored, a later session reports them again.
    pub async fn mark_seen(&self, tasks: &[Task]) {
        let store = self.deps.journal.store();
        let is_new = |task: &TaskId| {
            let task = *task;
            store.read(move |store| tasks::is_seen(store, task)).is_ok_and(|noted| !noted)
        };
        let finished = tasks.iter().filter(|task| task.state.is_final()).map(|task| task.id);
        let unheard: Vec<TaskId> = finished.filter(is_new).collect();
        if unheard.is_empty() {
            return;
        }
        let note = move |store: &rusqlite::Connection| {
            unheard.iter().try_for_each(|task| tasks::mark_seen(store, *task))
        };
        if let Err(error) = store.write(Durability::StoreSynced, note).await {
            tracing::warn!(%error, "it could not be kept that an agent heard of a task");
        }
    }

    /// Changes a task's state together with its record, and wakes the waiters.
    pub(crate) async fn transition_task(
        &self,
        step: TransitionRequest,
        by: &Actor,
        weight: AuditMode,
    ) -> Result<Task, ApprovalError> {
        let id = step.id;
        let stepped = store_transition(Arc::clone(&self.deps.journal), step, by.clone(), weight).await?;
        self.finish_transition(id, stepped)
    }

    /// The caller's result of a stored transition. Wakes callers that wait for a final state.
    pub(super) fn finish_transition(&self, id: TaskId, stepped: Transition) -> Result<Task, ApprovalError> {
        match stepped {
            Transition::Done(task) => {
                if task.state.is_final() {
                    self.waiting.forget_task(id);
                }
                self.notify_waiters();
                Ok(*task)
            }
            Transition::Expired(_) => {
                self.notify_waiters();
                Err(ApprovalError::WrongState(id, TaskState::Expired))
            }
            Transition::WrongState(state) => Err(ApprovalError::WrongState(id, state)),
            Transition::NotFound => Err(ApprovalError::NotFound(id)),
        }
    }

    /// Wakes the executor for a task that was approved, and the timer, because it must start in time.
    pub(super) fn announce_approval(&self) {
        self.task_approved.notify_one();
        self.task_opened.notify_one();
    }

    /// Wakes the executor after a pause.
    pub fn wake_executor(&self) {
        self.task_approved.notify_one();
    }

    /// Returns when a task was approved or a pause ended since the last call.
    pub(crate) async fn wait_for_approval(&self) {
        self.task_approved.notified().await;
    }

    /// Where a task's call would run at this moment.
    ///
    /// # Errors
    /// The process that it was asked for is lost, and no other is agreed on.
    pub fn place_of(&self, task: &Task) -> Result<CallPlace, ChildLoss> {
        let Some(child) = task.child.as_ref().filter(|_| !task.fresh) else { return Ok(CallPlace::Daemon) };
        let server = &task.call.tool.server;
        match self.deps.children.find_child(server, child) {
            Ok(()) => Ok(CallPlace::Session),
            Err(_) if self.deps.server_settings.is_stateless(server) => Ok(CallPlace::Daemon),
            Err(loss) => Err(loss),
        }
    }

    /// As [`Self::place_of`], where a person says `fresh`.
    ///
    /// # Errors
    /// [`ApprovalError::OtherProcess`].
    pub(super) fn agreed_place(&self, task: &Task, fresh: bool) -> Result<CallPlace, ApprovalError> {
        match self.place_of(task) {
            _ if fresh => Ok(CallPlace::Daemon),
            Ok(place) => Ok(place),
            Err(loss) => Err(ApprovalError::OtherProcess(task.id, loss)),
        }
    }

    /// The binding of a call as things are now, where it was asked for in a session's process and runs in `place`.
    pub(crate) async fn current_binding(
        &self,
        call: &Call,
        directory: &Path,
        child: Option<&SessionChild>,
        place: CallPlace,
    ) -> Result<String, Refusal> {
        let inputs = match (child, place) {
            // The session itself compares the definition with what its process lists: the daemon has none to ask.
            (Some(child), CallPlace::Session) => BindingInputs {
                configured: self.configured_inputs(call, Some(child))?,
                definition: child.definition.clone(),
                child: None,
            },
            (_, CallPlace::Daemon) | (None, CallPlace::Session) => {
                self.deps.binding_source.binding_inputs(call, directory).await?
            }
        };
        let inputs = BindingInputs { child: child.cloned(), ..inputs };
        let key = self.deps.journal.store().read(overrides::binding_key);
        let key = key.map_err(|error| Refusal::DaemonUnavailable(error.to_string()))?;
        compute_binding(&key, call, &directory.to_string_lossy(), &inputs)
    }

    /// What the daemon's configuration says of a call. A session may have servers that it lacks, such as one with a
    /// variable that is set in the session alone.
    pub(super) fn configured_inputs(
        &self,
        call: &Call,
        child: Option<&SessionChild>,
    ) -> Result<ConfiguredInputs, Refusal> {
        match (self.deps.binding_source.configured_inputs(call), child) {
            (Err(Refusal::Unknown(_)), Some(_)) => Ok(ConfiguredInputs::unconfigured()),
            (inputs, _) => inputs,
        }
    }

    pub(super) fn notify_waiters(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.deps.clock.now().wall
    }
}

impl ApprovalQueue {
    /// Opens a task for a call, or finds the identical one that waits. It is to run in the session's process, where it
    /// was asked for in one.
    ///
    /// # Errors
    /// [`Refusal::Denied`] where the daemon's policy denies it, and as every call.
    pub async fn submit_call_in(
        &self,
        call: Call,
        origin: &CallOrigin,
        child: Option<SessionChild>,
    ) -> Result<Task, Refusal> {
        let now = self.deps.clock.now();
        let asker = Some(origin.asker());
        let decision = decide_submitted(&self.deps.policy.load(), &call, asker, now);
        match decision.action {
            Action::Deny => Err(Refusal::Denied(decision)),
            // A grant may have come in between. The caller asked for a person, so a person is asked.
            Action::Allow | Action::RequireApproval => {
                let tool = call.tool.clone();
                let opened = self.open_task(call, origin.clone(), decision, child).await;
                opened.inspect_err(|refusal| self.record_refusal(tool, origin, refusal))
            }
        }
    }

    /// What [`ApprovalQueue::submit_call_in`] would do, without doing it: the identical task that waits, or none where a
    /// new one would be opened.
    ///
    /// # Errors
    /// As [`ApprovalQueue::submit_call_in`].
    pub async fn preview_call_in(
        &self,
        call: Call,
        origin: &CallOrigin,
        child: Option<SessionChild>,
    ) -> Result<Option<TaskId>, Refusal> {
        let (asker, now) = (Some(origin.asker()), self.deps.clock.now());
        let decision = decide_submitted(&self.deps.policy.load(), &call, asker, now);
        match decision.action {
            Action::Deny => Err(Refusal::Denied(decision)),
            Action::Allow | Action::RequireApproval => {
                self.preview_task(call, origin.clone(), decision, child).await
            }
        }
    }
}

impl pipeline::Approvals for ApprovalQueue {
    fn submit_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(self.submit_call_in(call, &context.origin, None))
    }

    fn preview_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Option<TaskId>, Refusal>> {
        Box::pin(self.preview_call_in(call, &context.origin, None))
    }

    fn find_waiting(&self, call: &Call, context: &CallContext) -> Option<TaskId> {
        self.waiting.find_task(call, &context.origin.principal, self.now())
    }

    fn join_call<'a>(
        &'a self,
        task: TaskId,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<JoinedCall, Refusal>> {
        Box::pin(self.join_call_in(task, call, &context.origin, None))
    }
}

/// Decides on a call of a session, which was submitted or waits. The session knows which definition it calls; here the newest one that
/// waits gives the reason for the question.
pub(super) fn decide_submitted(
    policy: &Policy,
    call: &Call,
    asker: Option<CallerIdentity<'_>>,
    now: Moment,
) -> Decision {
    let pins = policy.overrides().definition_pins.server(&call.tool.server).zip(call.definition_item());
    let state = pins.map(|(pins, item)| pins.waiting_state(&item)).unwrap_or_default();
    let decision = policy.decide_without_denials(call.identity(), asker, now);
    policy.require_accepted(call.identity(), decision, state, asker, now)
}

pub(super) fn store_refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Audit(_) => Refusal::AuditUnavailable,
        StoreError::Refused(words) => Refusal::Declined(words),
        StoreError::Corrupt { .. }
        | StoreError::Newer { .. }
        | StoreError::Busy(_)
        | StoreError::Unopened { .. }
        | StoreError::Failed(_)
        | StoreError::Seal { .. } => Refusal::DaemonUnavailable(error.to_string()),
    }
}

impl std::fmt::Debug for ApprovalQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApprovalQueue").finish_non_exhaustive()
    }
}
