//! Decisions about several calls of a list, by one button on Telegram.

use futures_util::future::join_all;
use portero::ipc::Act;
use portero::names::TaskId;
use portero::task::TaskState;

use super::approvals::{DEFINITION_TIMEOUT, enforce_denials};
use super::{attempt, failure};
use crate::approvals::{ApprovalError, ListApproval, ListRejection};
use crate::auth::buttons::{ButtonPress, ListDecision};
use crate::daemon::Daemon;
use crate::store::StoreError;

/// Approves those of these tasks that the button names and that would run. Each has a record of its own, and
/// a refused one too.
///
/// # Errors
/// [`StoreError::Refused`] if the button was used before; nothing is approved then.
pub async fn approve_listed(
    daemon: &Daemon,
    press: &ButtonPress<ListDecision>,
    tasks: &[TaskId],
) -> Result<ListApproval, StoreError> {
    // All at once: Telegram drops the answer to a press that takes too long.
    let checked = join_all(tasks.iter().map(|task| check_runnable(daemon, *task))).await;
    let (mut runnable, mut left_out) = (Vec::new(), Vec::new());
    for (task, checked) in tasks.iter().zip(checked) {
        match checked {
            Ok(()) => runnable.push(*task),
            Err(error) => left_out.push((*task, error)),
        }
    }
    let mut approval = daemon.approval_queue.approve_listed(press.authorize_calls(&runnable)).await?;
    approval.left_out.append(&mut left_out);
    let is_expired =
        |error: &ApprovalError| matches!(error, ApprovalError::WrongState(_, TaskState::Expired));
    if approval.left_out.iter().any(|(_, error)| is_expired(error))
        && let Err(error) = daemon.approval_queue.expire_due().await
    {
        tracing::warn!(%error, "what expired is not settled yet");
    }
    for (task, error) in &approval.left_out {
        let refused = Err::<(), _>(failure::of_approval(error));
        let _ =
            attempt::written_down(daemon, Some((&Act::Approve(*task)).into()), &press.by(), refused).await;
    }
    Ok(approval)
}

async fn check_runnable(daemon: &Daemon, task: TaskId) -> Result<(), ApprovalError> {
    daemon.approval_queue.check_approvable_with_others(task)?;
    let waiting = daemon.approval_queue.find_task(task, None)?;
    daemon.approval_queue.check_runnable(&waiting, false, DEFINITION_TIMEOUT).await
}

/// Denies the tasks that the button names, in one change. The denials hold in every session when this
/// returns. The reason reaches the agent, so it is concealed.
///
/// # Errors
/// [`StoreError::Refused`] if the button was used before.
pub async fn reject_listed(
    daemon: &Daemon,
    press: &ButtonPress<ListDecision>,
    reason: Option<String>,
) -> Result<ListRejection, StoreError> {
    let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
    let rejected = daemon.approval_queue.reject_listed(press, reason).await;
    enforce_denials(daemon).await;
    rejected
}
