//! `portero/check_task`: the status of a call that waits for a person, or its result once it ran.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::answers::{self, TaskStatus};
use super::super::builtin_tools::{BuiltinArguments, MAX_WAIT};
use super::super::request::ClientRequest;
use super::super::state::SessionState;
use crate::anonymize::Real;
use crate::call::Method;
use crate::json::{self, RawJson, RawObject};
use crate::names::TaskId;
use crate::pipeline::{CallReply, Refusal};
use crate::server::ProgressSink;
use crate::task::{Task, TaskState};

/// How long one request to the daemon waits if the client wants progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

impl SessionState {
    pub(super) async fn check_task(
        &self,
        arguments: &BuiltinArguments<'_>,
        request: &ClientRequest,
    ) -> Result<CallReply, Refusal> {
        let id = arguments.task_id()?;
        let wait = arguments.optional_number("wait_seconds", 0, MAX_WAIT.as_secs())?.unwrap_or(0);
        let task = tokio::select! {
            task = self.wait_for_task(id, Duration::from_secs(wait), request.progress_sink()) => task?,
            () = request.cancel_token().cancelled() => return Err(Refusal::Cancelled),
        };
        // It was concealed by the rules of its time, and the present rules may know more values.
        self.own_outcome(task_result(&task))
    }

    /// Returns the task once it is in a final state, or as it is when the wait ends.
    async fn wait_for_task(
        &self,
        id: TaskId,
        wait: Duration,
        progress: Option<ProgressSink>,
    ) -> Result<Task, Refusal> {
        // Each round waits in the daemon, for at most `slice`, so that progress can be reported in between.
        let began = Instant::now();
        loop {
            let left = wait.saturating_sub(began.elapsed());
            let slice = if progress.is_some() { left.min(PROGRESS_INTERVAL) } else { left };
            let task = self.tasks.check_task(id, slice).await?;
            if task.state.is_final() || began.elapsed() >= wait {
                return Ok(task);
            }
            if let Some(tell) = &progress {
                tell(wait_progress(&task, began.elapsed(), wait));
            }
        }
    }
}

fn wait_progress(task: &Task, waited: Duration, wait: Duration) -> Real<RawJson> {
    let message = match task.state {
        TaskState::PendingApproval => "waiting for a person to approve",
        TaskState::Approved | TaskState::Executing => "approved; the call is running",
        TaskState::Completed
        | TaskState::Failed
        | TaskState::Denied
        | TaskState::Expired
        | TaskState::Cancelled
        | TaskState::Interrupted => "decided",
    };
    Real::from_server(json::serialize_raw(&serde_json::json!({
        "progress": waited.as_secs(),
        "total": wait.as_secs(),
        "message": message,
    })))
}

/// A task as a tool's result: the called tool's own result if there is one, else Portero's text.
fn task_result(task: &Task) -> RawJson {
    match (&task.result, &task.error) {
        (Some(result), _) if task.call.method == Method::CallTool => result.get().clone(),
        (Some(result), _) => wrap_as_tool_result(result.get()),
        (None, Some(error)) => answers::error_result(&error_message(error.get())),
        (None, None) => {
            let is_error = task.state.is_final() && task.state != TaskState::Completed;
            answers::structured_result(&json::serialize_raw(&TaskStatus::from_task(task)), is_error)
        }
    }
}

/// Wraps a result that isn't a tool's, such as a read resource, as a tool's result. Its `contents` become
/// embedded resources; anything else becomes text.
fn wrap_as_tool_result(result: &RawValue) -> RawJson {
    #[derive(serde::Serialize)]
    struct EmbeddedResource<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        resource: &'a RawValue,
    }
    #[derive(serde::Serialize)]
    struct EmbeddedContents<'a> {
        content: Vec<EmbeddedResource<'a>>,
    }
    let contents = RawObject::read(result).ok().and_then(|object| object.get("contents"));
    match contents.and_then(|contents| serde_json::from_str::<Vec<&RawValue>>(contents.get()).ok()) {
        Some(contents) => json::serialize_raw(&EmbeddedContents {
            content: contents
                .into_iter()
                .map(|resource| EmbeddedResource { kind: "resource", resource })
                .collect(),
        }),
        None => answers::text_result(result.get()),
    }
}

fn error_message(error: &RawValue) -> String {
    let object = RawObject::read(error).unwrap_or_default();
    object
        .get_text("message")
        .map_or_else(|| error.get().to_owned(), |words| format!("The call ran and failed: {words}"))
}
