//! Real values stay with the servers; the agent's side sees fakes.
//!
//! *Conceal* is real→fake toward the agent, *reveal* is fake→real toward one server: one pass,
//! leftmost-longest, no rescan (guarantees N1 to N7). [`Fake`] and [`Real`] keep the two sides apart in the
//! types.
//!
//! Values are found in strings, keys and numbers of raw JSON; also where JSON's escapes hide them, at any depth of
//! JSON in a string, and percent-encoded. Replacements are written in the same way. All other bytes stay as they came.
//!
//! # Limits
//! * Images, compressed or encrypted data, base64, and values split over several strings or calls are not seen.
//! * A number in which a fake is put that is no number becomes a string, and stays one when it is revealed.
//! * A value that was escaped comes back as the same text. Its spelling (which characters were escaped, the
//!   case of hex digits) comes back as far as the fake could carry it.
//! * Where case does not count, a value that is spelled as in the rule, all in capitals, or all in small
//!   letters makes the round trip exactly, as long as the fake has those three spellings too; every other
//!   spelling comes back as in the rule. A redaction has one spelling.
//! * `+` for a space is read in both values or in none: only where the fake has a space too.

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
    /// The value that the agent's side sees.
    pub fake: String,
    /// The value that servers see.
    pub real: Secret,
    /// How it maps.
    pub direction: Direction,
    /// Whether case matters when looking for `real` and `fake`.
    pub case_sensitive: bool,
    /// The kind of value, such as `name` or `email`; the agent is told the fake under it.
    pub label: Option<String>,
    /// The servers it is revealed to; none means all.
    pub servers: Option<Vec<ServerName>>,
}

/// How a rule maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Fake→real toward servers; toward the agent the real value becomes these words
    /// (`***REDACTED***` by default).
    OneWay {
        /// The text that the agent's side sees in place of the real value.
        redaction: String,
    },
    /// A secret that Portero gave to a child: redacted toward the agent, never revealed (guarantee N7).
    Injected,
}

/// Two rules (by their positions) that cannot hold together, or one that cannot hold at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RuleConflict {
    /// The rule's position.
    pub rule: usize,
    /// The other one's.
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

/// Replaces a text in which the second look found a private value.
const WITHHELD_NOTICE: &str = "[withheld: a private value would have shown]";

/// A proven rule set.
#[derive(Default)]
pub struct Anonymizer {
    conceal: Rewriter,
    reveal: Rewriter,
    leak_scan: LeakScan,
    adjacency_guard: AdjacencyGuard,
    /// For each rule, the servers it is revealed to; none means all.
    scopes: Vec<Option<Vec<ServerName>>>,
    /// Labels and fakes.
    identity: Vec<(String, String)>,
}

impl Anonymizer {
    /// Proves that the rules keep N1 and N2 together, and builds the searchers.
    ///
    /// Injected secrets that a rule has as its real value are that rule's; those of fewer than four characters
    /// are taken for flags and ports, and not looked for.
    ///
    /// # Errors
    /// Every conflict there is.
    pub fn new(rules: &[ReplacementRule]) -> Result<Self, Vec<RuleConflict>> {
        let conflicts = rule_proof::find_conflicts(rules);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut conceal: Vec<(Term, TermReplacement)> = Vec::new();
        let mut reveal = Vec::new();
        // Where a rule and an injected secret are found in the same place, the rule comes first.
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

    /// Without a rule.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Conceals every string, object key and number of raw JSON, then looks again in another way.
    ///
    /// Without anything to conceal, the value is handed back as it is.
    ///
    /// # Errors
    /// [`Leak`], and the message must be withheld.
    pub fn conceal(&self, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        let json = json.into_exposed();
        let json = match self.conceal.rewrite(json.get(), |_| true) {
            RewriteOutcome::Unchanged => json,
            RewriteOutcome::Changed(changed, places)
                if !self.adjacency_guard.is_violated(&changed, &places) =>
            {
                json::raw_unchecked(changed)
            }
            RewriteOutcome::Changed(..) | RewriteOutcome::TooDeep => return Err(Leak),
        };
        if self.leak_scan.contains_value(json.get()) { Err(Leak) } else { Ok(Fake::concealed(json)) }
    }

    /// Conceals JSON that the agent's side sent or that Portero made: it may hold a real value too, and must
    /// not be stored or sent on with it.
    ///
    /// # Errors
    /// [`Leak`], and the message must be withheld.
    pub fn conceal_local(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.conceal(Real::from_server(json))
    }

    /// Conceals plain text: a line of a child's stderr, an error, a name. What the second look would
    /// withhold becomes a fixed notice.
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

    /// Reveals what `server` may see.
    #[must_use]
    pub fn reveal(&self, server: &ServerName, json: &Fake<RawJson>) -> Real<RawJson> {
        let allowed = |rule: usize| self.scopes[rule].as_ref().is_none_or(|servers| servers.contains(server));
        Real::revealed(match self.reveal.rewrite(json.get().get(), allowed) {
            RewriteOutcome::Changed(changed, _) => json::raw_unchecked(changed),
            // Escaped deeper than any server reads: what is not revealed stays a fake.
            RewriteOutcome::Unchanged | RewriteOutcome::TooDeep => json.get().clone(),
        })
    }

    /// The fakes that have a label: whom the agent acts for.
    pub fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        self.identity.iter().map(|(label, fake)| (label.as_str(), fake.as_str()))
    }
}

/// The fake and the real value as a query string has them, with `+` for spaces, where that is another rule's
/// value in no way.
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
