//! What is written to the client: queued whole messages, and one writer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use portero::sync::lock;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// With this many unread bytes toward the client, the server is read no further.
const MAX_UNREAD_BYTES: usize = 8 << 20;

/// The bytes toward the client.
#[derive(Default)]
pub(super) struct Output {
    bytes: Mutex<Vec<u8>>,
    filled: Notify,
    drained: Notify,
    finished: AtomicBool,
}

impl Output {
    /// Appends what `write` writes: whole messages, a line each.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut lock(&self.bytes));
        self.filled.notify_one();
    }

    /// Waits until the client has read enough for more.
    pub(super) async fn wait_for_room(&self) {
        loop {
            // Registered before the check, so that a write in between isn't missed.
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if lock(&self.bytes).len() < MAX_UNREAD_BYTES {
                return;
            }
            drained.await;
        }
    }

    /// Writes until [`Self::finish`], and then what is left.
    pub(super) async fn write(&self, mut output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let finished = self.finished.load(Ordering::Acquire);
            let bytes = std::mem::take(&mut *lock(&self.bytes));
            if bytes.is_empty() {
                if finished {
                    return Ok(());
                }
                self.filled.notified().await;
                continue;
            }
            self.drained.notify_waiters();
            output.write_all(&bytes).await?;
            output.flush().await?;
        }
    }

    /// Lets [`Self::write`] end.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.filled.notify_one();
    }
}
