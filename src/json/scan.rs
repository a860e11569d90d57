//! Scans raw JSON by its bytes. A [`RawValue`] is known to be valid, so only its shape is read.

use std::borrow::Cow;

use serde::Deserialize as _;
use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, StringDeserializer};
use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::RawJson;

/// The position after white space.
pub(super) fn skip_space(json: &[u8], at: usize) -> usize {
    at + json[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The position after the string that begins at `at`.
pub(super) fn skip_string(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(offset) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += offset;
        if json[at] == b'"' {
            return at + 1;
        }
        // Skips the backslash and the character that it escapes, which may be a quote.
        at += 2;
    }
    json.len()
}

/// The position after the value that begins at `at`.
pub(super) fn skip_value(json: &[u8], at: usize) -> usize {
    match json.get(at) {
        Some(b'"') => skip_string(json, at),
        Some(b'{' | b'[') => skip_container(json, at),
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
            at + json[at..].iter().take_while(|byte| !ends(byte)).count()
        }
    }
}

fn skip_container(json: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = skip_string(json, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// The text of a quoted JSON string. `None` if it holds half a surrogate pair, which is no text.
pub(super) fn unquote(string: &str) -> Option<Cow<'_, str>> {
    let inside = string.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    String::deserialize(&mut serde_json::Deserializer::from_str(string)).ok().map(Cow::Owned)
}

/// The name by which `serde_json` recognises its raw values. It has no safe constructor that doesn't parse the
/// text again. This token is how its own deserializers hand one over.
const RAW_VALUE_TOKEN: &str = "$serde_json::private::RawValue";

/// Takes part of a raw value as a raw value.
pub(super) fn raw_from_str(json: &str) -> &RawValue {
    let text = BorrowedStrDeserializer::new(json);
    <&RawValue>::deserialize(RawValueDeserializer(text)).expect("a text that is handed over is taken")
}

/// Takes text that is known to be one JSON value, without parsing it.
pub(super) fn raw_from_string(json: String) -> RawJson {
    let text = StringDeserializer::new(json);
    RawJson::deserialize(RawValueDeserializer(text)).expect("a text that is handed over is taken")
}

struct RawValueDeserializer<D>(D);

impl<'de, D> Deserializer<'de> for RawValueDeserializer<D>
where
    D: serde::de::IntoDeserializer<'de, serde_json::Error>,
{
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(std::iter::once((
            BorrowedStrDeserializer::new(RAW_VALUE_TOKEN),
            self.0,
        ))))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_values_are_made_without_reading_them() {
        assert_eq!(raw_from_str(r#"{"a":[1.10]}"#).get(), r#"{"a":[1.10]}"#);
        assert_eq!(raw_from_string("[ 1 ]".to_owned()).get(), "[ 1 ]");
    }

    #[test]
    fn values_are_skipped_whole() {
        for value in [r#""a\"]\\""#, "-1.5e3", "null", r#"{"a":["}",{"b":[]}]}"#, "[]", "[[[1]],\"]\"]"] {
            let text = format!("{value} ,x");
            assert_eq!(skip_value(text.as_bytes(), 0), value.len(), "{value}");
        }
    }
}
