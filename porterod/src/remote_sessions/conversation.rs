//! One session of an agent over HTTPS: the same session as over stdio, whose lines come from requests and go to streams.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::Timestamp;
use portero::session::{Session, SessionHandle};
use portero::sync::lock;
use portero::wire::{IdKey, Revision};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::event_stream::{EventStream, StreamLimits, StreamReader};
use super::router::{NotTaken, RequestKey, Router, RouterWriter};
use super::session_kind::SessionKind;
use super::validity::Validity;
use crate::daemon::Lifecycle;

/// How many messages wait until the session takes them.
const MAX_QUEUED_MESSAGES: usize = 32;

/// A running session. It ends when this is dropped.
pub struct Conversation {
    input: mpsc::Sender<Vec<u8>>,
    router: Arc<Router>,
    handle: SessionHandle,
    revision: Revision,
    on_end: Arc<dyn Fn() + Send + Sync>,
    open_responses: AtomicUsize,
    last_used: Mutex<Instant>,
    /// Of the credentials that it was used with, the one that ends last.
    credential: watch::Sender<Validity>,
}

/// A response that is being sent. The session isn't idle before this is dropped.
pub struct OpenResponse(Arc<Conversation>);

impl Drop for OpenResponse {
    fn drop(&mut self) {
        self.0.open_responses.fetch_sub(1, Ordering::AcqRel);
        *lock(&self.0.last_used) = Instant::now();
    }
}

impl Conversation {
    /// Runs a session in a task that the daemon waits for. `on_end` is called at its end, perhaps twice.
    pub(super) fn start(
        lifecycle: &Lifecycle,
        (session, handle): (Session, SessionHandle),
        (kind, revision): (SessionKind, Revision),
        (credential, limits): (Validity, StreamLimits),
        on_end: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let (input, queue) = mpsc::channel(MAX_QUEUED_MESSAGES);
        let router = Router::new(kind == SessionKind::Lasting, limits);
        let (reader, writer) = (MessageReader::new(queue), RouterWriter::new(Arc::clone(&router)));
        let (stop, ended) = (lifecycle.stop_signal().clone(), Arc::clone(&router));
        let (own, noted) = (handle.clone(), Arc::clone(&on_end));
        lifecycle.spawn(async move {
            let mut running = std::pin::pin!(session.run(reader, writer));
            let result = tokio::select! {
                result = &mut running => result,
                () = stop.cancelled() => {
                    own.shutdown();
                    running.await
                }
            };
            if let Err(error) = result {
                tracing::warn!(%error, "a session over HTTPS broke");
            }
            ended.close();
            noted();
        });
        Self {
            input,
            router,
            handle,
            revision,
            on_end,
            open_responses: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
            credential: watch::Sender::new(credential),
        }
    }

    /// Goes by this credential from now on if it ends later. Returns false if the one that it went by so far has ended:
    /// then no other one keeps the session.
    pub(super) fn take_credential(&self, other: &Validity, now: Timestamp) -> bool {
        self.credential.send_if_modified(|credential| {
            let is_taken = !credential.is_over(now) && other.outlasts(credential);
            if is_taken {
                credential.clone_from(other);
            }
            is_taken
        });
        !self.is_credential_over(now)
    }

    pub(super) fn is_credential_over(&self, now: Timestamp) -> bool {
        self.credential.borrow().is_over(now)
    }

    pub(super) fn subscribe_credential(&self) -> watch::Receiver<Validity> {
        self.credential.subscribe()
    }

    /// The revision that its client agreed on.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Opens the stream for the answers to these requests, which must be sent next.
    ///
    /// # Errors
    /// When an id is in use, or too many requests are open.
    pub fn open_stream(&self, requests: &[RequestKey]) -> Result<Arc<EventStream>, NotTaken> {
        self.router.open_stream(requests)
    }

    /// Passes one line of the client to the session: a message or a batch without a line break.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn send_line(&self, mut line: Vec<u8>) -> Result<(), NotTaken> {
        line.push(b'\n');
        self.input.send(line).await.map_err(|_| NotTaken::Ended)
    }

    /// Notes that the client cancelled a request. Send the notification first.
    pub fn cancel_request(&self, id: &IdKey) {
        self.router.cancel_request(id);
    }

    /// Reads what belongs to no request, from the first message that no reader took.
    #[must_use]
    pub fn read_own_stream(&self) -> StreamReader {
        self.router.own_stream().read_after(None)
    }

    /// Takes up a stream after the event with this number; none if the stream is unknown or gone.
    #[must_use]
    pub fn resume_stream(&self, number: u64, after: u64) -> Option<StreamReader> {
        Some(self.router.stream(number)?.read_after(Some(after)))
    }

    /// Forgets a stream whose client has all of it.
    pub fn forget_stream(&self, stream: &EventStream) {
        self.router.forget_stream(stream.number());
    }

    /// Notes that a response is being sent.
    #[must_use]
    pub fn begin_response(self: &Arc<Self>) -> OpenResponse {
        self.open_responses.fetch_add(1, Ordering::AcqRel);
        OpenResponse(Arc::clone(self))
    }

    /// How long it has been without a response or an open request.
    pub(super) fn idle_time(&self, now: Instant) -> Option<Duration> {
        let is_busy = self.open_responses.load(Ordering::Acquire) > 0 || self.router.has_open_requests();
        (!is_busy).then(|| now.saturating_duration_since(*lock(&self.last_used)))
    }

    /// Ends the session and all its streams. Its open calls are cancelled.
    pub fn end(&self) {
        // First, because the session still knows its client then.
        (self.on_end)();
        self.handle.shutdown();
        self.router.close();
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.end();
    }
}

/// The session's input: the messages in their order.
struct MessageReader {
    queue: mpsc::Receiver<Vec<u8>>,
    message: Vec<u8>,
    /// How much of it was read.
    read: usize,
}

impl MessageReader {
    const fn new(queue: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { queue, message: Vec::new(), read: 0 }
    }
}

impl AsyncRead for MessageReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.message.len() {
            match self.queue.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(message)) => (self.message, self.read) = (message, 0),
            }
        }
        let rest = &self.message[self.read..];
        let taken = rest.len().min(into.remaining());
        into.put_slice(&rest[..taken]);
        self.read += taken;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn messages_are_read_whole_and_in_order() {
        let (input, queue) = mpsc::channel(4);
        let mut reader = MessageReader::new(queue);
        for message in ["one\n", &"x".repeat(100_000), "\n"] {
            input.send(message.as_bytes().to_vec()).await.unwrap();
        }
        drop(input);
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, format!("one\n{}\n", "x".repeat(100_000)));
    }
}
