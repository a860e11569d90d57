//! Base64 as it stands in JSON, and the same way of writing it.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding};

/// How base64 was written.
pub(super) struct Base64Style {
    alphabet: Encoding,
    /// `/` as `\/`, as some writers of JSON have it.
    escaped_slash: bool,
    wrapped: Option<LineWrap>,
}

/// The characters of a line, and the line end as JSON spells it.
type LineWrap = (usize, &'static str);

impl Base64Style {
    /// Decodes the inside of a JSON string, or a part of it. `None` if it isn't exactly base64 in one style.
    pub(super) fn decode(raw: &str) -> Option<(Self, Vec<u8>)> {
        let escaped_slash = raw.contains("\\/");
        let unescaped = if escaped_slash { raw.replace("\\/", "/") } else { raw.to_owned() };
        let (text, wrapped) = unwrap_lines(unescaped)?;
        let is_url = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
        let is_padded = text.len().is_multiple_of(4);
        let alphabet = match (is_url, is_padded) {
            (false, true) => BASE64,
            (false, false) => BASE64_NOPAD,
            (true, true) => BASE64URL,
            (true, false) => BASE64URL_NOPAD,
        };
        let bytes = alphabet.decode(text.as_bytes()).ok()?;
        let alphabet = if is_padded && !text.ends_with('=') {
            // The length needed no padding, so whether the writer pads doesn't show. Most do; in URLs most don't.
            if is_url { BASE64URL_NOPAD } else { BASE64 }
        } else {
            alphabet
        };
        Some((Self { alphabet, escaped_slash, wrapped }, bytes))
    }

    /// Encodes bytes in this style, for the inside of a JSON string.
    pub(super) fn encode(&self, bytes: &[u8]) -> String {
        let mut text = self.alphabet.encode(bytes);
        if let Some((width, line_end)) = self.wrapped {
            let lines: Vec<&str> = (0..text.len())
                .step_by(width)
                .map(|start| &text[start..text.len().min(start + width)])
                .collect();
            text = lines.join(line_end);
        }
        if self.escaped_slash { text.replace('/', "\\/") } else { text }
    }
}

/// Takes the line ends out. `None` if the lines differ in length, but for the last one.
fn unwrap_lines(text: String) -> Option<(String, Option<LineWrap>)> {
    if !text.contains('\\') {
        return Some((text, None));
    }
    let line_end = if text.contains("\\r\\n") { "\\r\\n" } else { "\\n" };
    let lines: Vec<&str> = text.split(line_end).collect();
    let width = lines[0].len();
    let (last, full) = lines.split_last()?;
    // A final line end makes an empty last line, which would be lost.
    let is_even =
        width >= 4 && full.iter().all(|line| line.len() == width) && (1..=width).contains(&last.len());
    is_even.then(|| (lines.concat(), Some((width, line_end))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_written_as_it_was() {
        for raw in [
            "TWFyaWE=",
            "TWFyaWFz",
            "TWFyaWE",
            "-_-_",
            "-_8=",
            "-_8",
            "a+b/",
            "a+b\\/",
            "TWFyaWFz\\nTWFyaWFz\\nTWE=",
            "TWFyaWFz\\r\\nTWE=",
        ] {
            let (style, bytes) = Base64Style::decode(raw).unwrap_or_else(|| panic!("{raw}"));
            assert_eq!(style.encode(&bytes), raw);
        }
        for other in
            ["a b", "TWF", "TW=E", "TWFyaW\\tE=", "TWFyaWFz\\nTW\\nTWE=", "a+b-", "TWFyaWFz\\n", "TWFyaWF="]
        {
            let decoded = Base64Style::decode(other).filter(|(style, bytes)| style.encode(bytes) != other);
            assert!(decoded.is_none(), "{other}");
        }
    }
}
