//! Which definition each waiting card shows, so that a card is drawn again once it shows an outdated one.

use std::collections::HashMap;
use std::sync::Mutex;

use portero::ipc::InspectedTask;
use portero::names::TaskId;
use portero::policy::definition_pins::WaitingDigest;
use portero::sync::lock;

use super::sender::MessageKey;
use crate::api;
use crate::daemon::Daemon;

/// The definitions on the cards that were drawn in this process.
#[derive(Debug, Default)]
pub(super) struct DrawnDefinitions(Mutex<HashMap<TaskId, Option<WaitingDigest>>>);

impl DrawnDefinitions {
    /// Notes what a task's card is drawn with. Call it before the card is drawn: a change during that shows.
    pub(super) fn note(&self, look: &InspectedTask) {
        lock(&self.0).insert(look.task.id, shown_definition(look));
    }

    /// Forgets a card that asks no more.
    pub(super) fn forget(&self, task: TaskId) {
        lock(&self.0).remove(&task);
    }

    /// The tasks whose cards show another definition than the one that waits now.
    pub(super) fn find_outdated(&self, daemon: &Daemon) -> Vec<TaskId> {
        let drawn: Vec<_> = lock(&self.0).iter().map(|(task, shown)| (*task, *shown)).collect();
        let differs = |(task, shown): &(TaskId, Option<WaitingDigest>)| {
            api::look(daemon, *task).is_ok_and(|look| shown_definition(&look) != *shown)
        };
        drawn.into_iter().filter(differs).map(|(task, _)| task).collect()
    }
}

/// The key of a card's document. One that shows another definition is another document.
pub(super) fn document_key(look: &InspectedTask) -> MessageKey {
    match shown_definition(look) {
        None => MessageKey::new("document", look.task.id),
        Some(shown) => MessageKey::new("document", format!("{}:{}", look.task.id, String::from(shown))),
    }
}

fn shown_definition(look: &InspectedTask) -> Option<WaitingDigest> {
    look.definition.as_ref().map(|definition| definition.shown)
}
