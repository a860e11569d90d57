//! Lists of tasks: excerpts, by which a person finds a task and decides nothing.

use portero::task::{State, Task};

use super::super::card::short;
use super::super::moments;
use super::super::text::{Message, Shown, Text};
use super::View;

/// How many characters of a call's arguments stand in a list.
const EXCERPT_MOST: usize = 60;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Tasks by their state.
    Tasks,
    /// The tasks that wait.
    Pending,
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The tasks, those of a state together.
    pub tasks: &'a [Task],
    /// How many stand before these in the list.
    pub shown: u64,
    /// How many the list has, by their state.
    pub counts: &'a [(State, u64)],
}

/// Tasks by their state, those that want something first; all of them.
#[must_use]
pub fn tasks(tasks: &[Task], view: &View<'_>) -> Vec<Message> {
    let (mut sorted, mut counts) = (Vec::new(), Vec::new());
    for state in State::ALL {
        let group = tasks.iter().filter(|task| task.state == state).cloned();
        let before = sorted.len();
        sorted.extend(group);
        counts.push((state, many(sorted.len() - before)));
    }
    part(List::Tasks, &Part { tasks: &sorted, shown: 0, counts: &counts }, view).pages()
}

/// A part of a list, and which.
#[must_use]
pub fn part(list: List, part: &Part<'_>, view: &View<'_>) -> Text {
    let last = part.shown + many(part.tasks.len());
    // Some may have gone since they were shown.
    let all = last.max(part.counts.iter().map(|(_, count)| count).sum());
    if part.tasks.is_empty() {
        return Text::new().words(match (list, part.shown) {
            (List::Tasks, 0) => "There are no such tasks.",
            (List::Pending, 0) => "Nothing waits for you.",
            (List::Tasks | List::Pending, _) => "There are no more of them.",
        });
    }
    let text = if part.shown == 0 && last == all {
        Text::new()
    } else {
        let text = Text::new().count(part.shown + 1).words(" to ").count(last).words(" of ").count(all);
        text.words(", the newest first\n")
    };
    State::ALL.into_iter().fold(text, |text, state| group(text, list, part, state, view))
}

/// Those of one state.
fn group(text: Text, list: List, part: &Part<'_>, state: State, view: &View<'_>) -> Text {
    let mut group = part.tasks.iter().filter(|task| task.state == state).peekable();
    if group.peek().is_none() {
        return text;
    }
    let text = if text.entities() == 0 { text } else { text.words("\n\n") };
    let here = part.tasks.iter().filter(|task| task.state == state).count();
    let all = part.counts.iter().find(|(is, _)| *is == state).map_or(0, |(_, count)| *count);
    let title = match list {
        List::Tasks => title(state),
        List::Pending => "These wait for you",
    };
    let text = text.bold(title).words(": ").count(all.max(many(here)));
    group.fold(text, |text, task| row(text, task, view))
}

/// Many questions at once, in one message: how many of each tool, then each.
#[must_use]
pub fn digest(tasks: &[Task], view: &View<'_>) -> Vec<Message> {
    let mut tools: Vec<(String, u64)> = Vec::new();
    for task in tasks {
        let tool = task.call.tool.to_string();
        match tools.iter_mut().find(|(name, _)| *name == tool) {
            Some((_, count)) => *count += 1,
            None => tools.push((tool, 1)),
        }
    }
    let text =
        Text::new().bold("Calls wait for you").words(": ").count(many(tasks.len())).words(", by tool:");
    let text = tools.iter().fold(text, |text, (tool, count)| {
        text.words("\n").count(*count).words(" × ").code(&Shown::line(tool))
    });
    let text =
        text.words("\n\nEach has to be looked at by itself; the excerpts below do not show all of a call.");
    tasks.iter().fold(text, |text, task| row(text, task, view)).pages()
}

/// One task on a line.
fn row(text: Text, task: &Task, view: &View<'_>) -> Text {
    let text =
        text.words("\n• ").code(&short(task.id)).words(" ").code(&Shown::line(&task.call.tool.to_string()));
    let arguments = task.call.arguments().map_or("", |arguments| arguments.get());
    let (excerpt, whole) =
        Shown::line(&arguments.chars().take(2 * EXCERPT_MOST).collect::<String>()).beginning(EXCERPT_MOST);
    let text = if excerpt.is_empty() { text } else { text.words(" ").code(&excerpt) };
    let text = if whole && arguments.chars().count() <= EXCERPT_MOST { text } else { text.words("…") };
    match task.state {
        State::PendingApproval | State::Approved => {
            text.words(" until ").then(moments::until(task.expires, view.now, view.zone))
        }
        State::Executing
        | State::Completed
        | State::Failed
        | State::Denied
        | State::Expired
        | State::Cancelled
        | State::Interrupted => text.words(" ").then(moments::ago(task.changed, view.now)),
    }
}

const fn title(state: State) -> &'static str {
    match state {
        State::PendingApproval => "Waiting for you",
        State::Approved => "Approved",
        State::Executing => "Running",
        State::Completed => "Done",
        State::Failed => "Failed",
        State::Denied => "Denied",
        State::Expired => "Expired",
        State::Cancelled => "Taken back",
        State::Interrupted => "Interrupted, effect unknown",
    }
}

fn many(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
