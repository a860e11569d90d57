//! Raw JSON, read one level deep: keys in their order, values as the bytes that came.
//!
//! Payloads are never parsed into a model on the forwarding path; what must change is spliced in here, and
//! every other byte stays as it was.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An owned piece of raw JSON.
pub type RawJson = Box<RawValue>;

/// Serializes a value of our own into raw JSON.
///
/// # Panics
/// Never for the types we pass: maps with text keys, sequences, texts, numbers.
#[must_use]
pub fn raw<T: Serialize + ?Sized>(value: &T) -> RawJson {
    serde_json::value::to_raw_value(value).expect("our own types serialize")
}

/// Takes text as raw JSON.
///
/// # Errors
/// When it is not one JSON value.
pub fn parse_raw(text: String) -> Result<RawJson, serde_json::Error> {
    RawValue::from_string(text)
}

/// Takes text that is known to be one JSON value, without reading it: what the anonymizer spliced together from
/// a value that was read already.
///
/// It goes the way on which [`RawValue`] serializes itself; `serde_json` offers no safe constructor that does
/// not parse the whole text again.
pub(crate) fn trusted(text: String) -> RawJson {
    struct Verbatim(String);

    impl Serialize for Verbatim {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut value = to.serialize_struct("$serde_json::private::RawValue", 1)?;
            value.serialize_field("$serde_json::private::RawValue", self.0.as_str())?;
            value.end()
        }
    }
    raw(&Verbatim(text))
}

/// A JSON object, one level deep.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// When the value is no JSON object.
    pub fn read(value: &'a RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(value.get())
    }

    /// The last member with this key, as JSON parsers have it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The text of a member that is a JSON string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.get(key)?)
    }

    /// The members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The members in their order, owned.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.members.into_iter()
    }

    /// Replaces a member where it stands, or adds it at the end.
    #[must_use]
    pub fn with(mut self, key: &'a str, value: &'a RawValue) -> Self {
        match self.members.iter_mut().rev().find(|(name, _)| name == key) {
            Some(member) => member.1 = value,
            None => self.members.push((Cow::Borrowed(key), value)),
        }
        self
    }

    /// Leaves members out.
    #[must_use]
    pub fn without(mut self, leave_out: impl Fn(&str) -> bool) -> Self {
        self.members.retain(|(key, _)| !leave_out(key));
        self
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object as JSON again; the values are the bytes that came.
    #[must_use]
    pub fn to_raw(&self) -> RawJson {
        raw(self)
    }
}

/// The text of a JSON string, borrowed where it holds no escapes.
#[must_use]
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

impl Serialize for Object<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.members.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<'a>(std::marker::PhantomData<&'a ()>);
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
            type Value = Object<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'a>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<Key<'a>, &'a RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(Object { members })
            }
        }
        from.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// Refuses a value in which an object, at any depth, holds one key twice: parsers disagree on which of the
/// two counts, so what a person approves might not be what a server runs.
///
/// # Errors
/// The error names the key.
pub fn refuse_duplicate_keys(value: &RawValue) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(value.get());
    NoDuplicates.deserialize(&mut reader)
}

struct NoDuplicates;

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            // serde_json shows a number beyond f64 as a map with one private key when
            // `arbitrary_precision` is on; that map is no object of the payload.
            if key == "$serde_json::private::Number" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(NoDuplicates)?;
            if let Some(twice) = seen.replace(key) {
                return Err(serde::de::Error::custom(format_args!("the key {twice:?} stands twice")));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(NoDuplicates)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
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
        let changed = Object::read(&object).expect("object").with("name", &name).to_raw();
        assert_eq!(
            changed.get(),
            r#"{"z":1.10,"name":"b","n":1234567890123456789012345678901234567890,"u":{"q":[ 1 ]}}"#
        );
    }

    #[test]
    fn an_escaped_key_is_found() {
        let object = value("{\"n\\u0061me\":\"x\"}");
        assert_eq!(Object::read(&object).expect("object").text("name").as_deref(), Some("x"));
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        assert!(refuse_duplicate_keys(&value(r#"{"a":1,"b":[{"c":1.10,"d":2}]}"#)).is_ok());
        assert!(refuse_duplicate_keys(&value(r#"{"a":1,"b":[{"c":1,"\u0063":2}]}"#)).is_err());
        assert!(refuse_duplicate_keys(&value(r#"{"a":1,"a":1}"#)).is_err());
        assert!(refuse_duplicate_keys(&value("[1e400,99999999999999999999999]")).is_ok());
    }
}
