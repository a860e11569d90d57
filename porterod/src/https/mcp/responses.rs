//! What a client gets: one JSON answer where that is all, otherwise a stream of events.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use portero::json::RawObject;
use portero::wire::{Message, MessageKind, Revision, codes};

use super::headers::AcceptedTypes;
use crate::remote_sessions::{Conversation, EventStream, OpenResponse, StreamEvent, StreamReader};

/// How long a response waits before it becomes a stream, so that proxies see that it lives.
const PLAIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent stream shows that it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A comment (HTML Living Standard, "Server-sent events"), which clients ignore.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// Asks proxies to pass events on at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How messages are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResponseForm {
    accepts: AcceptedTypes,
    /// Whether events have ids, so that the stream can be taken up again.
    has_ids: bool,
    /// Whether a stream begins with an id without a message, from which it can be taken up at once.
    is_primed: bool,
    /// Whether some errors have a status of their own.
    has_error_status: bool,
}

impl ResponseForm {
    /// One JSON answer.
    pub(super) const fn json() -> Self {
        let accepts = AcceptedTypes { json: true, events: false };
        Self { accepts, has_ids: false, is_primed: false, has_error_status: false }
    }

    /// 2026-07-28, where no stream is taken up again.
    pub(super) const fn modern(accepts: AcceptedTypes) -> Self {
        Self { accepts, has_ids: false, is_primed: false, has_error_status: true }
    }

    /// The earlier revisions. 2025-11-25 begins each stream with an event without data ("Sending Messages to the
    /// Server"), which clients of earlier ones would take for a message.
    pub(super) fn legacy(accepts: AcceptedTypes, revision: Revision) -> Self {
        Self { accepts, has_ids: true, is_primed: revision >= Revision::V2025_11_25, has_error_status: false }
    }
}

/// The id of an event: its stream, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) stream: u64,
    pub(super) event: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.event)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stream, event) = text.split_once('-').ok_or(())?;
        Ok(Self { stream: stream.parse().map_err(|_| ())?, event: event.parse().map_err(|_| ())? })
    }
}

pub(super) fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sends what comes on a stream: one JSON answer if that is all and comes soon.
pub(super) async fn respond(
    session: Arc<Conversation>,
    stream: Arc<EventStream>,
    form: ResponseForm,
) -> Response {
    let is_single = match form.accepts.events {
        false => true,
        true if form.accepts.json => {
            let open = session.begin_response();
            let first = tokio::time::timeout(PLAIN_ANSWER_TIMEOUT, stream.wait_for_first()).await;
            drop(open);
            first.unwrap_or(false)
        }
        true => false,
    };
    if !is_single {
        let reader = stream.read_after(Some(0));
        return stream_response(&session, reader, form);
    }
    let open = session.begin_response();
    let answers = stream.wait_for_answers().await;
    session.forget_stream(&stream);
    drop(open);
    match answers.first() {
        Some(answer) => json_answer(answer, form),
        // The client cancelled its request.
        None => empty_response(StatusCode::ACCEPTED),
    }
}

fn json_answer(answer: &[u8], form: ResponseForm) -> Response {
    let mut response = Response::new(Body::from(answer.to_vec()));
    if form.has_error_status {
        *response.status_mut() = status_of(answer);
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The status of an answer in 2026-07-28 (Streamable HTTP, "Sending Messages to the Server").
fn status_of(answer: &[u8]) -> StatusCode {
    let Ok(MessageKind::Response { outcome: Err(error), .. }) =
        Message::parse(answer).map(Message::into_kind)
    else {
        return StatusCode::OK;
    };
    let error = RawObject::read(error).unwrap_or_default();
    match error.get("code").and_then(|code| code.get().parse().ok()) {
        Some(
            codes::HEADER_MISMATCH | codes::MISSING_CLIENT_CAPABILITY | codes::UNSUPPORTED_PROTOCOL_VERSION,
        ) => StatusCode::BAD_REQUEST,
        Some(codes::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(_) | None => StatusCode::OK,
    }
}

/// What a streamed response holds until it ends.
struct StreamedResponse {
    reader: StreamReader,
    form: ResponseForm,
    begins: bool,
    /// Keeps the session: one for a single request ends with its response.
    _open: OpenResponse,
}

/// Sends the events of a stream as they come.
pub(super) fn stream_response(
    session: &Arc<Conversation>,
    reader: StreamReader,
    form: ResponseForm,
) -> Response {
    let state = StreamedResponse { reader, form, begins: true, _open: session.begin_response() };
    let events = stream::unfold(state, async |mut state| {
        let piece = state.next_piece().await?;
        Some((Ok::<_, Infallible>(piece), state))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

impl StreamedResponse {
    /// The next bytes; `None` at the end.
    async fn next_piece(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.begins) && self.form.is_primed {
            let id = EventId { stream: self.reader.stream_number(), event: self.reader.position() };
            return Some(Bytes::from(format!("id: {id}\ndata: \n\n")));
        }
        match tokio::time::timeout(KEEP_ALIVE_INTERVAL, self.reader.next_event()).await {
            Ok(event) => event.map(|event| self.write_event(&event)),
            Err(_) => Some(Bytes::from_static(KEEP_ALIVE)),
        }
    }

    fn write_event(&self, event: &StreamEvent) -> Bytes {
        let mut piece = Vec::with_capacity(event.message.len() + 48);
        if self.form.has_ids {
            let id = EventId { stream: self.reader.stream_number(), event: event.number };
            piece.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        piece.extend_from_slice(b"event: message\ndata: ");
        piece.extend_from_slice(&event.message);
        piece.extend_from_slice(b"\n\n");
        Bytes::from(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back() {
        let id = EventId { stream: 7, event: 12 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "7", "-", "7-", "-1", "a-b", "7-1-2"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn errors_of_the_protocol_have_a_status() {
        for (answer, status) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 200),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#, 404),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"x"}}"#, 400),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}"#, 200),
        ] {
            assert_eq!(status_of(answer.as_bytes()).as_u16(), status, "{answer}");
        }
    }
}
