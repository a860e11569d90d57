//! Named points in a task's life, in a grant's, and on the way of a message and of a tap, at which a test kills this process. Only this crate's own tests are built with
//! them, never a program.

use portero::audit::{Event, Record};

/// Which point is to be the last; none outside the harness.
pub(crate) const LAST: &str = "PORTERO_TEST_CRASH_AT";

/// How far a change of a task's state, or the use of a grant, has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// It is made in the transaction.
    Changed,
    /// Its record is in the audit, and nothing is synced or committed.
    Recorded,
    /// Store and audit are on the disk, and nobody was told.
    Committed,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Recorded => "recorded",
            Self::Committed => "committed",
        }
    }
}

/// The point `STAGE STATE`, as `recorded executing`, or `STAGE use`.
pub(crate) fn reached_change(stage: Stage, records: &[Record]) {
    for record in records {
        match &record.event {
            Event::Task { state, .. } => reached(&format!("{} {state}", stage.as_str())),
            Event::Interrupted { .. } => reached(&format!("{} close", stage.as_str())),
            Event::Act { act, .. } if act == "use" || act == "vote" => {
                reached(&format!("{} {act}", stage.as_str()));
            }
            _ => {}
        }
    }
}

/// Ends the process as `kill -9` does, if this is to be the last point.
pub(crate) fn reached(point: &str) {
    if std::env::var(LAST).is_ok_and(|last| last == point) {
        #[cfg(unix)]
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        std::process::abort();
    }
}

#[cfg(all(test, unix))]
mod tests;
