//! The queue of messages toward a child's stdin.
//!
//! Callers append whole messages, and one task writes all that has gathered at once. The queue is bounded in
//! bytes, so a child that doesn't read delays only its own callers.

use std::sync::{Mutex, MutexGuard};

use crate::sync::lock;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// With this many bytes queued, callers wait.
const HIGH_WATER_BYTES: usize = 1 << 20;
/// With this many bytes queued, messages without a waiting caller are dropped.
const MAX_QUEUED_BYTES: usize = 2 << 20;

/// The queue toward one child.
#[derive(Debug, Default)]
pub(super) struct StdinQueue {
    queue: Mutex<QueuedBytes>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct QueuedBytes {
    bytes: Vec<u8>,
    closed: bool,
}

impl StdinQueue {
    /// Whether another request fits. After the end one always does, because it goes nowhere.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock_queue();
        queue.closed || queue.bytes.len() < HIGH_WATER_BYTES
    }

    /// Waits until there is room for one more request.
    pub(super) async fn wait_for_room(&self) {
        loop {
            // Registered before the check, so that a drain in between isn't missed.
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    /// Appends one message. After the end it is dropped.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.lock_queue();
        if !queue.closed {
            write(&mut queue.bytes);
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Appends a message without a waiting caller, unless the child has long stopped reading.
    pub(super) fn push_if_room(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.lock_queue().bytes.len() < MAX_QUEUED_BYTES {
            self.push(write);
        }
    }

    /// Writes what is queued, then closes stdin.
    pub(super) fn close(&self) {
        self.lock_queue().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Takes what is queued, waiting for it; none once the queue is closed and empty. Dropping the future
    /// loses nothing.
    pub(super) async fn take_queued(&self) -> Option<Vec<u8>> {
        loop {
            let mut filled = std::pin::pin!(self.filled.notified());
            filled.as_mut().enable();
            let (taken, closed) = {
                let mut queue = self.lock_queue();
                (std::mem::take(&mut queue.bytes), queue.closed)
            };
            if !taken.is_empty() {
                self.drained.notify_waiters();
                return Some(taken);
            }
            if closed {
                return None;
            }
            filled.await;
        }
    }

    /// Writes until the queue is closed or the child stops reading.
    pub(super) async fn write_queued(&self, mut stdin: impl AsyncWrite + Unpin) {
        let mut writing = Vec::new();
        loop {
            let closed = {
                let mut queue = self.lock_queue();
                std::mem::swap(&mut queue.bytes, &mut writing);
                queue.closed
            };
            // The end comes only with an empty queue, so everything queued before `close` is still written.
            if writing.is_empty() {
                if closed {
                    return;
                }
                self.filled.notified().await;
                continue;
            }
            // The swap above made room, even before the write.
            self.drained.notify_waiters();
            if stdin.write_all(&writing).await.is_err() {
                // The reading task notices the child's end.
                self.close();
                return;
            }
            writing.clear();
            writing.shrink_to(MAX_QUEUED_BYTES);
        }
    }

    fn lock_queue(&self) -> MutexGuard<'_, QueuedBytes> {
        lock(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_queued_before_the_end_still_arrives() {
        let outbox = StdinQueue::default();
        let (mut child, stdin) = tokio::io::duplex(1024);
        outbox.push(|out| out.extend_from_slice(b"one\n"));
        outbox.push(|out| out.extend_from_slice(b"two\n"));
        outbox.close();
        outbox.push(|out| out.extend_from_slice(b"three\n"));
        outbox.write_queued(stdin).await;
        let mut got = String::new();
        child.read_to_string(&mut got).await.expect("read");
        assert_eq!(got, "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_child_that_does_not_read_makes_its_callers_wait_and_fills_no_memory() {
        let outbox = Arc::new(StdinQueue::default());
        let (mut child, stdin) = tokio::io::duplex(64 << 10);
        let writer = Arc::clone(&outbox);
        tokio::spawn(async move { writer.write_queued(stdin).await });
        tokio::task::yield_now().await;
        outbox.push(|out| out.resize(HIGH_WATER_BYTES, b'x'));
        tokio::task::yield_now().await;
        outbox.push(|out| out.resize(HIGH_WATER_BYTES, b'x'));
        for _ in 0..10_000 {
            outbox.push_if_room(|out| out.extend_from_slice(&[b'y'; 1024]));
        }
        assert!(outbox.lock_queue().bytes.len() <= MAX_QUEUED_BYTES + 1024);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), outbox.wait_for_room());
        assert!(waits.await.is_err(), "there is room though nothing was read");
        tokio::spawn(async move {
            let mut sink = vec![0; 1 << 16];
            while child.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        });
        tokio::time::timeout(std::time::Duration::from_secs(10), outbox.wait_for_room())
            .await
            .expect("room again");
    }
}
