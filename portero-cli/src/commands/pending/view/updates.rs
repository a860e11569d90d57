//! The changes of the view's state by what the daemon says and by what was typed.
//!
//! A task is selected, shown and decided by its id. An ended task stays while it is selected, so a change of
//! the list never makes a key act on another task.

use jiff::Timestamp;
use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::names::TaskId;
use portero::notice::{ConfigAdoption, LoginChange, Notice, NoticeEntry};
use portero::task::{Task, TaskState};

use super::layout;
use super::state::{PendingItem, PendingView, ViewMode};
use crate::commands::{approvals, pins};
use crate::output::escape_hidden;

/// The result of an effect.
pub(super) enum EffectResult {
    /// It succeeded.
    Done(String),
    /// The passphrase was wrong, or tries are paused after wrong ones.
    WrongPassphrase(String),
    /// An approval would make the task run, as far as known.
    Approvable,
    /// An approval would not make this task run.
    NotApprovable { task: TaskId, why: String },
    /// It failed, or its result is unknown.
    Failed(String),
}

impl PendingView {
    /// Sets the tasks that wait; all others have ended.
    pub(super) fn reset_waiting(&mut self, waiting: &[TaskId]) {
        let gone: Vec<TaskId> =
            self.items.iter().map(|item| item.task.id).filter(|id| !waiting.contains(id)).collect();
        for id in gone {
            if self.item(id).is_some_and(|item| item.end_state.is_none()) {
                self.end_task(id, "no longer waiting".to_owned());
            }
        }
        self.normalize();
    }

    /// Adds or updates a task that waited when it was read.
    pub(super) fn update_task(&mut self, look: InspectedTask) {
        let text = task_text(&look);
        let task = look.task;
        let ended = (task.state != TaskState::PendingApproval).then(|| task.state.to_string());
        let known = self.item(task.id).is_some();
        if ended.is_none() && !known {
            let item = PendingItem { text, task, end_state: ended, lines_seen: 0 };
            // A task that waits longer comes first, also if it is reported late.
            let place = self.items.partition_point(|other| sort_key(&other.task) <= sort_key(&item.task));
            self.items.insert(place, item);
        } else if let (Some(state), true) = (&ended, known) {
            self.end_task(task.id, state.clone());
        } else if let Some(item) = self.items.iter_mut().find(|item| item.task.id == task.id) {
            // One person approved it, and more approvals are needed.
            item.text = text;
            item.task = task;
        }
        self.normalize();
    }

    /// Applies a notice.
    pub(super) fn apply_notice(&mut self, entry: &NoticeEntry) {
        match &entry.notice {
            Notice::Task { state: TaskState::PendingApproval, .. } => {}
            Notice::Vote { task, tool, by } => {
                self.message = format!(
                    "{} {tool}: one more approval, by {}",
                    approvals::short_id(*task),
                    escape_hidden(&by.to_string())
                );
            }
            Notice::Task { task, tool, state, by, .. } => {
                if self.item(*task).is_some() {
                    let by = by.to_string();
                    self.message = format!(
                        "{} {tool} is {state}, by {}",
                        approvals::short_id(*task),
                        escape_hidden(&by)
                    );
                    self.end_task(*task, format!("{state}, by {}", escape_hidden(&by)));
                }
            }
            Notice::Paused => self.paused = true,
            Notice::Resumed => self.paused = false,
            Notice::Alarm { about, .. } => self.message = format!("alarm: {}", escape_hidden(about.get())),
            Notice::Config { became, .. } => match became {
                ConfigAdoption::Waits => {
                    "a change of the configuration waits for you; see `portero status`"
                        .clone_into(&mut self.message);
                }
                ConfigAdoption::Invalid => {
                    "the configuration has errors now; see `portero check`".clone_into(&mut self.message);
                }
                ConfigAdoption::Adopted | ConfigAdoption::Refused => {}
            },
            Notice::Definitions { server, .. } => {
                self.message =
                    format!("`{server}` defines things otherwise now; see `portero pins diff {server}`");
            }
            Notice::Login { server, became: LoginChange::Needed(step) } => {
                self.message = format!("`{server}` wants a login: {}", escape_hidden(step.get()));
            }
            Notice::Login { server, became: LoginChange::SignedIn } => {
                self.message = format!("`{server}` is signed in");
            }
            Notice::Login { server, became: LoginChange::SignedOut } => {
                self.message = format!("`{server}` is signed out");
            }
            Notice::Grant { .. } | Notice::Rule { .. } | Notice::Token { .. } => {}
        }
        self.normalize();
    }

    /// Applies the result of an effect.
    pub(super) fn apply_result(&mut self, acted: EffectResult) {
        match acted {
            EffectResult::Approvable => {}
            EffectResult::NotApprovable { task, why } => self.cancel_approval(task, &why),
            acted @ (EffectResult::Done(_) | EffectResult::WrongPassphrase(_) | EffectResult::Failed(_)) => {
                self.finish_effect(acted)
            }
        }
        self.normalize();
    }

    /// Cancels the typing for a task that an approval would not make run.
    fn cancel_approval(&mut self, id: TaskId, why: &str) {
        match &self.mode {
            // A request that was sent is decided by the daemon, so its typing is not cancelled.
            ViewMode::Approve { task, .. } if *task == id && !self.busy => {
                self.message = format!("{}; you approved nothing", escape_hidden(why));
                drop(self.mode.take_typed());
                self.mode = ViewMode::TaskEnded;
            }
            ViewMode::Approve { .. }
            | ViewMode::Reject { .. }
            | ViewMode::Browse
            | ViewMode::Help
            | ViewMode::Pause
            | ViewMode::TaskEnded => {}
        }
    }

    fn finish_effect(&mut self, acted: EffectResult) {
        self.busy = false;
        match (acted, &mut self.mode) {
            (EffectResult::WrongPassphrase(why), ViewMode::Approve { problem, number, .. }) => {
                *number = None;
                *problem = Some(escape_hidden(&why).into_owned());
            }
            (
                EffectResult::Done(words)
                | EffectResult::WrongPassphrase(words)
                | EffectResult::Failed(words),
                _,
            ) => {
                self.message = escape_hidden(&words).into_owned();
                self.mode = ViewMode::Browse;
            }
            (EffectResult::Approvable | EffectResult::NotApprovable { .. }, _) => {}
        }
    }

    /// Marks a task as ended. It stays while it is selected; typing for it is cancelled.
    fn end_task(&mut self, id: TaskId, how: String) {
        match &self.mode {
            ViewMode::Approve { task, .. } | ViewMode::Reject { task, .. } if *task == id && !self.busy => {
                self.message = format!("{} is {how}; you decided nothing", approvals::short_id(id));
                drop(self.mode.take_typed());
                self.mode = ViewMode::TaskEnded;
            }
            ViewMode::Approve { .. }
            | ViewMode::Reject { .. }
            | ViewMode::Browse
            | ViewMode::Help
            | ViewMode::Pause
            | ViewMode::TaskEnded => {}
        }
        // The shown task stays, or the next key would act on its neighbour.
        if self.selected == Some(id) {
            if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
                item.end_state = Some(how);
            }
        } else {
            self.items.retain(|item| item.task.id != id);
        }
    }

    /// Moves the selection by `by` places. An ended task that was still shown disappears.
    pub(super) fn move_selection(&mut self, by: isize) {
        let Some(here) = self.items.iter().position(|item| Some(item.task.id) == self.selected) else {
            return;
        };
        let there = here.saturating_add_signed(by).min(self.items.len() - 1);
        let target = self.items[there].task.id;
        // At the end of the list there may be no other place, so an ended task is removed and the next one
        // selected.
        if there != here {
            self.select_task(target);
        } else if self.items[here].end_state.is_some() {
            self.items.remove(here);
            let next = self.items.get(here.min(self.items.len().saturating_sub(1))).map(|item| item.task.id);
            self.scroll = 0;
            self.selected = next;
        }
        self.normalize();
    }

    fn select_task(&mut self, id: TaskId) {
        self.selected = Some(id);
        self.scroll = 0;
        self.items.retain(|item| item.end_state.is_none() || item.task.id == id);
    }

    /// Scrolls the call's text by `by` lines.
    pub(super) fn scroll_by(&mut self, by: isize) {
        self.scroll = self.scroll.saturating_add_signed(by);
        self.normalize();
    }

    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        for item in &mut self.items {
            // Another width wraps the text differently, so the lines that were seen are not the same ones.
            item.lines_seen = 0;
        }
        self.normalize();
    }

    /// Restores the invariants after a change: a task is selected if there is one, the scroll position is
    /// within the text, and visible lines count as seen.
    pub(super) fn normalize(&mut self) {
        if self.selected().is_none() {
            self.scroll = 0;
            self.selected = self.items.first().map(|item| item.task.id);
        }
        let Some(item) = self.selected() else { return };
        let (id, lines, page) =
            (item.task.id, layout::call_lines(self, item).len(), layout::page_height(self));
        // A shorter text must not leave the view beyond its end.
        self.scroll = self.scroll.min(lines.saturating_sub(page));
        let seen = (self.scroll + page).min(lines);
        if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
            item.lines_seen = item.lines_seen.max(seen);
        }
    }
}

/// The text beside the list.
fn task_text(InspectedTask { task, hints, loss, void, definition }: &InspectedTask) -> String {
    let mut text = format!("{}\n{}", describe_hints(*hints), approvals::describe_task(task));
    if let Some(definition) = definition {
        text = format!("{text}\n{}", pins::describe_task_definition(definition));
    }
    let id = approvals::short_id(task.id);
    if let Some(void) = void {
        let void = escape_hidden(void.get());
        return format!(
            "would not run any more: {void}; `portero reject {id} --no-cool-down` ends it\n{text}"
        );
    }
    let Some(loss) = loss else { return text };
    format!("{loss}: `portero approve {id} --fresh` runs it in another process\n{text}")
}

/// A tool's annotations in words.
pub(super) fn describe_hints(hints: Option<ToolHints>) -> String {
    let Some(hints) = hints else { return "the daemon does not know this tool now".to_owned() };
    let word =
        |hint: Option<bool>, yes: &'static str, no: &'static str| hint.map(|on| if on { yes } else { no });
    let words: Vec<&str> = [
        word(hints.read_only, "only reads", "writes"),
        word(hints.destructive, "may delete", "deletes nothing"),
        word(hints.idempotent, "safe to repeat", "not safe to repeat"),
        word(hints.open_world, "reaches outside", "local only"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() {
        return "server's hints: none".to_owned();
    }
    format!("server's hints: {}", words.join(", "))
}

fn sort_key(task: &Task) -> (Timestamp, TaskId) {
    (task.asked, task.id)
}
