//! The queue of messages to a peer. It is bounded in number and bytes, and a peer that doesn't read is
//! dropped.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::frame::{MAX_FRAME_BYTES, SendError, encode_frame};

const MAX_QUEUED_FRAMES: usize = 1024;
const MAX_QUEUED_BYTES: usize = 4 * MAX_FRAME_BYTES;
/// How long a peer may leave written bytes unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for the last writes.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The end of a connection. It happens once, with a reason.
#[derive(Debug, Clone, Default)]
pub struct ConnectionEnd {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl ConnectionEnd {
    /// Ends the connection. The first reason is kept.
    pub fn close(&self, reason: impl Into<String>) {
        // Before the token is cancelled, because those who wake by the token read the reason.
        let _ = self.reason.set(reason.into());
        self.token.cancel();
    }

    /// Returns the reason once the connection ends.
    pub async fn wait_until_closed(&self) -> String {
        self.token.cancelled().await;
        self.reason()
    }

    /// Whether it ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The reason, once it ended.
    #[must_use]
    pub fn reason(&self) -> String {
        self.reason.get().cloned().unwrap_or_else(|| "it was closed".to_owned())
    }
}

struct QueuedFrame {
    frame: Vec<u8>,
    /// Returned when the frame is written.
    _room: OwnedSemaphorePermit,
}

/// Sends messages to one peer, in order. Clones share the queue.
#[derive(Debug, Clone)]
pub struct MessageSender {
    queue: mpsc::Sender<QueuedFrame>,
    room: Arc<Semaphore>,
    connection_end: ConnectionEnd,
}

impl MessageSender {
    /// Starts the writing task. It ends with `closing`, and also closes it if the peer is stuck or gone.
    pub(super) fn start(to: impl AsyncWrite + Send + Unpin + 'static, closing: ConnectionEnd) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_QUEUED_FRAMES);
        tokio::spawn(write_frames(to, waiting, closing.clone()));
        Self { queue, room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)), connection_end: closing }
    }

    /// Queues a message, waiting for room if necessary.
    ///
    /// # Errors
    /// See [`SendError`]; never [`SendError::Full`].
    pub async fn send<T: Serialize>(&self, message: &T) -> Result<(), SendError> {
        let frame = encode_frame(message)?;
        let queue = async {
            // Bytes first, then the place in the queue, which keeps the order of calls.
            let room = Arc::clone(&self.room).acquire_many_owned(frame_size(&frame)).await.ok()?;
            self.queue.send(QueuedFrame { frame, _room: room }).await.ok()
        };
        tokio::select! {
            queued = queue => queued.ok_or(SendError::Closed),
            () = self.connection_end.token.cancelled() => Err(SendError::Closed),
        }
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send<T: Serialize>(&self, message: &T) -> Result<(), SendError> {
        if self.connection_end.is_closed() {
            return Err(SendError::Closed);
        }
        let frame = encode_frame(message)?;
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(frame_size(&frame)).map_err(|_| SendError::Full)?;
        self.queue.try_send(QueuedFrame { frame, _room: room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// The connection's end.
    #[must_use]
    pub const fn connection_end(&self) -> &ConnectionEnd {
        &self.connection_end
    }
}

fn frame_size(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).expect("a frame is at most 16 MiB")
}

async fn write_frames(
    mut to: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<QueuedFrame>,
    closing: ConnectionEnd,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = closing.token.cancelled() => break,
            next = waiting.recv() => next,
        };
        let Some(next) = next else { break };
        match tokio::time::timeout(WRITE_TIMEOUT, to.write_all(&next.frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return closing.close(format!("the other side is gone: {error}")),
            Err(_) => return closing.close("the other side stopped reading"),
        }
    }
    // A closing connection still writes what is queued, such as the reason, but only for a short time.
    let last_words = async {
        while let Ok(next) = waiting.try_recv() {
            if to.write_all(&next.frame).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    let _ = tokio::time::timeout(FINAL_WRITE_TIMEOUT, last_words).await;
    closing.close("it was closed");
}
