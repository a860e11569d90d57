//! Acts that were refused are recorded too: an attempt to widen leaves a trace.

use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::Actor;

use crate::daemon::Daemon;

/// An act that a person or an agent tried, in the words of the audit.
pub struct Attempt {
    pub(super) word: String,
    pub(super) about: String,
}

impl From<&Act> for Attempt {
    fn from(act: &Act) -> Self {
        Self { word: act.word().to_owned(), about: act.about() }
    }
}

/// Whether the daemon could not do it, which is no refusal.
pub(super) const fn failed(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Busy | FailureKind::Storage | FailureKind::Unsaved | FailureKind::Internal => true,
        FailureKind::Version
        | FailureKind::Configuration
        | FailureKind::Invalid
        | FailureKind::NotFound
        | FailureKind::Refused
        | FailureKind::Void
        | FailureKind::Challenge
        | FailureKind::Server
        | FailureKind::Interrupted
        | FailureKind::Malformed => false,
    }
}

/// Gives the answer back, after writing down that the attempt was refused, if it was. What merely failed, such
/// as on a full disk, is no refusal.
pub(super) async fn written_down<T>(
    daemon: &Daemon,
    attempt: Option<Attempt>,
    by: &Actor,
    answered: Result<T, DaemonFailure>,
) -> Result<T, DaemonFailure> {
    if let (Some(Attempt { word, about }), Err(failure)) = (attempt, &answered)
        && !failed(failure.kind)
    {
        let about = daemon.anonymizer.load().conceal_text(&about).into_inner();
        // It is refused in any case; a record that cannot be written now follows.
        let _ = daemon.journal.record_act(&word, &about, false, Some(by)).await;
    }
    answered
}
