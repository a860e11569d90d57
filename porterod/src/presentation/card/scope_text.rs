//! The views of a card in which a person permits more than the call: which fields must stay the same, and what
//! exactly would run without a question.

use portero::approval_scope::{ChoosableField, ScopeChange, ScopeDuration};
use portero::ipc::Act;
use portero::names::ToolId;
use portero::policy::{Action, ArgumentLimit, FixedArguments, GrantLimits, MAX_FIXED_ARGUMENTS, ScalarValue};
use portero::task::Task;

use std::time::Duration;

use super::super::text::{EscapedText, StyledText};
use super::super::{change_text, format, time_format};
use super::{Card, append_fields, origin_fields, short_id, tool_name};

/// What the approval of a call would permit beside it.
#[derive(Debug, Clone, Copy)]
pub struct ScopeEffect<'a> {
    /// The grant or rule.
    pub change: &'a ScopeChange,
    /// The tools that it loosens, denied ones first, with their present action.
    pub tools: &'a [(ToolId, Action)],
    /// Those of them that policy lists as reading, and whose servers say that they write.
    pub disputed: &'a [ToolId],
}

/// What the tap below this text permits beside the call, in one sentence, with the tools that it loosens and the
/// call itself. `with_call` is false where only the card and its document hold the whole call.
#[must_use]
pub fn confirm_text(card: &Card, task: &Task, effect: ScopeEffect<'_>, with_call: bool) -> StyledText {
    let ScopeEffect { change, tools, disputed } = effect;
    let title = StyledText::new().bold("Approve this call, and allow more?").literal("\n");
    let text = append_sentence(title.literal("\n"), change, task);
    let text = change_text::append_tools(text.literal("\n"), &Act::from(change), tools);
    let text = append_disputed(text, disputed);
    let text = append_origin(text.on_new_line().literal("\n"), task);
    let text = text.literal("\n\n").bold("The call that runs now").literal("\n").code(&tool_name(task));
    if with_call {
        text.literal("\n").append(card.body_text())
    } else {
        text.literal("\nAll of it is on the card and in its document.")
    }
}

/// Why a scope can't be permitted, by the words of the failure.
#[must_use]
pub fn refused_scope_text(task: &Task, reason: &str) -> StyledText {
    let text = StyledText::new()
        .bold("This can't be allowed")
        .literal("\n")
        .code(&EscapedText::line(reason))
        .literal("\nThe call itself still waits.\n\n");
    append_origin(text, task)
}

/// The fields of a call, of which the person chooses those that later calls must have too.
#[must_use]
pub fn choose_fields_text(
    task: &Task,
    fields: &[(&ChoosableField, bool)],
    lasts: ScopeDuration,
) -> StyledText {
    let text = StyledText::new()
        .bold("Which fields must be the same?")
        .literal("\n")
        .code(&tool_name(task))
        .literal(
            "\n\nA later call runs without asking you if each marked field is as in this call, whatever else it says.\n",
        );
    let text = fields.iter().zip(1..).fold(text, |text, ((field, is_chosen), number)| {
        let mark = if *is_chosen { ". ☑ " } else { ". ☐ " };
        text.on_new_line()
            .number(number)
            .literal(mark)
            .code(&EscapedText::line(&field.pointer.to_string()))
            .literal(": ")
            .append(value_text(&field.value))
    });
    let text = text.on_new_line().literal("\n").bold("For").literal(": ").append(duration_text(lasts));
    let chosen = fields.iter().filter(|(_, is_chosen)| *is_chosen).count();
    let text = match chosen {
        0 => text.literal("\nMark at least one field."),
        count if count > MAX_FIXED_ARGUMENTS => {
            text.literal("\nThat is more than can be fixed: unmark some.")
        }
        _ => text.literal("\nNothing is allowed yet. The next view says what would be."),
    };
    append_origin(text.literal("\n\n"), task)
}

/// The tools of which policy says that they read, and their servers that they write.
fn append_disputed(text: StyledText, disputed: &[ToolId]) -> StyledText {
    let Some((first, others)) = disputed.split_first() else { return text };
    let name = |tool: &ToolId| EscapedText::line(&tool.to_string());
    let text = text.on_new_line().bold("You list these as reading, and their server says that they write");
    others
        .iter()
        .fold(text.literal(": ").code(&name(first)), |text, tool| text.literal(", ").code(&name(tool)))
}

/// The sentence: which calls, for whom, for how long, and how to end it.
fn append_sentence(text: StyledText, change: &ScopeChange, task: &Task) -> StyledText {
    match change {
        ScopeChange::Allow(pattern) => {
            let text = text.bold("Every call").literal(" of ").code(&EscapedText::line(pattern.as_str()));
            append_end(
                text.literal(", whatever it says, will run without asking you, in every session, ")
                    .bold("from now on"),
                ". It stays until you end it with ",
                "/unrule",
            )
        }
        ScopeChange::Grant { pattern, duration, limits } => {
            let text = append_calls(text, pattern.as_str(), limits);
            let text = append_callers(text.literal(" will run without asking you"), limits, task);
            append_end(append_time(text, *duration, limits), ". End it sooner with ", "/revoke")
        }
    }
}

fn append_calls(text: StyledText, pattern: &str, limits: &GrantLimits) -> StyledText {
    let pattern = EscapedText::line(pattern);
    match &limits.arguments {
        Some(ArgumentLimit::ExactCall(_)) => {
            text.bold("Exactly this call").literal(" of ").code(&pattern).literal(", as often as it is made,")
        }
        Some(ArgumentLimit::Fixed(fixed)) => {
            let text = text.bold("Every call").literal(" of ").code(&pattern).literal(" with ");
            append_fixed(text, fixed).literal(", whatever else it says,")
        }
        None if limits.reads_only => text
            .bold("Every call")
            .literal(" of a tool in ")
            .code(&pattern)
            .literal(" that only reads, by ")
            .code(&EscapedText::line("reads"))
            .literal(" in ")
            .code(&EscapedText::line("policies.json"))
            .literal(","),
        None => text.bold("Every call").literal(" of ").code(&pattern).literal(", whatever it says,"),
    }
}

fn append_fixed(text: StyledText, fixed: &FixedArguments) -> StyledText {
    fixed.as_slice().iter().enumerate().fold(text, |text, (at, argument)| {
        let text = if at == 0 { text } else { text.literal(" and ") };
        text.code(&EscapedText::line(&argument.pointer.to_string()))
            .literal(" = ")
            .append(value_text(&argument.value))
    })
}

fn append_callers(text: StyledText, limits: &GrantLimits, task: &Task) -> StyledText {
    let text = if is_for_session(limits) {
        let session = task.origin.session.to_string();
        let end = &session[session.len() - super::SHORT_ID_CHARS..];
        text.literal(", in session ").code(&EscapedText::line(end)).literal(" alone")
    } else {
        text.literal(", in every session")
    };
    match &limits.project {
        None => text,
        Some(project) => text.literal(" of ").code(&EscapedText::line(project.as_str())),
    }
}

fn append_time(text: StyledText, duration: Duration, limits: &GrantLimits) -> StyledText {
    let time = time_format::format_duration(duration);
    if is_for_session(limits) {
        text.literal(", for at most ").append(time).literal(" from your tap")
    } else {
        text.literal(", for ").append(time).literal(" from your tap")
    }
}

fn append_end(text: StyledText, before: &'static str, command: &str) -> StyledText {
    text.literal(before)
        .code(&EscapedText::line(command))
        .literal(" and its number, which this card will show.")
}

/// Whether a grant is for the asking session alone.
const fn is_for_session(limits: &GrantLimits) -> bool {
    limits.session.is_some() || limits.agent_session.is_some()
}

fn duration_text(lasts: ScopeDuration) -> StyledText {
    match lasts {
        ScopeDuration::Session => StyledText::new().literal("this session"),
        ScopeDuration::Millis(millis) => {
            time_format::format_duration(Duration::from_millis(millis)).literal(", in every session")
        }
    }
}

/// A value within a line; a text that holds JSON stays as it is spelled.
fn value_text(value: &ScalarValue) -> StyledText {
    let json = value.to_json();
    let shown = format::as_text(&json);
    if shown.is_block() { StyledText::new().code(&EscapedText::json(&json)) } else { shown }
}

/// Who asks, and the task.
fn append_origin(text: StyledText, task: &Task) -> StyledText {
    append_fields(text, &origin_fields(task))
        .on_new_line()
        .bold("Task")
        .literal(": ")
        .code(&short_id(task.id))
}
