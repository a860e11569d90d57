//! What the view shows, and what becomes of it: without a terminal, a clock or a daemon.
//!
//! A task is selected, shown and decided by its id. One that ends while it is selected stays until the person
//! moves on, so a list that changes under the cursor never makes a key hit another task.

use jiff::Timestamp;
use portero::catalog::ToolHints;
use portero::ipc::Look;
use portero::names::TaskId;
use portero::notice::{ConfigAdoption, Notice, NoticeEntry};
use portero::secret::Secret;
use portero::task::{Task, TaskState};

use super::layout;
use crate::commands::approvals;
use crate::output::escape_hidden;

/// Everything that is shown.
pub(super) struct PendingView {
    /// In the order in which they were asked.
    pub(super) items: Vec<PendingItem>,
    pub(super) selected: Option<TaskId>,
    /// The first line of the selected call that is on the screen.
    pub(super) scroll: usize,
    pub(super) mode: ViewMode,
    /// Why there is no daemon; none while there is one.
    pub(super) daemon_error: Option<String>,
    pub(super) paused: bool,
    /// Whether an act is on its way; until it is done no other begins.
    pub(super) busy: bool,
    /// What happened last.
    pub(super) message: String,
    pub(super) now: Timestamp,
    pub(super) size: (u16, u16),
}

/// A task in the list.
pub(super) struct PendingItem {
    pub(super) task: Task,
    /// All of it, as `portero task` shows it.
    pub(super) text: String,
    /// What became of it, once it waits no more.
    pub(super) end_state: Option<String>,
    /// How many of its lines have been on the screen, at the present width.
    pub(super) lines_seen: usize,
}

/// What keys mean.
pub(super) enum ViewMode {
    Browse,
    Help,
    /// The passphrase is typed, to run this task.
    Approve {
        task: TaskId,
        typed: String,
        problem: Option<String>,
    },
    /// A reason is typed, to refuse this task.
    Reject {
        task: TaskId,
        reason: String,
    },
    /// Pausing everything is to be confirmed.
    Pause,
    /// The task ended while the person typed for it. People type on for a moment without looking, so only Enter and
    /// Escape are keys here: the rest of a passphrase must become no command and no reason.
    TaskEnded,
}

/// What came of an act.
pub(super) enum EffectResult {
    /// It was done.
    Done(String),
    /// That was not the passphrase, or there is a pause after wrong ones.
    WrongPassphrase(String),
    /// A yes would make it run, as far as is known.
    Approvable,
    /// A yes would not make this one run.
    NotApprovable { task: TaskId, why: String },
    /// It was not done, or that is unknown.
    Failed(String),
}

impl PendingView {
    /// Nothing yet.
    pub(super) fn new(now: Timestamp, size: (u16, u16)) -> Self {
        Self {
            items: Vec::new(),
            selected: None,
            scroll: 0,
            mode: ViewMode::Browse,
            daemon_error: None,
            paused: false,
            busy: false,
            message: String::new(),
            now,
            size,
        }
    }

    pub(super) fn item(&self, id: TaskId) -> Option<&PendingItem> {
        self.items.iter().find(|item| item.task.id == id)
    }

    pub(super) fn selected(&self) -> Option<&PendingItem> {
        self.item(self.selected?)
    }

    /// How many wait for a person.
    pub(super) fn waiting_count(&self) -> usize {
        self.items.iter().filter(|item| item.end_state.is_none()).count()
    }

    /// These wait, and no others.
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

    /// A task waits, or did when it was looked at.
    pub(super) fn update_task(&mut self, look: Look) {
        let Look { task, hints } = look;
        let ended = (task.state != TaskState::PendingApproval).then(|| task.state.to_string());
        let known = self.item(task.id).is_some();
        if ended.is_none() && !known {
            let item = PendingItem { text: task_text(&task, hints), task, end_state: ended, lines_seen: 0 };
            let place = self.items.partition_point(|other| sort_key(&other.task) <= sort_key(&item.task));
            self.items.insert(place, item);
        } else if let (Some(state), true) = (&ended, known) {
            self.end_task(task.id, state.clone());
        } else if let Some(item) = self.items.iter_mut().find(|item| item.task.id == task.id) {
            // One person approved it, and others must still.
            item.text = task_text(&task, hints);
            item.task = task;
        }
        self.normalize();
    }

    /// Something changed.
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
            Notice::Grant { .. } | Notice::Rule { .. } => {}
        }
        self.normalize();
    }

    /// An act came to its end.
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

    /// What is being typed is taken back, as for a task that ends meanwhile.
    fn cancel_approval(&mut self, id: TaskId, why: &str) {
        match &self.mode {
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
            (EffectResult::WrongPassphrase(why), ViewMode::Approve { problem, .. }) => {
                *problem = Some(escape_hidden(&why).into_owned())
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

    /// The task waits no more. It stays where it is while it is selected; a question about it is taken back.
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
        if self.selected == Some(id) {
            if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
                item.end_state = Some(how);
            }
        } else {
            self.items.retain(|item| item.task.id != id);
        }
    }

    /// Selects the task that is `by` places further; what ended and was still shown goes.
    pub(super) fn move_selection(&mut self, by: isize) {
        let Some(here) = self.items.iter().position(|item| Some(item.task.id) == self.selected) else {
            return;
        };
        let there = here.saturating_add_signed(by).min(self.items.len() - 1);
        let target = self.items[there].task.id;
        // The one that ended was shown for this person's sake; there may be nothing but it in that direction.
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

    /// Moves the call's text by so many lines.
    pub(super) fn scroll_by(&mut self, by: isize) {
        self.scroll = self.scroll.saturating_add_signed(by);
        self.normalize();
    }

    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        for item in &mut self.items {
            item.lines_seen = 0;
        }
        self.normalize();
    }

    /// After any change: selects a task if there is one, keeps the scroll within the text, and counts the lines on the
    /// screen as seen.
    pub(super) fn normalize(&mut self) {
        if self.selected().is_none() {
            self.scroll = 0;
            self.selected = self.items.first().map(|item| item.task.id);
        }
        let Some(item) = self.selected() else { return };
        let (id, lines, page) =
            (item.task.id, layout::call_lines(self, item).len(), layout::page_height(self));
        self.scroll = self.scroll.min(lines.saturating_sub(page));
        let seen = (self.scroll + page).min(lines);
        if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
            item.lines_seen = item.lines_seen.max(seen);
        }
    }
}

impl ViewMode {
    /// Takes what was typed, which is wiped where it goes.
    pub(super) fn take_typed(&mut self) -> Secret {
        match self {
            Self::Approve { typed, .. } => Secret::new(std::mem::take(typed)),
            Self::Browse | Self::Help | Self::Reject { .. } | Self::Pause | Self::TaskEnded => {
                Secret::new("")
            }
        }
    }
}

/// The text of a task, beside the list.
fn task_text(task: &Task, hints: Option<ToolHints>) -> String {
    format!("{}\n{}", describe_hints(hints), approvals::describe_task(task))
}

/// What a tool's annotations say, in words.
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
