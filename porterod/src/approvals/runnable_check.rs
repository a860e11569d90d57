//! Finds out whether an approved call would run, before a person is asked to confirm it (guarantee A1).
//!
//! The executor checks the same again when the call starts.

use std::time::Duration;

use portero::binding::{describe_changes, describe_config_change};
use portero::names::TaskId;
use portero::permit::PermitProblem;
use portero::pipeline::Refusal;
use portero::policy::Action;
use portero::sync::lock;
use portero::task::{ChildLoss, Task, TaskState};

use super::child::CallPlace;
use super::error::ApprovalError;
use super::queue::ApprovalQueue;
use crate::store::{overrides, tasks};

/// How many reasons of servers are kept. Without its reason a task is only checked later.
const MAX_VOID_TASKS: usize = 1_000;

impl ApprovalQueue {
    /// Checks that the call of a waiting task would run once approved. A server that doesn't list its tools
    /// within `timeout` passes the check.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause; [`ApprovalError::WrongState`] if the task no longer waits.
    pub async fn check_runnable(
        &self,
        task: &Task,
        fresh: bool,
        timeout: Duration,
    ) -> Result<(), ApprovalError> {
        let checked = self.ask_whether_runnable(task, fresh, timeout).await;
        match &checked {
            // What the configuration makes void is found anew each time.
            Err(ApprovalError::Void(_, why)) if self.check_config_unchanged(task).is_ok() => {
                let mut void = lock(&self.void_by_server);
                if void.len() >= MAX_VOID_TASKS {
                    void.clear();
                }
                void.insert(task.id, why.clone());
            }
            Ok(()) => drop(lock(&self.void_by_server).remove(&task.id)),
            // These say nothing of the server.
            Err(_) => {}
        }
        checked
    }

    /// Why a yes to this waiting task would not let its call run: the configuration as it is now, or what its server
    /// said when it was asked last. None if nothing is known against it. This asks no server.
    #[must_use]
    pub fn void_reason(&self, task: &Task) -> Option<String> {
        if task.state != TaskState::PendingApproval {
            return None;
        }
        match self.check_config_unchanged(task) {
            Err(ApprovalError::Void(_, why)) => Some(why),
            Ok(()) | Err(_) => lock(&self.void_by_server).get(&task.id).cloned(),
        }
    }

    async fn ask_whether_runnable(
        &self,
        task: &Task,
        fresh: bool,
        timeout: Duration,
    ) -> Result<(), ApprovalError> {
        let now = self.now();
        if task.state != TaskState::PendingApproval {
            return Err(ApprovalError::WrongState(task.id, task.state));
        }
        if tasks::is_expired(task, now) {
            self.expire_due().await?;
            return Err(ApprovalError::WrongState(task.id, TaskState::Expired));
        }
        self.check_config_unchanged(task)?;
        let place = self.agreed_place(task, fresh)?;
        if let (CallPlace::Session, Some(child)) = (place, &task.child) {
            let checked = tokio::time::timeout(timeout, self.deps.children.check_call(task, child)).await;
            return checked.map_or(Ok(()), |checked| self.judge_check(task, checked));
        }
        let (directory, child) = (&task.origin.directory, task.child.as_ref());
        let binding = self.current_binding(&task.call, directory, child, CallPlace::Daemon);
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

    /// What the session said of a call.
    fn judge_check(&self, task: &Task, checked: Result<(), PermitProblem>) -> Result<(), ApprovalError> {
        match checked {
            Ok(()) => Ok(()),
            Err(PermitProblem::Restarted) => {
                Err(ApprovalError::OtherProcess(task.id, ChildLoss::ServerRestarted))
            }
            Err(problem @ (PermitProblem::Changed(_) | PermitProblem::Denied(_))) => {
                Err(ApprovalError::Void(task.id, problem.to_string()))
            }
            // It may be there a moment later, unless the session left meanwhile.
            Err(PermitProblem::Unavailable(_)) => self.agreed_place(task, false).map(drop),
        }
    }

    /// The part of [`ApprovalQueue::check_runnable`] that needs no server.
    ///
    /// # Errors
    /// [`ApprovalError::Void`] with the cause.
    pub fn check_config_unchanged(&self, task: &Task) -> Result<(), ApprovalError> {
        let now = self.deps.clock.now();
        let (call, asker) = (&task.call, Some(task.origin.asker()));
        // A pause is no reason to refuse, because the approved call runs once it ends. A deny behind it is one.
        let policy = self.deps.policy.load();
        let decision = policy.decide_despite_pause(&call.tool, call.arguments(), asker, now);
        if decision.action == Action::Deny {
            return Err(ApprovalError::Void(task.id, decision.to_string()));
        }
        let configured = match self.configured_inputs(call, task.child.as_ref()) {
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
