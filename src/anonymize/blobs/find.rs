//! Where a message may hold base64: blobs and media of MCP, `data:` URIs, and long strings that are nothing else.

use std::ops::Range;

/// A stretch within one JSON string that may be base64.
pub(super) struct BlobPlace {
    /// Its bytes, in the raw message.
    pub(super) at: Range<usize>,
    /// Whether the message says that it is a file.
    pub(super) declared: bool,
}

/// A string without any sign beside it counts from this length on.
pub(super) const MIN_UNDECLARED: usize = 64;
/// What precedes the data in a `data:` URI.
const DATA_URI: &[u8] = b";base64,";

/// The places in their order, disjoint. Which of them really are base64 is for the caller to find out.
pub(super) fn find_blobs(json: &str) -> Vec<BlobPlace> {
    let raw = json.as_bytes();
    if !may_hold_blob(raw) {
        return Vec::new();
    }
    let mut finder = BlobFinder { raw, found: Vec::new(), open: Vec::new() };
    finder.read();
    finder.found.sort_unstable_by_key(|place| place.at.start);
    finder.found
}

/// Looks for the signs, without reading the JSON.
fn may_hold_blob(raw: &[u8]) -> bool {
    [b"\"blob\"".as_slice(), b"\"mimeType\"", DATA_URI]
        .iter()
        .any(|sign| memchr::memmem::find(raw, sign).is_some())
        || holds_long_run(raw)
}

/// Whether there may be a run of base64 of the least length: each holds a block of eight at a multiple of 32.
fn holds_long_run(raw: &[u8]) -> bool {
    raw.chunks(MIN_UNDECLARED / 2).any(|chunk| chunk.get(..8).is_some_and(|block| block.iter().all(is_part)))
}

/// Characters of base64, and the backslash of `\/`.
fn is_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\\')
}

struct BlobFinder<'a> {
    raw: &'a [u8],
    found: Vec<BlobPlace>,
    /// The containers around the current place.
    open: Vec<OpenContainer>,
}

/// An object or array that is not closed yet.
#[derive(Default)]
struct OpenContainer {
    key: Range<usize>,
    /// The value of `data`, which is a file if there is a `mimeType` beside it.
    data: Option<Range<usize>>,
    has_mime_type: bool,
}

impl BlobFinder<'_> {
    fn read(&mut self) {
        let mut at = 0;
        while let Some(byte) = self.raw.get(at) {
            match byte {
                b'"' => {
                    let inside = at + 1..self.end_of_string(at + 1);
                    at = inside.end + 1;
                    self.add_string(inside, at);
                    continue;
                }
                b'{' | b'[' => self.open.push(OpenContainer::default()),
                b'}' | b']' => self.close(),
                _ => {}
            }
            at += 1;
        }
        while !self.open.is_empty() {
            self.close();
        }
    }

    fn end_of_string(&self, mut at: usize) -> usize {
        while let Some(next) = memchr::memchr2(b'"', b'\\', self.raw.get(at..).unwrap_or_default()) {
            if self.raw[at + next] == b'"' {
                return at + next;
            }
            at += next + 2;
        }
        self.raw.len()
    }

    fn add_string(&mut self, inside: Range<usize>, behind: usize) {
        let is_key = self.raw[behind.min(self.raw.len())..].iter().find(|byte| !byte.is_ascii_whitespace())
            == Some(&b':');
        let mut is_blob = false;
        if let Some(container) = self.open.last_mut() {
            if is_key {
                container.key = inside;
                return;
            }
            match &self.raw[container.key.clone()] {
                b"mimeType" => container.has_mime_type = true,
                b"data" => {
                    // Judged when the object ends: `mimeType` may follow.
                    container.data = Some(inside);
                    return;
                }
                b"blob" => is_blob = true,
                _ => {}
            }
        }
        self.add_value(inside, is_blob);
    }

    fn add_value(&mut self, inside: Range<usize>, declared: bool) {
        let text = &self.raw[inside.clone()];
        if declared || (text.len() >= MIN_UNDECLARED && text.iter().all(is_part)) {
            self.found.push(BlobPlace { at: inside, declared });
            return;
        }
        for sign in memchr::memmem::find_iter(text, DATA_URI) {
            let start = sign + DATA_URI.len();
            let length = text[start..].iter().take_while(|byte| is_part(byte) && **byte != b'\\').count();
            self.found
                .push(BlobPlace { at: inside.start + start..inside.start + start + length, declared: true });
        }
    }

    fn close(&mut self) {
        if let Some(OpenContainer { data: Some(inside), has_mime_type, .. }) = self.open.pop() {
            self.add_value(inside, has_mime_type);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<(&str, bool)> {
        find_blobs(json).into_iter().map(|place| (&json[place.at], place.declared)).collect()
    }

    #[test]
    fn files_are_found_where_a_message_has_them() {
        assert_eq!(
            found(
                r#"{"content":[{"type":"image","data":"aaaa","mimeType":"image/png"},{"mimeType":"x","data":"bbbb"}]}"#
            ),
            [("aaaa", true), ("bbbb", true)]
        );
        assert_eq!(
            found(r#"{"resource":{"uri":"file:///a","blob" : "cccc","mimeType":"x"}}"#),
            [("cccc", true)]
        );
        assert_eq!(
            found(r#"["<img src=\"data:image/png;base64,dddd\"> data:x;base64,eeee"]"#),
            [("dddd", true), ("eeee", true)]
        );
        let long = "f0".repeat(32);
        assert_eq!(
            found(&format!("[\"{long}\",{{\"data\":\"{long}\",\"{long}\":1}}]")),
            [(long.as_str(), false); 2]
        );
    }

    #[test]
    fn other_strings_are_not() {
        for json in [
            r#"{"data":"aaaa"}"#,
            r#"{"a":{"data":"aaaa"},"mimeType":"image/png"}"#,
            r#"["blob","aaaa",{"blob":["aaaa"]}]"#,
            &format!("[\"{}\"]", "some words ".repeat(20)),
        ] {
            assert_eq!(found(json), [], "{json}");
        }
    }
}
