//! Maps errors to the kinds of failures on the socket, with hints.

use portero::ipc::{DaemonFailure, FailureKind};
use portero::pipeline::Refusal;

use crate::access_tokens::AccessTokensError;
use crate::approvals::ApprovalError;
use crate::approved_config::ConfirmConfigError;
use crate::auth::passphrase::PassphraseError;
use crate::overrides::OverridesError;
use crate::store::StoreError;

pub(crate) fn of_store(error: &StoreError) -> DaemonFailure {
    let kind = match error {
        StoreError::Refused(_) => FailureKind::Refused,
        StoreError::Busy(_) => FailureKind::Busy,
        StoreError::Unopened { .. }
        | StoreError::Failed(_)
        | StoreError::Audit(_)
        | StoreError::Seal { .. } => FailureKind::Storage,
        StoreError::Corrupt { .. } | StoreError::Newer { .. } => FailureKind::Internal,
    };
    error.advice().into_iter().fold(DaemonFailure::new(kind, error.to_string()), DaemonFailure::with_hint)
}

pub(super) fn of_access_tokens(error: &AccessTokensError) -> DaemonFailure {
    let list = "see the tokens with `portero token list`";
    match error {
        AccessTokensError::NotFound(_) => {
            DaemonFailure::new(FailureKind::NotFound, error.to_string()).with_hint(list)
        }
        AccessTokensError::Taken(name) => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint(format!("take another name, or end that one with `portero token revoke {name}`")),
        AccessTokensError::TooMany => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint("end those that are not used: `portero token list`, `portero token revoke NAME`"),
        AccessTokensError::TooLong => DaemonFailure::new(FailureKind::Invalid, error.to_string()),
        AccessTokensError::NotConfirmed => DaemonFailure::new(FailureKind::Challenge, error.to_string()),
        AccessTokensError::NotSaved(_) => DaemonFailure::new(FailureKind::Unsaved, error.to_string())
            .with_hint("run this again once the disk can be written"),
        AccessTokensError::Store(error) => of_store(error),
    }
}

pub(super) fn of_approval(error: &ApprovalError) -> DaemonFailure {
    match error {
        ApprovalError::NotFound(_) => DaemonFailure::new(FailureKind::NotFound, error.to_string())
            .with_hint("see the tasks with `portero tasks`"),
        ApprovalError::WrongState(..) => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        ApprovalError::Void(..) => DaemonFailure::new(FailureKind::Void, error.to_string()).with_hint(
            "`portero reject ID --no-cool-down` ends it; you are asked again when the agent makes the same call again",
        ),
        ApprovalError::OtherProcess(..) => DaemonFailure::new(FailureKind::OtherProcess, error.to_string()).with_hint(
            "`portero approve ID --fresh` runs it in another process; `portero reject ID --no-cool-down` ends it",
        ),
        ApprovalError::Unauthorized(_) => DaemonFailure::new(FailureKind::Challenge, error.to_string()),
        ApprovalError::SeveralPeople(_) => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        ApprovalError::Vote(_) => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint("`portero reject ID` refuses it from here, alone"),
        ApprovalError::Unsaved(..) => DaemonFailure::new(FailureKind::Unsaved, error.to_string())
            .with_hint("it is saved by itself once that is possible; `portero status` tells"),
        ApprovalError::Store(error) => of_store(error),
    }
}

pub(super) fn of_overrides(error: &OverridesError) -> DaemonFailure {
    match error {
        OverridesError::NotFound { .. } => DaemonFailure::new(FailureKind::NotFound, error.to_string())
            .with_hint("see rules and grants with `portero rules`"),
        OverridesError::DefinitionsChanged(_) => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint("look again with `portero pins`"),
        OverridesError::NeedsConfirmation | OverridesError::OtherConfirmed => {
            DaemonFailure::new(FailureKind::Challenge, error.to_string())
        }
        OverridesError::InvalidDuration(_) | OverridesError::NotCovered(_) | OverridesError::GrantOver => {
            DaemonFailure::new(FailureKind::Refused, error.to_string())
        }
        OverridesError::NotSaved(_) => DaemonFailure::new(FailureKind::Unsaved, error.to_string())
            .with_hint("it is saved by itself once that is possible; `portero rules` marks it until then"),
        OverridesError::Store(error) => of_store(error),
    }
}

pub(super) fn of_passphrase(error: &PassphraseError) -> DaemonFailure {
    match error {
        PassphraseError::Unset
        | PassphraseError::Missing
        | PassphraseError::Wrong { .. }
        | PassphraseError::Paused(_) => DaemonFailure::new(FailureKind::Challenge, error.to_string()),
        PassphraseError::CodeMissing => DaemonFailure::new(FailureKind::Challenge, error.to_string())
            .with_hint("type the code that your authenticator shows, or a recovery code"),
        PassphraseError::CodeWrong { .. } | PassphraseError::WrongFirstCode => {
            DaemonFailure::new(FailureKind::Challenge, error.to_string()).with_hint(
                "see that the clocks of this machine and of your phone are right, then type the next code",
            )
        }
        PassphraseError::CodeUsed => DaemonFailure::new(FailureKind::Challenge, error.to_string())
            .with_hint("each code counts once: wait for the next one, half a minute at most; where this machine's clock was ahead \
                       when the last one was used, a recovery code helps"),
        PassphraseError::CannotUnseal => DaemonFailure::new(FailureKind::Challenge, error.to_string())
            .with_hint("put back the store from a copy; until then nothing wide is confirmed"),
        PassphraseError::Outdated => DaemonFailure::new(FailureKind::Challenge, error.to_string()).with_hint(
            "`portero totp remove` removes it with the passphrase alone; then enrol a new one with `portero totp enroll`",
        ),
        PassphraseError::Enrolled(_) => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint("remove it first with `portero totp remove`"),
        PassphraseError::NotEnrolled | PassphraseError::NotOffered => {
            DaemonFailure::new(FailureKind::Refused, error.to_string())
                .with_hint("enrol one with `portero totp enroll`")
        }
        PassphraseError::WeakDerivation => DaemonFailure::new(FailureKind::Invalid, error.to_string()),
        PassphraseError::Store(error) => of_store(error),
    }
}

pub(super) fn of_confirm_config(error: &ConfirmConfigError) -> DaemonFailure {
    let refused = |hint: &str| DaemonFailure::new(FailureKind::Refused, error.to_string()).with_hint(hint);
    match error {
        ConfirmConfigError::Changed => refused("look again with `portero config diff`"),
        ConfirmConfigError::NothingWaits => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        ConfirmConfigError::Invalid => refused("run `portero check`"),
        ConfirmConfigError::Unreadable(_) => refused("run `portero check`"),
        ConfirmConfigError::Store(error) => of_store(error),
    }
}

pub(crate) fn of_refusal(refusal: &Refusal) -> DaemonFailure {
    let kind = match refusal {
        Refusal::Denied(_) | Refusal::Declined(_) | Refusal::Cancelled | Refusal::Withheld(_) => {
            FailureKind::Refused
        }
        Refusal::Unknown(_) => FailureKind::NotFound,
        Refusal::Invalid(_) => FailureKind::Invalid,
        Refusal::ServerUnavailable(_) => FailureKind::Server,
        Refusal::Interrupted(_) => FailureKind::Interrupted,
        Refusal::Malformed(_) => FailureKind::Malformed,
        Refusal::DaemonUnavailable(_) | Refusal::AuditUnavailable => FailureKind::Internal,
    };
    DaemonFailure::new(kind, refusal.to_string())
}
