//! What makes an approval void, found before a person is asked to confirm it (guarantee A1).
//!
//! The executor checks the same once more when the call is to start.

use std::time::Duration;

use portero::names::TaskId;
use portero::pipeline::Refusal;
use portero::policy::{Action, DecisionSource};
use portero::task::{Task, TaskState};

use super::queue::{ApprovalError, ApprovalQueue};
use super::{describe_changes, describe_config_change};
use crate::store::{overrides, tasks};

impl ApprovalQueue {
    /// Whether the call of a task that waits would run after a yes. A server that does not say within `timeout` what
    /// it offers is no reason against it.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause; [`ApprovalError::WrongState`] where the task waits no more.
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
            Err(_) => Ok(()),
        }
    }

    /// As [`ApprovalQueue::check_runnable`], by what is known without asking a server.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause.
    pub fn check_config_unchanged(&self, task: &Task) -> Result<(), ApprovalError> {
        let now = self.deps.clock.now();
        let (call, asker) = (&task.call, Some(task.origin.asker()));
        let decision = self.deps.policy.load().decide(&call.tool, call.arguments(), asker, now);
        // A pause ends, and then the call runs.
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

/// What a refusal says for good; none where it may be another one the next time, such as while a server starts again.
/// The executor asks once more.
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
