//! A decision, its reason, and how both are worded.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::condition::ConditionReadings;
use super::{Action, DeniedCall, Grant, Quorum, UnacceptedDefinition};
use crate::pattern::Pattern;

/// An action with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The action.
    pub action: Action,
    /// The pattern that won; none if no rule or entry matched.
    pub pattern: Option<Pattern>,
    /// Where that pattern is written.
    pub source: DecisionSource,
    /// Whether a `locked` pattern or a quorum kept a rule or grant from loosening it.
    pub locked: bool,
    /// The case that matched the arguments, if one did. The source is then the case's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<MatchedCase>,
}

/// A case of an entry that matched a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedCase {
    /// Its one-based number in the entry.
    pub number: u32,
    /// Whether the arguments certainly meet its conditions. If that is unsure, the strictest case that could
    /// hold does.
    pub sure: bool,
}

/// A decision with everything that lost, for `portero why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The other decisions that matched, strongest first.
    pub losing: Vec<Decision>,
    /// Live grants that cover the tool, but other sessions, projects or calls than this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Grant>,
    /// The quorums that must be met before a call of the tool runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorums: Vec<Quorum>,
    /// What each condition of the case that decided says of the arguments, and by which readings of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<ConditionReadings>,
}

impl Explanation {
    /// Whether a grant lost because it is older than the rule that asks now.
    #[must_use]
    pub fn is_outdated_grant(&self, losing: &Decision) -> bool {
        let asks = self.decision.action == Action::RequireApproval;
        match (&self.decision.source, &losing.source) {
            // Ids of rules and grants come from one sequence, so the smaller one is older.
            (DecisionSource::Rule(rule), DecisionSource::Grant(grant)) => asks && grant < rule,
            _ => false,
        }
    }
}

/// Where an entry is written: a file with line and column, or a rule's or grant's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionSource {
    /// An entry of `policies.json`.
    Config {
        /// One-based line; 0 if the policy wasn't read from a file.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// An entry of the confirmed policy, where `policies.json` has something looser that waits for
    /// confirmation.
    Confirmed {
        /// One-based line in the file as it was confirmed; 0 if it wasn't read from a file.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// An entry of `telegram.quorum` of `portero.json`.
    Quorum {
        /// One-based line; 0 if it wasn't read from a file.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// A confirmed entry of `telegram.quorum`, where the file has something looser that waits for
    /// confirmation.
    ConfirmedQuorum {
        /// One-based line in the file as it was confirmed; 0 if it wasn't read from a file.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// A persistent rule, by its id.
    Rule(u64),
    /// A grant, by its id.
    Grant(u64),
    /// No rule or entry matched.
    Default,
    /// It is one of Portero's own tools, and no entry that names it denies it.
    Builtin,
    /// The definition of an allowed tool isn't accepted.
    Definition(UnacceptedDefinition),
    /// A person paused all calls at this moment.
    Pause(jiff::Timestamp),
    /// A person denied exactly this call a moment ago.
    Denial(Box<DeniedCall>),
}

/// The text of an answer to the agent: action and rule, never a value.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let DecisionSource::Pause(since) = self.source {
            let since = since.strftime("%Y-%m-%d %H:%M:%SZ");
            return write!(
                f,
                "paused by a person since {since}: no call runs and none can be approved before they run \
                 `portero resume`"
            );
        }
        if let DecisionSource::Denial(denied) = &self.source {
            return denied.fmt(f);
        }
        if let DecisionSource::Definition(why) = self.source {
            let why = match why {
                UnacceptedDefinition::Changed => "its definition changed since it was accepted",
                UnacceptedDefinition::New => "it is new on its server",
            };
            return write!(f, "needs approval: {why}; `portero pins` shows it and accepts it");
        }
        if self.source == DecisionSource::Builtin {
            return f.write_str("allowed: it is Portero's own tool, which only a deny that names it stops");
        }
        let verb = match (self.action, &self.source) {
            (Action::Allow, _) => "allowed",
            (
                Action::RequireApproval,
                DecisionSource::Quorum { .. } | DecisionSource::ConfirmedQuorum { .. },
            ) => "needs the approval of several people",
            (Action::RequireApproval, _) => "needs approval",
            (Action::Deny, _) => "denied",
        };
        match &self.pattern {
            Some(pattern) => match self.case {
                None => write!(f, "{verb} by `{pattern}` ({})", self.source)?,
                Some(MatchedCase { number, sure: true }) => {
                    write!(f, "{verb} by `{pattern}`, case {number} ({})", self.source)?;
                }
                Some(MatchedCase { number, sure: false }) => {
                    let unsure = "its conditions cannot be told from the arguments";
                    write!(f, "{verb} by `{pattern}`, case {number} ({}): {unsure}", self.source)?;
                }
            },
            None => write!(f, "{verb}: no rule covers it (default)")?,
        }
        if self.locked { f.write_str("; locked, so no rule and no grant loosens it") } else { Ok(()) }
    }
}

impl DecisionSource {
    /// Reads back the rule or grant that a decision's text names, if it names one.
    #[must_use]
    pub fn parse_from_text(words: &str) -> Option<Self> {
        let (_, place) = words.rsplit_once(" (")?;
        let (place, _) = place.split_once(')')?;
        match place.split_once(' ')? {
            ("rule", id) => id.parse().ok().map(Self::Rule),
            ("grant", id) => id.parse().ok().map(Self::Grant),
            _ => None,
        }
    }
}

impl fmt::Display for DecisionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { line: 0, .. } => f.write_str("policies.json"),
            Self::Config { line, column } => write!(f, "policies.json:{line}:{column}"),
            Self::Confirmed { line: 0, .. } => f.write_str("policies.json as confirmed"),
            Self::Confirmed { line, column } => write!(f, "policies.json:{line}:{column} as confirmed"),
            Self::Quorum { line: 0, .. } => f.write_str("portero.json"),
            Self::Quorum { line, column } => write!(f, "portero.json:{line}:{column}"),
            Self::ConfirmedQuorum { line: 0, .. } => f.write_str("portero.json as confirmed"),
            Self::ConfirmedQuorum { line, column } => write!(f, "portero.json:{line}:{column} as confirmed"),
            Self::Rule(id) => write!(f, "rule {id}"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Default => f.write_str("the default"),
            Self::Builtin => f.write_str("Portero's own tool"),
            Self::Definition(_) => f.write_str("the pinned definition"),
            Self::Pause(_) => f.write_str("a pause"),
            Self::Denial(denied) => write!(f, "the denial of task {}", denied.task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_decision_name_its_rule_or_grant() {
        for source in [
            DecisionSource::Rule(7),
            DecisionSource::Grant(12),
            DecisionSource::Config { line: 3, column: 4 },
            DecisionSource::Default,
            DecisionSource::Builtin,
        ] {
            let named =
                matches!(source, DecisionSource::Rule(_) | DecisionSource::Grant(_)).then(|| source.clone());
            for case in [None, Some(MatchedCase { number: 2, sure: true })] {
                for pattern in ["a/b", "a/{b,rule 3}"] {
                    let pattern = pattern.parse().ok();
                    let action = Action::Allow;
                    let decision = Decision { action, pattern, source: source.clone(), locked: true, case };
                    let words = decision.to_string();
                    if decision.pattern.is_some() {
                        assert_eq!(DecisionSource::parse_from_text(&words), named, "{words}");
                    }
                }
            }
        }
        assert_eq!(DecisionSource::parse_from_text("a person approved it"), None);
    }
}
