//! Which texts are worth a closer look: those in which an encoding could hide a value.
//!
//! Most messages hold no such text, and are passed on after the search in their raw bytes.

use super::bytes::parse_hex;
use super::packed::is_base64;
use super::skeleton;

/// What the values are made of.
#[derive(Default)]
pub(super) struct Suspicion {
    /// Bytes that occur in values.
    value_bytes: Vec<bool>,
    has_non_ascii: bool,
    has_folded: bool,
    folded_has_non_ascii: bool,
}

/// Letters beyond ASCII that count as ASCII letters where case doesn't count; [`skeleton::may_differ`] knows the others.
const ASCII_WITHOUT_CASE: [&str; 6] = ["ſ", "ı", "İ", "ß", "ŉ", "ǰ"];

impl Suspicion {
    /// Takes each value with whether its case doesn't count.
    pub(super) fn new<'a>(values: impl Iterator<Item = (&'a str, bool)>) -> Self {
        let mut suspicion = Self { value_bytes: vec![false; 256], ..Self::default() };
        for (text, folded) in values {
            for byte in text.bytes() {
                suspicion.value_bytes[usize::from(byte)] = true;
                if folded {
                    suspicion.value_bytes[usize::from(byte.to_ascii_uppercase())] = true;
                }
            }
            suspicion.has_folded |= folded;
            suspicion.has_non_ascii |= !text.is_ascii();
            suspicion.folded_has_non_ascii |= folded && !text.is_ascii();
        }
        suspicion
    }

    /// Whether the inside of a JSON string, or a whole message, may hold a value in another spelling.
    pub(super) fn is_raised_by(&self, raw: &[u8]) -> bool {
        self.has_suspicious_letter(raw)
            || self.has_blanks_in_a_row(raw)
            || self.has_plus_for_space(raw)
            || (self.has_byte(b'\'') && memchr::memmem::find(raw, b"''").is_some())
            || memchr::memchr3_iter(b'\\', b'%', b'&', raw).any(|at| self.is_suspicious_escape(raw, at))
            || memchr::memchr_iter(b'=', raw).any(|at| self.is_suspicious_escape(raw, at))
    }

    /// The same for the bytes of values alone.
    fn has_byte(&self, byte: u8) -> bool {
        self.value_bytes.get(usize::from(byte)).is_some_and(|has| *has)
    }

    /// Letters that may be others in disguise.
    fn has_suspicious_letter(&self, raw: &[u8]) -> bool {
        !raw.is_ascii()
            && (self.folded_has_non_ascii
                || skeleton::may_differ(raw)
                || (self.has_folded && self.has_disguised_ascii(raw)))
    }

    fn has_disguised_ascii(&self, raw: &[u8]) -> bool {
        ASCII_WITHOUT_CASE.iter().any(|letter| memchr::memmem::find(raw, letter.as_bytes()).is_some())
    }

    /// Two blanks between words. Those at the beginning of a line indent it.
    fn has_blanks_in_a_row(&self, raw: &[u8]) -> bool {
        self.has_byte(b' ')
            && memchr::memmem::find_iter(raw, b"  ").any(|at| match raw[..at] {
                [] | [.., b'"' | b' '] | [.., b'\\', b'n' | b'r' | b't'] => false,
                [..] => {
                    raw.get(at + 2).is_some_and(|next| !matches!(next, b' ' | b'"' | b'\\')) || {
                        let blanks = raw[at..].iter().take_while(|byte| **byte == b' ').count();
                        raw.get(at + blanks).is_some_and(|next| !matches!(next, b'"' | b'\\'))
                    }
                }
            })
    }

    fn has_plus_for_space(&self, raw: &[u8]) -> bool {
        let is_word =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        self.has_byte(b' ')
            && memchr::memchr_iter(b'+', raw).any(|at| {
                is_word(at.checked_sub(1).and_then(|before| raw.get(before)))
                    && (is_word(raw.get(at + 1)) || raw.get(at + 1) == Some(&b'%'))
            })
    }

    fn is_suspicious_escape(&self, raw: &[u8], at: usize) -> bool {
        let behind = &raw[at + 1..];
        let hex = || behind.get(..2).and_then(parse_hex).is_some_and(|byte| self.may_be_value_char(byte));
        match raw[at] {
            b'%' => {
                matches!(behind.first(), Some(b'u' | b'U'))
                    || behind.get(..2).is_some_and(|digits| {
                        digits.iter().any(|digit| matches!(digit, b'\\' | b'%' | b'&' | b'='))
                    })
                    || hex()
            }
            b'&' => {
                behind
                    .first()
                    .is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'#' | b'\\'))
                    && memchr::memchr(b';', &behind[..behind.len().min(40)]).is_some()
            }
            b'=' => matches!(behind.first(), Some(b'?' | b'\\')) || hex(),
            _ => self.is_suspicious_backslash(raw, at),
        }
    }

    /// Reads the whole run of backslashes at once, from its last one. The number of layers doesn't matter here, only the
    /// character behind the last backslash.
    fn is_suspicious_backslash(&self, raw: &[u8], at: usize) -> bool {
        if raw.get(at + 1) == Some(&b'\\') {
            return self.has_byte(b'\\');
        }
        let is_run = at > 0 && raw[at - 1] == b'\\';
        match raw.get(at + 1) {
            Some(b'u') => {
                raw.get(at + 2..at + 6).and_then(parse_hex).is_none_or(|code| self.may_be_value_char(code))
            }
            Some(b'n') => self.has_byte(b'\n'),
            Some(b't') => self.has_byte(b'\t'),
            Some(b'r') => self.has_byte(b'\r'),
            Some(b'b') => self.has_byte(8),
            Some(b'f') => self.has_byte(12),
            // An even run escapes itself, so this quote ends the string; an odd one says a quote.
            Some(b'"') => self.has_byte(b'"'),
            // Some writers of JSON escape each slash, also those of base64.
            Some(b'/') => {
                let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| is_base64(*byte));
                self.has_byte(b'/') || (is_part(raw[..at].last()) && is_part(raw.get(at + 2)))
            }
            Some(_) => true,
            None => is_run,
        }
    }

    fn may_be_value_char(&self, code: u32) -> bool {
        match u8::try_from(code) {
            // An escaped letter or digit is odd enough to look closer, whatever the values hold: it may belong to an
            // inner escape. So may the character that begins one, and the signs of base64. Behind 0x1B is a terminal's
            // colour.
            Ok(byte) if byte.is_ascii() => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'\\' | b'%' | b'&' | b'=' | b'+' | b'/' | b'-' | b'_' | 0x1B)
                    || self.has_byte(byte)
            }
            // Half a byte sequence, a letter, or a character without a shape.
            Ok(_) => self.has_non_ascii || self.has_folded || code == 0xAD || code == 0xA0,
            Err(_) => true,
        }
    }
}
