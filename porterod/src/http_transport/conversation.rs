//! One conversation over Streamable HTTP: sends each message by a request of its own, and listens.

use std::collections::HashMap;
use std::sync::Arc;

use portero::server::{HttpConversation, HttpFault, OutgoingMessage};
use portero::wire::IdKey;
use reqwest::{Method, StatusCode};
use tokio::task::{AbortHandle, JoinSet};

use super::endpoint::Endpoint;
use super::event_stream::{EventStream, StreamItem, StreamPosition, is_event_stream};
use super::exchange::{ExchangeEnd, Exchanges, INITIALIZED_METHOD, NOTIFICATION_TIMEOUT, is_message_event};
use super::http_sse;

/// A conversation with one server.
pub(super) struct Conversation {
    exchanges: Arc<Exchanges>,
    running: JoinSet<ExchangeEnd>,
    /// The open requests, by their ids.
    open: HashMap<IdKey, OpenExchange>,
}

/// An open request.
struct OpenExchange {
    task: AbortHandle,
    /// Whether it is of a revision without sessions.
    is_stateless: bool,
}

impl Conversation {
    pub(super) fn new(endpoint: Endpoint, conversation: Arc<dyn HttpConversation>) -> Self {
        let exchanges = Arc::new(Exchanges::new(endpoint, conversation));
        Self { exchanges, running: JoinSet::new(), open: HashMap::new() }
    }

    /// Carries it to its end, and returns how it ended.
    pub(super) async fn carry(mut self) -> String {
        if self.exchanges.endpoint.is_sse {
            return http_sse::carry(&self.exchanges, None).await;
        }
        let exchanges = Arc::clone(&self.exchanges);
        loop {
            tokio::select! {
                messages = exchanges.conversation.next_messages() => {
                    let Some(messages) = messages else { break };
                    for message in messages {
                        self.dispatch(message).await;
                    }
                }
                Some(ended) = self.running.join_next() => {
                    if let Ok(ExchangeEnd::NotStreamable(message, fault)) = ended {
                        // Only `server/discover` may be under way, to which such a server stays silent.
                        return http_sse::carry(&exchanges, Some((*message, fault))).await;
                    }
                    self.open.retain(|_, exchange| !exchange.task.is_finished());
                }
            }
        }
        self.running.shutdown().await;
        delete_session(&exchanges).await;
        "ended its session".to_owned()
    }

    async fn dispatch(&mut self, message: OutgoingMessage) {
        let exchanges = Arc::clone(&self.exchanges);
        if let Some(cancelled) = &message.cancels {
            let cancelled = cancelled.clone();
            return self.cancel(&cancelled, message);
        }
        match message.id.clone() {
            Some(id) => {
                let is_stateless = message.revision.is_some();
                let task = self.running.spawn(exchanges.send(message));
                self.open.insert(id, OpenExchange { task, is_stateless });
            }
            None if message.method.as_deref() == Some(INITIALIZED_METHOD) => {
                let sent =
                    tokio::time::timeout(NOTIFICATION_TIMEOUT, Arc::clone(&exchanges).send(message)).await;
                if sent.is_err() {
                    exchanges
                        .conversation
                        .log_line("(portero: `notifications/initialized` was not taken in time)");
                }
                self.running.spawn(listen(exchanges));
            }
            None => {
                self.running.spawn(exchanges.send(message));
            }
        }
    }

    /// Cancels a request. A server of an earlier revision is sent the notification, because a closed stream
    /// means nothing to it; for a later one closing the stream is the cancellation.
    fn cancel(&mut self, id: &IdKey, notification: OutgoingMessage) {
        let open = self.open.remove(id).filter(|exchange| !exchange.task.is_finished());
        let Some(OpenExchange { task, is_stateless }) = open else { return };
        if is_stateless {
            return task.abort();
        }
        let exchanges = Arc::clone(&self.exchanges);
        self.running.spawn(async move {
            // The place of the cancelled request is free again, also where the server takes no notification.
            let sent = tokio::time::timeout(NOTIFICATION_TIMEOUT, exchanges.send(notification)).await;
            task.abort();
            sent.unwrap_or(ExchangeEnd::Done)
        });
    }
}

/// Listens for what the server sends unasked, until it says that it has no such stream.
async fn listen(exchanges: Arc<Exchanges>) -> ExchangeEnd {
    let mut position = StreamPosition::default();
    let mut failures = 0;
    loop {
        let opened = exchanges.get_stream(position.last_event_id.as_deref()).await;
        // Only a person changes that, and then the server is greeted anew.
        if matches!(opened, Err(HttpFault::LoginNeeded(_))) {
            return ExchangeEnd::Done;
        }
        if let Ok(response) = opened {
            let status = response.status();
            if status == StatusCode::NOT_FOUND && exchanges.session.has_id() {
                exchanges.conversation.end();
                return ExchangeEnd::Done;
            }
            // 405: there is no such stream. The other refusals will not change by asking again.
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                return ExchangeEnd::Done;
            }
            if status.is_success() && is_event_stream(&response) {
                let mut stream = EventStream::new(response, exchanges.conversation.max_message_bytes());
                while let StreamItem::Event(kind, data) = stream.next_item(&mut position).await {
                    failures = 0;
                    if is_message_event(kind.as_deref()) {
                        exchanges.conversation.wait_for_room().await;
                        exchanges.conversation.receive_message(data.as_bytes());
                    }
                }
            }
        }
        tokio::time::sleep(position.pause(failures)).await;
        failures += 1;
    }
}

/// Ends the session at the server. It may refuse that, and forgets the session later by itself.
async fn delete_session(exchanges: &Exchanges) {
    if exchanges.session.has_id() {
        let request = exchanges.session.add_headers(exchanges.endpoint.request(Method::DELETE), None);
        // The caller limits the time.
        let _ = exchanges.endpoint.send(request).await;
    }
}
