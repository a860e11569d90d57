//! Lists of tasks: excerpts, by which a person finds a task and decides nothing.

use portero::task::{State, Task};

use super::super::card::short;
use super::super::moments;
use super::super::text::{Message, Shown, Text};
use super::View;

/// How many characters of a call's arguments stand in a list.
const EXCERPT_MOST: usize = 60;

/// Tasks by their state, those that want something first.
#[must_use]
pub fn tasks(tasks: &[Task], view: &View<'_>) -> Vec<Message> {
    if tasks.is_empty() {
        return Text::new().words("There are no such tasks.").pages();
    }
    let mut text = Text::new();
    for state in State::ALL {
        let group: Vec<&Task> = tasks.iter().filter(|task| task.state == state).collect();
        if !group.is_empty() {
            text = if text.is_empty() { text } else { text.words("\n\n") };
            text = text.bold(title(state)).words(": ").count(many(group.len()));
            text = group.iter().fold(text, |text, task| row(text, task, view));
        }
    }
    text.pages()
}

/// The tasks that wait.
#[must_use]
pub fn pending(tasks: &[Task], view: &View<'_>) -> Vec<Message> {
    let waiting: Vec<&Task> = tasks.iter().filter(|task| task.state == State::PendingApproval).collect();
    if waiting.is_empty() {
        return Text::new().words("Nothing waits for you.").pages();
    }
    let text = Text::new().bold("These wait for you").words(": ").count(many(waiting.len()));
    waiting.iter().fold(text, |text, task| row(text, task, view)).pages()
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
