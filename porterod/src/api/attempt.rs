//! Records refused acts: an attempt to widen leaves a trace too.

use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::Actor;

use crate::daemon::Daemon;

/// An act that a person or an agent tried, as the audit names it.
pub struct Attempt {
    pub(super) word: String,
    pub(super) about: String,
}

impl From<&Act> for Attempt {
    fn from(act: &Act) -> Self {
        Self { word: act.word().to_owned(), about: act.about() }
    }
}

/// Whether the daemon failed at the act, which is no refusal.
pub(super) const fn failed(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Busy | FailureKind::Storage | FailureKind::Unsaved | FailureKind::Internal => true,
        FailureKind::Version
        | FailureKind::Configuration
        | FailureKind::Invalid
        | FailureKind::NotFound
        | FailureKind::Refused
        | FailureKind::Void
        | FailureKind::OtherProcess
        | FailureKind::Challenge
        | FailureKind::Server
        | FailureKind::Interrupted
        | FailureKind::Malformed => false,
    }
}

/// Returns the answer, after a refusal was recorded. A mere failure, such as a full disk, is no refusal.
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
        // The act is refused in any case. A record that can't be written now is written later.
        let _ = daemon.journal.record_act(&word, &about, false, Some(by)).await;
    }
    answered
}
