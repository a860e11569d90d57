//! The waiting calls that a grant or an allowing rule allows: shown before the confirmation, and run with it.

use portero::ipc::Act;
use portero::ipc::requests::approvals::{CheckApproval, GetTask};
use portero::ipc::requests::overrides::PreviewWaiting;
use portero::names::TaskId;
use portero::task::{Task, TaskState};
use serde::Serialize;

use super::approvals::{describe_task, short_id};
use crate::daemon::DaemonClient;
use crate::elevate::ConfirmationPrompt;
use crate::failure::CommandResult;
use crate::output::{Output, pluralize};

/// What came of a waiting call that was to run too.
#[derive(Debug, Serialize)]
pub(super) struct WaitingOutcome {
    task: TaskId,
    tool: String,
    /// Its state now.
    state: TaskState,
    /// Why it waits on.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Shows the waiting calls that `act` would allow. Returns those that are to run too: all of them with `run_all` or if the
/// person says so, else none.
pub(super) async fn choose_waiting(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    act: &Act,
    run_all: bool,
) -> CommandResult<Vec<TaskId>> {
    let waiting = daemon.request(PreviewWaiting { act: act.clone() }).await?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let count = waiting.len();
    for (at, task) in waiting.iter().enumerate() {
        person.print_line(format_args!("\nWaiting call {} of {count}\n{}", at + 1, describe_task(task)))?;
    }
    let calls = pluralize(count, "waiting call", "waiting calls");
    let (them, they) = if count == 1 { ("it", "It runs") } else { ("them", "They run") };
    let run = if run_all {
        person.print_line(format_args!("\n{calls} would be allowed, shown above. {they} too."))?;
        true
    } else {
        person
            .ask_yes_or_no(&format!("\n{calls} would be allowed, shown above; run {them} too? [y/N]"))
            .await?
    };
    Ok(if run { waiting.iter().map(|task| task.id).collect() } else { Vec::new() })
}

/// Finds out what came of the calls that were to run too.
pub(super) async fn find_outcomes(
    daemon: &DaemonClient,
    tasks: &[TaskId],
) -> CommandResult<Vec<WaitingOutcome>> {
    let mut outcomes = Vec::new();
    for id in tasks {
        let Task { state, call, .. } = *daemon.request(GetTask { task: *id }).await?;
        let problem = match state {
            TaskState::PendingApproval => {
                let check = CheckApproval { task: *id, fresh: false };
                let refused = daemon.request_or_refusal(check).await?.err().map(|failure| failure.message);
                Some(refused.unwrap_or_else(|| "no use of the grant was left for it".to_owned()))
            }
            TaskState::Approved
            | TaskState::Executing
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Denied
            | TaskState::Expired
            | TaskState::Cancelled
            | TaskState::Interrupted => None,
        };
        outcomes.push(WaitingOutcome { task: *id, tool: call.tool.to_string(), state, problem });
    }
    Ok(outcomes)
}

/// Prints what came of each.
pub(super) fn print_outcomes(out: &Output, outcomes: &[WaitingOutcome]) -> std::io::Result<()> {
    for WaitingOutcome { task, tool, state, problem } in outcomes {
        let id = short_id(*task);
        match problem {
            Some(why) => {
                let why = crate::output::escape_hidden(why);
                out.print_line(format_args!("{id}: {tool} waits on: {why}"))?;
            }
            None => out.print_line(format_args!("{id}: {tool} is {state}; `portero task {id}` shows it"))?,
        }
    }
    Ok(())
}
