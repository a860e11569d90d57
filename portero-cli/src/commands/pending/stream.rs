//! `portero pending --watch --json`: one JSON object a line, for programs. It decides nothing.

use jiff::Timestamp;
use portero::catalog::Hints;
use portero::names::TaskId;
use portero::notice::Notice;
use portero::task::Task;
use serde::Serialize;
use tokio::sync::mpsc;

use super::super::Context;
use super::follow::{Heard, follow};
use crate::failure::Outcome;

/// How many lines may wait for whoever reads them; then the daemon waits.
const WAITING: usize = 16;

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    /// The tasks that wait now, and no others. Each follows as a `task`.
    Anew { waiting: &'a [TaskId] },
    /// A task that waits.
    Task { task: &'a Task, hints: Option<Hints> },
    /// Something changed.
    Notice { seq: u64, at: Timestamp, notice: &'a Notice },
    /// Whether everything is paused.
    Paused { paused: bool },
    /// The daemon is there.
    Connected,
    /// The daemon is gone; it is looked for.
    Lost { why: &'a str },
}

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let (to, mut heard) = mpsc::channel(WAITING);
    let following = tokio::spawn(follow(daemon, context.paths.clone(), to));
    let outcome = print(context, &mut heard).await;
    following.abort();
    outcome
}

async fn print(context: &Context, heard: &mut mpsc::Receiver<Heard>) -> Outcome {
    while let Some(heard) = heard.recv().await {
        let line = match &heard {
            Heard::Up(_) => Line::Connected,
            Heard::Down(why) => Line::Lost { why },
            Heard::Paused(paused) => Line::Paused { paused: *paused },
            Heard::Anew(waiting) => Line::Anew { waiting },
            Heard::Waits(look) => Line::Task { task: &look.task, hints: look.hints },
            Heard::Entry(entry) => Line::Notice { seq: entry.seq, at: entry.at, notice: &entry.notice },
            Heard::Failed(_) => {
                let Heard::Failed(failure) = heard else { continue };
                return Err(failure);
            }
        };
        context.output.value_line(&line)?;
    }
    Ok(())
}
