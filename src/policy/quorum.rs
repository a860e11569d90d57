//! Quorums: calls that need the approval of several people, such as "two of these three".
//!
//! A tool under a quorum always asks, as if its configured decision asked and were locked. A deny still wins.
//! If several entries cover a tool, each must be met.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Action, Decision, DecisionSource};
use crate::names::{Actor, ToolId};
use crate::pattern::Pattern;

/// An entry of `telegram.quorum` of `portero.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// The tools that it covers.
    pub tools: Vec<Pattern>,
    /// How many people must approve.
    pub approvals: usize,
    /// The Telegram user ids whose approvals count. If there are fewer than `approvals`, the tools can't run.
    pub of: Vec<u64>,
    /// Where it is written.
    pub source: DecisionSource,
}

/// One person's approval of a call that needs several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Their Telegram user id.
    pub user: u64,
    /// When they approved.
    pub at: Timestamp,
}

impl Quorum {
    /// Whether it is about this tool.
    #[must_use]
    pub fn covers(&self, tool: &ToolId) -> bool {
        self.tools.iter().any(|pattern| pattern.matches(tool))
    }

    /// Whether this person's approval counts.
    #[must_use]
    pub fn counts_user(&self, user: u64) -> bool {
        self.of.contains(&user)
    }

    /// How many people with a counting approval are among these votes. Each person counts once.
    #[must_use]
    pub fn approval_count(&self, votes: &[Vote]) -> usize {
        let users: HashSet<u64> = votes.iter().map(|vote| vote.user).collect();
        users.into_iter().filter(|user| self.counts_user(*user)).count()
    }

    /// Whether these votes are enough.
    #[must_use]
    pub fn is_met(&self, votes: &[Vote]) -> bool {
        self.approval_count(votes) >= self.approvals
    }

    /// Whether another entry has the same terms, wherever it is written.
    #[must_use]
    pub fn has_same_terms(&self, other: &Self) -> bool {
        let Self { tools, approvals, of, source: _ } = self;
        (tools, *approvals, of) == (&other.tools, other.approvals, &other.of)
    }

    /// The decision about a tool that it covers.
    pub(super) fn to_decision(&self, tool: &ToolId) -> Decision {
        // The pattern is only the reason shown. Ties are broken by text, so that it is always the same one.
        let matching = self.tools.iter().filter(|pattern| pattern.matches(tool));
        let pattern = matching.max_by_key(|pattern| (pattern.specificity(), Reverse(pattern.as_str())));
        Decision {
            action: Action::RequireApproval,
            pattern: pattern.cloned(),
            source: self.source.clone(),
            locked: true,
            case: None,
        }
    }

    /// Sorts and dedups the lists whose order means nothing.
    pub(super) fn normalize(&mut self) {
        self.tools.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        self.tools.dedup();
        self.of.sort_unstable();
        self.of.dedup();
    }

    /// Sorts the strictest first. Equals come in a fixed order, however they were written.
    pub(super) fn sort_key(&self) -> impl Ord + use<> {
        let tools: Vec<String> = self.tools.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        (Reverse(self.approvals), self.of.clone(), self.source.clone(), tools)
    }
}

/// Such as `2 of 3 people (user 11, 22, 33)`.
impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} people", self.approvals, self.of.len())?;
        if self.of.is_empty() {
            return f.write_str(" (none listed)");
        }
        write!(f, " (user {})", join_ids(self.of.iter()))
    }
}

/// The people who approved, such as `telegram user 11, 22`; empty without votes.
#[must_use]
pub fn describe_voters(votes: &[Vote]) -> String {
    match votes {
        [] => String::new(),
        votes => Actor::from_voters(votes.iter().map(|vote| vote.user).collect()).to_string(),
    }
}

/// The progress, such as `1 of 2 approvals: telegram user 11`. Only counting votes are named. `None` if one
/// person is enough.
#[must_use]
pub fn describe_progress(quorums: &[Quorum], votes: &[Vote]) -> Option<String> {
    if quorums.is_empty() {
        return None;
    }
    let count =
        |quorum: &Quorum| format!("{} of {} approvals", quorum.approval_count(votes), quorum.approvals);
    let counts: Vec<String> = quorums.iter().map(count).collect();
    let counts = counts.join(" and ");
    Some(match describe_voters(&counting_votes(quorums, votes)) {
        nobody if nobody.is_empty() => counts,
        whose => format!("{counts}: {whose}"),
    })
}

/// The votes that count toward at least one of the quorums.
#[must_use]
pub fn counting_votes(quorums: &[Quorum], votes: &[Vote]) -> Vec<Vote> {
    let counts = |vote: &&Vote| quorums.iter().any(|quorum| quorum.counts_user(vote.user));
    votes.iter().filter(counts).copied().collect()
}

fn join_ids<'a>(users: impl Iterator<Item = &'a u64>) -> String {
    users.map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(approvals: usize, of: &[u64]) -> Quorum {
        let source = DecisionSource::Quorum { line: 3, column: 7 };
        Quorum { tools: vec!["stripe/*".parse().unwrap()], approvals, of: of.to_vec(), source }
    }

    fn votes(users: &[u64]) -> Vec<Vote> {
        users.iter().map(|user| Vote { user: *user, at: Timestamp::UNIX_EPOCH }).collect()
    }

    #[test]
    fn it_is_met_by_so_many_different_people_of_those_who_count() {
        let two_of_three = quorum(2, &[11, 22, 33]);
        for (voted, met) in [
            (&[][..], false),
            (&[11][..], false),
            (&[11, 11], false),
            (&[11, 44], false),
            (&[44, 55, 66], false),
            (&[11, 22], true),
            (&[33, 11], true),
            (&[11, 22, 33], true),
            (&[44, 11, 33], true),
        ] {
            assert_eq!(two_of_three.is_met(&votes(voted)), met, "{voted:?}");
        }
        // A person who is named twice counts once, and a quorum of more people than there are is never met.
        assert!(!quorum(2, &[11, 11]).is_met(&votes(&[11])));
        assert!(!quorum(2, &[11]).is_met(&votes(&[11, 22])));
        assert!(!quorum(1, &[]).is_met(&votes(&[11])));
    }

    #[test]
    fn it_says_how_many_of_whom() {
        assert_eq!(quorum(2, &[11, 22, 33]).to_string(), "2 of 3 people (user 11, 22, 33)");
        assert_eq!(quorum(2, &[]).to_string(), "2 of 0 people (none listed)");
        assert_eq!(describe_voters(&votes(&[22, 11])), "telegram user 22, 11");
        let (two, three) = (quorum(2, &[11, 22, 33]), quorum(3, &[22, 33, 44]));
        let told = |quorums: &[Quorum], users: &[u64]| describe_progress(quorums, &votes(users));
        assert_eq!(told(&[], &[11]), None);
        assert_eq!(told(std::slice::from_ref(&two), &[]).unwrap(), "0 of 2 approvals");
        assert_eq!(
            told(std::slice::from_ref(&two), &[11, 55]).unwrap(),
            "1 of 2 approvals: telegram user 11"
        );
        let both = told(&[three, two], &[22, 11]).unwrap();
        assert_eq!(both, "1 of 3 approvals and 2 of 2 approvals: telegram user 22, 11");
    }
}
