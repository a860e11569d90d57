//! Real values stay with the servers, and the agent's side sees fakes.
//!
//! *Conceal* maps real to fake toward the agent, *reveal* maps fake to real toward one server. Each is one
//! pass, leftmost-longest, without a rescan (guarantees N1 to N7). [`Fake`] and [`Real`] keep the two sides
//! apart in the types.
//!
//! Values are found in strings, keys and numbers of raw JSON. They are also found escaped, percent-encoded,
//! and at any depth of JSON within a string. A replacement is written in the same style. All other bytes stay
//! unchanged.
//!
//! # Limits
//! * Images, compressed or encrypted data, base64, and values split over several strings or calls are not seen.
//! * A number becomes a string if its fake is no number, and it stays one when it is revealed.
//! * An escaped value comes back as the same text. Which characters were escaped, and the case of hex digits,
//!   comes back as far as the fake could carry it.
//! * Where case doesn't count, three spellings make the round trip: the rule's, all capitals, and all small
//!   letters, if the fake has them too. Any other spelling comes back as in the rule. A redaction has one spelling.
//! * `+` as a space is read only where the fake has a space too.

mod adjacency_guard;
mod decode;
mod direction;
mod escape;
mod json_position;
mod leak_scan;
mod rewrite;
mod rule_proof;
mod sampled_search;
mod term;

pub use direction::{Fake, Real};

use self::adjacency_guard::AdjacencyGuard;
use self::leak_scan::LeakScan;
use self::rewrite::{RewriteOutcome, Rewriter, TermReplacement};
use self::term::Term;
use crate::json::{self, RawJson};
use crate::names::{ServerName, ToolName};
use crate::secret::Secret;

/// One rule of `replacements.json`, with its values read.
#[derive(Debug, Clone)]
pub struct ReplacementRule {
    /// The value that the agent's side sees in its place.
    pub fake: String,
    /// The value that servers see.
    pub real: Secret,
    /// How it maps.
    pub direction: Direction,
    /// Whether case matters in the search for `real` and `fake`.
    pub case_sensitive: bool,
    /// The kind of value, such as `name` or `email`. The agent learns the fake under this label.
    pub label: Option<String>,
    /// The servers that may see the real value; none means all.
    pub servers: Option<Vec<ServerName>>,
}

/// In which directions a rule maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Fake to real toward servers. Toward the agent the real value becomes a redaction (`***REDACTED***` by
    /// default).
    OneWay {
        /// The text that the agent's side sees in place of the real value.
        redaction: String,
    },
    /// A secret that Portero gave to a child: redacted toward the agent, never revealed (guarantee N7).
    Injected,
}

/// Two rules, by position, that can't hold together, or one that can't hold at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RuleConflict {
    /// The rule's position.
    pub rule: usize,
    /// The other rule's position.
    pub other: Option<usize>,
    /// The problem, in words that hold no real value.
    pub problem: String,
}

/// A message that still held a real value after it was concealed (guarantee N5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was withheld: a second look found a private value in it")]
pub struct Leak;

/// Replaces a secret that was given to a child.
const REDACTED: &str = "***REDACTED***";

/// Replaces a text in which the leak scan found a private value.
const WITHHELD_NOTICE: &str = "[withheld: a private value would have shown]";

/// A proven rule set.
#[derive(Default)]
pub struct Anonymizer {
    conceal: Rewriter,
    reveal: Rewriter,
    leak_scan: LeakScan,
    adjacency_guard: AdjacencyGuard,
    /// For each rule, the servers that may see its real value; none means all.
    scopes: Vec<Option<Vec<ServerName>>>,
    /// Labels and fakes.
    identity: Vec<(String, String)>,
}

impl Anonymizer {
    /// Proves that the rules keep N1 and N2 together, and builds the searches.
    ///
    /// An injected secret that is also a rule's real value follows that rule. Injected secrets of fewer than
    /// four characters are probably flags or ports, so they are not searched for.
    ///
    /// # Errors
    /// All conflicts among the rules.
    pub fn new(rules: &[ReplacementRule]) -> Result<Self, Vec<RuleConflict>> {
        let conflicts = rule_proof::find_conflicts(rules);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut conceal: Vec<(Term, TermReplacement)> = Vec::new();
        let mut reveal = Vec::new();
        // Terms are numbered in this order, and the lower number wins in the same place. So a rule outweighs
        // an injected secret.
        let own_first = |injected: bool| {
            rules
                .iter()
                .enumerate()
                .filter(move |(_, rule)| (rule.direction == Direction::Injected) == injected)
        };
        for (number, rule) in own_first(false).chain(own_first(true)) {
            let real = rule.real.expose();
            let exact = rule.case_sensitive;
            let toward_agent = match &rule.direction {
                Direction::Both => TermReplacement::new(real, &rule.fake, !exact),
                Direction::OneWay { redaction } => TermReplacement::new(real, redaction, false),
                Direction::Injected => TermReplacement::new(real, REDACTED, false),
            };
            if rule.direction == Direction::Injected {
                // A rule of `replacements.json` already replaces this value.
                let known = |other: &ReplacementRule| {
                    other.direction != Direction::Injected && other.real == rule.real
                };
                if !rule_proof::is_searchable_secret(rule) || rules.iter().any(known) {
                    continue;
                }
            } else {
                let toward_server = TermReplacement::new(&rule.fake, real, !exact);
                reveal.push((Term::new(number, &rule.fake, exact), toward_server));
            }
            conceal.push((Term::new(number, real, exact), toward_agent));
            if let Some((fake, real)) = plus_encoded_pair(rule, rules) {
                conceal.push((Term::new(number, &real, exact), TermReplacement::new(&real, &fake, !exact)));
                reveal.push((Term::new(number, &fake, exact), TermReplacement::new(&fake, &real, !exact)));
            }
        }
        let conceal = Rewriter::new(conceal);
        Ok(Self {
            leak_scan: LeakScan::new(conceal.terms()),
            adjacency_guard: AdjacencyGuard::new(rules, &conceal),
            conceal,
            reveal: Rewriter::new(reveal),
            scopes: rules.iter().map(|rule| rule.servers.clone()).collect(),
            identity: rules
                .iter()
                .filter_map(|rule| Some((rule.label.clone()?, rule.fake.clone())))
                .collect(),
        })
    }

    /// An anonymizer without rules.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Conceals every string, object key and number of raw JSON, then scans the result for leaks.
    ///
    /// If there is nothing to conceal, the bytes stay the same.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal(&self, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        let json = json.into_exposed();
        let json = match self.conceal.rewrite(json.get(), |_| true) {
            RewriteOutcome::Unchanged => json,
            // Joined to its surroundings a replacement could read as another fake, which revealing would turn
            // into a value that was never there.
            RewriteOutcome::Changed(changed, places)
                if !self.adjacency_guard.is_violated(&changed, &places) =>
            {
                json::raw_unchecked(changed)
            }
            RewriteOutcome::Changed(..) | RewriteOutcome::TooDeep => return Err(Leak),
        };
        // Also where nothing was replaced: the scan must catch a value that the first search missed.
        if self.leak_scan.contains_value(json.get()) { Err(Leak) } else { Ok(Fake::concealed(json)) }
    }

    /// Conceals JSON that the agent's side sent or that Portero made. It may hold a real value too, which must
    /// not be stored or sent on.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal_local(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.conceal(Real::from_server(json))
    }

    /// Conceals plain text, such as a line of a child's stderr, an error or a name. A text that fails the leak
    /// scan becomes a fixed notice.
    #[must_use]
    pub fn conceal_text(&self, text: &str) -> Fake<String> {
        if self.conceal.is_empty() {
            return Fake::concealed(text.to_owned());
        }
        let concealed = self.conceal_local(json::serialize_raw(text)).ok();
        let text = concealed.and_then(|json| json::as_text(json.get()).map(std::borrow::Cow::into_owned));
        Fake::concealed(text.unwrap_or_else(|| WITHHELD_NOTICE.to_owned()))
    }

    /// Whether a text holds a real value.
    #[must_use]
    pub fn is_private(&self, text: &str) -> bool {
        self.conceal_text(text).get() != text
    }

    /// Whether a tool's name holds a private value, in its canonical spelling or in its server's own.
    #[must_use]
    pub fn is_private_tool(&self, tool: &ToolName) -> bool {
        let original = tool.original().filter(|original| **original != *tool.as_str());
        self.is_private(tool.as_str()) || original.is_some_and(|original| self.is_private(&original))
    }

    /// Reveals the values that `server` may see. Everything else stays a fake.
    #[must_use]
    pub fn reveal(&self, server: &ServerName, json: &Fake<RawJson>) -> Real<RawJson> {
        let allowed = |rule: usize| self.scopes[rule].as_ref().is_none_or(|servers| servers.contains(server));
        Real::revealed(match self.reveal.rewrite(json.get().get(), allowed) {
            RewriteOutcome::Changed(changed, _) => json::raw_unchecked(changed),
            // Text that is escaped deeper than any server reads keeps its fakes.
            RewriteOutcome::Unchanged | RewriteOutcome::TooDeep => json.get().clone(),
        })
    }

    /// The labels and fakes of the person whom the agent acts for.
    pub fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        self.identity.iter().map(|(label, fake)| (label.as_str(), fake.as_str()))
    }
}

/// A rule's fake and real value with `+` for spaces, as in a query string. `None` if either could be confused
/// with a value of some rule.
fn plus_encoded_pair(rule: &ReplacementRule, rules: &[ReplacementRule]) -> Option<(String, String)> {
    let real = rule.real.expose();
    let texts = [rule.fake.as_str(), real];
    if rule.direction != Direction::Both
        || !texts.iter().all(|text| text.contains(' ') && !text.contains('+'))
    {
        return None;
    }
    let [fake, real] = texts.map(|text| text.replace(' ', "+"));
    let free = |other: &ReplacementRule| {
        [other.fake.as_str(), other.real.expose()].iter().all(|value| {
            value.is_empty() || !(fake.contains(value) || value.contains(&fake) || *value == real)
        })
    };
    rules.iter().all(free).then_some((fake, real))
}

impl std::fmt::Debug for Anonymizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Anonymizer").field("rules", &self.scopes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
