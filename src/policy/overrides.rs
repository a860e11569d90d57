//! The rules, grants and pause that people set since the configuration was written.

use serde::{Deserialize, Serialize};

use super::{Action, DecisionSource, Grant, PolicyEntry};
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
    /// The action; one that asks counts only for calls that would not be denied without it.
    pub action: Action,
    /// When it was made.
    pub made: jiff::Timestamp,
}

/// What a person changed at run time: the rules and grants in force, whether everything is paused, and their
/// epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Grows by one with every change.
    pub epoch: u64,
    /// The persistent rules.
    pub rules: Vec<PolicyRule>,
    /// The grants, some perhaps expired.
    pub grants: Vec<Grant>,
    /// The boot that `grants` are compared with.
    pub boot_id: String,
    /// Since when a person has paused everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<jiff::Timestamp>,
}

impl Overrides {
    /// Whether a pause, or a rule that denies or asks, holds for this tool.
    #[must_use]
    pub fn narrows(&self, tool: &ToolId) -> bool {
        let restricts = |rule: &PolicyRule| rule.action != Action::Allow && rule.pattern.matches(tool);
        self.paused.is_some() || self.rules.iter().any(restricts)
    }
}

impl PolicyRule {
    /// Whether a rule that allows this pattern takes the place of this one: it asks for the very same, and would
    /// outweigh it for good.
    #[must_use]
    pub fn is_replaced_by_allowing(&self, pattern: &Pattern) -> bool {
        self.action == Action::RequireApproval && self.pattern == *pattern
    }

    /// Arranged for deciding.
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
    /// The rule about exactly this tool by which it asks or is denied already, so that another one with this action
    /// would change nothing.
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
                by(Action::Deny).or_else(|| by(action).filter(|rule| !permits_since(rule)))
            }
            Action::Deny => by(Action::Deny),
        }
    }

    /// Rules that ask, were made after this grant and may be about the same tools: it counts for nothing there.
    pub fn asking_rules_since<'a>(&'a self, grant: &'a Grant) -> impl Iterator<Item = &'a PolicyRule> + 'a {
        self.rules.iter().filter(|rule| {
            rule.action == Action::RequireApproval
                && rule.id > grant.id
                && rule.pattern.may_overlap(&grant.pattern)
        })
    }

    /// The part that holds while the daemon can't be reached (guarantee D4): everything that narrows. Grants and
    /// allowing rules are void.
    #[must_use]
    pub fn restrictive_only(&self) -> Self {
        Self {
            epoch: self.epoch,
            rules: self.rules.iter().filter(|rule| rule.action != Action::Allow).cloned().collect(),
            grants: Vec::new(),
            boot_id: self.boot_id.clone(),
            paused: self.paused,
        }
    }
}
