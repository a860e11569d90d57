//! Waiting calls: the lists, the lookup by a part of an id, one call in full, and its repetition.

use std::fmt::Write as _;

use portero::call::{Call, Method};
use portero::ipc::requests::approvals::{AskAgain, FindTasks, GetTask, InspectTask, ListTasks, RevealTask};
use portero::ipc::{FailureKind, RealTask};
use portero::json::pretty::{pretty_print, pretty_print_decoded};
use portero::json::{RawJson, RawObject};
use portero::names::TaskId;
use portero::policy::DecisionSource;
use portero::task::{Task, TaskState};

use super::{CommandContext, pins};
use crate::args;
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, excerpt, format_age, quote_block};
use crate::terminal::TerminalDevice;

/// For [`fetch_tasks`]: no limit.
pub(super) const NO_LIMIT: u32 = u32::MAX;
/// How many characters of an id a table shows. They come from its random end, because ids of one minute begin
/// alike.
const SHORT_ID_CHARS: usize = 8;

pub(super) async fn list_tasks(context: &CommandContext, args: args::TasksArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let found = fetch_tasks(&daemon, args.state, args.limit).await?;
    context.output.print_value_or_text(&found, |out| {
        if found.is_empty() {
            out.print_note("there are no such tasks");
            return Ok(());
        }
        print_tasks(out, &found)?;
        // A full page may have been cut by the limit, so the person learns of the option.
        if found.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX) {
            out.print_note(format_args!("these are the newest {}; `--limit` shows more", found.len()));
        }
        Ok(())
    })?;
    Ok(())
}

/// Lists the waiting calls.
pub(super) async fn list_pending(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let waiting = fetch_tasks(&daemon, Some(TaskState::PendingApproval), NO_LIMIT).await?;
    context.output.print_value_or_text(&waiting, |out| {
        if waiting.is_empty() {
            out.print_note("nothing waits for you");
            return Ok(());
        }
        print_tasks(out, &waiting)?;
        out.print_note(
            "`portero task ID` shows a whole call, `portero approve ID` runs it, `portero reject ID` refuses it; \
             `portero pending --watch` does all three",
        );
        Ok(())
    })?;
    Ok(())
}

pub(super) async fn show_task(context: &CommandContext, args: &args::TaskArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let task = find_task(&daemon, &args.id, None).await?;
    if args.real {
        return show_real_values(&daemon, &task, args.telegram).await;
    }
    let text = describe_with_definition(&daemon, &task).await?;
    context.output.print_value_or_text(&task, |out| out.print_line(&text))?;
    Ok(())
}

/// The whole task, and how its tool's definition differs if it waits because of that.
pub(super) async fn describe_with_definition(daemon: &DaemonClient, task: &Task) -> CommandResult<String> {
    let text = describe_task(task);
    let is_asked_for = matches!(task.decision.source, DecisionSource::Definition(_));
    if task.state != TaskState::PendingApproval || !is_asked_for {
        return Ok(text);
    }
    let look = daemon.request(InspectTask { task: task.id }).await?;
    Ok(match &look.definition {
        Some(definition) => format!("{text}\n{}", pins::describe_task_definition(definition)),
        None => text,
    })
}

/// Shows the real values on the terminal device. They never go to stdout, where a program could read them.
async fn show_real_values(daemon: &DaemonClient, task: &Task, telegram: bool) -> CommandResult {
    let act = ConfirmedAct::ShowRealValues(&task.call.tool.server);
    let mut terminal = elevate::open_prompt(daemon, &act, telegram).await?;
    terminal.print_line(describe_task(task))?;
    let reveal = |challenge| RevealTask { task: task.id, challenge };
    let real = elevate::send_confirmed(daemon, &mut terminal, &act, reveal).await?;
    let RealTask { params, meta, result, error } = &*real;
    terminal.print_line(format_args!("\nREAL VALUES, as {} sees them", task.call.tool.server))?;
    let blocks = [
        ("params", Some(params)),
        ("_meta", meta.as_ref()),
        ("result", result.as_ref()),
        ("error", error.as_ref()),
    ];
    for (title, json) in blocks {
        if let Some(json) = json {
            terminal.print_line(format_args!("{title}\n{}", quote_block(&pretty_print(json.expose()))))?;
        }
    }
    Ok(())
}

pub(super) async fn ask_again(context: &CommandContext, id: &str) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    // A terminal shows that a person asks. An agent makes its calls through its own session.
    drop(TerminalDevice::open("to ask again")?);
    let ended = find_task(&daemon, id, None).await?;
    let mut challenge = None;
    let task = loop {
        // The first request has no challenge. Only if the daemon demands one, because the call was rejected a
        // moment ago, the person is asked and the request is made once more.
        let insists = challenge.is_some();
        match daemon.request_or_refusal(AskAgain { task: ended.id, challenge: challenge.take() }).await? {
            Ok(task) => break task,
            Err(refused) if refused.kind == FailureKind::Challenge && !insists => {
                let mut person = elevate::open_with_passphrase(&daemon, &ConfirmedAct::AskAgain).await?;
                person.print_line(&refused.message)?;
                challenge = Some(elevate::prompt_challenge(&mut person, &ConfirmedAct::AskAgain)?);
            }
            Err(refused) => return Err(refused.into()),
        }
    };
    context.output.print_value_or_text(&task, |out| {
        let (tool, short) = (&task.call.tool, short_id(task.id));
        out.print_line(format_args!("{}: {tool} waits for you again; run `portero approve {short}`", task.id))
    })?;
    Ok(())
}

/// The daemon's tasks, the newest first. Very long calls take several requests.
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
        // An empty page ends the loop as well: a full page may be cut by its size, but never to nothing.
        let over = more.is_empty() || more.len() >= usize::try_from(left).unwrap_or(usize::MAX);
        found.extend(more);
        if over {
            return Ok(found);
        }
    }
}

/// The task whose id is `typed`, or begins or ends with it.
pub(super) async fn find_task(
    daemon: &DaemonClient,
    typed: &str,
    state: Option<TaskState>,
) -> CommandResult<Task> {
    // A whole id needs no search, and so also names a task that the search would not list.
    if let Ok(task) = typed.parse() {
        return fetch_task(daemon, task).await;
    }
    let found = daemon.request(FindTasks { part: typed.to_owned(), state }).await?;
    match found.as_slice() {
        [task] => fetch_task(daemon, *task).await,
        [_, _, ..] => Err(CommandFailure::usage(format!("`{typed}` matches {} tasks", found.len()))
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

pub(super) async fn fetch_task(daemon: &DaemonClient, task: TaskId) -> CommandResult<Task> {
    Ok(*daemon.request(GetTask { task }).await?)
}

/// As [`find_task`], where a part of an id means a waiting task if it fits one. The task may have ended.
pub(super) async fn find_task_to_decide(daemon: &DaemonClient, typed: &str) -> CommandResult<Task> {
    match find_task(daemon, typed, Some(TaskState::PendingApproval)).await {
        // The first failure is reported, because it names waiting tasks, which is what the person wanted.
        Err(failure) => find_task(daemon, typed, None).await.map_err(|_| failure),
        Ok(task) => Ok(task),
    }
}

/// The refusal to decide a task that does not wait any more; none while it waits.
pub(super) fn refuse_decided(task: &Task) -> Option<CommandFailure> {
    let short = short_id(task.id);
    (task.state != TaskState::PendingApproval).then(|| {
        CommandFailure::refused(format!("task {short} does not wait any more: it is {}", task.state))
            .with_hint(format!("`portero task {short}` shows it"))
    })
}

/// The end of an id, which usually suffices to name a task.
pub(super) fn short_id(id: TaskId) -> String {
    let id = id.to_string();
    id[id.len() - SHORT_ID_CHARS..].to_owned()
}

/// Prints tasks, one per line. Long arguments are cut with a mark; [`show_task`] shows them in full.
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

/// The whole task. Text of an agent or a server is behind a bar.
pub(super) fn describe_task(task: &Task) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:9} {}", escape_hidden(value));
    };
    field("task", &task.id.to_string());
    field("state", task.state.as_str());
    field("tool", &task.call.tool.to_string());
    if let Some(odd) = task.call.odd_name() {
        field("named", &odd);
    }
    field("method", task.call.method.as_str());
    field("why", &task.decision.to_string());
    for quorum in &task.quorums {
        field("needs", &quorum.to_string());
    }
    if let Some(far) = task.quorum_progress() {
        field("has", &far);
    } else if !task.votes.is_empty() {
        field("by", &portero::policy::quorum::describe_voters(&task.votes));
    }
    field("project", task.origin.principal.as_str());
    // The call runs in this directory, whatever the project is called, so a difference must be visible.
    if task.origin.directory.as_os_str() != task.origin.principal.as_str() {
        field("runs in", &task.origin.directory.to_string_lossy());
    }
    field("client", task.origin.client.get());
    field("asked", &task.asked.to_string());
    field("changed", &task.changed.to_string());
    field("expires", &task.expires.to_string());
    if let Some(note) = &task.note {
        field("note", note.get());
    }
    if let Some(before) = task.repeats {
        field("again of", &before.to_string());
    }
    if let Some(later) = task.repeated {
        field("again as", &later.to_string());
    }
    let mut block = |title: &str, json: &str| {
        let _ = writeln!(text, "{title}\n{}", quote_block(&pretty_print_decoded(json)));
    };
    if let Some(arguments) = task.call.arguments() {
        block("arguments", arguments.get());
    }
    if let Some(beside) = other_params(&task.call) {
        block("other parameters, sent to the server too", beside.get());
    }
    if let Some(meta) = &task.call.meta {
        block("_meta, sent to the server too", meta.get().get());
    }
    text.push_str(&describe_answer(task));
    text.truncate(text.trim_end().len());
    text
}

/// What the server answered, behind a bar; empty where there is no answer.
pub(super) fn describe_answer(task: &Task) -> String {
    let answers = [("result", &task.result), ("error", &task.error)];
    let blocks = answers.into_iter().filter_map(|(title, json)| {
        let json = json.as_ref()?;
        Some(format!("{title}\n{}\n", quote_block(&pretty_print_decoded(json.get().get()))))
    });
    blocks.collect()
}

/// Why a terminal can't approve this task, if several people must do so on Telegram.
pub(super) fn explain_quorum(task: &Task) -> Option<String> {
    let wanted: Vec<String> = task.quorums.iter().map(ToString::to_string).collect();
    let far = task.quorum_progress()?;
    Some(format!(
        "{} needs {} on Telegram, and has {far}; a terminal cannot approve it",
        task.call.tool,
        wanted.join(" and ")
    ))
}

/// The params besides the tool's name and its arguments, if any.
fn other_params(call: &Call) -> Option<RawJson> {
    let whole = RawObject::read(call.params.get()).ok()?;
    match call.method {
        Method::CallTool | Method::GetPrompt => {
            let beside = whole.without_members(|key| matches!(key, "name" | "arguments"));
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // For these methods the arguments are already the whole params.
        Method::ReadResource | Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(params: &str) -> Call {
        let call = format!(r#"{{"tool":"office/send_mail","method":"tools/call","params":{params}}}"#);
        serde_json::from_str(&call).unwrap()
    }

    fn task_in(directory: &str, arguments: &serde_json::Value) -> Task {
        let text = serde_json::json!({
                "id": "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f",
                "state": "pending-approval",
                "call": {"tool": "a/b", "method": "tools/call", "params": {"name": "b", "arguments": arguments}},
                "decision": {"action": "require-approval", "pattern": null, "source": "default", "locked": false},
                "origin": {
                    "principal": "/work", "session": "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f",
                    "client": "c", "directory": directory,
                },
                "binding": "", "asked": "2026-01-02T03:04:05Z", "expires": "2026-01-02T03:04:05Z",
                "changed": "2026-01-02T03:04:05Z", "note": null, "result": null, "error": null,
        });
        serde_json::from_str(&text.to_string()).unwrap()
    }

    #[test]
    fn json_in_a_text_is_shown_decoded() {
        let arguments = serde_json::json!({ "hosts_json": r#"["we\u00622"]"# });
        let shown = describe_task(&task_in("/work", &arguments));
        assert!(shown.contains("\n  │   \"hosts_json\": JSON in a text: [\n  │     \"web2\"\n"), "{shown}");
    }

    #[test]
    fn a_call_that_runs_elsewhere_than_in_its_project_says_so() {
        let task = |directory: &str| task_in(directory, &serde_json::json!({}));
        assert!(!describe_task(&task("/work")).contains("runs in"));
        assert!(
            describe_task(&task("/tmp/trap\nproject   /work"))
                .contains("runs in   /tmp/trap⏎project   /work")
        );
    }

    #[test]
    fn what_stands_beside_the_arguments_is_not_hidden() {
        assert!(other_params(&call(r#"{"name":"send_mail","arguments":{}}"#)).is_none());
        let beside = other_params(&call(r#"{"name":"send_mail","arguments":{},"task":{"ttl":1}}"#)).unwrap();
        assert_eq!(beside.get(), r#"{"task":{"ttl":1}}"#);
    }
}
