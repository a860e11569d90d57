//! An act of a person at a terminal that changed nothing here is written down.

use portero::audit::{Event, Record};
use portero::ipc::{Failure, FailureKind, Reply};

use super::failure;
use crate::daemon::Daemon;

/// Only acts, and as the daemon sees them: when it is and which process asks are its own words.
pub(super) fn answer(daemon: &Daemon, by: &str, record: Record) -> Result<Reply, Failure> {
    let Event::Act { act, about, done, .. } = record.event else {
        return Err(Failure::new(FailureKind::Invalid, "only a person's act can be recorded"));
    };
    let about = daemon.anonymizer.load().conceal_text(&about).into_inner();
    let recorded = daemon.journal.record_act(&act, &about, done, Some(by));
    recorded.map(|()| Reply::Changed(1)).map_err(|error| failure::of_store(&error))
}
