//! A credential in the body of a message (`"location": "body"`).

use portero::json::{RawObject, serialize_raw};
use serde_json::value::RawValue;

/// The message with a member in `_meta` of its params. None if it has no method, because an answer has no params.
pub(super) fn with_meta_member(message: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let message: &RawValue = serde_json::from_slice(message).ok()?;
    let message = RawObject::read(message).ok()?;
    message.get("method")?;
    let params = match message.get("params") {
        Some(params) => RawObject::read(params).ok()?,
        None => RawObject::default(),
    };
    let meta = match params.get("_meta") {
        Some(meta) => RawObject::read(meta).ok()?,
        None => RawObject::default(),
    };
    let value = serialize_raw(value);
    let meta = meta.with_member(name, &value).to_raw();
    let params = params.with_member("_meta", &meta).to_raw();
    Some(message.with_member("params", &params).to_raw().get().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(message: &str) -> Option<String> {
        let message = with_meta_member(message.as_bytes(), "key", "a\"b")?;
        Some(String::from_utf8(message).expect("UTF-8"))
    }

    #[test]
    fn only_meta_changes() {
        let with = with_key(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a": 1.10,"_meta":{"t":1}}}"#);
        let expected =
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1.10,"_meta":{"t":1,"key":"a\"b"}}}"#;
        assert_eq!(with.as_deref(), Some(expected));
        let with = with_key(r#"{"jsonrpc":"2.0","method":"m"}"#);
        assert_eq!(
            with.as_deref(),
            Some(r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"key":"a\"b"}}}"#)
        );
    }

    #[test]
    fn an_answer_has_no_place_for_it() {
        assert_eq!(with_key(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), None);
    }
}
