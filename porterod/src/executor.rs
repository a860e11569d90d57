//! Runs what a person approved, once (guarantee A2).
//!
//! A task is durably `executing` before the first byte of its call leaves; what is found `executing` at a
//! start was interrupted, and is never run again. In between everything is checked once more: the expiry in
//! the step itself, what the approval bound to, and that no deny holds now (guarantees A1, A5).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::{Anonymizer, Fake};
use portero::clock::Clock;
use portero::config::Approvals;
use portero::ipc::FRAME_MOST;
use portero::json::RawJson;
use portero::names::TaskId;
use portero::notice::Alarm;
use portero::permit::Permitted;
use portero::pipeline::{BoxFuture, Context, Pipeline, Refusal, Reply};
use portero::policy::{Action, Policy};
use portero::server::Follow;
use portero::task::{State, Task};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::approval::{Desk, DeskError, changed};
use crate::journal::{Journal, Weight};
use crate::store::StoreError;
use crate::store::tasks::{self, Step};

/// How many approved calls run side by side.
const AT_MOST: usize = 32;
/// How much of a frame is left for what a task holds besides its call and its result.
const ENVELOPE: usize = 256 << 10;
/// How long a stopping executor waits for the calls that it took back.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often, and after what pause, an outcome that could not be stored is tried again.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// What makes a permitted call: the daemon's pipeline, or several of them, one for each directory.
pub trait Runner: Send + Sync {
    /// [`Pipeline::finish`].
    fn run<'a>(&'a self, permitted: Permitted, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply>;
}

impl Runner for Pipeline {
    fn run<'a>(&'a self, permitted: Permitted, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply> {
        Box::pin(self.finish(permitted, context, follow))
    }
}

/// What an executor is made of.
pub struct ExecutorParts {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// Where tasks come from, and what asks again what they stand on.
    pub desk: Arc<Desk>,
    /// What makes the calls.
    pub runner: Arc<dyn Runner>,
    /// The daemon's own policy, configuration and standing together.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The limits in force.
    pub settings: Arc<ArcSwap<Approvals>>,
    /// Conceals what goes wrong.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// What a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Tasks that were running when the last daemon ended, and are interrupted now.
    pub interrupted: usize,
    /// Approved tasks that have not started and will now.
    pub resumed: usize,
}

/// Runs approved tasks side by side.
pub struct Executor {
    parts: ExecutorParts,
}

/// How an execution ended.
struct Ending {
    state: State,
    note: Option<Fake<String>>,
    result: Option<Fake<RawJson>>,
    error: Option<Fake<RawJson>>,
}

impl Executor {
    /// An executor that does nothing yet.
    #[must_use]
    pub fn new(parts: ExecutorParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    /// At a start, before anything else: what was running is interrupted, what is due expires.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let note = "Portero stopped while this ran; whether it took effect is unknown";
        // Before anything that was approved can start.
        self.parts.desk.restore_rejections().await?;
        let executing = self.ids(State::Executing)?;
        for id in &executing {
            let ending = self.ending(State::Interrupted, note);
            if let Err(DeskError::Store(error)) = self.end(*id, &ending).await {
                return Err(error);
            }
        }
        self.parts.desk.expire_due().await?;
        Ok(Recovered { interrupted: executing.len(), resumed: self.ids(State::Approved)?.len() })
    }

    /// Runs approved tasks until `stop`, then takes back what runs and returns when that ended. The
    /// composition root spawns and joins it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut ids: HashMap<Id, TaskId> = HashMap::new();
        loop {
            self.start_approved(&mut running, &mut ids, &stop);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.parts.desk.approved(), if running.len() < AT_MOST => {}
                Some(ended) = running.join_next_with_id() => self.ended(ended, &mut ids).await,
            }
        }
        let farewell = async {
            while let Some(ended) = running.join_next_with_id().await {
                self.ended(ended, &mut ids).await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!(left = ids.len(), "calls that go on are interrupted; the next start records them");
        }
    }

    fn start_approved(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        ids: &mut HashMap<Id, TaskId>,
        stop: &CancellationToken,
    ) {
        // Whoever ends the pause wakes the executor; what is approved may expire meanwhile.
        if self.is_paused() {
            return;
        }
        let approved = match self.ids(State::Approved) {
            Ok(approved) => approved,
            Err(error) => return tracing::error!(%error, "approved tasks cannot be read"),
        };
        for id in approved {
            if running.len() >= AT_MOST {
                break;
            }
            if !ids.values().any(|known| *known == id) {
                let (executor, cancel) = (self.clone(), stop.child_token());
                let started = running.spawn(async move { executor.execute(id, cancel).await });
                ids.insert(started.id(), id);
            }
        }
    }

    /// A panic on the way leaves the task executing; what it did is unknown.
    async fn ended(&self, ended: Result<(Id, ()), tokio::task::JoinError>, ids: &mut HashMap<Id, TaskId>) {
        match ended {
            Ok((id, ())) => {
                ids.remove(&id);
            }
            Err(error) => {
                if let Some(task) = ids.remove(&error.id()) {
                    tracing::error!(%task, %error, "an execution broke off");
                    let ending = self.ending(State::Interrupted, "Portero failed while this ran");
                    // It may not have begun; then it is not interrupted either.
                    let _ = self.end(task, &ending).await;
                }
            }
        }
    }

    /// Runs one task, if it is still to be run.
    async fn execute(&self, id: TaskId, cancel: CancellationToken) {
        let task = match self.start(id).await {
            Ok(Some(task)) => task,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(task = %id, %error, "an approved task could not be started");
                // It is still approved and found again: not at once.
                let _ = tokio::time::timeout(AGAIN[1], cancel.cancelled()).await;
                return;
            }
        };
        let call_size = task.call.params.get().get().len();
        let fits = FRAME_MOST.saturating_sub(call_size + ENVELOPE);
        let most = fits.min(self.parts.settings.load().result_bytes);
        let tool = task.call.tool.clone();
        let reply = self.attempt(task, cancel).await;
        if matches!(reply, Ok(Reply::Refused(Refusal::Withheld(_)))) {
            let about =
                format!("the answer of {tool} to task {id} was withheld: a private value stood in it");
            self.parts.journal.alarm(Alarm::Withheld, &about).await;
        }
        let mut ending = self.judge(reply, most);
        for pause in AGAIN {
            match self.end(id, &ending).await {
                Ok(_)
                | Err(
                    DeskError::Settled(..)
                    | DeskError::NotFound(_)
                    | DeskError::Unconfirmed(_)
                    | DeskError::Void(..)
                    | DeskError::Vote(_)
                    | DeskError::Unsaved(..),
                ) => {
                    return;
                }
                Err(DeskError::Store(error)) => {
                    tracing::error!(task = %id, %error, "the outcome of a task could not be stored");
                    tokio::time::sleep(pause).await;
                }
            }
        }
        // Perhaps what is short still fits.
        (ending.result, ending.error) = (None, None);
        ending.note = Some(self.words("the answer came but could not be stored"));
        if let Err(error) = self.end(id, &ending).await {
            tracing::error!(task = %id, %error, "a task stays executing; the next start interrupts it");
            let about = format!("the outcome of task {id} could not be stored ({error}); look at the disk");
            self.parts.journal.alarm(Alarm::Store, &about).await;
        }
    }

    fn is_paused(&self) -> bool {
        self.parts.policy.load().standing().paused.is_some()
    }

    /// Moves it to `executing`, alone and durably. None when it is not to be run, or not now.
    async fn start(&self, id: TaskId) -> Result<Option<Task>, DeskError> {
        if self.is_paused() {
            return Ok(None);
        }
        // A rejection that could not be saved holds too.
        let Some(_starting) = self.parts.desk.starting(id) else { return Ok(None) };
        let now = self.parts.clock.now();
        let task = self.parts.desk.task(id, None)?;
        let asker = Some(task.origin.asker());
        let decision = self.parts.policy.load().decide(&task.call.tool, task.call.arguments(), asker, now);
        let (to, weight, note) = if decision.action == Action::Deny {
            (State::Denied, Weight::Lenient, Some(self.words(&decision.to_string())))
        } else {
            (State::Executing, Weight::Strict, None)
        };
        let step = Step { note, alive: true, ..Step::new(id, &[State::Approved], to, now.wall) };
        match self.parts.desk.step(step, "daemon", weight).await {
            Ok(task) => Ok(Some(task).filter(|task| task.state == State::Executing)),
            Err(
                DeskError::Settled(..)
                | DeskError::NotFound(_)
                | DeskError::Unconfirmed(_)
                | DeskError::Void(..)
                | DeskError::Vote(_)
                | DeskError::Unsaved(..),
            ) => Ok(None),
            Err(DeskError::Store(error)) => Err(error.into()),
        }
    }

    /// Checks what the approval bound to, claims the task, and makes the call.
    async fn attempt(&self, task: Task, cancel: CancellationToken) -> Result<Reply, String> {
        let ground = self.parts.desk.binding(&task.call, &task.origin.directory);
        let binding = match cancel.run_until_cancelled(ground).await {
            Some(binding) => binding.map_err(|refusal| refusal.to_string())?,
            None => return Err("it did not run: Portero stopped before".to_owned()),
        };
        if binding != task.binding {
            return Err(format!(
                "it did not run: since a person was asked, {} changed. Make the same call again: it is decided \
                 by what is in force now, and if a person must approve it they see it anew",
                changed(&task.binding, &binding)
            ));
        }
        let context = Context { origin: task.origin.clone(), task: Some(task.id) };
        let now = self.parts.clock.now();
        let claimed =
            task.claim(&self.parts.policy.load(), now).map_err(|why| format!("it did not run: {why}"))?;
        let follow = Follow { cancel, ..Follow::default() };
        #[cfg(test)]
        crate::crash::reached("claimed");
        let reply = self.parts.runner.run(Permitted::settled(claimed), &context, follow).await;
        #[cfg(test)]
        crate::crash::reached("answered");
        Ok(reply)
    }

    fn judge(&self, reply: Result<Reply, String>, most: usize) -> Ending {
        let refusal = match reply {
            Ok(Reply::Result(result)) => return self.kept(State::Completed, Some(result), None, most),
            Ok(Reply::Error(error)) => return self.kept(State::Failed, None, Some(error), most),
            Ok(Reply::Waiting(_)) => return self.ending(State::Failed, "it was not run: it asked again"),
            Ok(Reply::Refused(refusal)) => refusal,
            Err(problem) => return self.ending(State::Failed, &problem),
        };
        let state = match refusal {
            Refusal::Interrupted(_) | Refusal::Malformed(_) | Refusal::Cancelled => State::Interrupted,
            Refusal::Denied(_)
            | Refusal::Unknown(_)
            | Refusal::Invalid(_)
            | Refusal::Declined(_)
            | Refusal::NoDesk(_)
            | Refusal::Server(_)
            | Refusal::Withheld(_)
            | Refusal::NoAudit => State::Failed,
        };
        self.ending(state, &refusal.to_string())
    }

    /// An answer, or what is said in its place when it is too long to keep and to send on.
    fn kept(
        &self,
        state: State,
        result: Option<Fake<RawJson>>,
        error: Option<Fake<RawJson>>,
        most: usize,
    ) -> Ending {
        let length = result.as_ref().or(error.as_ref()).map_or(0, |json| json.get().get().len());
        if length <= most {
            return Ending { state, note: None, result, error };
        }
        let words = format!(
            "Its answer is not kept: it has {length} bytes, and at most {most} are kept. Do not make the call \
             again only for its answer"
        );
        self.ending(state, &words)
    }

    fn ending(&self, state: State, words: &str) -> Ending {
        let words = match state {
            State::Interrupted => &format!("{words}. A person may have it asked anew with `portero again`"),
            State::PendingApproval
            | State::Approved
            | State::Executing
            | State::Completed
            | State::Failed
            | State::Denied
            | State::Expired
            | State::Cancelled => words,
        };
        Ending { state, note: Some(self.words(words)), result: None, error: None }
    }

    async fn end(&self, id: TaskId, ending: &Ending) -> Result<Task, DeskError> {
        let step = Step {
            note: ending.note.clone(),
            result: ending.result.clone(),
            error: ending.error.clone(),
            ..Step::new(id, &[State::Executing], ending.state, self.parts.clock.now().wall)
        };
        self.parts.desk.step(step, "daemon", Weight::Lenient).await
    }

    fn words(&self, words: &str) -> Fake<String> {
        self.parts.anonymizer.load().conceal_text(words)
    }

    fn ids(&self, state: State) -> Result<Vec<TaskId>, StoreError> {
        self.parts.journal.store().read(move |store| tasks::ids(store, state))
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
