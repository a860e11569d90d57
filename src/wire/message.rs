//! One JSON-RPC message, borrowed from its line.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::codes;
use crate::json::{self, RawJson};

/// A JSON-RPC 2.0 message with well-formed members.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    kind: MessageKind<'a>,
}

/// The kind of a message.
#[derive(Debug, Clone)]
pub enum MessageKind<'a> {
    /// It expects an answer.
    Request {
        /// A JSON string or number, echoed byte for byte.
        id: &'a RawValue,
        /// The method.
        method: Cow<'a, str>,
        /// An object; `null` counts as absent.
        params: Option<&'a RawValue>,
    },
    /// It expects no answer.
    Notification {
        /// The method.
        method: Cow<'a, str>,
        /// An object; `null` counts as absent.
        params: Option<&'a RawValue>,
    },
    /// An answer.
    Response {
        /// The id of the answered request.
        id: &'a RawValue,
        /// The `result`, or else the `error` object.
        outcome: Result<&'a RawValue, &'a RawValue>,
    },
}

/// A line that is no message.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct MalformedMessage {
    /// The fault.
    pub fault: MessageFault,
    /// The request's id, if it could be read, so that its sender can be answered.
    pub id: Option<RawJson>,
}

/// The fault of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// It is not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// It is not JSON.
    #[error("the message is not JSON")]
    NotJson,
    /// It is an array; see [`parse_batch`].
    #[error("batches of messages are not part of this protocol version")]
    Batch,
    /// It is JSON, but not an object.
    #[error("the message is not a JSON object")]
    NotObject,
    /// A member of the envelope occurs twice. Parsers disagree on which of the two counts.
    #[error("`{0}` appears twice in the message")]
    Duplicate(&'static str),
    /// `jsonrpc` isn't `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// `id` is neither a string nor a number.
    #[error("`id` must be a string or a number")]
    Id,
    /// `method` isn't a string.
    #[error("`method` must be a string")]
    Method,
    /// `params` isn't an object.
    #[error("`params` must be an object")]
    Params,
    /// It is neither a request nor a notification nor a response, or more than one of them.
    #[error("the message is neither a request, a notification nor a response")]
    Shape,
}

impl MessageFault {
    /// The JSON-RPC error code for the sender.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::NotUtf8 | Self::NotJson => codes::PARSE_ERROR,
            Self::Params => codes::INVALID_PARAMS,
            Self::Batch
            | Self::NotObject
            | Self::Duplicate(_)
            | Self::Version
            | Self::Id
            | Self::Method
            | Self::Shape => codes::INVALID_REQUEST,
        }
    }
}

impl<'a> Message<'a> {
    /// Parses one line.
    ///
    /// # Errors
    /// If it isn't exactly one well-formed message.
    pub fn parse(line: &'a [u8]) -> Result<Self, MalformedMessage> {
        let text = std::str::from_utf8(line)
            .map_err(|_| MalformedMessage { fault: MessageFault::NotUtf8, id: None })?;
        Self::parse_text(text)
    }

    /// Parses one message of a [`parse_batch`].
    ///
    /// # Errors
    /// If it isn't exactly one well-formed message.
    pub fn from_value(value: &'a RawValue) -> Result<Self, MalformedMessage> {
        Self::parse_text(value.get())
    }

    fn parse_text(text: &'a str) -> Result<Self, MalformedMessage> {
        let envelope = serde_json::from_str::<RawEnvelope<'a>>(text)
            .map_err(|error| MalformedMessage { fault: classify_parse_error(text, &error), id: None })?;
        // Taken before the envelope is checked, so that a malformed request is still answered under its id.
        let id = envelope.id.filter(|id| is_id(id));
        match envelope.into_kind() {
            Ok(kind) => Ok(Self { kind }),
            Err(fault) => Err(MalformedMessage { fault, id: id.map(ToOwned::to_owned) }),
        }
    }

    /// The kind of message.
    #[must_use]
    pub const fn kind(&self) -> &MessageKind<'a> {
        &self.kind
    }

    /// The kind of message, owned.
    #[must_use]
    pub fn into_kind(self) -> MessageKind<'a> {
        self.kind
    }
}

/// The messages of a batch, if the line is an array (2025-03-26, Base Protocol, "Batching").
///
/// An empty array is no batch; JSON-RPC 2.0 (section 6) calls it an invalid request.
#[must_use]
pub fn parse_batch(line: &[u8]) -> Option<Vec<&RawValue>> {
    if line.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return None;
    }
    let text = std::str::from_utf8(line).ok()?;
    serde_json::from_str::<Vec<&RawValue>>(text).ok().filter(|messages| !messages.is_empty())
}

/// Checks that clients would accept an answer. A `result` must be an object. An `error` must be an object with
/// a whole number as `code` and a text as `message` (JSON-RPC 2.0 section 5; MCP 2025-11-25, Base Protocol,
/// "Responses").
///
/// # Errors
/// The problem in words.
pub fn check_outcome(outcome: Result<&RawValue, &RawValue>) -> Result<(), &'static str> {
    match outcome {
        Ok(result) if result.get().starts_with('{') => Ok(()),
        Ok(_) => Err("its `result` is not an object"),
        Err(error) => {
            let error = json::RawObject::read(error).map_err(|_| "its `error` is not an object")?;
            let code = error.get("code").and_then(|code| serde_json::from_str::<f64>(code.get()).ok());
            if !code.is_some_and(|code| code.fract() == 0.0) {
                return Err("its `error` has no whole number as its `code`");
            }
            error.get_text("message").map(|_| ()).ok_or("its `error` has no text as its `message`")
        }
    }
}

/// Whether a message is a usable answer without an id: `id` is `null` or missing.
#[must_use]
pub fn is_response_without_id(message: &[u8]) -> bool {
    let Ok(envelope) = serde_json::from_slice::<RawEnvelope<'_>>(message) else { return false };
    envelope.duplicate.is_none()
        && envelope.method.is_none()
        && envelope.id.is_none_or(is_null)
        && envelope.outcome().is_ok_and(|outcome| check_outcome(outcome).is_ok())
}

/// A request's id as a key. Two spellings of one string are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdKey {
    /// A number, as spelled.
    Number(String),
    /// A string, without its escapes.
    Text(String),
}

impl IdKey {
    /// The key of a raw value, if it is a string or a number.
    #[must_use]
    pub fn from_raw(value: &RawValue) -> Option<Self> {
        match value.get().as_bytes().first()? {
            b'"' => json::as_text(value).map(|text| Self::Text(text.into_owned())),
            b'-' | b'0'..=b'9' => Some(Self::Number(value.get().to_owned())),
            _ => None,
        }
    }
}

/// The members of the envelope. Other members are ignored.
#[derive(Debug, Default)]
struct RawEnvelope<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    duplicate: Option<&'static str>,
}

impl<'a> RawEnvelope<'a> {
    fn into_kind(self) -> Result<MessageKind<'a>, MessageFault> {
        if let Some(twice) = self.duplicate {
            return Err(MessageFault::Duplicate(twice));
        }
        // The order of the checks decides which fault is reported: duplicates first, because after them no
        // member can be trusted.
        if self.jsonrpc.is_none_or(|version| json::as_text(version).as_deref() != Some("2.0")) {
            return Err(MessageFault::Version);
        }
        if self.id.is_some_and(|id| !is_id(id)) {
            return Err(MessageFault::Id);
        }
        let Some(method) = self.method else { return self.into_response() };
        if self.result.is_some() || self.error.is_some() {
            return Err(MessageFault::Shape);
        }
        let method = json::as_text(method).ok_or(MessageFault::Method)?;
        let params = self.params.filter(|params| !is_null(params));
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(MessageFault::Params);
        }
        Ok(match self.id {
            Some(id) => MessageKind::Request { id, method, params },
            None => MessageKind::Notification { method, params },
        })
    }

    fn into_response(self) -> Result<MessageKind<'a>, MessageFault> {
        let id = self.id.ok_or(MessageFault::Shape)?;
        Ok(MessageKind::Response { id, outcome: self.outcome()? })
    }

    /// The outcome of an answer. Some peers write both members and leave one `null`.
    fn outcome(&self) -> Result<Result<&'a RawValue, &'a RawValue>, MessageFault> {
        match (self.result, self.error.filter(|error| !is_null(error))) {
            (None, Some(error)) => Ok(Err(error)),
            (Some(result), Some(error)) if is_null(result) => Ok(Err(error)),
            (Some(result), None) => Ok(Ok(result)),
            (Some(_), Some(_)) | (None, None) => Err(MessageFault::Shape),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawEnvelope<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct EnvelopeVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for EnvelopeVisitor<'a> {
            type Value = RawEnvelope<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEnvelope<'a>, A::Error> {
                let mut envelope = RawEnvelope::default();
                while let Some(member) = map.next_key::<EnvelopeKey>()? {
                    let (name, place) = match member {
                        EnvelopeKey::Jsonrpc => ("jsonrpc", &mut envelope.jsonrpc),
                        EnvelopeKey::Id => ("id", &mut envelope.id),
                        EnvelopeKey::Method => ("method", &mut envelope.method),
                        EnvelopeKey::Params => ("params", &mut envelope.params),
                        EnvelopeKey::Result => ("result", &mut envelope.result),
                        EnvelopeKey::Error => ("error", &mut envelope.error),
                        EnvelopeKey::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if place.replace(map.next_value::<&'a RawValue>()?).is_some() {
                        envelope.duplicate = Some(name);
                    }
                }
                Ok(envelope)
            }
        }
        from.deserialize_map(EnvelopeVisitor(PhantomData))
    }
}

enum EnvelopeKey {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Other,
}

impl<'de> Deserialize<'de> for EnvelopeKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct EnvelopeKeyVisitor;

        impl Visitor<'_> for EnvelopeKeyVisitor {
            type Value = EnvelopeKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<EnvelopeKey, E> {
                Ok(match key {
                    "jsonrpc" => EnvelopeKey::Jsonrpc,
                    "id" => EnvelopeKey::Id,
                    "method" => EnvelopeKey::Method,
                    "params" => EnvelopeKey::Params,
                    "result" => EnvelopeKey::Result,
                    "error" => EnvelopeKey::Error,
                    _ => EnvelopeKey::Other,
                })
            }
        }
        from.deserialize_str(EnvelopeKeyVisitor)
    }
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

fn is_id(value: &RawValue) -> bool {
    matches!(value.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')) && is_valid_text(value)
}

/// Whether the escapes of a raw string are valid. serde skips them: `"\ud800"` passes, although no text can
/// hold it.
fn is_valid_text(value: &RawValue) -> bool {
    !value.get().contains('\\') || json::as_text(value).is_some()
}

fn classify_parse_error(text: &str, error: &serde_json::Error) -> MessageFault {
    // A data error means valid JSON of the wrong shape, so a second parse tells the shape.
    if !error.is_data() {
        return MessageFault::NotJson;
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if text.trim_start().starts_with('[') => MessageFault::Batch,
        Ok(_) => MessageFault::NotObject,
        Err(_) => MessageFault::NotJson,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{write_error, write_notification, write_request, write_result};

    fn parse_fault(line: &[u8]) -> (MessageFault, Option<String>) {
        let malformed = Message::parse(line).expect_err("no message");
        (malformed.fault, malformed.id.map(|id| id.get().to_owned()))
    }

    fn describe_message(line: &str) -> String {
        let show = |params: Option<&RawValue>| params.map_or("-", RawValue::get).to_owned();
        match Message::parse(line.as_bytes()).expect("a message").into_kind() {
            MessageKind::Request { id, method, params } => format!("request {id} {method} {}", show(params)),
            MessageKind::Notification { method, params } => format!("notification {method} {}", show(params)),
            MessageKind::Response { id, outcome: Ok(result) } => format!("result {id} {result}"),
            MessageKind::Response { id, outcome: Err(error) } => format!("error {id} {error}"),
        }
    }

    #[test]
    fn messages_are_told_apart_and_payloads_keep_their_bytes() {
        for (line, shown) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a": 1.10 ,"z":"\u00e9"}}"#,
                r#"request 1 tools/call {"a": 1.10 ,"z":"\u00e9"}"#,
            ),
            (r#" {"id":"a-1","method":"ping","jsonrpc":"2.0","more":{"id":7}} "#, r#"request "a-1" ping -"#),
            (r#"{"jsonrpc":"2.0","id":-1.5e3,"method":"ping","params":null}"#, "request -1.5e3 ping -"),
            ("{\"jsonrpc\":\"2.0\",\"m\\u0065thod\":\"x/\\u0079\"}", "notification x/y -"),
            (r#"{"jsonrpc":"2.0","id":0,"result":{"ok":true}}"#, r#"result 0 {"ok":true}"#),
            (r#"{"jsonrpc":"2.0","id":0,"result":null}"#, "result 0 null"),
            (r#"{"jsonrpc":"2.0","id":0,"result":{},"error":null}"#, "result 0 {}"),
            (r#"{"jsonrpc":"2.0","id":0,"result":null,"error":{"code":1}}"#, r#"error 0 {"code":1}"#),
            ("{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":-1}}\r", r#"error 0 {"code":-1}"#),
        ] {
            assert_eq!(describe_message(line), shown, "{line}");
        }
    }

    #[test]
    fn what_is_no_message_says_why_and_whose() {
        let cases: &[(&[u8], MessageFault, Option<&str>)] = &[
            (b"", MessageFault::NotJson, None),
            (b"hello", MessageFault::NotJson, None),
            (br#"{"jsonrpc":"2.0","id":1,"method":"x""#, MessageFault::NotJson, None),
            (br#"{"jsonrpc":"2.0","id":1,"method":"x"} {}"#, MessageFault::NotJson, None),
            (b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", MessageFault::NotUtf8, None),
            (br#"[{"jsonrpc":"2.0","method":"x"}]"#, MessageFault::Batch, None),
            (b"[1,", MessageFault::NotJson, None),
            (b"7", MessageFault::NotObject, None),
            (br#""text""#, MessageFault::NotObject, None),
            (br#"{"id":1,"method":"x"}"#, MessageFault::Version, Some("1")),
            (br#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, MessageFault::Version, Some("1")),
            (br#"{"jsonrpc":2.0,"id":1,"method":"x"}"#, MessageFault::Version, Some("1")),
            (br#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, MessageFault::Id, None),
            (br#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, MessageFault::Id, None),
            (br#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, MessageFault::Id, None),
            (br#"{"jsonrpc":"2.0","id":"\ud800","method":"x"}"#, MessageFault::Id, None),
            (br#"{"jsonrpc":"2.0","id":"q","method":7}"#, MessageFault::Method, Some(r#""q""#)),
            (br#"{"jsonrpc":"2.0","id":3,"method":"x","params":[1]}"#, MessageFault::Params, Some("3")),
            (br#"{"jsonrpc":"2.0","id":3,"method":"x","params":"p"}"#, MessageFault::Params, Some("3")),
            (br#"{"jsonrpc":"2.0","id":3}"#, MessageFault::Shape, Some("3")),
            (br#"{"jsonrpc":"2.0"}"#, MessageFault::Shape, None),
            (br#"{"jsonrpc":"2.0","result":{}}"#, MessageFault::Shape, None),
            (br#"{"jsonrpc":"2.0","id":3,"result":{},"error":{}}"#, MessageFault::Shape, Some("3")),
            (br#"{"jsonrpc":"2.0","id":3,"method":"x","result":{}}"#, MessageFault::Shape, Some("3")),
            (
                br#"{"jsonrpc":"2.0","id":3,"method":"x","method":"y"}"#,
                MessageFault::Duplicate("method"),
                Some("3"),
            ),
            (
                b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"x\",\"p\\u0061rams\":{},\"params\":{}}",
                MessageFault::Duplicate("params"),
                Some("3"),
            ),
            (br#"{"jsonrpc":"2.0","id":3,"id":4,"method":"x"}"#, MessageFault::Duplicate("id"), Some("4")),
        ];
        for (line, expected, id) in cases {
            let text = String::from_utf8_lossy(line);
            assert_eq!(parse_fault(line), (*expected, id.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn a_batch_comes_apart_into_its_messages() {
        let line = br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 7]"#;
        let messages = parse_batch(line).expect("a batch");
        assert!(Message::from_value(messages[0]).is_ok());
        assert_eq!(Message::from_value(messages[1]).expect_err("a number").fault, MessageFault::NotObject);
        for none in [&b"[]"[..], b"[1,", b"{}", b"", b"[\"\xff\"]"] {
            assert!(parse_batch(none).is_none());
        }
    }

    #[test]
    fn a_very_deep_payload_neither_fails_nor_overflows() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{deep}}}"#);
        assert!(Message::parse(line.as_bytes()).is_ok());
    }

    #[test]
    fn what_clients_would_not_take_is_not_usable() {
        let value = |text: &str| json::parse_raw(text.to_owned()).expect("JSON");
        for result in ["null", "[]", "\"done\"", "7", "true"] {
            assert!(check_outcome(Ok(&value(result))).is_err(), "{result}");
        }
        for error in [
            "\"boom\"",
            "[]",
            "{}",
            r#"{"code":"E1","message":"x"}"#,
            r#"{"code":1e400,"message":"x"}"#,
            r#"{"code":1.5,"message":"x"}"#,
            r#"{"code":1}"#,
            r#"{"code":1,"message":7}"#,
        ] {
            assert!(check_outcome(Err(&value(error))).is_err(), "{error}");
        }
        assert_eq!(check_outcome(Ok(&value("{}"))), Ok(()));
        assert_eq!(check_outcome(Err(&value(r#"{"code":-32000.0,"message":""}"#))), Ok(()));
    }

    #[test]
    fn two_spellings_of_an_id_are_one() {
        let id = |text: &str| IdKey::from_raw(&json::parse_raw(text.to_owned()).expect("JSON"));
        assert_eq!(id("\"a\""), id("\"\\u0061\""));
        assert_ne!(id("\"1\""), id("1"));
        assert_eq!(id("null"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Message::parse(&line);
            let _ = parse_batch(&line);
        }

        #[test]
        fn what_is_read_can_be_written_and_read_again(line in near_message()) {
            let Ok(message) = Message::parse(line.as_bytes()) else { return Ok(()) };
            let shown = format!("{message:?}");
            let mut out = Vec::new();
            match message.into_kind() {
                MessageKind::Request { id, method, params } => write_request(&mut out, id, &method, params),
                MessageKind::Notification { method, params } => write_notification(&mut out, &method, params),
                MessageKind::Response { id, outcome: Ok(result) } => write_result(&mut out, id, result),
                MessageKind::Response { id, outcome: Err(error) } => write_error(&mut out, id, error),
            }
            prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(format!("{:?}", Message::parse(&out).expect("our own line")), shown);
        }
    }

    /// Members that a message may have, in any number and order.
    fn near_message() -> impl Strategy<Value = String> {
        let member = prop::sample::select(vec![
            r#""jsonrpc":"2.0""#,
            r#""id":1"#,
            "\"id\":\"\\ud800\"",
            r#""id":"a\"""#,
            r#""id":null"#,
            r#""method":"x\u0079""#,
            r#""method":7"#,
            r#""params":{"a":1.10}"#,
            r#""params":null"#,
            r#""result":[1e400]"#,
            r#""error":{"code":1}"#,
            r#""error":null"#,
            r#""other":[{}]"#,
        ]);
        prop::collection::vec(member, 0..6)
            .prop_map(|members| format!(r#"{{"jsonrpc":"2.0",{}}}"#, members.join(",")).replace(",}", "}"))
    }
}
