//! The loop of a session: read, work, write, all in one task.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::state::SessionState;
use crate::pipeline::BoxFuture;
use crate::wire::{self, LineError, LineReader};

/// The requests that are being worked on.
pub(super) type RequestFutures = FuturesUnordered<BoxFuture<'static, ()>>;

/// From so many waiting bytes on, writing comes before reading and working.
const WRITE_FIRST_BYTES: usize = 1 << 20;
/// After so many steps without a write, the same.
const MAX_STEPS_BEFORE_WRITE: u32 = 256;
/// How long open calls go on after the end of the client's input: the SDKs end this process by force 2 s after
/// they closed it.
const OPEN_CALLS_GRACE: Duration = Duration::from_millis(1500);
/// How long the last words may take.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_millis(25);

/// Runs until the reader ends or the session is told to stop.
pub(super) async fn run_session<R, W>(shared: &Arc<SessionState>, reader: R, writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut lines = LineReader::new(reader, shared.limits.max_message_bytes);
    let mut work = RequestFutures::new();
    let mut pen = Writer::new(writer);
    let mut revisions = shared.pipeline.listing_fetches.subscribe();
    // A client that was there before the session has lists already, which are out of date.
    revisions.mark_changed();
    if shared.protocol.owes_instructions() {
        shared.fetch_stale_listings();
    }
    let mut steps = 0_u32;
    loop {
        pen.refill(shared);
        // Everything that is ready goes out in one write, unless that keeps the client waiting.
        let urgent = steps > MAX_STEPS_BEFORE_WRITE || shared.client_queue.len() > WRITE_FIRST_BYTES;
        let free = !(urgent && pen.has_unwritten());
        steps += 1;
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            finished = work_until_finished(shared, &mut work), if free => steps += finished,
            line = lines.next_line(), if free => {
                if !take_line(shared, line, &mut work)? {
                    break;
                }
                // Most of what else came in the same read is worth no look at everything before it.
                while steps <= MAX_STEPS_BEFORE_WRITE && shared.client_queue.len() <= WRITE_FIRST_BYTES {
                    steps += 1;
                    match lines.next_buffered_line() {
                        Ok(None) => break,
                        line => take_line(shared, line, &mut work)?,
                    };
                }
            },
            changed = revisions.changed() => if changed.is_ok() { shared.notify_list_changes() },
            written = pen.write(), if pen.has_unwritten() => {
                written?;
                steps = 0;
                shared.has_answered.send_if_modified(|answered| !std::mem::replace(answered, true));
            }
            () = shared.client_queue.wait_until_filled(), if !pen.has_unwritten() => {}
        }
    }
    shared.end_listeners();
    if !shared.stop.is_cancelled() {
        finish_open_calls(shared, &mut work, &mut pen).await;
    }
    drop(work);
    // The client may be gone already, which is no failure of the session.
    let _: Result<io::Result<()>, _> = tokio::time::timeout(FINAL_WRITE_TIMEOUT, pen.write_all(shared)).await;
    Ok(())
}

/// After the end of the client's input: what it asked before is still answered, as long as that takes little
/// time. A client that is gone does not read, and one that waits for this process to end does not wait long.
async fn finish_open_calls<W: AsyncWrite + Unpin>(
    shared: &SessionState,
    work: &mut RequestFutures,
    pen: &mut Writer<W>,
) {
    let mut late = std::pin::pin!(tokio::time::sleep(OPEN_CALLS_GRACE));
    loop {
        pen.refill(shared);
        if work.is_empty() && !pen.has_unwritten() {
            return;
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = &mut late => return,
            written = pen.write(), if pen.has_unwritten() => if written.is_err() { return },
            _ = work_until_finished(shared, work), if !work.is_empty() => {}
            () = shared.client_queue.wait_until_filled(), if !pen.has_unwritten() => {}
        }
    }
}

/// Takes what the client said; false when it will say no more.
fn take_line(
    shared: &Arc<SessionState>,
    line: Result<Option<&[u8]>, LineError>,
    work: &mut RequestFutures,
) -> io::Result<bool> {
    match line {
        Ok(Some(line)) => shared.receive_line(line, work),
        Ok(None) => return Ok(false),
        Err(LineError::TooLong { limit, head, tail }) => {
            shared.client_queue.queue_too_long(limit, wire::salvage_overlong_id(&head, &tail));
        }
        Err(LineError::Read(error)) => return Err(error),
    }
    Ok(true)
}

/// Works on requests until some are finished and no other can go on, and tells how many; for as many as fit
/// into one write.
async fn work_until_finished(shared: &SessionState, work: &mut RequestFutures) -> u32 {
    std::future::poll_fn(|context| {
        let mut finished = 0;
        while finished < MAX_STEPS_BEFORE_WRITE && shared.client_queue.len() <= WRITE_FIRST_BYTES {
            let Poll::Ready(Some(())) = work.poll_next_unpin(context) else { break };
            finished += 1;
        }
        if finished > 0 { Poll::Ready(finished) } else { Poll::Pending }
    })
    .await
}

/// What is being written.
struct Writer<W> {
    writer: W,
    buffer: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    fn new(writer: W) -> Self {
        Self { writer, buffer: Vec::with_capacity(64 << 10), written: 0, unflushed: false }
    }

    /// Takes what is queued, once everything before it is written.
    fn refill(&mut self, shared: &SessionState) {
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
            shared.client_queue.swap_queued(&mut self.buffer);
        }
    }

    const fn has_unwritten(&self) -> bool {
        self.written < self.buffer.len() || self.unflushed
    }

    /// Makes one write, and the flush after the last. Dropping the future loses nothing.
    async fn write(&mut self) -> io::Result<()> {
        if self.written < self.buffer.len() {
            match self.writer.write(&self.buffer[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => {
                    self.written += more;
                    self.unflushed = true;
                }
            }
        }
        if self.written == self.buffer.len() {
            self.writer.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    async fn write_all(&mut self, shared: &SessionState) -> io::Result<()> {
        loop {
            self.refill(shared);
            if !self.has_unwritten() {
                return Ok(());
            }
            self.write().await?;
        }
    }
}
