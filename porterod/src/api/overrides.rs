//! Rules, grants and the pause. A change applies in every session before its answer.

use std::sync::Arc;
use std::time::Duration;

use portero::config::duration::format_duration;
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, ExplainDecision, GetOverrides, GetUnsaved, Pause, PreviewChange, RemoveRule,
    Resume, RevokeGrants,
};
use portero::ipc::{Act, DaemonFailure, FailureKind, GrantSelection, UnsavedChanges, describe_rule_id};
use portero::names::{Actor, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Explanation, Grant, Overrides, PolicyRule};

use super::attempt::Attempt;
use super::concealed_limits::conceal_limits;
use super::confirmation::Confirmation;
use super::{PersonCaller, PersonRequest, failure, preview, waiting};
use crate::auth::remote_confirmation::ActOutcome;
use crate::daemon::Daemon;
use crate::overrides::{GrantRequest, OverridesError};

impl PersonRequest for CreateGrant {
    fn attempt(&self) -> Option<Attempt> {
        let Self { pattern, millis, limits, .. } = self;
        Some((&Act::Grant(pattern.clone(), *millis, limits.clone())).into())
    }

    fn outcome(grant: &Grant) -> ActOutcome {
        ActOutcome::Granted(Box::new(grant.clone()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<Grant, DaemonFailure> {
        let Self { pattern, millis, limits, run_waiting, challenge } = self;
        let limits = conceal_limits(&daemon.anonymizer.load(), limits)?;
        let wanted = GrantRequest { pattern, duration: Duration::from_millis(millis), limits };
        let granted = grant(daemon, caller.by, wanted, caller.confirmation(challenge)).await?;
        waiting::run_confirmed(daemon, run_waiting, caller.by).await;
        Ok(granted)
    }
}

/// Makes a grant, once it is confirmed.
pub(super) async fn grant(
    daemon: &Daemon,
    by: &Actor,
    wanted: GrantRequest,
    confirmation: Confirmation,
) -> Result<Grant, DaemonFailure> {
    let lasts = wanted.duration;
    // Checked before the challenge, so a grant that is too long costs no try.
    let longest = check_grant_duration(daemon, lasts)?;
    let confirmed = confirmation.authorize(daemon, by, &wanted.act()).await?;
    let granted = daemon.overrides.make_grant(wanted, longest, confirmed).await;
    granted.map_err(|error| failure::of_overrides(&error))
}

/// Returns the longest grant that the configuration permits; refuses a longer one.
pub(super) fn check_grant_duration(daemon: &Daemon, lasts: Duration) -> Result<Duration, DaemonFailure> {
    let longest = daemon.config.current().settings.approvals.max_grant_duration;
    if lasts <= longest {
        return Ok(longest);
    }
    let message = format!(
        "a grant lasts at most {}, and {} were asked for",
        format_duration(longest),
        format_duration(lasts)
    );
    Err(DaemonFailure::new(FailureKind::Refused, message)
        .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}

impl PersonRequest for RevokeGrants {
    fn attempt(&self) -> Option<Attempt> {
        let ids = match &self.which {
            GrantSelection::Ids(ids) => Some(ids.clone()),
            GrantSelection::All => None,
        };
        Some((&Act::Revoke(ids)).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let ids = match &self.which {
            GrantSelection::Ids(ids) => Some(ids.as_slice()),
            GrantSelection::All => None,
        };
        let ended = daemon.overrides.revoke_grants(ids, caller.by).await;
        ended.map_err(|error| failure::of_overrides(&error))
    }
}

impl PersonRequest for CreateRule {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::make_rule(self.pattern.clone(), self.action)).into())
    }

    fn outcome(rule: &PolicyRule) -> ActOutcome {
        ActOutcome::RuleMade(Box::new(rule.clone()))
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<PolicyRule, DaemonFailure> {
        let Self { pattern, action, run_waiting, challenge } = self;
        match action {
            Action::Deny => deny(daemon, caller.by, pattern).await,
            Action::RequireApproval => {
                let made = daemon.overrides.add_ask_rule(pattern, caller.by).await;
                made.map_err(|error| failure::of_overrides(&error))
            }
            Action::Allow => {
                let confirmation = caller.confirmation(challenge.unwrap_or_default());
                let made = allow(daemon, caller.by, pattern, confirmation).await?;
                waiting::run_confirmed(daemon, run_waiting, caller.by).await;
                Ok(made)
            }
        }
    }
}

/// Makes a rule that denies; it needs no proof, because it narrows.
pub(super) async fn deny(daemon: &Daemon, by: &Actor, pattern: Pattern) -> Result<PolicyRule, DaemonFailure> {
    let made = daemon.overrides.add_deny_rule(pattern, by).await;
    made.map_err(|error| failure::of_overrides(&error))
}

/// Makes a rule that allows, once it is confirmed.
pub(super) async fn allow(
    daemon: &Daemon,
    by: &Actor,
    pattern: Pattern,
    confirmation: Confirmation,
) -> Result<PolicyRule, DaemonFailure> {
    let confirmed = confirmation.authorize(daemon, by, &Act::Allow(pattern.clone())).await?;
    let made = daemon.overrides.add_allow_rule(pattern, confirmed).await;
    made.map_err(|error| failure::of_overrides(&error))
}

impl PersonRequest for RemoveRule {
    fn attempt(&self) -> Option<Attempt> {
        // The rule's content is unknown until the rule is found.
        Some(Attempt { word: Act::REMOVE_RULE_WORD.to_owned(), about: describe_rule_id(self.id) })
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let confirmation = self.challenge.map(|challenge| caller.confirmation(challenge));
        remove_rule(daemon, caller.by, self.id, confirmation).await
    }
}

/// Removes a rule, once it is confirmed if that widens.
pub(super) async fn remove_rule(
    daemon: &Daemon,
    by: &Actor,
    id: u64,
    confirmation: Option<Confirmation>,
) -> Result<(), DaemonFailure> {
    let unknown = || failure::of_overrides(&OverridesError::NotFound { what: "rule", id });
    let confirmed = match confirmation {
        Some(confirmation) => {
            // An id is never used again, so the rule can't be another one by the time of the removal.
            let rules = daemon.overrides.overrides().rules;
            let rule = rules.iter().find(|rule| rule.id == id).ok_or_else(unknown)?;
            let act = Act::RemoveRule(id, rule.pattern.clone(), rule.action);
            Some(confirmation.authorize(daemon, by, &act).await?)
        }
        None => None,
    };
    let removed = daemon.overrides.remove_rule(id, confirmed, by).await;
    removed.map(drop).map_err(|error| failure::of_overrides(&error))
}

impl PersonRequest for Pause {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Pause).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Overrides, DaemonFailure> {
        let paused = daemon.overrides.pause_all(caller.by).await;
        paused.map(|_| daemon.overrides.overrides()).map_err(|error| failure::of_overrides(&error))
    }
}

impl PersonRequest for Resume {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Resume).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<bool, DaemonFailure> {
        resume(daemon, caller.by, caller.confirmation(self.challenge)).await
    }
}

/// Ends the pause, once it is confirmed; returns whether calls were paused.
pub(super) async fn resume(
    daemon: &Daemon,
    by: &Actor,
    confirmation: Confirmation,
) -> Result<bool, DaemonFailure> {
    let confirmed = confirmation.authorize(daemon, by, &Act::Resume).await?;
    let resumed = daemon.overrides.resume_all(confirmed).await;
    let since = resumed.map_err(|error| failure::of_overrides(&error))?;
    // Every session resumes before the first approved call starts.
    daemon.approval_queue.wake_executor();
    Ok(since.is_some())
}

impl PersonRequest for GetOverrides {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Overrides, DaemonFailure> {
        Ok(daemon.overrides.overrides())
    }
}

impl PersonRequest for GetUnsaved {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Option<UnsavedChanges>, DaemonFailure> {
        Ok(unsaved(daemon))
    }
}

/// The changes that apply and are not saved yet; `None` if all are saved.
pub(super) fn unsaved(daemon: &Daemon) -> Option<UnsavedChanges> {
    let rules = daemon.overrides.unsaved_changes();
    let rejected = daemon.approval_queue.rejections().list_unsaved();
    if rules.is_none() && rejected.is_none() {
        return None;
    }
    let (problem, tasks) = rejected.unwrap_or_default();
    let unsaved = rules.unwrap_or_else(|| UnsavedChanges { problem, ..UnsavedChanges::default() });
    Some(UnsavedChanges { tasks, ..unsaved })
}

impl PersonRequest for ExplainDecision {
    /// Explains a decision. Arguments are concealed first, because the policy sees an agent's calls in that
    /// form.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Box<Explanation>, DaemonFailure> {
        let anonymizer = daemon.anonymizer.load();
        let concealed = self.arguments.map(|arguments| anonymizer.conceal_arguments(arguments)).transpose();
        let arguments =
            concealed.map_err(|leak| DaemonFailure::new(FailureKind::Refused, leak.to_string()))?;
        let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
        Ok(Box::new(daemon.policy.load().explain(&self.tool, arguments, None, daemon.clock.now())))
    }
}

impl PersonRequest for PreviewChange {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<(ToolId, Action)>, DaemonFailure> {
        preview::tools(daemon, &self.act).await
    }
}
