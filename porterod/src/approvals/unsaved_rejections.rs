//! Rejections that the store could not take. They apply at once, and are saved as soon as possible.
//!
//! Meanwhile they are kept in a file beside the store with reserved disk space. So a daemon that is killed on
//! a full disk, or while another program holds the store, doesn't start a rejected task after its restart.
//!
//! A task is never both rejected here and started. Each start is announced here first, and an announced task
//! can only be rejected through the store.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::clock::Clock;
use portero::files;
use portero::names::{Actor, TaskId};
use portero::sync::lock;
use portero::task::{Task, TaskState};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::ApprovalError;
use super::transition::store_transition;
use crate::journal::{AuditMode, Journal};
use crate::reserved::Reserved;
use crate::store::StoreError;
use crate::store::denials::Denial;
use crate::store::tasks::{self, TransitionRequest};

/// How long to wait before saving again what could not be saved.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes of rejections are kept beside the store: some hundreds of them.
const MAX_RESERVED_BYTES: usize = 64 << 10;
/// The longest that a person's answer waits for the reserved file.
const RESERVED_TIMEOUT: Duration = Duration::from_secs(1);

/// Rejections that the store does not hold yet.
pub struct UnsavedRejections {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// Counts changes of tasks, to wake those who wait for a final state.
    changes: watch::Sender<u64>,
    inner: Mutex<RejectionState>,
    added: Notify,
    /// Saves that are still running; a slow one isn't waited for.
    saving: TaskTracker,
    /// The reserved file beside the store.
    reserved: Arc<Reserved>,
    /// Held during a write of that file, so that the last write has the newest content.
    reserving: tokio::sync::Mutex<()>,
}

/// A rejection as stored in the reserved file.
#[derive(Debug, Serialize, Deserialize)]
struct Reserve {
    task: TaskId,
    at: Timestamp,
    by: Actor,
    note: Option<Fake<String>>,
    cools: bool,
}

#[derive(Debug, Default)]
struct RejectionState {
    rejected: BTreeMap<TaskId, UnsavedRejection>,
    /// Tasks that are about to start.
    starting: HashSet<TaskId>,
}

#[derive(Debug, Clone)]
struct UnsavedRejection {
    transition: TransitionRequest,
    by: Actor,
    /// Why it isn't saved.
    problem: String,
    /// Whether the task was waiting for a person when it was rejected.
    was_pending: bool,
}

/// An announced start; dropping it means that the store holds the task's new state.
pub(super) struct StartGuard<'a> {
    rejections: &'a UnsavedRejections,
    task: TaskId,
}

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        self.rejections.lock_state().starting.remove(&self.task);
    }
}

impl UnsavedRejections {
    /// An empty set; `file` is the reserved file beside the store.
    pub(super) fn new(
        journal: Arc<Journal>,
        clock: Arc<dyn Clock>,
        changes: watch::Sender<u64>,
        file: PathBuf,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal,
            clock,
            changes,
            inner: Mutex::default(),
            added: Notify::new(),
            saving: TaskTracker::new(),
            reserved: Arc::new(Reserved::new(file, MAX_RESERVED_BYTES)),
            reserving: tokio::sync::Mutex::default(),
        })
    }

    /// Writes all rejections to the reserved file, where they survive this daemon.
    async fn reserve(&self) -> io::Result<()> {
        // The lock comes first: a snapshot taken before it could overwrite a newer one.
        let _in_order = self.reserving.lock().await;
        let all: Vec<Reserve> = self.lock_state().rejected.values().map(Reserve::of).collect();
        let (text, reserved) = (serde_json::to_vec(&all)?, Arc::clone(&self.reserved));
        files::read_off_thread(self.reserved.path(), RESERVED_TIMEOUT, move || reserved.write(&text)).await?
    }

    /// The content of the reserved file.
    async fn reserves(&self) -> io::Result<Vec<Reserve>> {
        let reserved = Arc::clone(&self.reserved);
        let read =
            files::read_off_thread(self.reserved.path(), 2 * files::READ_TIMEOUT, move || reserved.read());
        match read.await?? {
            Some(text) => Ok(serde_json::from_slice(&text)?),
            None => Ok(Vec::new()),
        }
    }

    fn notify_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock_state(&self) -> MutexGuard<'_, RejectionState> {
        lock(&self.inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock_state().rejected.is_empty()
    }

    /// The rejections after which the same call isn't asked about for a while.
    pub(super) fn list_cooling(&self) -> Vec<Denial> {
        let inner = self.lock_state();
        let cooling = inner.rejected.values().filter(|rejection| rejection.transition.deny_cooldown);
        cooling
            .map(|rejection| {
                let TransitionRequest { id, now, note, .. } = &rejection.transition;
                Denial { task: *id, at: *now, reason: note.clone() }
            })
            .collect()
    }

    pub(super) fn is_rejected(&self, task: TaskId) -> bool {
        self.lock_state().rejected.contains_key(&task)
    }

    /// How many rejected tasks were waiting for a person.
    pub(super) fn count_waiting(&self) -> u64 {
        self.lock_state().rejected.values().filter(|rejection| rejection.was_pending).count() as u64
    }

    /// The task with its unsaved rejection applied.
    pub(super) fn apply_to_task(&self, mut task: Task) -> Task {
        // The store may already say otherwise, as when the task expired; then its state is the true one.
        if let Some(rejection) = self.lock_state().rejected.get(&task.id)
            && rejection.transition.from.contains(&task.state)
        {
            task.state = TaskState::Denied;
            task.note.clone_from(&rejection.transition.note);
            task.changed = rejection.transition.now;
        }
        task
    }

    /// Waits for a rejection to be saved, until the store counts as stuck.
    pub(super) async fn wait_for_save<T: Send + 'static>(
        &self,
        saving: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let saving = self.saving.spawn(saving);
        tokio::select! {
            saved = saving => saved.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // The save continues in the background; the retry later finds its result.
            stuck = self.journal.store().wait_until_stuck() => Err(stuck),
        }
    }

    /// Rejects a task without the store, unless it has been announced as starting.
    pub(super) fn put_in_force(
        &self,
        step: TransitionRequest,
        by: &Actor,
        error: &StoreError,
    ) -> Result<(), ApprovalError> {
        let (id, from) = (step.id, step.from);
        let rejection = UnsavedRejection {
            transition: step,
            by: by.clone(),
            problem: error.to_string(),
            was_pending: false,
        };
        {
            // Check and insertion share one lock with `announce_start`, so exactly one of the two sees the
            // other.
            let mut inner = self.lock_state();
            if inner.starting.contains(&id) {
                return Err(error.clone().into());
            }
            inner.rejected.insert(id, rejection);
        }
        // The state is read only now: a start that ended before the insertion is visible here, and no start
        // can begin after it.
        let settled = match self.journal.store().read(move |store| tasks::task_state(store, id, None)) {
            Ok(Some(state)) if from.contains(&state) => {
                if let Some(rejection) = self.lock_state().rejected.get_mut(&id) {
                    rejection.was_pending = state == TaskState::PendingApproval;
                }
                None
            }
            Ok(Some(state)) => Some(ApprovalError::WrongState(id, state)),
            Ok(None) => Some(ApprovalError::NotFound(id)),
            // The retry finds the state when it saves. Nothing can start the task meanwhile.
            Err(_) => None,
        };
        if let Some(settled) = settled {
            self.lock_state().rejected.remove(&id);
            return Err(settled);
        }
        tracing::error!(task = %id, %error, "a rejection is in force but could not be saved");
        Ok(())
    }

    /// Writes the rejections to the reserved file and wakes the saver. Returns the reason that they aren't in
    /// the store.
    pub(super) async fn keep_beside_store(&self, error: &StoreError) -> String {
        self.added.notify_one();
        self.notify_changed();
        match self.reserve().await {
            Ok(()) => error.to_string(),
            Err(failed) => {
                tracing::error!(error = %failed, "a rejection could not be kept beside the store either");
                format!("{error}; it is lost if the daemon ends now")
            }
        }
    }

    /// Restores the rejections that the last daemon could not save. If the file is unreadable, no task that
    /// was approved before starts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn restore(&self) -> Result<(), StoreError> {
        let reserves = match self.reserves().await {
            Ok(reserves) => reserves,
            Err(error) => self.reject_approved(&error)?,
        };
        if reserves.is_empty() {
            return Ok(());
        }
        {
            let mut inner = self.lock_state();
            for Reserve { task, at, by, note, cools } in reserves {
                let step = TransitionRequest::new(
                    task,
                    &[TaskState::PendingApproval, TaskState::Approved],
                    TaskState::Denied,
                    at,
                );
                let step = TransitionRequest { note, deny_cooldown: cools, ..step };
                let problem = "it was rejected before this daemon began".to_owned();
                inner
                    .rejected
                    .insert(task, UnsavedRejection { transition: step, by, problem, was_pending: false });
            }
        }
        // One attempt at once, so that the store usually holds them before the executor runs.
        if !self.retry_saves().await {
            self.added.notify_one();
        }
        Ok(())
    }

    /// Rejects all approved tasks, because any of them may have been rejected since.
    fn reject_approved(&self, error: &io::Error) -> Result<Vec<Reserve>, StoreError> {
        tracing::error!(%error, "which tasks were rejected cannot be read; what was approved does not start");
        let approved =
            self.journal.store().read(move |store| tasks::ids_in_state(store, TaskState::Approved))?;
        let words = format!(
            "it did not run: Portero cannot read whether it was rejected before the daemon began again ({error}). \
             A person can ask for it again with `portero again`"
        );
        let (at, note) = (self.clock.now().wall, self.journal.conceal_text(&words));
        let reject = |task| Reserve { task, at, by: Actor::Daemon, note: Some(note.clone()), cools: false };
        Ok(approved.into_iter().map(reject).collect())
    }

    /// Announces that a task is about to start; none if it was rejected.
    pub(super) fn announce_start(&self, task: TaskId) -> Option<StartGuard<'_>> {
        let mut inner = self.lock_state();
        if inner.rejected.contains_key(&task) {
            return None;
        }
        inner.starting.insert(task);
        Some(StartGuard { rejections: self, task })
    }

    /// The unsaved rejections and the reason; none if all are saved.
    #[must_use]
    pub fn list_unsaved(&self) -> Option<(String, Vec<TaskId>)> {
        let inner = self.lock_state();
        let problem = inner.rejected.values().next()?.problem.clone();
        Some((problem, inner.rejected.keys().copied().collect()))
    }

    /// Saves rejections until `stop`. The composition root spawns and joins it.
    pub async fn run_saver(self: Arc<Self>, stop: CancellationToken) {
        let saving = async {
            loop {
                self.added.notified().await;
                while !self.retry_saves().await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        };
        stop.run_until_cancelled(saving).await;
        // Saves in progress finish before the store closes.
        self.saving.close();
        self.saving.wait().await;
    }

    /// Saves the rejections that can be saved, and returns whether all are. One failure doesn't block the
    /// others.
    pub async fn retry_saves(&self) -> bool {
        // A copy: the lock isn't held while the store writes, and a rejection that comes meanwhile has its
        // own wake-up.
        let all = self.lock_state().rejected.clone();
        let (mut are_saved, mut some_are_saved) = (true, false);
        for (id, UnsavedRejection { transition: step, by, .. }) in all {
            let stored = store_transition(Arc::clone(&self.journal), step, by, AuditMode::BestEffort).await;
            match stored {
                // Saved, or the store refuses because the task is already final.
                Ok(_) | Err(StoreError::Refused(_)) => {
                    self.lock_state().rejected.remove(&id);
                    self.notify_changed();
                    some_are_saved = true;
                }
                Err(error) => {
                    tracing::warn!(task = %id, %error, "a rejection is not saved yet");
                    if let Some(rejection) = self.lock_state().rejected.get_mut(&id) {
                        rejection.problem = error.to_string();
                    }
                    are_saved = false;
                }
            }
        }
        // An entry that stays in the file although it is saved does no harm: the next start finds the task
        // final.
        if some_are_saved && let Err(error) = self.reserve().await {
            tracing::warn!(%error, "saved rejections stay beside the store");
        }
        are_saved
    }
}

impl std::fmt::Debug for UnsavedRejections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnsavedRejections").finish_non_exhaustive()
    }
}

impl Reserve {
    fn of(rejection: &UnsavedRejection) -> Self {
        let TransitionRequest { id, now, note, deny_cooldown: cools, .. } = &rejection.transition;
        Self { task: *id, at: *now, by: rejection.by.clone(), note: note.clone(), cools: *cools }
    }
}

#[cfg(test)]
mod tests;
