//! `portero pending`: the waiting calls.
//!
//! With `--watch` it keeps running: as [`view`], in which a person reads and decides, or as a read-only
//! stream for programs. Both use [`feed`].

mod feed;
mod view;

use jiff::Timestamp;
use portero::catalog::ToolHints;
use portero::names::TaskId;
use portero::notice::Notice;
use portero::task::Task;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{CommandContext, approvals};
use crate::args;
use crate::daemon::DaemonClient;
use crate::failure::CommandResult;
use feed::{FeedEvent, follow_pending};

/// How many events may be queued; beyond that the daemon waits.
const MAX_QUEUED_EVENTS: usize = 16;

pub(super) async fn run(context: &CommandContext, args: args::PendingArgs) -> CommandResult {
    match (args.watch, context.output.wants_json()) {
        (false, _) => approvals::list_pending(context).await,
        (true, true) => print_stream(context).await,
        (true, false) => view::run(context).await,
    }
}

/// The events of the waiting calls, until this is dropped.
struct Feed {
    events: mpsc::Receiver<FeedEvent>,
    task: AbortHandle,
}

impl Feed {
    fn start(context: &CommandContext, daemon: DaemonClient) -> Self {
        let (to, events) = mpsc::channel(MAX_QUEUED_EVENTS);
        let task = tokio::spawn(follow_pending(daemon, context.paths.clone(), to)).abort_handle();
        Self { events, task }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A line of the stream.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum StreamLine<'a> {
    /// Exactly these tasks wait. Each follows as a `task`.
    Anew { waiting: &'a [TaskId] },
    /// A waiting task.
    Task { task: &'a Task, hints: Option<ToolHints> },
    /// A notice of a change.
    Notice { seq: u64, at: Timestamp, notice: &'a Notice },
    /// Whether everything is paused.
    Paused { paused: bool },
    /// The daemon is connected.
    Connected,
    /// The connection is lost and is being restored.
    Lost { why: &'a str },
}

/// Prints one JSON object per line.
async fn print_stream(context: &CommandContext) -> CommandResult {
    let mut feed = Feed::start(context, context.connect_daemon().await?);
    while let Some(event) = feed.events.recv().await {
        let line = match &event {
            FeedEvent::Connected(_) => StreamLine::Connected,
            FeedEvent::Disconnected(why) => StreamLine::Lost { why },
            FeedEvent::Paused(paused) => StreamLine::Paused { paused: *paused },
            FeedEvent::WaitingReset(waiting) => StreamLine::Anew { waiting },
            FeedEvent::TaskWaits(look) => StreamLine::Task { task: &look.task, hints: look.hints },
            FeedEvent::NoticeEntry(entry) => {
                StreamLine::Notice { seq: entry.seq, at: entry.at, notice: &entry.notice }
            }
            FeedEvent::Failed(_) => {
                let FeedEvent::Failed(failure) = event else { continue };
                return Err(failure);
            }
        };
        context.output.print_json_line(&line)?;
    }
    Ok(())
}
