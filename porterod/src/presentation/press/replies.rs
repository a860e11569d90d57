//! The replies to presses: Portero's own words in a sentence or two, never a value.

use std::borrow::Cow;

use portero::ipc::{DaemonFailure, FailureKind};
use portero::names::ToolId;
use portero::task::TaskState;

use crate::approvals::ListRejection;
use crate::auth::buttons::TaskDecision;

/// A reply to a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PressReply {
    /// Its text, if any.
    pub(crate) text: Option<Cow<'static, str>>,
    /// Whether the person has to close it.
    pub(crate) alert: bool,
}

impl PressReply {
    /// A reply without text, because the card shows the change.
    pub(crate) const fn silent() -> Self {
        Self { text: None, alert: false }
    }

    /// A reply that disappears by itself.
    pub(crate) const fn brief(text: String) -> Self {
        Self { text: Some(Cow::Owned(text)), alert: false }
    }

    const fn toast(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: false }
    }

    pub(crate) const fn alert(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: true }
    }
}

/// The press failed at first, and a later one has been handled since. A widening act must not come after
/// that.
pub(crate) const OVERTAKEN: PressReply = PressReply::alert(
    "This could not be done at once, and what you said since was. Nothing more was changed: tap it again.",
);
pub(crate) const BUTTON_USED: PressReply =
    PressReply::toast("This button was used already. Nothing was changed.");
pub(crate) const NOT_SENT_YET: PressReply =
    PressReply::toast("Not ready yet. Nothing was changed: press again.");
pub(crate) const BUTTON_VOID: PressReply = PressReply::toast(
    "This button does not count any more. Nothing was changed: look at the newest message.",
);
pub(crate) const TASK_GONE: PressReply = PressReply::toast("This call is gone. Nothing was changed.");
pub(crate) const TOOL_LOCKED: PressReply = PressReply::alert(
    "The configuration locks this tool: it can be approved once, and not permitted for longer.",
);
pub(crate) const VOTE_NOT_COUNTED: PressReply = PressReply::alert(
    "Your approval does not count for this tool, so nothing was changed. The card says whose does. You may deny it.",
);
pub(crate) const ALREADY_VOTED: PressReply = PressReply::toast(
    "You approved this already, and nothing was changed. The others have to approve it too.",
);
pub(crate) const VOTE_COUNTED: PressReply =
    PressReply::toast("Your approval counts. It does not run yet: the card says who else has to approve it.");
/// The card is drawn again, and shows what the button would allow now.
pub(crate) const PREVIEW_CHANGED: PressReply = PressReply::alert(
    "What this would allow has changed since you were shown it. Nothing was approved: look at the card again.",
);
pub(crate) const DOCUMENT_READ: PressReply = PressReply::toast("Now it can be approved.");
pub(crate) const DOCUMENT_MISSING: PressReply = PressReply::alert(
    "The document has not arrived, so nothing was changed. Press again, or approve at the terminal.",
);
pub(crate) const REASON_NOT_TEXT: PressReply =
    PressReply::toast("A reason is a text. Answer the question once more.");
pub(crate) const TOO_LATE_FOR_REASON: PressReply = PressReply::toast(
    "This came too late, twice, or from someone else. Nothing was changed: press a button on the card.",
);
/// The card says which of both it is.
pub(crate) const LOST_PROCESS: PressReply = PressReply::alert(
    "Not approved: its session has ended, or its server was restarted. The card offers to run it in another process.",
);
/// The card shows the present difference, if there still is one.
pub(crate) const DEFINITION_CHANGED: PressReply = PressReply::alert(
    "Its definition changed or was accepted since this was shown. Nothing was approved: look at the card again.",
);
const NONE_PENDING: PressReply = PressReply::toast("None of these waits any more. Nothing was changed.");

/// The press could not be stored.
pub(crate) const NOT_STORED: PressReply = PressReply::alert(
    "This could not be stored, so nothing was changed. Look at the disk, then press again.",
);
/// In a group, someone else looked through the list.
pub(crate) const OTHER_VIEWER: PressReply = PressReply::alert(
    "These calls were shown to someone else, so nothing was changed. Look through them yourself, then approve them.",
);
/// The same press came again.
pub(crate) const LIST_DECIDED: PressReply =
    PressReply::toast("This was done. The list says what came of it.");

/// The reply of the button that approves the calls of a list that were shown.
pub(crate) fn list_approved_reply(approved: usize, left_out: usize, is_paused: bool) -> PressReply {
    let mut text = match approved {
        0 => "Nothing was approved.".to_owned(),
        approved => format!("Approved {approved}."),
    };
    if left_out > 0 {
        text.push_str(&format!(" Not approved: {left_out}, the list says why."));
    }
    if is_paused && approved > 0 {
        text.push_str(" Everything is paused: they run when that ends, if that is soon.");
    }
    PressReply { text: Some(Cow::Owned(text)), alert: left_out > 0 || is_paused }
}

/// The reply of the button that denies a whole list.
pub(crate) fn list_denied_reply(ListRejection { denied, expired, unsaved }: ListRejection) -> PressReply {
    if unsaved.is_some() {
        let text = format!(
            "Denied {denied}. That is in force, but not saved yet: look at the disk of the computer."
        );
        return PressReply { text: Some(Cow::Owned(text)), alert: true };
    }
    let text = match (denied, expired) {
        (0, 0) => return NONE_PENDING,
        (0, expired) => format!("Nothing was denied: {expired} had expired."),
        (denied, 0) => format!("Denied {denied}."),
        (denied, expired) => format!("Denied {denied}; {expired} had expired."),
    };
    PressReply { text: Some(Cow::Owned(text)), alert: false }
}

/// The reply after success; `waits` means that everything is paused.
pub(crate) const fn done_reply(deed: &TaskDecision, waits: bool) -> PressReply {
    match (deed, waits) {
        (
            TaskDecision::Approve
            | TaskDecision::ApproveFresh
            | TaskDecision::ApproveFor(_)
            | TaskDecision::ApproveWith(_)
            | TaskDecision::Allow
            | TaskDecision::ApproveAndAccept(_),
            true,
        ) => {
            PressReply::alert("Approved, but everything is paused: it runs when that ends, if that is soon.")
        }
        (TaskDecision::Approve, false) => PressReply::toast("Approved."),
        (TaskDecision::ApproveFresh, false) => PressReply::toast("Approved, in another process."),
        (TaskDecision::ApproveFor(_), false) => {
            PressReply::toast("Approved, and this tool is permitted for a while.")
        }
        (TaskDecision::ApproveWith(_), false) => PressReply::toast(
            "Approved. The card says what runs without asking from now on, and how to end it.",
        ),
        (TaskDecision::Allow, false) => {
            PressReply::toast("Approved, and this tool is always allowed from now on.")
        }
        (TaskDecision::ApproveAndAccept(_), false) => {
            PressReply::toast("Approved, and its new definition is accepted.")
        }
        (TaskDecision::Deny, _) => PressReply::toast("Denied. The same call may not ask again at once."),
        (TaskDecision::DenyWithReason, _) => PressReply::toast("Denied. The agent reads your reason."),
        (TaskDecision::Forbid, _) => PressReply::toast("Denied, and this tool is denied from now on."),
    }
}

/// The reply if the call was decided but the rest failed for this reason.
pub(crate) const fn partial_reply(deed: &TaskDecision, why: FailureKind) -> PressReply {
    match (deed, why) {
        (TaskDecision::ApproveFor(_) | TaskDecision::ApproveWith(_), FailureKind::Refused) => {
            PressReply::alert(
                "This call is approved. The time for which its tool was to be permitted is over since you pressed.",
            )
        }
        (TaskDecision::ApproveAndAccept(_), FailureKind::Refused) => PressReply::alert(
            "This call is approved. Its definition changed again since you pressed, so it is NOT accepted.",
        ),
        (TaskDecision::ApproveAndAccept(_), _) => PressReply::alert(
            "This call is approved, but its definition is NOT accepted: that could not be stored.",
        ),
        (
            TaskDecision::Approve
            | TaskDecision::ApproveFresh
            | TaskDecision::ApproveFor(_)
            | TaskDecision::ApproveWith(_)
            | TaskDecision::Allow,
            _,
        ) => PressReply::alert(
            "This call is approved, but its tool is NOT permitted beyond it: that could not be stored.",
        ),
        (TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid, _) => PressReply::alert(
            "This call is denied, but the rule against its tool may be lost when the daemon ends. Look at the disk.",
        ),
    }
}

/// The reply if an approval would not make the call run.
fn void_reply(why: &str, max_chars: usize) -> PressReply {
    const END: &str = ". Nothing was approved. Deny it; the agent may ask again.";
    let room = max_chars.saturating_sub(END.chars().count());
    let why = match why.char_indices().nth(room) {
        Some((end, _)) => &why[..end],
        None => why,
    };
    PressReply { text: Some(Cow::Owned(format!("{why}{END}"))), alert: true }
}

/// As [`failed_reply`], for a press that should have denied the tool permanently. It adds the command for
/// that.
pub(crate) fn with_deny_command(words: PressReply, tool: &ToolId, max_chars: usize) -> PressReply {
    let said = words.text.unwrap_or_default();
    let how = [format!("/deny {tool}"), "/deny and its name".to_owned()]
        .map(|command| format!("{said} To deny its tool from now on, write {command}"));
    // The longest reply that fits wins, because Telegram cuts a longer one.
    let text = how.into_iter().find(|text| text.chars().count() <= max_chars).map(Cow::Owned).unwrap_or(said);
    PressReply { text: Some(text), alert: true }
}

/// The reply if nothing was changed and the task is in this state, in at most `max_chars` characters.
pub(crate) fn failed_reply(
    state: Option<TaskState>,
    failure: &DaemonFailure,
    max_chars: usize,
) -> PressReply {
    match (state, failure.kind) {
        (_, FailureKind::Unsaved) => PressReply::alert(
            "Done, and in force. It could not be saved yet, and may be lost if Portero ends now: look at the disk.",
        ),
        (_, FailureKind::Busy) => PressReply::alert(
            "Another program holds Portero's store, so nothing was changed. Close it, then press again.",
        ),
        (_, FailureKind::Internal | FailureKind::Storage) => NOT_STORED,
        (_, FailureKind::OtherProcess) => LOST_PROCESS,
        (_, FailureKind::Void) => void_reply(&failure.message, max_chars),
        (None, _) => TASK_GONE,
        (Some(TaskState::PendingApproval), _) => BUTTON_USED,
        (Some(TaskState::Approved | TaskState::Executing), _) => {
            PressReply::toast("Too late: it was approved already. Nothing was changed.")
        }
        (Some(TaskState::Completed | TaskState::Failed | TaskState::Interrupted), _) => {
            PressReply::toast("Too late: it was approved and ran already. Nothing was changed.")
        }
        (Some(TaskState::Denied), _) => {
            PressReply::toast("Too late: it was denied already. Nothing was changed.")
        }
        (Some(TaskState::Expired), _) => PressReply::toast("Too late: it has expired. Nothing was changed."),
        (Some(TaskState::Cancelled), _) => {
            PressReply::toast("Too late: the agent took it back. Nothing was changed.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wanted_to_deny_a_tool_too_late_is_told_how() {
        let failure = DaemonFailure::new(FailureKind::Refused, "settled");
        let words = |tool: &str| {
            let undone = failed_reply(Some(TaskState::Completed), &failure, 200);
            with_deny_command(undone, &tool.parse().unwrap(), 200).text.unwrap().into_owned()
        };
        let late = "Too late: it was approved and ran already. Nothing was changed.";
        assert_eq!(words("mail/send"), format!("{late} To deny its tool from now on, write /deny mail/send"));
        let long = words(&format!("{}/{}", "s".repeat(64), "t".repeat(128)));
        assert_eq!(long, format!("{late} To deny its tool from now on, write /deny and its name"));
    }
}
