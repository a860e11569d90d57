//! What a person can permit with the approval of a task, and the approval that permits it.

use std::sync::Arc;

use portero::anonymize::Anonymizer;
use portero::approval_scope::{ApprovalScope, ScopeChange, ScopeError, ScopeTerms};
use portero::ipc::requests::approvals::{
    ApproveWith, ApprovedWith, ListScopes, OfferedScope, PermitResult, PreviewScope, ScopePreview, TaskScopes,
};
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::TaskId;
use portero::task::{Task, TaskState};

use super::attempt::Attempt;
use super::concealed_limits::conceal_limits;
use super::confirmation::Confirmation;
use super::scope_terms::with_scope_terms;
use super::{PersonCaller, PersonRequest, approvals, failure, overrides, preview, sessions};
use crate::approvals::ApprovalError;
use crate::auth::remote_confirmation::ActOutcome;
use crate::daemon::Daemon;
use crate::overrides::GrantRequest;

impl PersonRequest for ListScopes {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<TaskScopes, DaemonFailure> {
        list_scopes(daemon, self.task)
    }
}

impl PersonRequest for PreviewScope {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<ScopePreview, DaemonFailure> {
        preview_scope(daemon, self.task, self.scope).await
    }
}

/// What a person can permit with the approval of a waiting task.
///
/// # Errors
/// When the task doesn't wait, or its call can't be shown.
pub fn list_scopes(daemon: &Daemon, task: TaskId) -> Result<TaskScopes, DaemonFailure> {
    let task = find_concealed(daemon, task)?;
    Ok(with_scope_terms(daemon, &task, |terms| {
        let offers = terms.fitting_scopes().into_iter().filter_map(|scope| offer(terms, scope).ok());
        TaskScopes { scopes: offers.collect(), fields: terms.choosable_fields() }
    }))
}

/// What a scope means for a waiting task, and what it would newly allow.
///
/// # Errors
/// When the scope doesn't fit the task, or the task doesn't wait.
pub async fn preview_scope(
    daemon: &Daemon,
    task: TaskId,
    scope: ApprovalScope,
) -> Result<ScopePreview, DaemonFailure> {
    let found = find_concealed(daemon, task)?;
    let offer = with_scope_terms(daemon, &found, |terms| offer(terms, scope));
    let offer = offer.map_err(|error| misfit(&error))?;
    let Some(permit) = &offer.permit else {
        return Ok(ScopePreview { offer, tools: Vec::new(), waiting: Vec::new() });
    };
    let act = Act::from(permit);
    let tools = preview::tools(daemon, &act).await?;
    let mut waiting = preview::covered_tasks(daemon, &act)?;
    waiting.retain(|other| *other != task);
    Ok(ScopePreview { offer, tools, waiting })
}

fn offer(terms: &ScopeTerms<'_>, scope: ApprovalScope) -> Result<OfferedScope, ScopeError> {
    let change = terms.resolve(&scope)?;
    let words = match &change {
        Some(change) => change.describe(),
        None => format!("This call of {}, once", terms.call.tool),
    };
    Ok(OfferedScope { scope, permit: change, words })
}

fn misfit(error: &ScopeError) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Refused, error.to_string())
}

/// A waiting task with its call as today's rules conceal it, which is how later calls come.
fn find_concealed(daemon: &Daemon, task: TaskId) -> Result<Task, DaemonFailure> {
    let task = find_waiting(daemon, task)?;
    Ok(Task { call: sessions::conceal(daemon, task.call.clone())?, ..task })
}

fn find_waiting(daemon: &Daemon, task: TaskId) -> Result<Task, DaemonFailure> {
    let refused = |error| failure::of_approval(&error);
    let found = daemon.approval_queue.find_task(task, None).map_err(refused)?;
    match found.state {
        TaskState::PendingApproval => Ok(found),
        other => Err(refused(ApprovalError::WrongState(task, other))),
    }
}

impl PersonRequest for ApproveWith {
    fn attempt(&self) -> Option<Attempt> {
        Some((&self.act()).into())
    }

    fn outcome(approved: &ApprovedWith) -> ActOutcome {
        match &approved.permitted {
            PermitResult::Granted(grant) => ActOutcome::Granted(Box::new(grant.clone())),
            PermitResult::RuleMade(rule) => ActOutcome::RuleMade(Box::new(rule.clone())),
            PermitResult::Failed(failure) => ActOutcome::Failed(Box::new(failure.clone())),
        }
    }

    /// Approves the call first, so that nothing is permitted with a call that can't run any more.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<ApprovedWith, DaemonFailure> {
        let Self { task, fresh, permit, challenge } = self;
        let permit = conceal_change(&daemon.anonymizer.load(), permit)?;
        // Refused before a person types a passphrase in vain.
        check_permit(daemon, &find_waiting(daemon, task)?, &permit)?;
        let confirmation = caller.confirmation(challenge);
        approvals::check_approval(daemon, (task, fresh), &confirmation).await?;
        let act = Act::ApproveWith(task, fresh, Box::new(permit.clone()));
        let confirmed = confirmation.authorize(daemon, caller.by, &act).await?;
        let Some((of_call, of_permit)) = confirmed.split() else {
            return Err(DaemonFailure::new(FailureKind::Internal, "another act was confirmed"));
        };
        let task = approvals::approve_confirmed(daemon, (task, fresh), of_call).await?;
        #[cfg(test)]
        crate::crash::crash_at("approved with");
        let confirmation = Confirmation::Pressed(of_permit);
        let made = match permit {
            ScopeChange::Allow(pattern) => {
                overrides::allow(daemon, caller.by, pattern, confirmation).await.map(PermitResult::RuleMade)
            }
            ScopeChange::Grant { pattern, duration, limits } => {
                let wanted = GrantRequest { pattern, duration, limits };
                overrides::grant(daemon, caller.by, wanted, confirmation).await.map(PermitResult::Granted)
            }
        };
        Ok(ApprovedWith { task, permitted: made.unwrap_or_else(PermitResult::Failed) })
    }
}

/// Refuses what can't be permitted with this task.
fn check_permit(daemon: &Daemon, task: &Task, permit: &ScopeChange) -> Result<(), DaemonFailure> {
    if !permit.pattern().matches(&task.call.tool) {
        let words = format!("`{}` isn't about `{}`, whose call waits", permit.pattern(), task.call.tool);
        return Err(DaemonFailure::new(FailureKind::Invalid, words));
    }
    match permit {
        ScopeChange::Allow(_) => {}
        ScopeChange::Grant { duration, .. } => {
            overrides::check_grant_duration(daemon, *duration)?;
        }
    }
    if daemon.policy.load().is_locked(&task.call.tool) {
        return Err(misfit(&ScopeError::Locked(task.call.tool.clone())));
    }
    Ok(())
}

/// The same change, with its fixed values concealed: a person may have typed a real one.
fn conceal_change(anonymizer: &Anonymizer, change: ScopeChange) -> Result<ScopeChange, DaemonFailure> {
    match change {
        ScopeChange::Grant { pattern, duration, limits } => {
            let limits = conceal_limits(anonymizer, limits)?;
            Ok(ScopeChange::Grant { pattern, duration, limits })
        }
        ScopeChange::Allow(pattern) => Ok(ScopeChange::Allow(pattern)),
    }
}
