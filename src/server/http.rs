//! Servers that are reached over HTTP: the seam to the transport.
//!
//! The daemon alone has a transport, so that no credential enters a process that an agent starts (guarantee
//! T2). What is above it (handshake, requests, lists, events) is the same as for a child process.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection::SharedConnection;
use super::http_fault::HttpFault;
use super::logs::ServerLog;
use super::pending::RequestOutcome;
use crate::call::Method;
use crate::config::HttpServer;
use crate::names::ServerName;
use crate::secret::Secret;
use crate::wire::{self, IdKey, Message, MessageKind};

/// Carries conversations with servers over HTTP.
pub trait HttpTransport: Send + Sync {
    /// Carries one conversation to its end, and returns in words how it ended: `its session ended`. It ends
    /// when [`HttpConversation::next_messages`] returns none, or when the server can't be reached any more.
    fn carry(
        &self,
        server: &HttpServer,
        conversation: Arc<dyn HttpConversation>,
    ) -> BoxFuture<'static, String>;
}

/// One conversation, as its transport sees it.
pub trait HttpConversation: Send + Sync {
    /// The server's name; none for one that isn't in the configuration.
    fn server(&self) -> Option<&ServerName>;

    /// The messages that were queued since, in order; none once the conversation is to end. Dropping the
    /// future loses nothing.
    fn next_messages(&self) -> BoxFuture<'_, Option<Vec<OutgoingMessage>>>;

    /// Takes a message of the server: one JSON text.
    fn receive_message(&self, message: &[u8]);

    /// Waits until another message of the server can be taken. The transport reads no further before.
    fn wait_for_room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Fails a request that gets no answer. One that is settled already is left alone.
    fn fail_request(&self, id: &IdKey, fault: HttpFault);

    /// Fails a request whose answer is longer than [`Self::max_message_bytes`].
    fn fail_too_long(&self, id: &IdKey);

    /// Ends it: no more messages go out, and every open request fails as one whose effect is unknown.
    fn end(&self);

    /// Notes that the server was reached, or why it could not be: `the connection was refused`. A conversation has no
    /// connection that would end, so this is how its server is seen to be gone.
    fn note_reached(&self, _reached: Result<(), String>) {}

    /// The longest message that is taken, in bytes.
    fn max_message_bytes(&self) -> usize;

    /// Writes a line to the log of this server.
    fn log_line(&self, line: &str);
}

/// The conversation of an upstream with its server.
pub(super) struct UpstreamConversation {
    connection: SharedConnection,
    log: ServerLog,
}

/// A message toward the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Its JSON, without a line break.
    pub body: Vec<u8>,
    /// Its method; none for an answer to a request of the server.
    pub method: Option<String>,
    /// Its id, for a request.
    pub id: Option<IdKey>,
    /// The `name`, or `uri`, of its params: what the header `Mcp-Name` carries.
    pub name: Option<String>,
    /// For `notifications/cancelled`, the request that is cancelled.
    pub cancels: Option<IdKey>,
    /// The revision that its `_meta` names, as messages since 2026-07-28 do.
    pub revision: Option<String>,
    /// The headers `Mcp-Param-…` of a call, which mirror arguments of it (2026-07-28).
    pub param_headers: Vec<(String, Secret)>,
}

impl UpstreamConversation {
    pub(super) const fn new(connection: SharedConnection, log: ServerLog) -> Self {
        Self { connection, log }
    }

    /// Reads a message, with the headers that its tool wants.
    fn read_message(&self, line: &[u8]) -> OutgoingMessage {
        let mut message = OutgoingMessage::read(line);
        if message.method.as_deref() == Some(Method::CallTool.as_str())
            && message.revision.is_some()
            && let Some(name) = &message.name
            && let Ok(MessageKind::Request { params, .. }) = Message::parse(line).map(Message::into_kind)
        {
            message.param_headers = self.connection.param_headers(name, params);
        }
        message
    }

    fn settle_request(&self, id: &IdKey, outcome: impl FnOnce() -> RequestOutcome) {
        // Portero's own requests have numbers only.
        if let IdKey::Number(number) = id
            && let Ok(number) = number.parse()
        {
            self.connection.rpc.pending.settle_request(number, outcome);
        }
    }
}

impl HttpConversation for UpstreamConversation {
    fn next_messages(&self) -> BoxFuture<'_, Option<Vec<OutgoingMessage>>> {
        Box::pin(async {
            let lines = self.connection.rpc.stdin_queue.take_queued().await?;
            // Each message was written as one line.
            let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            Some(lines.map(|line| self.read_message(line)).collect())
        })
    }

    fn server(&self) -> Option<&ServerName> {
        Some(&self.connection.rpc.server)
    }

    fn receive_message(&self, message: &[u8]) {
        self.connection.handle_line(message);
    }

    fn fail_request(&self, id: &IdKey, fault: HttpFault) {
        self.settle_request(id, || RequestOutcome::Fault(fault));
    }

    fn fail_too_long(&self, id: &IdKey) {
        self.settle_request(id, || RequestOutcome::TooLong);
    }

    fn end(&self) {
        self.connection.close();
    }

    fn note_reached(&self, reached: Result<(), String>) {
        self.connection.note_reached(reached.err());
    }

    fn max_message_bytes(&self) -> usize {
        self.connection.rpc.max_message_bytes
    }

    /// Concealed, to the server's own log.
    fn log_line(&self, line: &str) {
        self.log.log_line(line);
    }
}

impl Drop for UpstreamConversation {
    fn drop(&mut self) {
        self.end();
    }
}

impl OutgoingMessage {
    /// Reads the envelope of one message. Of what is no message only the body is known.
    #[must_use]
    pub fn read(line: &[u8]) -> Self {
        let mut message = Self {
            body: line.to_vec(),
            method: None,
            id: None,
            name: None,
            cancels: None,
            revision: None,
            param_headers: Vec::new(),
        };
        let Ok(parsed) = Message::parse(line) else { return message };
        match parsed.into_kind() {
            MessageKind::Request { id, method, params } => {
                message.id = IdKey::from_raw(id);
                message.name = named_target(params);
                message.revision = named_revision(params);
                message.method = Some(method.into_owned());
            }
            MessageKind::Notification { method, params } => {
                message.cancels =
                    (method == "notifications/cancelled").then(|| cancelled_id(params)).flatten();
                message.revision = named_revision(params);
                message.method = Some(method.into_owned());
            }
            MessageKind::Response { .. } => {}
        }
        message
    }
}

/// What the header `Mcp-Name` carries: the tool's or prompt's name, or the resource's URI (2026-07-28,
/// Streamable HTTP).
fn named_target(params: Option<&RawValue>) -> Option<String> {
    let params = crate::json::RawObject::read(params?).ok()?;
    params.get_text("name").or_else(|| params.get_text("uri")).map(std::borrow::Cow::into_owned)
}

fn named_revision(params: Option<&RawValue>) -> Option<String> {
    wire::modern::RequestMeta::read(params).protocol_version().map(std::borrow::Cow::into_owned)
}

fn cancelled_id(params: Option<&RawValue>) -> Option<IdKey> {
    let params = crate::json::RawObject::read(params?).ok()?;
    IdKey::from_raw(params.get("requestId")?)
}

/// A conversation over HTTP that is carried, in place of a process.
pub(super) struct CarriedConversation {
    carrying: JoinHandle<String>,
    stop: CancellationToken,
}

impl CarriedConversation {
    pub(super) fn start(carry: BoxFuture<'static, String>) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let carrying = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => "was ended".to_owned(),
                how = carry => how,
            }
        });
        Self { carrying, stop }
    }

    /// Waits for its end and describes it. Dropping the future loses nothing.
    pub(super) async fn wait_for_end(&mut self) -> String {
        (&mut self.carrying).await.unwrap_or_else(|_| "ended by a fault of Portero's".to_owned())
    }

    /// Ends it without waiting for what the server still has to be sent.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for CarriedConversation {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
