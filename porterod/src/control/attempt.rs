//! Acts that were refused are written down too: whoever tries to widen leaves a trace.

use std::time::Duration;

use portero::config::duration::show;
use portero::ipc::{Acting, Ask, Failure, FailureKind};
use portero::policy::Action;

use crate::daemon::Daemon;
use crate::rules::grants_in_words;

/// An act, in the words of the audit.
pub(super) struct Attempt {
    act: &'static str,
    about: String,
}

impl Attempt {
    pub(super) const fn new(act: &'static str, about: String) -> Self {
        Self { act, about }
    }
}

/// The act that a question asks for; none where it only looks, or records by itself.
pub(super) fn of(ask: &Ask) -> Option<Attempt> {
    let (act, about) = match ask {
        Ask::Approve { task, .. } => ("approve", format!("task {task}")),
        Ask::RealTask { task, .. } => ("task real", format!("task {task}")),
        Ask::Reject { task, .. } => ("reject", format!("task {task}")),
        Ask::Again { task, .. } => ("again", format!("task {task}")),
        Ask::Grant { pattern, millis, limits, .. } => {
            ("grant", format!("{pattern} for {} {limits}", show(Duration::from_millis(*millis))))
        }
        Ask::Revoke(Acting::All) => ("revoke", "every grant".to_owned()),
        Ask::Revoke(Acting::On(ids)) => ("revoke", grants_in_words(ids)),
        Ask::Rule { pattern, action, .. } => match action {
            Action::Deny => ("deny", pattern.to_string()),
            Action::RequireApproval => ("ask", pattern.to_string()),
            Action::Allow => ("allow", pattern.to_string()),
        },
        Ask::Unrule { id, .. } => ("unrule", format!("rule {id}")),
        Ask::Pause => ("pause", "everything".to_owned()),
        Ask::Resume { .. } => ("resume", "everything".to_owned()),
        Ask::SetPassphrase { .. } => ("passphrase set", "the approval passphrase".to_owned()),
        Ask::OfferTotp { .. } | Ask::EnrollTotp { .. } => ("totp enroll", "the authenticator".to_owned()),
        Ask::RemoveTotp { .. } => ("totp remove", "the authenticator".to_owned()),
        Ask::TelegramPair { .. } => ("telegram pair", "the bot".to_owned()),
        Ask::TelegramUnpair { .. } => ("telegram unpair", "the bot".to_owned()),
        Ask::ConfirmConfig { .. } => ("config confirm", "the changed configuration".to_owned()),
        Ask::Stop => ("daemon stop", "the daemon".to_owned()),
        Ask::Status
        | Ask::Tasks { .. }
        | Ask::Find { .. }
        | Ask::Task { .. }
        | Ask::Look { .. }
        | Ask::Approvable { .. }
        | Ask::Watch { .. }
        | Ask::Rules
        | Ask::Unsaved
        | Ask::Config
        | Ask::PassphraseSalt
        | Ask::Heads
        | Ask::Head(_)
        | Ask::Why { .. }
        | Ask::Reach { .. }
        | Ask::Subscribe
        | Ask::Submit { .. }
        | Ask::Forward { .. }
        | Ask::LogLevel { .. }
        | Ask::Consume { .. }
        | Ask::Listing { .. }
        | Ask::CheckTask { .. }
        | Ask::ListTasks { .. }
        | Ask::News
        | Ask::CancelTask { .. } => return None,
    };
    Some(Attempt { act, about })
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
    by: &str,
    answered: Result<T, Failure>,
) -> Result<T, Failure> {
    if let (Some(Attempt { act, about }), Err(failure)) = (attempt, &answered)
        && !failed(failure.kind)
    {
        let about = daemon.anonymizer.load().conceal_text(&about).into_inner();
        // It is refused in any case; a record that cannot be written now follows.
        let _ = daemon.journal.record_act(act, &about, false, Some(by)).await;
    }
    answered
}
