//! `portero tasks`: calls that waited or wait for a person.

use portero::ipc::requests::approvals::{FindTasks, GetTask, ListTasks};

use portero::names::TaskId;
use portero::task::{State, Task};

use super::Context;
use crate::args;
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, ago, excerpt};

/// As many as there are.
pub(super) const ALL: u32 = u32::MAX;
/// How many characters of an id's end are shown in tables: the random end, since ids of one minute begin
/// alike.
const SHORT: usize = 8;

pub(super) async fn run(context: &Context, args: args::Tasks) -> Outcome {
    let daemon = context.daemon().await?;
    let found = list(&daemon, args.state, args.limit).await?;
    context.output.show(&found, |out| {
        if found.is_empty() {
            out.talk("there are no such tasks");
            return Ok(());
        }
        table(out, &found)?;
        if found.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX) {
            out.talk(format_args!("these are the newest {}; `--limit` shows more", found.len()));
        }
        Ok(())
    })?;
    Ok(())
}

/// The daemon's tasks, the newest first; with very long calls in several answers.
pub(super) async fn list(daemon: &Daemon, state: Option<State>, limit: u32) -> Outcome<Vec<Task>> {
    let mut found: Vec<Task> = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let after = found.last().map(Task::place);
        let more = daemon.request(ListTasks { state, after, limit: left }).await?;
        let over = more.is_empty() || more.len() >= usize::try_from(left).unwrap_or(usize::MAX);
        found.extend(more);
        if over {
            return Ok(found);
        }
    }
}

/// The one task that `typed` is the id of, or a beginning or end of it.
pub(super) async fn find(daemon: &Daemon, typed: &str, state: Option<State>) -> Outcome<Task> {
    if let Ok(task) = typed.parse() {
        return whole(daemon, task).await;
    }
    let found = daemon.request(FindTasks { part: typed.to_owned(), state }).await?;
    match found.as_slice() {
        [task] => whole(daemon, *task).await,
        [_, _, ..] => Err(Failure::usage(format!("`{typed}` fits {} tasks", found.len()))
            .hint("type more of the id; `portero tasks` lists them")),
        [] => Err(Failure::refused(format!(
            "no {}task has an id that begins or ends with `{typed}`",
            match state {
                Some(State::PendingApproval) => "waiting ",
                _ => "",
            }
        ))
        .hint("`portero tasks` lists them")),
    }
}

async fn whole(daemon: &Daemon, task: TaskId) -> Outcome<Task> {
    Ok(*daemon.request(GetTask { task }).await?)
}

/// As [`find`], a task that still waits for a person; one that does not any more is told as such.
pub(super) async fn waiting(daemon: &Daemon, typed: &str) -> Outcome<Task> {
    let found = match find(daemon, typed, Some(State::PendingApproval)).await {
        // Several wait: which one is meant is not told by those that don't.
        Err(failure) => find(daemon, typed, None).await.map_err(|_| failure)?,
        Ok(task) => task,
    };
    if found.state == State::PendingApproval {
        return Ok(found);
    }
    Err(Failure::refused(format!("task {} does not wait any more: it is {}", short(found.id), found.state))
        .hint(format!("`portero task {}` shows it", short(found.id))))
}

/// The end of an id, which is enough to name a task.
pub(super) fn short(id: TaskId) -> String {
    let id = id.to_string();
    id[id.len() - SHORT..].to_owned()
}

/// Prints tasks, one a line. Arguments are cut here, with a mark; [`super::task`] shows them whole.
pub(super) fn table(out: &Output, tasks: &[Task]) -> std::io::Result<()> {
    let rows = tasks.iter().map(|task| {
        let arguments = task.call.arguments().map_or("", |arguments| arguments.get());
        [
            short(task.id),
            task.progress().map_or_else(|| task.state.to_string(), |far| format!("{}, {far}", task.state)),
            task.call.tool.to_string(),
            excerpt(arguments, 48),
            ago(task.asked),
            excerpt(task.origin.principal.as_str(), 60),
        ]
    });
    out.table(["ID", "STATE", "TOOL", "ARGUMENTS", "ASKED", "PROJECT"], rows.collect())
}
