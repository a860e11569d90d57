//! The rules, grants and pause that people set at run time.

use serde::{Deserialize, Serialize};

use super::{Action, CallDenials, DecisionSource, DefinitionPins, Grant, PolicyEntry};
use crate::clock::Moment;
use crate::names::ToolId;
use crate::pattern::Pattern;

/// A persistent rule that a person made at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Its id, for `unrule`.
    pub id: u64,
    /// The tools that it covers.
    pub pattern: Pattern,
    /// The action. A rule that asks counts only for calls that would not be denied without it.
    pub action: Action,
    /// When it was made.
    pub made: jiff::Timestamp,
}

/// The rules, grants, pause and denials that people set at run time, with their epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Raised by one with every change.
    pub epoch: u64,
    /// The persistent rules.
    pub rules: Vec<PolicyRule>,
    /// The grants; some may have expired.
    pub grants: Vec<Grant>,
    /// The boot against which `grants` are checked.
    pub boot_id: String,
    /// When a person paused everything, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<jiff::Timestamp>,
    /// The denials of single calls.
    #[serde(default, skip_serializing_if = "CallDenials::is_empty")]
    pub denials: CallDenials,
    /// The definitions that count as accepted.
    #[serde(default, skip_serializing_if = "DefinitionPins::is_empty")]
    pub definition_pins: DefinitionPins,
}

impl Overrides {
    /// Whether a pause, or a rule that denies or asks, applies to this tool.
    #[must_use]
    pub fn narrows(&self, tool: &ToolId) -> bool {
        let restricts = |rule: &PolicyRule| rule.action != Action::Allow && rule.pattern.matches(tool);
        self.paused.is_some() || self.rules.iter().any(restricts)
    }
}

impl PolicyRule {
    /// Whether an allowing rule for this pattern replaces this rule. An asking rule for the very same pattern
    /// would otherwise outweigh the new one for good.
    #[must_use]
    pub fn is_replaced_by_allowing(&self, pattern: &Pattern) -> bool {
        self.action == Action::RequireApproval && self.pattern == *pattern
    }

    /// The rule as an entry of its layer.
    pub(super) fn to_entry(&self) -> PolicyEntry {
        PolicyEntry {
            pattern: self.pattern.clone(),
            action: self.action,
            cases: Vec::new(),
            source: DecisionSource::Rule(self.id),
        }
    }
}

impl Overrides {
    /// The rule for exactly this tool that already has the effect of `action`, so that another one would
    /// change nothing.
    #[must_use]
    pub fn restricting_rule(&self, tool: &ToolId, action: Action, now: Moment) -> Option<&PolicyRule> {
        let by = |action| {
            let about =
                move |rule: &&PolicyRule| rule.action == action && rule.pattern.exact_tool() == Some(tool);
            self.rules.iter().filter(about).max_by_key(|rule| rule.id)
        };
        let permits_since = |rule: &&PolicyRule| {
            let permits = |grant: &Grant| grant.id > rule.id && grant.pattern.matches(tool);
            self.grants.iter().any(|grant| permits(grant) && grant.is_live(&self.boot_id, now))
        };
        match action {
            Action::Allow => by(Action::Allow),
            Action::RequireApproval => {
                // A deny covers asking too. An asking rule counts only if no newer grant lifts it.
                by(Action::Deny).or_else(|| by(action).filter(|rule| !permits_since(rule)))
            }
            Action::Deny => by(Action::Deny),
        }
    }

    /// Asking rules that are newer than this grant and may cover the same tools. The grant counts for nothing
    /// there.
    pub fn asking_rules_since<'a>(&'a self, grant: &'a Grant) -> impl Iterator<Item = &'a PolicyRule> + 'a {
        self.rules.iter().filter(|rule| {
            rule.action == Action::RequireApproval
                && rule.id > grant.id
                && rule.pattern.may_overlap(&grant.pattern)
        })
    }

    /// The part that holds while the daemon can't be reached (guarantee D4): everything that narrows. Grants
    /// and allowing rules are void, also where they lifted a denial.
    #[must_use]
    pub fn restrictive_only(&self) -> Self {
        Self {
            epoch: self.epoch,
            rules: self.rules.iter().filter(|rule| rule.action != Action::Allow).cloned().collect(),
            grants: Vec::new(),
            boot_id: self.boot_id.clone(),
            paused: self.paused,
            denials: self.denials.clone(),
            definition_pins: self.definition_pins.clone(),
        }
    }
}
