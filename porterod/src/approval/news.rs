//! What finished while no agent was there to see it.

use portero::names::{Principal, TaskId};
use portero::task::{News, Task};

use super::Desk;
use crate::store::{Records, StoreError, heard};

impl Desk {
    /// The finished tasks of a principal that no agent has asked about.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn news(&self, principal: &Principal) -> Result<News, StoreError> {
        let principal = principal.clone();
        self.parts.journal.store().read(move |store| heard::news(store, &principal))
    }

    /// Notes that an agent was told how these ended. Where that cannot be kept, a later session is told again.
    pub async fn heard(&self, tasks: &[Task]) {
        let store = self.parts.journal.store();
        let is_new = |task: &TaskId| {
            let task = *task;
            store.read(move |store| heard::is_noted(store, task)).is_ok_and(|noted| !noted)
        };
        let finished = tasks.iter().filter(|task| task.state.is_final()).map(|task| task.id);
        let unheard: Vec<TaskId> = finished.filter(is_new).collect();
        if unheard.is_empty() {
            return;
        }
        let note =
            move |store: &rusqlite::Connection| unheard.iter().try_for_each(|task| heard::note(store, *task));
        if let Err(error) = store.write(Records::None, note).await {
            tracing::warn!(%error, "it could not be kept that an agent heard of a task");
        }
    }
}
