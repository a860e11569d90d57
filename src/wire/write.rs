//! Writes messages, one line each.

use std::io::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;

use super::codes;
use super::message::{IdKey, MalformedMessage};
use crate::json::{self, RawJson};

/// A value that can be a message's id.
pub trait WriteId {
    /// Writes it as JSON.
    fn write_id(&self, out: &mut Vec<u8>);
}

impl WriteId for u64 {
    fn write_id(&self, out: &mut Vec<u8>) {
        write!(out, "{self}").expect("a Vec takes everything");
    }
}

impl WriteId for RawValue {
    fn write_id(&self, out: &mut Vec<u8>) {
        write_raw(out, self);
    }
}

impl WriteId for IdKey {
    fn write_id(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => out.extend_from_slice(number.as_bytes()),
            Self::Text(text) => write_text(out, text),
        }
    }
}

impl WriteId for RawJson {
    fn write_id(&self, out: &mut Vec<u8>) {
        write_raw(out, self);
    }
}

impl<T: WriteId + ?Sized> WriteId for &T {
    fn write_id(&self, out: &mut Vec<u8>) {
        (**self).write_id(out);
    }
}

/// Appends a request.
pub fn write_request(out: &mut Vec<u8>, id: impl WriteId, method: &str, params: Option<&RawValue>) {
    begin_response(out, &id);
    out.extend_from_slice(b",\"method\":");
    write_text(out, method);
    end_with_member(out, b",\"params\":", params);
}

/// Appends a notification.
pub fn write_notification(out: &mut Vec<u8>, method: &str, params: Option<&RawValue>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":");
    write_text(out, method);
    end_with_member(out, b",\"params\":", params);
}

/// Appends a response with a result.
pub fn write_result(out: &mut Vec<u8>, id: impl WriteId, result: &RawValue) {
    begin_response(out, &id);
    end_with_member(out, b",\"result\":", Some(result));
}

/// Appends a response with an error object, such as [`answer_error_object`] makes.
pub fn write_error(out: &mut Vec<u8>, id: impl WriteId, error: &RawValue) {
    begin_response(out, &id);
    end_with_member(out, b",\"error\":", Some(error));
}

/// Appends the answer to an over-long line. Its id is `null` if none could be read.
pub fn write_too_long_error(out: &mut Vec<u8>, limit: usize, id: Option<RawJson>) {
    let words = format!("a message may be at most {limit} bytes long; this one was skipped");
    let id = id.unwrap_or_else(|| json::serialize_raw(&()));
    write_error(out, &*id, &answer_error_object(codes::INVALID_REQUEST, &words, None));
}

/// Appends the answers to a batch, each a line of `answers`, as one line. Without answers it appends nothing.
pub fn write_batch(out: &mut Vec<u8>, answers: &[u8]) {
    // The separator before each answer also tells at the end whether there was any.
    let mut before = b'[';
    for answer in answers.split(|byte| *byte == b'\n').filter(|answer| !answer.is_empty()) {
        out.push(before);
        out.extend_from_slice(answer);
        before = b',';
    }
    if before == b',' {
        out.extend_from_slice(b"]\n");
    }
}

/// Appends the answer to a line that is no message. Its id is `null` if none could be read.
pub fn write_malformed_error(out: &mut Vec<u8>, malformed: &MalformedMessage) {
    let error = answer_error_object(malformed.fault.code(), &malformed.fault.to_string(), None);
    match &malformed.id {
        Some(id) => write_error(out, id, &error),
        None => {
            out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":null");
            end_with_member(out, b",\"error\":", Some(&error));
        }
    }
}

/// An error object.
#[must_use]
pub fn answer_error_object(code: i32, message: &str, data: Option<&RawValue>) -> RawJson {
    #[derive(Serialize)]
    struct ErrorObject<'a> {
        code: i32,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    json::serialize_raw(&ErrorObject { code, message, data })
}

fn begin_response(out: &mut Vec<u8>, id: &impl WriteId) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
}

fn end_with_member(out: &mut Vec<u8>, member: &[u8], value: Option<&RawValue>) {
    if let Some(value) = value {
        out.reserve(member.len() + value.get().len() + 2);
        out.extend_from_slice(member);
        write_raw(out, value);
    }
    out.extend_from_slice(b"}\n");
}

fn write_raw(out: &mut Vec<u8>, value: &RawValue) {
    append_single_line(out, value.get());
}

/// Appends JSON on one line, with blanks for its line breaks. A break would end the message here, and within
/// JSON it occurs only between tokens.
pub fn append_single_line(out: &mut Vec<u8>, json: &str) {
    let from = out.len();
    out.extend_from_slice(json.as_bytes());
    for at in memchr::memchr2_iter(b'\n', b'\r', json.as_bytes()) {
        out[from + at] = b' ';
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, MessageFault};

    fn value(text: &str) -> RawJson {
        json::parse_raw(text.to_owned()).expect("JSON")
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_message_is_one_line() {
        let id = value(r#""a""#);
        let params = value("{\n \"a\" :\r\n1.10 }");
        assert_eq!(
            written(|out| write_request(out, 7_u64, "x/\"y\"", Some(&params))),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"x/\\\"y\\\"\",\"params\":{  \"a\" :  1.10 }}\n"
        );
        assert_eq!(
            written(|out| write_request(out, &*id, "ping", None)),
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}\n"
        );
        assert_eq!(
            written(|out| write_notification(out, "n", Some(&value("{}")))),
            "{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{}}\n"
        );
        assert_eq!(
            written(|out| write_result(out, IdKey::Text("a\"".into()), &value("[1]"))),
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"\",\"result\":[1]}\n"
        );
        assert_eq!(
            written(|out| write_error(out, 1_u64, &answer_error_object(-32000, "no", Some(&value("null"))))),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":null}}\n"
        );
    }

    #[test]
    fn a_malformed_line_is_answered_with_its_id_or_null() {
        let malformed = Message::parse(br#"{"jsonrpc":"2.0","id":5,"method":1}"#).expect_err("bad method");
        assert_eq!(
            written(|out| write_malformed_error(out, &malformed)),
            "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32600,\"message\":\"`method` must be a string\"}}\n"
        );
        let malformed = MalformedMessage { fault: MessageFault::NotJson, id: None };
        assert!(
            written(|out| write_malformed_error(out, &malformed))
                .contains("\"id\":null,\"error\":{\"code\":-32700")
        );
    }
}
