//! The desk itself: its parts, what is read from it, and the one step that everything on it is made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::call::Call;
use portero::clock::Clock;
use portero::config::Approvals;
use portero::names::{Principal, TaskId};
use portero::pipeline::{self, BoxFuture, Context, Refusal, Reply};
use portero::policy::{Action, Policy};
use portero::server::Follow;
use portero::task::{State, Task};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::unsaved::Rejections;
use super::{Grounds, VoteError, bind, open};
use crate::journal::{Journal, Weight, about_task};
use crate::store::tasks::{self, Step, Stepped, Which};
use crate::store::{StoreError, standing};

/// Why the desk did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// There is no such task, or it is another principal's.
    #[error("there is no task {0}")]
    NotFound(TaskId),
    /// It is no longer (or not yet) in a state that this follows.
    #[error("task {0} is {1}")]
    Settled(TaskId, State),
    /// What was confirmed is something else.
    #[error("nobody confirmed that task {0} runs")]
    Unconfirmed(TaskId),
    /// A yes would not make it run, and why.
    #[error("task {0} would not run any more: {1}")]
    Void(TaskId, String),
    /// It takes several people, and this yes adds nothing.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// It is rejected and will not run, but that could not be saved yet.
    #[error("task {0} is rejected and does not run, but that could not be saved in the store yet: {1}")]
    Unsaved(TaskId, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a desk is made of.
pub struct DeskParts {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// What calls stand on.
    pub grounds: Arc<dyn Grounds>,
    /// The daemon's own policy, configuration and standing together.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The limits in force.
    pub settings: Arc<ArcSwap<Approvals>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The file of the rejections that the store could not take yet.
    pub rejections: PathBuf,
}

/// Where calls wait for a person.
pub struct Desk {
    pub(super) parts: DeskParts,
    /// Counts changes, to wake those who wait for a final state.
    changes: watch::Sender<u64>,
    /// A task was approved: for the executor.
    pub(super) approved: Notify,
    /// A task may expire sooner than the timer thinks.
    pub(super) opened: Notify,
    /// Rejections that could not be saved yet.
    pub(super) rejections: Rejections,
}

impl Desk {
    /// A desk. Whoever is to be told of its tasks reads the outbox.
    #[must_use]
    pub fn new(parts: DeskParts) -> Arc<Self> {
        let rejections = Rejections::new(parts.rejections.clone());
        Arc::new(Self {
            parts,
            changes: watch::channel(0).0,
            approved: Notify::new(),
            opened: Notify::new(),
            rejections,
        })
    }

    /// One task, whole. With a principal, only its own.
    ///
    /// # Errors
    /// [`DeskError::NotFound`].
    pub fn task(&self, task: TaskId, principal: Option<&Principal>) -> Result<Task, DeskError> {
        let principal = principal.cloned();
        let found =
            self.parts.journal.store().read(move |store| tasks::get(store, task, principal.as_ref()))?;
        found.map(|task| self.rejections.apply(task)).ok_or(DeskError::NotFound(task))
    }

    /// Tasks, the newest first, without their results and errors.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, which: &Which) -> Result<Vec<Task>, StoreError> {
        let wanted = which.clone();
        let mut found = self.parts.journal.store().read(move |store| tasks::list(store, &wanted))?;
        if !self.rejections.is_empty() {
            found = found.into_iter().map(|task| self.rejections.apply(task)).collect();
            found.retain(|task| which.state.is_none_or(|state| state == task.state));
        }
        Ok(found)
    }

    /// How many tasks there are in each state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn counts(&self) -> Result<Vec<(State, u64)>, StoreError> {
        self.parts.journal.store().read(tasks::counts)
    }

    /// The tasks whose ids begin or end with `part`; some thousand at most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, part: &str, state: Option<State>) -> Result<Vec<TaskId>, StoreError> {
        let part = part.to_owned();
        let found = self.parts.journal.store().read(move |store| tasks::find(store, &part))?;
        let fits = found.into_iter().filter(|(_, is)| state.is_none_or(|state| state == *is));
        Ok(fits.map(|(task, _)| task).collect())
    }

    /// How many wait for a person.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pending(&self) -> Result<u64, StoreError> {
        let waiting = self.parts.journal.store().read(tasks::all_waiting)?;
        Ok(waiting.saturating_sub(self.rejections.waiting()))
    }

    /// The task once it is final, or as it is after `most`.
    ///
    /// # Errors
    /// As [`Desk::task`].
    pub async fn wait_final(
        &self,
        task: TaskId,
        principal: Option<&Principal>,
        most: Duration,
    ) -> Result<Task, DeskError> {
        let mut changes = self.changes.subscribe();
        let until = Instant::now().checked_add(most);
        loop {
            let principal = principal.cloned();
            let state = self
                .parts
                .journal
                .store()
                .read(move |store| tasks::state(store, task, principal.as_ref()))?;
            let is_rejected = self.rejections.is_rejected(task);
            if is_rejected || state.ok_or(DeskError::NotFound(task))?.is_final() {
                break;
            }
            let changed = changes.changed();
            let waited = match until {
                Some(until) => tokio::time::timeout_at(until, changed).await,
                None => Ok(changed.await),
            };
            if !matches!(waited, Ok(Ok(()))) {
                break;
            }
        }
        self.task(task, principal)
    }

    /// Returns once no task is executing, or the store cannot be read.
    pub async fn none_executes(&self) {
        let which = Which { state: Some(State::Executing), limit: 1, ..Which::default() };
        let mut changes = self.changes.subscribe();
        while self.list(&which).is_ok_and(|tasks| !tasks.is_empty()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes a step of a task, with its record, and tells everyone.
    pub(crate) async fn step(&self, step: Step, by: &str, weight: Weight) -> Result<Task, DeskError> {
        let id = step.id;
        let stepped = store_step(Arc::clone(&self.parts.journal), step, by.to_owned(), weight).await?;
        self.stepped(id, stepped)
    }

    /// What a step that is stored means for whoever asked for it; whoever waits is told.
    pub(super) fn stepped(&self, id: TaskId, stepped: Stepped) -> Result<Task, DeskError> {
        match stepped {
            Stepped::Done(task) => {
                self.wake();
                Ok(*task)
            }
            Stepped::Expired(_) => {
                self.wake();
                Err(DeskError::Settled(id, State::Expired))
            }
            Stepped::Elsewhere(state) => Err(DeskError::Settled(id, state)),
            Stepped::Missing => Err(DeskError::NotFound(id)),
        }
    }

    /// Lets the executor look again: a pause is over.
    pub fn resumed(&self) {
        self.approved.notify_one();
    }

    /// Returns when a task was approved, or a pause ended, since the last time.
    pub(crate) async fn approved(&self) {
        self.approved.notified().await;
    }

    /// The binding of a call as things are now.
    pub(crate) async fn binding(&self, call: &Call, directory: &Path) -> Result<String, Refusal> {
        let ground = self.parts.grounds.ground(call, directory).await?;
        let key = self.parts.journal.store().read(standing::binding_key);
        let key = key.map_err(|error| Refusal::NoDesk(error.to_string()))?;
        bind(&key, call, &directory.to_string_lossy(), &ground)
    }

    pub(super) fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now().wall
    }
}

/// Makes a step in the store, with its record.
pub(super) async fn store_step(
    journal: Arc<Journal>,
    step: Step,
    by: String,
    weight: Weight,
) -> Result<Stepped, StoreError> {
    let change = move |store: &rusqlite::Connection| {
        let stepped = tasks::step(store, &step)?;
        if let (Stepped::Done(task), true) = (&stepped, step.cools) {
            open::cool(store, task)?;
        }
        let record = match &stepped {
            Stepped::Done(task) => Some(about_task(task, &by, step.note.as_ref())),
            Stepped::Expired(task) => Some(about_task(task, "expiry", None)),
            Stepped::Elsewhere(_) | Stepped::Missing => None,
        };
        Ok((stepped, record.into_iter().collect()))
    };
    journal.change(weight, change).await
}

impl pipeline::Desk for Desk {
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(async move {
            let now = self.parts.clock.now();
            let asker = Some(context.origin.asker());
            let decision = self.parts.policy.load().decide(&call.tool, call.arguments(), asker, now);
            match decision.action {
                Action::Deny => Err(Refusal::Denied(decision)),
                // A grant may have come in between; whoever asks for a person gets one.
                Action::Allow | Action::RequireApproval => {
                    let (tool, origin) = (call.tool.clone(), &context.origin);
                    let opened = self.open(call, origin.clone(), decision).await;
                    opened.inspect_err(|refusal| self.note_refusal(tool, origin, refusal))
                }
            }
        })
    }

    fn forward<'a>(&'a self, _: Call, _: &'a Context, _: Follow) -> BoxFuture<'a, Reply> {
        Box::pin(async {
            let words = "this is the daemon: there is nobody to forward a call to";
            Reply::Refused(Refusal::NoDesk(words.to_owned()))
        })
    }
}

/// A moment after `from`; as late as can be told where that is beyond all calendars.
pub(super) fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(super) fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Audit(_) => Refusal::NoAudit,
        StoreError::Refused(words) => Refusal::Declined(words),
        StoreError::Corrupt { .. }
        | StoreError::Newer { .. }
        | StoreError::Busy(_)
        | StoreError::Unopened { .. }
        | StoreError::Failed(_) => Refusal::NoDesk(error.to_string()),
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
