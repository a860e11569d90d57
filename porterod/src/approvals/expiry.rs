//! Expires tasks, and removes tasks that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::names::Actor;
use tokio_util::sync::CancellationToken;

use super::queue::ApprovalQueue;
use super::transition::transition_record;
use crate::journal::AuditMode;
use crate::store::{Durability, StoreError, denials, tasks};

/// The longest sleep of the timer. The wall clock may be set while it sleeps, so it looks again after that.
const MAX_EXPIRY_SLEEP: Duration = Duration::from_secs(30);
/// How often old tasks are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

impl ApprovalQueue {
    /// Expires every overdue task and returns their number.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn expire_due(&self) -> Result<usize, StoreError> {
        let now = self.now();
        // An expiry narrows, so it applies even if its record can't be written.
        let expired = self.deps.journal.change(AuditMode::BestEffort, move |store| {
            let mut records = Vec::new();
            for id in tasks::due_ids(store, now)? {
                records.extend(transition_record(&tasks::expire_task(store, id, now)?, &Actor::Expiry, None));
            }
            Ok((records.len(), records))
        });
        let expired = expired.await?;
        if expired > 0 {
            self.notify_waiters();
        }
        Ok(expired)
    }

    /// Removes tasks that ended longer ago than the retention, and returns their number. The audit keeps its
    /// records of them.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn prune_ended_tasks(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let ago = |by: Duration| now.checked_sub(by).unwrap_or(Timestamp::MIN);
        let settings = self.deps.settings.load();
        // The cool-down has its own limit: a denial must outlive its task if the retention is shorter.
        let (ended, denied) = (ago(settings.retention), ago(settings.deny_cooldown));
        let store = self.deps.journal.store();
        let pruned = store.write(Durability::StoreSynced, move |store| {
            denials::prune_denials(store, denied, now)?;
            tasks::prune_ended(store, ended)
        });
        pruned.await
    }

    /// Removes old tasks at once and then every hour, until `stop`. The composition root spawns it.
    pub async fn run_pruning(self: Arc<Self>, stop: CancellationToken) {
        let pruning = async {
            loop {
                if let Err(error) = self.prune_ended_tasks().await {
                    tracing::warn!(%error, "old tasks could not be removed");
                }
                tokio::time::sleep(PRUNE_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(pruning).await;
    }

    /// Expires tasks as they fall due, until `stop`. The composition root spawns and joins it.
    pub async fn run_expiry(self: Arc<Self>, stop: CancellationToken) {
        let expiring = async {
            loop {
                if let Err(error) = self.expire_due().await {
                    tracing::error!(%error, "tasks could not be expired; every step checks that by itself");
                    tokio::time::sleep(MAX_EXPIRY_SLEEP).await;
                    continue;
                }
                match self.deps.journal.store().read(tasks::next_expiry) {
                    // Without a waiting task only a new one can fall due.
                    Ok(None) => self.task_opened.notified().await,
                    Ok(Some(at)) => {
                        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
                        let nap = left.clamp(Duration::from_millis(5), MAX_EXPIRY_SLEEP);
                        // Either is reason enough to look again.
                        let _ = tokio::time::timeout(nap, self.task_opened.notified()).await;
                    }
                    Err(_) => tokio::time::sleep(MAX_EXPIRY_SLEEP).await,
                }
            }
        };
        stop.run_until_cancelled(expiring).await;
    }
}
