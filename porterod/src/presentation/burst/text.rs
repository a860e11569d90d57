//! The texts of a list: one to three lines for each call, and the heading of a call that is open.

use std::collections::BTreeMap;

use portero::task::{Task, TaskState};

use super::super::card::{
    answer_text, is_renderable, origin_text, read_call, short_id, tool_name, verdict_title,
};
use super::super::format::{CallField, FieldLabel};
use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};
use super::state::{ListState, ListedCall};

/// How many fields of a call its lines show.
const MAX_FIELDS: usize = 3;
/// How many characters of one field.
const MAX_FIELD_CHARS: usize = 80;
/// How many characters of a reason or an answer.
const MAX_NOTE_CHARS: usize = 80;
/// How many reasons the heading of a call names.
const MAX_REASONS: usize = 3;
/// How many characters of the names of client and project.
const MAX_ORIGIN_CHARS: usize = 600;

/// The text of a list, in parts that no page may split.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Who asks, and how many calls are in which state.
    pub head: StyledText,
    /// One row for each call, or for several that are equal.
    pub rows: Vec<StyledText>,
    /// What the rows don't say.
    pub foot: StyledText,
}

/// The list of these calls, which all come from one session.
#[must_use]
pub fn overview(calls: &[ListedCall], state: &ListState, view: &ViewContext<'_>) -> Overview {
    let (mut rows, mut is_whole) = (Vec::new(), true);
    for (first, count) in group_equal_calls(calls, state) {
        let (row, whole) = call_row(calls, (first, count), state);
        rows.push(row);
        is_whole &= whole;
    }
    let waits = calls.iter().any(ListedCall::waits);
    let foot = match (waits, is_whole) {
        (false, _) => StyledText::new(),
        (true, true) => StyledText::new().literal("Look through shows each call in full."),
        (true, false) => StyledText::new()
            .literal("The list shows less than all of a call. Look through shows each in full."),
    };
    Overview { head: head_text(calls, view), rows, foot }
}

/// The question whether to deny all that wait, to be put above the list.
#[must_use]
pub fn deny_question(calls: &[ListedCall]) -> StyledText {
    let waiting = calls.iter().filter(|call| call.waits()).count();
    StyledText::new()
        .bold("Deny all that wait?")
        .literal(" These are ")
        .number(to_u64(waiting))
        .literal(". The same calls may not ask again at once.\n\n")
}

/// What the heading of an open call says about the list.
#[derive(Debug, Clone, Copy)]
pub enum CallNote {
    /// So many waiting calls were not shown in full yet.
    Unshown(usize),
    /// All were shown, and so many can be approved together. So many others came since.
    AllShown {
        /// How many can be approved together.
        approvable: usize,
        /// How many calls of the session came since, and have another message.
        later: u64,
    },
}

/// The heading of an open call: its place in the list, and what *Approve all* covers.
#[must_use]
pub fn call_heading(calls: &[ListedCall], index: usize, note: CallNote) -> StyledText {
    let text = StyledText::new().bold("Call").literal(" ").number(to_u64(index + 1)).literal(" of ");
    let text = text.number(to_u64(calls.len()));
    match note {
        CallNote::Unshown(count) => {
            text.literal(". Not shown in full yet: ").number(to_u64(count)).literal(".\n\n")
        }
        CallNote::AllShown { approvable, later } => {
            let text = text.literal(". All that wait were shown.");
            let text = if approvable < 2 {
                text
            } else {
                text.literal(" Approve all covers ").number(to_u64(approvable)).literal(" of them.")
            };
            let text = append_left_out(text, calls);
            let text = match later {
                0 => text,
                later => text
                    .literal("\nNot among them: ")
                    .number(later)
                    .literal(" that came since, in a message of its own."),
            };
            text.literal("\n\n")
        }
    }
}

/// The waiting calls that are not approved together, each with the reason. The list has all reasons.
fn append_left_out(text: StyledText, calls: &[ListedCall]) -> StyledText {
    let left_out = calls.iter().enumerate().filter(|(_, call)| call.waits());
    let mut by_reason: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, call) in left_out {
        if let Some(obstacle) = &call.obstacle {
            by_reason.entry(obstacle).or_default().push(index);
        }
    }
    let others = by_reason.len() > MAX_REASONS;
    let text = by_reason.into_iter().take(MAX_REASONS).fold(text, |text, (reason, indices)| {
        let mut text = text.literal("\nLeft out: ");
        for (place, index) in indices.into_iter().enumerate() {
            text = if place == 0 { text } else { text.literal(", ") };
            text = text.number(to_u64(index + 1));
        }
        let (reason, _) = EscapedText::line(reason).truncated(MAX_NOTE_CHARS);
        text.literal(", since ").code(&reason)
    });
    if others { text.literal("\nOthers are left out too. The list says why.") } else { text }
}

fn head_text(calls: &[ListedCall], view: &ViewContext<'_>) -> StyledText {
    let text = count_text(calls);
    let Some(first) = calls.first() else { return text };
    // The agent chooses its client's name, so its length is bounded here.
    let (origin, _) = origin_text(&first.look.task).truncated(MAX_ORIGIN_CHARS, 8);
    let text = text.literal("\n").append(origin);
    let deadlines = calls.iter().filter(|call| call.waits()).map(|call| call.look.task.expires);
    match deadlines.min() {
        None => text,
        Some(first) => text
            .on_new_line()
            .bold("Until")
            .literal(": ")
            .append(time_format::format_deadline(first, view.now, view.zone)),
    }
}

/// How many calls there are, or how many in each state once one was decided.
fn count_text(calls: &[ListedCall]) -> StyledText {
    if calls.iter().all(ListedCall::waits) {
        return StyledText::new().bold("Calls wait for you").literal(": ").number(to_u64(calls.len()));
    }
    let mut text = StyledText::new().bold("Calls").literal(": ");
    let mut is_first = true;
    for state in TaskState::ALL {
        let count = calls.iter().filter(|call| call.look.task.state == state).count();
        if count > 0 {
            text = if is_first { text } else { text.literal(", ") };
            text = text.number(to_u64(count)).literal(" ").literal(state_words(state));
            is_first = false;
        }
    }
    text
}

/// Each call with how many it stands for: calls that wait and are equal in everything share a row.
fn group_equal_calls(calls: &[ListedCall], state: &ListState) -> Vec<(usize, usize)> {
    let key = |listed: &ListedCall| {
        let call = &listed.look.task.call;
        let meta = call.meta.as_ref().map(|meta| meta.get().get().to_owned());
        let problem = (state.left_out_reason(listed.look.task.id).cloned(), listed.obstacle.clone());
        (call.tool.to_string(), call.method.as_str(), call.params.get().get().to_owned(), meta, problem)
    };
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let equal = groups.iter_mut().find(|(first, _)| {
            let first = &calls[*first];
            call.waits() && first.waits() && key(first) == key(call)
        });
        match equal {
            Some((_, count)) => *count += 1,
            None => groups.push((index, 1)),
        }
    }
    groups
}

/// The lines of a call, and whether they show all of it.
fn call_row(calls: &[ListedCall], (index, count): (usize, usize), state: &ListState) -> (StyledText, bool) {
    let call = &calls[index];
    let task = &call.look.task;
    let text = StyledText::new().number(to_u64(index + 1)).literal(". ");
    let text = if count == 1 { text } else { text.number(to_u64(count)).literal(" × ") };
    let text = text.code(&tool_name(task));
    if !call.waits() {
        return (append_outcome(text, call), true);
    }
    let (fields, is_whole) = compact_fields(task);
    let text = if fields.is_empty() { text } else { text.literal("\n").append(fields) };
    let text = if is_whole { text } else { text.literal(" (shortened)") };
    (append_problem(text, call, state), is_whole)
}

/// Why a waiting call was not approved with the others, or can't be.
fn append_problem(text: StyledText, call: &ListedCall, state: &ListState) -> StyledText {
    let (words, reason) = match (state.left_out_reason(call.look.task.id), &call.obstacle) {
        (Some(reason), _) => ("Not approved, since ", reason),
        (None, Some(obstacle)) => ("Not with the others, since ", obstacle),
        (None, None) => return text,
    };
    let (reason, is_whole) = EscapedText::line(reason).truncated(2 * MAX_NOTE_CHARS);
    let text = text.on_new_line().literal(words).code(&reason);
    if is_whole { text } else { text.literal(" (shortened)") }
}

/// The first fields of a call in one line, and whether that is all of it.
fn compact_fields(task: &Task) -> (StyledText, bool) {
    if !is_renderable(&task.call) {
        return (StyledText::new().literal("too long to be shown here"), false);
    }
    let reading = read_call(&task.call);
    let mut is_whole = reading.fields.len() <= MAX_FIELDS;
    let mut text = StyledText::new();
    for CallField { label, value } in reading.fields.iter().take(MAX_FIELDS) {
        text = if text.is_empty() { text } else { text.literal(", ") };
        let (label, whole_label) = plain_label(label).truncated(MAX_FIELD_CHARS, 2);
        let (value, whole_value) = value.flattened().truncated(MAX_FIELD_CHARS, 2);
        text = text.append(label).literal(": ").append(value);
        is_whole &= whole_label && whole_value;
    }
    (text, is_whole)
}

/// A label that is not bold, because a list has many.
fn plain_label(label: &FieldLabel) -> StyledText {
    let text = StyledText::new();
    match label {
        FieldLabel::Own(words) => text.literal(words),
        FieldLabel::Key(key) => text.code(key),
        FieldLabel::Numbered(words, number) => text.literal(words).literal(" ").number(to_u64(*number)),
        FieldLabel::Named(words, name) => text.literal(words).literal(" ").code(name),
    }
}

/// What became of a call: its state, by whom, and the beginning of its answer.
fn append_outcome(text: StyledText, call: &ListedCall) -> StyledText {
    let task = &call.look.task;
    let text = text.literal(" ").code(&short_id(task.id)).literal("\n");
    let text = text.bold(verdict_title(task.state));
    let text = match call.decided {
        Some(decided) => text.append(decided.by.to_text()),
        None => text,
    };
    let text = match task.state {
        TaskState::Executing | TaskState::Completed | TaskState::Failed | TaskState::Interrupted => {
            text.literal(": ").literal(state_words(task.state))
        }
        TaskState::PendingApproval
        | TaskState::Approved
        | TaskState::Denied
        | TaskState::Expired
        | TaskState::Cancelled => text,
    };
    let note = task.note.as_ref().map(|note| StyledText::new().code(&EscapedText::line(note.get())));
    match note.or_else(|| answer_text(task)) {
        None => text,
        Some(said) => {
            let (said, is_whole) = said.flattened().truncated(MAX_NOTE_CHARS, 2);
            let text = text.literal(", ").append(said);
            if is_whole { text } else { text.literal(" (shortened)") }
        }
    }
}

const fn state_words(state: TaskState) -> &'static str {
    match state {
        TaskState::PendingApproval => "waiting",
        TaskState::Approved => "approved",
        TaskState::Executing => "running",
        TaskState::Completed => "done",
        TaskState::Failed => "failed",
        TaskState::Denied => "denied",
        TaskState::Expired => "expired",
        TaskState::Cancelled => "taken back",
        TaskState::Interrupted => "interrupted, effect unknown",
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
