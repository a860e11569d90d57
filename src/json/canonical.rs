//! The canonical form of a JSON value, so that equal values have equal digests.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{RawObject, as_text, serialize_raw};

/// How deeply a value may nest.
const MAX_DEPTH: usize = 128;

/// Writes a value with sorted keys, without white space, and with one spelling for each text. Numbers keep
/// their spelling, so `1.10` and `1.1` differ.
///
/// # Errors
/// In words, if an object has a duplicate key or the value nests too deeply.
pub fn canonicalize(value: &RawValue) -> Result<Vec<u8>, Cow<'static, str>> {
    let mut out = Vec::with_capacity(value.get().len());
    write_canonical(value, MAX_DEPTH, &mut out)?;
    Ok(out)
}

fn write_canonical(value: &RawValue, depth: usize, out: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
    let spelled = value.get();
    if depth == 0 {
        return Err("they nest too deeply".into());
    }
    match spelled.as_bytes().first() {
        Some(b'{') => {
            let object = RawObject::read(value).map_err(|error| error.to_string())?;
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(format!("the key {:?} appears twice", pair[0].0).into());
            }
            out.push(b'{');
            for (key, member) in members {
                write_string(key, out);
                out.push(b':');
                write_canonical(member, depth - 1, out)?;
                // A comma follows every member, also the last. The result is only hashed, never parsed.
                out.push(b',');
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(spelled).map_err(|error| error.to_string())?;
            out.push(b'[');
            for item in items {
                write_canonical(item, depth - 1, out)?;
                out.push(b',');
            }
            out.push(b']');
        }
        // A string that is no Unicode text, such as a lone surrogate, keeps its spelling.
        Some(b'"') => match as_text(value) {
            Some(string) => write_string(&string, out),
            None => out.extend_from_slice(spelled.as_bytes()),
        },
        _ => out.extend_from_slice(spelled.as_bytes()),
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serialize_raw(text).get().as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::canonicalize;
    use crate::json::parse_raw;

    fn canonical_text(json: &str) -> Result<String, String> {
        let raw = parse_raw(json.to_owned()).expect("JSON");
        let bytes = canonicalize(&raw).map_err(|problem| problem.into_owned())?;
        Ok(String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert!(canonical_text(r#"{"a":{"b":1,"\u0062":2}}"#).unwrap_err().contains("appears twice"));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(canonical_text(&deep).unwrap_err().contains("deeply"));
        assert_eq!(canonical_text(r#"["\ud800"]"#).unwrap(), r#"["\ud800",]"#);
        assert_eq!(canonical_text("12345678901234567890123456789012345678901e400").unwrap().len(), 45);
    }

    proptest! {
        #[test]
        fn two_values_have_one_canonical_text_only_if_they_are_equal(one in any_json(), two in any_json()) {
            let same = canonical_text(&one.to_string()).unwrap() == canonical_text(&two.to_string()).unwrap();
            prop_assert_eq!(same, one == two);
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            (0_u8..3).prop_map(serde_json::Value::from),
            "[a,\"\\[\\]{}:]{0,3}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[ab,]{0,2}", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }
}
