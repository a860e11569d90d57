//! Opening, settling, expiring, waiting.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Fake;
use portero::call::Call;
use portero::clock::Clock;
use portero::config::Approvals;
use portero::names::{Principal, TaskId};
use portero::pipeline::{self, BoxFuture, Context, Refusal, Reply};
use portero::policy::Policy;
use portero::server::Follow;
use portero::task::{State, Task};
use tokio_util::sync::CancellationToken;

use super::Grounds;
use crate::journal::Journal;
use crate::passphrase::Confirmed;
use crate::store::StoreError;

/// How a person, or a session, is told. The desk calls it and goes on at once: what takes time is queued by
/// the channel itself.
pub trait Channel: Send + Sync {
    /// A task waits for a person; it is on disk.
    fn opened(&self, task: &Task);

    /// A task is no longer to be decided, or reached a later state: every change after `opened`.
    fn changed(&self, task: &Task);
}

/// Why the desk did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeskError {
    /// There is no such task, or it is another principal's.
    #[error("there is no task {0}")]
    NotFound(TaskId),
    /// It is no longer (or not yet) in a state that this follows.
    #[error("task {0} is {1}")]
    Settled(TaskId, State),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only those of this principal.
    pub principal: Option<Principal>,
    /// Only those in this state.
    pub state: Option<State>,
    /// At most so many, the newest first.
    pub limit: u32,
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
}

/// Where calls wait for a person.
pub struct Desk {}

impl Desk {
    /// A desk with nobody told yet.
    #[must_use]
    pub fn new(parts: DeskParts) -> Arc<Self> {
        let _ = parts;
        todo!()
    }

    /// Tells `channel` from now on.
    pub fn tell(&self, channel: Arc<dyn Channel>) {
        let _ = channel;
        todo!()
    }

    /// A person says yes. The executor is woken.
    ///
    /// # Errors
    /// [`DeskError::Settled`] for everyone but the first.
    pub async fn approve(&self, task: TaskId, confirmed: Confirmed) -> Result<Task, DeskError> {
        let _ = (task, confirmed);
        todo!()
    }

    /// A person says no, also after a yes as long as it has not started.
    ///
    /// # Errors
    /// [`DeskError::Settled`] when it is too late.
    pub async fn reject(
        &self,
        task: TaskId,
        reason: Option<Fake<String>>,
        by: &str,
    ) -> Result<Task, DeskError> {
        let _ = (task, reason, by);
        todo!()
    }

    /// The agent takes its own task back.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] for another principal's.
    pub async fn cancel(&self, task: TaskId, principal: &Principal) -> Result<Task, DeskError> {
        let _ = (task, principal);
        todo!()
    }

    /// One task, whole. With a principal, only its own.
    ///
    /// # Errors
    /// [`DeskError::NotFound`].
    pub fn task(&self, task: TaskId, principal: Option<&Principal>) -> Result<Task, DeskError> {
        let _ = (task, principal);
        todo!()
    }

    /// Tasks, the newest first, without their results and errors.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, which: &Which) -> Result<Vec<Task>, StoreError> {
        let _ = which;
        todo!()
    }

    /// How many wait for a person.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pending(&self) -> Result<u64, StoreError> {
        todo!()
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
        let _ = (task, principal, most);
        todo!()
    }

    /// Expires whatever is due and tells how many were.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn expire_due(&self) -> Result<usize, StoreError> {
        todo!()
    }

    /// Expires tasks as they fall due, until `stop`. The composition root spawns and joins it.
    pub async fn run_timer(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop;
        todo!()
    }
}

impl pipeline::Desk for Desk {
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>> {
        let _ = (call, context);
        todo!()
    }

    fn forward<'a>(&'a self, call: Call, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply> {
        let _ = (call, context, follow);
        todo!()
    }
}
