//! The card by which a person is asked, and what becomes of it.
//!
//! A card shows all that would run (guarantee A3). What does not fit into one message stands whole in a document
//! besides, and then a yes takes a second tap. Everything here is a pure function of the task.

mod outcome;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::call::{Call, Method};
use portero::catalog::Hints;
use portero::json::readable::{readable, tame};
use portero::json::{Object, RawJson, raw};
use portero::names::TaskId;
use portero::policy::Quorum;
use portero::task::Task;
use serde::{Deserialize, Serialize};

pub use self::outcome::{Decided, Door, outcome};
use super::format::{self, Field, Label, Reading};
use super::moments;
use super::text::{CAPTION_MOST, MESSAGE_MOST, Message, Shown, Text};

/// The most pages of a card; what follows stands in its document only.
pub const PAGES_MOST: usize = 20;
/// Calls of more bytes are not read for a card: they stand in the document only, and not indented, since
/// indenting can make JSON some forty times as long (and a document has at most 50 MB; Bot API, "sendDocument").
const READ_MOST: usize = 512 << 10;
/// How many characters of an id's end are shown: the random end, as on the terminal.
const SHORT: usize = 8;

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its pages, of which there is at least one. They are shown one at a time, in one message.
    pub pages: Vec<Message>,
    /// The whole call, when it does not fit into one page.
    pub document: Option<Document>,
    /// Whether a yes takes a second tap, because there is more to read than the first page.
    pub needs_second_tap: bool,
}

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// What is in it: UTF-8.
    pub bytes: Vec<u8>,
    /// What is said about it.
    pub caption: Message,
}

/// What a card depends on besides its task.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What the tool's server says of it, if it is known.
    pub hints: Option<Hints>,
    /// The present.
    pub now: Timestamp,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}

/// The question whether a call may run.
#[must_use]
pub fn card(task: &Task, view: &View<'_>) -> Card {
    let (head, body) = (head(task, view), body(&task.call));
    let text = head.clone().words("\n\n").then(body.clone());
    if let Some(message) = text.message(MESSAGE_MOST).filter(|_| is_read(&task.call)) {
        return Card { pages: vec![message], document: None, needs_second_tap: false };
    }
    let note = Text::new()
        .words("\n\n")
        .bold("This is more than fits into one message.")
        .words(" All of it is in the document. Read it before you approve.\n\n");
    let pages = head.then(note).then(body).first_pages(PAGES_MOST);
    Card { pages, document: Some(document(task)), needs_second_tap: true }
}

/// The question and all of the call, of any length.
#[must_use]
pub fn in_full(task: &Task, view: &View<'_>) -> Text {
    head(task, view).words("\n\n").then(body(&task.call))
}

/// The whole call as JSON, on pages; the last says so when a document must tell the rest.
#[must_use]
pub fn as_json(task: &Task) -> Vec<Message> {
    let title = Text::new().bold("The call as JSON").words(" of ").code(&name(task)).words("\n");
    if !is_read(&task.call) {
        return title.words("It is too long to be shown here; it stands in the document.").pages();
    }
    title.pre(&Shown::json(&whole(&task.call))).first_pages(PAGES_MOST)
}

/// The whole call as a document.
#[must_use]
pub fn document(task: &Task) -> Document {
    let whole = whole(&task.call);
    let text = if is_read(&task.call) { readable(whole.get()) } else { whole.get().to_owned() };
    let caption =
        Text::new().words("The whole call of ").code(&name(task)).words(", task ").code(&short(task.id));
    let caption =
        caption.message(CAPTION_MOST).unwrap_or(Message { text: String::new(), entities: Vec::new() });
    let name = format!("call-{}.json", short(task.id).as_str());
    Document { name, bytes: tame(&text).into_owned().into_bytes(), caption }
}

/// The end of a task's id, by which a person can name it.
#[must_use]
pub fn short(id: TaskId) -> Shown {
    let id = id.to_string();
    Shown::line(&id[id.len() - SHORT..])
}

/// What is asked, by whom, why, and until when.
fn head(task: &Task, view: &View<'_>) -> Text {
    let text = Text::new().bold("May this run?").words("\n").code(&name(task));
    let text = match task.call.odd_name() {
        // Policy's spelling of such a name is hard to read.
        Some(odd) => text.words("\n").bold("Named by its server").words(": ").code(&Shown::line(&odd)),
        None => text,
    };
    let text = text.words("\n\n").then(who(task));
    let text = text.words("\n").bold("The server says").words(": ").then(claims(view.hints));
    text.words("\n")
        .bold("Why")
        .words(": ")
        .code(&Shown::line(&task.decision.to_string()))
        .then(several(task, view))
        .words("\n")
        .bold("Until")
        .words(": ")
        .then(moments::until(task.expires, view.now, view.zone))
        .words("\n")
        .bold("Task")
        .words(": ")
        .code(&short(task.id))
}

/// What several people must say, and who said so already.
fn several(task: &Task, view: &View<'_>) -> Text {
    let needs = |text: Text, quorum: &Quorum| {
        text.words("\n").bold("Needs").words(": ").code(&Shown::line(&quorum.to_string()))
    };
    let text = task.quorums.iter().fold(Text::new(), needs);
    match voted(task, view) {
        None => text,
        Some(voted) => text.words("\n").bold("Approved so far").words(": ").then(voted),
    }
}

/// Who approved, and when, where it takes several people; none where nobody did.
fn voted(task: &Task, view: &View<'_>) -> Option<Text> {
    let mut text: Option<Text> = None;
    for vote in &task.votes {
        let so_far = text.map_or_else(Text::new, |text| text.words("; "));
        let whose = so_far.code(&Shown::line(&format!("user {}", vote.user))).words(", ");
        text = Some(whose.then(moments::at(vote.at, view.now, view.zone)));
    }
    text
}

fn name(task: &Task) -> Shown {
    Shown::line(&task.call.tool.to_string())
}

/// Who asks, and where it would run.
fn who(task: &Task) -> Text {
    let origin = &task.origin;
    let session = origin.session.to_string();
    let text = Text::new()
        .bold("Asks")
        .words(": ")
        .code(&Shown::line(origin.client.get()))
        .words("\n")
        .bold("Project")
        .words(": ")
        .code(&Shown::line(origin.principal.as_str()))
        .words(", session ")
        .code(&Shown::line(&session[session.len() - SHORT..]));
    if origin.directory.as_os_str() == origin.principal.as_str() {
        return text;
    }
    let directory = origin.directory.to_string_lossy();
    text.words("\n").bold("Runs in").words(": ").code(&Shown::line(&directory))
}

/// What the server says of its tool: its word only (MCP, "`ToolAnnotations`").
fn claims(hints: Option<Hints>) -> Text {
    let Some(Hints { read_only, destructive, idempotent, open_world }) = hints else {
        return Text::new().words("nothing that is known at present");
    };
    let said = [
        read_only.map(|yes| if yes { "only reads" } else { "changes things" }),
        destructive.map(|yes| if yes { "may destroy" } else { "destroys nothing" }),
        idempotent.map(|yes| if yes { "twice is like once" } else { "twice is not like once" }),
        open_world.map(|yes| if yes { "reaches others" } else { "reaches nobody else" }),
    ];
    let mut text = Text::new();
    for words in said.into_iter().flatten() {
        text = if text.is_empty() { text } else { text.words(", ") };
        text = text.words(words);
    }
    if text.is_empty() { text.words("nothing of what it does") } else { text }
}

/// Everything that the server gets.
fn body(call: &Call) -> Text {
    if !is_read(call) {
        let bytes = u64::try_from(call.params.get().get().len()).unwrap_or(u64::MAX);
        return Text::new()
            .words("The call has ")
            .count(bytes)
            .words(" bytes and stands in the document only.");
    }
    let Reading { kind, fields: known } = reading(call);
    let mut text = Text::new().bold(kind);
    if call.method != Method::CallTool {
        text = text.words(", by ").code(&Shown::line(call.method.as_str()));
    }
    fields(text, known)
}

/// Lines of fields below a text.
fn fields(mut text: Text, fields: Vec<Field>) -> Text {
    for Field { label, value } in fields {
        let between = if value.is_block() { ":" } else { ": " };
        text = text.line().then(label.text()).words(between).then(value);
    }
    text
}

/// The arguments by their formatter, and what goes to the server beside them.
fn reading(call: &Call) -> Reading {
    let mut reading = format::read(&call.tool, call.arguments());
    let mut add = |label, value: &RawJson| {
        reading.fields.push(Field { label: Label::Own(label), value: format::as_json(value) });
    };
    if let Some(beside) = beside_arguments(call) {
        add("Beside the arguments", &beside);
    }
    if let Some(meta) = &call.meta {
        add("Meta", meta.get());
    }
    reading
}

/// What the server gets beside the tool's name and its arguments, if anything.
fn beside_arguments(call: &Call) -> Option<RawJson> {
    match call.method {
        Method::CallTool => {
            let beside =
                Object::read(call.params.get()).ok()?.without(|key| matches!(key, "name" | "arguments"));
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // A prompt's name is not the name that policy knows it by.
        Method::GetPrompt => {
            let beside = Object::read(call.params.get()).ok()?.without(|key| key == "arguments");
            (!beside.is_empty()).then(|| beside.to_raw())
        }
        // Their arguments are the whole already.
        Method::ReadResource | Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
            None
        }
    }
}

/// Whether a call is short enough to be read.
fn is_read(call: &Call) -> bool {
    let meta = call.meta.as_ref().map_or(0, |meta| meta.get().get().len());
    call.params.get().get().len() + meta <= READ_MOST
}

/// The whole call: its name for policy, and every byte that the server gets.
fn whole(call: &Call) -> RawJson {
    let (tool, method) = (raw(&call.tool), raw(call.method.as_str()));
    let object =
        Object::default().with("tool", &tool).with("method", &method).with("params", call.params.get());
    match &call.meta {
        Some(meta) => object.with("_meta", meta.get()).to_raw(),
        None => object.to_raw(),
    }
}

#[cfg(test)]
pub(super) mod tests;
