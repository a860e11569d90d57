//! The session of an agent while the real one can't begin, because the configuration is invalid or the audit
//! can't be written. It answers the handshake, lists Portero's own tools, and refuses each call with the
//! reason. Once the problem is solved, the real session continues with the same client.

use std::io;

use portero::json::{RawJson, RawObject, serialize_raw};
use portero::session::{self, PriorHandshake, Stdin, Stdout};
use portero::wire::{
    self, IdKey, LineError, LineReader, MalformedMessage, Message, MessageFault, MessageKind, Revision,
    codes, modern,
};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::startup::{SessionSetup, SessionStarter};
use crate::signals;

/// The longest message before the configuration states a limit.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// How many `subscriptions/listen` requests are kept for the real session.
const MAX_LISTENERS: usize = 64;

/// The state with which the real session continues.
pub(super) struct SessionHandover {
    pub(super) ready: SessionSetup,
    pub(super) resumed: PriorHandshake,
    /// Repeats the messages that the real session needs, then continues with the client's next ones.
    pub(super) reader: Stdin,
}

/// The client's messages that the real session must know.
#[derive(Default)]
struct FallbackSession {
    resumed: PriorHandshake,
    /// The open `subscriptions/listen` requests with their ids.
    listeners: Vec<(IdKey, Vec<u8>)>,
}

/// Answers until the real session can begin; none if the client left before.
pub(super) async fn serve_until_ready(
    reader: Stdin,
    writer: &mut Stdout,
    beginning: &mut SessionStarter,
    why: String,
) -> io::Result<Option<SessionHandover>> {
    let (mut lines, mut heard) = (LineReader::new(reader, MAX_MESSAGE_BYTES), FallbackSession::default());
    let (tell, why) = watch::channel(why);
    // One future for the whole loop: a new one in each round would start another attempt and read the files
    // again.
    let mut ready = std::pin::pin!(beginning.wait_until_ready(&tell));
    let mut end = std::pin::pin!(signals::wait_for_termination());
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let mut out = Vec::new();
                match line {
                    Ok(Some(line)) => heard.handle_line(line, &why.borrow(), &mut out),
                    Ok(None) => return Ok(None),
                    Err(LineError::TooLong { limit, head, tail }) => {
                        wire::write_too_long_error(&mut out, limit, wire::salvage_overlong_id(&head, &tail));
                    }
                    Err(LineError::Read(error)) => return Err(error),
                }
                writer.write_all(&out).await?;
                writer.flush().await?;
            }
            ready = &mut ready => {
                // Bytes that were read but belong to no complete line must not get lost, so they come before
                // the rest of the stream.
                let (rest, unread) = lines.into_parts();
                let again: Vec<u8> = heard.listeners.into_iter().flat_map(|(_, whole)| whole).chain(unread).collect();
                let reader = Box::pin(io::Cursor::new(again).chain(rest));
                return Ok(Some(SessionHandover { ready, resumed: heard.resumed, reader }));
            }
            () = &mut end => return Ok(None),
        }
    }
}

impl FallbackSession {
    /// Handles one line of the client, and writes the answer if one is due.
    fn handle_line(&mut self, line: &[u8], why: &str, out: &mut Vec<u8>) {
        match Message::parse(line) {
            Ok(message) => self.handle_message(message.into_kind(), line, why, out),
            Err(malformed @ MalformedMessage { fault: MessageFault::Batch, .. })
                if self.accepts_batches() =>
            {
                let Some(messages) = wire::parse_batch(line) else {
                    return wire::write_malformed_error(out, &malformed);
                };
                let mut answers = Vec::new();
                for whole in messages {
                    match Message::from_value(whole) {
                        Ok(message) => {
                            self.handle_message(
                                message.into_kind(),
                                whole.get().as_bytes(),
                                why,
                                &mut answers,
                            );
                        }
                        Err(malformed) => wire::write_malformed_error(&mut answers, &malformed),
                    }
                }
                wire::write_batch(out, &answers);
            }
            Err(malformed) => wire::write_malformed_error(out, &malformed),
        }
    }

    fn accepts_batches(&self) -> bool {
        self.resumed.revision.is_none_or(Revision::has_batches)
    }

    /// Handles one message; `whole` is its text.
    fn handle_message(&mut self, kind: MessageKind<'_>, whole: &[u8], why: &str, out: &mut Vec<u8>) {
        match kind {
            MessageKind::Request { id, method, params } => {
                // A listen request gets no answer before its end, so it is kept and handed to the real
                // session.
                if method == modern::LISTEN_METHOD
                    && self.listeners.len() < MAX_LISTENERS
                    && let Some(key) = IdKey::from_raw(id)
                {
                    return self.listeners.push((key, [whole, b"\n"].concat()));
                }
                match self.answer_request(&method, params, why) {
                    Ok(result) => wire::write_result(out, id, &result),
                    Err(error) => wire::write_error(out, id, &error),
                }
            }
            MessageKind::Notification { method, params } if method == "notifications/cancelled" => {
                let params = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
                if let Some(cancelled) = params.get("requestId").and_then(IdKey::from_raw) {
                    self.listeners.retain(|(id, _)| *id != cancelled);
                }
            }
            MessageKind::Notification { .. } | MessageKind::Response { .. } => {}
        }
    }

    fn answer_request(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        why: &str,
    ) -> Result<RawJson, RawJson> {
        let info = json!({"name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION")});
        let is_modern = modern::RequestMeta::read(params).protocol_version().is_some();
        let list = |result: RawJson| Ok(if is_modern { modern::mark_list_result(result) } else { result });
        let one = |result: RawJson| Ok(if is_modern { modern::mark_complete(result) } else { result });
        match method {
            "initialize" => {
                let params = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
                let revision = Revision::negotiate(&params.get_text("protocolVersion").unwrap_or_default());
                let client = params.get("clientInfo").and_then(|client| RawObject::read(client).ok());
                let said = |key: &str| Some(client.as_ref()?.get_text(key)?.into_owned());
                self.resumed.revision = Some(revision);
                self.resumed.client = said("name").map(|name| (name, said("version").unwrap_or_default()));
                Ok(serialize_raw(&json!({
                    "protocolVersion": revision.as_str(),
                    "capabilities": session::capabilities(),
                    "serverInfo": info,
                    "instructions": why,
                })))
            }
            modern::DISCOVER_METHOD => {
                Ok(modern::discover_result(&serialize_raw(&info), &session::capabilities(), Some(why)))
            }
            "ping" => one(serialize_raw(&json!({}))),
            "logging/setLevel" if !is_modern => {
                let params = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
                let level = params.get_text("level").and_then(|level| level.parse().ok());
                let unknown =
                    || wire::answer_error_object(codes::INVALID_PARAMS, session::UNKNOWN_LEVEL_MESSAGE, None);
                self.resumed.log_level = Some(level.ok_or_else(unknown)?);
                Ok(serialize_raw(&json!({})))
            }
            "tools/list" => list(session::builtin_list_result()),
            "resources/list" => list(serialize_raw(&json!({"resources": []}))),
            "resources/templates/list" => list(serialize_raw(&json!({"resourceTemplates": []}))),
            "prompts/list" => list(serialize_raw(&json!({"prompts": []}))),
            "tools/call" => {
                one(serialize_raw(&json!({"content": [{"type": "text", "text": why}], "isError": true})))
            }
            _ => Err(wire::answer_error_object(codes::INTERNAL_ERROR, why, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_lines(lines: &[&str]) -> Vec<serde_json::Value> {
        let (mut heard, mut out) = (FallbackSession::default(), Vec::new());
        for line in lines {
            heard.handle_line(line.as_bytes(), "mcps.json:3: wrong; run `portero check`", &mut out);
        }
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_the_client_said_is_kept_for_the_real_session() {
        let mut heard = FallbackSession::default();
        let mut said = Vec::new();
        for line in [
            r#"[{"jsonrpc":"2.0","id":0,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},3]"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"error"}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"loud"}}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"subscriptions/listen","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":4,"method":"subscriptions/listen","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#,
        ] {
            heard.handle_line(line.as_bytes(), "wrong", &mut said);
        }
        let answers = String::from_utf8(said).unwrap();
        let answers: Vec<serde_json::Value> =
            answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers[0].as_array().unwrap().len(), 2, "one line answers a batch: {answers:?}");
        assert_eq!(answers[0][0]["result"], json!({}));
        assert_eq!(answers[1]["result"], json!({}));
        assert_eq!(answers[2]["error"]["code"], codes::INVALID_PARAMS);
        assert_eq!(answers.len(), 3);
        assert_eq!(heard.resumed.log_level.map(portero::server::LogLevel::as_str), Some("error"));
        let listeners: Vec<u8> = heard.listeners.into_iter().flat_map(|(_, whole)| whole).collect();
        assert_eq!(
            String::from_utf8(listeners).unwrap(),
            "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"subscriptions/listen\",\"params\":{}}\n"
        );
    }

    #[test]
    fn the_handshake_says_what_is_wrong_and_every_call_is_refused_with_it() {
        let answers = answer_lines(&[
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"x:"}}"#,
        ]);
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
        assert!(answers[1]["result"]["tools"][0]["name"].as_str().unwrap().starts_with("portero__"));
        assert_eq!(answers[2]["result"]["isError"], true);
        for said in [
            &answers[0]["result"]["instructions"],
            &answers[2]["result"]["content"][0]["text"],
            &answers[3]["error"]["message"],
        ] {
            assert!(said.as_str().unwrap().contains("mcps.json:3"), "{said}");
        }
    }
}
