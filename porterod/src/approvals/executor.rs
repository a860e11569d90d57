//! Runs approved tasks, each at most once (guarantee A2).
//!
//! A task is durably `executing` before the first byte of its call leaves. A task that is `executing` at a
//! start was interrupted, and never runs again.
//! Before the call goes out, the expiry, the binding and the deny rules are checked once more (guarantees A1,
//! A5).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::{Anonymizer, Fake, Leak};
use portero::binding::describe_changes;
use portero::clock::Clock;
use portero::config::ApprovalSettings;
use portero::ipc::{MAX_FRAME_BYTES, PermitOutcome};
use portero::json::RawJson;
use portero::names::{Actor, TaskId};
use portero::notice::AlarmKind;
use portero::permit::{CallPermit, Permitted};
use portero::pipeline::{BoxFuture, CallContext, CallReply, Refusal};
use portero::policy::{Action, Policy};
use portero::server::CallOptions;
use portero::task::{ChildLoss, ClaimedTask, SessionChild, Task, TaskState};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::approvals::{ApprovalError, ApprovalQueue, CallPlace};
use crate::journal::{AuditMode, Journal};
use crate::sessions::handover::HandoverEnd;
use crate::store::StoreError;
use crate::store::tasks::{self, TransitionRequest};

/// How many approved calls run concurrently.
const MAX_RUNNING: usize = 32;
/// How much of a frame is reserved for a task's fields besides its call and its result.
const TASK_OVERHEAD_LIMIT: usize = 256 << 10;
/// How long a stopping executor waits for the calls that it took back.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How often, and after which pauses, an outcome that could not be stored is tried again.
const RETRY_INTERVALS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// What an agent may do about a call that became void.
const CALL_AGAIN: &str = "Make the same call again: it is decided by what is in force now, and a person is asked again if it \
                          needs approval";

/// Makes permitted calls. The daemon's upstreams implement it; they are built on the approvals, so the
/// executor can't import them.
pub trait CallRunner: Send + Sync {
    /// Makes the call, with the pipeline of its directory.
    fn run_call<'a>(
        &'a self,
        permitted: Permitted,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply>;
}

/// What an executor is made of.
pub struct ExecutorDeps {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// The source of tasks and of their present bindings.
    pub approval_queue: Arc<ApprovalQueue>,
    /// Makes the calls.
    pub runner: Arc<dyn CallRunner>,
    /// The daemon's policy: configuration and overrides.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The current limits.
    pub settings: Arc<ArcSwap<ApprovalSettings>>,
    /// Conceals error messages.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The result of a recovery at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Tasks that were running when the last daemon ended, and are interrupted now.
    pub interrupted: usize,
    /// Approved tasks that have not started and will now.
    pub resumed: usize,
}

/// Runs approved tasks concurrently.
pub struct Executor {
    deps: ExecutorDeps,
}

/// How an execution ended.
struct ExecutionOutcome {
    state: TaskState,
    note: Option<Fake<String>>,
    result: Option<Fake<RawJson>>,
    error: Option<Fake<RawJson>>,
}

/// How an attempt to make a call ended.
enum RunEnd {
    /// With this reply.
    Reply(CallReply),
    /// The server answered with so many bytes, more than are kept.
    TooLong(usize),
    /// It was not made, for this reason.
    NotRun(String),
}

/// A session's report as the reply that the daemon's own pipeline would give.
fn end_of_report(outcome: PermitOutcome) -> RunEnd {
    let refused = |refusal| RunEnd::Reply(CallReply::Refused(refusal));
    match outcome {
        PermitOutcome::Result(result) => RunEnd::Reply(CallReply::Result(result)),
        PermitOutcome::Error(error) => RunEnd::Reply(CallReply::Error(error)),
        PermitOutcome::TooLong(length) => RunEnd::TooLong(length),
        PermitOutcome::NotRun(problem) => RunEnd::NotRun(format!(
            "it did not run: {problem}. Make the same call again, and if a person must approve it they see it anew"
        )),
        PermitOutcome::Failed(words) => refused(Refusal::ServerUnavailable(words)),
        PermitOutcome::Unknown(words) => refused(Refusal::Interrupted(words)),
        PermitOutcome::Withheld => refused(Refusal::Withheld(Leak::default())),
    }
}

impl Executor {
    /// An executor that does nothing yet.
    #[must_use]
    pub fn new(parts: ExecutorDeps) -> Arc<Self> {
        Arc::new(Self { deps: parts })
    }

    /// Recovers after a start, before anything else runs: executing tasks become interrupted, overdue ones
    /// expire.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn recover_tasks(&self) -> Result<RecoveryReport, StoreError> {
        let note = "Portero stopped while this ran; whether it took effect is unknown";
        // First of all: a rejection that a crash kept out of the store must apply before an approved task can
        // start.
        self.deps.approval_queue.rejections.restore().await?;
        let executing = self.task_ids(TaskState::Executing)?;
        for id in &executing {
            let ending = self.outcome_with_note(TaskState::Interrupted, note);
            if let Err(ApprovalError::Store(error)) = self.store_outcome(*id, &ending).await {
                return Err(error);
            }
        }
        self.deps.approval_queue.expire_due().await?;
        self.deps.approval_queue.restore_waiting_calls()?;
        Ok(RecoveryReport {
            interrupted: executing.len(),
            resumed: self.task_ids(TaskState::Approved)?.len(),
        })
    }

    /// Runs approved tasks until `stop`, then cancels the running calls and returns when they ended. The
    /// composition root spawns and joins it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut ids: HashMap<Id, TaskId> = HashMap::new();
        loop {
            self.start_approved(&mut running, &mut ids, &stop);
            // A permit of `Notify` is kept if no one waits, so an approval between the scan above and this
            // wait isn't missed.
            // At the limit no wake-up is needed: the next end of a call scans again.
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.deps.approval_queue.wait_for_approval(), if running.len() < MAX_RUNNING => {}
                Some(ended) = running.join_next_with_id() => self.reap_execution(ended, &mut ids).await,
            }
        }
        let farewell = async {
            while let Some(ended) = running.join_next_with_id().await {
                self.reap_execution(ended, &mut ids).await;
            }
        };
        if tokio::time::timeout(STOP_GRACE, farewell).await.is_err() {
            tracing::warn!(left = ids.len(), "calls that go on are interrupted; the next start records them");
        }
    }

    fn start_approved(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        ids: &mut HashMap<Id, TaskId>,
        stop: &CancellationToken,
    ) {
        // The end of a pause wakes the executor again. Meanwhile approved tasks may expire.
        if self.is_paused() {
            return;
        }
        let approved = match self.task_ids(TaskState::Approved) {
            Ok(approved) => approved,
            Err(error) => return tracing::error!(%error, "approved tasks cannot be read"),
        };
        for id in approved {
            if running.len() >= MAX_RUNNING {
                break;
            }
            // A task whose execution has not claimed it yet is still `approved` in the store, so its id is
            // looked up here too.
            if !ids.values().any(|known| *known == id) && self.is_startable(id) {
                let (executor, cancel) = (self.clone(), stop.child_token());
                let started = running.spawn(async move { executor.execute_task(id, cancel).await });
                ids.insert(started.id(), id);
            }
        }
    }

    /// Forgets a finished execution. After a panic the outcome is unknown, so the task becomes interrupted.
    async fn reap_execution(
        &self,
        ended: Result<(Id, ()), tokio::task::JoinError>,
        ids: &mut HashMap<Id, TaskId>,
    ) {
        match ended {
            Ok((id, ())) => {
                ids.remove(&id);
            }
            Err(error) => {
                if let Some(task) = ids.remove(&error.id()) {
                    tracing::error!(%task, %error, "an execution broke off");
                    let ending =
                        self.outcome_with_note(TaskState::Interrupted, "Portero failed while this ran");
                    // If the task had not started, it is still `approved` and the store refuses this change.
                    let _ = self.store_outcome(task, &ending).await;
                }
            }
        }
    }

    /// Runs one task, if it is still approved.
    async fn execute_task(&self, id: TaskId, cancel: CancellationToken) {
        let task = match self.start_task(id).await {
            Ok(Some(task)) => task,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(task = %id, %error, "an approved task could not be started");
                // The task is still approved, so the next scan finds it again. The pause keeps that from
                // becoming a busy loop.
                let _ = tokio::time::timeout(RETRY_INTERVALS[1], cancel.cancelled()).await;
                return;
            }
        };
        let call_size = task.call.params.get().get().len();
        // The task must fit into one frame when a client fetches it: the call's size counts against the
        // result's.
        let fits = MAX_FRAME_BYTES.saturating_sub(call_size + TASK_OVERHEAD_LIMIT);
        let most = fits.min(self.deps.settings.load().max_result_bytes);
        let tool = task.call.tool.clone();
        let reply = self.claim_and_run(task, most, cancel).await;
        if let RunEnd::Reply(CallReply::Refused(Refusal::Withheld(leak))) = &reply {
            let what = leak.describe_value();
            let about = format!("the answer of {tool} to task {id} was withheld, because it held {what}");
            self.deps.journal.raise_alarm(AlarmKind::Withheld, &about).await;
        }
        let mut ending = self.outcome_of_reply(reply, most);
        for pause in RETRY_INTERVALS {
            match self.store_outcome(id, &ending).await.map_err(ApprovalError::store_failure) {
                Ok(_) | Err(None) => return,
                Err(Some(error)) => {
                    tracing::error!(task = %id, %error, "the outcome of a task could not be stored");
                    tokio::time::sleep(pause).await;
                }
            }
        }
        // A short note may fit on a disk that has no space for the answer.
        (ending.result, ending.error) = (None, None);
        ending.note = Some(self.conceal_message("the answer came but could not be stored"));
        if let Err(error) = self.store_outcome(id, &ending).await {
            tracing::error!(task = %id, %error, "a task stays executing; the next start interrupts it");
            let about = format!("the outcome of task {id} could not be stored ({error}); look at the disk");
            self.deps.journal.raise_alarm(AlarmKind::Store, &about).await;
        }
    }

    fn is_paused(&self) -> bool {
        self.deps.policy.load().overrides().paused.is_some()
    }

    /// Moves the task to `executing`, durably and for this executor alone. None if it must not run, or not
    /// now.
    async fn start_task(&self, id: TaskId) -> Result<Option<Task>, ApprovalError> {
        if self.is_paused() {
            return Ok(None);
        }
        // A rejection that couldn't be saved blocks the start too. The guard lasts until the store holds the
        // new state, so a rejection in between is either seen here or comes too late.
        let Some(_starting) = self.deps.approval_queue.rejections.announce_start(id) else { return Ok(None) };
        // Only a deny matters here: an approval replaces the question, never a deny. A denial needs no record
        // to apply, a start does.
        let now = self.deps.clock.now();
        let task = self.deps.approval_queue.find_task(id, None)?;
        let decision = task.decide_approved(&self.deps.policy.load(), now);
        let (to, weight, note) = if decision.action == Action::Deny {
            (TaskState::Denied, AuditMode::BestEffort, Some(self.conceal_message(&decision.to_string())))
        } else {
            (TaskState::Executing, AuditMode::Required, None)
        };
        let step = TransitionRequest {
            note,
            must_be_alive: true,
            ..TransitionRequest::new(id, &[TaskState::Approved], to, now.wall)
        };
        let stepped = self.deps.approval_queue.transition_task(step, &Actor::Daemon, weight).await;
        match stepped.map_err(ApprovalError::store_failure) {
            Ok(task) => Ok(Some(task).filter(|task| task.state == TaskState::Executing)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error.into()),
        }
    }

    /// Whether the task's call can be made somewhere. A session that is not connected may come back, as after a
    /// restart of the daemon, so its task waits until it expires. [`ApprovalQueue::wake_executor`] tells of that.
    fn is_startable(&self, id: TaskId) -> bool {
        let found = self.deps.approval_queue.find_task(id, None);
        !found.is_ok_and(|task| {
            matches!(self.deps.approval_queue.place_of(&task), Err(ChildLoss::SessionEnded))
        })
    }

    /// Checks the binding, claims the task, and makes the call.
    async fn claim_and_run(&self, task: Task, most: usize, cancel: CancellationToken) -> RunEnd {
        match self.try_run(task, most, cancel).await {
            Ok(end) => end,
            Err(problem) => RunEnd::NotRun(problem),
        }
    }

    async fn try_run(&self, task: Task, most: usize, cancel: CancellationToken) -> Result<RunEnd, String> {
        let queue = &self.deps.approval_queue;
        let place = queue.place_of(&task).map_err(|loss| {
            format!("it did not run: {loss}. A person may have it asked anew with `portero again`")
        })?;
        // Before the server is asked: one whose entry was edited may not even start.
        if let Err(ApprovalError::Void(_, why)) = queue.check_config_unchanged(&task) {
            return Err(format!("it did not run: {why}. {CALL_AGAIN}"));
        }
        let child = task.child.clone();
        let inputs = queue.current_binding(&task.call, &task.origin.directory, child.as_ref(), place);
        let binding = match cancel.run_until_cancelled(inputs).await {
            Some(binding) => binding.map_err(|refusal| refusal.to_string())?,
            None => return Err("it did not run: Portero stopped before".to_owned()),
        };
        // Checked after `executing` was stored: a check before it could be outdated by the time the task
        // starts.
        if binding != task.binding {
            let changed = describe_changes(&task.binding, &binding);
            return Err(format!("it did not run: since a person was asked, {changed} changed. {CALL_AGAIN}"));
        }
        let context = CallContext { origin: task.origin.clone(), task: Some(task.id) };
        let now = self.deps.clock.now();
        let claimed =
            task.claim(&self.deps.policy.load(), now).map_err(|why| format!("it did not run: {why}"))?;
        #[cfg(test)]
        crate::crash::crash_at("claimed");
        let end = match (place, child) {
            (CallPlace::Session, Some(child)) => self.hand_over(claimed, &child, most, cancel).await,
            (CallPlace::Daemon, _) | (CallPlace::Session, None) => {
                let follow = CallOptions { cancel, ..CallOptions::default() };
                let permitted = Permitted::from_claimed(claimed);
                RunEnd::Reply(self.deps.runner.run_call(permitted, &context, follow).await)
            }
        };
        #[cfg(test)]
        crate::crash::crash_at("answered");
        Ok(end)
    }

    /// Has the session that asked make the call, in the process that its other calls use. From here on the outcome is
    /// unknown, unless the session tells it.
    async fn hand_over(
        &self,
        claimed: ClaimedTask,
        child: &SessionChild,
        most: usize,
        cancel: CancellationToken,
    ) -> RunEnd {
        let queue = &self.deps.approval_queue;
        let permit = CallPermit::new(claimed, child.ground.clone(), most);
        let limit = queue.deps.server_settings.handover_timeout(permit.server());
        let handing = tokio::time::timeout(limit, queue.deps.children.hand_over(child, permit));
        let unknown = |why: String| {
            let words = format!("{why}: whether it took effect is unknown");
            RunEnd::Reply(CallReply::Refused(Refusal::Interrupted(words)))
        };
        match cancel.run_until_cancelled(handing).await {
            None => unknown("Portero stopped while the session made the call".to_owned()),
            Some(Err(_)) => {
                unknown(format!("the session did not tell the outcome within {} s", limit.as_secs()))
            }
            Some(Ok(HandoverEnd::Lost)) => {
                unknown("the connection to the session broke while it made the call".to_owned())
            }
            Some(Ok(HandoverEnd::NotHanded(loss))) => RunEnd::NotRun(format!("it did not run: {loss}")),
            Some(Ok(HandoverEnd::Reported(outcome))) => end_of_report(outcome),
        }
    }

    fn outcome_of_reply(&self, reply: RunEnd, most: usize) -> ExecutionOutcome {
        let refusal = match reply {
            RunEnd::Reply(CallReply::Result(result)) => {
                return self.outcome_with_answer(TaskState::Completed, Some(result), None, most);
            }
            RunEnd::Reply(CallReply::Error(error)) => {
                return self.outcome_with_answer(TaskState::Failed, None, Some(error), most);
            }
            RunEnd::Reply(CallReply::PendingApproval(_) | CallReply::Joined(_)) => {
                return self.outcome_with_note(TaskState::Failed, "it was not run: it asked again");
            }
            RunEnd::Reply(CallReply::Refused(refusal)) => refusal,
            RunEnd::TooLong(length) => return self.outcome_too_long(TaskState::Completed, length, most),
            RunEnd::NotRun(problem) => return self.outcome_with_note(TaskState::Failed, &problem),
        };
        let state = match refusal {
            Refusal::Interrupted(_) | Refusal::Malformed(_) | Refusal::Cancelled => TaskState::Interrupted,
            Refusal::Denied(_)
            | Refusal::Unknown(_)
            | Refusal::Invalid(_)
            | Refusal::Declined(_)
            | Refusal::DaemonUnavailable(_)
            | Refusal::ServerUnavailable(_)
            | Refusal::Withheld(_)
            | Refusal::AuditUnavailable => TaskState::Failed,
        };
        self.outcome_with_note(state, &refusal.to_string())
    }

    /// The outcome with an answer, or with a note in its place if the answer is too long to store and to
    /// send.
    fn outcome_with_answer(
        &self,
        state: TaskState,
        result: Option<Fake<RawJson>>,
        error: Option<Fake<RawJson>>,
        most: usize,
    ) -> ExecutionOutcome {
        let length = result.as_ref().or(error.as_ref()).map_or(0, |json| json.get().get().len());
        if length <= most {
            return ExecutionOutcome { state, note: None, result, error };
        }
        self.outcome_too_long(state, length, most)
    }

    fn outcome_too_long(&self, state: TaskState, length: usize, most: usize) -> ExecutionOutcome {
        let words = format!(
            "Its answer is not kept: it has {length} bytes, and at most {most} are kept. Do not make the call \
             again only for its answer"
        );
        self.outcome_with_note(state, &words)
    }

    fn outcome_with_note(&self, state: TaskState, words: &str) -> ExecutionOutcome {
        let words = match state {
            TaskState::Interrupted => &format!("{words}. A person can ask for it again with `portero again`"),
            TaskState::PendingApproval
            | TaskState::Approved
            | TaskState::Executing
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Denied
            | TaskState::Expired
            | TaskState::Cancelled => words,
        };
        ExecutionOutcome { state, note: Some(self.conceal_message(words)), result: None, error: None }
    }

    async fn store_outcome(&self, id: TaskId, ending: &ExecutionOutcome) -> Result<Task, ApprovalError> {
        let step = TransitionRequest {
            note: ending.note.clone(),
            result: ending.result.clone(),
            error: ending.error.clone(),
            ..TransitionRequest::new(id, &[TaskState::Executing], ending.state, self.deps.clock.now().wall)
        };
        self.deps.approval_queue.transition_task(step, &Actor::Daemon, AuditMode::BestEffort).await
    }

    fn conceal_message(&self, words: &str) -> Fake<String> {
        self.deps.anonymizer.load().conceal_text(words)
    }

    fn task_ids(&self, state: TaskState) -> Result<Vec<TaskId>, StoreError> {
        self.deps.journal.store().read(move |store| tasks::ids_in_state(store, state))
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
