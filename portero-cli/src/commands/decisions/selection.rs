//! Which tasks the typed ids mean, and which of them can be approved.

use portero::ipc::requests::approvals::CheckApproval;
use portero::task::Task;

use crate::commands::approvals::{explain_quorum, find_task_to_decide, refuse_decided, short_id};
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};

/// A task that can't be decided, with the reason.
pub(super) struct RefusedTask {
    pub(super) task: Task,
    pub(super) why: CommandFailure,
}

impl RefusedTask {
    /// The reason in one line, for a command that goes on.
    pub(super) fn describe(&self) -> String {
        format!("NOT {} {}: {}", self.task.call.tool, short_id(self.task.id), self.why.describe_in_line())
    }
}

/// The tasks that the ids mean, each once, in their order.
///
/// # Errors
/// If an id means no task, or several. Nothing is decided then, because it is probably mistyped.
pub(super) async fn find_tasks(daemon: &DaemonClient, ids: &[String]) -> CommandResult<Vec<Task>> {
    let mut found: Vec<Task> = Vec::new();
    for id in ids {
        let task = find_task_to_decide(daemon, id).await?;
        if found.iter().all(|known| known.id != task.id) {
            found.push(task);
        }
    }
    Ok(found)
}

/// Separates the tasks whose calls would run after a yes from the others.
pub(super) async fn split_approvable(
    daemon: &DaemonClient,
    tasks: Vec<Task>,
    fresh: bool,
) -> CommandResult<(Vec<Task>, Vec<RefusedTask>)> {
    let (mut approvable, mut refused) = (Vec::new(), Vec::new());
    for task in tasks {
        match refuse_approval(daemon, &task, fresh).await? {
            None => approvable.push(task),
            Some(why) => refused.push(RefusedTask { task, why }),
        }
    }
    Ok((approvable, refused))
}

/// Why a yes at this terminal would not let the call run; none if it would. A person learns it before they type.
pub(super) async fn refuse_approval(
    daemon: &DaemonClient,
    task: &Task,
    fresh: bool,
) -> CommandResult<Option<CommandFailure>> {
    if let Some(decided) = refuse_decided(task) {
        return Ok(Some(decided));
    }
    // A terminal can't cast one of several votes.
    if let Some(words) = explain_quorum(task) {
        let hint = format!("`portero reject {}` refuses it, alone", short_id(task.id));
        return Ok(Some(CommandFailure::refused(words).with_hint(hint)));
    }
    let checked = daemon.request_or_refusal(CheckApproval { task: task.id, fresh }).await?;
    Ok(checked.err().map(CommandFailure::from))
}
