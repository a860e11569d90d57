//! Text in whatever encoding it came.

use std::borrow::Cow;

/// What the bytes 0x80 to 0x9F are in Windows-1252; those that it leaves open are control characters, as in
/// Latin-1.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Reads UTF-8, and each byte that is none as the Western code page of Windows, of which Latin-1 is a part.
///
/// A replacement character in its place, as some clients have it, would hide a name from the anonymizer.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(*byte),
        }));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_read_in_its_own_encoding() {
        assert_eq!(decode_text("café".as_bytes()), "café");
        assert_eq!(decode_text(b"caf\xe9 and caf\xc3\xa9"), "café and café");
        assert_eq!(decode_text(b"\x93M\xfcller\x94 \x80 5"), "“Müller” € 5");
        assert_eq!(decode_text(b"\xff\xfe"), "ÿþ");
    }
}
