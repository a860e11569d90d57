//! What came of a call, in words that the agent can act on.
//!
//! For a tool's call every refusal is a result that says it is an error, so that the model reads it. No
//! words here invite to reach the same effect another way.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::value::RawValue;

use super::request::Request;
use super::state::Shared;
use crate::anonymize::Fake;
use crate::json::{self, Object, RawJson};
use crate::pipeline::{Refusal, Reply};
use crate::policy::Action;
use crate::task::{News, State, Task};
use crate::wire::codes;

/// MCP leaves −32000 to −32019 to implementations: this call waits for a person.
const WAITING: i32 = -32001;
/// This call was refused.
const REFUSED: i32 = -32003;

/// Answers `tools/call`. Where the client may hold an `outputSchema` of the tool that it called, no answer of
/// Portero's own has `structuredContent`: the SDKs check it against that schema, and throw away the whole answer,
/// with the task's id in it, where it does not fit. They check no result that says it is an error.
pub(super) fn to_tool_call(request: Request, reply: Reply, is_checked: bool) {
    match reply {
        Reply::Result(result) => request.tool_result(&result),
        Reply::Error(error) => request.error_object(&error),
        Reply::Waiting(task) if is_checked => {
            request.own_tool_result(error_result(json::raw(&Status::of(&task)).get()));
        }
        Reply::Waiting(task) => request.own_tool_result(status_result(&Status::of(&task))),
        Reply::Refused(Refusal::Cancelled) => drop(request),
        // Not the tool failed but the protocol.
        Reply::Refused(refusal @ Refusal::Malformed(_)) => {
            request.error(codes::INTERNAL_ERROR, &words(&refusal), None);
        }
        Reply::Refused(refusal) => request.own_tool_result(error_result(&words(&refusal))),
    }
}

impl Shared {
    /// The result with one more block of text, once: what a new client is told at the handshake.
    pub(super) fn with_introduction(&self, result: &Fake<RawJson>) -> Option<Fake<RawJson>> {
        if !self.introduces_anew.load(Ordering::Relaxed) {
            return None;
        }
        let text = format!(
            "Portero's configuration changed while this session ran. This holds from now on:\n{}",
            self.instructions(&News::default())
        );
        let object = Object::read(result.get()).ok()?;
        let mut blocks: Vec<&RawValue> = serde_json::from_str(object.get("content")?.get()).ok()?;
        let block = json::raw(&Text::new(&text));
        blocks.push(&block);
        let longer = self.conceal_own(object.with("content", &json::raw(&blocks)).to_raw()).ok()?;
        self.introduces_anew.store(false, Ordering::Relaxed);
        Some(longer)
    }
}

/// Answers `resources/read`, whose results can be cached.
pub(super) fn to_read(request: Request, reply: Reply) {
    match reply {
        Reply::Result(result) => request.list(&result),
        reply @ (Reply::Error(_) | Reply::Waiting(_) | Reply::Refused(_)) => to_resource(request, reply),
    }
}

/// Answers a request that is about one resource.
pub(super) fn to_resource(request: Request, reply: Reply) {
    match reply {
        Reply::Refused(Refusal::Unknown(uri)) => {
            let data = json::raw(&serde_json::json!({ "uri": uri }));
            let words = format!("no server offers the resource `{uri}`");
            request.error(codes::RESOURCE_NOT_FOUND, &words, Some(&data));
        }
        reply @ (Reply::Result(_) | Reply::Error(_) | Reply::Waiting(_) | Reply::Refused(_)) => {
            to_request(request, reply);
        }
    }
}

/// Answers any other request.
pub(super) fn to_request(request: Request, reply: Reply) {
    match reply {
        Reply::Result(result) => request.result(&result),
        Reply::Error(error) => request.error_object(&error),
        Reply::Waiting(task) => {
            let status = Status::of(&task);
            request.error(WAITING, &status.message, Some(&json::raw(&status)));
        }
        Reply::Refused(Refusal::Cancelled) => drop(request),
        Reply::Refused(Refusal::Unknown(name)) => {
            request.error(codes::INVALID_PARAMS, &format!("no server offers `{name}`"), None);
        }
        Reply::Refused(refusal) => {
            let code = match &refusal {
                Refusal::Invalid(_) | Refusal::Unknown(_) => codes::INVALID_PARAMS,
                Refusal::Denied(_) | Refusal::Declined(_) | Refusal::NoDesk(_) | Refusal::Cancelled => {
                    REFUSED
                }
                Refusal::Server(_)
                | Refusal::Interrupted(_)
                | Refusal::Malformed(_)
                | Refusal::Withheld(_)
                | Refusal::NoAudit => codes::INTERNAL_ERROR,
            };
            request.error(code, &words(&refusal), None);
        }
    }
}

/// A refusal with its next step.
pub(super) fn words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Denied(decision) if decision.action == Action::RequireApproval => {
            format!("{decision}. This kind of request cannot wait for a person, so it is refused.")
        }
        Refusal::Denied(decision) => format!(
            "Refused: {decision}. Do not try to reach the same effect another way; tell the user that it was \
             refused."
        ),
        Refusal::Interrupted(why) | Refusal::Malformed(why) => {
            format!("{why}. Find out whether it took effect before you repeat it, or ask the user.")
        }
        Refusal::Server(why) => format!("{why}. The call did not run; tell the user if that stays so."),
        Refusal::NoAudit => format!("{refusal}. Tell the user."),
        Refusal::Withheld(_) => format!("{refusal}. Tell the user."),
        Refusal::Unknown(_)
        | Refusal::Invalid(_)
        | Refusal::Declined(_)
        | Refusal::NoDesk(_)
        | Refusal::Cancelled => refusal.to_string(),
    }
}

/// How a task stands, as the agent reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// The task's state.
    pub(super) status: &'static str,
    /// Its id.
    pub(super) task_id: String,
    /// The tool's canonical name.
    pub(super) tool_name: String,
    /// What to do next.
    pub(super) message: String,
}

impl Status {
    /// The status of a task.
    pub(super) fn of(task: &Task) -> Self {
        Self {
            status: task.state.as_str(),
            task_id: task.id.to_string(),
            tool_name: task.call.tool.to_string(),
            message: message(task),
        }
    }
}

fn message(task: &Task) -> String {
    let note = task.note.as_ref().map(|note| reason(note.get())).unwrap_or_default();
    match task.state {
        State::PendingApproval => format!(
            "A person must approve this call. It waits as task {}; go on with other work and call \
             portero__check_task with this id later. Do not try to reach the same effect another way.",
            task.id
        ),
        State::Approved => {
            "A person approved this call; it is about to run. Check the task again.".to_owned()
        }
        State::Executing => "The call is running. Check the task again.".to_owned(),
        State::Completed => match &task.note {
            Some(note) => format!("The call ran.{}", sentence(note.get())),
            None => "The call ran.".to_owned(),
        },
        State::Failed => format!("The call was approved, but it failed.{note}"),
        State::Denied => format!(
            "This call was denied; it did not run.{note} Do not try to reach the same effect another way; \
             tell the user."
        ),
        State::Expired => {
            "Nobody approved this call in time; it did not run. Ask the user before you request it again."
                .to_owned()
        }
        State::Cancelled => "The task was taken back; the call did not run.".to_owned(),
        State::Interrupted => format!(
            "Portero stopped while the call ran; whether it took effect is unknown.{note} Find out before you \
             request it again, or ask the user."
        ),
    }
}

/// Somebody's words as the reason.
fn reason(words: &str) -> String {
    format!(" Reason:{}", sentence(words))
}

/// Somebody's words as a sentence that follows another.
fn sentence(words: &str) -> String {
    let words = words.trim_end();
    let end = if words.ends_with(['.', '!', '?', ':', ';']) { "" } else { "." };
    format!(" {words}{end}")
}

/// A tool's result with a status in it, as text and as structured content.
pub(super) fn status_result(status: &Status) -> RawJson {
    structured(&json::raw(status), false)
}

/// A tool's result with this structured content, and the same as text for clients that read only that.
pub(super) fn structured(content: &RawValue, is_error: bool) -> RawJson {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Structured<'a> {
        content: [Text<'a>; 1],
        structured_content: &'a RawValue,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    }
    json::raw(&Structured { content: [Text::new(content.get())], structured_content: content, is_error })
}

/// A tool's result that is text.
pub(super) fn text_result(text: &str) -> RawJson {
    #[derive(Serialize)]
    struct Plain<'a> {
        content: [Text<'a>; 1],
    }
    json::raw(&Plain { content: [Text::new(text)] })
}

/// A tool's result that says it is an error.
pub(super) fn error_result(text: &str) -> RawJson {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Failed<'a> {
        content: [Text<'a>; 1],
        is_error: bool,
    }
    json::raw(&Failed { content: [Text::new(text)], is_error: true })
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

impl<'a> Text<'a> {
    const fn new(text: &'a str) -> Self {
        Self { kind: "text", text }
    }
}
