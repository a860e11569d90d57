//! The tasks that run beside a session's requests.

use std::sync::Mutex;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// Owns the background tasks of a session, and its stop signal.
#[derive(Debug, Default)]
pub(super) struct Background {
    /// Cancelled when the session must end.
    pub(super) stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Background {
    /// Starts a task beside the requests. It ends with the session at the latest.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        // Reaps finished tasks, which would otherwise pile up until the session ends.
        while tasks.try_join_next().is_some() {}
        // Checked under the lock that `stop_all` takes after it cancelled, so no task starts after the
        // abort.
        if !self.stop.is_cancelled() {
            tasks.spawn(work);
        }
    }

    /// Ends all background tasks.
    pub(super) fn stop_all(&self) {
        self.stop.cancel();
        lock(&self.tasks).abort_all();
    }
}
