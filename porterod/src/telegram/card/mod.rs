//! The card by which a person is asked, and what becomes of it.
//!
//! A card shows all that would run (guarantee A3). What does not fit into one message stands whole in a document
//! besides, and then a yes takes a second tap. Everything here is a pure function of the task.

mod outcome;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::call::{Call, Method};
use portero::catalog::ToolHints;
use portero::json::pretty::{escape_invisible, pretty_print};
use portero::json::{RawJson, RawObject, serialize_raw};
use portero::names::TaskId;
use portero::policy::Quorum;
use portero::task::Task;
use serde::{Deserialize, Serialize};

pub use self::outcome::{CardDecision, DecidedBy, render_outcome};
use super::format::{self, CallField, CallReading, FieldLabel};
use super::text::{EscapedText, FormattedText, MAX_CAPTION_UNITS, MAX_MESSAGE_UNITS, StyledText};
use super::time_format;

/// The most pages of a card; what follows stands in its document only.
pub const MAX_CARD_PAGES: usize = 20;
/// Calls of more bytes are not read for a card: they stand in the document only, and not indented, since
/// indenting can make JSON some forty times as long (and a document has at most 50 MB; Bot API, "sendDocument").
const MAX_RENDERED_CALL_BYTES: usize = 512 << 10;
/// How many characters of an id's end are shown: the random end, as on the terminal.
const SHORT_ID_CHARS: usize = 8;

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCard {
    /// Its pages, of which there is at least one. They are shown one at a time, in one message.
    pub pages: Vec<FormattedText>,
    /// The whole call, when it does not fit into one page.
    pub document: Option<CardDocument>,
    /// Whether a yes takes a second tap, because there is more to read than the first page.
    pub needs_second_tap: bool,
}

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardDocument {
    /// Its name.
    pub name: String,
    /// What is in it: UTF-8.
    pub bytes: Vec<u8>,
    /// What is said about it.
    pub caption: FormattedText,
}

/// What a card depends on besides its task.
#[derive(Debug, Clone, Copy)]
pub struct CardContext<'a> {
    /// What the tool's server says of it, if it is known.
    pub hints: Option<ToolHints>,
    /// The present.
    pub now: Timestamp,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}

/// The question whether a call may run.
#[must_use]
pub fn render_card(task: &Task, view: &CardContext<'_>) -> TaskCard {
    let (head, body) = (head_text(task, view), call_text(&task.call));
    let text = head.clone().literal("\n\n").append(body.clone());
    if let Some(message) = text.fit_message(MAX_MESSAGE_UNITS).filter(|_| is_renderable(&task.call)) {
        return TaskCard { pages: vec![message], document: None, needs_second_tap: false };
    }
    let note = StyledText::new()
        .literal("\n\n")
        .bold("This is more than fits into one message.")
        .literal(" All of it is in the document. Read it before you approve.\n\n");
    let pages = head.append(note).append(body).to_first_pages(MAX_CARD_PAGES);
    TaskCard { pages, document: Some(call_document(task)), needs_second_tap: true }
}

/// The question and all of the call, of any length.
#[must_use]
pub fn full_text(task: &Task, view: &CardContext<'_>) -> StyledText {
    head_text(task, view).literal("\n\n").append(call_text(&task.call))
}

/// The whole call as JSON, on pages; the last says so when a document must tell the rest.
#[must_use]
pub fn json_pages(task: &Task) -> Vec<FormattedText> {
    let title =
        StyledText::new().bold("The call as JSON").literal(" of ").code(&tool_name(task)).literal("\n");
    if !is_renderable(&task.call) {
        return title.literal("It is too long to be shown here; it stands in the document.").to_pages();
    }
    title.pre(&EscapedText::json(&whole_call(&task.call))).to_first_pages(MAX_CARD_PAGES)
}

/// The whole call as a document.
#[must_use]
pub fn call_document(task: &Task) -> CardDocument {
    let whole = whole_call(&task.call);
    let text = if is_renderable(&task.call) { pretty_print(whole.get()) } else { whole.get().to_owned() };
    let caption = StyledText::new()
        .literal("The whole call of ")
        .code(&tool_name(task))
        .literal(", task ")
        .code(&short_id(task.id));
    let caption = caption
        .fit_message(MAX_CAPTION_UNITS)
        .unwrap_or(FormattedText { text: String::new(), entities: Vec::new() });
    let name = format!("call-{}.json", short_id(task.id).as_str());
    CardDocument { name, bytes: escape_invisible(&text).into_owned().into_bytes(), caption }
}

/// The end of a task's id, by which a person can name it.
#[must_use]
pub fn short_id(id: TaskId) -> EscapedText {
    let id = id.to_string();
    EscapedText::line(&id[id.len() - SHORT_ID_CHARS..])
}

/// What is asked, by whom, why, and until when.
fn head_text(task: &Task, view: &CardContext<'_>) -> StyledText {
    let text = StyledText::new().bold("May this run?").literal("\n").code(&tool_name(task));
    let text = match task.call.odd_name() {
        // Policy's spelling of such a name is hard to read.
        Some(odd) => {
            text.literal("\n").bold("Named by its server").literal(": ").code(&EscapedText::line(&odd))
        }
        None => text,
    };
    let text = text.literal("\n\n").append(origin_text(task));
    let text = text.literal("\n").bold("The server says").literal(": ").append(hints_text(view.hints));
    text.literal("\n")
        .bold("Why")
        .literal(": ")
        .code(&EscapedText::line(&task.decision.to_string()))
        .append(quorum_text(task, view))
        .literal("\n")
        .bold("Until")
        .literal(": ")
        .append(time_format::format_deadline(task.expires, view.now, view.zone))
        .literal("\n")
        .bold("Task")
        .literal(": ")
        .code(&short_id(task.id))
}

/// What several people must say, and who said so already.
fn quorum_text(task: &Task, view: &CardContext<'_>) -> StyledText {
    let needs = |text: StyledText, quorum: &Quorum| {
        text.literal("\n").bold("Needs").literal(": ").code(&EscapedText::line(&quorum.to_string()))
    };
    let text = task.quorums.iter().fold(StyledText::new(), needs);
    match votes_text(task, view) {
        None => text,
        Some(voted) => text.literal("\n").bold("Approved so far").literal(": ").append(voted),
    }
}

/// Who approved, and when, where it takes several people; none where nobody did.
fn votes_text(task: &Task, view: &CardContext<'_>) -> Option<StyledText> {
    let mut text: Option<StyledText> = None;
    for vote in &task.votes {
        let so_far = text.map_or_else(StyledText::new, |text| text.literal("; "));
        let whose = so_far.code(&EscapedText::line(&format!("user {}", vote.user))).literal(", ");
        text = Some(whose.append(time_format::format_time(vote.at, view.now, view.zone)));
    }
    text
}

fn tool_name(task: &Task) -> EscapedText {
    EscapedText::line(&task.call.tool.to_string())
}

/// Who asks, and where it would run.
fn origin_text(task: &Task) -> StyledText {
    let origin = &task.origin;
    let session = origin.session.to_string();
    let text = StyledText::new()
        .bold("Asks")
        .literal(": ")
        .code(&EscapedText::line(origin.client.get()))
        .literal("\n")
        .bold("Project")
        .literal(": ")
        .code(&EscapedText::line(origin.principal.as_str()))
        .literal(", session ")
        .code(&EscapedText::line(&session[session.len() - SHORT_ID_CHARS..]));
    if origin.directory.as_os_str() == origin.principal.as_str() {
        return text;
    }
    let directory = origin.directory.to_string_lossy();
    text.literal("\n").bold("Runs in").literal(": ").code(&EscapedText::line(&directory))
}

/// What the server says of its tool: its word only (MCP, "`ToolAnnotations`").
fn hints_text(hints: Option<ToolHints>) -> StyledText {
    let Some(ToolHints { read_only, destructive, idempotent, open_world }) = hints else {
        return StyledText::new().literal("nothing that is known at present");
    };
    let said = [
        read_only.map(|yes| if yes { "only reads" } else { "changes things" }),
        destructive.map(|yes| if yes { "may destroy" } else { "destroys nothing" }),
        idempotent.map(|yes| if yes { "twice is like once" } else { "twice is not like once" }),
        open_world.map(|yes| if yes { "reaches others" } else { "reaches nobody else" }),
    ];
    let mut text = StyledText::new();
    for words in said.into_iter().flatten() {
        text = if text.is_empty() { text } else { text.literal(", ") };
        text = text.literal(words);
    }
    if text.is_empty() { text.literal("nothing of what it does") } else { text }
}

/// Everything that the server gets.
fn call_text(call: &Call) -> StyledText {
    if !is_renderable(call) {
        let bytes = u64::try_from(call.params.get().get().len()).unwrap_or(u64::MAX);
        return StyledText::new()
            .literal("The call has ")
            .number(bytes)
            .literal(" bytes and stands in the document only.");
    }
    let CallReading { kind, fields: known } = read_call(call);
    let mut text = StyledText::new().bold(kind);
    if call.method != Method::CallTool {
        text = text.literal(", by ").code(&EscapedText::line(call.method.as_str()));
    }
    append_fields(text, known)
}

/// Lines of fields below a text.
fn append_fields(mut text: StyledText, fields: Vec<CallField>) -> StyledText {
    for CallField { label, value } in fields {
        let between = if value.is_block() { ":" } else { ": " };
        text = text.on_new_line().append(label.to_text()).literal(between).append(value);
    }
    text
}

/// The arguments by their formatter, and what goes to the server beside them.
fn read_call(call: &Call) -> CallReading {
    let mut reading = format::read_arguments(&call.tool, call.arguments());
    let mut add = |label, value: &RawJson| {
        reading.fields.push(CallField { label: FieldLabel::Own(label), value: format::as_json(value) });
    };
    if let Some(beside) = members_beside_arguments(call) {
        add("Beside the arguments", &beside);
    }
    if let Some(meta) = &call.meta {
        add("Meta", meta.get());
    }
    reading
}

/// What the server gets beside the tool's name and its arguments, if anything.
fn members_beside_arguments(call: &Call) -> Option<RawJson> {
    match call.method {
        Method::CallTool => {
            let beside = RawObject::read(call.params.get())
                .ok()?
                .without_members(|key| matches!(key, "name" | "arguments"));
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // A prompt's name is not the name that policy knows it by.
        Method::GetPrompt => {
            let beside = RawObject::read(call.params.get()).ok()?.without_members(|key| key == "arguments");
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // Their arguments are the whole already.
        Method::ReadResource | Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
            None
        }
    }
}

/// Whether a call is short enough to be read.
fn is_renderable(call: &Call) -> bool {
    let meta = call.meta.as_ref().map_or(0, |meta| meta.get().get().len());
    call.params.get().get().len() + meta <= MAX_RENDERED_CALL_BYTES
}

/// The whole call: its name for policy, and every byte that the server gets.
fn whole_call(call: &Call) -> RawJson {
    let (tool, method) = (serialize_raw(&call.tool), serialize_raw(call.method.as_str()));
    let object = RawObject::default()
        .with_member("tool", &tool)
        .with_member("method", &method)
        .with_member("params", call.params.get());
    match &call.meta {
        Some(meta) => object.with_member("_meta", meta.get()).to_raw(),
        None => object.to_raw(),
    }
}

#[cfg(test)]
pub(super) mod tests;
