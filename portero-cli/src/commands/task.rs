//! `portero task ID`: one task, whole.

use std::fmt::Write as _;

use portero::task::Task;

use super::{Context, tasks};
use crate::failure::Outcome;
use crate::output::{quoted, readable_json, visible};

pub(super) async fn run(context: &Context, id: &str) -> Outcome {
    let daemon = context.daemon().await?;
    let task = tasks::find(&daemon, id, None).await?;
    context.output.show(&task, |out| out.line(describe(&task)))?;
    Ok(())
}

/// Everything about a task; what an agent or a server wrote stands whole, behind a bar.
pub(super) fn describe(task: &Task) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:9} {}", visible(value));
    };
    field("task", &task.id.to_string());
    field("state", task.state.as_str());
    field("tool", &task.call.tool.to_string());
    field("method", task.call.method.as_str());
    field("why", &task.decision.to_string());
    field("project", task.origin.principal.as_str());
    field("client", task.origin.client.get());
    field("asked", &task.asked.to_string());
    field("changed", &task.changed.to_string());
    field("expires", &task.expires.to_string());
    if let Some(note) = &task.note {
        field("note", note.get());
    }
    let mut block = |title: &str, json: &str| {
        let _ = writeln!(text, "{title}\n{}", quoted(&readable_json(json)));
    };
    if let Some(arguments) = task.call.arguments() {
        block("arguments", arguments.get());
    }
    // What stands beside the arguments reaches the server too.
    block("whole call", task.call.params.get().get());
    if let Some(result) = &task.result {
        block("result", result.get().get());
    }
    if let Some(error) = &task.error {
        block("error", error.get().get());
    }
    text.truncate(text.trim_end().len());
    text
}
