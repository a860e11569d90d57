//! Answers to the client's requests, worded so that the agent can act on them.
//!
//! A refused tool call is answered with a result that is marked as an error, so that the model reads it. No
//! wording here may invite the agent to reach the same effect another way.

use serde::Serialize;
use serde_json::value::RawValue;

use super::request::ClientRequest;
use super::result_news::ResultNews;
use crate::anonymize::Fake;
use crate::json::{self, RawJson, RawObject};
use crate::pipeline::{CallReply, Refusal};
use crate::policy::Action;
use crate::task::{Task, TaskState};
use crate::wire::codes;

/// MCP leaves −32000 to −32019 to implementations. This one means that the call waits for a person.
const PENDING_APPROVAL_CODE: i32 = -32001;
/// This call was refused.
const REFUSED_CODE: i32 = -32003;

/// Answers `tools/call`. With `is_checked`, the client may hold an `outputSchema` of the tool, and Portero's
/// own answer must not have `structuredContent`. The SDKs would check it against that schema and throw away
/// the whole answer, task id included. They don't check a result that is marked as an error.
pub(super) fn answer_tool_call(
    request: ClientRequest,
    reply: CallReply,
    is_checked: bool,
    news: &ResultNews,
) {
    match reply {
        CallReply::Result(result) => answer_tool_result(request, &result, news),
        CallReply::Error(error) => request.answer_error_object(&error),
        CallReply::PendingApproval(task) | CallReply::Joined(task) if is_checked => {
            let status = json::serialize_raw(&TaskStatus::from_task(&task));
            answer_own_tool_result(request, error_result(status.get()), news);
        }
        CallReply::PendingApproval(task) | CallReply::Joined(task) => {
            answer_own_tool_result(request, status_result(&task), news);
        }
        CallReply::Refused(Refusal::Cancelled) => drop(request),
        // The protocol failed, not the tool, so this is an error and not a result.
        CallReply::Refused(refusal @ Refusal::Malformed(_)) => {
            request.answer_error(codes::INTERNAL_ERROR, &refusal_message(&refusal), None);
        }
        CallReply::Refused(refusal) => {
            answer_own_tool_result(request, error_result(&refusal_message(&refusal)), news);
        }
    }
}

/// Answers `tools/call` with a result that Portero made.
fn answer_own_tool_result(request: ClientRequest, result: RawJson, news: &ResultNews) {
    match request.conceal_own(result) {
        Ok(result) => answer_tool_result(request, &result, news),
        Err(leak) => request.answer_withheld(&leak),
    }
}

/// Answers `tools/call`, and tells the news that are due.
fn answer_tool_result(request: ClientRequest, result: &Fake<RawJson>, news: &ResultNews) {
    let texts = news.due_texts();
    match (!texts.is_empty()).then(|| with_texts(&request, result, &texts)).flatten() {
        Some(longer) => {
            // Only now, so that the news stay due if the result had no place for them.
            news.mark_told();
            request.answer_result(&longer);
        }
        None => request.answer_result(result),
    }
}

/// The result with more blocks of text. `None` if it has no place for them.
fn with_texts(request: &ClientRequest, result: &Fake<RawJson>, texts: &[String]) -> Option<Fake<RawJson>> {
    let object = RawObject::read(result.get()).ok()?;
    let mut blocks: Vec<&RawValue> = serde_json::from_str(object.get("content")?.get()).ok()?;
    let added: Vec<_> = texts.iter().map(|text| json::serialize_raw(&TextBlock::new(text))).collect();
    blocks.extend(added.iter().map(|block| &**block));
    request.conceal_own(object.with_member("content", &json::serialize_raw(&blocks)).to_raw()).ok()
}

/// Answers `resources/read`, whose results clients may cache.
pub(super) fn answer_read(request: ClientRequest, reply: CallReply) {
    match reply {
        CallReply::Result(result) => request.answer_list_result(&result),
        reply @ (CallReply::Error(_)
        | CallReply::PendingApproval(_)
        | CallReply::Joined(_)
        | CallReply::Refused(_)) => answer_resource_request(request, reply),
    }
}

/// Answers a request about one resource.
pub(super) fn answer_resource_request(request: ClientRequest, reply: CallReply) {
    match reply {
        CallReply::Refused(Refusal::Unknown(uri)) => {
            let data = json::serialize_raw(&serde_json::json!({ "uri": uri }));
            let words = format!("no server offers the resource `{uri}`");
            request.answer_error(codes::RESOURCE_NOT_FOUND, &words, Some(&data));
        }
        reply @ (CallReply::Result(_)
        | CallReply::Error(_)
        | CallReply::PendingApproval(_)
        | CallReply::Joined(_)
        | CallReply::Refused(_)) => {
            answer_request(request, reply);
        }
    }
}

/// Answers any other request.
pub(super) fn answer_request(request: ClientRequest, reply: CallReply) {
    match reply {
        CallReply::Result(result) => request.answer_result(&result),
        CallReply::Error(error) => request.answer_error_object(&error),
        CallReply::PendingApproval(task) | CallReply::Joined(task) => {
            let status = TaskStatus::from_task(&task);
            // A held call may have been refused meanwhile.
            let code = if task.state.is_final() { REFUSED_CODE } else { PENDING_APPROVAL_CODE };
            request.answer_error(code, &status.message, Some(&json::serialize_raw(&status)));
        }
        CallReply::Refused(Refusal::Cancelled) => drop(request),
        CallReply::Refused(Refusal::Unknown(name)) => {
            request.answer_error(codes::INVALID_PARAMS, &format!("no server offers `{name}`"), None);
        }
        CallReply::Refused(refusal) => {
            let code = match &refusal {
                Refusal::Invalid(_) | Refusal::Unknown(_) => codes::INVALID_PARAMS,
                Refusal::Denied(_)
                | Refusal::Declined(_)
                | Refusal::DaemonUnavailable(_)
                | Refusal::Cancelled => REFUSED_CODE,
                Refusal::ServerUnavailable(_)
                | Refusal::Interrupted(_)
                | Refusal::Malformed(_)
                | Refusal::Withheld(_)
                | Refusal::AuditUnavailable => codes::INTERNAL_ERROR,
            };
            request.answer_error(code, &refusal_message(&refusal), None);
        }
    }
}

/// A refusal with its next step.
pub(super) fn refusal_message(refusal: &Refusal) -> String {
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
        Refusal::ServerUnavailable(why) => {
            format!("{why}. The call did not run; tell the user if that stays so.")
        }
        Refusal::AuditUnavailable => format!("{refusal}. Tell the user."),
        Refusal::Withheld(_) => format!("{refusal}. Tell the user."),
        Refusal::Unknown(_)
        | Refusal::Invalid(_)
        | Refusal::Declined(_)
        | Refusal::DaemonUnavailable(_)
        | Refusal::Cancelled => refusal.to_string(),
    }
}

/// A task's status as the agent reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskStatus {
    /// The task's state.
    pub(super) status: &'static str,
    /// Its id.
    pub(super) task_id: String,
    /// The tool's canonical name.
    pub(super) tool_name: String,
    /// The next step.
    pub(super) message: String,
}

impl TaskStatus {
    /// The status of a task.
    pub(super) fn from_task(task: &Task) -> Self {
        Self {
            status: task.state.as_str(),
            task_id: task.id.to_string(),
            tool_name: task.call.tool.to_string(),
            message: status_message(task),
        }
    }
}

fn status_message(task: &Task) -> String {
    let note = task.note.as_ref().map(|note| reason_sentence(note.get())).unwrap_or_default();
    match task.state {
        TaskState::PendingApproval => format!(
            "A person must approve this call. It waits as task {}; go on with other work and call \
             portero__check_task with this id later. Do not try to reach the same effect another way.",
            task.id
        ),
        TaskState::Approved => {
            "A person approved this call; it is about to run. Check the task again.".to_owned()
        }
        TaskState::Executing => "The call is running. Check the task again.".to_owned(),
        TaskState::Completed => match &task.note {
            Some(note) => format!("The call ran.{}", as_sentence(note.get())),
            None => "The call ran.".to_owned(),
        },
        TaskState::Failed => format!("The call was approved, but it failed.{note}"),
        TaskState::Denied => format!(
            "This call was denied; it did not run.{note} Do not try to reach the same effect another way; \
             tell the user."
        ),
        TaskState::Expired => {
            "Nobody approved this call in time; it did not run. Ask the user before you request it again."
                .to_owned()
        }
        TaskState::Cancelled => "The task was taken back; the call did not run.".to_owned(),
        TaskState::Interrupted => format!(
            "Portero stopped while the call ran; whether it took effect is unknown.{note} Find out before you \
             request it again, or ask the user."
        ),
    }
}

/// Wraps a person's text as the reason.
fn reason_sentence(words: &str) -> String {
    format!(" Reason:{}", as_sentence(words))
}

/// Wraps a person's text as a sentence that follows another.
fn as_sentence(words: &str) -> String {
    let words = words.trim_end();
    let end = if words.ends_with(['.', '!', '?', ':', ';']) { "" } else { "." };
    format!(" {words}{end}")
}

/// A task's status as a tool's result, as text and as structured content. It is marked as an error if the call ended
/// without having run to its end.
pub(super) fn status_result(task: &Task) -> RawJson {
    let is_error = task.state.is_final() && task.state != TaskState::Completed;
    structured_result(&json::serialize_raw(&TaskStatus::from_task(task)), is_error)
}

/// A tool's result with structured content, and the same as text for clients that read only that.
pub(super) fn structured_result(content: &RawValue, is_error: bool) -> RawJson {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct StructuredResult<'a> {
        content: [TextBlock<'a>; 1],
        structured_content: &'a RawValue,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    }
    json::serialize_raw(&StructuredResult {
        content: [TextBlock::new(content.get())],
        structured_content: content,
        is_error,
    })
}

/// A tool's result with one text.
pub(super) fn text_result(text: &str) -> RawJson {
    #[derive(Serialize)]
    struct TextResult<'a> {
        content: [TextBlock<'a>; 1],
    }
    json::serialize_raw(&TextResult { content: [TextBlock::new(text)] })
}

/// A tool's result that is marked as an error.
pub(super) fn error_result(text: &str) -> RawJson {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ErrorResult<'a> {
        content: [TextBlock<'a>; 1],
        is_error: bool,
    }
    json::serialize_raw(&ErrorResult { content: [TextBlock::new(text)], is_error: true })
}

#[derive(Serialize)]
struct TextBlock<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

impl<'a> TextBlock<'a> {
    const fn new(text: &'a str) -> Self {
        Self { kind: "text", text }
    }
}
