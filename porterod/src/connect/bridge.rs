//! The state between a client on stdio and the conversation over HTTP.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use portero::names::ServerName;
use portero::printable::escape_controls;
use portero::server::{HttpConversation, HttpFault, OutgoingMessage};
use portero::sync::lock;
use portero::wire::{self, IdKey, LineError, LineReader, Message, MessageKind, codes};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::output::Output;

/// The error code for a request that the server didn't answer (MCP 2026-07-28, "Error Codes": −32000 to −32019
/// are free for implementations).
const UNANSWERED: i32 = -32000;
/// How many requests may be open at once.
const MAX_OPEN_REQUESTS: usize = 1024;
/// How many bytes the open requests, and what waits to be sent, may hold together.
const MAX_HELD_BYTES: usize = 64 << 20;
/// The notification that ends the handshake.
const INITIALIZED_METHOD: &str = "notifications/initialized";
/// The id under which a session is begun anew, beside the ids of the client.
const GREETING_ID: &str = "portero-connect-initialize";

/// Both directions of one client's conversation.
pub(super) struct Bridge {
    /// Scheme, host and port of the server. The rest of its address may hold a key.
    origin: String,
    has_credential: bool,
    max_message_bytes: usize,
    state: Mutex<BridgeState>,
    /// Signals that something changed for [`HttpConversation::next_messages`] and those who wait like it.
    changed: Notify,
    output: Output,
}

#[derive(Default)]
struct BridgeState {
    /// The client's messages that still have to be sent, in order.
    queue: VecDeque<OutgoingMessage>,
    open: HashMap<IdKey, OpenRequest>,
    /// The bytes of both.
    held_bytes: usize,
    /// The client's `initialize`, once a server took it. Later sessions begin by it.
    greeting: Option<Vec<u8>>,
    phase: Phase,
    /// Nothing more is sent.
    is_closed: bool,
}

/// A request without an answer.
struct OpenRequest {
    message: OutgoingMessage,
    /// Whether a conversation took it from the queue.
    is_sent: bool,
    /// Whether it is sent for the second time, after a session that was gone.
    is_resent: bool,
}

/// The state of the conversation with the server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client's messages are sent.
    #[default]
    Open,
    /// A new session has to be begun first.
    GreetingDue,
    /// It is being begun.
    Greeting,
    /// The conversation is over.
    Ended,
}

impl Bridge {
    pub(super) fn new(origin: String, has_credential: bool, max_message_bytes: usize) -> Self {
        Self {
            origin,
            has_credential,
            max_message_bytes,
            state: Mutex::default(),
            changed: Notify::new(),
            output: Output::default(),
        }
    }

    /// Takes the client's messages until its input ends.
    pub(super) async fn read_input<R: AsyncRead + Unpin>(
        &self,
        mut lines: LineReader<R>,
    ) -> std::io::Result<()> {
        loop {
            match lines.next_line().await {
                Ok(Some(line)) => self.take_line(line),
                Ok(None) => return Ok(()),
                Err(LineError::TooLong { limit, head, tail }) => {
                    let id = wire::salvage_overlong_id(&head, &tail);
                    self.output.push(|out| wire::write_too_long_error(out, limit, id));
                }
                Err(LineError::Read(error)) => return Err(error),
            }
            // Answers that the client doesn't read must not gather while it asks on.
            self.output.wait_for_room().await;
        }
    }

    /// Takes a line of the client. The messages of a batch are sent one by one (2025-03-26), because a server
    /// of any other revision would refuse the batch.
    fn take_line(&self, line: &[u8]) {
        match wire::parse_batch(line) {
            Some(batch) => batch.into_iter().for_each(|message| self.take_message(message.get().as_bytes())),
            None => self.take_message(line),
        }
    }

    fn take_message(&self, line: &[u8]) {
        if let Err(malformed) = Message::parse(line) {
            return self.output.push(|out| wire::write_malformed_error(out, &malformed));
        }
        let message = OutgoingMessage::read(line);
        if let Some(was_sent) = message.cancels.as_ref().and_then(|id| self.cancel_open(id))
            && !was_sent
        {
            // The server never saw the request.
            return;
        }
        let mut state = lock(&self.state);
        let is_full =
            state.open.len() >= MAX_OPEN_REQUESTS || state.held_bytes + message.body.len() > MAX_HELD_BYTES;
        match &message.id {
            Some(id) if is_full || state.open.contains_key(id) => {
                drop(state);
                let why = if is_full {
                    "too many requests are open; wait for an answer"
                } else {
                    "a request with this id is open already"
                };
                return self.write_error(id, codes::INVALID_REQUEST, why);
            }
            Some(id) => {
                let open = OpenRequest { message: message.clone(), is_sent: false, is_resent: false };
                state.held_bytes += message.body.len();
                state.open.insert(id.clone(), open);
            }
            None if state.held_bytes + message.body.len() > MAX_HELD_BYTES => {
                drop(state);
                return self.log_line("a notification was dropped, because too much waits to be sent");
            }
            None => {}
        }
        state.held_bytes += message.body.len();
        state.queue.push_back(message);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until the client has something to send; false once nothing more is sent.
    pub(super) async fn wait_for_message(&self) -> bool {
        self.wait_for(|state| match (state.is_closed, state.queue.is_empty()) {
            (true, _) => Some(false),
            (false, false) => Some(true),
            (false, true) => None,
        })
        .await
    }

    /// Waits until every request has its answer and every message is sent.
    pub(super) async fn wait_until_settled(&self) {
        self.wait_for(|state| (state.queue.is_empty() && state.open.is_empty()).then_some(())).await;
    }

    /// Waits until `done` gives a value.
    async fn wait_for<T>(&self, done: impl Fn(&mut BridgeState) -> Option<T>) -> T {
        loop {
            // Registered before the check, so that a change in between isn't missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let value = done(&mut lock(&self.state));
            if let Some(value) = value {
                return value;
            }
            changed.await;
        }
    }

    /// Sends nothing more.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_waiters();
    }

    /// A conversation begins. After the first session the client's `initialize` comes first.
    pub(super) fn begin_conversation(&self) {
        let mut state = lock(&self.state);
        // A client that greets by itself needs no greeting in its name.
        let greets = state.queue.front().is_some_and(is_initialize);
        state.phase = if state.greeting.is_some() && !greets { Phase::GreetingDue } else { Phase::Open };
    }

    /// The conversation ended, in the words of its transport. What it had sent gets no answer any more.
    pub(super) fn end_conversation(&self, how: &str) {
        let is_closed = {
            let mut state = lock(&self.state);
            state.phase = Phase::Ended;
            state.is_closed
        };
        if is_closed {
            return;
        }
        self.log_line(&format!("the server {how}"));
        self.fail_requests(
            |open| open.is_sent,
            &format!("{} {how}; whether this was done is unknown", self.origin),
        );
    }

    /// Fails every open request that `which` names.
    fn fail_requests(&self, which: impl Fn(&OpenRequest) -> bool, why: &str) {
        let ids: Vec<IdKey> =
            lock(&self.state).open.iter().filter(|(_, open)| which(open)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.settle(&id, why);
        }
    }

    /// Answers a request with an error, unless it has its answer.
    fn settle(&self, id: &IdKey, why: &str) {
        if self.take_open(id) {
            self.write_error(id, UNANSWERED, why);
        }
    }

    /// Closes a request that the client cancelled, since it gets no answer (MCP 2025-11-25, "Cancellation"). Returns
    /// whether it had been sent; none if it isn't open.
    fn cancel_open(&self, id: &IdKey) -> Option<bool> {
        let was_sent = lock(&self.state).open.get(id)?.is_sent;
        self.take_open(id);
        Some(was_sent)
    }

    /// Closes a request; false if it isn't open.
    fn take_open(&self, id: &IdKey) -> bool {
        let mut state = lock(&self.state);
        let Some(open) = state.open.remove(id) else { return false };
        state.held_bytes -= open.message.body.len();
        if !open.is_sent {
            // It need not be sent any more.
            let waits = state.queue.len();
            state.queue.retain(|message| message.id.as_ref() != Some(id));
            state.held_bytes -= (waits - state.queue.len()) * open.message.body.len();
        }
        drop(state);
        self.changed.notify_waiters();
        true
    }

    fn write_error(&self, id: &IdKey, code: i32, why: &str) {
        let error = wire::answer_error_object(code, &escape_controls(why), None);
        self.output.push(|out| wire::write_error(out, id, &error));
    }

    /// The answer to a session's new beginning.
    fn take_greeting(&self, outcome: Result<&RawValue, &RawValue>) {
        if outcome.is_err() {
            return self.fail_greeting("it refused to begin another session");
        }
        let initialized = {
            let mut line = Vec::new();
            wire::write_notification(&mut line, INITIALIZED_METHOD, None);
            OutgoingMessage::read(line.trim_ascii_end())
        };
        let mut state = lock(&self.state);
        state.held_bytes += initialized.body.len();
        state.queue.push_front(initialized);
        state.phase = Phase::Open;
        drop(state);
        self.changed.notify_waiters();
    }

    /// No session could be begun, so what the client waits for fails. Its next message tries again.
    fn fail_greeting(&self, why: &str) {
        lock(&self.state).phase = Phase::Ended;
        self.changed.notify_waiters();
        self.fail_requests(|_| true, &format!("{}: {why}", self.origin));
        let mut state = lock(&self.state);
        state.held_bytes -= state.queue.iter().map(|message| message.body.len()).sum::<usize>();
        state.queue.clear();
    }

    fn take_response(&self, id: &RawValue, outcome: Result<&RawValue, &RawValue>, message: &str) {
        if IdKey::from_raw(id) == Some(IdKey::Text(GREETING_ID.to_owned())) {
            return self.take_greeting(outcome);
        }
        let (key, greeting) = {
            let state = lock(&self.state);
            let exact = IdKey::from_raw(id).filter(|key| state.open.contains_key(key));
            let Some(key) =
                exact.or_else(|| state.open.keys().find(|key| wire::is_same_id(id, key)).cloned())
            else {
                drop(state);
                return self.log_line("an answer to no open request was dropped");
            };
            let request = &state.open[&key].message;
            let greeting = (is_initialize(request) && outcome.is_ok()).then(|| request.body.clone());
            (key, greeting)
        };
        if greeting.is_some() {
            lock(&self.state).greeting = greeting;
        }
        if self.take_open(&key) {
            self.output.push(|out| match outcome {
                // The server spelled the id otherwise, and the client might not know it again.
                Ok(result) if IdKey::from_raw(id).as_ref() != Some(&key) => {
                    wire::write_result(out, &key, result)
                }
                Err(error) if IdKey::from_raw(id).as_ref() != Some(&key) => {
                    wire::write_error(out, &key, error)
                }
                Ok(_) | Err(_) => write_line(out, message),
            });
        }
    }

    fn describe_fault(&self, fault: &HttpFault) -> String {
        let origin = &self.origin;
        match fault {
            HttpFault::SessionEnded => format!("{origin} ended the session; try again"),
            HttpFault::NotReached(why) => format!("{origin} could not be reached: {why}"),
            HttpFault::LoginNeeded(_) if self.has_credential => {
                format!(
                    "{origin} refused the credential: it is wrong, revoked or expired, or doesn't cover this"
                )
            }
            HttpFault::LoginNeeded(_) => format!(
                "{origin} wants a token: write it into the variable PORTERO_TOKEN or a file for `--token-file`"
            ),
            HttpFault::Failed(why) => format!("{origin}: {why}; whether this was done is unknown"),
        }
    }

    /// Writes to the client until the end.
    pub(super) async fn write_output(&self, output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        self.output.write(output).await
    }

    /// Lets [`Self::write_output`] end once all is written.
    pub(super) fn finish_output(&self) {
        self.output.finish();
    }
}

impl HttpConversation for Bridge {
    fn server(&self) -> Option<&ServerName> {
        None
    }

    fn next_messages(&self) -> BoxFuture<'_, Option<Vec<OutgoingMessage>>> {
        let taken = self.wait_for(|state| {
            if state.is_closed || state.phase == Phase::Ended {
                return Some(None);
            }
            if state.phase == Phase::GreetingDue {
                state.phase = Phase::Greeting;
                return Some(Some(vec![greet_again(state.greeting.as_deref().unwrap_or_default())]));
            }
            if state.phase == Phase::Greeting || state.queue.is_empty() {
                return None;
            }
            let messages = Vec::from(std::mem::take(&mut state.queue));
            for message in &messages {
                state.held_bytes -= message.body.len();
                if let Some(open) = message.id.as_ref().and_then(|id| state.open.get_mut(id)) {
                    open.is_sent = true;
                }
            }
            Some(Some(messages))
        });
        Box::pin(async {
            let taken = taken.await;
            self.changed.notify_waiters();
            taken
        })
    }

    fn receive_message(&self, message: &[u8]) {
        match Message::parse(message).map(Message::into_kind) {
            Ok(MessageKind::Response { id, outcome }) => {
                if let Ok(text) = std::str::from_utf8(message) {
                    self.take_response(id, outcome, text);
                }
            }
            Ok(MessageKind::Request { .. } | MessageKind::Notification { .. }) => {
                if let Ok(text) = std::str::from_utf8(message) {
                    self.output.push(|out| write_line(out, text));
                }
            }
            Err(_) => match wire::parse_batch(message) {
                Some(batch) => batch.into_iter().for_each(|one| self.receive_message(one.get().as_bytes())),
                None => self.log_line("what the server sent is no message, and was dropped"),
            },
        }
    }

    fn wait_for_room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.output.wait_for_room())
    }

    fn fail_request(&self, id: &IdKey, fault: HttpFault) {
        if *id == IdKey::Text(GREETING_ID.to_owned()) {
            if lock(&self.state).phase == Phase::Greeting {
                self.fail_greeting(fault.reason());
            }
            return;
        }
        if fault == HttpFault::SessionEnded && self.resend(id) {
            return;
        }
        self.settle(id, &self.describe_fault(&fault));
    }

    fn fail_too_long(&self, id: &IdKey) {
        let limit = self.max_message_bytes;
        self.settle(id, &format!("the answer of {} is longer than {limit} bytes", self.origin));
    }

    fn end(&self) {
        lock(&self.state).phase = Phase::Ended;
        self.changed.notify_waiters();
    }

    fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    fn log_line(&self, line: &str) {
        // A closed stderr has no reader.
        let _ = writeln!(std::io::stderr().lock(), "portero connect: {}", escape_controls(line));
    }
}

impl Bridge {
    /// Queues a request again that the server didn't take, because it knew the session no more; false if that
    /// was tried already, or would begin no session.
    fn resend(&self, id: &IdKey) -> bool {
        let mut state = lock(&self.state);
        if state.greeting.is_none() {
            return false;
        }
        let Some(open) = state.open.get_mut(id).filter(|open| !open.is_resent) else { return false };
        (open.is_resent, open.is_sent) = (true, false);
        let message = open.message.clone();
        state.held_bytes += message.body.len();
        state.queue.push_front(message);
        drop(state);
        self.changed.notify_waiters();
        true
    }
}

fn is_initialize(message: &OutgoingMessage) -> bool {
    message.method.as_deref() == Some("initialize")
}

/// The client's `initialize` under an id of our own.
fn greet_again(initialize: &[u8]) -> OutgoingMessage {
    let mut line = Vec::new();
    if let Ok(MessageKind::Request { method, params, .. }) =
        Message::parse(initialize).map(Message::into_kind)
    {
        wire::write_request(&mut line, IdKey::Text(GREETING_ID.to_owned()), &method, params);
    }
    OutgoingMessage::read(line.trim_ascii_end())
}

fn write_line(out: &mut Vec<u8>, message: &str) {
    wire::append_single_line(out, message.trim());
    out.push(b'\n');
}
