//! Finds out whether an approved call would run, before a person is asked to confirm it (guarantee A1).
//!
//! The executor checks the same again when the call starts.

use std::time::Duration;

use portero::names::TaskId;
use portero::pipeline::Refusal;
use portero::policy::{Action, DecisionSource};
use portero::task::{Task, TaskState};

use super::error::ApprovalError;
use super::queue::ApprovalQueue;
use super::{describe_changes, describe_config_change};
use crate::store::{overrides, tasks};

impl ApprovalQueue {
    /// Checks that the call of a waiting task would run once approved. A server that doesn't list its tools
    /// within `timeout` passes the check.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause; [`ApprovalError::WrongState`] if the task no longer waits.
    pub async fn check_runnable(&self, task: &Task, timeout: Duration) -> Result<(), ApprovalError> {
        let now = self.now();
        if task.state != TaskState::PendingApproval {
            return Err(ApprovalError::WrongState(task.id, task.state));
        }
        if tasks::is_expired(task, now) {
            self.expire_due().await?;
            return Err(ApprovalError::WrongState(task.id, TaskState::Expired));
        }
        self.check_config_unchanged(task)?;
        let binding = self.current_binding(&task.call, &task.origin.directory);
        match tokio::time::timeout(timeout, binding).await {
            Ok(Ok(binding)) if binding == task.binding => Ok(()),
            Ok(Ok(binding)) => {
                Err(ApprovalError::Void(task.id, changed_message(&describe_changes(&task.binding, &binding))))
            }
            Ok(Err(refusal)) => permanent_refusal(task.id, &refusal).map_or(Ok(()), Err),
            // A slow server must not block an approval; the executor waits longer and checks again.
            Err(_) => Ok(()),
        }
    }

    /// The part of [`ApprovalQueue::check_runnable`] that needs no server.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause.
    pub fn check_config_unchanged(&self, task: &Task) -> Result<(), ApprovalError> {
        let now = self.deps.clock.now();
        let (call, asker) = (&task.call, Some(task.origin.asker()));
        let decision = self.deps.policy.load().decide(&call.tool, call.arguments(), asker, now);
        // A pause is no reason to refuse: the approved call runs once the pause ends.
        if decision.action == Action::Deny && !matches!(decision.source, DecisionSource::Pause(_)) {
            return Err(ApprovalError::Void(task.id, decision.to_string()));
        }
        let configured = match self.deps.binding_source.configured_inputs(call) {
            Ok(configured) => configured,
            Err(refusal) => return permanent_refusal(task.id, &refusal).map_or(Ok(()), Err),
        };
        let key = self.deps.journal.store().read(overrides::binding_key)?;
        match describe_config_change(&key, &task.binding, &configured) {
            Some(what) => Err(ApprovalError::Void(task.id, changed_message(&what))),
            None => Ok(()),
        }
    }
}

/// The error of a permanent refusal; none if the next attempt may differ, as while a server restarts.
fn permanent_refusal(task: TaskId, refusal: &Refusal) -> Option<ApprovalError> {
    match refusal {
        Refusal::Denied(_) | Refusal::Unknown(_) | Refusal::Invalid(_) => {
            Some(ApprovalError::Void(task, refusal.to_string()))
        }
        Refusal::ServerUnavailable(_)
        | Refusal::Declined(_)
        | Refusal::DaemonUnavailable(_)
        | Refusal::Interrupted(_)
        | Refusal::Malformed(_)
        | Refusal::Withheld(_)
        | Refusal::AuditUnavailable
        | Refusal::Cancelled => None,
    }
}

fn changed_message(what: &str) -> String {
    format!("since a person was asked, {what} changed")
}
