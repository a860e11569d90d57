//! What went wrong, in the words and kinds of the socket.

use portero::ipc::{Failure, FailureKind};
use portero::pipeline::Refusal;

use crate::approval::DeskError;
use crate::passphrase::PassphraseError;
use crate::rules::RulesError;
use crate::store::StoreError;

pub(crate) fn of_store(error: &StoreError) -> Failure {
    let kind = match error {
        StoreError::Refused(_) => FailureKind::Refused,
        StoreError::Busy(_) => FailureKind::Busy,
        StoreError::Unopened { .. } | StoreError::Failed(_) | StoreError::Audit(_) => FailureKind::Storage,
        StoreError::Corrupt { .. } | StoreError::Newer { .. } => FailureKind::Internal,
    };
    error.advice().into_iter().fold(Failure::new(kind, error.to_string()), Failure::with_hint)
}

pub(super) fn of_desk(error: &DeskError) -> Failure {
    match error {
        DeskError::NotFound(_) => Failure::new(FailureKind::NotFound, error.to_string())
            .with_hint("see the tasks with `portero tasks`"),
        DeskError::Settled(..) => Failure::new(FailureKind::Refused, error.to_string()),
        DeskError::Void(..) => Failure::new(FailureKind::Void, error.to_string()).with_hint(
            "`portero reject ID --no-cool-down` ends it; you are asked anew when the agent makes the same call again",
        ),
        DeskError::Unconfirmed(_) => Failure::new(FailureKind::Challenge, error.to_string()),
        DeskError::Vote(_) => Failure::new(FailureKind::Refused, error.to_string())
            .with_hint("`portero reject ID` refuses it from here, alone"),
        DeskError::Unsaved(..) => Failure::new(FailureKind::Unsaved, error.to_string())
            .with_hint("it is saved by itself once that is possible; `portero status` tells"),
        DeskError::Store(error) => of_store(error),
    }
}

pub(super) fn of_rules(error: &RulesError) -> Failure {
    match error {
        RulesError::NotFound { .. } => Failure::new(FailureKind::NotFound, error.to_string())
            .with_hint("see rules and grants with `portero rules`"),
        RulesError::NeedsConfirmation | RulesError::TooWide => {
            Failure::new(FailureKind::Challenge, error.to_string())
        }
        RulesError::Duration(_) | RulesError::NotCovered(_) | RulesError::Over => {
            Failure::new(FailureKind::Refused, error.to_string())
        }
        RulesError::NotKept(_) => Failure::new(FailureKind::Unsaved, error.to_string())
            .with_hint("it is saved by itself once that is possible; `portero rules` marks it until then"),
        RulesError::Store(error) => of_store(error),
    }
}

pub(super) fn of_passphrase(error: &PassphraseError) -> Failure {
    match error {
        PassphraseError::Unset
        | PassphraseError::Missing
        | PassphraseError::Wrong { .. }
        | PassphraseError::Paused(_) => Failure::new(FailureKind::Challenge, error.to_string()),
        PassphraseError::CodeMissing => Failure::new(FailureKind::Challenge, error.to_string())
            .with_hint("type the code that your authenticator shows, or a recovery code"),
        PassphraseError::CodeWrong { .. } | PassphraseError::FirstCode => {
            Failure::new(FailureKind::Challenge, error.to_string()).with_hint(
                "see that the clocks of this machine and of your phone are right, then type the next code",
            )
        }
        PassphraseError::CodeUsed => Failure::new(FailureKind::Challenge, error.to_string())
            .with_hint("each code counts once: wait for the next one, half a minute at most; where this machine's clock was ahead \
                       when the last one was used, a recovery code helps"),
        PassphraseError::Sealed => Failure::new(FailureKind::Challenge, error.to_string())
            .with_hint("put back the store from a copy; until then nothing wide is confirmed"),
        PassphraseError::Outdated => Failure::new(FailureKind::Challenge, error.to_string()).with_hint(
            "`portero totp remove` removes it with the passphrase alone; then enrol it anew with `portero totp enroll`",
        ),
        PassphraseError::Enrolled(_) => Failure::new(FailureKind::Refused, error.to_string())
            .with_hint("remove it first with `portero totp remove`"),
        PassphraseError::NotEnrolled | PassphraseError::NotOffered => {
            Failure::new(FailureKind::Refused, error.to_string())
                .with_hint("enrol one with `portero totp enroll`")
        }
        PassphraseError::Weak => Failure::new(FailureKind::Invalid, error.to_string()),
        PassphraseError::Store(error) => of_store(error),
    }
}

pub(super) fn of_refusal(refusal: &Refusal) -> Failure {
    let kind = match refusal {
        Refusal::Denied(_) | Refusal::Declined(_) | Refusal::Cancelled | Refusal::Withheld(_) => {
            FailureKind::Refused
        }
        Refusal::Unknown(_) => FailureKind::NotFound,
        Refusal::Invalid(_) => FailureKind::Invalid,
        Refusal::Server(_) => FailureKind::Server,
        Refusal::Interrupted(_) => FailureKind::Interrupted,
        Refusal::Malformed(_) => FailureKind::Malformed,
        Refusal::NoDesk(_) | Refusal::NoAudit => FailureKind::Internal,
    };
    Failure::new(kind, refusal.to_string())
}
