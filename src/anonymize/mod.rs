//! Real values stay with the servers, and the agent's side sees fakes.
//!
//! *Conceal* maps real to fake toward the agent, *reveal* maps fake to real toward one server. Each is one
//! pass, leftmost-longest, without a rescan (guarantees N1 to N7). [`Fake`] and [`Real`] keep the two sides
//! apart in the types.
//!
//! Values are found in strings, keys and numbers of raw JSON. They are also found escaped, percent-encoded,
//! and at any depth of JSON within a string. A replacement is written in the same style. All other bytes stay
//! unchanged. Files in base64 are opened if they hold text, and keep their bytes if not. The encodings of everyday tools, such as
//! git's and HTML's, are read by themselves.
//!
//! # Limits
//! * Images, compressed or encrypted data, and values split over several strings or calls are not seen. Where only the
//!   leak scan sees a value, as in hex, the message is withheld. `docs/anonymizer.md` has examples.
//! * A number becomes a string if its fake is no number, and it stays one when it is revealed.
//! * An escaped value comes back as the same text. Which characters were escaped, and the case of hex digits,
//!   comes back as far as the fake could carry it.
//! * A value in another form of Unicode (decomposed, full-width, with no-break blanks or invisible characters inside)
//!   comes back as in the rule. Two blanks for one, and a line break for a blank, are not seen.
//! * Where case doesn't count, three spellings make the round trip: the rule's, all capitals, and all small
//!   letters, if the fake has them too. Any other spelling comes back as in the rule. A redaction has one spelling.
//! * `+` as a space is read only where the fake has a space too.

mod blobs;
mod decode;
mod direction;
mod encodings;
mod escape;
mod explanation;
mod extra_forms;
mod fake_aliases;
mod json_position;
mod leak;
mod leak_scan;
mod normal_text;
mod placed_replacement;
mod protocol_words;
mod redactions;
mod rewrite;
mod round_trip;
mod rule_proof;
mod sampled_search;
mod secret_forms;
mod suggest;
mod term;
mod words;

pub use direction::{Fake, Real};
pub use explanation::{ExplainedReplacement, describe_replacement};
pub use leak::Leak;
pub use redactions::{MIN_REDACTION_CHARS, RedactionProblem, ShownRedaction};
pub use suggest::{FakeKind, SuggestError, suggest_fakes};
pub use words::MatchMode;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use self::blobs::{BlobRewriter, NotRewritten};
use self::extra_forms::{ExtraForms, extra_forms};
use self::fake_aliases::{FakeAliases, FakeNotHidden};
use self::json_position::any_in_key;
use self::leak::{LeakScans, SecretScope};
use self::placed_replacement::{FoundAs, PlacedReplacement, ReplacedValue};
use self::redactions::RedactionFinder;
use self::rewrite::{Rewriter, TermReplacement};
use self::round_trip::{is_reversible, revealed_rules};
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
    /// Whether its values are found as words only, or anywhere. None leaves it to [`ReplacementRule::match_mode`].
    pub matching: Option<MatchMode>,
    /// The kind of value, such as `name` or `email`. The agent learns the fake under this label.
    pub label: Option<String>,
    /// The servers that may see the real value; none means all. Of an injected secret, those that have it.
    pub servers: Option<Vec<ServerName>>,
}

impl ReplacementRule {
    /// The text that the agent's side sees in place of the real value.
    fn shown_text(&self) -> &str {
        match &self.direction {
            Direction::Both => &self.fake,
            Direction::OneWay { redaction } => redaction,
            Direction::Injected => REDACTED,
        }
    }
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
    /// A secret that Portero gave to the rule's servers: redacted in what these say, never revealed (guarantee N7).
    /// Without servers it is redacted everywhere.
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
    /// What to do about it.
    pub proposal: &'static str,
}

/// Replaces a secret that was given to a child.
const REDACTED: &str = "***REDACTED***";

/// Replaces a text in which the leak scan found a private value.
const WITHHELD_NOTICE: &str = "[withheld: a private value would have shown]";

/// Arguments without redactions, and the redactions that were in them.
pub type RestoredArguments = (Fake<RawJson>, Vec<String>);

/// A proven rule set.
#[derive(Default)]
pub struct Anonymizer {
    conceal: Rewriter,
    reveal: Rewriter,
    leak_scans: LeakScans,
    /// For each rule, whether its replacement is revealed.
    is_revealed: Vec<bool>,
    /// For each rule, the servers that may see its real value; none means all.
    scopes: Vec<Option<Vec<ServerName>>>,
    /// For each rule, whether it is an injected secret.
    injected: Vec<bool>,
    /// For each rule, its place in `replacements.json` or its servers.
    names: Vec<String>,
    redactions: RedactionFinder,
    aliases: FakeAliases,
    /// For each term, the redaction that its replacement shows; none if it is a fake.
    shown: Vec<Option<ShownRedaction>>,
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
    /// The conflicts among the rules, at most fifty of them.
    pub fn new(rules: &[ReplacementRule]) -> Result<Self, Vec<RuleConflict>> {
        let conflicts = rule_proof::find_conflicts(rules);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut conceal: Vec<(Term, TermReplacement)> = Vec::new();
        let mut reveal = Vec::new();
        let mut extra = extra_forms(rules);
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
                Direction::OneWay { redaction } => TermReplacement::redaction(real, redaction),
                Direction::Injected => TermReplacement::redaction(real, REDACTED),
            };
            let edges = rule.word_edges();
            let term = |text: &str| Term::new(number, text, exact).with_edges(edges);
            let ExtraForms { secret, plus_encoded } = std::mem::take(&mut extra[number]);
            if rule.direction != Direction::Injected {
                let toward_server = TermReplacement::new(&rule.fake, real, !exact);
                reveal.push((term(&rule.fake), toward_server));
                conceal.push((term(real), toward_agent));
            }
            let redaction = match &rule.direction {
                Direction::OneWay { redaction } => redaction,
                Direction::Both | Direction::Injected => REDACTED,
            };
            // Base64 has one spelling, whatever the case of a rule's value itself.
            let exact_form = exact || rule.direction != Direction::Injected;
            conceal.extend(secret.into_iter().map(|form| {
                let redaction = TermReplacement::redaction(&form, redaction);
                (Term::new(number, &form, exact_form), redaction)
            }));
            if let Some((fake, real)) = plus_encoded {
                conceal.push((term(&real), TermReplacement::new(&real, &fake, !exact)));
                reveal.push((term(&fake), TermReplacement::new(&fake, &real, !exact)));
            }
        }
        let conceal = Rewriter::new(conceal);
        Ok(Self {
            leak_scans: LeakScans::new(rules, conceal.terms()),
            is_revealed: revealed_rules(rules),
            shown: conceal.terms().iter().map(|term| shown_redaction(term, rules)).collect(),
            conceal,
            reveal: Rewriter::new(reveal),
            scopes: rules.iter().map(|rule| rule.servers.clone()).collect(),
            injected: rules.iter().map(|rule| rule.direction == Direction::Injected).collect(),
            names: rules.iter().enumerate().map(|(number, rule)| describe_rule(number, rule)).collect(),
            redactions: RedactionFinder::new(rules),
            aliases: FakeAliases::new(rules),
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

    /// Conceals every string, object key and number of raw JSON, then scans the result for leaks. The secrets of all
    /// servers are redacted, wherever the text comes from.
    ///
    /// If there is nothing to conceal, the bytes stay the same.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal(&self, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        self.conceal_scoped(json.into_exposed(), SecretScope::All)
    }

    /// Conceals what one server said. Of the injected secrets only those that it was given are redacted.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal_from(&self, server: &ServerName, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        self.conceal_scoped(json.into_exposed(), SecretScope::Server(server))
    }

    /// As [`Anonymizer::conceal_from`], for an answer that wasn't concealed before. A fake that the server said by itself
    /// becomes an alias, which is revealed as that fake. Adds the redactions that the agent gets to see to `shown`.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal_answer(
        &self,
        server: &ServerName,
        json: Real<RawJson>,
        shown: &mut BTreeSet<ShownRedaction>,
    ) -> Result<Fake<RawJson>, Leak> {
        let json = self.hide_fakes(server, json.into_exposed(), &|_| {})?;
        // A text that the server itself wrote stands for nothing.
        let own = self.redactions.find(json.get());
        shown.extend(own.into_iter().map(|text| ShownRedaction { text: text.to_owned(), fake: None }));
        self.conceal_noting(json, SecretScope::Server(server), &mut |replaced| match replaced.found {
            FoundAs::Term(term) => shown.extend(self.shown[term].clone()),
            // What the encoding made of the redaction isn't looked up, so it can't be told from another one.
            FoundAs::Encoded(_) => {
                let text = self.redaction_of(replaced.rule).map(ToOwned::to_owned);
                shown.extend(text.map(|text| ShownRedaction { text, fake: None }));
            }
        })
    }

    /// What a server said, with aliases in the place of the fakes that it said by itself and would get real values for.
    fn hide_fakes(
        &self,
        server: &ServerName,
        json: RawJson,
        note: &dyn Fn(ReplacedValue),
    ) -> Result<RawJson, Leak> {
        match self.aliases.hide(json.get(), &|rule| self.is_revealed_to(rule, server), note) {
            Ok(hidden) => Ok(hidden.map_or(json, json::raw_unchecked)),
            Err(FakeNotHidden) => Err(Leak::of(
                "a fake that the server said, in a place where it can't be told from another text",
            )),
        }
    }

    /// The arguments with each redaction in them replaced by its fake, which reveals its value, and those redactions.
    /// `shown` are the redactions that this server's answers held in this session.
    ///
    /// # Errors
    /// A redaction that can't be replaced, and why. The call must not be made.
    pub fn restore_redactions(
        &self,
        server: &ServerName,
        arguments: &Fake<RawJson>,
        shown: &BTreeSet<ShownRedaction>,
    ) -> Result<Option<RestoredArguments>, (String, RedactionProblem)> {
        let found = self.redactions.find(arguments.get().get());
        if found.is_empty() {
            return Ok(None);
        }
        let is_in_scope = |rule: usize| self.is_revealed_to(rule, server);
        let chosen: BTreeSet<&ShownRedaction> = found
            .iter()
            .map(|text| {
                let chosen = self.redactions.choose(text, shown, &is_in_scope);
                chosen.map_err(|problem| ((*text).to_owned(), problem))
            })
            .collect::<Result<_, _>>()?;
        let restored = self.redactions.restore(arguments.get(), &chosen);
        Ok(Some((Fake::concealed(restored), found.into_iter().map(ToOwned::to_owned).collect())))
    }

    /// Conceals the arguments of a call. An injected secret in them stays: the agent has it from elsewhere, and a
    /// server must get what was meant, not a redaction.
    ///
    /// # Errors
    /// [`Leak`]; the call must not be made.
    pub fn conceal_arguments(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.conceal_scoped(json, SecretScope::Agent)
    }

    fn conceal_scoped(&self, json: RawJson, scope: SecretScope<'_>) -> Result<Fake<RawJson>, Leak> {
        self.conceal_noting(json, scope, &mut |_| {})
    }

    /// The text that a rule's value is redacted by, if it is.
    fn redaction_of(&self, rule: usize) -> Option<&str> {
        let terms = self.conceal.terms().iter().zip(&self.shown).filter(|(term, _)| term.rule == rule);
        terms.filter_map(|(_, shown)| shown.as_ref()).map(|shown| shown.text.as_str()).next()
    }

    /// Conceals, and tells of each value that was replaced.
    fn conceal_noting(
        &self,
        json: RawJson,
        scope: SecretScope<'_>,
        note: &mut dyn FnMut(ReplacedValue),
    ) -> Result<Fake<RawJson>, Leak> {
        let is_sought = |rule: usize| !self.injected[rule] || self.is_secret_of(rule, scope);
        let (is_joined, noted) = (Cell::new(false), RefCell::new(Vec::new()));
        let is_key_changed = Cell::new(false);
        let rewriter = BlobRewriter {
            rewriter: &self.conceal,
            sought: &is_sought,
            permitted: &|_| true,
            // Joined to its surroundings a replacement could read as another fake, which revealing would turn
            // into a value that was never there.
            accept: &|changed, placed| {
                let is_kept = is_reversible(&self.reveal, &self.is_revealed, changed, placed);
                is_joined.set(is_joined.get() || !is_kept);
                is_key_changed.set(is_key_changed.get() || holds_key(changed, placed));
                is_kept
            },
            note: &|replaced| {
                is_key_changed.set(is_key_changed.get() || may_be_in_key(&replaced));
                noted.borrow_mut().push(replaced);
            },
        };
        let rewritten = rewriter.rewrite(json.get()).map_err(|NotRewritten| match is_joined.get() {
            true => Leak::of("a fake that a replacement and the text beside it spell together"),
            false => Leak::of("text that is escaped too often to be read"),
        })?;
        noted.take().into_iter().for_each(note);
        let rewritten = rewritten.map(json::raw_unchecked);
        if is_key_changed.get() && rewritten.as_ref().is_some_and(|changed| are_keys_merged(&json, changed)) {
            return Err(Leak::of_merged_keys());
        }
        let json = rewritten.unwrap_or(json);
        // Also where nothing was replaced: the scan must catch a value that the first search missed.
        if self.leak_scans.contains_value(json.get(), scope) {
            return Err(self.describe_leak(json.get(), scope));
        }
        Ok(Fake::concealed(json))
    }

    fn describe_leak(&self, json: &str, scope: SecretScope<'_>) -> Leak {
        let is_sought = |rule: usize| !self.injected[rule] || self.is_secret_of(rule, scope);
        let terms = self.conceal.terms().iter().filter(|term| is_sought(term.rule)).collect();
        let rule = self.leak_scans.find_rule(json, terms);
        rule.map_or_else(Leak::default, |rule| Leak::of(self.names[rule].as_str()))
    }

    fn is_secret_of(&self, rule: usize, scope: SecretScope<'_>) -> bool {
        match (scope, &self.scopes[rule]) {
            (SecretScope::All, _) | (_, None) => true,
            (SecretScope::Agent, Some(_)) => false,
            (SecretScope::Server(server), Some(holders)) => holders.contains(server),
        }
    }

    /// Conceals JSON that the agent's side sent or that Portero made. It may hold a real value too, which must
    /// not be stored or sent on.
    ///
    /// # Errors
    /// [`Leak`]; the message must be withheld.
    pub fn conceal_local(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.conceal(Real::from_server(json))
    }

    /// What `former` concealed, concealed by these rules instead. None if `former` would not make the very same of what
    /// it reveals, if a private value would remain, or if the JSON nests too deeply.
    #[must_use]
    pub fn conceal_anew(&self, former: &Self, concealed: &RawJson) -> Option<RawJson> {
        let revealed = former.blob_revealer(&|_| true).rewrite(concealed.get()).ok()?;
        let real = revealed.map_or_else(|| concealed.clone(), json::raw_unchecked);
        // A fake that the server itself wrote reads as a value that was never there. It stays a different text then.
        let again = former.conceal_local(real.clone()).ok()?;
        if again.get().get() != concealed.get() {
            return None;
        }
        self.conceal_local(real).ok().map(Fake::into_inner)
    }

    /// Conceals plain text, such as a line of a child's stderr, an error or a name. A text that fails the leak
    /// scan becomes a fixed notice.
    #[must_use]
    pub fn conceal_text(&self, text: &str) -> Fake<String> {
        self.conceal_text_scoped(text, SecretScope::All)
    }

    /// Conceals a line that one server wrote, as [`Anonymizer::conceal_from`] conceals JSON.
    #[must_use]
    pub fn conceal_text_from(&self, server: &ServerName, text: &str) -> Fake<String> {
        self.conceal_text_scoped(text, SecretScope::Server(server))
    }

    fn conceal_text_scoped(&self, text: &str, scope: SecretScope<'_>) -> Fake<String> {
        if self.conceal.is_empty() {
            return Fake::concealed(text.to_owned());
        }
        let concealed = self.conceal_scoped(json::serialize_raw(text), scope).ok();
        let text = concealed.and_then(|json| json::as_text(json.get()).map(std::borrow::Cow::into_owned));
        Fake::concealed(text.unwrap_or_else(|| WITHHELD_NOTICE.to_owned()))
    }

    /// The first characters of a concealed text, with a mark if it is longer. A text that may hold a real value is
    /// cut here only: half a value isn't found, so what was cut first would keep it.
    #[must_use]
    pub fn conceal_excerpt(&self, text: &str, max_chars: usize) -> Fake<String> {
        let mut shown = self.conceal_text(text).into_inner();
        let Some((end, _)) = shown.char_indices().nth(max_chars) else { return Fake::concealed(shown) };
        shown.truncate(end);
        // The cut may have left the beginning of a fake, and before it something that now reads as a value.
        let mut shown = self.conceal_text(&shown).into_inner();
        shown.push('…');
        Fake::concealed(shown)
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

    /// Reveals the values that `server` may see. Everything else stays a fake. An alias becomes the fake that a server said.
    #[must_use]
    pub fn reveal(&self, server: &ServerName, json: &Fake<RawJson>) -> Real<RawJson> {
        let allowed = |rule: usize| self.is_revealed_to(rule, server);
        let revealed = match self.blob_revealer(&allowed).rewrite(json.get().get()) {
            Ok(Some(changed)) => json::raw_unchecked(changed),
            // Text that is escaped deeper than any server reads keeps its fakes.
            Ok(None) | Err(NotRewritten) => json.get().clone(),
        };
        // The aliases come last, since what they become is a fake.
        Real::revealed(self.aliases.restore(revealed.get(), &|_| {}).map_or(revealed, json::raw_unchecked))
    }

    /// Whether two keys of an object would become the same one if a server were told what these are for (guarantee N8).
    #[must_use]
    pub fn reveals_merged_keys(&self, server: &ServerName, json: &Fake<RawJson>) -> bool {
        let is_key_changed = Cell::new(false);
        let permitted = |rule: usize| self.is_revealed_to(rule, server);
        let rewriter = BlobRewriter {
            accept: &|changed, placed| {
                is_key_changed.set(is_key_changed.get() || holds_key(changed, placed));
                true
            },
            note: &|replaced| is_key_changed.set(is_key_changed.get() || may_be_in_key(&replaced)),
            ..self.blob_revealer(&permitted)
        };
        let Ok(Some(revealed)) = rewriter.rewrite(json.get().get()) else { return false };
        is_key_changed.get() && are_keys_merged(json.get(), &json::raw_unchecked(revealed))
    }

    fn blob_revealer<'a>(&'a self, permitted: &'a dyn Fn(usize) -> bool) -> BlobRewriter<'a> {
        BlobRewriter {
            rewriter: &self.reveal,
            sought: &|_| true,
            permitted,
            accept: &|_, _| true,
            note: &|_| {},
        }
    }

    fn is_revealed_to(&self, rule: usize, server: &ServerName) -> bool {
        self.scopes[rule].as_ref().is_none_or(|servers| servers.contains(server))
    }

    /// The labels and fakes of the person whom the agent acts for.
    pub fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        self.identity.iter().map(|(label, fake)| (label.as_str(), fake.as_str()))
    }
}

/// Whether a replacement is in a key.
fn holds_key(changed: &str, placed: &[PlacedReplacement]) -> bool {
    any_in_key(changed.as_bytes(), placed.iter().map(|placed| &placed.at))
}

/// Whether a value in an encoding may be in a key. Such values are rare, so it isn't looked up.
const fn may_be_in_key(replaced: &ReplacedValue) -> bool {
    match replaced.found {
        FoundAs::Term(_) => false,
        FoundAs::Encoded(_) => true,
    }
}

/// Whether two keys of an object are the same in a message only since it was changed.
fn are_keys_merged(former: &RawJson, changed: &RawJson) -> bool {
    json::refuse_duplicate_keys(changed).is_err() && json::refuse_duplicate_keys(former).is_ok()
}

/// A rule in words that hold no value.
fn describe_rule(number: usize, rule: &ReplacementRule) -> String {
    let servers = rule.servers.iter().flatten().map(|server| format!("`{server}`")).collect::<Vec<_>>();
    match (&rule.direction, &rule.label) {
        (Direction::Injected, _) if servers.is_empty() => "a secret".to_owned(),
        (Direction::Injected, _) => format!("a secret of {}", servers.join(" and ")),
        (_, Some(label)) => format!("the real value of replacement {} ({label})", number + 1),
        (_, None) => format!("the real value of replacement {}", number + 1),
    }
}

/// The redaction that stands for this term.
fn shown_redaction(term: &Term, rules: &[ReplacementRule]) -> Option<ShownRedaction> {
    let rule = &rules[term.rule];
    match &rule.direction {
        Direction::Both => None,
        Direction::Injected => Some(ShownRedaction { text: REDACTED.to_owned(), fake: None }),
        Direction::OneWay { redaction } => {
            // A part of the value can't be written back as the whole.
            let is_whole =
                Term::new(term.rule, rule.real.expose(), rule.case_sensitive).text() == term.text();
            Some(ShownRedaction { text: redaction.clone(), fake: is_whole.then(|| rule.fake.clone()) })
        }
    }
}

impl std::fmt::Debug for Anonymizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Anonymizer").field("rules", &self.scopes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod canary;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
