//! MCP over HTTP: `/mcp` speaks Streamable HTTP in all its revisions, and `/mcp/message` answers one message.
//!
//! A principal has authenticated before anything here runs, and the whole body was read. What a message means is decided
//! in its session alone. Here it is only checked as far as HTTP asks for it.

mod headers;
mod legacy;
mod message;
mod modern;
mod refusal;
mod responses;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use portero::wire::MessageKind;

use self::headers::{AcceptedTypes, NamedVersion};
use self::message::ClientMessages;
use self::refusal::McpRefusal;
use self::responses::{ResponseForm, empty_response};
use super::RemotePrincipal;
use crate::remote_sessions::{Caller, RemoteAgent, RemoteSessions, SessionKind, SessionStart, ToolReach};

/// The routes of MCP, for requests that carry a [`RemotePrincipal`].
pub fn mcp_routes(sessions: Arc<RemoteSessions>) -> Router {
    let endpoint = post(post_messages).get(open_stream).delete(end_session);
    Router::new().route("/mcp", endpoint).route("/mcp/message", post(post_one_message)).with_state(sessions)
}

/// Who acts, from where, and with what.
fn caller_of(principal: RemotePrincipal) -> Caller {
    let agent = RemoteAgent { name: principal.name, reach: ToolReach { tools: principal.tools } };
    Caller { agent, address: principal.address.ip().to_canonical(), validity: principal.validity }
}

/// `POST /mcp`
async fn post_messages(
    State(sessions): State<Arc<RemoteSessions>>,
    Extension(principal): Extension<RemotePrincipal>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = caller_of(principal);
    let answered = async {
        let accepts = AcceptedTypes::read(&headers)?;
        let messages = ClientMessages::read(&body)?;
        let named = NamedVersion::read(&headers)?;
        match messages.is_modern(&named) {
            true => modern::answer_post(&sessions, &caller, (&headers, &named), &messages, accepts).await,
            false => legacy::answer_post(&sessions, &caller, (&headers, &named), &messages, accepts).await,
        }
    };
    answered.await.unwrap_or_else(McpRefusal::into_response)
}

/// `GET /mcp`: the stream of what belongs to no request, or one that was interrupted (up to 2025-11-25).
async fn open_stream(
    State(sessions): State<Arc<RemoteSessions>>,
    Extension(principal): Extension<RemotePrincipal>,
    headers: HeaderMap,
) -> Response {
    legacy::answer_get(&sessions, &caller_of(principal), &headers).unwrap_or_else(McpRefusal::into_response)
}

/// `DELETE /mcp`: ends a session (up to 2025-11-25).
async fn end_session(
    State(sessions): State<Arc<RemoteSessions>>,
    Extension(principal): Extension<RemotePrincipal>,
    headers: HeaderMap,
) -> Response {
    legacy::answer_delete(&sessions, &caller_of(principal), &headers)
        .unwrap_or_else(McpRefusal::into_response)
}

/// `POST /mcp/message`: one message and its answer, without a session.
async fn post_one_message(
    State(sessions): State<Arc<RemoteSessions>>,
    Extension(principal): Extension<RemotePrincipal>,
    body: Bytes,
) -> Response {
    let caller = caller_of(principal);
    let answered = async {
        let messages = ClientMessages::read(&body)?;
        messages.refuse_batch()?;
        let [MessageKind::Request { method, .. }] = messages.kinds() else {
            return Ok(empty_response(StatusCode::ACCEPTED));
        };
        if *method == portero::wire::modern::LISTEN_METHOD {
            return Err(McpRefusal::bad_request("a stream needs /mcp; this answers one message")
                .for_request(messages.only_request_id()));
        }
        let requests = messages.request_keys();
        let revision = messages.revision();
        let start = SessionStart { kind: SessionKind::SingleRequest, revision, param_headers: None };
        let session = sessions.open_for_request(&caller, start)?;
        let stream = session.open_stream(&requests)?;
        session.send_line(messages.to_line()).await?;
        Ok(responses::respond(session, stream, ResponseForm::json()).await)
    };
    answered.await.unwrap_or_else(McpRefusal::into_response)
}
