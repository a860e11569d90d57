//! Tasks as people see them. Today's rules conceal them again, because they may know newer values; today's
//! policy tells how many people must approve.

use std::path::Path;

use portero::anonymize::{Anonymizer, Fake};
use portero::catalog::ToolHints;
use portero::ipc::{DaemonFailure, InspectedTask};
use portero::json::{self, RawJson};
use portero::names::{TaskId, ToolId};
use portero::policy::Policy;
use portero::policy::definition_pins::DefinitionItem;
use portero::policy::quorum::counting_votes;
use portero::task::{Task, TaskState};

use super::{definition_differences, failure};
use crate::daemon::Daemon;
use crate::store::definitions;

/// Returns a task as a person decides on it.
///
/// # Errors
/// When no task has this id, or the store can't be read.
pub fn look(daemon: &Daemon, task: TaskId) -> Result<InspectedTask, DaemonFailure> {
    let task = daemon.approval_queue.find_task(task, None).map_err(|error| failure::of_approval(&error))?;
    let hints = find_hints(daemon, &task.call.tool, &task.origin.directory);
    let waits = task.state == TaskState::PendingApproval;
    let loss = daemon.approval_queue.place_of(&task).err().filter(|_| waits);
    let void = daemon.approval_queue.void_reason(&task);
    let void = void.map(|why| daemon.anonymizer.load().conceal_text(&why));
    let definition = definition_differences::describe_task_definition(daemon, &task)?;
    Ok(InspectedTask { task: self::task(daemon, task), hints, loss, void, definition })
}

/// The annotations of a tool by its own server, as a call from this directory would meet it; none if the daemon hasn't
/// seen the tool.
#[must_use]
pub fn find_hints(daemon: &Daemon, tool: &ToolId, directory: &Path) -> Option<ToolHints> {
    match daemon.upstreams.find_tool(tool, directory) {
        Some(tool) => Some(tool.hints),
        None => pinned_hints(daemon, tool),
    }
}

/// The hints of a tool whose server a session runs, from the definition that sessions reported. None while several are
/// known, because the daemon can't tell which of them this session's server lists.
fn pinned_hints(daemon: &Daemon, tool: &ToolId) -> Option<ToolHints> {
    let pins = daemon.overrides.definition_pins();
    let digest = pins.server(&tool.server)?.only_digest(&DefinitionItem::Tool(tool.tool.clone()))?.to_owned();
    let text = daemon.journal.store().read(move |store| definitions::find_text(store, &digest)).ok()??;
    let definition: RawJson = json::parse_raw(text).ok()?;
    Some(ToolHints::of_definition(&definition))
}

/// Prepares one task. Parts that can't be concealed are left out; the task itself never is.
pub(super) fn task(daemon: &Daemon, task: Task) -> Task {
    by(&daemon.anonymizer.load(), &daemon.policy.load(), task)
}

/// Prepares several tasks.
pub(super) fn tasks(daemon: &Daemon, tasks: Vec<Task>) -> Vec<Task> {
    let (anonymizer, policy) = (daemon.anonymizer.load(), daemon.policy.load());
    tasks.into_iter().map(|task| by(&anonymizer, &policy, task)).collect()
}

fn by(anonymizer: &Anonymizer, policy: &Policy, mut task: Task) -> Task {
    if task.state == TaskState::PendingApproval {
        task.quorums = policy.quorums(&task.call.tool).into_iter().cloned().collect();
        task.votes = counting_votes(&task.quorums, &task.votes);
    }

    let again = |json: Fake<RawJson>| anonymizer.conceal_local(json.into_inner()).ok();
    let text = |text: Fake<String>| anonymizer.conceal_text(text.get());
    let call = &mut task.call;
    if let Ok(params) = anonymizer.conceal_local(call.params.get().clone()) {
        call.params = params;
    } else {
        // Only the name is left, because the person must still see which call waits.
        let params = json::RawObject::read(call.params.get()).unwrap_or_default();
        let name = serde_json::json!({ "name": params.get_text("name") });
        call.params = Anonymizer::empty()
            .conceal_local(json::serialize_raw(&name))
            .unwrap_or_else(|_| call.params.clone());
    }
    call.meta = call.meta.take().and_then(again);
    task.origin.client = text(task.origin.client);
    task.note = task.note.map(text);
    task.result = task.result.and_then(again);
    task.error = task.error.and_then(again);
    task
}
