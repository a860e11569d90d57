//! One message toward the server over Streamable HTTP, and the answer to it.

use std::sync::Arc;
use std::time::Duration;

use portero::server::{HttpConversation, HttpFault, OutgoingMessage};
use portero::wire::{self, IdKey, Message, MessageKind};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;

use super::endpoint::Endpoint;
use super::event_stream::{EventStream, StreamItem, StreamPosition, is_event_stream, media_type};
use super::fault;
use super::session::ServerSession;

/// How often in a row a broken stream is asked for again before its request fails.
const MAX_RESUMPTIONS: u32 = 5;
/// How long a notification may hold back what follows it.
pub(super) const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(10);
/// The notification that ends the handshake. Servers may refuse the requests before it.
pub(super) const INITIALIZED_METHOD: &str = "notifications/initialized";
/// The header of a message's method (2026-07-28).
const METHOD: &str = "mcp-method";
/// The header of what a message is about (2026-07-28).
const NAME: &str = "mcp-name";
/// The header of a stream's position.
const LAST_EVENT_ID: &str = "last-event-id";

/// What every exchange of a conversation needs.
pub(super) struct Exchanges {
    pub(super) endpoint: Endpoint,
    pub(super) conversation: Arc<dyn HttpConversation>,
    pub(super) session: ServerSession,
    /// Limits the requests that are open at once.
    pub(super) open: Semaphore,
}

/// The outcome of one exchange.
#[derive(Debug)]
pub(super) enum ExchangeEnd {
    /// It is over; a request has its answer or its fault.
    Done,
    /// The server refused `initialize` as one that doesn't speak Streamable HTTP does. The request is still
    /// open, and has this fault if the older transport fails too.
    NotStreamable(Box<OutgoingMessage>, HttpFault),
}

impl Exchanges {
    pub(super) fn new(endpoint: Endpoint, conversation: Arc<dyn HttpConversation>) -> Self {
        let open = Semaphore::new(endpoint.max_concurrent);
        Self { endpoint, conversation, session: ServerSession::default(), open }
    }

    /// Sends a message, and hands on what comes back.
    pub(super) async fn send(self: Arc<Self>, message: OutgoingMessage) -> ExchangeEnd {
        // A listening stream stays open, so it must not use up one of the places for calls.
        let is_counted =
            message.id.is_some() && message.method.as_deref() != Some(wire::modern::LISTEN_METHOD);
        let _place = match is_counted {
            true => self.open.acquire().await.ok(),
            false => None,
        };
        let response = match self.post(&message).await {
            Ok(response) => response,
            Err(fault) => return self.fail(&message, fault),
        };
        if !response.status().is_success() {
            return self.take_refusal(message, response).await;
        }
        let Some(id) = &message.id else { return ExchangeEnd::Done };
        let is_initialize = message.method.as_deref() == Some("initialize");
        if is_initialize {
            self.session.take_id(response.headers());
        }
        if is_event_stream(&response) {
            self.read_stream(response, id, is_initialize).await;
        } else {
            self.read_body(response, id, is_initialize).await;
        }
        ExchangeEnd::Done
    }

    async fn post(&self, message: &OutgoingMessage) -> Result<Response, HttpFault> {
        let request = self.endpoint.post(message.body.clone());
        let mut request = self.session.add_headers(request, message.revision.as_deref());
        if message.revision.is_some() {
            let method = message.method.as_deref().map(|method| (METHOD, method.to_owned()));
            let name = message.name.as_deref().map(|name| (NAME, wire::modern::encode_header_value(name)));
            for (header, value) in [method, name].into_iter().flatten() {
                request = request.header(header, value);
            }
            for (header, value) in &message.param_headers {
                if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
                    value.set_sensitive(true);
                    request = request.header(header, value);
                }
            }
        }
        self.send_to_endpoint(request).await
    }

    /// Sends a request, and notes whether the server can be reached. A connection that breaks later may be this
    /// request's alone.
    async fn send_to_endpoint(&self, request: RequestBuilder) -> Result<Response, HttpFault> {
        let sent = self.endpoint.send(request).await;
        match &sent {
            Ok(_) => self.conversation.note_reached(Ok(())),
            Err(HttpFault::NotReached(why)) => self.conversation.note_reached(Err(why.clone())),
            Err(HttpFault::SessionEnded | HttpFault::LoginNeeded(_) | HttpFault::Failed(_)) => {}
        }
        sent
    }

    /// A response that is no success. Many servers explain it with a JSON-RPC error.
    async fn take_refusal(&self, message: OutgoingMessage, response: Response) -> ExchangeEnd {
        let status = response.status();
        if status == StatusCode::NOT_FOUND && self.session.has_id() && message.revision.is_none() {
            return self.take_missing_session(&message, response).await;
        }
        let fault = fault::from_status(&response, &self.endpoint);
        let Some(id) = &message.id else { return self.fail(&message, fault) };
        // A refused credential is told in Portero's own words, which name the remedy. A server that is busy, or fails,
        // doesn't tell its era by that.
        let is_answer = status != StatusCode::UNAUTHORIZED
            && (message.method.as_deref() != Some(wire::modern::DISCOVER_METHOD) || tells_era(status));
        if is_answer
            && let Some(error) = read_error_answer(response, id, self.conversation.max_message_bytes()).await
        {
            let is_in_session = self.session.has_id() && message.revision.is_none();
            if status == StatusCode::BAD_REQUEST && is_in_session && names_missing_session(&error) {
                self.conversation.fail_request(id, HttpFault::SessionEnded);
                self.conversation.end();
                return ExchangeEnd::Done;
            }
            self.conversation.receive_message(&error);
            self.conversation.fail_request(id, fault);
            return ExchangeEnd::Done;
        }
        let may_be_older = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        if may_be_older && message.method.as_deref() == Some("initialize") {
            return ExchangeEnd::NotStreamable(Box::new(message), fault);
        }
        self.fail(&message, fault)
    }

    /// A 404 to a session means that the server knows it no more and took nothing (MCP 2025-11-25, "Session
    /// Management"), so the conversation is over. A server that answers the request itself took it: then its error is
    /// the answer, and the call isn't sent again.
    async fn take_missing_session(&self, message: &OutgoingMessage, response: Response) -> ExchangeEnd {
        if let Some(id) = &message.id {
            let body =
                read_limited(response, self.conversation.max_message_bytes()).await.unwrap_or_default();
            if std::str::from_utf8(&body).is_ok_and(|body| answers(body, id)) {
                self.conversation.receive_message(&body);
                return ExchangeEnd::Done;
            }
            self.conversation.fail_request(id, HttpFault::SessionEnded);
        }
        // Ended before the caller of that request goes on, so that its next try finds no open conversation.
        self.conversation.end();
        ExchangeEnd::Done
    }

    fn fail(&self, message: &OutgoingMessage, fault: HttpFault) -> ExchangeEnd {
        match &message.id {
            Some(id) => self.conversation.fail_request(id, fault),
            None => {
                let method = message.method.as_deref().unwrap_or("an answer");
                self.conversation
                    .log_line(&format!("(portero: `{method}` was not taken: {})", fault.reason()));
            }
        }
        ExchangeEnd::Done
    }

    async fn read_body(&self, response: Response, id: &IdKey, is_initialize: bool) {
        let conversation = &self.conversation;
        if response.status() == StatusCode::ACCEPTED {
            let why = "it took the request, but will not answer it (202)";
            return conversation.fail_request(id, HttpFault::Failed(why.to_owned()));
        }
        let content = response.headers().get(CONTENT_TYPE).and_then(|content| content.to_str().ok());
        let content = content.map(|content| media_type(content).to_owned());
        match read_limited(response, conversation.max_message_bytes()).await {
            Ok(body) if Message::parse(&body).is_err() && !is_json(content.as_deref()) => {
                let what =
                    content.filter(|content| is_media_type(content)).unwrap_or("an unknown type".into());
                let why = format!("it answered with {what}, which is no MCP message; is `url` its endpoint?");
                conversation.fail_request(id, HttpFault::Failed(why));
            }
            Ok(body) => {
                if is_initialize {
                    self.session.take_version(&body);
                }
                conversation.wait_for_room().await;
                conversation.receive_message(&body);
                let why = "its response holds no answer to the request";
                conversation.fail_request(id, HttpFault::Failed(why.to_owned()));
            }
            Err(BodyFault::TooLong) => conversation.fail_too_long(id),
            Err(BodyFault::Broken) => {
                let why = "the connection broke within its answer";
                conversation.fail_request(id, HttpFault::Failed(why.to_owned()));
            }
        }
    }

    /// Reads the stream that answers a request, and resumes it where it ends too early.
    async fn read_stream(&self, response: Response, id: &IdKey, is_initialize: bool) {
        let mut position = StreamPosition::default();
        let mut stream = EventStream::new(response, self.conversation.max_message_bytes());
        let mut failures = 0;
        loop {
            match stream.next_item(&mut position).await {
                StreamItem::Event(kind, data) => {
                    failures = 0;
                    if !is_message_event(kind.as_deref()) {
                        continue;
                    }
                    let is_answer = answers(&data, id);
                    if is_answer && is_initialize {
                        self.session.take_version(data.as_bytes());
                    }
                    self.conversation.wait_for_room().await;
                    self.conversation.receive_message(data.as_bytes());
                    if is_answer {
                        return;
                    }
                }
                StreamItem::TooLong => return self.conversation.fail_too_long(id),
                StreamItem::End => match self.resume(&position, &mut failures).await {
                    Ok(resumed) => stream = resumed,
                    Err(fault) => return self.conversation.fail_request(id, fault),
                },
            }
        }
    }

    /// Opens a stream again after its last event (2025-11-25, "Resumability and Redelivery").
    async fn resume(&self, position: &StreamPosition, failures: &mut u32) -> Result<EventStream, HttpFault> {
        let Some(last) = &position.last_event_id else {
            return Err(HttpFault::Failed("its stream ended before the answer".to_owned()));
        };
        loop {
            if *failures >= MAX_RESUMPTIONS {
                let why = "its stream ended before the answer, and could not be resumed";
                return Err(HttpFault::Failed(why.to_owned()));
            }
            tokio::time::sleep(position.pause(*failures)).await;
            *failures += 1;
            if let Ok(response) = self.get_stream(Some(last)).await
                && response.status().is_success()
                && is_event_stream(&response)
            {
                return Ok(EventStream::new(response, self.conversation.max_message_bytes()));
            }
        }
    }

    /// A GET of the server's own stream, from a position on.
    pub(super) async fn get_stream(&self, last_event_id: Option<&str>) -> Result<Response, HttpFault> {
        let request = self.session.add_headers(self.endpoint.get_stream(), None);
        // An id may hold any text (HTML standard, 9.2.4); as a header it is sent in UTF-8.
        let request = last_event_id
            .into_iter()
            .fold(request, |request, id| request.header(LAST_EVENT_ID, id.as_bytes()));
        self.send_to_endpoint(request).await
    }
}

/// Whether an event carries a message. Some servers leave its type out.
pub(super) fn is_message_event(kind: Option<&str>) -> bool {
    matches!(kind, None | Some("" | "message"))
}

fn is_json(content: Option<&str>) -> bool {
    content.is_some_and(|content| content.eq_ignore_ascii_case("application/json"))
}

/// Whether a server's text is a plain media type, which may be shown.
fn is_media_type(content: &str) -> bool {
    content.len() <= 60 && content.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte))
}

/// Whether an error with this status says which requests the server knows.
fn tells_era(status: StatusCode) -> bool {
    status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error()
}

/// Whether a message is the response to this request.
fn answers(message: &str, id: &IdKey) -> bool {
    let parsed = Message::parse(message.as_bytes()).map(Message::into_kind);
    matches!(parsed, Ok(MessageKind::Response { id: found, .. }) if wire::is_same_id(found, id))
}

/// Whether an error is that of a server that looked for the session before anything else and found none. Servers on
/// the TypeScript SDK's examples answer with it and 400 in the place of the specified 404.
fn names_missing_session(error: &[u8]) -> bool {
    const WORDS: &[u8] = b"No valid session ID";
    error.windows(WORDS.len()).any(|part| part == WORDS)
}

/// The JSON-RPC error of a response, made the answer to this request. Its own id may be `null`.
async fn read_error_answer(response: Response, id: &IdKey, max_bytes: usize) -> Option<Vec<u8>> {
    let body = read_limited(response, max_bytes).await.ok()?;
    let body: &serde_json::value::RawValue = serde_json::from_slice(&body).ok()?;
    let error = portero::json::RawObject::read(body).ok()?.get("error")?;
    // An OAuth error is a text; that of JSON-RPC is an object.
    portero::json::RawObject::read(error).ok()?.get("code")?;
    let mut answer = Vec::with_capacity(body.get().len());
    wire::write_error(&mut answer, id, error);
    Some(answer)
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFault {
    TooLong,
    Broken,
}

async fn read_limited(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, BodyFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| BodyFault::Broken)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(BodyFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
