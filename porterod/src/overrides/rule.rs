//! Rules without an end: making and removing them.

use portero::clock::Moment;
use portero::ipc::Act;
use portero::names::Actor;
use portero::pattern::Pattern;
use portero::policy::{Action, PolicyRule};

use super::change::FormerFile;
use super::{OverrideStore, OverridesError, check_covers, next_id};
use crate::auth::Authorization;
use crate::auth::buttons::{ButtonPress, Restriction};
use crate::store::overrides::OverridesRecord;
use crate::store::{StoreError, buttons};

/// The result of a button that narrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestrictionOutcome {
    /// This rule was made.
    Made(PolicyRule),
    /// This rule already says so.
    AlreadyThere(PolicyRule),
}

impl OverrideStore {
    /// Adds a rule that denies. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk.
    pub async fn add_deny_rule(
        &self,
        pattern: Pattern,
        process: &Actor,
    ) -> Result<PolicyRule, OverridesError> {
        self.add_restricting_rule(pattern, Action::Deny, process).await
    }

    /// Adds a rule that asks: calls that would run without a question ask from now on, whatever permitted
    /// them. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk.
    pub async fn add_ask_rule(
        &self,
        pattern: Pattern,
        process: &Actor,
    ) -> Result<PolicyRule, OverridesError> {
        self.add_restricting_rule(pattern, Action::RequireApproval, process).await
    }

    async fn add_restricting_rule(
        &self,
        pattern: Pattern,
        action: Action,
        process: &Actor,
    ) -> Result<PolicyRule, OverridesError> {
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let act = Act::make_rule(pattern.clone(), action);
        let rule = push_rule(&mut next, pattern, action, self.deps.clock.now());
        let record = self.deps.journal.act_record(act.word(), &act.about(), true, Some(process));
        self.apply_narrowing(state, next, record).await?;
        Ok(rule)
    }

    /// Makes the rule of a button and uses the button up in the same transaction. If a rule for exactly this
    /// tool already says so, no rule is made. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk; a refusal if the button was used before.
    pub async fn restrict_by_button(
        &self,
        tapped: &ButtonPress<Restriction>,
    ) -> Result<RestrictionOutcome, OverridesError> {
        let Restriction { tool, to } = tapped.action();
        let state = self.state.lock().await;
        let (key, now) = (tapped.ticket().key, self.deps.clock.now());
        // Such buttons are used only here and under the lock, so a check before the transaction is enough.
        if self.deps.journal.store().read(move |store| buttons::is_used(store, &key))? {
            return Err(StoreError::Refused("this button was used already".to_owned()).into());
        }
        let mut next = self.begin_change(&state);
        let restricts = next.overrides.restricting_rule(tool, to.action(), now);
        // A widening change in progress might remove that rule, so then a new one is made with a later epoch.
        if let Some(rule) = restricts.filter(|_| !self.is_elevating()) {
            let there = RestrictionOutcome::AlreadyThere(rule.clone());
            self.spread_unchanged(state).await;
            return Ok(there);
        }
        let rule = push_rule(&mut next, Pattern::from(tool), to.action(), now);
        let act = tapped.action().act();
        let record = self.deps.journal.act_record(act.word(), &act.about(), true, Some(&tapped.by()));
        let consumes = Some(tapped.ticket().step(1));
        self.apply_narrowing_with(state, next, Some(record), consumes, FormerFile::Remove).await?;
        Ok(RestrictionOutcome::Made(rule))
    }

    /// Adds a rule that allows; it replaces the asking rules with the same pattern. Widens.
    ///
    /// # Errors
    /// If it could not be recorded and stored; then it doesn't apply.
    pub async fn add_allow_rule(
        &self,
        pattern: Pattern,
        confirmed: Authorization,
    ) -> Result<PolicyRule, OverridesError> {
        let act = Act::Allow(pattern.clone());
        check_covers(&confirmed, &act)?;
        let widening = self.elevating.lock().await;
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let replaced = next.overrides.rules.extract_if(.., |rule| rule.is_replaced_by_allowing(&pattern));
        let replaced: Vec<_> = replaced.map(|rule| format!("in place of rule {}", rule.id)).collect();
        let rule = push_rule(&mut next, pattern, Action::Allow, self.deps.clock.now());
        let about = std::iter::once(act.about()).chain(replaced).collect::<Vec<_>>().join(", ");
        self.apply_elevation(widening, state, next, &about, confirmed).await?;
        Ok(rule)
    }

    /// Removes a rule. Removing any rule but an allowing one widens.
    ///
    /// # Errors
    /// [`OverridesError::NeedsConfirmation`], and as for the other changes.
    pub async fn remove_rule(
        &self,
        id: u64,
        confirmed: Option<Authorization>,
        process: &Actor,
    ) -> Result<PolicyRule, OverridesError> {
        // Removing an allowing rule narrows, so it must not wait for `elevating`. Checking before the lock is
        // safe, because a rule's action never changes.
        let is_allow = |rule: &PolicyRule| rule.id == id && rule.action == Action::Allow;
        let widening = match &confirmed {
            Some(_) if !self.deps.policy.load().overrides().rules.iter().any(is_allow) => {
                Some(self.elevating.lock().await)
            }
            Some(_) | None => None,
        };
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let rules = &mut next.overrides.rules;
        let place = rules.iter().position(|rule| rule.id == id);
        let rule = rules.remove(place.ok_or(OverridesError::NotFound { what: "rule", id })?);
        let about = format!("{} {}", rule.action, rule.pattern);
        let act = Act::RemoveRule(rule.id, rule.pattern.clone(), rule.action);
        match (rule.action, confirmed.zip(widening)) {
            (Action::Allow, _) => {
                let record = self.deps.journal.act_record(act.word(), &about, true, Some(process));
                self.apply_narrowing(state, next, record).await?;
            }
            (Action::Deny | Action::RequireApproval, Some((confirmed, widening))) => {
                check_covers(&confirmed, &act)?;
                self.apply_elevation(widening, state, next, &about, confirmed).await?;
            }
            (Action::Deny | Action::RequireApproval, None) => return Err(OverridesError::NeedsConfirmation),
        }
        Ok(rule)
    }
}

fn push_rule(kept: &mut OverridesRecord, pattern: Pattern, action: Action, now: Moment) -> PolicyRule {
    let rule = PolicyRule { id: next_id(kept), pattern, action, made: now.wall };
    kept.overrides.rules.push(rule.clone());
    rule
}
