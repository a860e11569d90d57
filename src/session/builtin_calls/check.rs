//! `portero/check_task`: the status of a call that waits for a person, or its result once it ran.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::answers;
use super::super::builtin_tools::{BuiltinArguments, MAX_WAIT};
use super::super::request::ClientRequest;
use super::super::state::SessionState;
use crate::call::Method;
use crate::json::{self, RawJson, RawObject};
use crate::pipeline::{CallReply, Refusal};
use crate::task::Task;

impl SessionState {
    pub(super) async fn check_task(
        &self,
        arguments: &BuiltinArguments<'_>,
        request: &ClientRequest,
    ) -> Result<CallReply, Refusal> {
        let id = arguments.task_id()?;
        let wait = arguments.optional_number("wait_seconds", 0, MAX_WAIT.as_secs())?.unwrap_or(0);
        let progress = request.progress_sink();
        let _awaited = self.news.await_task(id);
        let wait = self.held.wait_for_task(id, Instant::now(), Duration::from_secs(wait), progress.as_ref());
        let task = tokio::select! {
            task = wait => task?,
            () = request.cancel_token().cancelled() => return Err(Refusal::Cancelled),
        };
        // It was concealed by the rules of its time, and the present rules may know more values.
        self.own_outcome(task_result(&task))
    }
}

/// A task as a tool's result: the called tool's own result if there is one, else Portero's text.
fn task_result(task: &Task) -> RawJson {
    match (&task.result, &task.error) {
        (Some(result), _) if task.call.method == Method::CallTool => result.get().clone(),
        (Some(result), _) => wrap_as_tool_result(result.get()),
        (None, Some(error)) => answers::error_result(&error_message(error.get())),
        (None, None) => answers::status_result(task),
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
