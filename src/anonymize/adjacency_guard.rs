//! Detects a replacement that, with the text beside it, spells another rule's fake.
//!
//! The proof of the rules permits small overlaps. Where a message really has one, revealing it later wouldn't
//! give back the concealed text, so the message is withheld (guarantees N2 and N5).

use std::collections::HashMap;
use std::ops::Range;

use super::rewrite::Rewriter;
use super::term::fold_text;
use super::{Direction, REDACTED, ReplacementRule};
use crate::json;

/// The texts that must not be beside a replacement, by its term's number.
#[derive(Default)]
pub(super) struct AdjacencyGuard {
    before: Vec<Vec<AdjacentText>>,
    after: Vec<Vec<AdjacentText>>,
}

struct AdjacentText {
    /// The text as a JSON string spells it.
    text: String,
    any_case: bool,
}

impl AdjacencyGuard {
    pub(super) fn new(rules: &[ReplacementRule], conceal: &Rewriter) -> Self {
        let folded: Vec<String> = rules.iter().map(|rule| fold_text(&rule.fake)).collect();
        let fakes = FakeParts::new(rules, &folded);
        let mut guard = Self::default();
        for term in conceal.terms() {
            let rule = &rules[term.rule];
            let (replacement, revealed) = match &rule.direction {
                Direction::Both => (rule.fake.as_str(), true),
                Direction::OneWay { redaction } => (redaction.as_str(), false),
                Direction::Injected => (REDACTED, false),
            };
            let small = fold_text(replacement);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            // Where a fake ends with the replacement's first letters, its rest must not be before the replacement.
            // Only the folded text is looked up here: a fake that differs in case may still be read as this
            // one. The case is compared below, where it counts.
            for end in small.char_indices().map(|(at, c)| at + c.len_utf8()) {
                for &(other, at) in fakes.ends.get(&small[..end]).into_iter().flatten() {
                    let (start, end) = split_at_char(&rules[other].fake, at);
                    let any_case = !(rule.case_sensitive && rules[other].case_sensitive);
                    if any_case || replacement.starts_with(end) {
                        before.push(AdjacentText::new(start, any_case));
                    }
                }
            }
            // The same for the text behind it. A replacement that is revealed needs no such guard: the way back reads
            // from the left, so it takes the replacement before a fake that begins inside it.
            for start in small.char_indices().map(|(at, _)| at).filter(|_| !revealed) {
                for &(other, at) in fakes.starts.get(&small[start..]).into_iter().flatten() {
                    let (start, end) = split_at_char(&rules[other].fake, at);
                    let any_case = !(rule.case_sensitive && rules[other].case_sensitive);
                    if any_case || replacement.ends_with(start) {
                        after.push(AdjacentText::new(end, any_case));
                    }
                }
            }
            guard.before.push(before);
            guard.after.push(after);
        }
        guard
    }

    /// Whether any of the replacements in `json` is beside such a text.
    pub(super) fn is_violated(&self, json: &str, places: &[(Range<usize>, usize)]) -> bool {
        let mut last = 0;
        places.iter().any(|(place, term)| {
            // Only back to the former replacement: the way back has consumed that one. Two of one number share a
            // place, so `last` may be behind this one's start.
            let before = &json.as_bytes()[last.min(place.start)..place.start];
            let after = &json.as_bytes()[place.end..];
            last = place.end;
            self.before[*term].iter().any(|text| text.is_suffix_of(before))
                || self.after[*term].iter().any(|text| text.is_prefix_of(after))
        })
    }
}

impl AdjacentText {
    fn new(text: &str, any_case: bool) -> Self {
        let json = json::serialize_raw(text);
        Self { text: json.get()[1..json.get().len() - 1].to_owned(), any_case }
    }

    fn is_suffix_of(&self, text: &[u8]) -> bool {
        text.len().checked_sub(self.text.len()).is_some_and(|start| self.equals(&text[start..]))
    }

    fn is_prefix_of(&self, text: &[u8]) -> bool {
        text.get(..self.text.len()).is_some_and(|text| self.equals(text))
    }

    fn equals(&self, text: &[u8]) -> bool {
        text == self.text.as_bytes() || (self.any_case && text.eq_ignore_ascii_case(self.text.as_bytes()))
    }
}

/// The beginnings and ends of all fakes, folded, each with its rule and the character where the fake was
/// split.
struct FakeParts<'a> {
    starts: HashMap<&'a str, Vec<(usize, usize)>>,
    ends: HashMap<&'a str, Vec<(usize, usize)>>,
}

impl<'a> FakeParts<'a> {
    fn new(rules: &[ReplacementRule], folded: &'a [String]) -> Self {
        let mut parts = Self { starts: HashMap::new(), ends: HashMap::new() };
        for (number, fake) in folded.iter().enumerate() {
            if rules[number].direction == Direction::Injected {
                continue;
            }
            // From 1: a split needs a character on each side, and a whole fake beside a replacement is no
            // overlap.
            for (count, (at, _)) in fake.char_indices().enumerate().skip(1) {
                parts.starts.entry(&fake[..at]).or_default().push((number, count));
                parts.ends.entry(&fake[at..]).or_default().push((number, count));
            }
        }
        parts
    }
}

/// Splits a text before one of its characters. Folding keeps the number of characters, so the index fits both.
fn split_at_char(text: &str, at: usize) -> (&str, &str) {
    text.split_at(text.char_indices().nth(at).map_or(text.len(), |(at, _)| at))
}
