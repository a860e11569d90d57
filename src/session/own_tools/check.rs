//! `portero/check_task`: how a call stands that waits for a person; once it ran, its own result.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::answers::{self, Status};
use super::super::request::Request;
use super::super::state::Shared;
use super::arguments::Arguments;
use crate::anonymize::Real;
use crate::call::Method;
use crate::json::{self, Object, RawJson};
use crate::names::TaskId;
use crate::pipeline::{Refusal, Reply};
use crate::server::ProgressSink;
use crate::task::{State, Task};

/// The longest wait.
pub(super) const WAIT_MOST: Duration = Duration::from_secs(600);
/// How long one question to the daemon waits, when the client wants to hear of progress.
const SLICE: Duration = Duration::from_secs(10);

impl Shared {
    pub(super) async fn check_task(
        self: &Arc<Self>,
        arguments: &Arguments<'_>,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let id = arguments.task_id()?;
        let wait = arguments.number("wait_seconds", 0, WAIT_MOST.as_secs())?.unwrap_or(0);
        let task = tokio::select! {
            task = self.wait_for(id, Duration::from_secs(wait), request.progress()) => task?,
            () = request.cancel().cancelled() => return Err(Refusal::Cancelled),
        };
        // It was concealed by the rules of its day; those of today may know more.
        self.own_reply(told(&task))
    }

    /// The task in a final state, or as it is when the wait is over.
    async fn wait_for(
        &self,
        id: TaskId,
        wait: Duration,
        progress: Option<ProgressSink>,
    ) -> Result<Task, Refusal> {
        let began = Instant::now();
        loop {
            let left = wait.saturating_sub(began.elapsed());
            let slice = if progress.is_some() { left.min(SLICE) } else { left };
            let task = self.tasks.check(id, slice).await?;
            if task.state.is_final() || began.elapsed() >= wait {
                return Ok(task);
            }
            if let Some(tell) = &progress {
                tell(still_waiting(&task, began.elapsed(), wait));
            }
        }
    }
}

fn still_waiting(task: &Task, waited: Duration, wait: Duration) -> Real<RawJson> {
    let message = match task.state {
        State::PendingApproval => "waiting for a person to approve",
        State::Approved | State::Executing => "approved; the call is running",
        State::Completed
        | State::Failed
        | State::Denied
        | State::Expired
        | State::Cancelled
        | State::Interrupted => "decided",
    };
    Real::from_server(json::raw(&serde_json::json!({
        "progress": waited.as_secs(),
        "total": wait.as_secs(),
        "message": message,
    })))
}

/// A task as a tool's result: the called tool's own where it has one, else Portero's words.
fn told(task: &Task) -> RawJson {
    match (&task.result, &task.error) {
        (Some(result), _) if task.call.method == Method::CallTool => result.get().clone(),
        (Some(result), _) => as_tool_result(result.get()),
        (None, Some(error)) => answers::error_result(&error_words(error.get())),
        (None, None) => {
            let is_error = task.state.is_final() && task.state != State::Completed;
            answers::structured(&json::raw(&Status::of(task)), is_error)
        }
    }
}

/// A result that is not a tool's, such as a read resource, in a tool's result: its contents as embedded
/// resources where it has some, else as text.
fn as_tool_result(result: &RawValue) -> RawJson {
    #[derive(serde::Serialize)]
    struct Embedded<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        resource: &'a RawValue,
    }
    #[derive(serde::Serialize)]
    struct Contents<'a> {
        content: Vec<Embedded<'a>>,
    }
    let contents = Object::read(result).ok().and_then(|object| object.get("contents"));
    match contents.and_then(|contents| serde_json::from_str::<Vec<&RawValue>>(contents.get()).ok()) {
        Some(contents) => json::raw(&Contents {
            content: contents.into_iter().map(|resource| Embedded { kind: "resource", resource }).collect(),
        }),
        None => answers::text_result(result.get()),
    }
}

fn error_words(error: &RawValue) -> String {
    let object = Object::read(error).unwrap_or_default();
    object
        .text("message")
        .map_or_else(|| error.get().to_owned(), |words| format!("The call ran and failed: {words}"))
}
