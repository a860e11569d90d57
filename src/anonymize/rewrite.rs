//! One pass over raw JSON: finds values in every spelling and splices their replacements in.
//!
//! Plain occurrences come from the search over the raw bytes, escaped ones from the windows of
//! [`TermAlphabet`]. No occurrence crosses a window's border. In each region the leftmost occurrence wins,
//! then the longest, then the least escaped, then the one whose rule comes first.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::OnceLock;

use super::decode::TermAlphabet;
use super::escape::{DecodedText, EscapeStyle, needs_json_escape};
use super::json_position::{JsonPosition, JsonPositions};
use super::normal_text::{NormalText, find_odd_chars, normalize};
use super::placed_replacement::PlacedReplacement;
use super::protocol_words::is_protocol_word;
use super::sampled_search::{TermFinder, TermMatch};
use super::term::{Term, WordEdges, lowercase_text, uppercase_text};
use super::words::{Reading, stands_alone};

/// One direction: the values to search for, and their replacements.
#[derive(Default)]
pub(super) struct Rewriter {
    finder: TermFinder,
    alphabet: Option<TermAlphabet>,
    /// The replacement of each term.
    replacements: Vec<TermReplacement>,
    /// The search in normalized text, made when a text needs it first.
    normal: OnceLock<[NormalFinder; 2]>,
}

/// The search for the terms that are normalized, in text that is.
#[derive(Default)]
struct NormalFinder {
    finder: TermFinder,
    /// For each of its terms, the number among all.
    terms: Vec<usize>,
}

/// The outcome of one pass.
#[derive(Debug)]
pub(super) enum RewriteOutcome {
    /// There is nothing to replace.
    Unchanged,
    /// The new JSON, and where each replacement is in it, in order.
    Changed(String, Vec<PlacedReplacement>),
    /// More layers of escapes than any honest text has.
    TooDeep,
}

/// The most layers of escapes that are read. Honest texts have a handful.
const MAX_ESCAPE_LAYERS: usize = 24;

impl Rewriter {
    /// Takes each term with its replacement.
    pub(super) fn new(mut pairs: Vec<(Term, TermReplacement)>) -> Self {
        // A value whose normalized form is another text is searched for in both: `WEISSMANN` has nothing odd.
        for at in 0..pairs.len() {
            let (term, replacement) = &pairs[at];
            let normal = normalize(term.text(), term.is_folded());
            if normal != term.text() && !normal.trim().is_empty() {
                let replacement = replacement.for_form(&normal);
                let form = Term::new(term.rule, &normal, !term.is_folded()).with_edges(term.edges());
                pairs.push((form, replacement));
            }
        }
        let (terms, replacements): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let alphabet = (!terms.is_empty()).then(|| TermAlphabet::new(&terms));
        Self { finder: TermFinder::new(terms), alphabet, replacements, normal: OnceLock::new() }
    }

    pub(super) fn terms(&self) -> &[Term] {
        self.finder.terms()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.finder.is_empty()
    }

    /// Replaces the values of rules that are `sought` and `permitted`.
    ///
    /// A value that isn't sought is plain text. One that is sought but not permitted stays, and still occupies its
    /// place, so no other value is found inside it.
    pub(super) fn rewrite(
        &self,
        json: &str,
        sought: impl Fn(usize) -> bool,
        permitted: impl Fn(usize) -> bool,
    ) -> RewriteOutcome {
        let Some(mut splices) = self.find_splices(json.as_bytes(), sought) else {
            return RewriteOutcome::TooDeep;
        };
        splices.retain(|splice| permitted(self.rule_of(splice)));
        if splices.is_empty() {
            return RewriteOutcome::Unchanged;
        }
        self.apply_splices(json, splices)
    }

    /// Where the values are that would be replaced, in order, each with its rule's position. `None` if there are too
    /// many layers of escapes.
    pub(super) fn find_matches(&self, json: &str) -> Option<Vec<(Range<usize>, usize)>> {
        let splices = self.find_splices(json.as_bytes(), |_| true)?;
        Some(splices.into_iter().map(|splice| (splice.at.clone(), self.rule_of(&splice))).collect())
    }

    /// The values in a text that is no JSON, in order and apart from each other: the place of each, its rule's position, and
    /// what replaces it.
    pub(super) fn find_values(
        &self,
        text: &[u8],
        sought: impl Fn(usize) -> bool,
    ) -> Vec<(Range<usize>, usize, &str)> {
        let mut found = Vec::new();
        self.finder.find_all(text, &mut found);
        found.sort_unstable_by_key(|found| (found.start, Reverse(found.end), found.term));
        let mut end = 0;
        let mut values = Vec::new();
        for hit in found {
            let rule = self.finder.term(hit.term).rule;
            let at = hit.start..hit.end;
            if hit.start < end || !sought(rule) || !self.counts(hit.term, text, at, Reading::Text) {
                continue;
            }
            end = hit.end;
            let replacement = &self.replacements[hit.term];
            let spelling = replacement.spelling_index(&text[hit.start..hit.end]);
            values.push((hit.start..hit.end, rule, replacement.spellings[spelling].text.as_str()));
        }
        values
    }

    fn find_splices(&self, raw: &[u8], sought: impl Fn(usize) -> bool) -> Option<Vec<Splice>> {
        let Some(alphabet) = &self.alphabet else { return Some(Vec::new()) };
        let windows = alphabet.decode_windows(raw);
        let sought = |found: &TermMatch| sought(self.finder.term(found.term).rule);
        let mut splices = self.plain_splices(raw, &windows, sought);
        for window in windows {
            self.window_splices(raw, window, sought, &mut splices)?;
        }
        splices.sort_unstable_by_key(|splice| splice.at.start);
        Some(splices)
    }

    /// The searches in normalized text: where case counts, and where it doesn't.
    fn normal_finders(&self) -> &[NormalFinder; 2] {
        self.normal.get_or_init(|| {
            [false, true].map(|fold| {
                let is_normal =
                    |term: &Term| term.is_folded() == fold && normalize(term.text(), fold) == term.text();
                let terms: Vec<usize> =
                    (0..self.terms().len()).filter(|number| is_normal(&self.terms()[*number])).collect();
                let copies = terms.iter().map(|number| {
                    let term = &self.terms()[*number];
                    Term::new(term.rule, term.text(), !fold)
                });
                NormalFinder { finder: TermFinder::new(copies.collect()), terms }
            })
        })
    }

    /// Finds the terms in a text where it has odd characters. Each with what it was found as.
    fn find_normalized(&self, text: &[u8], mut take: impl FnMut(TermMatch, &[u8])) {
        if find_odd_chars(text).is_empty() {
            return;
        }
        for (fold, search) in [false, true].into_iter().zip(self.normal_finders()) {
            if search.finder.is_empty() {
                continue;
            }
            let normal = NormalText::new(text, fold);
            let mut found = Vec::new();
            search.finder.find_all(&normal.bytes, &mut found);
            for hit in found {
                if let Some((start, end)) = normal.source_span(hit.start, hit.end) {
                    let place = TermMatch { start, end, term: search.terms[hit.term] };
                    take(place, &normal.bytes[hit.start..hit.end]);
                }
            }
        }
    }

    /// Whether a value counts at this place: anywhere, or where it is a word.
    fn counts(&self, term: usize, text: &[u8], at: Range<usize>, reading: Reading) -> bool {
        stands_alone(text, at, self.finder.term(term).edges(), reading)
    }

    fn rule_of(&self, splice: &Splice) -> usize {
        self.finder.term(splice.term).rule
    }

    /// The unescaped occurrences outside the windows.
    fn plain_splices(
        &self,
        raw: &[u8],
        windows: &[Range<usize>],
        sought: impl Fn(&TermMatch) -> bool,
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
                || !sought(&hit)
                || !self.counts(hit.term, raw, hit.start..hit.end, Reading::RawJson)
            {
                continue;
            }
            let number = match places.position_of(hit.start) {
                JsonPosition::InString if is_protocol_word(raw, &(hit.start..hit.end)) => continue,
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
        sought: impl Fn(&TermMatch) -> bool,
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
                let mut take = |found: TermMatch, matched: &[u8]| {
                    if !sought(&found) {
                        return;
                    }
                    let (start, end) = view.source_span(found.start, found.end);
                    // What is beside a window isn't in its views.
                    let edges = self.finder.term(found.term).edges();
                    let outer = WordEdges {
                        left: edges.left && found.start == 0,
                        right: edges.right && found.end == view.bytes.len(),
                    };
                    if !stands_alone(&view.bytes, found.start..found.end, edges, Reading::Text)
                        || !stands_alone(raw, base + start..base + end, outer, Reading::RawJson)
                    {
                        return;
                    }
                    // An inconsistent spelling can't be written back. The leak scan finds the value and
                    // withholds the message.
                    let mut outer = views[..layer].iter().map(|outer| outer.slice_at_source(start, end));
                    if outer.any(|text| EscapeStyle::from_layer(text, percent).is_inconsistent()) {
                        return;
                    }
                    let spelling = self.replacements[found.term].spelling_index(matched);
                    let must_escape = needs_json_escape(&view.bytes[found.start..found.end]);
                    let term = found.term;
                    hits.push(EscapedMatch { start, end, layer, percent, term, spelling, must_escape });
                };
                self.finder.find_all(&view.bytes, &mut found);
                for found in found.drain(..) {
                    take(found, &view.bytes[found.start..found.end]);
                }
                self.find_normalized(&view.bytes, take);
            }
        }
        // The same precedence, and of two readings of the same bytes the less escaped one wins.
        hits.sort_unstable_by_key(|hit| (hit.start, Reverse(hit.end), hit.layer, hit.percent, hit.term));
        let mut last = 0;
        for (number, hit) in hits.iter().enumerate() {
            // With a backslash beside it, an escaped value may also match as a longer one from outside. The
            // inner match is the real one. Behind anything but backslashes it is a part of the outer one's first
            // escape, such as the `1` of `%31`.
            let is_whole = |inner: &EscapedMatch| {
                let view = &chains[usize::from(inner.percent)][inner.layer];
                inner.term == hit.term
                    && inner.layer < hit.layer
                    && inner.end <= hit.end
                    && view.slice_at_source(hit.start, inner.start).iter().all(|byte| *byte == b'\\')
            };
            let mut behind = hits[number + 1..].iter().take_while(|inner| inner.start < hit.end);
            if hit.start < last || behind.any(is_whole) {
                continue;
            }
            last = hit.end;
            let replacement = &self.replacements[hit.term];
            let mut written = replacement.spellings[hit.spelling].text.clone().into_bytes();
            // From the inside out: each layer is written in the style that its own text has at this place.
            for view in chains[usize::from(hit.percent)][..hit.layer].iter().rev() {
                let style = EscapeStyle::from_layer(view.slice_at_source(hit.start, hit.end), hit.percent);
                let mark = hit.must_escape && !replacement.is_redaction;
                written = style.write_escaped(&written, mark);
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
        let mut placed = Vec::with_capacity(splices.len());
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
                self.write_number(&json[token.clone()], token.start, &of_token, &mut out, &mut placed);
                continue;
            }
            out.push_str(&json[at..splice.at.start]);
            let start = out.len();
            match &splice.escaped {
                Some(written) => out.push_str(&String::from_utf8_lossy(written)),
                None => out.push_str(&self.spelling_of(&splice).json),
            }
            let (term, rule) = (splice.term, self.rule_of(&splice));
            placed.push(PlacedReplacement { at: start..out.len(), source: splice.at.clone(), term, rule });
            at = splice.at.end;
        }
        out.push_str(&json[at..]);
        RewriteOutcome::Changed(out, placed)
    }

    /// Writes a number in which values were replaced: as a number if it still is one, else as a string.
    fn write_number(
        &self,
        token: &str,
        base: usize,
        splices: &[Splice],
        out: &mut String,
        placed: &mut Vec<PlacedReplacement>,
    ) {
        let (mut text, mut string) = (String::new(), String::from("\""));
        let (mut in_text, mut in_string) = (Vec::new(), Vec::new());
        let mut at = 0;
        for splice in splices {
            let digits = &token[at..splice.at.start - base];
            let spelling = self.spelling_of(splice);
            for (written, replacement, places) in
                [(&mut text, &spelling.text, &mut in_text), (&mut string, &spelling.json, &mut in_string)]
            {
                written.push_str(digits);
                let start = out.len() + written.len();
                written.push_str(replacement);
                places.push(PlacedReplacement {
                    at: start..out.len() + written.len(),
                    source: splice.at.clone(),
                    term: splice.term,
                    rule: self.rule_of(splice),
                });
            }
            at = splice.at.end - base;
        }
        text.push_str(&token[at..]);
        string.push_str(&token[at..]);
        string.push('"');
        let (written, places) = if is_number(&text) { (text, in_text) } else { (string, in_string) };
        out.push_str(&written);
        placed.extend(places);
    }

    fn spelling_of(&self, splice: &Splice) -> &ReplacementSpelling {
        &self.replacements[splice.term].spellings[splice.spelling]
    }
}

/// A replacement in each case that it can carry over.
pub(super) struct TermReplacement {
    spellings: Vec<ReplacementSpelling>,
    /// Whether it is never revealed, so that it needs no mark for the way back.
    is_redaction: bool,
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
        Self { spellings, is_redaction: false }
    }

    /// `from` becomes `redaction`, which is written plainly wherever that is possible.
    pub(super) fn redaction(from: &str, redaction: &str) -> Self {
        Self { is_redaction: true, ..Self::new(from, redaction, false) }
    }

    /// The same replacement for another form of the value.
    fn for_form(&self, form: &str) -> Self {
        let carry_case = self.spellings.len() > 1;
        Self { is_redaction: self.is_redaction, ..Self::new(form, &self.spellings[0].text, carry_case) }
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
