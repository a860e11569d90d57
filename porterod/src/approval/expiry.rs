//! What time does to tasks: they expire, and what ended long ago is removed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::task::State;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use crate::journal::{Weight, about_task};
use crate::store::tasks::{self, Step, Stepped};
use crate::store::{Records, StoreError, denials, heard};

/// How long the timer sleeps at most, since the wall clock may be set while it does.
const NAP: Duration = Duration::from_secs(30);
/// How often old tasks are removed.
const HOUR: Duration = Duration::from_secs(3600);

impl Desk {
    /// Expires whatever is due and tells how many were.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn expire_due(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let expired = self.parts.journal.change(Weight::Lenient, move |store| {
            let mut expired = Vec::new();
            for id in tasks::due(store, now)? {
                // A step that no state begins only ever expires.
                match tasks::step(store, &Step::new(id, &[], State::Expired, now))? {
                    Stepped::Expired(task) => expired.push(task),
                    Stepped::Done(_) | Stepped::Elsewhere(_) | Stepped::Missing => {}
                }
            }
            let records = expired.iter().map(|task| about_task(task, "expiry", None)).collect();
            Ok((expired, records))
        });
        let expired = expired.await?;
        if !expired.is_empty() {
            self.wake();
        }
        Ok(expired.len())
    }

    /// Removes tasks that ended longer ago than they are kept, and tells how many. The audit still tells of them.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn prune(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let ago = |by: Duration| now.checked_sub(by).unwrap_or(Timestamp::MIN);
        let settings = self.parts.settings.load();
        let (ended, denied) = (ago(settings.keep), ago(settings.cool_down));
        let store = self.parts.journal.store();
        let pruned = store.write(Records::None, move |store| {
            denials::prune(store, denied, now)?;
            let pruned = tasks::prune(store, ended)?;
            heard::prune(store)?;
            Ok(pruned)
        });
        pruned.await
    }

    /// Removes what is no longer kept, at once and every hour, until `stop`. The composition root spawns it.
    pub async fn run_pruning(self: Arc<Self>, stop: CancellationToken) {
        let pruning = async {
            loop {
                if let Err(error) = self.prune().await {
                    tracing::warn!(%error, "old tasks could not be removed");
                }
                tokio::time::sleep(HOUR).await;
            }
        };
        stop.run_until_cancelled(pruning).await;
    }

    /// Expires tasks as they fall due, until `stop`. The composition root spawns and joins it.
    pub async fn run_timer(self: Arc<Self>, stop: CancellationToken) {
        let expiring = async {
            loop {
                if let Err(error) = self.expire_due().await {
                    tracing::error!(%error, "tasks could not be expired; every step checks that by itself");
                    tokio::time::sleep(NAP).await;
                    continue;
                }
                match self.parts.journal.store().read(tasks::next_expiry) {
                    Ok(None) => self.opened.notified().await,
                    Ok(Some(at)) => {
                        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
                        let nap = left.clamp(Duration::from_millis(5), NAP);
                        // Either is reason enough to look again.
                        let _ = tokio::time::timeout(nap, self.opened.notified()).await;
                    }
                    Err(_) => tokio::time::sleep(NAP).await,
                }
            }
        };
        stop.run_until_cancelled(expiring).await;
    }
}
