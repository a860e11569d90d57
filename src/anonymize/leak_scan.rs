//! The leak scan (guarantee N5): a second search for values in an outgoing message.
//!
//! It shares no search, no decoder and no JSON reader with the first pass, so one fault can't blind both. It
//! skips through the raw bytes by the ends of values (Horspool's method, with blocks of three bytes). Where
//! escapes could hide a value, it also unescapes every string, layer by layer, and searches each layer. A
//! value that arises where two replacements meet is plain text here, and is found like any other.

use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::term::{Term, fold_char, fold_text};

/// Searches for values that must not leave.
#[derive(Default)]
pub(super) struct LeakScan {
    exact: SkipSearch,
    folded: SkipSearch,
    /// Bytes that occur in values.
    value_bytes: Vec<bool>,
    has_non_ascii: bool,
    folded_has_non_ascii: bool,
}

/// A message with more layers of escapes than this counts as a leak.
const MAX_ESCAPE_LAYERS: usize = 24;
/// Separates two unescaped strings. No value holds this byte.
const STRING_SEPARATOR: u8 = 0xFF;

impl LeakScan {
    pub(super) fn new(terms: &[Term]) -> Self {
        let texts = |folded: bool| -> Vec<String> {
            let of_kind = terms.iter().filter(|term| term.is_folded() == folded);
            of_kind.map(|term| term.text().to_owned()).collect()
        };
        let (exact, folded) = (texts(false), texts(true));
        let mut value_bytes = vec![false; 256];
        for byte in exact.iter().chain(&folded).flat_map(|text| text.bytes()) {
            value_bytes[usize::from(byte)] = true;
        }
        for byte in folded.iter().flat_map(|text| text.bytes()) {
            value_bytes[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Self {
            has_non_ascii: exact.iter().chain(&folded).any(|text| !text.is_ascii()) || !folded.is_empty(),
            folded_has_non_ascii: folded.iter().any(|text| !text.is_ascii()),
            exact: SkipSearch::new(exact, false),
            folded: SkipSearch::new(folded, true),
            value_bytes,
        }
    }

    /// Whether raw JSON holds a value, plainly or escaped.
    pub(super) fn contains_value(&self, json: &str) -> bool {
        if self.exact.is_empty() && self.folded.is_empty() {
            return false;
        }
        let raw = json.as_bytes();
        let mut doubt = false;
        let mut scalars = None;
        let mut counts = |hit: Range<usize>| {
            // The letters of an escape may look like a value's: `\nick` does not hold `nick`. Five bytes back
            // from its last digit is the backslash of the longest escape, `\u` and four digits. Such a hit is
            // left to the search in unescaped text.
            if raw[hit.start.saturating_sub(5)..hit.end].contains(&b'\\') {
                doubt = true;
                return false;
            }
            is_inside_scalar(scalars.get_or_insert_with(|| read_scalars(raw)), &hit)
        };
        if self.search_bytes(raw, &mut counts) {
            return true;
        }
        // Unescaping costs most, so it comes last and only where an escape could matter.
        (doubt || self.may_hide_value(raw)) && self.search_layers(raw)
    }

    fn search_bytes(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        if self.exact.any_match(text, counts) || self.folded.any_match(text, counts) {
            return true;
        }
        if self.folded.is_empty() || text.is_ascii() {
            return false;
        }
        // The search above ignores the case of ASCII letters only. That is enough unless a value holds other
        // letters, or the text holds `K` (Kelvin), `ſ` or `ı`, which fold to ASCII letters.
        let odd = ["\u{212A}", "ſ", "ı"].iter().any(|c| memchr::memmem::find(text, c.as_bytes()).is_some());
        (self.folded_has_non_ascii || odd) && self.search_folded(text, counts)
    }

    /// Searches a folded copy for folded values. Quotes have no case, so the copy shows where strings end.
    fn search_folded(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let mut copy = Vec::with_capacity(text.len());
        let mut keeps_places = true;
        for chunk in text.utf8_chunks() {
            keeps_places &= chunk.valid().chars().all(|c| fold_char(c).len_utf8() == c.len_utf8());
            copy.extend_from_slice(fold_text(chunk.valid()).as_bytes());
            copy.extend_from_slice(chunk.invalid());
        }
        // `counts` expects places in the original text. An equal total length doesn't guarantee them: one
        // letter that grows and one that shrinks shift everything in between.
        if keeps_places {
            return self.folded.any_match(&copy, counts);
        }
        let scalars = read_scalars(&copy);
        self.folded
            .any_match(&copy, &mut |hit| copy.contains(&STRING_SEPARATOR) || is_inside_scalar(&scalars, &hit))
    }

    /// Whether the text holds an escape that may spell a character of a value.
    fn may_hide_value(&self, raw: &[u8]) -> bool {
        let mut at = 0;
        while let Some(next) = memchr::memchr2(b'\\', b'%', &raw[at..]).map(|offset| at + offset) {
            at = next + 1;
            let suspicious = if raw[next] == b'%' {
                raw.get(at..at + 2).is_some_and(|digits| {
                    digits.iter().any(|digit| matches!(digit, b'\\' | b'%'))
                        || parse_hex(digits).is_some_and(|byte| self.may_be_value_char(byte))
                })
            } else {
                // Reads the whole run of backslashes at once. The number of layers doesn't matter here, only
                // the character behind the last backslash.
                let run = raw[next..].iter().take_while(|byte| **byte == b'\\').count();
                at = next + run + 1;
                let code = match raw.get(next + run) {
                    Some(b'u') => parse_hex(raw.get(at..at + 4).unwrap_or_default()),
                    Some(b'n') => Some(10),
                    Some(b't') => Some(9),
                    Some(b'r') => Some(13),
                    Some(b'b') => Some(8),
                    Some(b'f') => Some(12),
                    // An even run escapes itself, so this quote ends the string.
                    Some(b'"') if run % 2 == 0 => None,
                    Some(byte) => Some(u32::from(*byte)),
                    None => None,
                };
                (run > 1 && self.value_bytes[usize::from(b'\\')])
                    || code.is_some_and(|code| self.may_be_value_char(code))
            };
            if suspicious {
                return true;
            }
        }
        false
    }

    fn may_be_value_char(&self, code: u32) -> bool {
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii() => {
                // An escaped letter or digit is odd enough to look closer, whatever the values hold: it may
                // belong to an inner escape.
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'\\' | b'%')
                    || self.value_bytes[usize::from(byte)]
            }
            _ => self.has_non_ascii,
        }
    }

    /// Searches every string with one layer of escapes taken off, then with two, and so on.
    fn search_layers(&self, raw: &[u8]) -> bool {
        let mut text = Vec::with_capacity(raw.len());
        for scalar in read_scalars(raw) {
            let scalar = &raw[scalar];
            if memchr::memchr2(b'\\', b'%', scalar).is_some() {
                strip_escape_layer(scalar, false, &mut text);
                text.push(STRING_SEPARATOR);
            }
        }
        // A `%` in a value may look like percent-encoding, so JSON's escapes are also taken off alone.
        let mut percent = false;
        self.search_stripped(text.clone(), &mut |text| {
            percent |= memchr::memchr(b'%', text).is_some();
            false
        }) || (percent && self.search_stripped(text, &mut |_| true))
    }

    fn search_stripped(&self, mut text: Vec<u8>, percent: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        // Each layer is shorter than the one before, so the loop ends where nothing is left to strip. A text
        // with more layers than the limit counts as a leak, since honest texts have a handful.
        for _ in 0..MAX_ESCAPE_LAYERS {
            if self.search_bytes(&text, &mut |_| true) {
                return true;
            }
            let mut next = Vec::with_capacity(text.len());
            strip_escape_layer(&text, percent(&text), &mut next);
            if next.len() == text.len() {
                return false;
            }
            text = next;
        }
        true
    }
}

/// The insides of all strings, and all numbers, in order.
fn read_scalars(json: &[u8]) -> Vec<Range<usize>> {
    let mut scalars = Vec::new();
    let mut at = 0;
    while at < json.len() {
        let start = at;
        match json[at] {
            b'"' => {
                at += 1;
                while at < json.len() && json[at] != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                scalars.push(start + 1..at.min(json.len()));
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                while at < json.len() && matches!(json[at], b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
                    at += 1;
                }
                scalars.push(start..at);
            }
            _ => at += 1,
        }
    }
    scalars
}

fn is_inside_scalar(scalars: &[Range<usize>], hit: &Range<usize>) -> bool {
    // The scalars are in order and apart from each other: the first that ends no earlier than the hit is the only one
    // that can hold it.
    let before = scalars.partition_point(|scalar| scalar.end < hit.end);
    scalars.get(before).is_some_and(|scalar| scalar.start <= hit.start)
}

/// Takes one layer of escapes off and appends the result to `out`.
fn strip_escape_layer(text: &[u8], percent: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'\\', b'%', &text[at..]).map(|offset| at + offset) {
        out.extend_from_slice(&text[at..next]);
        at = next + 1;
        if text[next] == b'%' {
            match parse_hex(text.get(at..at + 2).unwrap_or_default()) {
                Some(byte) if percent => {
                    out.push(byte as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            }
            continue;
        }
        let plain = match text.get(at) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(same @ (b'"' | b'\\' | b'/')) => *same,
            Some(b'u') if parse_hex(text.get(at + 1..at + 5).unwrap_or_default()).is_some() => {
                at += decode_unicode_escape(&text[at + 1..], out);
                continue;
            }
            _ => {
                out.push(b'\\');
                continue;
            }
        };
        out.push(plain);
        at += 1;
    }
    out.extend_from_slice(&text[at..]);
}

/// Decodes the hex digits behind `\u`. Returns the escape's length without its backslash.
fn decode_unicode_escape(digits: &[u8], out: &mut Vec<u8>) -> usize {
    // The digits of one unit, and of a second one behind the next `\u`: together they may be a surrogate pair.
    let units: Vec<u16> = [0, 6]
        .iter()
        .filter(|at| **at == 0 || digits.get(4..6) == Some(b"\\u"))
        .map_while(|at| parse_hex(digits.get(*at..at + 4)?))
        .map(|unit| unit as u16)
        .collect();
    let (read, length) = match char::decode_utf16(units.iter().copied()).next() {
        // `uXXXX\uXXXX` and `uXXXX`.
        Some(Ok(c)) => (c, if c.len_utf16() == 2 { 11 } else { 5 }),
        _ => (char::REPLACEMENT_CHARACTER, 5),
    };
    out.extend_from_slice(read.encode_utf8(&mut [0; 4]).as_bytes());
    length
}

fn parse_hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A search for several texts that skips ahead.
#[derive(Default)]
struct SkipSearch {
    /// Texts too short for skipping.
    short: Option<AhoCorasick>,
    long: Vec<Vec<u8>>,
    any_case: bool,
    shortest: usize,
    /// For each block's slot, how far the search may skip.
    shifts: Vec<u8>,
    /// The slot at which a text must be compared, with the text's number, sorted.
    ends: Vec<(usize, usize)>,
}

const MIN_SKIP_LENGTH: usize = 6;
const BLOCK_BYTES: usize = 3;
const SHIFT_TABLE_SIZE: usize = 1 << 14;

impl SkipSearch {
    fn new(texts: Vec<String>, any_case: bool) -> Self {
        let (long, short): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|text| text.len() >= MIN_SKIP_LENGTH);
        let short = (!short.is_empty())
            .then(|| AhoCorasick::builder().ascii_case_insensitive(any_case).build(&short))
            .transpose()
            .expect("a few short texts make a small automaton");
        let long: Vec<Vec<u8>> = long.into_iter().map(String::into_bytes).collect();
        // At most 200, so that every shift fits into a byte.
        let shortest = long.iter().map(Vec::len).min().unwrap_or(0).min(200);
        let mut search = Self { short, long, any_case, shortest, shifts: Vec::new(), ends: Vec::new() };
        if shortest > 0 {
            search.shifts =
                vec![u8::try_from(shortest - BLOCK_BYTES + 1).unwrap_or(u8::MAX); SHIFT_TABLE_SIZE];
            for (number, text) in search.long.iter().enumerate() {
                // As in Horspool's search, all texts count by their first `shortest` bytes. The block at the
                // end of the window tells how far the window can move before that block could be part of a
                // text. 0 means compare.
                for (start, block) in text[..shortest].windows(BLOCK_BYTES).enumerate() {
                    let slot = block_slot(block);
                    let shift = u8::try_from(shortest - BLOCK_BYTES - start).unwrap_or(u8::MAX);
                    search.shifts[slot] = search.shifts[slot].min(shift);
                    if shift == 0 {
                        search.ends.push((slot, number));
                    }
                }
            }
            search.ends.sort_unstable();
        }
        search
    }

    const fn is_empty(&self) -> bool {
        self.short.is_none() && self.long.is_empty()
    }

    // Short texts have an automaton of their own: one of them would shrink every skip of the long ones.
    fn any_match(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        if let Some(short) = &self.short
            && short.find_overlapping_iter(text).any(|hit| counts(hit.range()))
        {
            return true;
        }
        self.shortest > 0 && self.any_long_match(text, counts)
    }

    fn any_long_match(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let shifts: &[u8; SHIFT_TABLE_SIZE] =
            self.shifts.as_slice().try_into().expect("the table has its size");
        let mut at = 0;
        if text.len() > 4096 {
            // Four places at once: each step waits for the one before it, but not for the other places'. The loop ends
            // with the first lane that is done; the others go on alone below, the last of them to the end of the text.
            let part = (text.len() - self.shortest) / 4;
            let mut ends = [0, 1, 2, 3].map(|lane| lane * part + self.shortest);
            let limits = ends.map(|end| end + part);
            while ends[0] < limits[0] && ends[1] < limits[1] && ends[2] < limits[2] && ends[3] < limits[3] {
                for end in &mut ends {
                    match shifts[block_slot(&text[*end - BLOCK_BYTES..*end])] {
                        0 => {
                            if self.matches_at_end(text, *end, counts) {
                                return true;
                            }
                            *end += 1;
                        }
                        shift => *end += usize::from(shift),
                    }
                }
            }
            // Not the last one: its rest and the bytes that four equal parts leave over are one stretch.
            for lane in 0..3 {
                if self.search_range(shifts, text, ends[lane]..limits[lane], counts) {
                    return true;
                }
            }
            at = ends[3] - self.shortest;
        }
        self.search_range(shifts, text, at + self.shortest..text.len() + 1, counts)
    }

    /// Looks for texts whose first `shortest` bytes end within a range.
    fn search_range(
        &self,
        shifts: &[u8; SHIFT_TABLE_SIZE],
        text: &[u8],
        mut ends: Range<usize>,
        counts: &mut dyn FnMut(Range<usize>) -> bool,
    ) -> bool {
        while ends.start < ends.end {
            match shifts[block_slot(&text[ends.start - BLOCK_BYTES..ends.start])] {
                0 => {
                    if self.matches_at_end(text, ends.start, counts) {
                        return true;
                    }
                    ends.start += 1;
                }
                shift => ends.start += usize::from(shift),
            }
        }
        false
    }

    // Out of line, so that the loops that call it stay small enough for the registers.
    #[cold]
    #[inline(never)]
    fn matches_at_end(&self, text: &[u8], end: usize, counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let start = end - self.shortest;
        let slot = block_slot(&text[end - BLOCK_BYTES..end]);
        let first = self.ends.partition_point(|(other, _)| *other < slot);
        self.ends[first..].iter().take_while(|(other, _)| *other == slot).any(|(_, number)| {
            let wanted = &self.long[*number];
            text.get(start..start + wanted.len()).is_some_and(|found| {
                (found == wanted.as_slice() || (self.any_case && found.eq_ignore_ascii_case(wanted)))
                    && counts(start..start + wanted.len())
            })
        })
    }
}

/// Five bits of a letter leave its case out, so blocks that differ only in case share a slot. Other blocks may
/// share one too, because a slot only says where to compare.
fn block_slot(block: &[u8]) -> usize {
    let low = |at: usize| usize::from(block[at] & 0x1F);
    ((low(0) << 9) ^ (low(1) << 5) ^ low(2)) & (SHIFT_TABLE_SIZE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_for(values: &[(&str, bool)]) -> LeakScan {
        let terms: Vec<Term> = values.iter().map(|(text, exact)| Term::new(0, text, *exact)).collect();
        LeakScan::new(&terms)
    }

    #[test]
    fn a_value_is_found_in_every_spelling() {
        let look = scan_for(&[
            ("José Pérez", true),
            ("a\"b\\c\n", true),
            ("KELVIN", false),
            ("abc", true),
            ("+49 1/2", true),
        ]);
        for json in [
            r#"{"José Pérez":1}"#,
            r#"["Jos\u00e9 P\u00e9rez"]"#,
            r#"["{\"n\":\"Jos\\u00e9 P\\u00e9rez\"}"]"#,
            r#"["a\"b\\c\n"]"#,
            r#"["[\"a\\\"b\\\\c\\n\"]"]"#,
            r#"["?q=Jos%C3%A9%20P%c3%a9rez"]"#,
            r#"["\u004bel\u212Ain","kelvin"]"#,
            r#"["x\u004belvin"]"#,
            "[\"\u{212A}elvin\"]",
            r#"["xxabcx"]"#,
            r#"["+49 1\/2"]"#,
        ] {
            assert!(look.contains_value(json), "{json}");
        }
    }

    #[test]
    fn letters_that_shrink_and_grow_without_case_hide_nothing() {
        let look = scan_for(&[("kelvin", false)]);
        let json = "[\"ȺȺȺȺ\u{212A}elvin\",\"\u{212A}\"]";
        assert_eq!(fold_text(json).len(), json.len(), "what grows and what shrinks cancel out");
        assert!(look.contains_value(json));
    }

    #[test]
    fn a_long_text_is_searched_to_its_end() {
        let look = scan_for(&[("Erika Muster", true), ("Berta Block", true)]);
        for place in (0..9_000).step_by(7).chain(8_990..9_000) {
            let mut text = "x".repeat(9_000);
            text.insert_str(place, "Erika Muster");
            assert!(look.contains_value(&format!("\"{text}\"")), "{place}");
        }
        assert!(!look.contains_value(&format!("\"{}\"", "Erika Must".repeat(1_000))));
    }

    #[test]
    fn what_only_looks_like_a_value_is_none() {
        let look =
            scan_for(&[("nick", true), ("als", true), ("1, 2", true), ("\":\"", true), ("9xyz9xyz", true)]);
        for json in
            [r#"{"a":"\nick"}"#, "[false]", "[1, 2]", r#"{"a":"b"}"#, r#"["\u00e9xyz9xyz"]"#, r#"["Nick"]"#]
        {
            assert!(!look.contains_value(json), "{json}");
        }
        assert!(look.contains_value(r#"["x\\nick"]"#));
    }
}
