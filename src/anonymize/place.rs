//! Where in raw JSON a byte stands: in a string, in a number, or in what holds them together.

use std::ops::Range;

/// Where a byte stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a string or a key.
    Text,
    /// In this number.
    Number(Range<usize>),
    /// Elsewhere: brackets, white space, `true`, `false`, `null`.
    Structure,
}

/// Tells places, from front to back.
pub(super) struct Places<'a> {
    json: &'a [u8],
    at: usize,
    inside: bool,
}

impl<'a> Places<'a> {
    pub(super) const fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0, inside: false }
    }

    /// Where a byte stands that is no part of an escape, and not before the last one asked for.
    pub(super) fn of(&mut self, at: usize) -> Place {
        while self.at < at {
            let stretch = &self.json[self.at..at];
            let plain = memchr::memchr(b'\\', stretch).unwrap_or(stretch.len());
            self.inside ^= quotes(&stretch[..plain]) % 2 == 1;
            self.at += plain;
            if plain < stretch.len() {
                self.at += 2;
            }
        }
        if self.inside {
            return Place::Text;
        }
        let in_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let start = at - self.json[..at].iter().rev().take_while(|byte| in_number(byte)).count();
        let end = at + self.json[at..].iter().take_while(|byte| in_number(byte)).count();
        match self.json.get(start) {
            Some(byte) if start < end && (byte.is_ascii_digit() || *byte == b'-') => {
                Place::Number(start..end)
            }
            _ => Place::Structure,
        }
    }
}

/// Counted in small sums, which compilers turn into vector code.
fn quotes(text: &[u8]) -> usize {
    text.chunks(192)
        .map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(*byte == b'"')).sum::<u8>()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let json = br#"{"a\"b\\":[-12.5e3,true,"x 1 \u0022 2"]}"#;
        let mut places = Places::new(json);
        let at = |needle: &str| memchr::memmem::find(json, needle.as_bytes()).expect("there");
        assert_eq!(places.of(at("{")), Place::Structure);
        assert_eq!(places.of(at("b\\\\")), Place::Text);
        assert_eq!(places.of(at("[")), Place::Structure);
        assert_eq!(places.of(at("2.5")), Place::Number(at("-12")..at("-12") + 7));
        assert_eq!(places.of(at("true") + 3), Place::Structure);
        assert_eq!(places.of(at("1 ")), Place::Text);
        assert_eq!(places.of(at(" 2")), Place::Text);
        assert_eq!(places.of(at("]")), Place::Structure);
    }
}
