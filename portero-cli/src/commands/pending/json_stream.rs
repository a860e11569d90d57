//! `portero pending --watch --json`: one JSON object a line, for programs. It decides nothing.

use jiff::Timestamp;
use portero::catalog::ToolHints;
use portero::names::TaskId;
use portero::notice::Notice;
use portero::task::Task;
use serde::Serialize;
use tokio::sync::mpsc;

use super::super::CommandContext;
use super::feed::{FeedEvent, follow_pending};
use crate::failure::CommandResult;

/// How many lines may wait for whoever reads them; then the daemon waits.
const MAX_QUEUED_EVENTS: usize = 16;

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum StreamLine<'a> {
    /// The tasks that wait now, and no others. Each follows as a `task`.
    Anew { waiting: &'a [TaskId] },
    /// A task that waits.
    Task { task: &'a Task, hints: Option<ToolHints> },
    /// Something changed.
    Notice { seq: u64, at: Timestamp, notice: &'a Notice },
    /// Whether everything is paused.
    Paused { paused: bool },
    /// The daemon is there.
    Connected,
    /// The daemon is gone; it is looked for.
    Lost { why: &'a str },
}

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let (to, mut heard) = mpsc::channel(MAX_QUEUED_EVENTS);
    let following = tokio::spawn(follow_pending(daemon, context.paths.clone(), to));
    let outcome = print_events(context, &mut heard).await;
    following.abort();
    outcome
}

async fn print_events(context: &CommandContext, heard: &mut mpsc::Receiver<FeedEvent>) -> CommandResult {
    while let Some(heard) = heard.recv().await {
        let line = match &heard {
            FeedEvent::Connected(_) => StreamLine::Connected,
            FeedEvent::Disconnected(why) => StreamLine::Lost { why },
            FeedEvent::Paused(paused) => StreamLine::Paused { paused: *paused },
            FeedEvent::WaitingReset(waiting) => StreamLine::Anew { waiting },
            FeedEvent::TaskWaits(look) => StreamLine::Task { task: &look.task, hints: look.hints },
            FeedEvent::NoticeEntry(entry) => {
                StreamLine::Notice { seq: entry.seq, at: entry.at, notice: &entry.notice }
            }
            FeedEvent::Failed(_) => {
                let FeedEvent::Failed(failure) = heard else { continue };
                return Err(failure);
            }
        };
        context.output.print_json_line(&line)?;
    }
    Ok(())
}
