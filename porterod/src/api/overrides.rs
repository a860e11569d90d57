//! Rules, grants and the pause. A change is in force in every session before it is answered.

use std::sync::Arc;
use std::time::Duration;

use portero::config::duration::show;
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, ExplainDecision, GetOverrides, GetUnsaved, Pause, PreviewChange, RemoveRule,
    Resume, RevokeGrants,
};
use portero::ipc::{Acting, Failure, FailureKind, Unsaved};
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::policy::{Action, Explanation, Grant, Rule, Standing};

use super::attempt::Attempt;
use super::challenge::{Confirming, confirm};
use super::{PersonCaller, PersonRequest, failure, preview};
use crate::consent::Outcome;
use crate::daemon::Daemon;
use crate::passphrase::What;
use crate::rules::{RulesError, Wanted, grants_in_words};

impl PersonRequest for CreateGrant {
    fn attempt(&self) -> Option<Attempt> {
        let Self { pattern, millis, limits, .. } = self;
        Some(Attempt::new(
            "grant",
            format!("{pattern} for {} {limits}", show(Duration::from_millis(*millis))),
        ))
    }

    fn outcome(grant: &Grant) -> Outcome {
        Outcome::Granted(Box::new(grant.clone()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<Grant, Failure> {
        let Self { pattern, millis, limits, challenge } = self;
        let wanted = Wanted { pattern, lasts: Duration::from_millis(millis), limits };
        grant(daemon, caller.by, wanted, caller.confirming(challenge)).await
    }
}

/// A new grant, once it is confirmed.
pub(super) async fn grant(
    daemon: &Daemon,
    by: &str,
    wanted: Wanted,
    confirming: Confirming,
) -> Result<Grant, Failure> {
    let lasts = wanted.lasts;
    let longest = check_grant_duration(daemon, lasts)?;
    let what = What::Grant(&wanted.pattern, lasts, &wanted.limits);
    let confirmed = confirm(daemon, by, confirming, what).await?;
    let granted = daemon.rules.grant(wanted, longest, confirmed).await;
    daemon.enforce().await;
    granted.map_err(|error| failure::of_rules(&error))
}

/// The longest grant that the configuration permits; refuses one that would last longer.
pub(super) fn check_grant_duration(daemon: &Daemon, lasts: Duration) -> Result<Duration, Failure> {
    let longest = daemon.approvals.load().grant_most;
    if lasts <= longest {
        return Ok(longest);
    }
    let message = format!("a grant lasts at most {}, and {} were asked for", show(longest), show(lasts));
    Err(Failure::new(FailureKind::Refused, message)
        .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}

impl PersonRequest for RevokeGrants {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new(
            "revoke",
            match &self.which {
                Acting::All => "every grant".to_owned(),
                Acting::On(ids) => grants_in_words(ids),
            },
        ))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, Failure> {
        let ids = match &self.which {
            Acting::On(ids) => Some(ids.as_slice()),
            Acting::All => None,
        };
        let ended = daemon.rules.revoke(ids, caller.by).await;
        daemon.enforce().await;
        ended.map_err(|error| failure::of_rules(&error))
    }
}

impl PersonRequest for CreateRule {
    fn attempt(&self) -> Option<Attempt> {
        let act = match self.action {
            Action::Deny => "deny",
            Action::RequireApproval => "ask",
            Action::Allow => "allow",
        };
        Some(Attempt::new(act, self.pattern.to_string()))
    }

    fn outcome(rule: &Rule) -> Outcome {
        Outcome::Ruled(Box::new(rule.clone()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<Rule, Failure> {
        let Self { pattern, action, challenge } = self;
        match action {
            Action::Deny => deny(daemon, caller.by, pattern).await,
            Action::RequireApproval => {
                let made = daemon.rules.ask(pattern, caller.by).await;
                daemon.enforce().await;
                made.map_err(|error| failure::of_rules(&error))
            }
            Action::Allow => {
                let confirming = caller.confirming(challenge.unwrap_or_default());
                allow(daemon, caller.by, pattern, confirming).await
            }
        }
    }
}

/// A new rule that denies.
pub(super) async fn deny(daemon: &Daemon, by: &str, pattern: Pattern) -> Result<Rule, Failure> {
    let made = daemon.rules.deny(pattern, by).await;
    daemon.enforce().await;
    made.map_err(|error| failure::of_rules(&error))
}

/// A new rule that allows, once it is confirmed.
pub(super) async fn allow(
    daemon: &Daemon,
    by: &str,
    pattern: Pattern,
    confirming: Confirming,
) -> Result<Rule, Failure> {
    let confirmed = confirm(daemon, by, confirming, What::Allow(&pattern)).await?;
    let made = daemon.rules.allow(pattern, confirmed).await;
    daemon.enforce().await;
    made.map_err(|error| failure::of_rules(&error))
}

impl PersonRequest for RemoveRule {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("unrule", format!("rule {}", self.id)))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), Failure> {
        let confirming = caller.confirming_where_given(self.challenge);
        remove_rule(daemon, caller.by, self.id, confirming).await
    }
}

/// The end of a rule, once it is confirmed where that widens.
pub(super) async fn remove_rule(
    daemon: &Daemon,
    by: &str,
    id: u64,
    confirming: Option<Confirming>,
) -> Result<(), Failure> {
    let unknown = || failure::of_rules(&RulesError::NotFound { what: "rule", id });
    let confirmed = match confirming {
        Some(confirming) => {
            // The id of one is not used again.
            let rules = daemon.rules.standing().rules;
            let rule = rules.iter().find(|rule| rule.id == id).ok_or_else(unknown)?;
            Some(confirm(daemon, by, confirming, What::Unrule(id, &rule.pattern)).await?)
        }
        None => None,
    };
    let removed = daemon.rules.unrule(id, confirmed, by).await;
    daemon.enforce().await;
    removed.map(drop).map_err(|error| failure::of_rules(&error))
}

impl PersonRequest for Pause {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("pause", "everything".to_owned()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<Standing, Failure> {
        let paused = daemon.rules.pause(caller.by).await;
        daemon.enforce().await;
        paused.map(|_| daemon.rules.standing()).map_err(|error| failure::of_rules(&error))
    }
}

impl PersonRequest for Resume {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("resume", "everything".to_owned()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<bool, Failure> {
        resume(daemon, caller.by, caller.confirming(self.challenge)).await
    }
}

/// The end of a pause, once it is confirmed; whether calls were paused.
pub(super) async fn resume(daemon: &Daemon, by: &str, confirming: Confirming) -> Result<bool, Failure> {
    let confirmed = confirm(daemon, by, confirming, What::Resume).await?;
    let resumed = daemon.rules.resume(confirmed).await;
    daemon.enforce().await;
    let since = resumed.map_err(|error| failure::of_rules(&error))?;
    // Every session goes on before the first approved call starts.
    daemon.desk.resumed();
    Ok(since.is_some())
}

impl PersonRequest for GetOverrides {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Standing, Failure> {
        Ok(daemon.rules.standing())
    }
}

impl PersonRequest for GetUnsaved {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Option<Unsaved>, Failure> {
        Ok(unsaved(daemon))
    }
}

/// What is in force and not saved yet; none where all of it is.
pub(super) fn unsaved(daemon: &Daemon) -> Option<Unsaved> {
    let rules = daemon.rules.unsaved();
    let rejected = daemon.desk.unsaved();
    if rules.is_none() && rejected.is_none() {
        return None;
    }
    let (problem, tasks) = rejected.unwrap_or_default();
    let unsaved = rules.unwrap_or_else(|| Unsaved { problem, ..Unsaved::default() });
    Some(Unsaved { tasks, ..unsaved })
}

impl PersonRequest for ExplainDecision {
    /// Arguments are concealed first: policy sees what an agent writes.
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Explanation>, Failure> {
        let anonymizer = daemon.anonymizer.load();
        let concealed = self.arguments.map(|arguments| anonymizer.conceal_own(arguments)).transpose();
        let arguments = concealed.map_err(|leak| Failure::new(FailureKind::Refused, leak.to_string()))?;
        let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
        Ok(Box::new(daemon.policy.load().explain(&self.tool, arguments, None, daemon.clock.now())))
    }
}

impl PersonRequest for PreviewChange {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<(ToolId, Action)>, Failure> {
        preview::tools(daemon, &self.pattern, self.by).await
    }
}
