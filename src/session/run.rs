//! The loop of a session: read, work, write, all in one task.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::state::Shared;
use crate::pipeline::BoxFuture;
use crate::wire::{self, LineError, Lines};

/// The requests that are being worked on.
pub(super) type Work = FuturesUnordered<BoxFuture<'static, ()>>;

/// From so many waiting bytes on, writing comes before reading and working.
const FULL: usize = 1 << 20;
/// After so many steps without a write, the same.
const STEPS: u32 = 256;
/// How long open calls go on after the end of the client's input: the SDKs end this process by force 2 s after
/// they closed it.
const OPEN_CALLS_GRACE: Duration = Duration::from_millis(1500);
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_millis(25);

/// Runs until the reader ends or the session is told to stop.
pub(super) async fn run<R, W>(shared: &Arc<Shared>, reader: R, writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut lines = Lines::new(reader, shared.limits.message_bytes);
    let mut work = Work::new();
    let mut pen = Pen::new(writer);
    let mut revisions = shared.pipeline.offers.watch();
    // A client that was there before the session has lists already, which are out of date.
    revisions.mark_changed();
    if shared.introduces_anew.load(Ordering::Relaxed) {
        shared.start_all();
    }
    let mut steps = 0_u32;
    loop {
        pen.refill(shared);
        // Everything that is ready goes out in one write, unless that keeps the client waiting.
        let urgent = steps > STEPS || shared.out.len() > FULL;
        let free = !(urgent && pen.has_words());
        steps += 1;
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            finished = finish(shared, &mut work), if free => steps += finished,
            line = lines.next(), if free => {
                if !take(shared, line, &mut work)? {
                    break;
                }
                // Most of what else came in the same read is worth no look at everything before it.
                while steps <= STEPS && shared.out.len() <= FULL {
                    steps += 1;
                    match lines.read_already() {
                        Ok(None) => break,
                        line => take(shared, line, &mut work)?,
                    };
                }
            },
            changed = revisions.changed() => if changed.is_ok() { shared.tell_changes() },
            written = pen.write(), if pen.has_words() => {
                written?;
                steps = 0;
                shared.answered.send_if_modified(|answered| !std::mem::replace(answered, true));
            }
            () = shared.out.filled(), if !pen.has_words() => {}
        }
    }
    shared.end_listeners();
    if !shared.stop.is_cancelled() {
        answer_open(shared, &mut work, &mut pen).await;
    }
    drop(work);
    // The client may be gone already, and nobody waits for it.
    let _: Result<io::Result<()>, _> = tokio::time::timeout(LAST_WORDS, pen.finish(shared)).await;
    Ok(())
}

/// After the end of the client's input: what it asked before is still answered, as long as that takes little
/// time. A client that is gone does not read, and one that waits for this process to end does not wait long.
async fn answer_open<W: AsyncWrite + Unpin>(shared: &Shared, work: &mut Work, pen: &mut Pen<W>) {
    let mut late = std::pin::pin!(tokio::time::sleep(OPEN_CALLS_GRACE));
    loop {
        pen.refill(shared);
        if work.is_empty() && !pen.has_words() {
            return;
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = &mut late => return,
            written = pen.write(), if pen.has_words() => if written.is_err() { return },
            _ = finish(shared, work), if !work.is_empty() => {}
            () = shared.out.filled(), if !pen.has_words() => {}
        }
    }
}

/// Takes what the client said; false when it will say no more.
fn take(shared: &Arc<Shared>, line: Result<Option<&[u8]>, LineError>, work: &mut Work) -> io::Result<bool> {
    match line {
        Ok(Some(line)) => shared.receive(line, work),
        Ok(None) => return Ok(false),
        Err(LineError::TooLong { limit, head, tail }) => {
            shared.out.too_long(limit, wire::id_of_too_long(&head, &tail));
        }
        Err(LineError::Read(error)) => return Err(error),
    }
    Ok(true)
}

/// Works on requests until some are finished and no other can go on, and tells how many; for as many as fit
/// into one write.
async fn finish(shared: &Shared, work: &mut Work) -> u32 {
    std::future::poll_fn(|context| {
        let mut finished = 0;
        while finished < STEPS && shared.out.len() <= FULL {
            let Poll::Ready(Some(())) = work.poll_next_unpin(context) else { break };
            finished += 1;
        }
        if finished > 0 { Poll::Ready(finished) } else { Poll::Pending }
    })
    .await
}

/// What is being written.
struct Pen<W> {
    writer: W,
    words: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Pen<W> {
    fn new(writer: W) -> Self {
        Self { writer, words: Vec::with_capacity(64 << 10), written: 0, unflushed: false }
    }

    /// Takes what is queued, once everything before it is written.
    fn refill(&mut self, shared: &Shared) {
        if self.written == self.words.len() {
            self.words.clear();
            self.written = 0;
            shared.out.take(&mut self.words);
        }
    }

    const fn has_words(&self) -> bool {
        self.written < self.words.len() || self.unflushed
    }

    /// Makes one write, and the flush after the last. Dropping the future loses nothing.
    async fn write(&mut self) -> io::Result<()> {
        if self.written < self.words.len() {
            match self.writer.write(&self.words[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => {
                    self.written += more;
                    self.unflushed = true;
                }
            }
        }
        if self.written == self.words.len() {
            self.writer.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    async fn finish(&mut self, shared: &Shared) -> io::Result<()> {
        loop {
            self.refill(shared);
            if !self.has_words() {
                return Ok(());
            }
            self.write().await?;
        }
    }
}
