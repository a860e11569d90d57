//! The effect of a press on a card's button, and the reply.

mod list;
pub(crate) mod replies;

use std::sync::Arc;

use portero::ipc::{FailureKind, InspectedTask};
use portero::names::TaskId;
use portero::task::{Task, TaskState};

pub(crate) use self::list::{approve_listed, deny_listed, obstacle};
pub(crate) use self::replies::PressReply;
use crate::api::{self, Undone};
use crate::auth::buttons::{
    AnswerChoice, ButtonAction, ButtonPress, CardDecision, ListDecision, PressMeaning, TaskDecision,
};
use crate::daemon::Daemon;

/// Decides a task, and returns the reply with at most `max_chars` characters. `begun` means that this very
/// press was handled before and its call is already decided.
pub(crate) async fn decide_task(
    daemon: &Arc<Daemon>,
    tapped: ButtonPress<CardDecision>,
    reason: Option<String>,
    begun: bool,
    max_chars: usize,
) -> PressReply {
    let CardDecision { decision: deed, task, .. } = tapped.action().clone();
    let Ok(look) = api::look(daemon, task) else { return replies::TASK_GONE };
    let hindrance = approval_obstacle(daemon, &look, &tapped);
    // A press that was begun has decided its call, so only its second half remains.
    if let (false, Some(ApprovalObstacle::Permanent(words))) = (begun, &hindrance) {
        return words.clone();
    }
    if let (false, Some(words)) = (begun, preview_obstacle(daemon, &look, &deed).await) {
        return words;
    }
    let waits = matches!(hindrance, Some(ApprovalObstacle::Paused));
    let done = api::tapped(daemon, tapped, reason, begun).await;
    #[cfg(test)]
    crate::crash::crash_at("tap done");
    match done {
        // One vote of several leaves the task pending, which is no failure.
        Ok(()) if deed.lets_run() && is_still_pending(daemon, task) => replies::VOTE_COUNTED,
        Ok(()) => replies::done_reply(&deed, waits),
        Err(Undone::Rest(failure)) => {
            tracing::warn!(%failure, "a tap decided the call alone");
            replies::partial_reply(&deed, failure.kind)
        }
        Err(Undone::All(failure)) => {
            // The state is read again: the reply names the decision that came first.
            let now = api::look(daemon, task).map(|look| look.task.state);
            tracing::info!(%failure, "a tap changed nothing");
            let undone = replies::failed_reply(now.ok(), &failure, max_chars);
            // The person wanted the tool denied for ever, and the lost press must not be the only way.
            if deed == TaskDecision::Forbid
                && failure.kind != FailureKind::Internal
                && failure.kind != FailureKind::Storage
            {
                replies::with_deny_command(undone, &look.task.call.tool, max_chars)
            } else {
                undone
            }
        }
    }
}

/// Why a press doesn't approve with the change that its card showed: by now that change is refused, or would be
/// another one.
async fn preview_obstacle(
    daemon: &Arc<Daemon>,
    look: &InspectedTask,
    decision: &TaskDecision,
) -> Option<PressReply> {
    let TaskDecision::ApproveWith(shown) = decision else { return None };
    // A settled task gives a better reply in the decision itself.
    if look.task.state != TaskState::PendingApproval {
        return None;
    }
    match api::preview_on_card(daemon, &shown.what).await {
        Ok(tools) if shown.has_shown(&tools) => None,
        Ok(_) => Some(replies::PREVIEW_CHANGED),
        Err(failure) => {
            tracing::info!(%failure, "a card offers what is refused by now");
            Some(replies::PREVIEW_CHANGED)
        }
    }
}

/// Whether a task waits for more people after one approval.
fn is_still_pending(daemon: &Daemon, task: TaskId) -> bool {
    let look = api::look(daemon, task);
    look.is_ok_and(|look| look.task.state == TaskState::PendingApproval)
}

/// Why an approval would have no effect, or not yet.
fn approval_obstacle(
    daemon: &Daemon,
    look: &InspectedTask,
    tapped: &ButtonPress<CardDecision>,
) -> Option<ApprovalObstacle> {
    let loosens = match &tapped.action().decision {
        // Accepting a definition loosens no rule: what is allowed runs again.
        TaskDecision::Approve | TaskDecision::ApproveFresh | TaskDecision::ApproveAndAccept(_) => false,
        TaskDecision::ApproveFor(_) | TaskDecision::ApproveWith(_) | TaskDecision::Allow => true,
        TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid => return None,
    };
    // A settled task gives a better reply in the decision itself.
    if look.task.state != TaskState::PendingApproval {
        return None;
    }
    if loosens && is_tool_locked(daemon, look) {
        return Some(ApprovalObstacle::Permanent(replies::TOOL_LOCKED));
    }
    if let TaskDecision::ApproveAndAccept(shown) = &tapped.action().decision
        && look.definition.as_ref().map(|definition| definition.shown) != Some(*shown)
    {
        return Some(ApprovalObstacle::Permanent(replies::DEFINITION_CHANGED));
    }
    if let Some(words) = vote_obstacle(&look.task, tapped.user()) {
        return Some(ApprovalObstacle::Permanent(words));
    }
    // What makes the call void is found and named in the approval itself.
    daemon.policy.load().overrides().paused.map(|_| ApprovalObstacle::Paused)
}

/// Whether the configuration locks a task's tool, so that only single approvals are possible.
fn is_tool_locked(daemon: &Daemon, look: &InspectedTask) -> bool {
    daemon.policy.load().is_locked(&look.task.call.tool)
}

/// Whether a press permits more than before.
pub(crate) fn elevates(found: &PressMeaning) -> bool {
    match found {
        PressMeaning::Decide(tapped) | PressMeaning::Repeated(ButtonAction::Decide(_), Some(tapped)) => {
            tapped.action().decision.lets_run()
        }
        PressMeaning::Widen(_) => true,
        PressMeaning::DecideList(press) => match press.action() {
            ListDecision::Approve(_) => true,
            ListDecision::Deny(_) => false,
        },
        PressMeaning::Answer(answered) => match answered.action().says {
            AnswerChoice::Number(_) => true,
            AnswerChoice::Refuse => false,
        },
        PressMeaning::Repeated(..)
        | PressMeaning::Restrict(_)
        | PressMeaning::RestrictRepeated(_)
        | PressMeaning::Show(_)
        | PressMeaning::Used
        | PressMeaning::MessageUnconfirmed
        | PressMeaning::Unknown => false,
    }
}

/// Why this person's approval adds nothing to the quorums.
fn vote_obstacle(task: &Task, user: i64) -> Option<PressReply> {
    // No voter has a negative number; zero matches none.
    let user = u64::try_from(user).unwrap_or(0);
    // A repeated vote counts again if the quorums are met by now: the policy may have become less strict.
    let is_met = task.quorums.iter().all(|quorum| quorum.is_met(&task.votes));
    if task.quorums.is_empty() {
        None
    } else if !task.quorums.iter().any(|quorum| quorum.counts_user(user)) {
        Some(replies::VOTE_NOT_COUNTED)
    } else if task.votes.iter().any(|vote| vote.user == user) && !is_met {
        Some(replies::ALREADY_VOTED)
    } else {
        None
    }
}

/// Why an approval has no effect.
enum ApprovalObstacle {
    /// It never will.
    Permanent(PressReply),
    /// Not while everything is paused.
    Paused,
}
