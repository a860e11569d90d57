//! The approval of one call together with a grant or a rule for more calls like it.

use portero::approval_scope::{ApprovalScope, ScopeChange};
use portero::ipc::Act;
use portero::ipc::requests::approvals::{
    ApproveWith, ApprovedWith, OfferedScope, PermitResult, PreviewScope, ScopePreview,
};
use portero::names::TaskId;
use portero::task::Task;

use crate::commands::approvals::{describe_task, short_id};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmationPrompt, ConfirmedAct, describe_reach};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, pluralize};

/// An approval with what it permits besides, as the daemon understands it.
pub(super) struct ScopedApproval<'a> {
    task: &'a Task,
    fresh: bool,
    permit: ScopeChange,
    /// What the person reads before they confirm.
    shown: String,
}

impl<'a> ScopedApproval<'a> {
    /// Asks the daemon what the scope means for this call.
    ///
    /// # Errors
    /// If the scope doesn't fit the call, or permits nothing beside it.
    pub(super) async fn preview(
        daemon: &DaemonClient,
        task: &'a Task,
        scope: ApprovalScope,
        fresh: bool,
    ) -> CommandResult<Self> {
        let preview = daemon.request(PreviewScope { task: task.id, scope }).await?;
        let ScopePreview { offer: OfferedScope { permit, words, .. }, tools, waiting } = preview;
        let permit =
            permit.ok_or_else(|| CommandFailure::refused("this permits nothing beside the call itself"))?;
        let act = Act::from(&permit);
        let pattern = match &permit {
            ScopeChange::Grant { pattern, .. } | ScopeChange::Allow(pattern) => pattern,
        };
        let mut lines = vec![describe_task(task), format!("\nThis permits, too: {}.", escape_hidden(&words))];
        lines.extend(describe_reach(&tools, pattern, &act));
        lines.extend(describe_waiting(&waiting));
        Ok(Self { task, fresh, permit, shown: lines.join("\n") })
    }

    pub(super) fn act(&self) -> ConfirmedAct<'_> {
        ConfirmedAct::ApproveWith {
            tool: &self.task.call.tool,
            lines: self.shown.lines().count(),
            permit: &self.permit,
            fresh: self.fresh,
        }
    }

    /// Shows call and permit, asks for the confirmation of both, and approves.
    pub(super) async fn confirm(
        &self,
        daemon: &DaemonClient,
        person: &mut ConfirmationPrompt,
    ) -> CommandResult<ApprovedWith> {
        person.print_line(&self.shown)?;
        let request = |challenge| ApproveWith {
            task: self.task.id,
            fresh: self.fresh,
            permit: self.permit.clone(),
            challenge,
        };
        elevate::send_confirmed(daemon, person, &self.act(), request).await
    }
}

/// The other calls that wait and that the permit covers. They keep waiting: each is decided by itself.
fn describe_waiting(waiting: &[TaskId]) -> Option<String> {
    if waiting.is_empty() {
        return None;
    }
    let ids: Vec<String> = waiting.iter().map(|id| short_id(*id)).collect();
    let calls = pluralize(waiting.len(), "other waiting call is", "other waiting calls are");
    Some(format!("{calls} covered, and still to be approved: {}", ids.join(" ")))
}

/// What was made beside the approval, and how to end it.
///
/// # Errors
/// If only the call was approved.
pub(super) fn describe_permitted(permitted: &PermitResult) -> Result<String, CommandFailure> {
    match permitted {
        PermitResult::Granted(grant) => {
            let id = grant.id;
            Ok(format!("grant {id}: `{}` runs unasked; `portero revoke {id}` ends it", grant.pattern))
        }
        PermitResult::RuleMade(rule) => {
            let id = rule.id;
            Ok(format!("rule {id}: `{}` is allowed; `portero unrule {id}` ends it", rule.pattern))
        }
        PermitResult::Failed(failure) => Err(CommandFailure::from(failure.clone())),
    }
}
