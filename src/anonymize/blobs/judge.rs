//! What a file is, by its first bytes and by whether it reads as text.

use super::find::MIN_UNDECLARED;

/// What decoded bytes are.
pub(super) enum BlobContent {
    /// Text, and how to write it back.
    Text(String, TextEncoding),
    /// An image, an archive or the like.
    Binary,
    /// Probably no file at all: letters that happen to be valid base64.
    Unknown,
}

/// How text is encoded in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextEncoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl TextEncoding {
    /// The bytes of a text.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

/// The first bytes of common formats, from the list of file signatures of each format's own specification.
const SIGNATURES: [&[u8]; 26] = [
    b"\x89PNG\r\n\x1a\n",
    b"\xFF\xD8\xFF",
    b"GIF87a",
    b"GIF89a",
    b"RIFF",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\x01\0",
    b"%PDF-",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1F\x8B",
    b"BZh",
    b"\xFD7zXZ\0",
    b"\x28\xB5\x2F\xFD",
    b"7z\xBC\xAF\x27\x1C",
    b"OggS",
    b"ID3",
    b"\xFF\xFB",
    b"fLaC",
    b"\x7FELF",
    b"\0asm",
    b"SQLite format 3\0",
    b"wOFF",
    b"wOF2",
];

/// Judges the bytes that `raw` encodes.
pub(super) fn judge(bytes: &[u8], raw: &str, declared: bool) -> BlobContent {
    // A PDF may be ASCII throughout, but its table of offsets is wrong once a length changes.
    if let Some((text, encoding)) = read_text(bytes).filter(|_| !bytes.starts_with(b"%PDF-")) {
        return BlobContent::Text(text, encoding);
    }
    let is_media =
        bytes.get(4..8) == Some(b"ftyp") || SIGNATURES.iter().any(|signature| bytes.starts_with(signature));
    let is_declared_file = declared && (is_media || raw.len() >= MIN_UNDECLARED);
    if is_declared_file || looks_random(raw) { BlobContent::Binary } else { BlobContent::Unknown }
}

/// The text of a file that is nothing but text.
fn read_text(bytes: &[u8]) -> Option<(String, TextEncoding)> {
    if let Some((text, encoding)) = read_utf16(bytes) {
        return is_text(&text).then_some((text, encoding));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| is_text(text))?;
    Some((text.to_owned(), TextEncoding::Utf8))
}

fn is_text(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}'))
}

/// UTF-16, by its byte order mark or by the zeros of ASCII text.
fn read_utf16(bytes: &[u8]) -> Option<(String, TextEncoding)> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let half = bytes.len() / 2;
    let encoding = match bytes {
        [0xFE, 0xFF, ..] => TextEncoding::Utf16Be,
        [0xFF, 0xFE, ..] => TextEncoding::Utf16Le,
        _ if zeros(0) * 2 > half && zeros(1) == 0 => TextEncoding::Utf16Be,
        _ if zeros(1) * 2 > half && zeros(0) == 0 => TextEncoding::Utf16Le,
        _ => return None,
    };
    let unit = |pair: &[u8]| match encoding {
        TextEncoding::Utf16Be => u16::from_be_bytes([pair[0], pair[1]]),
        TextEncoding::Utf16Le | TextEncoding::Utf8 => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let text = char::decode_utf16(bytes.chunks_exact(2).map(unit)).collect::<Result<_, _>>().ok()?;
    Some((text, encoding))
}

/// Whether letters look like base64 of compressed or encrypted data: long, and capitals, small letters and digits mixed as
/// by chance. Words, paths and identifiers have mostly small letters, and hashes in hex have no others.
fn looks_random(raw: &str) -> bool {
    let share = |wanted: fn(&u8) -> bool| raw.bytes().filter(wanted).count() * 100 / raw.len().max(1);
    raw.len() >= MIN_UNDECLARED
        && (25..=60).contains(&share(u8::is_ascii_uppercase))
        && (25..=60).contains(&share(u8::is_ascii_lowercase))
        && share(u8::is_ascii_digit) >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_binary() {
        for text in ["José", "a\r\n\tb", "\u{1b}[1mx\u{1b}[m"] {
            let judged = judge(text.as_bytes(), "", false);
            assert!(matches!(judged, BlobContent::Text(read, TextEncoding::Utf8) if read == text));
        }
        for encoding in [TextEncoding::Utf16Le, TextEncoding::Utf16Be] {
            for text in ["plain text", "\u{feff}山田太郎"] {
                let judged = judge(&encoding.encode(text), "", false);
                assert!(
                    matches!(judged, BlobContent::Text(read, how) if read == text && how == encoding),
                    "{text}"
                );
            }
        }
        assert!(matches!(judge(b"%PDF-1.4\n", "", true), BlobContent::Binary));
        let binary = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert!(matches!(judge(binary, "short", true), BlobContent::Binary));
        assert!(matches!(judge(b"\xFE\x01\x02", "words", true), BlobContent::Unknown));
        let path = "home/maria/projects/portero/source/anonymize/leak/scan/and/more/of";
        assert!(matches!(judge(b"\xFE\x01\x02", path, false), BlobContent::Unknown));
    }
}
