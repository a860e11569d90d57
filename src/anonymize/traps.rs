//! Whether a replacement and the text beside it make up a fake that nobody wrote.
//!
//! The proof lets small overlaps be; where one comes true, what is revealed later would not be what was
//! concealed, so the message is withheld (guarantees N2 and N5).

use std::ops::Range;

use super::needle::fold_text;
use super::rewrite::Side;
use super::{Direction, REDACTED, Rule};
use crate::json;

/// The texts that must not stand beside a replacement.
#[derive(Default)]
pub(super) struct Traps {
    /// By the needle.
    before: Vec<Vec<Trap>>,
    after: Vec<Vec<Trap>>,
}

struct Trap {
    /// The text as it stands in a JSON string.
    text: String,
    any_case: bool,
}

impl Traps {
    pub(super) fn new(rules: &[Rule], conceal: &Side) -> Self {
        let mut traps = Self::default();
        for needle in conceal.needles() {
            let rule = &rules[needle.rule];
            let (replacement, revealed) = match &rule.direction {
                Direction::Both => (rule.fake.as_str(), true),
                Direction::OneWay { redaction } => (redaction.as_str(), false),
                Direction::Injected => (REDACTED, false),
            };
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for other in rules.iter().filter(|other| other.direction != Direction::Injected) {
                let any_case = !(other.case_sensitive && rule.case_sensitive);
                for (at, _) in other.fake.char_indices().skip(1) {
                    let (start, end) = other.fake.split_at(at);
                    if begins(replacement, end, any_case) {
                        before.push(Trap::new(start, any_case));
                    }
                    // What is revealed first, from the left, is the replacement itself.
                    if !revealed && begins_back(replacement, start, any_case) {
                        after.push(Trap::new(end, any_case));
                    }
                }
            }
            traps.before.push(before);
            traps.after.push(after);
        }
        traps
    }

    /// Whether any of the replacements in `json` stands beside such a text.
    pub(super) fn spring(&self, json: &str, places: &[(Range<usize>, usize)]) -> bool {
        let mut last = 0;
        places.iter().any(|(place, needle)| {
            let before = &json.as_bytes()[last.min(place.start)..place.start];
            let after = &json.as_bytes()[place.end..];
            last = place.end;
            self.before[*needle].iter().any(|trap| trap.ends(before))
                || self.after[*needle].iter().any(|trap| trap.begins(after))
        })
    }
}

impl Trap {
    fn new(text: &str, any_case: bool) -> Self {
        let json = json::raw(text);
        Self { text: json.get()[1..json.get().len() - 1].to_owned(), any_case }
    }

    fn ends(&self, text: &[u8]) -> bool {
        text.len().checked_sub(self.text.len()).is_some_and(|start| self.is(&text[start..]))
    }

    fn begins(&self, text: &[u8]) -> bool {
        text.get(..self.text.len()).is_some_and(|text| self.is(text))
    }

    fn is(&self, text: &[u8]) -> bool {
        text == self.text.as_bytes() || (self.any_case && text.eq_ignore_ascii_case(self.text.as_bytes()))
    }
}

fn begins(text: &str, with: &str, any_case: bool) -> bool {
    if any_case { fold_text(text).starts_with(&fold_text(with)) } else { text.starts_with(with) }
}

fn begins_back(text: &str, with: &str, any_case: bool) -> bool {
    if any_case { fold_text(text).ends_with(&fold_text(with)) } else { text.ends_with(with) }
}
