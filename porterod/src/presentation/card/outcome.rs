//! The outcome of a question, which replaces the card in the same message.

use jiff::Timestamp;
use portero::clock::Moment;
use portero::ipc::Act;
use portero::json::RawObject;
use portero::names::Actor;
use portero::pattern::Pattern;
use portero::policy::definition_pins::DefinitionItem;
use portero::policy::{Action, Grant, Overrides, PolicyRule};
use portero::task::{Task, TaskState};
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, change_text, format, time_format};
use super::{append_fields, is_renderable, origin_fields, read_call, short_id, tool_name, votes_text};

/// How many characters of the call are repeated.
const MAX_CALL_CHARS: usize = 1_200;
/// How many characters of the answer are shown.
const MAX_ANSWER_CHARS: usize = 900;
/// How many characters of a name or reason are shown.
const MAX_NOTE_CHARS: usize = 300;

/// The decision about a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedDecision {
    /// The origin of the decision.
    pub by: DecidedBy,
    /// Its time.
    pub at: Timestamp,
}

/// The origin of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy {
    /// The phone that shows this message.
    ThisPhone,
    /// Another phone.
    AnotherPhone,
    /// This user in a group.
    User(i64),
    /// Several people, named below.
    People,
    /// The terminal.
    Terminal,
    /// A rule or grant that was made meanwhile.
    Rule,
    /// The deadline passed without a decision.
    Expiry,
    /// The agent cancelled the call.
    Agent,
    /// The daemon, which stopped or found the call changed.
    Daemon,
}

impl DecidedBy {
    /// The origin, to be put after the decision.
    pub(in crate::presentation) fn to_text(self) -> StyledText {
        let text = StyledText::new();
        if let Self::User(user) = self {
            return text.literal(" by ").code(&EscapedText::line(&Actor::TelegramUser(user).to_string()));
        }
        text.literal(self.label())
    }

    const fn label(self) -> &'static str {
        match self {
            Self::User(_) => "",
            Self::ThisPhone => " on this phone",
            Self::AnotherPhone => " on another phone",
            Self::People => " by several people",
            Self::Terminal => " at the terminal",
            Self::Rule => " by a rule or grant",
            Self::Expiry => " because no decision came in time",
            Self::Agent => " by the agent",
            Self::Daemon => " by Portero",
        }
    }
}

/// The rule or grant that a press made beside its decision about the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// A grant.
    Grant(Grant),
    /// A rule.
    Rule(PolicyRule),
    /// The accepted definition of this item.
    Definition(DefinitionItem),
}

impl FollowUp {
    /// Finds what a press at this moment made, by the act of its button. None if it isn't made yet, or has ended.
    #[must_use]
    pub fn find((act, pressed): &(Act, Moment), overrides: &Overrides) -> Option<Self> {
        let rule = |pattern: &Pattern, action: Action| {
            let says_so = |rule: &&PolicyRule| rule.pattern == *pattern && rule.action == action;
            overrides.rules.iter().rev().find(says_so).cloned().map(Self::Rule)
        };
        match act {
            Act::Allow(pattern) => rule(pattern, Action::Allow),
            Act::Deny(pattern) => rule(pattern, Action::Deny),
            Act::Grant(..) => {
                // A grant by a button is as old as its press, which tells it from an equal one.
                let is_made = |grant: &&Grant| {
                    grant.made.wall == pressed.wall
                        && Act::grant(&grant.pattern, grant.duration(), &grant.limits) == *act
                };
                overrides.grants.iter().find(is_made).cloned().map(Self::Grant)
            }
            Act::AcceptDefinition(server, item, _) => {
                let pins = overrides.definition_pins.server(server)?;
                let is_accepted = pins.accepted.contains_key(item) && !pins.waiting.contains_key(item);
                is_accepted.then(|| Self::Definition(item.clone()))
            }
            // No button on a card does anything else to rules and grants.
            _ => None,
        }
    }

    /// What it permits or denies, and the command that ends it.
    fn to_text(&self) -> StyledText {
        match self {
            Self::Grant(grant) => change_text::grant_text(grant),
            Self::Rule(rule) => change_text::rule_text(rule),
            Self::Definition(item) => StyledText::new()
                .bold("Accepted")
                .literal(": the new definition of ")
                .code(&EscapedText::line(&item.to_string()))
                .literal(". It counts in every session."),
        }
    }
}

/// The outcome of a task, in a few thousand characters at most. `follow_up` is what the deciding press made
/// beside it.
#[must_use]
pub fn outcome_text(
    task: &Task,
    decided: RecordedDecision,
    follow_up: Option<&FollowUp>,
    view: &ViewContext<'_>,
) -> StyledText {
    let title = StyledText::new()
        .bold(verdict_title(task.state))
        .append(decided.by.to_text())
        .literal(", ")
        .append(time_format::format_time(decided.at, view.now, view.zone))
        .literal("\n")
        .code(&tool_name(task))
        .literal("\n");
    let title = match votes_text(task, view) {
        None => title,
        Some(voted) => title.bold("Approved by").literal(": ").append(voted).literal("\n"),
    };
    // The agent chooses its client's name, so its length is bounded here.
    let (who, _) = append_fields(StyledText::new(), &origin_fields(task)).truncated(2 * MAX_NOTE_CHARS, 8);
    let text = append_note(title.append(who), task);
    let text = match follow_up {
        None => text,
        Some(made) => text.on_new_line().append(made.to_text()),
    };
    let text = append_call(text.literal("\n\n"), task);
    let text = match run_text(task) {
        None => text,
        Some(course) => text.on_new_line().literal("\n").append(course),
    };
    text.on_new_line().literal("\nAll of it: ").code(&terminal_command(task))
}

/// The decision, as far as the state shows it.
pub(in crate::presentation) const fn verdict_title(state: TaskState) -> &'static str {
    match state {
        TaskState::PendingApproval => "Waits",
        TaskState::Approved
        | TaskState::Executing
        | TaskState::Completed
        | TaskState::Failed
        | TaskState::Interrupted => "Approved",
        TaskState::Denied => "Denied",
        TaskState::Expired => "Expired",
        TaskState::Cancelled => "Taken back",
    }
}

fn append_note(text: StyledText, task: &Task) -> StyledText {
    let Some(note) = &task.note else { return text };
    let (note, whole) = EscapedText::line(note.get()).truncated(MAX_NOTE_CHARS);
    let text = text.literal("\n").bold("Note").literal(": ").code(&note);
    if whole { text } else { text.literal(" (shortened)") }
}

/// The call, shortened.
fn append_call(text: StyledText, task: &Task) -> StyledText {
    if !is_renderable(&task.call) {
        return text.literal("(the call is too long to be repeated)");
    }
    let reading = read_call(&task.call);
    let (call, whole) =
        append_fields(StyledText::new().bold(reading.kind), &reading.fields).truncated(MAX_CALL_CHARS, 40);
    let text = text.append(call);
    if whole { text } else { text.on_new_line().literal("(the call is shortened here)") }
}

/// The progress or result of the run.
fn run_text(task: &Task) -> Option<StyledText> {
    match task.state {
        TaskState::PendingApproval | TaskState::Denied | TaskState::Expired | TaskState::Cancelled => None,
        TaskState::Approved => Some(StyledText::new().bold("It starts.")),
        TaskState::Executing => Some(StyledText::new().bold("It runs.")),
        TaskState::Completed => Some(append_answer(StyledText::new().bold("Done."), task)),
        TaskState::Failed => Some(append_answer(StyledText::new().bold("Failed."), task)),
        TaskState::Interrupted => Some(StyledText::new().bold("Interrupted").literal(
            ": whether it took effect is not known. It is not tried again. Look at the service itself.",
        )),
    }
}

fn append_answer(text: StyledText, task: &Task) -> StyledText {
    if task.result.is_none() && task.error.is_none() {
        return text;
    }
    let Some(shown) = answer_text(task) else {
        return text.literal(" The answer is too long to be shown here.");
    };
    // A long answer would push the decision itself out of the message.
    let (shown, whole) = shown.truncated(MAX_ANSWER_CHARS, 20);
    let text = text.literal(" It answered:").on_new_line().append(shown);
    if whole { text } else { text.on_new_line().literal("(the answer is shortened here)") }
}

/// What the server answered, of any length; none if it did not, or if that is too long to be shown.
pub(in crate::presentation) fn answer_text(task: &Task) -> Option<StyledText> {
    let error = task.error.as_ref().map(|error| error.get());
    match (&task.result, error) {
        // An error wins, because a task with both has no usable result.
        (_, Some(error)) if error.get().len() <= super::MAX_RENDERED_CALL_BYTES => Some(error_text(error)),
        (Some(result), None) if result.get().get().len() <= super::MAX_RENDERED_CALL_BYTES => {
            Some(result_text(result.get()))
        }
        (Some(_) | None, Some(_)) | (Some(_), None) | (None, None) => None,
    }
}

/// The message of a JSON-RPC error.
fn error_text(error: &RawValue) -> StyledText {
    let message = RawObject::read(error).ok().and_then(|object| object.get_text("message"));
    match message {
        Some(message) => StyledText::new().pre(&EscapedText::block(&message)),
        None => format::as_json(error),
    }
}

/// A result's content (MCP, "`CallToolResult`"): its texts, and a note about other content.
fn result_text(result: &RawValue) -> StyledText {
    let content = RawObject::read(result).ok().and_then(|object| object.get("content"));
    let items: Option<Vec<&RawValue>> = content.and_then(|content| serde_json::from_str(content.get()).ok());
    match items.filter(|items| !items.is_empty()) {
        None => format::as_json(result),
        Some(items) => {
            items.iter().fold(StyledText::new(), |text, item| text.on_new_line().append(item_text(item)))
        }
    }
}

fn item_text(item: &RawValue) -> StyledText {
    let Ok(object) = RawObject::read(item) else { return format::as_json(item) };
    match (object.get_text("type").as_deref(), object.get_text("text")) {
        (Some("text"), Some(text)) => StyledText::new().pre(&EscapedText::block(&text)),
        (Some("image"), _) => StyledText::new().literal("(an image)"),
        (Some("audio"), _) => StyledText::new().literal("(a sound)"),
        (Some(_) | None, _) => format::as_json(item),
    }
}

fn terminal_command(task: &Task) -> EscapedText {
    EscapedText::line(&format!("portero task {}", short_id(task.id).as_str()))
}
