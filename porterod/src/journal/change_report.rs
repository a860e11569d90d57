//! What a change says of itself: to the audit, and to people.

use portero::audit::{AuditEvent, AuditRecord};
use portero::notice::Notice;

/// The records and the notices of one change.
///
/// Made from its records: people are told of every task that a record says came into a state, so that no step
/// of a task is made without.
#[derive(Debug, Default)]
pub(crate) struct ChangeReport {
    pub(super) records: Vec<AuditRecord>,
    pub(super) notices: Vec<Notice>,
}

impl ChangeReport {
    /// With what people are told beside its tasks.
    pub(crate) fn with_notices(mut self, notices: impl IntoIterator<Item = Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl From<Vec<AuditRecord>> for ChangeReport {
    fn from(records: Vec<AuditRecord>) -> Self {
        let notices = records.iter().filter_map(|record| task_notice(&record.event)).collect();
        Self { records, notices }
    }
}

fn task_notice(event: &AuditEvent) -> Option<Notice> {
    match event {
        AuditEvent::Task { task, tool, state, by, note } => Some(Notice::Task {
            task: *task,
            tool: tool.clone(),
            state: *state,
            by: by.clone(),
            note: note.clone(),
        }),
        AuditEvent::Intent { .. }
        | AuditEvent::Outcome { .. }
        | AuditEvent::Interrupted { .. }
        | AuditEvent::Refused { .. }
        | AuditEvent::Act { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => None,
    }
}
