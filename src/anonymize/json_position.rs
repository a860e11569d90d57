//! The position of a byte in raw JSON: in a string, in a number, or in the structure around them.

use std::ops::Range;

/// The position of a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JsonPosition {
    /// In a string or a key.
    InString,
    /// In this number.
    InNumber(Range<usize>),
    /// Elsewhere: brackets, white space, `true`, `false`, `null`.
    Structure,
}

/// Tells positions, from front to back.
pub(super) struct JsonPositions<'a> {
    json: &'a [u8],
    at: usize,
    in_string: bool,
    /// The last number told: many values may be in one, and walking over it for each would be quadratic.
    number: Range<usize>,
    /// How many bytes of numbers were walked over.
    #[cfg(test)]
    steps: usize,
}

impl<'a> JsonPositions<'a> {
    pub(super) const fn new(json: &'a [u8]) -> Self {
        Self {
            json,
            at: 0,
            in_string: false,
            number: 0..0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The position of a byte. The byte must not be part of an escape, nor lie before the last one asked for.
    pub(super) fn position_of(&mut self, at: usize) -> JsonPosition {
        while self.at < at {
            let stretch = &self.json[self.at..at];
            let plain = memchr::memchr(b'\\', stretch).unwrap_or(stretch.len());
            // Without a backslash each quote begins or ends a string, so only whether their number is odd matters.
            self.in_string ^= count_quotes(&stretch[..plain]) % 2 == 1;
            self.at += plain;
            if plain < stretch.len() {
                // Skips the backslash and the character that it escapes, which may be a quote.
                self.at += 2;
            }
        }
        if self.in_string {
            return JsonPosition::InString;
        }
        if self.number.contains(&at) {
            return JsonPosition::InNumber(self.number.clone());
        }
        let in_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let start = at - self.json[..at].iter().rev().take_while(|byte| in_number(byte)).count();
        let end = at + self.json[at..].iter().take_while(|byte| in_number(byte)).count();
        #[cfg(test)]
        {
            self.steps += end - start;
        }
        match self.json.get(start) {
            Some(byte) if start < end && (byte.is_ascii_digit() || *byte == b'-') => {
                self.number = start..end;
                JsonPosition::InNumber(start..end)
            }
            _ => JsonPosition::Structure,
        }
    }
}

/// Whether any of these places, in order, is in a key of an object. Each ends no later than its string.
pub(super) fn any_in_key<'a>(json: &[u8], places: impl Iterator<Item = &'a Range<usize>>) -> bool {
    let mut places = places.peekable();
    while let Some(place) = places.next() {
        // Another place in the same string tells for this one too, so each string is read to its end once.
        let limit = places.peek().map_or(json.len(), |next| next.start);
        let Some(end) = find_closing_quote(&json[..limit], place.end) else { continue };
        if json[end + 1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
            return true;
        }
    }
    false
}

fn find_closing_quote(json: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Sums at most 192 at a time, which fits into a byte, so that compilers emit vector code.
fn count_quotes(text: &[u8]) -> usize {
    text.chunks(192)
        .map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(*byte == b'"')).sum::<u8>()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_keys_are_told() {
        let json = r#"{"Jane \"x\" Jane" : "Jane, Jane","b":[5550,"Jane"],"Jo":"x"}"#;
        let places = |wanted: &str| {
            json.match_indices(wanted).map(|(at, found)| at..at + found.len()).collect::<Vec<_>>()
        };
        let jane = places("Jane");
        assert!(any_in_key(json.as_bytes(), jane.iter()) && any_in_key(json.as_bytes(), jane[..1].iter()));
        assert!(!any_in_key(json.as_bytes(), jane[2..].iter()));
        assert!(any_in_key(json.as_bytes(), places("Jo").iter()));
        assert!(!any_in_key(json.as_bytes(), places("5550").iter()));
        assert!(!any_in_key(b"\"Jane", std::iter::once(&(1..5))));
    }

    #[test]
    fn a_long_number_is_walked_over_once() {
        let number = "987654321".repeat(10_000);
        let json = format!("[1,{number},2]");
        let mut places = JsonPositions::new(json.as_bytes());
        for hit in (0..number.len()).step_by(9) {
            assert_eq!(places.position_of(3 + hit), JsonPosition::InNumber(3..3 + number.len()));
        }
        assert_eq!(
            places.position_of(json.len() - 2),
            JsonPosition::InNumber(json.len() - 2..json.len() - 1)
        );
        assert_eq!(places.steps, number.len() + 1);
    }

    #[test]
    fn places_are_told_apart() {
        let json = br#"{"a\"b\\":[-12.5e3,true,"x 1 \u0022 2"]}"#;
        let mut places = JsonPositions::new(json);
        let at = |needle: &str| memchr::memmem::find(json, needle.as_bytes()).expect("there");
        assert_eq!(places.position_of(at("{")), JsonPosition::Structure);
        assert_eq!(places.position_of(at("b\\\\")), JsonPosition::InString);
        assert_eq!(places.position_of(at("[")), JsonPosition::Structure);
        assert_eq!(places.position_of(at("2.5")), JsonPosition::InNumber(at("-12")..at("-12") + 7));
        assert_eq!(places.position_of(at("true") + 3), JsonPosition::Structure);
        assert_eq!(places.position_of(at("1 ")), JsonPosition::InString);
        assert_eq!(places.position_of(at(" 2")), JsonPosition::InString);
        assert_eq!(places.position_of(at("]")), JsonPosition::Structure);
    }
}
