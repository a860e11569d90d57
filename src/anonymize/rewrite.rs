//! One pass over raw JSON: finds values in every spelling and splices their replacements in.
//!
//! Plain occurrences come from the search over the raw bytes, escaped ones from the windows of
//! [`TermAlphabet`]. No occurrence crosses a window's border. In each region the leftmost occurrence wins,
//! then the longest, then the least escaped, then the one whose rule comes first.

use std::cmp::Reverse;
use std::ops::Range;

use super::decode::TermAlphabet;
use super::escape::{DecodedText, EscapeStyle, needs_json_escape};
use super::json_position::{JsonPosition, JsonPositions};
use super::sampled_search::{TermFinder, TermMatch};
use super::term::{Term, lowercase_text, uppercase_text};

/// One direction: the values to search for, and their replacements.
#[derive(Default)]
pub(super) struct Rewriter {
    finder: TermFinder,
    alphabet: Option<TermAlphabet>,
    /// The replacement of each term.
    replacements: Vec<TermReplacement>,
}

/// The outcome of one pass.
#[derive(Debug)]
pub(super) enum RewriteOutcome {
    /// There is nothing to replace.
    Unchanged,
    /// The new JSON, and where each replacement is in it, with its term's number.
    Changed(String, Vec<(Range<usize>, usize)>),
    /// More layers of escapes than any honest text has.
    TooDeep,
}

/// The most layers of escapes that are read. Honest texts have a handful.
const MAX_ESCAPE_LAYERS: usize = 24;

impl Rewriter {
    /// Takes each term with its replacement.
    pub(super) fn new(pairs: Vec<(Term, TermReplacement)>) -> Self {
        let (terms, replacements): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let alphabet = (!terms.is_empty()).then(|| TermAlphabet::new(&terms));
        Self { finder: TermFinder::new(terms), alphabet, replacements }
    }

    pub(super) fn terms(&self) -> &[Term] {
        self.finder.terms()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.finder.is_empty()
    }

    /// Replaces the values whose rules `allowed` admits.
    pub(super) fn rewrite(&self, json: &str, allowed: impl Fn(usize) -> bool) -> RewriteOutcome {
        let Some(alphabet) = &self.alphabet else { return RewriteOutcome::Unchanged };
        let raw = json.as_bytes();
        let windows = alphabet.decode_windows(raw);
        let allowed = |found: &TermMatch| allowed(self.finder.term(found.term).rule);
        let mut splices = self.plain_splices(raw, &windows, allowed);
        for window in windows {
            if self.window_splices(raw, window, allowed, &mut splices).is_none() {
                return RewriteOutcome::TooDeep;
            }
        }
        if splices.is_empty() {
            return RewriteOutcome::Unchanged;
        }
        splices.sort_unstable_by_key(|splice| splice.at.start);
        self.apply_splices(json, splices)
    }

    /// The unescaped occurrences outside the windows.
    fn plain_splices(
        &self,
        raw: &[u8],
        windows: &[Range<usize>],
        allowed: impl Fn(&TermMatch) -> bool,
    ) -> Vec<Splice> {
        let mut found = Vec::new();
        self.finder.find_all(raw, &mut found);
        if found.is_empty() {
            return Vec::new();
        }
        // This order is the precedence: leftmost, then longest, then the earlier rule. The loop takes each
        // occurrence that begins no earlier than the end of the last one taken.
        found.sort_unstable_by_key(|found| (found.start, Reverse(found.end), found.term));
        let mut places = JsonPositions::new(raw);
        let mut splices: Vec<Splice> = Vec::new();
        let mut end = 0;
        let mut windows = windows.iter().peekable();
        for hit in found {
            // Both lists are in order, so a window that ends before this occurrence ends before all later ones.
            while windows.next_if(|window| window.end <= hit.start).is_some() {}
            // An occurrence that touches a window is left to the window, which sees the same bytes decoded.
            // One that needs or lies in an escape is no plain text, and only looks like the value.
            if hit.start < end
                || windows.peek().is_some_and(|window| window.start < hit.end)
                || needs_json_escape(&raw[hit.start..hit.end])
                || is_in_escape(raw, hit.start)
                || !allowed(&hit)
            {
                continue;
            }
            let number = match places.position_of(hit.start) {
                JsonPosition::InString => None,
                JsonPosition::InNumber(token) if hit.end <= token.end => Some(token),
                JsonPosition::InNumber(_) | JsonPosition::Structure => continue,
            };
            end = hit.end;
            let spelling = self.replacements[hit.term].spelling_index(&raw[hit.start..hit.end]);
            splices.push(Splice { at: hit.start..hit.end, term: hit.term, spelling, escaped: None, number });
        }
        splices
    }

    /// The occurrences in a window, layer by layer. `None` if there are too many layers.
    fn window_splices(
        &self,
        raw: &[u8],
        window: Range<usize>,
        allowed: impl Fn(&TermMatch) -> bool,
        splices: &mut Vec<Splice>,
    ) -> Option<()> {
        let base = window.start;
        let text = &raw[window];
        // A `%` in a value may look like percent-encoding, so JSON's escapes are read alone, too.
        let json_alone = Self::decode_layers(text, false)?;
        let percent = json_alone.iter().any(|view| memchr::memchr(b'%', &view.bytes).is_some());
        let chains = [json_alone, if percent { Self::decode_layers(text, true)? } else { Vec::new() }];
        let mut hits: Vec<EscapedMatch> = Vec::new();
        let mut found = Vec::new();
        for (percent, views) in [false, true].into_iter().zip(&chains) {
            for (layer, view) in views.iter().enumerate() {
                self.finder.find_all(&view.bytes, &mut found);
                for found in found.drain(..).filter(|found| allowed(found)) {
                    let (start, end) = view.source_span(found.start, found.end);
                    // An inconsistent spelling can't be written back. The leak scan finds the value and
                    // withholds the message.
                    let mut outer = views[..layer].iter().map(|outer| outer.slice_at_source(start, end));
                    if outer.any(|text| EscapeStyle::from_layer(text, percent).is_inconsistent()) {
                        continue;
                    }
                    let matched = &view.bytes[found.start..found.end];
                    let spelling = self.replacements[found.term].spelling_index(matched);
                    let must_escape = needs_json_escape(matched);
                    hits.push(EscapedMatch {
                        start,
                        end,
                        layer,
                        percent,
                        term: found.term,
                        spelling,
                        must_escape,
                    });
                }
            }
        }
        // The same precedence, and of two readings of the same bytes the less escaped one wins.
        hits.sort_unstable_by_key(|hit| (hit.start, Reverse(hit.end), hit.layer, hit.percent, hit.term));
        let mut last = 0;
        for (number, hit) in hits.iter().enumerate() {
            // With a backslash beside it, an escaped value may also match as a longer one from outside. The
            // inner match is the real one.
            let looks = |inner: &EscapedMatch| {
                inner.term == hit.term && inner.layer < hit.layer && inner.end <= hit.end
            };
            let mut behind = hits[number + 1..].iter().take_while(|inner| inner.start < hit.end);
            if hit.start < last || behind.any(looks) {
                continue;
            }
            last = hit.end;
            let mut written = self.replacements[hit.term].spellings[hit.spelling].text.clone().into_bytes();
            // From the inside out: each layer is written in the style that its own text has at this place.
            for view in chains[usize::from(hit.percent)][..hit.layer].iter().rev() {
                written = EscapeStyle::from_layer(view.slice_at_source(hit.start, hit.end), hit.percent)
                    .write_escaped(&written, hit.must_escape);
            }
            written = EscapeStyle::from_json_string(&text[hit.start..hit.end]).write_escaped(&written, false);
            splices.push(Splice {
                at: base + hit.start..base + hit.end,
                term: hit.term,
                spelling: hit.spelling,
                escaped: Some(written),
                number: None,
            });
        }
        Some(())
    }

    /// Reads a stretch of a string layer by layer. `None` if there are too many.
    fn decode_layers(text: &[u8], percent: bool) -> Option<Vec<DecodedText>> {
        let mut views = vec![DecodedText::from_json_string(text)];
        while let Some(deeper) = views.last().and_then(|view| view.decode_layer(percent)) {
            if views.len() == MAX_ESCAPE_LAYERS {
                return None;
            }
            views.push(deeper);
        }
        Some(views)
    }

    fn apply_splices(&self, json: &str, splices: Vec<Splice>) -> RewriteOutcome {
        let mut out = String::with_capacity(json.len() + json.len() / 16 + 64);
        let mut places = Vec::with_capacity(splices.len());
        let mut at = 0;
        let mut splices = splices.into_iter().peekable();
        while let Some(splice) = splices.next() {
            // All splices in one number are written together, because the number may have to become a string
            // as a whole.
            if let Some(token) = splice.number.clone() {
                let mut of_token = vec![splice];
                while let Some(next) = splices.next_if(|next| next.number.as_ref() == Some(&token)) {
                    of_token.push(next);
                }
                out.push_str(&json[at..token.start]);
                at = token.end;
                self.write_number(&json[token.clone()], token.start, &of_token, &mut out, &mut places);
                continue;
            }
            out.push_str(&json[at..splice.at.start]);
            let start = out.len();
            match &splice.escaped {
                Some(written) => out.push_str(&String::from_utf8_lossy(written)),
                None => out.push_str(&self.replacements[splice.term].spellings[splice.spelling].json),
            }
            places.push((start..out.len(), splice.term));
            at = splice.at.end;
        }
        out.push_str(&json[at..]);
        RewriteOutcome::Changed(out, places)
    }

    /// Writes a number in which values were replaced: as a number if it still is one, else as a string.
    fn write_number(
        &self,
        token: &str,
        base: usize,
        splices: &[Splice],
        out: &mut String,
        places: &mut Vec<(Range<usize>, usize)>,
    ) {
        let mut text = String::new();
        let mut at = 0;
        for splice in splices {
            text.push_str(&token[at..splice.at.start - base]);
            text.push_str(&self.replacements[splice.term].spellings[splice.spelling].text);
            at = splice.at.end - base;
        }
        text.push_str(&token[at..]);
        let start = out.len();
        if is_number(&text) {
            out.push_str(&text);
        } else {
            out.push('"');
            out.push_str(&String::from_utf8_lossy(
                &EscapeStyle::from_json_string(b"").write_escaped(text.as_bytes(), false),
            ));
            out.push('"');
        }
        // A string quotes the whole token, so every term in it gets the token's place.
        places.extend(splices.iter().map(|splice| (start..out.len(), splice.term)));
    }
}

/// A replacement in each case that it can carry over.
pub(super) struct TermReplacement {
    spellings: Vec<ReplacementSpelling>,
}

struct ReplacementSpelling {
    /// The spelling that was found.
    found: String,
    /// The replacement, and the same as in a JSON string.
    text: String,
    json: String,
}

impl TermReplacement {
    /// `from` becomes `to`. With `carry_case`, all capitals and all small letters are carried over; any other
    /// spelling becomes `to` itself.
    pub(super) fn new(from: &str, to: &str, carry_case: bool) -> Self {
        let mut spellings: Vec<ReplacementSpelling> = Vec::new();
        let mut add = |found: String, text: String| {
            if spellings.iter().all(|spelling| spelling.found != found) {
                let json = EscapeStyle::from_json_string(b"").write_escaped(text.as_bytes(), false);
                spellings.push(ReplacementSpelling {
                    found,
                    json: String::from_utf8_lossy(&json).into_owned(),
                    text,
                });
            }
        };
        add(from.to_owned(), to.to_owned());
        if carry_case {
            add(lowercase_text(from), lowercase_text(to));
            add(uppercase_text(from), uppercase_text(to));
        }
        Self { spellings }
    }

    fn spelling_index(&self, found: &[u8]) -> usize {
        if self.spellings.len() == 1 {
            return 0;
        }
        self.spellings.iter().position(|spelling| spelling.found.as_bytes() == found).unwrap_or(0)
    }
}

struct EscapedMatch {
    start: usize,
    end: usize,
    layer: usize,
    /// Whether percent-encoding was read too.
    percent: bool,
    term: usize,
    spelling: usize,
    must_escape: bool,
}

struct Splice {
    at: Range<usize>,
    term: usize,
    spelling: usize,
    escaped: Option<Vec<u8>>,
    /// The number that holds it, if one does.
    number: Option<Range<usize>>,
}

/// Whether a position is inside a JSON escape, after its backslash.
fn is_in_escape(raw: &[u8], at: usize) -> bool {
    let near = at.saturating_sub(5);
    let Some(slash) = memchr::memrchr(b'\\', &raw[near..at]).map(|offset| near + offset) else {
        return false;
    };
    // In an even run the backslashes escape each other, so the character behind it is plain.
    let run = raw[..=slash].iter().rev().take_while(|byte| **byte == b'\\').count();
    let length = if raw.get(slash + 1) == Some(&b'u') { 6 } else { 2 };
    run % 2 == 1 && slash + length > at
}

/// Whether a text is a JSON number.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_numbers_are_told_from_other_texts() {
        for number in ["0", "-1", "10.50", "1e9", "1.5E-3", "-0.0"] {
            assert!(is_number(number), "{number}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "+1", "1-2", "0x1", "NaN", "1 "] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn the_letters_of_an_escape_are_no_text() {
        assert!(is_in_escape(br#""\nick""#, 2));
        assert!(!is_in_escape(br#""\\nick""#, 3));
        assert!(is_in_escape(br#""\u00e9x""#, 5));
        assert!(!is_in_escape(br#""\u00e9x""#, 7));
    }
}
