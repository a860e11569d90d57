//! The HTTP with SSE of 2024-11-05: one stream from the server, which names the address that takes messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portero::server::{HttpFault, OutgoingMessage};
use portero::wire::{self, IdKey, Message, MessageKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::event_stream::{EventStream, StreamItem, StreamPosition, is_event_stream};
use super::exchange::{Exchanges, INITIALIZED_METHOD, NOTIFICATION_TIMEOUT, is_message_event};
use super::fault;

/// How long the server may take to name the address.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(10);

/// Carries a conversation to its end, and returns how it ended. `refused` is the request with which Streamable
/// HTTP was tried, and its fault there.
pub(super) async fn carry(
    exchanges: &Arc<Exchanges>,
    refused: Option<(OutgoingMessage, HttpFault)>,
) -> String {
    let conversation = &exchanges.conversation;
    let opened = match tokio::time::timeout(ENDPOINT_TIMEOUT, open_stream(exchanges)).await {
        Ok(opened) => opened,
        Err(_) => Err(HttpFault::NotReached("it names no address for messages".to_owned())),
    };
    let (mut stream, messages_at) = match (opened, refused.as_ref()) {
        (Ok(opened), _) => opened,
        // What Streamable HTTP met says more: most servers speak only that.
        (Err(_), Some((message, fault))) => {
            if let Some(id) = &message.id {
                conversation.fail_request(id, fault.clone());
            }
            return fault.reason().to_owned();
        }
        (Err(fault), None) => return fault.reason().to_owned(),
    };
    let mut position = StreamPosition::default();
    let mut sending = MessageSender {
        exchanges: Arc::clone(exchanges),
        messages_at,
        running: JoinSet::new(),
        open: HashMap::new(),
    };
    if let Some((message, _)) = refused {
        sending.send(message).await;
    }
    loop {
        tokio::select! {
            messages = conversation.next_messages() => {
                let Some(messages) = messages else { return "ended its session".to_owned() };
                for message in messages {
                    sending.send(message).await;
                }
            }
            item = stream.next_item(&mut position) => match item {
                StreamItem::Event(kind, data) => {
                    if is_message_event(kind.as_deref()) {
                        conversation.wait_for_room().await;
                        conversation.receive_message(data.as_bytes());
                        sending.settle_answered(&data);
                    }
                }
                StreamItem::TooLong => return "sent an event that is too long".to_owned(),
                StreamItem::End => return "closed its stream".to_owned(),
            },
            Some(ended) = sending.running.join_next() => sending.settle(ended.ok().flatten().as_ref()),
        }
    }
}

/// Sends messages to the address that the server named, no more requests at once than it may have open.
struct MessageSender {
    exchanges: Arc<Exchanges>,
    messages_at: Endpoint,
    /// Each returns the id of the request that it sent.
    running: JoinSet<Option<IdKey>>,
    /// The requests without an answer, by their ids. Each is cancelled when its place is free again.
    open: HashMap<IdKey, CancellationToken>,
}

impl MessageSender {
    async fn send(&mut self, message: OutgoingMessage) {
        self.settle(message.cancels.as_ref());
        let (exchanges, messages_at) = (Arc::clone(&self.exchanges), self.messages_at.clone());
        if let Some(id) = message.id.clone() {
            let settled = CancellationToken::new();
            self.open.insert(id.clone(), settled.clone());
            self.running.spawn(async move {
                post_request(exchanges, messages_at, message, settled).await;
                Some(id)
            });
            return;
        }
        let is_initialized = message.method.as_deref() == Some(INITIALIZED_METHOD);
        let sent = post(exchanges, messages_at, message);
        if is_initialized {
            // Servers may refuse the requests before it.
            let _ = tokio::time::timeout(NOTIFICATION_TIMEOUT, sent).await;
        } else {
            self.running.spawn(async move {
                sent.await;
                None
            });
        }
    }

    /// Frees the place of the request that a message answers. Some servers spell its id otherwise, as `"1"` or `1.0`.
    fn settle_answered(&mut self, message: &str) {
        let parsed = Message::parse(message.as_bytes()).map(Message::into_kind);
        let Ok(MessageKind::Response { id: found, .. }) = parsed else { return };
        let answered = self.open.keys().find(|id| wire::is_same_id(found, id)).cloned();
        self.settle(answered.as_ref());
    }

    /// Frees the place of a request that has its answer, or was given up.
    fn settle(&mut self, id: Option<&IdKey>) {
        if let Some(settled) = id.and_then(|id| self.open.remove(id)) {
            settled.cancel();
        }
    }
}

/// Sends a request once there is a place for it, and keeps the place until its answer came by the stream.
async fn post_request(
    exchanges: Arc<Exchanges>,
    messages_at: Endpoint,
    message: OutgoingMessage,
    settled: CancellationToken,
) {
    let answered = async {
        let Ok(_place) = exchanges.open.acquire().await else { return };
        if post(Arc::clone(&exchanges), messages_at, message).await {
            settled.cancelled().await;
        }
    };
    tokio::select! {
        () = answered => {}
        () = settled.cancelled() => {}
    }
}

/// Opens the stream, and reads where messages go.
async fn open_stream(exchanges: &Exchanges) -> Result<(EventStream, Endpoint), HttpFault> {
    let response = exchanges.get_stream(None).await?;
    if !response.status().is_success() {
        return Err(fault::from_status(&response, &exchanges.endpoint));
    }
    let no_stream = || HttpFault::NotReached("it opens no stream of events".to_owned());
    if !is_event_stream(&response) {
        return Err(no_stream());
    }
    let mut stream = EventStream::new(response, exchanges.conversation.max_message_bytes());
    let mut position = StreamPosition::default();
    loop {
        match stream.next_item(&mut position).await {
            StreamItem::Event(Some(kind), address) if kind == "endpoint" => {
                // Another origin would get the credentials of this one.
                let foreign =
                    || HttpFault::NotReached("it names an address of another host for messages".to_owned());
                return Ok((stream, exchanges.endpoint.at(address.trim()).ok_or_else(foreign)?));
            }
            StreamItem::Event(..) => {}
            StreamItem::TooLong | StreamItem::End => return Err(no_stream()),
        }
    }
}

/// Sends a message, and returns whether the server took it. The answer comes by the stream.
async fn post(exchanges: Arc<Exchanges>, messages_at: Endpoint, message: OutgoingMessage) -> bool {
    let fault = match messages_at.send(messages_at.post(message.body)).await {
        Ok(response) if response.status().is_success() => return true,
        Ok(response) => fault::from_status(&response, &messages_at),
        Err(fault) => fault,
    };
    if let Some(id) = &message.id {
        exchanges.conversation.fail_request(id, fault);
    }
    false
}
