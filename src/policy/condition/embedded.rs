//! JSON within a text, as in `{"hosts_json": "[\"web1\"]"}`.
//!
//! Where a pointer leads into a text, only JSON as RFC 8259 has it counts ([`decode_container`]). Where a text is tested
//! itself, more is looked at ([`texts_within`]): servers read JSON with comments, Python's literals and YAML too, so every
//! quoted text and every bare word between brackets is a text that some server may see.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, MAX_EMBEDDED_DEPTH, RawJson};

/// The longest text in which texts are looked for.
const MAX_SEARCHED_BYTES: usize = 1 << 20;
/// The most texts in one text that are tested.
const MAX_EMBEDDED_TEXTS: usize = 10_000;

/// The texts in the JSON, or what looks like it, of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EmbeddedTexts {
    /// It holds none.
    None,
    /// All of them; never empty.
    Some(Vec<String>),
    /// There are too many, or one is spelled in a way that readers disagree about.
    Unclear,
}

/// The list, the object or the text that a JSON text holds as JSON. A number or a word is no other value than the text.
pub(super) fn decode_container(value: &RawValue) -> Option<RawJson> {
    let text = json::as_text(value)?;
    if text.trim_start().starts_with(['{', '[', '"']) { json::parse_embedded(&text) } else { None }
}

/// Whatever JSON a JSON text holds.
pub(super) fn decode_any(value: &RawValue) -> Option<RawJson> {
    json::parse_embedded(&json::as_text(value)?)
}

/// The texts that a text holds where it looks like JSON, those within them included.
pub(super) fn texts_within(text: &str) -> EmbeddedTexts {
    if !looks_like_json(text) {
        return EmbeddedTexts::None;
    }
    let mut found = Vec::new();
    match collect_texts(text, MAX_EMBEDDED_DEPTH, &mut found) {
        Some(()) if found.is_empty() => EmbeddedTexts::None,
        Some(()) => EmbeddedTexts::Some(found),
        None => EmbeddedTexts::Unclear,
    }
}

/// Whether a text is one JSON text, or is in brackets, or begins with an object or list as `[bug] crash` does not.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim();
    match text.as_bytes() {
        [b'{', .., b'}'] | [b'[', .., b']'] => true,
        [b'{' | b'[', ..] => serde_json::Deserializer::from_str(text)
            .into_iter::<&RawValue>()
            .next()
            .is_some_and(|first| first.is_ok()),
        [b'"', .., b'"'] => serde_json::from_str::<&RawValue>(text).is_ok(),
        _ => false,
    }
}

/// `None` where not all of them can be told.
fn collect_texts(text: &str, depth: usize, found: &mut Vec<String>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if text.len() > MAX_SEARCHED_BYTES {
        return None;
    }
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quoted = matches!(first, '"' | '\'').then(|| quoted_length(rest)).flatten();
        let (length, inner) = match quoted {
            Some(length) => (length, Some(unquote(&rest[..length])?)),
            None if is_separator(first) => (first.len_utf8(), None),
            None => {
                let length = rest.find(|c| is_separator(c) || c == '"').filter(|end| *end > 0);
                let length = length.unwrap_or(if first == '"' { 1 } else { rest.len() });
                (length, Some(Cow::Borrowed(&rest[..length])))
            }
        };
        rest = &rest[length..];
        let Some(inner) = inner else { continue };
        if found.len() == MAX_EMBEDDED_TEXTS {
            return None;
        }
        if quoted.is_some() && looks_like_json(&inner) {
            collect_texts(&inner, depth, found)?;
        }
        found.push(inner.into_owned());
    }
    Some(())
}

const fn is_separator(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | '(' | ')' | ',' | ':' | ' ' | '\t' | '\n' | '\r')
}

/// The length of the quoted text at the beginning; `None` where its quote is never closed.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.bytes().next()?;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The text between quotes; `None` where its escapes are not JSON's, which readers take in several ways.
fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = &quoted[1..quoted.len() - 1];
    match (inner.contains('\\'), quoted.starts_with('"')) {
        (false, _) => Some(Cow::Borrowed(inner)),
        (true, true) => serde_json::from_str(quoted).ok().map(Cow::Owned),
        (true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        match texts_within(text) {
            EmbeddedTexts::Some(texts) => texts,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_text_in_json_is_found_however_it_is_spelled() {
        for (text, expected) in [
            (r#"["we\u00622"]"#, &["web2"][..]),
            (r#" {"host" : ["web2", 7, null]} "#, &["host", "web2", "7", "null"]),
            (r#""web2""#, &["web2"]),
            (r#"["web2"] and more"#, &["web2", "and", "more"]),
            // No JSON, and read by some servers all the same.
            ("['web2',]", &["web2"]),
            ("{hosts: [web2, NaN]}", &["hosts", "web2", "NaN"]),
            // JSON in a text in JSON.
            (r#"["[\"web2\"]"]"#, &["web2", r#"["web2"]"#]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
        for plain in ["", "web2", "[bug] crash", "[]", "{}", "150", "null", r#"say "web2""#, r#"""#, "["] {
            assert_eq!(texts_within(plain), EmbeddedTexts::None, "{plain}");
        }
        for unclear in [r#"['we\x622']"#, r#"["\ud800"]"#, r#"["\x"]"#] {
            assert_eq!(texts_within(unclear), EmbeddedTexts::Unclear, "{unclear}");
        }
    }

    #[test]
    fn what_is_too_much_is_unclear_and_ends() {
        let many = format!("[{}1]", "1,".repeat(MAX_EMBEDDED_TEXTS));
        assert_eq!(texts_within(&many), EmbeddedTexts::Unclear);
        let long = format!("[\"{}\"]", "x".repeat(MAX_SEARCHED_BYTES));
        assert_eq!(texts_within(&long), EmbeddedTexts::Unclear);
        let mut nested = "[1]".to_owned();
        for _ in 0..10 {
            nested = format!("[{}]", serde_json::to_string(&nested).expect("a text"));
        }
        assert_eq!(texts_within(&nested), EmbeddedTexts::Unclear);
        assert_eq!(
            texts_within(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
            EmbeddedTexts::None
        );
    }

    #[test]
    fn only_json_itself_is_led_into_and_no_key_that_stands_twice() {
        let decode =
            |text: &str| decode_container(&json::serialize_raw(text)).map(|json| json.get().to_owned());
        for whole in [r#"{"a":[1]}"#, "[]", r#""[]""#] {
            assert_eq!(decode(whole).as_deref(), Some(whole));
        }
        for other in ["[1,]", "['a']", r#"{"a":1,"\u0061":2}"#, "[1] 2", "150", "web2", ""] {
            assert_eq!(decode(other), None, "{other}");
        }
        assert_eq!(
            decode_any(&json::serialize_raw("150")).map(|json| json.get().to_owned()),
            Some("150".to_owned())
        );
    }

    proptest! {
        /// Of a list of texts exactly these texts are found, and those that they hold.
        #[test]
        fn a_list_of_texts_holds_them(list in prop::collection::vec("[a-z\"'\\\\\\[\\] ]{0,6}", 1..5)) {
            let json = serde_json::to_string(&list).expect("texts");
            if let EmbeddedTexts::Some(found) = texts_within(&json) {
                for text in &list {
                    prop_assert!(found.contains(text), "{text:?} in {json}: {found:?}");
                }
            }
        }

        #[test]
        fn any_text_is_read_to_an_end(text in r#"[\[\]{}"'\\,: a-cé]{0,40}"#) {
            let _ = texts_within(&text);
            let _ = decode_container(&json::serialize_raw(&text));
        }
    }
}
