//! 2026-07-28: every request stands alone, and its response carries all that belongs to it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use portero::json::{self, RawObject};
use portero::wire::modern::{self, LISTEN_METHOD, RequestMeta, decode_header_value};
use portero::wire::{MessageKind, codes};

use super::headers::{AcceptedTypes, NamedVersion, single_value};
use super::message::ClientMessages;
use super::refusal::McpRefusal;
use super::responses::{ResponseForm, empty_response, respond};
use crate::remote_sessions::{Caller, RemoteSessions, SessionKind, SessionStart};

/// The body's method.
const METHOD: &str = "mcp-method";
/// What the body's method is about.
const NAME: &str = "mcp-name";
/// How the headers begin that repeat arguments of a call.
const PARAM_PREFIX: &str = "mcp-param-";

/// Answers a POST. The session lives as long as the response: a client that closes it cancels its request
/// (2026-07-28, Streamable HTTP, "Cancellation").
pub(super) async fn answer_post(
    sessions: &RemoteSessions,
    caller: &Caller,
    (headers, named): (&HeaderMap, &NamedVersion),
    messages: &ClientMessages<'_>,
    accepts: AcceptedTypes,
) -> Result<Response, McpRefusal> {
    messages.refuse_batch()?;
    if messages.request_keys().is_empty() {
        // A notification changes nothing here, because no session outlives its request.
        return Ok(empty_response(StatusCode::ACCEPTED));
    }
    check_headers(headers, named, messages)
        .map_err(|refusal| refusal.for_request(messages.only_request_id()))?;
    let is_listening = messages.is_request(LISTEN_METHOD);
    if is_listening && !accepts.events {
        let message = "subscriptions/listen needs text/event-stream in Accept";
        let code = codes::INVALID_REQUEST;
        return Err(McpRefusal::new(StatusCode::NOT_ACCEPTABLE, code, message)
            .for_request(messages.only_request_id()));
    }
    let kind = if is_listening { SessionKind::Listening } else { SessionKind::SingleRequest };
    let param_headers = param_headers(headers)
        .map(Some)
        .map_err(|refusal| refusal.for_request(messages.only_request_id()))?;
    let start = SessionStart { kind, revision: messages.revision(), param_headers };
    let session = sessions.open_for_request(caller, start)?;
    let stream = session.open_stream(&messages.request_keys())?;
    session.send_line(messages.to_line()).await?;
    Ok(respond(Arc::clone(&session), stream, ResponseForm::modern(accepts)).await)
}

/// The headers that repeat arguments of a call. Its session knows which ones the tool asks for.
fn param_headers(headers: &HeaderMap) -> Result<HashMap<String, String>, McpRefusal> {
    let names = headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with(PARAM_PREFIX));
    let read =
        |name: &str| Ok((name.to_owned(), single_value(headers, name)?.unwrap_or_default().to_owned()));
    names.map(read).collect()
}

/// Checks that the headers of a request say what its body says (2026-07-28, Streamable HTTP, "Server
/// Validation"). A proxy may have decided by them.
fn check_headers(
    headers: &HeaderMap,
    named: &NamedVersion,
    messages: &ClientMessages<'_>,
) -> Result<(), McpRefusal> {
    let [MessageKind::Request { method, params, .. }] = messages.kinds() else { return Ok(()) };
    let meta = RequestMeta::read(*params);
    match (named.as_text(), meta.protocol_version().as_deref()) {
        (None, _) => return Err(McpRefusal::header_mismatch("the header MCP-Protocol-Version is missing")),
        (Some(header), Some(body)) if header != body => {
            let message = "MCP-Protocol-Version does not match the revision in `_meta`";
            return Err(McpRefusal::header_mismatch(message));
        }
        (Some(_), _) => {}
    }
    // The session answers an unknown revision, which may have other keys.
    if let (NamedVersion::Known(_), Some(key)) = (named, meta.missing_key()) {
        return Err(McpRefusal::of_error(StatusCode::BAD_REQUEST, modern::missing_key_error(key)));
    }
    match single_value(headers, METHOD)? {
        None => return Err(McpRefusal::header_mismatch("the header Mcp-Method is missing")),
        Some(header) if header != method => {
            return Err(McpRefusal::header_mismatch("Mcp-Method does not match the method in the body"));
        }
        Some(_) => {}
    }
    let subject = match method.as_ref() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    let params = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
    let Some(in_body) = params.get(subject).and_then(json::as_text) else { return Ok(()) };
    let header = single_value(headers, NAME)?
        .ok_or_else(|| McpRefusal::header_mismatch("the header Mcp-Name is missing"))?;
    match decode_header_value(header) {
        Some(header) if header == in_body => Ok(()),
        Some(_) => {
            let message = format!("Mcp-Name does not match `{subject}` in the body");
            Err(McpRefusal::header_mismatch(&message))
        }
        None => Err(McpRefusal::header_mismatch("Mcp-Name is marked as base64 and is none")),
    }
}
