//! What is answered to a press: Portero's own words, of at most 200 characters, and never a value.

use std::borrow::Cow;

use portero::ipc::{Failure, FailureKind};
use portero::names::ToolId;
use portero::task::State;

use crate::approval::ListRejection;
use crate::taps::Deed;

/// How long an answer may be, in characters (Bot API, `answerCallbackQuery`).
const MOST: usize = 200;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// What is said, if anything.
    pub(super) text: Option<Cow<'static, str>>,
    /// Whether the person has to close it.
    pub(super) alert: bool,
}

impl Words {
    /// Nothing has to be said: what changes is seen.
    pub(super) const fn none() -> Self {
        Self { text: None, alert: false }
    }

    const fn passing(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: false }
    }

    const fn alert(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: true }
    }
}

/// It failed before, and something that was said later is done: what widens must not come after that.
pub(super) const OVERTAKEN: Words = Words::alert(
    "This could not be done at once, and what you said since was. Nothing more was changed: tap it again.",
);
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
const NONE_WAITS: Words = Words::passing("None of these waits any more. Nothing was changed.");

/// What the button against all calls of a list did.
pub(super) fn list_denied(ListRejection { denied, expired, unsaved }: ListRejection) -> Words {
    if unsaved.is_some() {
        let text = format!(
            "Denied {denied}. That is in force, but not saved yet: look at the disk of the computer."
        );
        return Words { text: Some(Cow::Owned(text)), alert: true };
    }
    let text = match (denied, expired) {
        (0, 0) => return NONE_WAITS,
        (0, expired) => format!("Nothing was denied: {expired} had expired."),
        (denied, 0) => format!("Denied {denied}."),
        (denied, expired) => format!("Denied {denied}; {expired} had expired."),
    };
    Words { text: Some(Cow::Owned(text)), alert: false }
}

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

/// The call was decided, and the rest was not done, for this reason.
pub(super) const fn half(deed: Deed, why: FailureKind) -> Words {
    match (deed, why) {
        (Deed::ApproveFor(_), FailureKind::Refused) => Words::alert(
            "This call is approved. The time for which its tool was to be permitted is over since you pressed.",
        ),
        (Deed::Approve | Deed::ApproveFor(_) | Deed::Allow, _) => Words::alert(
            "This call is approved, but its tool is NOT permitted beyond it: that could not be stored.",
        ),
        (Deed::Deny | Deed::DenyWithReason | Deed::Forbid, _) => Words::alert(
            "This call is denied, but the rule against its tool may be lost when the daemon ends. Look at the disk.",
        ),
    }
}

/// A yes would not make the call run, for this reason.
fn would_not_run(why: &str) -> Words {
    const END: &str = ". Nothing was approved. Deny it; the agent may ask anew.";
    let room = MOST - END.chars().count();
    let why = match why.char_indices().nth(room) {
        Some((end, _)) => &why[..end],
        None => why,
    };
    Words { text: Some(Cow::Owned(format!("{why}{END}"))), alert: true }
}

/// As [`undone`], for someone who wanted the tool to be denied from now on: how that is done.
pub(super) fn undone_for_good(words: Words, tool: &ToolId) -> Words {
    let said = words.text.unwrap_or_default();
    let how = [format!("/deny {tool}"), "/deny and its name".to_owned()]
        .map(|command| format!("{said} To deny its tool from now on, write {command}"));
    let text = how.into_iter().find(|text| text.chars().count() <= MOST).map(Cow::Owned).unwrap_or(said);
    Words { text: Some(text), alert: true }
}

/// Nothing was done, and the task is in this state now.
pub(super) fn undone(state: Option<State>, failure: &Failure) -> Words {
    match (state, failure.kind) {
        (_, FailureKind::Unsaved) => Words::alert(
            "Done, and in force. It could not be saved yet, and may be lost if Portero ends now: look at the disk.",
        ),
        (_, FailureKind::Busy) => Words::alert(
            "Another program holds Portero's store, so nothing was changed. Close it, then press again.",
        ),
        (_, FailureKind::Internal | FailureKind::Storage) => Words::alert(
            "This could not be stored, so nothing was changed. Look at the disk, then press again.",
        ),
        (_, FailureKind::Void) => would_not_run(&failure.message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wanted_to_deny_a_tool_too_late_is_told_how() {
        let failure = Failure::new(FailureKind::Refused, "settled");
        let words = |tool: &str| {
            let undone = undone(Some(State::Completed), &failure);
            undone_for_good(undone, &tool.parse().unwrap()).text.unwrap().into_owned()
        };
        let late = "Too late: it was approved and ran already. Nothing was changed.";
        assert_eq!(words("mail/send"), format!("{late} To deny its tool from now on, write /deny mail/send"));
        let long = words(&format!("{}/{}", "s".repeat(64), "t".repeat(128)));
        assert_eq!(long, format!("{late} To deny its tool from now on, write /deny and its name"));
    }
}
