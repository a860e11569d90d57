//! What makes an approval void, found before a person is asked to confirm it (guarantee A1).
//!
//! The executor checks the same once more when the call is to start.

use std::time::Duration;

use portero::names::TaskId;
use portero::pipeline::Refusal;
use portero::policy::{Action, Source};
use portero::task::{State, Task};

use super::desk::{Desk, DeskError};
use super::{changed, configured_change};
use crate::store::{standing, tasks};

impl Desk {
    /// Whether the call of a task that waits would run after a yes. A server that does not say within `timeout` what
    /// it offers is no reason against it.
    ///
    /// # Errors
    /// [`DeskError::Void`] with the cause; [`DeskError::Settled`] where the task waits no more.
    pub async fn check_runnable(&self, task: &Task, timeout: Duration) -> Result<(), DeskError> {
        let now = self.now();
        if task.state != State::PendingApproval {
            return Err(DeskError::Settled(task.id, task.state));
        }
        if tasks::is_over(task, now) {
            self.expire_due().await?;
            return Err(DeskError::Settled(task.id, State::Expired));
        }
        self.check_configured(task)?;
        let binding = self.binding(&task.call, &task.origin.directory);
        match tokio::time::timeout(timeout, binding).await {
            Ok(Ok(binding)) if binding == task.binding => Ok(()),
            Ok(Ok(binding)) => Err(DeskError::Void(task.id, since(&changed(&task.binding, &binding)))),
            Ok(Err(refusal)) => void(task.id, &refusal).map_or(Ok(()), Err),
            Err(_) => Ok(()),
        }
    }

    /// As [`Desk::check_runnable`], by what is known without asking a server.
    ///
    /// # Errors
    /// [`DeskError::Void`] with the cause.
    pub fn check_configured(&self, task: &Task) -> Result<(), DeskError> {
        let now = self.parts.clock.now();
        let (call, asker) = (&task.call, Some(task.origin.asker()));
        let decision = self.parts.policy.load().decide(&call.tool, call.arguments(), asker, now);
        // A pause ends, and then the call runs.
        if decision.action == Action::Deny && !matches!(decision.source, Source::Pause(_)) {
            return Err(DeskError::Void(task.id, decision.to_string()));
        }
        let configured = match self.parts.grounds.configured(call) {
            Ok(configured) => configured,
            Err(refusal) => return void(task.id, &refusal).map_or(Ok(()), Err),
        };
        let key = self.parts.journal.store().read(standing::binding_key)?;
        match configured_change(&key, &task.binding, &configured) {
            Some(what) => Err(DeskError::Void(task.id, since(&what))),
            None => Ok(()),
        }
    }
}

/// What a refusal says for good; none where it may be another one the next time, such as while a server starts again.
/// The executor asks once more.
fn void(task: TaskId, refusal: &Refusal) -> Option<DeskError> {
    match refusal {
        Refusal::Denied(_) | Refusal::Unknown(_) | Refusal::Invalid(_) => {
            Some(DeskError::Void(task, refusal.to_string()))
        }
        Refusal::Server(_)
        | Refusal::Declined(_)
        | Refusal::NoDesk(_)
        | Refusal::Interrupted(_)
        | Refusal::Malformed(_)
        | Refusal::Withheld(_)
        | Refusal::NoAudit
        | Refusal::Cancelled => None,
    }
}

fn since(what: &str) -> String {
    format!("since a person was asked, {what} changed")
}
