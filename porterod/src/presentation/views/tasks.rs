//! Lists of tasks. They show excerpts to find a task by, not enough to decide.

use portero::task::{Task, TaskState};

use super::super::card::short_id;
use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};

/// How many characters of a call's arguments a list shows.
const MAX_EXCERPT_CHARS: usize = 60;

/// The kind of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskListKind {
    /// Tasks by their state.
    Tasks,
    /// Waiting tasks.
    Pending,
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub struct TaskListPart<'a> {
    /// The tasks, grouped by state.
    pub tasks: &'a [Task],
    /// How many tasks of the list come before these.
    pub shown_before: u64,
    /// The size of the whole list, by state.
    pub counts: &'a [(TaskState, u64)],
}

/// All of these tasks by state, those that need attention first.
#[must_use]
pub fn all_tasks_text(tasks: &[Task], view: &ViewContext<'_>) -> StyledText {
    let (mut sorted, mut counts) = (Vec::new(), Vec::new());
    for state in TaskState::ALL {
        let group = tasks.iter().filter(|task| task.state == state).cloned();
        let before = sorted.len();
        sorted.extend(group);
        counts.push((state, to_u64(sorted.len() - before)));
    }
    task_list_text(
        TaskListKind::Tasks,
        &TaskListPart { tasks: &sorted, shown_before: 0, counts: &counts },
        view,
    )
}

/// A part of a list, with its position.
#[must_use]
pub fn task_list_text(list: TaskListKind, part: &TaskListPart<'_>, view: &ViewContext<'_>) -> StyledText {
    let last = part.shown_before + to_u64(part.tasks.len());
    // Tasks may have disappeared since the counts were made.
    let all = last.max(part.counts.iter().map(|(_, count)| count).sum());
    if part.tasks.is_empty() {
        return StyledText::new().literal(match (list, part.shown_before) {
            (TaskListKind::Tasks, 0) => "There are no such tasks.",
            (TaskListKind::Pending, 0) => "Nothing waits for you.",
            (TaskListKind::Tasks | TaskListKind::Pending, _) => "There are no more of them.",
        });
    }
    let text = if part.shown_before == 0 && last == all {
        StyledText::new()
    } else {
        let text = StyledText::new()
            .number(part.shown_before + 1)
            .literal(" to ")
            .number(last)
            .literal(" of ")
            .number(all);
        text.literal(", the newest first\n")
    };
    TaskState::ALL.into_iter().fold(text, |text, state| append_state_group(text, list, part, state, view))
}

/// The tasks of one state.
fn append_state_group(
    text: StyledText,
    list: TaskListKind,
    part: &TaskListPart<'_>,
    state: TaskState,
    view: &ViewContext<'_>,
) -> StyledText {
    let mut group = part.tasks.iter().filter(|task| task.state == state).peekable();
    if group.peek().is_none() {
        return text;
    }
    let text = if text.styled_count() == 0 { text } else { text.literal("\n\n") };
    let here = part.tasks.iter().filter(|task| task.state == state).count();
    let all = part.counts.iter().find(|(is, _)| *is == state).map_or(0, |(_, count)| *count);
    let title = match list {
        TaskListKind::Tasks => state_title(state),
        TaskListKind::Pending => "These wait for you",
    };
    let text = text.bold(title).literal(": ").number(all.max(to_u64(here)));
    group.fold(text, |text, task| append_task_row(text, task, view))
}

/// One task in a line.
fn append_task_row(text: StyledText, task: &Task, view: &ViewContext<'_>) -> StyledText {
    let text = text
        .literal("\n• ")
        .code(&short_id(task.id))
        .literal(" ")
        .code(&EscapedText::line(&task.call.tool.to_string()));
    let arguments = task.call.arguments().map_or("", |arguments| arguments.get());
    let (excerpt, whole) =
        // Cut before the escape, so a huge argument costs nothing; the second cut is by shown characters.
        EscapedText::line(&arguments.chars().take(2 * MAX_EXCERPT_CHARS).collect::<String>())
            .truncated(MAX_EXCERPT_CHARS);
    let text = if excerpt.is_empty() { text } else { text.literal(" ").code(&excerpt) };
    let text =
        // The first cut may have dropped text that the second one never saw.
        if whole && arguments.chars().count() <= MAX_EXCERPT_CHARS { text } else { text.literal("…") };
    match task.state {
        TaskState::PendingApproval | TaskState::Approved => {
            text.literal(" until ").append(time_format::format_deadline(task.expires, view.now, view.zone))
        }
        TaskState::Executing
        | TaskState::Completed
        | TaskState::Failed
        | TaskState::Denied
        | TaskState::Expired
        | TaskState::Cancelled
        | TaskState::Interrupted => text.literal(" ").append(time_format::format_age(task.changed, view.now)),
    }
}

const fn state_title(state: TaskState) -> &'static str {
    match state {
        TaskState::PendingApproval => "Waiting for you",
        TaskState::Approved => "Approved",
        TaskState::Executing => "Running",
        TaskState::Completed => "Done",
        TaskState::Failed => "Failed",
        TaskState::Denied => "Denied",
        TaskState::Expired => "Expired",
        TaskState::Cancelled => "Taken back",
        TaskState::Interrupted => "Interrupted, effect unknown",
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
