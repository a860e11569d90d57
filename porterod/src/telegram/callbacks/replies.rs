//! What is answered to a press: Portero's own words, of at most 200 characters, and never a value.

use std::borrow::Cow;

use portero::ipc::{DaemonFailure, FailureKind};
use portero::names::ToolId;
use portero::task::TaskState;

use crate::approvals::ListRejection;
use crate::auth::buttons::TaskDecision;

/// How long an answer may be, in characters (Bot API, `answerCallbackQuery`).
const MAX_REPLY_CHARS: usize = 200;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallbackReply {
    /// What is said, if anything.
    pub(super) text: Option<Cow<'static, str>>,
    /// Whether the person has to close it.
    pub(super) alert: bool,
}

impl CallbackReply {
    /// Nothing has to be said: what changes is seen.
    pub(super) const fn silent() -> Self {
        Self { text: None, alert: false }
    }

    const fn toast(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: false }
    }

    const fn alert(text: &'static str) -> Self {
        Self { text: Some(Cow::Borrowed(text)), alert: true }
    }
}

/// It failed before, and something that was said later is done: what widens must not come after that.
pub(super) const OVERTAKEN: CallbackReply = CallbackReply::alert(
    "This could not be done at once, and what you said since was. Nothing more was changed: tap it again.",
);
pub(super) const BUTTON_USED: CallbackReply =
    CallbackReply::toast("This button was used already. Nothing was changed.");
pub(super) const NOT_SENT_YET: CallbackReply =
    CallbackReply::toast("Not ready yet. Nothing was changed: press again.");
pub(super) const BUTTON_VOID: CallbackReply = CallbackReply::toast(
    "This button does not count any more. Nothing was changed: look at the newest message.",
);
pub(super) const TASK_GONE: CallbackReply = CallbackReply::toast("This call is gone. Nothing was changed.");
pub(super) const TOOL_LOCKED: CallbackReply = CallbackReply::alert(
    "The configuration locks this tool: it can be approved once, and not permitted for longer.",
);
pub(super) const VOTE_NOT_COUNTED: CallbackReply = CallbackReply::alert(
    "Your approval does not count for this tool, so nothing was changed. The card says whose does. You may deny it.",
);
pub(super) const ALREADY_VOTED: CallbackReply = CallbackReply::toast(
    "You approved this already, and nothing was changed. The others have to approve it too.",
);
pub(super) const VOTE_COUNTED: CallbackReply = CallbackReply::toast(
    "Your approval counts. It does not run yet: the card says who else has to approve it.",
);
pub(super) const DENIED_MEANWHILE: CallbackReply = CallbackReply::alert(
    "A rule denies this call now, so it would not run. Nothing was approved. Deny it, or lift the rule first.",
);
pub(super) const DOCUMENT_READ: CallbackReply = CallbackReply::toast("Now it can be approved.");
pub(super) const DOCUMENT_MISSING: CallbackReply = CallbackReply::alert(
    "The document has not arrived, so nothing was changed. Press again, or approve at the terminal.",
);
pub(super) const REASON_NOT_TEXT: CallbackReply =
    CallbackReply::toast("A reason is a text. Answer the question once more.");
pub(super) const TOO_LATE_FOR_REASON: CallbackReply = CallbackReply::toast(
    "This came too late, twice, or from someone else. Nothing was changed: press a button on the card.",
);
const NONE_PENDING: CallbackReply =
    CallbackReply::toast("None of these waits any more. Nothing was changed.");

/// What the button against all calls of a list did.
pub(super) fn list_denied_reply(ListRejection { denied, expired, unsaved }: ListRejection) -> CallbackReply {
    if unsaved.is_some() {
        let text = format!(
            "Denied {denied}. That is in force, but not saved yet: look at the disk of the computer."
        );
        return CallbackReply { text: Some(Cow::Owned(text)), alert: true };
    }
    let text = match (denied, expired) {
        (0, 0) => return NONE_PENDING,
        (0, expired) => format!("Nothing was denied: {expired} had expired."),
        (denied, 0) => format!("Denied {denied}."),
        (denied, expired) => format!("Denied {denied}; {expired} had expired."),
    };
    CallbackReply { text: Some(Cow::Owned(text)), alert: false }
}

/// All of it was done; `waits` says that everything is paused.
pub(super) const fn done_reply(deed: TaskDecision, waits: bool) -> CallbackReply {
    match (deed, waits) {
        (TaskDecision::Approve | TaskDecision::ApproveFor(_) | TaskDecision::Allow, true) => {
            CallbackReply::alert(
                "Approved, but everything is paused: it runs when that ends, if that is soon.",
            )
        }
        (TaskDecision::Approve, false) => CallbackReply::toast("Approved."),
        (TaskDecision::ApproveFor(_), false) => {
            CallbackReply::toast("Approved, and this tool is permitted for a while.")
        }
        (TaskDecision::Allow, false) => {
            CallbackReply::toast("Approved, and this tool is always allowed from now on.")
        }
        (TaskDecision::Deny, _) => CallbackReply::toast("Denied. The same call may not ask again at once."),
        (TaskDecision::DenyWithReason, _) => CallbackReply::toast("Denied. The agent reads your reason."),
        (TaskDecision::Forbid, _) => CallbackReply::toast("Denied, and this tool is denied from now on."),
    }
}

/// The call was decided, and the rest was not done, for this reason.
pub(super) const fn partial_reply(deed: TaskDecision, why: FailureKind) -> CallbackReply {
    match (deed, why) {
        (TaskDecision::ApproveFor(_), FailureKind::Refused) => CallbackReply::alert(
            "This call is approved. The time for which its tool was to be permitted is over since you pressed.",
        ),
        (TaskDecision::Approve | TaskDecision::ApproveFor(_) | TaskDecision::Allow, _) => {
            CallbackReply::alert(
                "This call is approved, but its tool is NOT permitted beyond it: that could not be stored.",
            )
        }
        (TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid, _) => {
            CallbackReply::alert(
                "This call is denied, but the rule against its tool may be lost when the daemon ends. Look at the disk.",
            )
        }
    }
}

/// A yes would not make the call run, for this reason.
fn void_reply(why: &str) -> CallbackReply {
    const END: &str = ". Nothing was approved. Deny it; the agent may ask anew.";
    let room = MAX_REPLY_CHARS - END.chars().count();
    let why = match why.char_indices().nth(room) {
        Some((end, _)) => &why[..end],
        None => why,
    };
    CallbackReply { text: Some(Cow::Owned(format!("{why}{END}"))), alert: true }
}

/// As [`undone`], for someone who wanted the tool to be denied from now on: how that is done.
pub(super) fn with_deny_command(words: CallbackReply, tool: &ToolId) -> CallbackReply {
    let said = words.text.unwrap_or_default();
    let how = [format!("/deny {tool}"), "/deny and its name".to_owned()]
        .map(|command| format!("{said} To deny its tool from now on, write {command}"));
    let text =
        how.into_iter().find(|text| text.chars().count() <= MAX_REPLY_CHARS).map(Cow::Owned).unwrap_or(said);
    CallbackReply { text: Some(text), alert: true }
}

/// Nothing was done, and the task is in this state now.
pub(super) fn failed_reply(state: Option<TaskState>, failure: &DaemonFailure) -> CallbackReply {
    match (state, failure.kind) {
        (_, FailureKind::Unsaved) => CallbackReply::alert(
            "Done, and in force. It could not be saved yet, and may be lost if Portero ends now: look at the disk.",
        ),
        (_, FailureKind::Busy) => CallbackReply::alert(
            "Another program holds Portero's store, so nothing was changed. Close it, then press again.",
        ),
        (_, FailureKind::Internal | FailureKind::Storage) => CallbackReply::alert(
            "This could not be stored, so nothing was changed. Look at the disk, then press again.",
        ),
        (_, FailureKind::Void) => void_reply(&failure.message),
        (None, _) => TASK_GONE,
        (Some(TaskState::PendingApproval), _) => BUTTON_USED,
        (Some(TaskState::Approved | TaskState::Executing), _) => {
            CallbackReply::toast("Too late: it was approved already. Nothing was changed.")
        }
        (Some(TaskState::Completed | TaskState::Failed | TaskState::Interrupted), _) => {
            CallbackReply::toast("Too late: it was approved and ran already. Nothing was changed.")
        }
        (Some(TaskState::Denied), _) => {
            CallbackReply::toast("Too late: it was denied already. Nothing was changed.")
        }
        (Some(TaskState::Expired), _) => {
            CallbackReply::toast("Too late: it has expired. Nothing was changed.")
        }
        (Some(TaskState::Cancelled), _) => {
            CallbackReply::toast("Too late: the agent took it back. Nothing was changed.")
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
            let undone = failed_reply(Some(TaskState::Completed), &failure);
            with_deny_command(undone, &tool.parse().unwrap()).text.unwrap().into_owned()
        };
        let late = "Too late: it was approved and ran already. Nothing was changed.";
        assert_eq!(words("mail/send"), format!("{late} To deny its tool from now on, write /deny mail/send"));
        let long = words(&format!("{}/{}", "s".repeat(64), "t".repeat(128)));
        assert_eq!(long, format!("{late} To deny its tool from now on, write /deny and its name"));
    }
}
