//! The second look (guarantee N5): whether an outgoing message still holds a value.
//!
//! It shares no search, no decoder and no JSON reader with the first pass. It skips through the raw bytes from
//! the values' ends (after Horspool, by blocks of three); only where escapes could hide something does it
//! unescape every string, layer by layer, and look again. What arises at the joins of replacements is plain
//! text to it like everything else.

use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::needle::{Needle, fold_text};

/// Looks for values that must not go out.
#[derive(Default)]
pub(super) struct SecondLook {
    exact: Search,
    folded: Search,
    /// Bytes that values hold.
    held: Vec<bool>,
    wide: bool,
    folded_wide: bool,
}

/// Beyond this many layers of escapes the message counts as hiding something.
const LAYERS: usize = 24;
/// Between two strings that were unescaped: in no value.
const APART: u8 = 0xFF;

impl SecondLook {
    pub(super) fn new(needles: &[Needle]) -> Self {
        let texts = |folded: bool| -> Vec<String> {
            let of_kind = needles.iter().filter(|needle| needle.folded() == folded);
            of_kind.map(|needle| needle.text().to_owned()).collect()
        };
        let (exact, folded) = (texts(false), texts(true));
        let mut held = vec![false; 256];
        for byte in exact.iter().chain(&folded).flat_map(|text| text.bytes()) {
            held[usize::from(byte)] = true;
        }
        for byte in folded.iter().flat_map(|text| text.bytes()) {
            held[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Self {
            wide: exact.iter().chain(&folded).any(|text| !text.is_ascii()) || !folded.is_empty(),
            folded_wide: folded.iter().any(|text| !text.is_ascii()),
            exact: Search::new(exact, false),
            folded: Search::new(folded, true),
            held,
        }
    }

    /// Whether raw JSON holds a value.
    pub(super) fn finds(&self, json: &str) -> bool {
        if self.exact.is_empty() && self.folded.is_empty() {
            return false;
        }
        let raw = json.as_bytes();
        let mut doubt = false;
        let mut scalars = None;
        let mut counts = |hit: Range<usize>| {
            // Letters of an escape may look like a value's; unescaping will tell.
            if raw[hit.start.saturating_sub(5)..hit.end].contains(&b'\\') {
                doubt = true;
                return false;
            }
            inside_one(scalars.get_or_insert_with(|| read_scalars(raw)), &hit)
        };
        if self.in_bytes(raw, &mut counts) {
            return true;
        }
        (doubt || self.may_hide(raw)) && self.in_layers(raw)
    }

    fn in_bytes(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        if self.exact.any(text, counts) || self.folded.any(text, counts) {
            return true;
        }
        if self.folded.is_empty() || text.is_ascii() {
            return false;
        }
        // `K` (Kelvin), `ſ` and `ı` fold to letters of ASCII.
        let odd = ["\u{212A}", "ſ", "ı"].iter().any(|c| memchr::memmem::find(text, c.as_bytes()).is_some());
        (self.folded_wide || odd) && self.in_folded(text, counts)
    }

    /// Compares without case in a copy without case. A hit there is one wherever it lies in a string; where
    /// strings end is seen from the quotes, which have no case.
    fn in_folded(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let mut copy = Vec::with_capacity(text.len());
        let mut sources: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        for chunk in text.utf8_chunks() {
            let folded = fold_text(chunk.valid());
            sources.push((copy.len(), at));
            copy.extend_from_slice(folded.as_bytes());
            at += chunk.valid().len();
            sources.push((copy.len(), at));
            copy.extend_from_slice(chunk.invalid());
            at += chunk.invalid().len();
        }
        if copy.len() == text.len() {
            return self.folded.any(&copy, counts);
        }
        let scalars = read_scalars(&copy);
        self.folded.any(&copy, &mut |hit| copy.contains(&APART) || inside_one(&scalars, &hit))
    }

    /// Whether an escape stands for something that a value holds.
    fn may_hide(&self, raw: &[u8]) -> bool {
        let mut at = 0;
        while let Some(next) = memchr::memchr2(b'\\', b'%', &raw[at..]).map(|offset| at + offset) {
            at = next + 1;
            let suspicious = if raw[next] == b'%' {
                raw.get(at..at + 2).is_some_and(|digits| {
                    digits.iter().any(|digit| matches!(digit, b'\\' | b'%'))
                        || number(digits).is_some_and(|byte| self.may_be_part(byte))
                })
            } else {
                let run = raw[next..].iter().take_while(|byte| **byte == b'\\').count();
                at = next + run + 1;
                let code = match raw.get(next + run) {
                    Some(b'u') => number(raw.get(at..at + 4).unwrap_or_default()),
                    Some(b'n') => Some(10),
                    Some(b't') => Some(9),
                    Some(b'r') => Some(13),
                    Some(b'b') => Some(8),
                    Some(b'f') => Some(12),
                    Some(b'"') if run % 2 == 0 => None,
                    Some(byte) => Some(u32::from(*byte)),
                    None => None,
                };
                (run > 1 && self.held[usize::from(b'\\')]) || code.is_some_and(|code| self.may_be_part(code))
            };
            if suspicious {
                return true;
            }
        }
        false
    }

    fn may_be_part(&self, code: u32) -> bool {
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii() => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'\\' | b'%') || self.held[usize::from(byte)]
            }
            _ => self.wide,
        }
    }

    /// Looks at every string without its escapes, then without those inside, and so on.
    fn in_layers(&self, raw: &[u8]) -> bool {
        let mut text = Vec::with_capacity(raw.len());
        for scalar in read_scalars(raw) {
            let scalar = &raw[scalar];
            if memchr::memchr2(b'\\', b'%', scalar).is_some() {
                peel(scalar, false, &mut text);
                text.push(APART);
            }
        }
        // A `%` in a value may look like percent-encoding, so JSON's escapes are taken off alone, too.
        let mut percent = false;
        self.in_peeled(text.clone(), &mut |text| {
            percent |= memchr::memchr(b'%', text).is_some();
            false
        }) || (percent && self.in_peeled(text, &mut |_| true))
    }

    fn in_peeled(&self, mut text: Vec<u8>, percent: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        for _ in 0..LAYERS {
            if self.in_bytes(&text, &mut |_| true) {
                return true;
            }
            let mut next = Vec::with_capacity(text.len());
            peel(&text, percent(&text), &mut next);
            if next.len() == text.len() {
                return false;
            }
            text = next;
        }
        true
    }
}

/// The insides of all strings, and all numbers.
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

fn inside_one(scalars: &[Range<usize>], hit: &Range<usize>) -> bool {
    let before = scalars.partition_point(|scalar| scalar.end < hit.end);
    scalars.get(before).is_some_and(|scalar| scalar.start <= hit.start)
}

/// Takes one layer of escapes off.
fn peel(text: &[u8], percent: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'\\', b'%', &text[at..]).map(|offset| at + offset) {
        out.extend_from_slice(&text[at..next]);
        at = next + 1;
        if text[next] == b'%' {
            match number(text.get(at..at + 2).unwrap_or_default()) {
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
            Some(b'u') if number(text.get(at + 1..at + 5).unwrap_or_default()).is_some() => {
                at += peel_unit(&text[at + 1..], out);
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

/// Writes the character of the hex digits behind `\u`; returns how long the escape is without its backslash.
fn peel_unit(digits: &[u8], out: &mut Vec<u8>) -> usize {
    let units: Vec<u16> = [0, 6]
        .iter()
        .filter(|at| **at == 0 || digits.get(4..6) == Some(b"\\u"))
        .map_while(|at| number(digits.get(*at..at + 4)?))
        .map(|unit| unit as u16)
        .collect();
    let (read, length) = match char::decode_utf16(units.iter().copied()).next() {
        Some(Ok(c)) => (c, if c.len_utf16() == 2 { 11 } else { 5 }),
        _ => (char::REPLACEMENT_CHARACTER, 5),
    };
    out.extend_from_slice(read.encode_utf8(&mut [0; 4]).as_bytes());
    length
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A search for several texts that skips.
#[derive(Default)]
struct Search {
    /// Texts that are too short to skip well.
    short: Option<AhoCorasick>,
    long: Vec<Vec<u8>>,
    any_case: bool,
    shortest: usize,
    /// By the hash of a block: how far one may go on.
    shifts: Vec<u8>,
    /// The hash of a block at which to compare, and the text; in order.
    ends: Vec<(usize, usize)>,
}

const SHORT: usize = 6;
const BLOCK: usize = 3;
const TABLE: usize = 1 << 14;

impl Search {
    fn new(texts: Vec<String>, any_case: bool) -> Self {
        let (long, short): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.len() >= SHORT);
        let short = (!short.is_empty())
            .then(|| AhoCorasick::builder().ascii_case_insensitive(any_case).build(&short))
            .transpose()
            .expect("a few short texts make a small automaton");
        let long: Vec<Vec<u8>> = long.into_iter().map(String::into_bytes).collect();
        let shortest = long.iter().map(Vec::len).min().unwrap_or(0).min(200);
        let mut search = Self { short, long, any_case, shortest, shifts: Vec::new(), ends: Vec::new() };
        if shortest > 0 {
            search.shifts = vec![u8::try_from(shortest - BLOCK + 1).unwrap_or(u8::MAX); TABLE];
            for (number, text) in search.long.iter().enumerate() {
                for (start, block) in text[..shortest].windows(BLOCK).enumerate() {
                    let slot = slot(block);
                    let shift = u8::try_from(shortest - BLOCK - start).unwrap_or(u8::MAX);
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

    fn any(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        if let Some(short) = &self.short
            && short.find_overlapping_iter(text).any(|hit| counts(hit.range()))
        {
            return true;
        }
        self.shortest > 0 && self.any_long(text, counts)
    }

    fn any_long(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let shifts: &[u8; TABLE] = self.shifts.as_slice().try_into().expect("the table has its size");
        let mut at = 0;
        if text.len() > 4096 {
            // Four places at once: each step waits for the one before it, but not for the other places'.
            let part = (text.len() - self.shortest) / 4;
            let mut ends = [0, 1, 2, 3].map(|lane| lane * part + self.shortest);
            let limits = ends.map(|end| end + part);
            while ends[0] < limits[0] && ends[1] < limits[1] && ends[2] < limits[2] && ends[3] < limits[3] {
                for end in &mut ends {
                    match shifts[slot(&text[*end - BLOCK..*end])] {
                        0 => {
                            if self.ends_at(text, *end, counts) {
                                return true;
                            }
                            *end += 1;
                        }
                        shift => *end += usize::from(shift),
                    }
                }
            }
            for lane in 0..3 {
                if self.skip(shifts, text, ends[lane]..limits[lane], counts) {
                    return true;
                }
            }
            at = ends[3] - self.shortest;
        }
        self.skip(shifts, text, at + self.shortest..text.len() + 1, counts)
    }

    /// Looks for texts whose first `shortest` bytes end within a range.
    fn skip(
        &self,
        shifts: &[u8; TABLE],
        text: &[u8],
        mut ends: Range<usize>,
        counts: &mut dyn FnMut(Range<usize>) -> bool,
    ) -> bool {
        while ends.start < ends.end {
            match shifts[slot(&text[ends.start - BLOCK..ends.start])] {
                0 => {
                    if self.ends_at(text, ends.start, counts) {
                        return true;
                    }
                    ends.start += 1;
                }
                shift => ends.start += usize::from(shift),
            }
        }
        false
    }

    #[cold]
    #[inline(never)]
    fn ends_at(&self, text: &[u8], end: usize, counts: &mut dyn FnMut(Range<usize>) -> bool) -> bool {
        let start = end - self.shortest;
        let slot = slot(&text[end - BLOCK..end]);
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

/// Blocks that differ only in case share a slot.
fn slot(block: &[u8]) -> usize {
    let low = |at: usize| usize::from(block[at] & 0x1F);
    ((low(0) << 9) ^ (low(1) << 5) ^ low(2)) & (TABLE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(values: &[(&str, bool)]) -> SecondLook {
        let needles: Vec<Needle> = values.iter().map(|(text, exact)| Needle::new(0, text, *exact)).collect();
        SecondLook::new(&needles)
    }

    #[test]
    fn a_value_is_found_in_every_spelling() {
        let look = look(&[
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
            assert!(look.finds(json), "{json}");
        }
    }

    #[test]
    fn a_long_text_is_searched_to_its_end() {
        let look = look(&[("Erika Muster", true), ("Berta Block", true)]);
        for place in (0..9_000).step_by(7).chain(8_990..9_000) {
            let mut text = "x".repeat(9_000);
            text.insert_str(place, "Erika Muster");
            assert!(look.finds(&format!("\"{text}\"")), "{place}");
        }
        assert!(!look.finds(&format!("\"{}\"", "Erika Must".repeat(1_000))));
    }

    #[test]
    fn what_only_looks_like_a_value_is_none() {
        let look =
            look(&[("nick", true), ("als", true), ("1, 2", true), ("\":\"", true), ("9xyz9xyz", true)]);
        for json in
            [r#"{"a":"\nick"}"#, "[false]", "[1, 2]", r#"{"a":"b"}"#, r#"["\u00e9xyz9xyz"]"#, r#"["Nick"]"#]
        {
            assert!(!look.finds(json), "{json}");
        }
        assert!(look.finds(r#"["x\\nick"]"#));
    }
}
