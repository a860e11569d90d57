//! Rules: made for good, and ended.

use portero::clock::Moment;
use portero::pattern::Pattern;
use portero::policy::{Action, Rule};

use super::change::Former;
use super::{Rules, RulesError, covered, take_id};
use crate::passphrase::{Confirmed, What};
use crate::store::standing::Kept;
use crate::store::{StoreError, buttons};
use crate::taps::{Restricting, Restriction};

/// What came of a button that narrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restricted {
    /// This rule was made.
    Made(Rule),
    /// This rule says so already.
    Was(Rule),
}

impl Rules {
    /// Adds a rule that denies. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn deny(&self, pattern: Pattern, process: &str) -> Result<Rule, RulesError> {
        self.restrict(pattern, Action::Deny, process).await
    }

    /// Adds a rule that asks: what would run unasked asks from now on, whatever permitted it before. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn ask(&self, pattern: Pattern, process: &str) -> Result<Rule, RulesError> {
        self.restrict(pattern, Action::RequireApproval, process).await
    }

    async fn restrict(&self, pattern: Pattern, action: Action, process: &str) -> Result<Rule, RulesError> {
        let state = self.state.lock().await;
        let mut next = self.next(&state);
        let rule = add_rule(&mut next, pattern, action, self.parts.clock.now());
        let record = self.parts.journal.act(act(action), &rule.pattern.to_string(), true, Some(process));
        self.narrow(state, next, record).await?;
        Ok(rule)
    }

    /// Makes the rule that a button stands for, and uses the button in the same transaction; where a rule about
    /// exactly this tool says so already, it makes none. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk; a refusal when the button was used before.
    pub async fn restrict_tapped(&self, tapped: &Restricting) -> Result<Restricted, RulesError> {
        let Restriction { tool, to } = tapped.restriction();
        let state = self.state.lock().await;
        let (ticket, now) = (tapped.ticket().clone(), self.parts.clock.now());
        let key = ticket.key;
        // Here alone such buttons are used, one after the other.
        if self.parts.journal.store().read(move |store| buttons::is_used(store, &key))? {
            return Err(StoreError::Refused("this button was used already".to_owned()).into());
        }
        let mut next = self.next(&state);
        let restricts = next.standing.restricts(tool, to.action(), now);
        if let Some(rule) = restricts.filter(|_| !self.is_widening()) {
            return Ok(Restricted::Was(rule.clone()));
        }
        let rule = add_rule(&mut next, Pattern::from(tool), to.action(), now);
        let about = rule.pattern.to_string();
        let record = self.parts.journal.act(act(rule.action), &about, true, Some(&tapped.by()));
        self.narrow_by(state, next, record, Some((ticket, 1)), Former::Goes).await?;
        Ok(Restricted::Made(rule))
    }

    /// Adds a rule that allows, in place of those that ask for this very pattern. Widens.
    ///
    /// # Errors
    /// When it could not be recorded and stored; then it is not in force.
    pub async fn allow(&self, pattern: Pattern, confirmed: Confirmed) -> Result<Rule, RulesError> {
        covered(&confirmed, &What::Allow(&pattern))?;
        let widening = self.widening.lock().await;
        let state = self.state.lock().await;
        let mut next = self.next(&state);
        let replaced = next.standing.rules.extract_if(.., |rule| rule.is_replaced_by_allowing(&pattern));
        let replaced: Vec<_> = replaced.map(|rule| format!("in place of rule {}", rule.id)).collect();
        let rule = add_rule(&mut next, pattern, Action::Allow, self.parts.clock.now());
        let about = std::iter::once(rule.pattern.to_string()).chain(replaced).collect::<Vec<_>>().join(", ");
        let record = self.parts.journal.act(act(rule.action), &about, true, Some(confirmed.by()));
        self.widen(widening, state, next, record, confirmed.spends()).await?;
        Ok(rule)
    }

    /// Removes a rule. Removing anything but an allow widens.
    ///
    /// # Errors
    /// [`RulesError::NeedsConfirmation`], and as for the others.
    pub async fn unrule(
        &self,
        id: u64,
        confirmed: Option<Confirmed>,
        process: &str,
    ) -> Result<Rule, RulesError> {
        // What narrows waits for nothing that widens; a rule's action never changes.
        let is_allow = |rule: &Rule| rule.id == id && rule.action == Action::Allow;
        let widening = match &confirmed {
            Some(_) if !self.parts.policy.load().standing().rules.iter().any(is_allow) => {
                Some(self.widening.lock().await)
            }
            Some(_) | None => None,
        };
        let state = self.state.lock().await;
        let mut next = self.next(&state);
        let rules = &mut next.standing.rules;
        let place = rules.iter().position(|rule| rule.id == id);
        let rule = rules.remove(place.ok_or(RulesError::NotFound { what: "rule", id })?);
        let about = format!("{} {}", rule.action, rule.pattern);
        let act = |by: &str| self.parts.journal.act("unrule", &about, true, Some(by));
        match (rule.action, confirmed.zip(widening)) {
            (Action::Allow, _) => self.narrow(state, next, act(process)).await?,
            (Action::Deny | Action::RequireApproval, Some((confirmed, widening))) => {
                covered(&confirmed, &What::Unrule(rule.id, &rule.pattern))?;
                self.widen(widening, state, next, act(confirmed.by()), confirmed.spends()).await?;
            }
            (Action::Deny | Action::RequireApproval, None) => return Err(RulesError::NeedsConfirmation),
        }
        Ok(rule)
    }
}

fn add_rule(kept: &mut Kept, pattern: Pattern, action: Action, now: Moment) -> Rule {
    let rule = Rule { id: take_id(kept), pattern, action, made: now.wall };
    kept.standing.rules.push(rule.clone());
    rule
}

/// Making such a rule, in the words of the audit: as the terminal's commands.
const fn act(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::RequireApproval => "ask",
        Action::Deny => "deny",
    }
}
