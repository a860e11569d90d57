//! The scan for duplicate keys agrees with a plain reader, on anything that is JSON.
//!
//! `cargo +nightly fuzz run duplicate_keys`

#![no_main]

use std::collections::HashSet;
use std::fmt;

use libfuzzer_sys::fuzz_target;
use portero::json::{RawObject, parse_raw, refuse_duplicate_keys};
use serde_json::value::RawValue;

/// Whether a key appears twice, one level after the other; `None` when a key is no text.
fn twice(value: &RawValue, depth: usize) -> Option<bool> {
    if depth > 64 {
        return None;
    }
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        return items.into_iter().try_fold(false, |sum, item| Some(sum | twice(item, depth + 1)?));
    }
    if !value.get().starts_with('{') {
        return Some(false);
    }
    let members: Members<'_> = serde_json::from_str(value.get()).ok()?;
    let object = RawObject::read(value).expect("an object");
    assert_eq!(object.iter().count(), members.0.len());
    let mut seen = HashSet::new();
    let mut found = false;
    for (key, item) in members.0 {
        found |= !seen.insert(key);
        found |= twice(item, depth + 1)?;
    }
    Some(found)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        from.deserialize_map(Reader).map(Members)
    }
}

fuzz_target!(|message: &str| {
    let Ok(json) = parse_raw(message.to_owned()) else { return };
    let refused = refuse_duplicate_keys(&json).is_err();
    if let Some(twice) = twice(&json, 0) {
        assert_eq!(refused, twice);
    }
});
