//! Runs what a person approved, once (guarantee A2).
//!
//! A task is durably `executing` before the first byte of its call leaves; what is found `executing` at a
//! start was interrupted, and is never run again.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::clock::Clock;
use portero::permit::Permitted;
use portero::pipeline::{BoxFuture, Context, Pipeline, Reply};
use portero::policy::Policy;
use portero::server::Follow;
use tokio_util::sync::CancellationToken;

use crate::approval::{Desk, Grounds};
use crate::journal::Journal;
use crate::store::StoreError;

/// What makes a permitted call: the daemon's pipeline, or several of them, one for each directory.
pub trait Runner: Send + Sync {
    /// [`Pipeline::finish`].
    fn run<'a>(&'a self, permitted: Permitted, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply>;
}

/// What an executor is made of.
pub struct ExecutorParts {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// Where tasks come from.
    pub desk: Arc<Desk>,
    /// What calls stand on; asked again before each.
    pub grounds: Arc<dyn Grounds>,
    /// What makes the calls.
    pub runner: Arc<dyn Runner>,
    /// The daemon's own policy, configuration and standing together.
    pub policy: Arc<ArcSwap<Policy>>,
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
pub struct Executor {}

impl Executor {
    /// An executor that does nothing yet.
    #[must_use]
    pub fn new(parts: ExecutorParts) -> Arc<Self> {
        let _ = parts;
        todo!()
    }

    /// At a start, before anything else: what was running is interrupted.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        todo!()
    }

    /// Runs approved tasks until `stop`, then takes back what runs and returns when that ended. The
    /// composition root spawns and joins it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop;
        todo!()
    }
}

impl Runner for Pipeline {
    fn run<'a>(&'a self, permitted: Permitted, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply> {
        Box::pin(self.finish(permitted, context, follow))
    }
}
