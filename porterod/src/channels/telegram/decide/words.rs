//! What is answered to a press: Portero's own words, of at most 200 characters, and never a value.

use portero::ipc::{Failure, FailureKind};
use portero::task::State;

use crate::taps::Deed;

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// What is said, if anything.
    pub(super) text: Option<&'static str>,
    /// Whether the person has to close it.
    pub(super) alert: bool,
}

impl Words {
    /// Nothing has to be said: what changes is seen.
    pub(super) const fn none() -> Self {
        Self { text: None, alert: false }
    }

    const fn passing(text: &'static str) -> Self {
        Self { text: Some(text), alert: false }
    }

    const fn alert(text: &'static str) -> Self {
        Self { text: Some(text), alert: true }
    }
}

pub(super) const USED: Words = Words::passing("This button was used already. Nothing was changed.");
pub(super) const UNSENT: Words = Words::passing("Not ready yet. Nothing was changed: press again.");
pub(super) const VOID: Words =
    Words::passing("This button does not count any more. Nothing was changed: look at the newest message.");
pub(super) const GONE: Words = Words::passing("This call is gone. Nothing was changed.");
pub(super) const LOCKED: Words =
    Words::alert("The configuration locks this tool: it can be approved once, and not permitted for longer.");
pub(super) const ANOTHER: Words = Words::alert(
    "Your approval does not count for this tool, so nothing was changed. The card says whose does. You may deny it.",
);
pub(super) const TWICE: Words =
    Words::passing("You approved this already, and nothing was changed. The others have to approve it too.");
pub(super) const COUNTED: Words =
    Words::passing("Your approval counts. It does not run yet: the card says who else has to approve it.");
pub(super) const DENIED_MEANWHILE: Words = Words::alert(
    "A rule denies this call now, so it would not run. Nothing was approved. Deny it, or lift the rule first.",
);
pub(super) const READ: Words = Words::passing("Now it can be approved.");
pub(super) const NO_DOCUMENT: Words = Words::alert(
    "The document has not arrived, so nothing was changed. Press again, or approve at the terminal.",
);
pub(super) const NO_TEXT: Words = Words::passing("A reason is a text. Answer the question once more.");
pub(super) const TOO_LATE_FOR_REASON: Words = Words::passing(
    "This came too late, twice, or from someone else. Nothing was changed: press a button on the card.",
);
pub(super) const NONE_WAITS: Words = Words::passing("None of these waits any more. Nothing was changed.");
pub(super) const ALL_DENIED: Words = Words::passing("Denied: everything in this list that still waited.");

/// All of it was done; `waits` says that everything is paused.
pub(super) const fn done(deed: Deed, waits: bool) -> Words {
    match (deed, waits) {
        (Deed::Approve | Deed::ApproveFor(_) | Deed::Allow, true) => {
            Words::alert("Approved, but everything is paused: it runs when that ends, if that is soon.")
        }
        (Deed::Approve, false) => Words::passing("Approved."),
        (Deed::ApproveFor(_), false) => Words::passing("Approved, and this tool is permitted for a while."),
        (Deed::Allow, false) => Words::passing("Approved, and this tool is always allowed from now on."),
        (Deed::Deny, _) => Words::passing("Denied. The same call may not ask again at once."),
        (Deed::DenyWithReason, _) => Words::passing("Denied. The agent reads your reason."),
        (Deed::Forbid, _) => Words::passing("Denied, and this tool is denied from now on."),
    }
}

/// The call was decided, and the rest was not done.
pub(super) const fn half(deed: Deed) -> Words {
    match deed {
        Deed::Approve | Deed::ApproveFor(_) | Deed::Allow => Words::alert(
            "This call is approved, but its tool is NOT permitted beyond it: that could not be stored.",
        ),
        Deed::Deny | Deed::DenyWithReason | Deed::Forbid => Words::alert(
            "This call is denied, but the rule against its tool may be lost when the daemon ends. Look at the disk.",
        ),
    }
}

/// Nothing was done, and the task is in this state now.
pub(super) const fn undone(state: Option<State>, failure: &Failure) -> Words {
    match (state, failure.kind) {
        (_, FailureKind::Internal) => Words::alert(
            "This could not be stored, so nothing was changed. Look at the disk, then press again.",
        ),
        (None, _) => GONE,
        (Some(State::PendingApproval), _) => USED,
        (Some(State::Approved | State::Executing), _) => {
            Words::passing("Too late: it was approved already. Nothing was changed.")
        }
        (Some(State::Completed | State::Failed | State::Interrupted), _) => {
            Words::passing("Too late: it was approved and ran already. Nothing was changed.")
        }
        (Some(State::Denied), _) => Words::passing("Too late: it was denied already. Nothing was changed."),
        (Some(State::Expired), _) => Words::passing("Too late: it has expired. Nothing was changed."),
        (Some(State::Cancelled), _) => {
            Words::passing("Too late: the agent took it back. Nothing was changed.")
        }
    }
}
