//! Whether a call is allowed, refused, or a question for a person.
//!
//! [`Policy::decide`] is a pure function of the tool, its arguments, the rules, the grants and the moment
//! (guarantees P1, P2, P6). The order in which anything was written never matters.

pub mod denies;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Moment;
use crate::names::ToolId;
use crate::pattern::Pattern;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It runs.
    Allow,
    /// A person is asked.
    RequireApproval,
    /// It is refused.
    Deny,
}

/// Where an entry was written, for people: a file with line and column, or a rule's or grant's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// An entry of `policies.json`.
    Config {
        /// One-based line; 0 when the policy was not read from a file.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// A persistent rule, by its id.
    Rule(u64),
    /// A grant, by its id.
    Grant(u64),
    /// Nothing was said.
    Default,
}

/// One entry of `policies.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub pattern: Pattern,
    /// What it says.
    pub action: Action,
    /// Where it stands.
    pub source: Source,
}

/// The configured policy: `policies.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPolicy {
    /// The entries, in no meaningful order.
    pub entries: Vec<Entry>,
    /// What holds where no entry matches.
    pub default: Action,
    /// Patterns whose configured decision no rule and no grant can loosen.
    pub locked: Vec<Pattern>,
}

impl Default for ConfigPolicy {
    fn default() -> Self {
        Self { entries: Vec::new(), default: Action::RequireApproval, locked: Vec::new() }
    }
}

/// A persistent rule that a person made at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id, for `unrule`.
    pub id: u64,
    /// What it is about.
    pub pattern: Pattern,
    /// What it says; never [`Action::RequireApproval`] unless a person wants to be asked.
    pub action: Action,
    /// When it was made.
    pub made: jiff::Timestamp,
}

/// A person's permission, for a while, for what would otherwise ask. It never lifts a deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id, for `revoke`.
    pub id: u64,
    /// What it is about.
    pub pattern: Pattern,
    /// When it was made.
    pub made: Moment,
    /// The machine's boot that it was made in; it is void after another.
    pub boot_id: String,
    /// How long it lasts from `made`, in milliseconds, on both clocks.
    pub millis: u64,
}

/// What a person changed at run time: the rules and grants in force, and their epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Grows by one with every change.
    pub epoch: u64,
    /// The persistent rules.
    pub rules: Vec<Rule>,
    /// The grants, some perhaps expired.
    pub grants: Vec<Grant>,
    /// The boot that `grants` are compared with.
    pub boot_id: String,
}

/// Everything a decision is made from.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What the files say.
    pub config: ConfigPolicy,
    /// What people said since.
    pub standing: Standing,
}

/// A decision and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// The pattern that won; none when nothing was said.
    pub pattern: Option<Pattern>,
    /// Where that pattern was written.
    pub source: Source,
    /// Whether a `locked` pattern kept a rule or grant from loosening it.
    pub locked: bool,
}

/// A decision with everything that lost, for `portero why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// What else matched, strongest first.
    pub losing: Vec<Decision>,
}

impl Policy {
    /// Decides on one call at one moment. `arguments` are the concealed arguments, for rules that look at
    /// them.
    #[must_use]
    pub fn decide(&self, tool: &ToolId, arguments: Option<&RawValue>, now: Moment) -> Decision {
        todo!()
    }

    /// Decides, and tells what else matched.
    #[must_use]
    pub fn explain(&self, tool: &ToolId, arguments: Option<&RawValue>, now: Moment) -> Explanation {
        todo!()
    }
}

/// The words that stand in an answer to the agent: the action and the rule, never a value.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
