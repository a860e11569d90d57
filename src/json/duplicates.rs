//! Finds objects with duplicate keys.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::scan::{skip_string, unquote};

/// The deepest nesting that is accepted. Many parsers go no deeper, and some crash there.
const MAX_NESTING: usize = 128;

/// Refuses a value in which any object, at any depth, has a duplicate key. Parsers disagree on which of the
/// two counts, so a server might run another call than a person approved. A value nested deeper than 128 is
/// refused too.
///
/// Keys are compared without their escapes. Halves of surrogate pairs count as equal, because some parsers
/// replace them.
///
/// # Errors
/// Names the key, or says that the value nests too deeply.
pub fn refuse_duplicate_keys(value: &RawValue) -> Result<(), serde_json::Error> {
    let json = value.get();
    let bytes = json.as_bytes();
    let mut open: Vec<Option<SeenKeys<'_>>> = Vec::new();
    let mut key_follows = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = skip_string(bytes, at);
                // Only a string at a key's place is a key. A string in a list, or as a value, is skipped.
                if let Some(Some(keys)) = open.last_mut().filter(|_| key_follows) {
                    keys.insert_unique(decode_key(&json[at..end]))?;
                }
                key_follows = false;
                at = end;
                continue;
            }
            b'{' | b'[' if open.len() == MAX_NESTING => {
                return Err(serde::de::Error::custom(format_args!("it nests more than {MAX_NESTING} deep")));
            }
            b'{' => {
                open.push(Some(SeenKeys::default()));
                key_follows = true;
            }
            b'[' => {
                open.push(None);
                key_follows = false;
            }
            b'}' | b']' => {
                open.pop();
                key_follows = false;
            }
            // After a comma, an object continues with a key and a list with a value.
            b',' => key_follows = matches!(open.last(), Some(Some(_))),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The keys of one object that were read so far.
#[derive(Default)]
struct SeenKeys<'a> {
    few: Vec<Cow<'a, str>>,
    /// Replaces `few` if there are many.
    many: HashSet<Cow<'a, str>>,
}

const MAX_LINEAR_KEYS: usize = 16;

impl<'a> SeenKeys<'a> {
    fn insert_unique(&mut self, key: Cow<'a, str>) -> Result<(), serde_json::Error> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Err(serde::de::Error::custom(format_args!("the key {key:?} appears twice")));
        }
        if self.many.is_empty() && self.few.len() < MAX_LINEAR_KEYS {
            self.few.push(key);
        } else {
            // A list is faster for the few keys of most objects. A set keeps an object with thousands of keys
            // from costing quadratic time.
            self.many.extend(self.few.drain(..));
            self.many.insert(key);
        }
        Ok(())
    }
}

fn decode_key(string: &str) -> Cow<'_, str> {
    unquote(string).unwrap_or_else(|| Cow::Owned(decode_lossy(string)))
}

/// The text of a key with half a surrogate pair, which becomes the replacement character.
fn decode_lossy(string: &str) -> String {
    let inside = &string[1..string.len() - 1];
    let mut units: Vec<u16> = Vec::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.extend(u16::from_str_radix(&digits, 16));
                    continue;
                }
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(same) => same,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{RawJson, parse_raw, raw_unchecked};
    use proptest::prelude::*;

    fn value(text: &str) -> RawJson {
        parse_raw(text.to_owned()).expect("JSON")
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        for fine in [
            r#"{"a":1,"b":[{"c":1.10,"d":2}]}"#,
            "[1e400,99999999999999999999999]",
            r#"{"a":{"a":{"a":"a"}},"b":["a","a",{"a":"a,"},"a"]}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#""{\"a\":1,\"a\":1}""#,
            "null",
        ] {
            assert!(refuse_duplicate_keys(&value(fine)).is_ok(), "{fine}");
        }
        for twice in [
            r#"{"a":1,"b":[{"c":1,"\u0063":2}]}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"":1,"":1}"#,
            r#"{"$serde_json::private::Number":"1","$serde_json::private::Number":"2"}"#,
            r#"{"$serde_json::private::Number":{"a":1,"a":2}}"#,
            r#"{"a":{},"b":[],"a":0}"#,
            r#"{"\ud800":1,"\udc00":1}"#,
            r#"{"\ud83d\ude00":1,"😀":1}"#,
            r#"{"x\ud800\n":1,"x\ufffd\u000A":1}"#,
        ] {
            assert!(refuse_duplicate_keys(&value(twice)).is_err(), "{twice}");
        }
    }

    #[test]
    fn many_keys_are_told_apart() {
        let keys = |count: usize| (0..count).map(|key| format!("\"k{key}\":0")).collect::<Vec<_>>().join(",");
        assert!(refuse_duplicate_keys(&value(&format!("{{{}}}", keys(100)))).is_ok());
        for twice in [0, 15, 16, 99] {
            assert!(refuse_duplicate_keys(&value(&format!("{{{},\"k{twice}\":1}}", keys(100)))).is_err());
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = raw_unchecked(format!("{}1{}", "{\"a\":[".repeat(200_000), "]}".repeat(200_000)));
        assert!(refuse_duplicate_keys(&deep).is_err());
        let nested = |depth: usize| raw_unchecked(format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(refuse_duplicate_keys(&nested(MAX_NESTING)).is_ok());
        assert!(refuse_duplicate_keys(&nested(MAX_NESTING + 1)).is_err());
    }

    /// JSON with few different keys, and whether one appears twice in an object.
    fn any_document() -> impl Strategy<Value = (String, bool)> {
        let leaf = prop_oneof![Just("1.5"), Just("\"a\""), Just("\"{\\\"a\\\":\""), Just("null"), Just("{}")]
            .prop_map(|text| (text.to_owned(), false));
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop::sample::select(vec!["a", "\\u0061", "b", "\\\"", "\\u0022", ",", "é", "\\u00e9"]);
            let members = prop::collection::vec((key, inner.clone()), 0..4).prop_map(|members| {
                let mut seen = HashSet::new();
                let twice = members.iter().any(|(key, (_, twice))| {
                    let key: String = serde_json::from_str(&format!("\"{key}\"")).expect("a key");
                    !seen.insert(key) || *twice
                });
                let texts: Vec<_> =
                    members.iter().map(|(key, (value, _))| format!("\"{key}\" : {value}")).collect();
                (format!("{{{}}}", texts.join(" , ")), twice)
            });
            let items = prop::collection::vec(inner, 0..4).prop_map(|items| {
                let twice = items.iter().any(|(_, twice)| *twice);
                (
                    format!("[{}]", items.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(",")),
                    twice,
                )
            });
            prop_oneof![members, items]
        })
    }

    proptest! {
        #[test]
        fn what_is_refused_holds_a_key_twice((document, twice) in any_document()) {
            prop_assert_eq!(refuse_duplicate_keys(&value(&document)).is_err(), twice);
        }
    }
}
