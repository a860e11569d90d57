//! The scan's own reader of JSON: where the strings and numbers are, and what a string says.

use std::ops::Range;

use super::bytes::decode_unicode_units;

/// The insides of all strings and keys, and all numbers, in order.
pub(super) fn read_scalars(json: &[u8]) -> Vec<Range<usize>> {
    let mut scalars = Vec::new();
    let mut at = 0;
    while at < json.len() {
        let start = at;
        match json[at] {
            b'"' => {
                let end = end_of_string(json, at + 1);
                scalars.push(start + 1..end);
                at = end + 1;
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

/// Where the string ends that begins at `at`: its closing quote, or the end of the text.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    while let Some(next) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        if json[at + next] == b'"' {
            return at + next;
        }
        at += next + 2;
    }
    json.len()
}

/// The scalar that holds all of the hit, if one does.
pub(super) fn scalar_around(scalars: &[Range<usize>], hit: &Range<usize>) -> Option<Range<usize>> {
    // The scalars are in order and apart from each other: the first that ends no earlier than the hit is the only one
    // that can hold it.
    let before = scalars.partition_point(|scalar| scalar.end < hit.end);
    scalars.get(before).filter(|scalar| scalar.start <= hit.start).cloned()
}

/// The strings of neighbouring text blocks: the values of the key `text`, in order.
///
/// A reader sees the blocks of an answer one after the other, so a value may go over their border.
pub(super) fn text_blocks(json: &[u8]) -> Vec<Range<usize>> {
    // In a string these bytes can't stand: its quotes have backslashes before them, and so has the second one here.
    const KEY: &[u8] = b"\"text\"";
    let mut blocks = Vec::new();
    for at in memchr::memmem::find_iter(json, KEY) {
        let mut value = at + KEY.len();
        let skip_space = |value: &mut usize| {
            while json.get(*value).is_some_and(u8::is_ascii_whitespace) {
                *value += 1;
            }
        };
        skip_space(&mut value);
        if json.get(value) != Some(&b':') {
            continue;
        }
        value += 1;
        skip_space(&mut value);
        if json.get(value) == Some(&b'"') {
            blocks.push(value + 1..end_of_string(json, value + 1));
        }
    }
    blocks
}

/// What a JSON string says. Half a surrogate pair becomes the replacement character.
pub(super) fn decode_string(inside: &[u8]) -> String {
    let mut out = Vec::with_capacity(inside.len());
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'\\', inside.get(at..).unwrap_or_default()) {
        out.extend_from_slice(&inside[at..at + next]);
        at += next + 2;
        let plain = match inside.get(at - 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => {
                at += decode_unicode_units(&inside[at.min(inside.len())..], &mut out);
                continue;
            }
            Some(same) => *same,
            None => b'\\',
        };
        out.push(plain);
    }
    out.extend_from_slice(inside.get(at..).unwrap_or_default());
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_says_what_serde_json_reads() {
        for json in [r#""a\"b\\c\/\n\u00e9\ud83d\ude00é""#, r#""""#, r#""\\\\u0041""#, r#""x\u0022y""#] {
            let expected: String = serde_json::from_str(json).expect("a string");
            assert_eq!(decode_string(&json.as_bytes()[1..json.len() - 1]), expected);
        }
        assert_eq!(decode_string(br"\ud83d."), "\u{fffd}.");
    }

    #[test]
    fn the_texts_of_blocks_are_told_from_words_in_texts() {
        let json = br#"[{"type":"text","text":"one"},{"text" : "two \"text\":\"x\""},{"a":["text"]}]"#;
        let texts: Vec<&[u8]> = text_blocks(json).into_iter().map(|range| &json[range]).collect();
        assert_eq!(texts, [b"one".as_slice(), br#"two \"text\":\"x\""#]);
    }
}
