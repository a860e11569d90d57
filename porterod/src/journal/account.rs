//! What a change says of itself: to the audit, and to people.

use portero::audit::{Event, Record};
use portero::notice::Notice;

/// The records and the notices of one change.
///
/// Made from its records: people are told of every task that a record says came into a state, so that no step
/// of a task is made without.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(super) records: Vec<Record>,
    pub(super) notices: Vec<Notice>,
}

impl Account {
    /// With what people are told beside its tasks.
    pub(crate) fn and(mut self, notices: impl IntoIterator<Item = Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl From<Vec<Record>> for Account {
    fn from(records: Vec<Record>) -> Self {
        let notices = records.iter().filter_map(|record| of_task(&record.event)).collect();
        Self { records, notices }
    }
}

fn of_task(event: &Event) -> Option<Notice> {
    match event {
        Event::Task { task, tool, state, by, note } => Some(Notice::Task {
            task: *task,
            tool: tool.clone(),
            state: *state,
            by: by.clone(),
            note: note.clone(),
        }),
        Event::Intent { .. }
        | Event::Outcome { .. }
        | Event::Interrupted { .. }
        | Event::Refused { .. }
        | Event::Act { .. }
        | Event::Config { .. }
        | Event::Continued { .. }
        | Event::Removed { .. }
        | Event::Process { .. } => None,
    }
}
