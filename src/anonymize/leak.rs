//! What the second scan searches in which text, and what it found (guarantee N5).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::leak_scan::LeakScan;
use super::term::Term;
use super::{Direction, ReplacementRule};
use crate::names::ServerName;

/// A message that still held a real value after it was concealed. It must be withheld.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer was withheld: {}", self.describe_reason())]
pub struct Leak {
    what: String,
    merges_keys: bool,
}

impl Default for Leak {
    /// One of which nothing more is known, as when another process found it.
    fn default() -> Self {
        Self::of("a private value")
    }
}

impl Leak {
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), merges_keys: false }
    }

    /// A message in which two keys of an object would become the same one (guarantee N8).
    pub(super) fn of_merged_keys() -> Self {
        Self { what: "two keys that would become one".to_owned(), merges_keys: true }
    }

    /// Whether two keys would become the same one, and no value was found.
    #[must_use]
    pub const fn merges_keys(&self) -> bool {
        self.merges_keys
    }

    const fn describe_reason(&self) -> &'static str {
        if self.merges_keys {
            "one key of an object is the fake of another one's private value, and the two would become one"
        } else {
            "a second look found a private value in it"
        }
    }

    /// What was found, for people: the rule and never the value, as in `the real value of replacement 2 (name)`.
    #[must_use]
    pub fn describe_value(&self) -> &str {
        &self.what
    }
}

/// Whose injected secrets are searched for in a text.
#[derive(Clone, Copy)]
pub(super) enum SecretScope<'a> {
    /// All of them: the text may come from anywhere.
    All,
    /// Those that this server has: it wrote the text.
    Server(&'a ServerName),
    /// Only those that are redacted everywhere: the agent wrote the text.
    Agent,
}

/// The second scans: one for each kind of text, since a text is searched only for the secrets of its origin.
#[derive(Default)]
pub(super) struct LeakScans {
    pub(super) all: Arc<LeakScan>,
    /// Without the secrets that only certain servers have.
    agent: Arc<LeakScan>,
    /// The secrets of each server alone.
    servers: HashMap<ServerName, LeakScan>,
    /// What the agent's side sees in place of values.
    replacements: Vec<String>,
}

impl LeakScans {
    pub(super) fn new(rules: &[ReplacementRule], terms: &[Term]) -> Self {
        let matching = |wanted: &dyn Fn(&ReplacementRule) -> bool| -> Vec<Term> {
            terms.iter().filter(|term| wanted(&rules[term.rule])).map(copy_term).collect()
        };
        let holders =
            |rule: &ReplacementRule| rule.servers.clone().filter(|_| rule.direction == Direction::Injected);
        let scan_for = |terms: &[Term]| LeakScan::new(terms, rules.iter().map(ReplacementRule::shown_text));
        let all = Arc::new(scan_for(terms));
        let names: BTreeSet<ServerName> = rules.iter().filter_map(holders).flatten().collect();
        let servers = names.into_iter().map(|name| {
            let has = |rule: &ReplacementRule| holders(rule).is_some_and(|names| names.contains(&name));
            let scan = scan_for(&matching(&has));
            (name, scan)
        });
        let servers: HashMap<_, _> = servers.collect();
        let agent = match servers.is_empty() {
            true => Arc::clone(&all),
            false => Arc::new(scan_for(&matching(&|rule| holders(rule).is_none()))),
        };
        let replacements = rules.iter().map(|rule| rule.shown_text().to_owned()).collect();
        Self { all, agent, servers, replacements }
    }

    pub(super) fn contains_value(&self, json: &str, scope: SecretScope<'_>) -> bool {
        match scope {
            SecretScope::All => self.all.contains_value(json),
            SecretScope::Agent => self.agent.contains_value(json),
            SecretScope::Server(server) => {
                self.agent.contains_value(json)
                    || self.servers.get(server).is_some_and(|scan| scan.contains_value(json))
            }
        }
    }

    /// The rule of a value that a scan for all of these terms found. Halves the terms until one is left, because a scan
    /// only says whether there is any.
    pub(super) fn find_rule(&self, json: &str, mut terms: Vec<&Term>) -> Option<usize> {
        while terms.len() > 1 {
            let rest = terms.split_off(terms.len() / 2);
            let half: Vec<Term> = terms.iter().map(|term| copy_term(term)).collect();
            let scan = LeakScan::new(&half, self.replacements.iter().map(String::as_str));
            if !scan.contains_value(json) {
                terms = rest;
            }
        }
        terms.first().map(|term| term.rule)
    }
}

fn copy_term(term: &Term) -> Term {
    Term::new(term.rule, term.text(), !term.is_folded()).with_edges(term.edges())
}
