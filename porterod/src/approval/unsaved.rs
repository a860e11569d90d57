//! Rejections that the store could not take: in force at once, and saved as soon as that is possible.
//!
//! Meanwhile they are in a file beside the store, whose space was taken before, so that a daemon that is killed on a
//! full disk, or while another program holds the store, starts no rejected task the next time.
//!
//! A task is never both rejected here and started: a start is announced here first, and one that was announced is
//! too late to reject without the store.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::files;
use portero::names::TaskId;
use portero::task::{State, Task};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, DeskError, store_step};
use super::settle::ListRejection;
use crate::journal::Weight;
use crate::reserved::Reserved;
use crate::store::StoreError;
use crate::store::tasks::{self, Step};

/// How long to wait before saving again what could not be saved.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes of rejections are kept beside the store: some hundreds of them.
const MAX_RESERVED_BYTES: usize = 64 << 10;
/// How long a person's answer waits for that file.
const RESERVED_TIMEOUT: Duration = Duration::from_secs(1);

/// Rejections that the store does not hold yet.
#[derive(Debug)]
pub(super) struct Rejections {
    inner: Mutex<Inner>,
    added: Notify,
    /// Saves that are under way; one that takes long is not waited for.
    saving: TaskTracker,
    /// The file beside the store.
    reserved: Arc<Reserved>,
    /// Held while that is written, so that the last write holds the newest.
    reserving: tokio::sync::Mutex<()>,
}

/// One of them in the file beside the store.
#[derive(Debug, Serialize, Deserialize)]
struct Reserve {
    task: TaskId,
    at: Timestamp,
    by: String,
    note: Option<Fake<String>>,
    cools: bool,
}

#[derive(Debug, Default)]
struct Inner {
    rejected: BTreeMap<TaskId, Rejection>,
    /// Tasks that are being started.
    starting: HashSet<TaskId>,
}

#[derive(Debug, Clone)]
struct Rejection {
    step: Step,
    by: String,
    /// Why it is not saved.
    problem: String,
    /// Whether it waited for a person until then.
    waited: bool,
}

/// A task that is being started; dropping it says that the store knows what came of it.
pub(crate) struct Starting<'a> {
    rejections: &'a Rejections,
    task: TaskId,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.rejections.lock().starting.remove(&self.task);
    }
}

impl Rejections {
    /// None yet. `file` is the one beside the store.
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            inner: Mutex::default(),
            added: Notify::new(),
            saving: TaskTracker::new(),
            reserved: Arc::new(Reserved::new(file, MAX_RESERVED_BYTES)),
            reserving: tokio::sync::Mutex::default(),
        }
    }

    /// Writes all of them to the file beside the store, where they survive this daemon.
    async fn reserve(&self) -> io::Result<()> {
        let _in_order = self.reserving.lock().await;
        let all: Vec<Reserve> = self.lock().rejected.values().map(Reserve::of).collect();
        let (text, reserved) = (serde_json::to_vec(&all)?, Arc::clone(&self.reserved));
        files::off_thread(self.reserved.path(), RESERVED_TIMEOUT, move || reserved.write(&text)).await?
    }

    /// What the file beside the store holds.
    async fn reserves(&self) -> io::Result<Vec<Reserve>> {
        let reserved = Arc::clone(&self.reserved);
        let read = files::off_thread(self.reserved.path(), 2 * files::READ_TIMEOUT, move || reserved.read());
        match read.await?? {
            Some(text) => Ok(serde_json::from_slice(&text)?),
            None => Ok(Vec::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().rejected.is_empty()
    }

    pub(super) fn is_rejected(&self, task: TaskId) -> bool {
        self.lock().rejected.contains_key(&task)
    }

    /// How many of them waited for a person.
    pub(super) fn waiting(&self) -> u64 {
        self.lock().rejected.values().filter(|rejection| rejection.waited).count() as u64
    }

    /// The task as it is with what is not saved yet.
    pub(super) fn apply(&self, mut task: Task) -> Task {
        if let Some(rejection) = self.lock().rejected.get(&task.id)
            && rejection.step.from.contains(&task.state)
        {
            task.state = State::Denied;
            task.note.clone_from(&rejection.step.note);
            task.changed = rejection.step.now;
        }
        task
    }
}

impl Desk {
    /// Makes a step that rejects. Where it cannot be saved the task is rejected all the same.
    ///
    /// # Errors
    /// [`DeskError::Unsaved`] where that is so, and as [`Desk::reject`].
    pub(super) async fn reject_by(&self, step: Step, by: &str) -> Result<Task, DeskError> {
        let journal = Arc::clone(&self.parts.journal);
        let saving = store_step(journal, step.clone(), by.to_owned(), Weight::Lenient);
        match self.save_rejection(saving).await {
            Ok(stepped) => self.stepped(step.id, stepped),
            Err(error @ StoreError::Refused(_)) => Err(error.into()),
            Err(error) => self.reject_unsaved(step, by, error).await,
        }
    }

    /// Waits for a rejection to be saved, though not for long.
    pub(super) async fn save_rejection<T: Send + 'static>(
        &self,
        saving: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let saving = self.rejections.saving.spawn(saving);
        tokio::select! {
            saved = saving => saved.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // It goes on all the same; what came of it is seen when it is saved again.
            stuck = self.parts.journal.store().stuck() => Err(stuck),
        }
    }

    async fn reject_unsaved(&self, step: Step, by: &str, error: StoreError) -> Result<Task, DeskError> {
        let id = step.id;
        self.put_in_force(step, by, &error)?;
        Err(DeskError::Unsaved(id, self.reserve_rejections(&error).await))
    }

    /// Rejects these, of which the store could take none. Of those that do not wait any more nothing is done.
    pub(super) async fn reject_list_unsaved(
        &self,
        listed: Vec<TaskId>,
        by: &str,
        error: &StoreError,
    ) -> ListRejection {
        let mut rejection = ListRejection::default();
        let now = self.now();
        for id in listed {
            let task =
                self.parts.journal.store().read(move |store| tasks::get(store, id, None)).ok().flatten();
            if self.rejections.is_rejected(id) {
                continue;
            }
            if task.is_some_and(|task| task.state == State::PendingApproval && tasks::is_over(&task, now)) {
                rejection.expired += 1;
                continue;
            }
            let denial = Step::new(id, &[State::PendingApproval], State::Denied, now);
            let denial = Step { alive: true, cools: true, ..denial };
            rejection.denied += usize::from(self.put_in_force(denial, by, error).is_ok());
        }
        if rejection.denied > 0 {
            rejection.unsaved = Some(self.reserve_rejections(error).await);
        }
        rejection
    }

    /// Rejects a task without the store, unless that is too late.
    fn put_in_force(&self, step: Step, by: &str, error: &StoreError) -> Result<(), DeskError> {
        let (id, from) = (step.id, step.from);
        let rejection = Rejection { step, by: by.to_owned(), problem: error.to_string(), waited: false };
        {
            let mut inner = self.rejections.lock();
            if inner.starting.contains(&id) {
                return Err(error.clone().into());
            }
            inner.rejected.insert(id, rejection);
        }
        // Only now: a start that ended before this is seen here, and none begins after.
        let settled = match self.parts.journal.store().read(move |store| tasks::state(store, id, None)) {
            Ok(Some(state)) if from.contains(&state) => {
                if let Some(rejection) = self.rejections.lock().rejected.get_mut(&id) {
                    rejection.waited = state == State::PendingApproval;
                }
                None
            }
            Ok(Some(state)) => Some(DeskError::Settled(id, state)),
            Ok(None) => Some(DeskError::NotFound(id)),
            // What it was is seen when it is saved. Nothing can start it meanwhile.
            Err(_) => None,
        };
        if let Some(settled) = settled {
            self.rejections.lock().rejected.remove(&id);
            return Err(settled);
        }
        tracing::error!(task = %id, %error, "a rejection is in force but could not be saved");
        Ok(())
    }

    /// Keeps what is in force beside the store, and has it saved once that is possible. Gives why it is not saved.
    async fn reserve_rejections(&self, error: &StoreError) -> String {
        self.rejections.added.notify_one();
        self.wake();
        match self.rejections.reserve().await {
            Ok(()) => error.to_string(),
            Err(failed) => {
                tracing::error!(error = %failed, "a rejection could not be kept beside the store either");
                format!("{error}; it is lost if the daemon ends now")
            }
        }
    }

    /// At a start: what was rejected when the last daemon ended, and not saved. Where that cannot be told, nothing
    /// starts of what was approved before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn restore_rejections(&self) -> Result<(), StoreError> {
        let reserves = match self.rejections.reserves().await {
            Ok(reserves) => reserves,
            Err(error) => self.reject_approved(&error)?,
        };
        if reserves.is_empty() {
            return Ok(());
        }
        {
            let mut inner = self.rejections.lock();
            for Reserve { task, at, by, note, cools } in reserves {
                let step = Step::new(task, &[State::PendingApproval, State::Approved], State::Denied, at);
                let step = Step { note, cools, ..step };
                let problem = "it was rejected before this daemon began".to_owned();
                inner.rejected.insert(task, Rejection { step, by, problem, waited: false });
            }
        }
        if !self.save_rejections_again().await {
            self.rejections.added.notify_one();
        }
        Ok(())
    }

    /// Rejections of all that was approved: some of it may have been rejected since.
    fn reject_approved(&self, error: &io::Error) -> Result<Vec<Reserve>, StoreError> {
        tracing::error!(%error, "which tasks were rejected cannot be read; what was approved does not start");
        let approved = self.parts.journal.store().read(move |store| tasks::ids(store, State::Approved))?;
        let words = format!(
            "it did not run: Portero cannot read whether it was rejected before the daemon began again ({error}). \
             A person may have it asked anew with `portero again`"
        );
        let (at, note) = (self.now(), self.parts.journal.words(&words));
        let reject =
            |task| Reserve { task, at, by: "daemon".to_owned(), note: Some(note.clone()), cools: false };
        Ok(approved.into_iter().map(reject).collect())
    }

    /// Announces that a task is about to be started; none where it was rejected.
    pub(crate) fn starting(&self, task: TaskId) -> Option<Starting<'_>> {
        let mut inner = self.rejections.lock();
        if inner.rejected.contains_key(&task) {
            return None;
        }
        inner.starting.insert(task);
        Some(Starting { rejections: &self.rejections, task })
    }

    /// Why rejections are not saved, and which; none where all are.
    #[must_use]
    pub fn unsaved(&self) -> Option<(String, Vec<TaskId>)> {
        let inner = self.rejections.lock();
        let problem = inner.rejected.values().next()?.problem.clone();
        Some((problem, inner.rejected.keys().copied().collect()))
    }

    /// Saves rejections that could not be saved, until `stop`. The composition root spawns and joins it.
    pub async fn save_rejections(self: Arc<Self>, stop: CancellationToken) {
        let saving = async {
            loop {
                self.rejections.added.notified().await;
                while !self.save_rejections_again().await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        };
        stop.run_until_cancelled(saving).await;
        self.rejections.saving.close();
        self.rejections.saving.wait().await;
    }

    /// Saves those that can be, and tells whether all are saved. One that cannot be keeps no other.
    pub async fn save_rejections_again(&self) -> bool {
        let all = self.rejections.lock().rejected.clone();
        let (mut are_saved, mut some_are_saved) = (true, false);
        for (id, Rejection { step, by, .. }) in all {
            let stored = store_step(Arc::clone(&self.parts.journal), step, by, Weight::Lenient).await;
            match stored {
                // Done, or the store says already what became of it.
                Ok(_) | Err(StoreError::Refused(_)) => {
                    self.rejections.lock().rejected.remove(&id);
                    self.wake();
                    some_are_saved = true;
                }
                Err(error) => {
                    tracing::warn!(task = %id, %error, "a rejection is not saved yet");
                    if let Some(rejection) = self.rejections.lock().rejected.get_mut(&id) {
                        rejection.problem = error.to_string();
                    }
                    are_saved = false;
                }
            }
        }
        // What stays in the file although it is saved is known as such at the next start.
        if some_are_saved && let Err(error) = self.rejections.reserve().await {
            tracing::warn!(%error, "saved rejections stay beside the store");
        }
        are_saved
    }
}

impl Reserve {
    fn of(rejection: &Rejection) -> Self {
        let Step { id, now, note, cools, .. } = &rejection.step;
        Self { task: *id, at: *now, by: rejection.by.clone(), note: note.clone(), cools: *cools }
    }
}

#[cfg(test)]
mod tests;
