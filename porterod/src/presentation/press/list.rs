//! The effect of a press that decides about several calls of a list.

use portero::ipc::InspectedTask;
use portero::names::TaskId;

use super::super::burst::shown_digest;
use super::replies::{self, PressReply};
use crate::api;
use crate::auth::buttons::{ButtonPress, ListDecision};
use crate::daemon::Daemon;
use crate::store::StoreError;

/// Approves the calls that the button names and that still are what the person saw. Returns the reply, and
/// the calls that were left out, each with the reason.
pub(crate) async fn approve_listed(
    daemon: &Daemon,
    press: &ButtonPress<ListDecision>,
) -> (PressReply, Vec<(TaskId, String)>) {
    let ListDecision::Approve(named) = press.action() else { return (replies::BUTTON_VOID, Vec::new()) };
    let (mut tasks, mut left_out) = (Vec::new(), Vec::new());
    for (task, digest) in named {
        // A new rule that conceals more changes what is on the screen, so it is looked at again.
        match api::look(daemon, *task) {
            Ok(look) if shown_digest(&look) == *digest => tasks.push(*task),
            Ok(_) => left_out.push((*task, "it changed since it was shown".to_owned())),
            Err(failure) => left_out.push((*task, failure.message)),
        }
    }
    match api::approve_listed(daemon, press, &tasks).await {
        Ok(approval) => {
            #[cfg(test)]
            crate::crash::crash_at("list approved");
            left_out.extend(approval.left_out.iter().map(|(task, error)| (*task, error.reason())));
            (
                replies::list_approved_reply(approval.approved.len(), left_out.len(), is_paused(daemon)),
                left_out,
            )
        }
        Err(StoreError::Refused(_)) => (replies::BUTTON_USED, Vec::new()),
        Err(error) => {
            tracing::error!(%error, "a list was not approved");
            (replies::NOT_STORED, Vec::new())
        }
    }
}

/// Denies the calls that the button names.
///
/// # Errors
/// When the store failed in another way than for a disk.
pub(crate) async fn deny_listed(
    daemon: &Daemon,
    press: &ButtonPress<ListDecision>,
    reason: Option<String>,
) -> Result<PressReply, StoreError> {
    match api::reject_listed(daemon, press, reason).await {
        // A list is denied in one change: a part of it must not stay open.
        Ok(rejection) => Ok(replies::list_denied_reply(rejection)),
        Err(StoreError::Refused(_)) => Ok(replies::BUTTON_USED),
        Err(error) => Err(error),
    }
}

/// Why a waiting call can't be approved together with others; none if it can.
pub(crate) fn obstacle(daemon: &Daemon, look: &InspectedTask) -> Option<String> {
    let checked = daemon.approval_queue.check_approvable_with_others(look.task.id);
    checked.err().map(|error| error.reason())
}

fn is_paused(daemon: &Daemon) -> bool {
    daemon.overrides.overrides().paused.is_some()
}
