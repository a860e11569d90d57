//! Redactions that an agent writes back (guarantee N8). A server that got their text would store it in the place of the
//! secret.
//!
//! A redaction says nothing of its value. So it is replaced only by what this very server said in the same session, where
//! that was one value of one rule, and the server may have it. Everything else refuses the call.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::blobs::{BlobRewriter, NotRewritten};
use super::rewrite::{Rewriter, TermReplacement};
use super::term::Term;
use super::{Direction, REDACTED, ReplacementRule};
use crate::json;

/// A shorter redaction occurs in ordinary text, as `***` does in Markdown, so it isn't recognised when it comes back.
pub const MIN_REDACTION_CHARS: usize = 5;

/// A redaction that the agent was shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownRedaction {
    /// Its text.
    pub text: String,
    /// The fake of the one-way rule whose whole value it stood for. None if it stood for a server's secret or for a
    /// part of a value, or if the server itself wrote that text.
    pub fake: Option<String>,
}

/// Why a redaction in a call's arguments can't be replaced by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedactionProblem {
    /// This server didn't say the value in this session.
    #[error("this server has not shown it in this session")]
    NotShown,
    /// It may stand for something else.
    #[error("it may stand for more than one text")]
    Ambiguous,
    /// The rule's `servers` don't include this one.
    #[error("the servers of its replacement do not include this one")]
    OutOfScope,
}

/// Finds the texts of redactions.
#[derive(Default)]
pub(super) struct RedactionFinder {
    /// One term for each text and rule. The number of a term's rule is its place in `entries`.
    rewriter: Rewriter,
    entries: Vec<RedactionEntry>,
}

struct RedactionEntry {
    text: String,
    /// The rule that has it, with its fake. None where it stands for a server's secret.
    rule: Option<(usize, String)>,
}

impl RedactionFinder {
    pub(super) fn new(rules: &[ReplacementRule]) -> Self {
        let mut entries = Vec::new();
        let has_redaction = |rule: &ReplacementRule| rule.direction != Direction::Both;
        if rules.iter().any(has_redaction) {
            entries.push(RedactionEntry { text: REDACTED.to_owned(), rule: None });
        }
        for (number, rule) in rules.iter().enumerate() {
            if let Direction::OneWay { redaction } = &rule.direction
                && redaction.chars().count() >= MIN_REDACTION_CHARS
            {
                let rule = Some((number, rule.fake.clone()));
                entries.push(RedactionEntry { text: redaction.clone(), rule });
            }
        }
        let terms = entries.iter().enumerate().map(|(number, entry)| {
            let fake = entry.rule.as_ref().map_or(entry.text.as_str(), |(_, fake)| fake);
            (Term::new(number, &entry.text, true), TermReplacement::new(&entry.text, fake, false))
        });
        Self { rewriter: Rewriter::new(terms.collect()), entries }
    }

    /// The redactions in raw JSON, each once.
    pub(super) fn find(&self, json: &str) -> BTreeSet<&str> {
        let found = RefCell::new(BTreeSet::new());
        // Also in the text of a file: a redaction was written there, too. What can't be read is refused elsewhere.
        let rewriter = BlobRewriter {
            rewriter: &self.rewriter,
            sought: &|_| true,
            permitted: &|_| true,
            accept: &|_, _| true,
            note: &|replaced| {
                found.borrow_mut().insert(self.entries[replaced.rule].text.as_str());
            },
        };
        let _ = rewriter.rewrite(json);
        found.into_inner()
    }

    /// Replaces each of these redactions by the fake of its rule.
    pub(super) fn restore(&self, json: &json::RawJson, chosen: &BTreeSet<&ShownRedaction>) -> json::RawJson {
        let is_chosen = |entry: usize| {
            let RedactionEntry { text, rule } = &self.entries[entry];
            let fake = rule.as_ref().map(|(_, fake)| fake);
            fake.is_some() && chosen.iter().any(|shown| shown.text == *text && shown.fake.as_ref() == fake)
        };
        let rewriter = BlobRewriter {
            rewriter: &self.rewriter,
            sought: &is_chosen,
            permitted: &|_| true,
            accept: &|_, _| true,
            note: &|_| {},
        };
        match rewriter.rewrite(json.get()) {
            Ok(Some(changed)) => json::raw_unchecked(changed),
            Ok(None) | Err(NotRewritten) => json.clone(),
        }
    }

    /// The redaction among those that were shown by which this one can be replaced.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn choose<'a>(
        &self,
        text: &str,
        shown: &'a BTreeSet<ShownRedaction>,
        is_in_scope: &dyn Fn(usize) -> bool,
    ) -> Result<&'a ShownRedaction, RedactionProblem> {
        let mut sources = shown.iter().filter(|shown| shown.text == text);
        let Some(source) = sources.next() else { return Err(RedactionProblem::NotShown) };
        let Some(fake) = source.fake.as_ref().filter(|_| sources.next().is_none()) else {
            return Err(RedactionProblem::Ambiguous);
        };
        // The rules may have changed since it was shown.
        let rules =
            self.entries.iter().filter(|entry| entry.text == text).filter_map(|entry| entry.rule.as_ref());
        let rule = rules.filter(|(_, known)| known == fake).map(|(rule, _)| *rule).next();
        match rule {
            None => Err(RedactionProblem::Ambiguous),
            Some(rule) if is_in_scope(rule) => Ok(source),
            Some(_) => Err(RedactionProblem::OutOfScope),
        }
    }
}
