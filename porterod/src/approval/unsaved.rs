//! Rejections that could not be saved: in force at once, and saved as soon as that is possible.
//!
//! A task is never both rejected here and started: a start is announced here first, and one that was announced is
//! too late to reject without the store.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portero::names::TaskId;
use portero::task::{State, Task};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, DeskError, store_step};
use crate::journal::Weight;
use crate::store::StoreError;
use crate::store::tasks::Step;

/// How long to wait before saving again what could not be saved.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Rejections that the store does not hold yet.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    inner: Mutex<Inner>,
    added: Notify,
    /// Saves that are under way; one that takes long is not waited for.
    saving: TaskTracker,
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
        let saving = store_step(Arc::clone(&journal), step.clone(), by.to_owned(), Weight::Lenient);
        let saving = self.rejections.saving.spawn(saving);
        let stepped = tokio::select! {
            stepped = saving => stepped.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // It goes on all the same; what came of it is seen when it is saved again.
            stuck = journal.store().stuck() => Err(stuck),
        };
        match stepped {
            Ok(stepped) => self.stepped(step.id, stepped),
            Err(error @ StoreError::Refused(_)) => Err(error.into()),
            Err(error) => self.reject_unsaved(step, by, error),
        }
    }

    fn reject_unsaved(&self, step: Step, by: &str, error: StoreError) -> Result<Task, DeskError> {
        let (id, from) = (step.id, step.from);
        let rejection = Rejection { step, by: by.to_owned(), problem: error.to_string(), waited: false };
        {
            let mut inner = self.rejections.lock();
            if inner.starting.contains(&id) {
                return Err(error.into());
            }
            inner.rejected.insert(id, rejection);
        }
        // Only now: a start that ended before this is seen here, and none begins after.
        let state = self.parts.journal.store().read(|store| crate::store::tasks::state(store, id, None));
        let settled = match state {
            Ok(Some(state)) if from.contains(&state) => {
                if let Some(rejection) = self.rejections.lock().rejected.get_mut(&id) {
                    rejection.waited = state == State::PendingApproval;
                }
                None
            }
            Ok(Some(state)) => Some(DeskError::Settled(id, state)),
            Ok(None) => Some(DeskError::NotFound(id)),
            Err(unread) => Some(unread.into()),
        };
        if let Some(settled) = settled {
            self.rejections.lock().rejected.remove(&id);
            return Err(settled);
        }
        tracing::error!(task = %id, %error, "a rejection is in force but could not be saved");
        self.rejections.added.notify_one();
        self.wake();
        Err(DeskError::Unsaved(id, error.to_string()))
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
        let mut are_saved = true;
        for (id, Rejection { step, by, .. }) in all {
            let stored = store_step(Arc::clone(&self.parts.journal), step, by, Weight::Lenient).await;
            match stored {
                // Done, or the store says already what became of it.
                Ok(_) | Err(StoreError::Refused(_)) => {
                    self.rejections.lock().rejected.remove(&id);
                    self.wake();
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
        are_saved
    }
}
