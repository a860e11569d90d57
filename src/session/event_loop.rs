//! The event loop of a session: it reads, works and writes in one task.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::client_queue::ClientQueue;
use super::request::RequestFutures;
use super::state::SessionState;
use crate::wire::{self, LineError, LineReader};

/// With more queued bytes than this, writing comes before reading and working.
const WRITE_FIRST_BYTES: usize = 1 << 20;
/// After this many steps without a write, writing comes first too.
const MAX_STEPS_BEFORE_WRITE: u32 = 256;
/// How long open calls may go on after the end of the client's input. The SDKs kill this process 2 s after
/// they closed it.
const OPEN_CALLS_GRACE: Duration = Duration::from_millis(1500);
/// The time limit for the last write.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_millis(25);

/// Runs until the reader ends or the session is stopped.
pub(super) async fn run_session<R, W>(shared: &Arc<SessionState>, reader: R, writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut lines = LineReader::new(reader, shared.max_message_bytes);
    let mut work = RequestFutures::new();
    let mut writer = Writer::new(writer);
    let mut revisions = shared.agent.pipeline.listing_fetches.subscribe();
    // A client that connected before the session began holds lists already, and they are out of date.
    revisions.mark_changed();
    if shared.instructions.is_due() {
        shared.listings.fetch_stale_listings();
    }
    let mut steps = 0_u32;
    loop {
        writer.refill(&shared.client.queue);
        // All that is ready goes out in one write, unless gathering it keeps the client waiting.
        let urgent = steps > MAX_STEPS_BEFORE_WRITE || shared.client.queue.len() > WRITE_FIRST_BYTES;
        let free = !(urgent && writer.has_unwritten());
        steps += 1;
        tokio::select! {
            // In this order, so that a stop always wins, and finished work goes out before new work comes in.
            // No branch starves: `urgent` turns working and reading off until a write is done.
            biased;
            () = shared.background.stop.cancelled() => break,
            finished = work_until_finished(&shared.client.queue, &mut work), if free => steps += finished,
            // `next_line` may be dropped at any await and loses nothing, as `select!` demands.
            line = lines.next_line(), if free => {
                if !take_line(shared, line, &mut work)? {
                    break;
                }
                // The same read often brought several lines. Taking them here saves a round through the
                // branches for each.
                while steps <= MAX_STEPS_BEFORE_WRITE && shared.client.queue.len() <= WRITE_FIRST_BYTES {
                    steps += 1;
                    match lines.next_buffered_line() {
                        Ok(None) => break,
                        line => take_line(shared, line, &mut work)?,
                    };
                }
            },
            changed = revisions.changed() => if changed.is_ok() { shared.lists.notify_changes() },
            written = writer.write(), if writer.has_unwritten() => {
                written?;
                steps = 0;
                // Signals the first answer once. The daemon is started only after it.
                shared.has_answered.send_if_modified(|answered| !std::mem::replace(answered, true));
            }
            // Only wakes the loop, whose next round takes the new lines. With unwritten bytes the branch above
            // does that.
            () = shared.client.queue.wait_until_filled(), if !writer.has_unwritten() => {}
        }
    }
    shared.client.end_listeners();
    if !shared.background.stop.is_cancelled() {
        finish_open_calls(shared, &mut work, &mut writer).await;
    }
    drop(work);
    // The client may already be gone, which is no failure of the session.
    let _: Result<io::Result<()>, _> =
        tokio::time::timeout(FINAL_WRITE_TIMEOUT, writer.write_all(&shared.client.queue)).await;
    Ok(())
}

/// After the end of the client's input, its earlier requests are still answered if that takes little time. A
/// client that is gone doesn't read, and a client that waits for this process to end doesn't wait long.
async fn finish_open_calls<W: AsyncWrite + Unpin>(
    shared: &SessionState,
    work: &mut RequestFutures,
    writer: &mut Writer<W>,
) {
    let mut late = std::pin::pin!(tokio::time::sleep(OPEN_CALLS_GRACE));
    loop {
        writer.refill(&shared.client.queue);
        if work.is_empty() && !writer.has_unwritten() {
            return;
        }
        tokio::select! {
            biased;
            () = shared.background.stop.cancelled() => return,
            () = &mut late => return,
            written = writer.write(), if writer.has_unwritten() => if written.is_err() { return },
            _ = work_until_finished(&shared.client.queue, work), if !work.is_empty() => {}
            () = shared.client.queue.wait_until_filled(), if !writer.has_unwritten() => {}
        }
    }
}

/// Handles a line of the client; false at the end of its input.
fn take_line(
    shared: &Arc<SessionState>,
    line: Result<Option<&[u8]>, LineError>,
    work: &mut RequestFutures,
) -> io::Result<bool> {
    match line {
        Ok(Some(line)) => shared.receive_line(line, work),
        Ok(None) => return Ok(false),
        // The line was skipped, not kept. Its head and tail usually show the id, so that the client gets an
        // answer.
        Err(LineError::TooLong { limit, head, tail }) => {
            shared.client.queue.queue_too_long(limit, wire::salvage_overlong_id(&head, &tail));
        }
        Err(LineError::Read(error)) => return Err(error),
    }
    Ok(true)
}

/// Polls requests until some have finished and no other can go on. Returns how many finished, at most as many
/// as fit into one write.
async fn work_until_finished(queue: &ClientQueue, work: &mut RequestFutures) -> u32 {
    std::future::poll_fn(|context| {
        let mut finished = 0;
        while finished < MAX_STEPS_BEFORE_WRITE && queue.len() <= WRITE_FIRST_BYTES {
            // `None` (no request left) is pending too. Otherwise the loop would spin on an empty set.
            let Poll::Ready(Some(())) = work.poll_next_unpin(context) else { break };
            finished += 1;
        }
        if finished > 0 { Poll::Ready(finished) } else { Poll::Pending }
    })
    .await
}

/// The buffer that is being written.
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

    /// Takes the queued lines once all earlier ones are written.
    fn refill(&mut self, queue: &ClientQueue) {
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
            queue.swap_queued(&mut self.buffer);
        }
    }

    const fn has_unwritten(&self) -> bool {
        self.written < self.buffer.len() || self.unflushed
    }

    /// Makes one write, and flushes after the last. Dropping the future loses nothing.
    async fn write(&mut self) -> io::Result<()> {
        if self.written < self.buffer.len() {
            match self.writer.write(&self.buffer[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => {
                    // Counted as soon as the write is done, because this future may be dropped at the next
                    // await.
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

    async fn write_all(&mut self, queue: &ClientQueue) -> io::Result<()> {
        loop {
            self.refill(queue);
            if !self.has_unwritten() {
                return Ok(());
            }
            self.write().await?;
        }
    }
}
