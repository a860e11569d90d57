//! Named points in a task's life, in a grant's, and on the way of a message and of a tap, at which a test kills this process. Only this crate's own tests are built with
//! them, never a program.

use portero::audit::{AuditEvent, AuditRecord};

/// Which point is to be the last; none outside the harness.
pub(crate) const CRASH_POINT_VARIABLE: &str = "PORTERO_TEST_CRASH_AT";

/// How far a change of a task's state, or the use of a grant, has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChangeStage {
    /// It is made in the transaction.
    Changed,
    /// Its record is in the audit, and nothing is synced or committed.
    Recorded,
    /// Store and audit are on the disk, and nobody was told.
    Committed,
}

impl ChangeStage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Recorded => "recorded",
            Self::Committed => "committed",
        }
    }
}

/// The point `STAGE STATE_TAMPERINGS`, as `recorded executing`, or `STAGE use`.
pub(crate) fn crash_at_change(stage: ChangeStage, records: &[AuditRecord]) {
    for record in records {
        match &record.event {
            AuditEvent::Task { state, .. } => crash_at(&format!("{} {state}", stage.as_str())),
            AuditEvent::Interrupted { .. } => crash_at(&format!("{} close", stage.as_str())),
            AuditEvent::Act { act, .. } if act == "use" || act == "vote" => {
                crash_at(&format!("{} {act}", stage.as_str()));
            }
            _ => {}
        }
    }
}

/// Ends the process as `kill -9` does, if this is to be the last point.
pub(crate) fn crash_at(point: &str) {
    if std::env::var(CRASH_POINT_VARIABLE).is_ok_and(|last| last == point) {
        #[cfg(unix)]
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        std::process::abort();
    }
}

#[cfg(all(test, unix))]
mod tests;
