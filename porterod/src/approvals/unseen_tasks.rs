//! What finished while no agent was there to see it.

use portero::names::{Principal, TaskId};
use portero::task::{Task, UnseenTasks};

use super::ApprovalQueue;
use crate::store::{Durability, StoreError, seen_tasks};

impl ApprovalQueue {
    /// The finished tasks of a principal that no agent has asked about.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unseen_tasks(&self, principal: &Principal) -> Result<UnseenTasks, StoreError> {
        let principal = principal.clone();
        self.deps.journal.store().read(move |store| seen_tasks::unseen_tasks(store, &principal))
    }

    /// Notes that an agent was told how these ended. Where that cannot be kept, a later session is told again.
    pub async fn mark_seen(&self, tasks: &[Task]) {
        let store = self.deps.journal.store();
        let is_new = |task: &TaskId| {
            let task = *task;
            store.read(move |store| seen_tasks::is_seen(store, task)).is_ok_and(|noted| !noted)
        };
        let finished = tasks.iter().filter(|task| task.state.is_final()).map(|task| task.id);
        let unheard: Vec<TaskId> = finished.filter(is_new).collect();
        if unheard.is_empty() {
            return;
        }
        let note = move |store: &rusqlite::Connection| {
            unheard.iter().try_for_each(|task| seen_tasks::mark_seen(store, *task))
        };
        if let Err(error) = store.write(Durability::StoreSynced, note).await {
            tracing::warn!(%error, "it could not be kept that an agent heard of a task");
        }
    }
}
