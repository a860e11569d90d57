//! The encodings that the scan undoes: one step takes one layer of the chosen kinds off.
//!
//! The escapes of JSON and of programming languages (`\u00e9`, `\xe9`, `\303\251`, `\'`), percent-encoding with
//! `%u00e9`, HTML's character references, and mail's quoted-printable with RFC 2047's encoded words. Bytes that aren't
//! UTF-8 are read as Latin-1, which is what they nearly always are.

use std::borrow::Cow;

use super::bytes::{bytes_to_text, decode_unicode_units, parse_hex, push_code};
use super::packed::decode_base64;

/// A set of kinds of escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// `\n`, `\u00e9`, `\xe9`, `\303`.
    pub(super) const BACKSLASH: Self = Self(1);
    /// `%20`, `%u00e9`.
    pub(super) const PERCENT: Self = Self(2);
    /// `&eacute;`, `&#233;`, `&#xe9;`.
    pub(super) const HTML: Self = Self(4);
    /// `=C3=A9`, and `=?utf-8?Q?Jos=C3=A9?=`.
    pub(super) const MAIL: Self = Self(8);
    /// All of them at once.
    pub(super) const ALL: Self = Self(15);
    /// Every kind, each alone.
    pub(super) const EACH: [Self; 4] = [Self::BACKSLASH, Self::PERCENT, Self::HTML, Self::MAIL];

    /// The kinds whose first byte the text holds.
    pub(super) fn present_in(text: &str) -> Self {
        let bytes = text.as_bytes();
        let found = Self::EACH.into_iter().filter(|kind| {
            let first = match *kind {
                Self::BACKSLASH => b'\\',
                Self::PERCENT => b'%',
                Self::HTML => b'&',
                _ => b'=',
            };
            memchr::memchr(first, bytes).is_some()
        });
        Self(found.fold(0, |all, kind| all | kind.0))
    }

    pub(super) const fn contains(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether there is one kind only.
    pub(super) const fn is_single(self) -> bool {
        self.0.is_power_of_two()
    }
}

/// Takes one layer of escapes of these kinds off. `None` if the text has none.
pub(super) fn decode_layer(text: &str, kinds: Kinds) -> Option<String> {
    let bytes = text.as_bytes();
    let starts = |byte: u8| match byte {
        b'\\' => kinds.contains(Kinds::BACKSLASH),
        b'%' => kinds.contains(Kinds::PERCENT),
        b'&' => kinds.contains(Kinds::HTML),
        b'=' => kinds.contains(Kinds::MAIL),
        _ => false,
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut changed = false;
    let (mut plain, mut at) = (0, 0);
    while let Some(offset) = bytes[at..].iter().position(|byte| starts(*byte)) {
        at += offset;
        out.extend_from_slice(&bytes[plain..at]);
        let read = match bytes[at] {
            b'\\' => decode_backslash(&bytes[at..], &mut out),
            b'%' => decode_percent(&bytes[at..], &mut out),
            b'&' => decode_reference(&text[at..], &mut out),
            _ => decode_mail(&text[at..], &mut out),
        };
        match read {
            0 => out.push(bytes[at]),
            _ => changed = true,
        }
        at += read.max(1);
        plain = at;
    }
    out.extend_from_slice(&bytes[plain..]);
    changed.then(|| bytes_to_text(&out).into_owned())
}

/// Decodes the escape at the beginning of the text and returns its length; 0 if it is none.
fn decode_backslash(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(letter) = text.get(1) else { return 0 };
    let plain = match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        b'a' => 7,
        b'e' => 0x1B,
        b'u' | b'x' if text.get(2) == Some(&b'{') => return decode_braced(text, out),
        b'u' => {
            let read = decode_unicode_units(&text[2..], out);
            return if read == 0 { 0 } else { read + 2 };
        }
        b'U' => {
            let Some(code) = text.get(2..10).and_then(parse_hex) else { return 0 };
            push_code(code, out);
            return 10;
        }
        b'x' => {
            let Some(byte) = text.get(2..4).and_then(parse_hex) else { return 0 };
            out.push(u8::try_from(byte).unwrap_or_default());
            return 4;
        }
        b'0'..=b'3' if text.get(2..4).is_some_and(|rest| rest.iter().all(|c| matches!(c, b'0'..=b'7'))) => {
            out.push((letter - b'0') << 6 | (text[2] - b'0') << 3 | (text[3] - b'0'));
            return 4;
        }
        // A shell, SQL or Markdown escapes punctuation and blanks so.
        other if other.is_ascii_punctuation() || *other == b' ' => *other,
        _ => return 0,
    };
    out.push(plain);
    2
}

/// `\u{e9}` and `\x{e9}`.
fn decode_braced(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(length) = text.iter().take(11).position(|byte| *byte == b'}') else { return 0 };
    let Some(code) = parse_hex(&text[3..length]) else { return 0 };
    push_code(code, out);
    length + 1
}

fn decode_percent(text: &[u8], out: &mut Vec<u8>) -> usize {
    if matches!(text.get(1), Some(b'u' | b'U')) {
        let Some(unit) = text.get(2..6).and_then(parse_hex) else { return 0 };
        push_code(unit, out);
        return 6;
    }
    let Some(byte) = text.get(1..3).and_then(parse_hex) else { return 0 };
    out.push(u8::try_from(byte).unwrap_or_default());
    3
}

/// The longest name that HTML knows, `&CounterClockwiseContourIntegral;`, and one more.
const MAX_REFERENCE_LENGTH: usize = 34;

fn decode_reference(text: &str, out: &mut Vec<u8>) -> usize {
    let name = &text.as_bytes()[1..];
    if !name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'#') {
        return 0;
    }
    let end = name
        .iter()
        .take(MAX_REFERENCE_LENGTH)
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#');
    let Some(length) = end.filter(|end| name[*end] == b';').map(|end| end + 2) else { return 0 };
    let reference = &text[..length];
    match html_escape::decode_html_entities(reference) {
        Cow::Owned(read) if read != reference => {
            out.extend_from_slice(read.as_bytes());
            length
        }
        Cow::Owned(_) | Cow::Borrowed(_) => 0,
    }
}

fn decode_mail(text: &str, out: &mut Vec<u8>) -> usize {
    let bytes = text.as_bytes();
    if let Some(read) = decode_encoded_word(text, out) {
        return read;
    }
    // A line that ends in `=` goes on in the next one.
    if bytes.get(1..3) == Some(b"\r\n") {
        return 3;
    }
    if bytes.get(1) == Some(&b'\n') {
        return 2;
    }
    let Some(byte) = bytes.get(1..3).and_then(parse_hex) else { return 0 };
    out.push(u8::try_from(byte).unwrap_or_default());
    3
}

/// `=?charset?Q?…?=` or `=?charset?B?…?=` (RFC 2047), with the blanks before a next one.
fn decode_encoded_word(text: &str, out: &mut Vec<u8>) -> Option<usize> {
    // An encoded word has 75 characters at most, but not all writers know that.
    const MAX_LENGTH: usize = 1_000;
    let inside = text.strip_prefix("=?")?.as_bytes();
    let inside = &inside[..inside.len().min(MAX_LENGTH)];
    let charset = memchr::memchr(b'?', inside)?;
    let kind = *inside.get(charset + 1)?;
    let body = inside.get(charset + 3..).filter(|_| inside[charset + 2] == b'?')?;
    let length = memchr::memchr(b'?', body).filter(|end| body.get(end + 1) == Some(&b'='))?;
    let body = &body[..length];
    match kind {
        b'Q' | b'q' => {
            let spaced: Vec<u8> = body.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            let mut at = 0;
            while at < spaced.len() {
                let byte = spaced.get(at + 1..at + 3).filter(|_| spaced[at] == b'=').and_then(parse_hex);
                out.push(byte.and_then(|byte| u8::try_from(byte).ok()).unwrap_or(spaced[at]));
                at += if byte.is_some() { 3 } else { 1 };
            }
        }
        b'B' | b'b' => out.extend(decode_base64(body, 0)),
        _ => return None,
    }
    let end = 2 + charset + 3 + length + 2;
    // Blanks between two encoded words belong to neither.
    let blanks = text.as_bytes()[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let next_is_encoded = text.as_bytes()[end + blanks..].starts_with(b"=?");
    Some(if next_is_encoded { end + blanks } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_undone() {
        let table = [
            (Kinds::BACKSLASH, r#""N\303\272\303\261ez""#, "\"Núñez\""),
            (
                Kinds::BACKSLASH,
                r"Jos\u00e9 \ud83d\ude00 \xe9 \u{e9} \x{1F600} \U000000e9 O\'Neil a\ b",
                "José 😀 é é 😀 é O'Neil a b",
            ),
            (Kinds::BACKSLASH, r"\\u0041\q", r"\u0041\q"),
            (Kinds::PERCENT, "Jos%C3%A9%20%u00e9%e9 100%", "José éé 100%"),
            (
                Kinds::HTML,
                "Jos&eacute; &#233;&#xE9; O&#39;Neil &amp;amp; &nosuch; & b;",
                "José éé O'Neil &amp; &nosuch; & b;",
            ),
            (Kinds::MAIL, "Jos=C3=A9 M=\r\nuster=\n=E9 a=b", "José Musteré a=b"),
            (
                Kinds::MAIL,
                "=?utf-8?Q?Jos=C3=A9_M?= =?UTF-8?B?w7xsbGVy?= =?iso-8859-1?q?=E9?= x",
                "José Müllereé x".trim_end(),
            ),
        ];
        for (kind, text, expected) in &table[..6] {
            assert_eq!(decode_layer(text, *kind).as_deref(), Some(*expected), "{text}");
        }
        let (kind, text, _) = table[6];
        assert_eq!(decode_layer(text, kind).as_deref(), Some("José Mülleré x"));
        assert_eq!(decode_layer("a = b & c 50% \\q", Kinds::ALL), None);
    }

    #[test]
    fn what_is_cut_off_is_left_as_it_is() {
        for text in [
            "\\",
            "\\u00",
            "\\u{12",
            "%",
            "%2",
            "%u00",
            "&",
            "&#",
            "&#12",
            "=",
            "=C",
            "=?",
            "=?utf-8?Q?a",
            "=?a?B?",
        ] {
            decode_layer(text, Kinds::ALL);
        }
        assert_eq!(decode_layer("\\x4", Kinds::ALL), None);
    }
}
