//! Follows approved calls to their end, and shows how far they are and how they ended.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portero::ipc::TaskChanges;
use portero::ipc::requests::approvals::WatchTasks;
use portero::ipc::requests::overrides::GetOverrides;
use portero::notice::Notice;
use portero::task::{Task, TaskState};
use serde_json::Value;

use crate::commands::CommandContext;
use crate::commands::approvals::{describe_answer, fetch_task, short_id};
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, excerpt, format_duration, pluralize};
use crate::signals::TerminationSignals;

/// How often the elapsed time on the terminal is drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);
/// The width of a terminal that doesn't tell it.
const DEFAULT_COLUMNS: usize = 80;

/// Follows calls from before their approval on.
pub(super) struct RunFollower<'a> {
    context: &'a CommandContext,
    daemon: &'a DaemonClient,
    /// The place in the daemon's changes up to which everything is known.
    place: u64,
}

/// The calls at the moment at which following them ended.
#[derive(Default)]
pub(super) struct FollowedRuns {
    /// Those that ended, in the order of their ends.
    pub(super) ended: Vec<Task>,
    /// Those that go on, because the person stopped waiting.
    pub(super) left: Vec<Task>,
}

impl<'a> RunFollower<'a> {
    /// Begins to follow. Changes from here on are seen, also those of calls that are approved later.
    pub(super) async fn begin(context: &'a CommandContext, daemon: &'a DaemonClient) -> CommandResult<Self> {
        let place = daemon.request(WatchTasks { after: None }).await?.place;
        Ok(Self { context, daemon, place })
    }

    /// Waits until each of these calls has ended, or until a signal. Without `--json` it prints each outcome.
    ///
    /// # Errors
    /// If the daemon goes away. What happens to the calls is unknown then.
    pub(super) async fn follow(
        mut self,
        approved: Vec<Task>,
        signals: &mut TerminationSignals,
    ) -> CommandResult<FollowedRuns> {
        let mut runs = FollowedRuns { ended: Vec::new(), left: approved };
        let mut progress = RunProgress::new(self.context);
        let followed = self.follow_runs(&mut runs, &mut progress, signals).await;
        progress.clear_line();
        // The daemon's absence says nothing about the calls, so the person learns where to look.
        followed.map_err(|failure| match runs.left.first() {
            Some(task) => failure.with_hint(format!(
                "the call is approved; `portero task {}` shows how it ends",
                short_id(task.id)
            )),
            None => failure,
        })?;
        Ok(runs)
    }

    async fn follow_runs(
        &mut self,
        runs: &mut FollowedRuns,
        progress: &mut RunProgress,
        signals: &mut TerminationSignals,
    ) -> CommandResult {
        loop {
            self.refresh(runs, progress).await?;
            if runs.left.is_empty() {
                return Ok(());
            }
            progress.tell_states(&runs.left, find_pause(self.daemon).await?);
            let Some(()) = self.wait_for_change(runs, progress, signals).await? else { return Ok(()) };
        }
    }

    /// Reads each open call again, and prints the outcome of those that ended.
    async fn refresh(&self, runs: &mut FollowedRuns, progress: &mut RunProgress) -> CommandResult {
        for known in std::mem::take(&mut runs.left) {
            let task = fetch_task(self.daemon, known.id).await?;
            if !task.state.is_final() {
                runs.left.push(task);
                continue;
            }
            progress.clear_line();
            if !self.context.output.wants_json() {
                self.context.output.print_line(describe_outcome(&task))?;
            }
            runs.ended.push(task);
        }
        Ok(())
    }

    /// Returns once something changed that concerns these calls; none after a signal.
    async fn wait_for_change(
        &mut self,
        runs: &FollowedRuns,
        progress: &mut RunProgress,
        signals: &mut TerminationSignals,
    ) -> CommandResult<Option<()>> {
        loop {
            let watching = self.daemon.request(WatchTasks { after: Some(self.place) });
            tokio::pin!(watching);
            let changes = loop {
                tokio::select! {
                    changes = &mut watching => break changes?,
                    () = tokio::time::sleep(REDRAW_INTERVAL) => progress.draw_line(&runs.left),
                    () = signals.recv() => return Ok(None),
                }
            };
            self.place = changes.place;
            if concerns(&changes, &runs.left) {
                return Ok(Some(()));
            }
        }
    }
}

fn concerns(changes: &TaskChanges, tasks: &[Task]) -> bool {
    // Where changes are gone, everything is read again.
    changes.anew.is_some()
        || changes.entries.iter().any(|entry| match &entry.notice {
            Notice::Task { task, .. } => tasks.iter().any(|known| known.id == *task),
            Notice::Paused | Notice::Resumed => true,
            Notice::Vote { .. }
            | Notice::Grant { .. }
            | Notice::Rule { .. }
            | Notice::Token { .. }
            | Notice::Config { .. }
            | Notice::Definitions { .. }
            | Notice::Login { .. }
            | Notice::Alarm { .. } => false,
        })
}

/// Tells how far the calls are: on a terminal in one line that changes, elsewhere in a line for each change.
struct RunProgress {
    /// Whether stderr is a terminal on which a line can be drawn again.
    is_live: bool,
    begin: Instant,
    told: Vec<(portero::names::TaskId, TaskState)>,
    is_paused: bool,
    /// How many characters the line has.
    drawn: usize,
}

impl RunProgress {
    fn new(context: &CommandContext) -> Self {
        let is_dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
        let is_live = std::io::stderr().is_terminal() && !is_dumb && !context.output.wants_json();
        Self { is_live, begin: Instant::now(), told: Vec::new(), is_paused: false, drawn: 0 }
    }

    /// Tells the state of each call where it differs from the last one, and a pause where one began.
    fn tell_states(&mut self, tasks: &[Task], is_paused: bool) {
        for task in tasks {
            let known = (task.id, task.state);
            // The approval itself was told by the command.
            if !self.told.contains(&known) && task.state != TaskState::Approved && !self.is_live {
                print_progress(format_args!("{} {} is {}", task.call.tool, short_id(task.id), task.state));
            }
            self.told.push(known);
            if is_paused && !self.is_paused && task.state == TaskState::Approved {
                self.clear_line();
                print_progress(describe_pause(task));
            }
        }
        self.is_paused = is_paused;
    }

    /// Draws the line of the terminal.
    fn draw_line(&mut self, tasks: &[Task]) {
        if !self.is_live {
            return;
        }
        let columns = match ratatui::crossterm::terminal::size() {
            // Some terminals say zero where they don't know.
            Ok((width, _)) if width > 0 => usize::from(width),
            Ok(_) | Err(_) => DEFAULT_COLUMNS,
        };
        let text = describe_progress(tasks, self.is_paused, self.begin.elapsed());
        // A line that wraps could not be drawn over.
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        self.replace_line(&text);
        self.drawn = text.chars().count();
    }

    fn clear_line(&mut self) {
        if self.drawn > 0 {
            self.replace_line("");
            let _ = write!(anstream::stderr().lock(), "\r");
            self.drawn = 0;
        }
    }

    /// Writes over the drawn line. Spaces clear the rest: not every terminal knows an escape sequence for that.
    fn replace_line(&self, text: &str) {
        let mut out = anstream::stderr().lock();
        // A closed stderr has no reader, so the error is ignored.
        let _ = write!(out, "\r{text:width$}", width = self.drawn).and_then(|()| out.flush());
    }
}

fn print_progress(text: impl std::fmt::Display) {
    // A closed stderr has no reader, so the error is ignored.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn describe_progress(tasks: &[Task], is_paused: bool, elapsed: Duration) -> String {
    let what = match tasks {
        [task] if is_paused && task.state == TaskState::Approved => {
            format!("{} waits for `portero resume`", task.call.tool)
        }
        [task] => format!("{} is {}", task.call.tool, task.state),
        tasks => {
            let running = tasks.iter().filter(|task| task.state == TaskState::Executing).count();
            let waiting = tasks.len() - running;
            let waits = if is_paused { "waiting for `portero resume`" } else { "about to start" };
            match waiting {
                0 => format!("{} executing", pluralize(running, "call is", "calls are")),
                _ => format!("{running} executing, {waiting} {waits}"),
            }
        }
    };
    format!("{what}, {}; Ctrl-C stops waiting, not the call", format_duration(elapsed))
}

/// Whether everything is paused.
pub(super) async fn find_pause(daemon: &DaemonClient) -> CommandResult<bool> {
    Ok(daemon.request(GetOverrides).await?.paused.is_some())
}

/// Why an approved call does not start while everything is paused, and how long it waits.
pub(super) fn describe_pause(task: &Task) -> String {
    let left = Duration::try_from(task.expires.duration_since(Timestamp::now())).unwrap_or_default();
    format!(
        "note: everything is paused; {} starts after `portero resume`, if that is before {} (in {})",
        task.call.tool,
        task.expires,
        format_duration(left)
    )
}

/// How a call ended, with what the server answered.
fn describe_outcome(task: &Task) -> String {
    let mut text = format!("{}: {} is {}", task.id, task.call.tool, task.state);
    if answers_with_error(task) {
        text.push_str("; its result says that it failed");
    }
    if let Some(note) = &task.note {
        text.push_str(&format!("\nnote      {}", escape_hidden(note.get())));
    }
    text.push('\n');
    text.push_str(&describe_answer(task));
    text.truncate(text.trim_end().len());
    text
}

/// Whether the result is one of MCP's with `isError`. The call itself is completed then.
fn answers_with_error(task: &Task) -> bool {
    let result =
        task.result.as_ref().and_then(|result| serde_json::from_str::<Value>(result.get().get()).ok());
    result.is_some_and(|result| result["isError"] == true)
}

/// The failure of a command whose call ended in another way than completed.
pub(super) fn run_failure(task: &Task) -> CommandFailure {
    let note = task.note.as_ref().map(|note| excerpt(note.get(), 200));
    let why = note.map_or_else(String::new, |note| format!(": {note}"));
    let failure = CommandFailure::refused(format!("{} is {}{why}", task.call.tool, task.state));
    match task.state {
        TaskState::Interrupted => failure.with_hint(
            "whether it took effect is unknown; look at the server before you run `portero again`",
        ),
        _ => failure.with_hint(format!("`portero again {}` asks for it again", short_id(task.id))),
    }
}
