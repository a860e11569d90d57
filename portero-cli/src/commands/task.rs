//! `portero task ID`: one task, whole.

use std::fmt::Write as _;

use portero::call::{Call, Method};
use portero::ipc::requests::approvals::RevealTask;
use portero::ipc::{RealTask, Risk};
use portero::json::pretty::pretty_print;
use portero::json::{RawJson, RawObject};
use portero::task::Task;

use super::{CommandContext, tasks};
use crate::args;
use crate::daemon::DaemonClient;
use crate::elevate;
use crate::failure::CommandResult;
use crate::output::{escape_hidden, quote_block};

pub(super) async fn run(context: &CommandContext, args: &args::TaskArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let task = tasks::find_task(&daemon, &args.id, None).await?;
    if args.real {
        return show_real_values(&daemon, &task, args.telegram).await;
    }
    context.output.print_value_or_text(&task, |out| out.print_line(describe_task(&task)))?;
    Ok(())
}

/// Shows the real values on the terminal device: never on stdout, where a program could read them.
async fn show_real_values(daemon: &DaemonClient, task: &Task, telegram: bool) -> CommandResult {
    let mut terminal = elevate::open_prompt(daemon, "to show real values", telegram).await?;
    terminal.print_line(describe_task(task))?;
    let act = format!("show here what {} really gets and answers", task.call.tool.server);
    let real = |challenge| RevealTask { task: task.id, challenge };
    let real = elevate::send_confirmed(daemon, &mut terminal, (&act, Risk::Low), real).await?;
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

/// Everything about a task; what an agent or a server wrote stands whole, behind a bar.
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
    // Where its server runs: what is approved runs there, whatever the project is called.
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
        let _ = writeln!(text, "{title}\n{}", quote_block(&pretty_print(json)));
    };
    if let Some(arguments) = task.call.arguments() {
        block("arguments", arguments.get());
    }
    if let Some(beside) = other_params(&task.call) {
        block("beside the arguments, for the server too", beside.get());
    }
    if let Some(meta) = &task.call.meta {
        block("_meta, for the server too", meta.get().get());
    }
    if let Some(result) = &task.result {
        block("result", result.get().get());
    }
    if let Some(error) = &task.error {
        block("error", error.get().get());
    }
    text.truncate(text.trim_end().len());
    text
}

/// Why nobody can approve this task alone, where several people have to on Telegram.
pub(super) fn explain_quorum(task: &Task) -> Option<String> {
    let wanted: Vec<String> = task.quorums.iter().map(ToString::to_string).collect();
    let far = task.quorum_progress()?;
    Some(format!(
        "{} takes {} on Telegram, and has {far}; a terminal is none of these people",
        task.call.tool,
        wanted.join(" and ")
    ))
}

/// What the server gets beside the tool's name and its arguments, if anything.
fn other_params(call: &Call) -> Option<RawJson> {
    let whole = RawObject::read(call.params.get()).ok()?;
    match call.method {
        Method::CallTool | Method::GetPrompt => {
            let beside = whole.without_members(|key| matches!(key, "name" | "arguments"));
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // Their arguments are the whole already.
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

    #[test]
    fn a_call_that_runs_elsewhere_than_in_its_project_says_so() {
        let task = |directory: &str| -> Task {
            let text = serde_json::json!({
                "id": "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f",
                "state": "pending-approval",
                "call": {"tool": "a/b", "method": "tools/call", "params": {"name": "b"}},
                "decision": {"action": "require-approval", "pattern": null, "source": "default", "locked": false},
                "origin": {
                    "principal": "/work", "session": "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f",
                    "client": "c", "directory": directory,
                },
                "binding": "", "asked": "2026-01-02T03:04:05Z", "expires": "2026-01-02T03:04:05Z",
                "changed": "2026-01-02T03:04:05Z", "note": null, "result": null, "error": null,
            });
            serde_json::from_str(&text.to_string()).unwrap()
        };
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
