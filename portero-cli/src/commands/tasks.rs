//! `portero tasks`: calls that waited or wait for a person.

use portero::ipc::requests::approvals::{FindTasks, GetTask, ListTasks};

use portero::names::TaskId;
use portero::task::{Task, TaskState};

use super::CommandContext;
use crate::args;
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, excerpt, format_age};

/// As many as there are.
pub(super) const NO_LIMIT: u32 = u32::MAX;
/// How many characters of an id's end are shown in tables: the random end, since ids of one minute begin
/// alike.
const SHORT_ID_CHARS: usize = 8;

pub(super) async fn run(context: &CommandContext, args: args::TasksArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let found = fetch_tasks(&daemon, args.state, args.limit).await?;
    context.output.print_value_or_text(&found, |out| {
        if found.is_empty() {
            out.print_note("there are no such tasks");
            return Ok(());
        }
        print_tasks(out, &found)?;
        if found.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX) {
            out.print_note(format_args!("these are the newest {}; `--limit` shows more", found.len()));
        }
        Ok(())
    })?;
    Ok(())
}

/// The daemon's tasks, the newest first; with very long calls in several answers.
pub(super) async fn fetch_tasks(
    daemon: &DaemonClient,
    state: Option<TaskState>,
    limit: u32,
) -> CommandResult<Vec<Task>> {
    let mut found: Vec<Task> = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let after = found.last().map(Task::cursor);
        let more = daemon.request(ListTasks { state, after, limit: left }).await?;
        let over = more.is_empty() || more.len() >= usize::try_from(left).unwrap_or(usize::MAX);
        found.extend(more);
        if over {
            return Ok(found);
        }
    }
}

/// The one task that `typed` is the id of, or a beginning or end of it.
pub(super) async fn find_task(
    daemon: &DaemonClient,
    typed: &str,
    state: Option<TaskState>,
) -> CommandResult<Task> {
    if let Ok(task) = typed.parse() {
        return fetch_task(daemon, task).await;
    }
    let found = daemon.request(FindTasks { part: typed.to_owned(), state }).await?;
    match found.as_slice() {
        [task] => fetch_task(daemon, *task).await,
        [_, _, ..] => Err(CommandFailure::usage(format!("`{typed}` fits {} tasks", found.len()))
            .with_hint("type more of the id; `portero tasks` lists them")),
        [] => Err(CommandFailure::refused(format!(
            "no {}task has an id that begins or ends with `{typed}`",
            match state {
                Some(TaskState::PendingApproval) => "waiting ",
                _ => "",
            }
        ))
        .with_hint("`portero tasks` lists them")),
    }
}

async fn fetch_task(daemon: &DaemonClient, task: TaskId) -> CommandResult<Task> {
    Ok(*daemon.request(GetTask { task }).await?)
}

/// As [`find`], a task that still waits for a person; one that does not any more is told as such.
pub(super) async fn find_waiting_task(daemon: &DaemonClient, typed: &str) -> CommandResult<Task> {
    let found = match find_task(daemon, typed, Some(TaskState::PendingApproval)).await {
        // Several wait: which one is meant is not told by those that don't.
        Err(failure) => find_task(daemon, typed, None).await.map_err(|_| failure)?,
        Ok(task) => task,
    };
    if found.state == TaskState::PendingApproval {
        return Ok(found);
    }
    Err(CommandFailure::refused(format!(
        "task {} does not wait any more: it is {}",
        short_id(found.id),
        found.state
    ))
    .with_hint(format!("`portero task {}` shows it", short_id(found.id))))
}

/// The end of an id, which is enough to name a task.
pub(super) fn short_id(id: TaskId) -> String {
    let id = id.to_string();
    id[id.len() - SHORT_ID_CHARS..].to_owned()
}

/// Prints tasks, one a line. Arguments are cut here, with a mark; [`super::task`] shows them whole.
pub(super) fn print_tasks(out: &Output, tasks: &[Task]) -> std::io::Result<()> {
    let rows = tasks.iter().map(|task| {
        let arguments = task.call.arguments().map_or("", |arguments| arguments.get());
        [
            short_id(task.id),
            task.quorum_progress()
                .map_or_else(|| task.state.to_string(), |far| format!("{}, {far}", task.state)),
            task.call.tool.to_string(),
            excerpt(arguments, 48),
            format_age(task.asked),
            excerpt(task.origin.principal.as_str(), 60),
        ]
    });
    out.print_table(["ID", "STATE", "TOOL", "ARGUMENTS", "ASKED", "PROJECT"], rows.collect())
}
