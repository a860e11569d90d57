//! What became of a question: the same message, edited.

use jiff::Timestamp;
use portero::json::Object;
use portero::task::{State, Task};
use serde_json::value::RawValue;

use super::super::format;
use super::super::moments;
use super::super::text::{ENTITIES_MOST, MESSAGE_MOST, Message, Shown, Text};
use super::{View, fields, is_read, name, reading, short, voted, who};

/// How many characters of the call an outcome repeats.
const CALL_MOST: usize = 1_200;
/// How many characters of the answer it shows.
const ANSWER_MOST: usize = 900;
/// How many characters of a name or reason.
const NOTE_MOST: usize = 300;

/// How a question was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// By what.
    pub door: Door,
    /// When.
    pub at: Timestamp,
}

/// By what a question was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// On the phone that shows this message.
    ThisPhone,
    /// On another phone.
    AnotherPhone,
    /// In a group, by this user.
    User(i64),
    /// On several people's phones, who are named below.
    People,
    /// At the terminal.
    Terminal,
    /// By a rule or grant made meanwhile.
    Rule,
    /// Nobody decided in time.
    Expiry,
    /// The agent took it back.
    Agent,
    /// By the daemon, when it stopped or found the call changed.
    Daemon,
}

impl Door {
    fn text(self) -> Text {
        let text = Text::new();
        if let Self::User(user) = self {
            return text.words(" by ").code(&Shown::line(&format!("telegram user {user}")));
        }
        text.words(self.words())
    }

    const fn words(self) -> &'static str {
        match self {
            Self::User(_) => "",
            Self::ThisPhone => " on this phone",
            Self::AnotherPhone => " on another phone",
            Self::People => " by several people",
            Self::Terminal => " at the terminal",
            Self::Rule => " by a rule",
            Self::Expiry => " because nobody decided in time",
            Self::Agent => " by the agent",
            Self::Daemon => " by Portero",
        }
    }
}

/// What became of a task, in one message.
#[must_use]
pub fn outcome(task: &Task, decided: Decided, view: &View<'_>) -> Message {
    let title = Text::new()
        .bold(verdict(task.state))
        .then(decided.door.text())
        .words(", ")
        .then(moments::at(decided.at, view.now, view.zone))
        .words("\n")
        .code(&name(task))
        .words("\n");
    let title = match voted(task, view) {
        None => title,
        Some(voted) => title.bold("Approved by").words(": ").then(voted).words("\n"),
    };
    let (who, _) = who(task).beginning(2 * NOTE_MOST, 8);
    let text = note(title.then(who), task);
    let text = call(text.words("\n\n"), task);
    let text = match course(task) {
        None => text,
        Some(course) => text.line().words("\n").then(course),
    };
    let text = text.line().words("\nAll of it: ").code(&all(task));
    text.message(MESSAGE_MOST).unwrap_or_else(|| {
        // The parts above are bounded in characters, of which each may take two units.
        let (text, _) = text.beginning(MESSAGE_MOST / 2, ENTITIES_MOST - 1);
        let text = text.line().words("Shortened.");
        text.message(MESSAGE_MOST).unwrap_or(Message { text: "Shortened.".to_owned(), entities: Vec::new() })
    })
}

/// What was decided, as far as the state tells.
const fn verdict(state: State) -> &'static str {
    match state {
        State::PendingApproval => "Waits",
        State::Approved | State::Executing | State::Completed | State::Failed | State::Interrupted => {
            "Approved"
        }
        State::Denied => "Denied",
        State::Expired => "Expired",
        State::Cancelled => "Taken back",
    }
}

fn note(text: Text, task: &Task) -> Text {
    let Some(note) = &task.note else { return text };
    let (note, whole) = Shown::line(note.get()).beginning(NOTE_MOST);
    let text = text.words("\n").bold("Note").words(": ").code(&note);
    if whole { text } else { text.words(" (shortened)") }
}

/// What was asked, shortened.
fn call(text: Text, task: &Task) -> Text {
    if !is_read(&task.call) {
        return text.words("(the call is too long to be repeated)");
    }
    let reading = reading(&task.call);
    let (call, whole) = fields(Text::new().bold(reading.kind), reading.fields).beginning(CALL_MOST, 40);
    let text = text.then(call);
    if whole { text } else { text.line().words("(the call is shortened here)") }
}

/// What the run gave.
fn course(task: &Task) -> Option<Text> {
    match task.state {
        State::PendingApproval | State::Denied | State::Expired | State::Cancelled => None,
        State::Approved => Some(Text::new().bold("It starts.")),
        State::Executing => Some(Text::new().bold("It runs.")),
        State::Completed => Some(answer(Text::new().bold("Done."), task)),
        State::Failed => Some(answer(Text::new().bold("Failed."), task)),
        State::Interrupted => Some(Text::new().bold("Interrupted").words(
            ": whether it took effect is not known. It is not tried again. Look at the service itself.",
        )),
    }
}

fn answer(text: Text, task: &Task) -> Text {
    let error = task.error.as_ref().map(|error| error.get());
    let shown = match (&task.result, error) {
        (_, Some(error)) if error.get().len() <= super::READ_MOST => error_text(error),
        (Some(result), None) if result.get().get().len() <= super::READ_MOST => result_text(result.get()),
        (None, None) => return text,
        (Some(_) | None, Some(_)) | (Some(_), None) => {
            return text.words(" The answer is too long to be shown here.");
        }
    };
    let (shown, whole) = shown.beginning(ANSWER_MOST, 20);
    let text = text.words(" It answered:").line().then(shown);
    if whole { text } else { text.line().words("(the answer is shortened here)") }
}

/// A JSON-RPC error: its message.
fn error_text(error: &RawValue) -> Text {
    let message = Object::read(error).ok().and_then(|object| object.text("message"));
    match message {
        Some(message) => Text::new().pre(&Shown::block(&message)),
        None => format::as_json(error),
    }
}

/// A result's content (MCP, "`CallToolResult`"): its texts, and what else there is.
fn result_text(result: &RawValue) -> Text {
    let content = Object::read(result).ok().and_then(|object| object.get("content"));
    let items: Option<Vec<&RawValue>> = content.and_then(|content| serde_json::from_str(content.get()).ok());
    match items.filter(|items| !items.is_empty()) {
        None => format::as_json(result),
        Some(items) => items.iter().fold(Text::new(), |text, item| text.line().then(item_text(item))),
    }
}

fn item_text(item: &RawValue) -> Text {
    let Ok(object) = Object::read(item) else { return format::as_json(item) };
    match (object.text("type").as_deref(), object.text("text")) {
        (Some("text"), Some(text)) => Text::new().pre(&Shown::block(&text)),
        (Some("image"), _) => Text::new().words("(an image)"),
        (Some("audio"), _) => Text::new().words("(a sound)"),
        (Some(_) | None, _) => format::as_json(item),
    }
}

fn all(task: &Task) -> Shown {
    Shown::line(&format!("portero task {}", short(task.id).as_str()))
}
