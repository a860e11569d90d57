//! What a decision shows and sends: the approval of one call or several, and the rejection of one.

use portero::ipc::FailureKind;
use portero::ipc::requests::approvals::{ApproveTask, RejectTask};
use portero::names::ToolId;
use portero::task::Task;

use super::selection::RefusedTask;
use crate::commands::approvals::{describe_with_definition, refuse_decided, short_id};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmationMethod, ConfirmationPrompt, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};

/// The calls of one approval: what is shown of them, and one act for each.
pub(super) struct Approval<'a> {
    tasks: &'a [Task],
    tools: Vec<ToolId>,
    /// What the person reads before they confirm.
    shown: String,
    fresh: bool,
}

impl<'a> Approval<'a> {
    /// Reads what a person must see of these calls.
    pub(super) async fn read(daemon: &DaemonClient, tasks: &'a [Task], fresh: bool) -> CommandResult<Self> {
        let mut blocks = Vec::with_capacity(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            let text = describe_with_definition(daemon, task).await?;
            blocks.push(match tasks.len() {
                1 => text,
                count => format!("Call {} of {count}\n{text}", at + 1),
            });
        }
        let tools = tasks.iter().map(|task| task.call.tool.clone()).collect();
        Ok(Self { tasks, tools, shown: blocks.join("\n\n"), fresh })
    }

    pub(super) fn act(&self) -> ConfirmedAct<'_> {
        let lines = self.shown.lines().count();
        match (self.tools.as_slice(), self.fresh) {
            ([tool], false) => ConfirmedAct::Approve(tool, lines),
            ([tool], true) => ConfirmedAct::ApproveFresh(tool, lines),
            (tools, fresh) => ConfirmedAct::ApproveSeveral { tools, lines, fresh },
        }
    }

    pub(super) fn show(&self, person: &mut ConfirmationPrompt) -> CommandResult {
        person.print_line(&self.shown)
    }

    /// Approves each call by a request of its own, and returns those that are approved now. A call that was decided
    /// meanwhile is named, and the others go on.
    pub(super) async fn send_each(
        &self,
        daemon: &DaemonClient,
        person: &mut ConfirmationPrompt,
        mut method: ConfirmationMethod,
    ) -> CommandResult<Vec<Task>> {
        let (act, fresh) = (self.act(), self.fresh);
        let mut approved = Vec::new();
        for task in self.tasks {
            let request = |challenge| ApproveTask { task: task.id, fresh, challenge };
            match elevate::send_by_method(daemon, person, &act, &mut method, request).await? {
                Ok(task) => approved.push(*task),
                // Each further call would be one more wrong try.
                Err(failure) if failure.kind == FailureKind::Challenge && approved.is_empty() => {
                    return Err(failure.into());
                }
                Err(failure) if self.tasks.len() == 1 => return Err(failure.into()),
                Err(failure) => {
                    let refused = RefusedTask { task: task.clone(), why: failure.into() };
                    person.print_line(refused.describe())?;
                }
            }
        }
        Ok(approved)
    }
}

/// The line about a call that was approved.
pub(super) fn describe_approved(task: &Task) -> String {
    let (id, tool, state, short) = (task.id, &task.call.tool, task.state, short_id(task.id));
    format!("{id}: {tool} is {state}; `portero task {short}` shows its result")
}

/// Rejects a call. `for_now` lets the same call ask again at once. A task that can't be rejected is no failure of the
/// command, which may go on.
pub(super) async fn reject_task(
    daemon: &DaemonClient,
    task: &Task,
    reason: Option<&str>,
    for_now: bool,
) -> CommandResult<Result<Box<Task>, CommandFailure>> {
    if let Some(why) = refuse_decided(task) {
        return Ok(Err(why));
    }
    let request = RejectTask { task: task.id, reason: reason.map(str::to_owned), for_now };
    Ok(daemon.request_or_refusal(request).await?.map_err(CommandFailure::from))
}

/// The line about a call that was rejected.
pub(super) fn describe_rejected(task: &Task) -> String {
    format!("{}: {} is {}", task.id, task.call.tool, task.state)
}
