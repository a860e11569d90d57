//! Raw JSON, read one level deep: keys in their order, values as the bytes that came.
//!
//! Forwarded payloads are never parsed into a model. Changes are spliced in here, and every other byte stays.

mod canonical;
mod duplicates;
pub mod pretty;
mod scan;

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::canonical::canonicalize;
pub use self::duplicates::refuse_duplicate_keys;

/// An owned piece of raw JSON.
pub type RawJson = Box<RawValue>;

/// Serializes a value of our own into raw JSON.
///
/// # Panics
/// Never for the types we pass: maps with text keys, sequences, texts, numbers.
#[must_use]
pub fn serialize_raw<T: Serialize + ?Sized>(value: &T) -> RawJson {
    serde_json::value::to_raw_value(value).expect("our own types serialize")
}

/// Reads text as raw JSON.
///
/// # Errors
/// If it isn't exactly one JSON value.
pub fn parse_raw(text: String) -> Result<RawJson, serde_json::Error> {
    RawValue::from_string(text)
}

/// The longest text in which JSON is looked for.
const MAX_EMBEDDED_BYTES: usize = 1 << 20;

/// How deep texts with JSON may nest; each needs twice the backslashes of the one before.
pub const MAX_EMBEDDED_DEPTH: usize = 4;

/// The JSON that a text holds, where it is JSON as a whole, of 1 MiB at most, and holds no key twice: parsers disagree on
/// which of the two counts.
#[must_use]
pub fn parse_embedded(text: &str) -> Option<RawJson> {
    if text.len() > MAX_EMBEDDED_BYTES {
        return None;
    }
    let json = parse_raw(text.to_owned()).ok()?;
    refuse_duplicate_keys(&json).ok()?;
    Some(json)
}

/// Takes text as raw JSON without checking it. Only for text that was spliced together from valid values.
pub(crate) fn raw_unchecked(text: String) -> RawJson {
    scan::raw_from_string(text)
}

/// A JSON object, one level deep.
#[derive(Debug, Clone, Default)]
pub struct RawObject<'a> {
    members: Vec<ObjectMember<'a>>,
}

#[derive(Debug, Clone)]
struct ObjectMember<'a> {
    key: Cow<'a, str>,
    /// The key as it came, with its quotes and escapes.
    raw_key: Option<&'a str>,
    value: &'a RawValue,
}

impl<'a> RawObject<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// If the value is no JSON object, or a key is no text (half a surrogate pair).
    pub fn read(value: &'a RawValue) -> Result<Self, serde_json::Error> {
        let json = value.get();
        let bytes = json.as_bytes();
        let mut at = scan::skip_space(bytes, 0);
        if bytes.get(at) != Some(&b'{') {
            return Err(serde_json::Error::custom("expected a JSON object"));
        }
        let mut members = Vec::with_capacity(8);
        loop {
            at = scan::skip_space(bytes, at + 1);
            if bytes.get(at) != Some(&b'"') {
                return Ok(Self { members });
            }
            let end = scan::skip_string(bytes, at);
            let spelled = &json[at..end];
            let key = scan::unquote(spelled).ok_or_else(|| serde_json::Error::custom("a key is no text"))?;
            // Skips the colon and the white space around it.
            let start = scan::skip_space(bytes, scan::skip_space(bytes, end) + 1);
            let end = scan::skip_value(bytes, start);
            members.push(ObjectMember {
                key,
                raw_key: Some(spelled),
                value: scan::raw_from_str(&json[start..end]),
            });
            at = scan::skip_space(bytes, end);
        }
    }

    /// The last member with this key, which most JSON parsers use too.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|member| member.key == key).map(|member| member.value)
    }

    /// The text of a member that is a string.
    #[must_use]
    pub fn get_text(&self, key: &str) -> Option<Cow<'a, str>> {
        as_text(self.get(key)?)
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|member| (member.key.as_ref(), member.value))
    }

    /// The members in order, owned.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.members.into_iter().map(|member| (member.key, member.value))
    }

    /// Replaces a member in place, or appends it.
    #[must_use]
    pub fn with_member(mut self, key: &'a str, value: &'a RawValue) -> Self {
        // The last of equal keys, as in `get`: replacing the first would leave the one that parsers use.
        match self.members.iter_mut().rev().find(|member| member.key == key) {
            Some(member) => member.value = value,
            None => self.members.push(ObjectMember { key: Cow::Borrowed(key), raw_key: None, value }),
        }
        self
    }

    /// Removes members.
    #[must_use]
    pub fn without_members(mut self, leave_out: impl Fn(&str) -> bool) -> Self {
        self.members.retain(|member| !leave_out(&member.key));
        self
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object as JSON. Keys and values keep their bytes.
    #[must_use]
    pub fn to_raw(&self) -> RawJson {
        let length: usize =
            self.members.iter().map(|member| member.key.len() + member.value.get().len() + 8).sum();
        let mut text = String::with_capacity(length + 2);
        for member in &self.members {
            text.push(if text.is_empty() { '{' } else { ',' });
            match member.raw_key {
                // The key's own spelling, so that a member that wasn't touched keeps its bytes.
                Some(spelled) => text.push_str(spelled),
                None => text.push_str(serialize_raw(member.key.as_ref()).get()),
            }
            text.push(':');
            text.push_str(member.value.get());
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        raw_unchecked(text)
    }
}

/// The text of a JSON string, borrowed if it has no escapes.
#[must_use]
pub fn as_text(value: &RawValue) -> Option<Cow<'_, str>> {
    scan::unquote(value.get())
}

impl Serialize for RawObject<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        RawObject::read(<&'de RawValue>::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RawJson {
        parse_raw(text.to_owned()).expect("JSON")
    }

    #[test]
    fn what_is_not_replaced_keeps_its_bytes_and_its_place() {
        let object =
            value(r#"{"z":1.10,"name":"a","n":1234567890123456789012345678901234567890,"u":{"q":[ 1 ]}}"#);
        let name = value(r#""b""#);
        let changed = RawObject::read(&object).expect("object").with_member("name", &name).to_raw();
        assert_eq!(
            changed.get(),
            r#"{"z":1.10,"name":"b","n":1234567890123456789012345678901234567890,"u":{"q":[ 1 ]}}"#
        );
    }

    #[test]
    fn an_escaped_key_is_found() {
        let object = value("{\"n\\u0061me\":\"x\"}");
        assert_eq!(RawObject::read(&object).expect("object").get_text("name").as_deref(), Some("x"));
    }

    #[test]
    fn an_object_is_read_as_serde_json_reads_it() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            " {\n\"a\" : [ {\"x\":\"}\"} , 2 ] ,\t\"b\":\"\\\"\",\"\":null }\n",
            r#"{"a":-1.5e3,"a":true,"\u0062":{"c":"]"}}"#,
        ] {
            let value = value(text);
            let object = RawObject::read(&value).expect("object");
            let read: Vec<(String, String)> =
                object.iter().map(|(key, value)| (key.to_owned(), value.get().to_owned())).collect();
            let expected: SerdeMembers = serde_json::from_str(text).expect("JSON");
            assert_eq!(read, expected.0, "{text}");
            assert_eq!(RawObject::read(&object.to_raw()).expect("object").iter().count(), read.len());
        }
        for other in ["[]", "1", "\"{}\"", "null"] {
            assert!(RawObject::read(&value(other)).is_err(), "{other}");
        }
    }

    /// The members of an object, by `serde_json`'s own reader.
    struct SerdeMembers(Vec<(String, String)>);

    impl<'de> Deserialize<'de> for SerdeMembers {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Reader;
            impl<'de> serde::de::Visitor<'de> for Reader {
                type Value = SerdeMembers;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<SerdeMembers, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                        pairs.push((key, value.get().to_owned()));
                    }
                    Ok(SerdeMembers(pairs))
                }
            }
            from.deserialize_map(Reader)
        }
    }
}
