//! Bytes, code points and text.

use std::borrow::Cow;

/// Bytes as text: UTF-8 where they are, else Latin-1.
pub(super) fn bytes_to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
    Cow::Owned(text)
}

/// Appends the character of a code point, or the replacement character if there is none.
pub(super) fn push_code(code: u32, out: &mut Vec<u8>) {
    let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Decodes the hex digits behind `\u`, and those of the escape behind it where the two are a surrogate pair. Returns the
/// number of bytes that were read.
pub(super) fn decode_unicode_units(digits: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(unit) = digits.get(..4).and_then(parse_hex) else { return 0 };
    let low = || digits.get(4..6).filter(|next| *next == b"\\u").and_then(|_| parse_hex(digits.get(6..10)?));
    if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (unit, low()) {
        push_code(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), out);
        return 10;
    }
    push_code(unit, out);
    4
}

/// The number that hex digits spell; none for anything else.
pub(super) fn parse_hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
