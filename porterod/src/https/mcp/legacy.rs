//! 2025-03-26 to 2025-11-25: sessions, a stream of their own, and streams that can be taken up again.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use portero::wire::codes;

use super::headers::{AcceptedTypes, NamedVersion, SESSION_ID, single_value};
use super::message::ClientMessages;
use super::refusal::McpRefusal;
use super::responses::{EventId, ResponseForm, empty_response, respond, stream_response};
use crate::remote_sessions::{Caller, Conversation, RemoteSessions};

/// The last event that a client got (HTML Living Standard, "Server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";
/// The request that begins a session.
const INITIALIZE: &str = "initialize";

/// Answers a POST: of a session, or the `initialize` that begins one.
pub(super) async fn answer_post(
    sessions: &RemoteSessions,
    caller: &Caller,
    (headers, named): (&HeaderMap, &NamedVersion),
    messages: &ClientMessages<'_>,
    accepts: AcceptedTypes,
) -> Result<Response, McpRefusal> {
    // `initialize` negotiates its revision, whatever the header says.
    if !messages.is_request(INITIALIZE) {
        named.refuse_unknown().map_err(|refusal| refusal.for_request(messages.only_request_id()))?;
    }
    match single_value(headers, SESSION_ID)? {
        None if messages.is_request(INITIALIZE) => begin_session(sessions, caller, messages, accepts).await,
        None => {
            let message =
                "the header Mcp-Session-Id is missing; `initialize` begins a session and returns its id";
            Err(McpRefusal::bad_request(message).for_request(messages.only_request_id()))
        }
        Some(id) => {
            let session = sessions.find_session(caller, id);
            let session = session
                // Without the request's id: a client that reads an answer to its request there would not begin anew.
                .ok_or_else(McpRefusal::unknown_session)?;
            pass_on(session, messages, accepts).await
        }
    }
}

async fn begin_session(
    sessions: &RemoteSessions,
    caller: &Caller,
    messages: &ClientMessages<'_>,
    accepts: AcceptedTypes,
) -> Result<Response, McpRefusal> {
    let (id, session) = sessions.open_session(caller, messages.revision())?;
    let mut response = pass_on(session, messages, accepts).await?;
    let id = HeaderValue::from_str(&id).map_err(|_| McpRefusal::unknown_session())?;
    response.headers_mut().insert(SESSION_ID, id);
    Ok(response)
}

/// Passes messages to their session, and sends what comes of them. A client that goes away in between doesn't cancel its
/// requests (2025-11-25, Streamable HTTP, "Sending Messages to the Server").
async fn pass_on(
    session: Arc<Conversation>,
    messages: &ClientMessages<'_>,
    accepts: AcceptedTypes,
) -> Result<Response, McpRefusal> {
    let revision = session.revision();
    if !revision.has_batches() {
        messages.refuse_batch()?;
    } else if messages.kinds().len() > 1 && messages.has_request(INITIALIZE) {
        let message = "`initialize` must not be part of a batch";
        return Err(McpRefusal::new(StatusCode::BAD_REQUEST, codes::INVALID_REQUEST, message));
    }
    messages.refuse_damaged_batch()?;
    let requests = messages.request_keys();
    let opened = (!requests.is_empty()).then(|| session.open_stream(&requests)).transpose();
    let stream = opened.map_err(|reason| McpRefusal::from(reason).for_request(messages.only_request_id()))?;
    session.send_line(messages.to_line()).await?;
    for id in messages.cancelled_requests() {
        session.cancel_request(&id);
    }
    match stream {
        Some(stream) => Ok(respond(session, stream, ResponseForm::legacy(accepts, revision)).await),
        None => {
            // Counts as a use of the session.
            drop(session.begin_response());
            Ok(empty_response(StatusCode::ACCEPTED))
        }
    }
}

/// Answers a GET: the session's own stream, or the stream that the client lost.
pub(super) fn answer_get(
    sessions: &RemoteSessions,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Response, McpRefusal> {
    let session = session_of(sessions, caller, headers)?;
    if !AcceptedTypes::read(headers)?.events {
        let message = "Accept must list text/event-stream";
        return Err(McpRefusal::new(StatusCode::NOT_ACCEPTABLE, codes::INVALID_REQUEST, message));
    }
    let reader = match single_value(headers, LAST_EVENT_ID)? {
        None => session.read_own_stream(),
        Some(last) => {
            let reader =
                last.parse::<EventId>().ok().and_then(|last| session.resume_stream(last.stream, last.event));
            reader.ok_or_else(|| {
                McpRefusal::bad_request("the stream of Last-Event-ID is unknown or no longer kept")
            })?
        }
    };
    let form = ResponseForm::legacy(AcceptedTypes { json: false, events: true }, session.revision());
    Ok(stream_response(&session, reader, form))
}

/// Answers a DELETE: the session ends.
pub(super) fn answer_delete(
    sessions: &RemoteSessions,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Response, McpRefusal> {
    session_of(sessions, caller, headers)?;
    if let Some(id) = single_value(headers, SESSION_ID)? {
        sessions.end_session(caller, id);
    }
    Ok(empty_response(StatusCode::NO_CONTENT))
}

fn session_of(
    sessions: &RemoteSessions,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Arc<Conversation>, McpRefusal> {
    let named = NamedVersion::read(headers)?;
    if named.is_modern() {
        return Err(McpRefusal::method_not_allowed());
    }
    named.refuse_unknown()?;
    let id = single_value(headers, SESSION_ID)?;
    let id = id.ok_or_else(|| McpRefusal::bad_request("the header Mcp-Session-Id is missing"))?;
    sessions.find_session(caller, id).ok_or_else(McpRefusal::unknown_session)
}
