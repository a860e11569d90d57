//! What the view shows, and what becomes of it: without a terminal, a clock or a daemon.
//!
//! A task is selected, shown and decided by its id. One that ends while it is selected stays until the person
//! moves on, so a list that changes under the cursor never makes a key hit another task.

use jiff::Timestamp;
use portero::catalog::Hints;
use portero::ipc::Look;
use portero::names::TaskId;
use portero::notice::{Adoption, Entry, Notice};
use portero::secret::Secret;
use portero::task::{State, Task};

use super::super::super::{task, tasks};
use super::layout;
use crate::output::visible;

/// Everything that is shown.
pub(super) struct View {
    /// In the order in which they were asked.
    pub(super) items: Vec<Item>,
    pub(super) selected: Option<TaskId>,
    /// The first line of the selected call that is on the screen.
    pub(super) scroll: usize,
    pub(super) mode: Mode,
    /// Why there is no daemon; none while there is one.
    pub(super) lost: Option<String>,
    pub(super) paused: bool,
    /// Whether an act is on its way; until it is done no other begins.
    pub(super) busy: bool,
    /// What happened last.
    pub(super) says: String,
    pub(super) now: Timestamp,
    pub(super) size: (u16, u16),
}

/// A task in the list.
pub(super) struct Item {
    pub(super) task: Task,
    /// All of it, as `portero task` shows it.
    pub(super) text: String,
    /// What became of it, once it waits no more.
    pub(super) ended: Option<String>,
    /// How many of its lines have been on the screen, at the present width.
    pub(super) seen: usize,
}

/// What keys mean.
pub(super) enum Mode {
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
    /// The task went while something was typed for it. Whoever types goes on for a moment without looking, so
    /// nothing but Enter and Escape is a key here: the rest of a passphrase is no command, and no reason.
    Gone,
}

/// What came of an act.
pub(super) enum Acted {
    /// It was done.
    Done(String),
    /// That was not the passphrase, or there is a pause after wrong ones.
    Wrong(String),
    /// A yes would make it run, as far as is known.
    Runnable,
    /// A yes would not make this one run.
    Void { task: TaskId, why: String },
    /// It was not done, or nobody knows.
    Failed(String),
}

impl View {
    /// Nothing yet.
    pub(super) fn new(now: Timestamp, size: (u16, u16)) -> Self {
        Self {
            items: Vec::new(),
            selected: None,
            scroll: 0,
            mode: Mode::Browse,
            lost: None,
            paused: false,
            busy: false,
            says: String::new(),
            now,
            size,
        }
    }

    pub(super) fn item(&self, id: TaskId) -> Option<&Item> {
        self.items.iter().find(|item| item.task.id == id)
    }

    pub(super) fn selected(&self) -> Option<&Item> {
        self.item(self.selected?)
    }

    /// How many wait for a person.
    pub(super) fn waiting(&self) -> usize {
        self.items.iter().filter(|item| item.ended.is_none()).count()
    }

    /// These wait, and no others.
    pub(super) fn anew(&mut self, waiting: &[TaskId]) {
        let gone: Vec<TaskId> =
            self.items.iter().map(|item| item.task.id).filter(|id| !waiting.contains(id)).collect();
        for id in gone {
            if self.item(id).is_some_and(|item| item.ended.is_none()) {
                self.end(id, "no longer waiting".to_owned());
            }
        }
        self.settle();
    }

    /// A task waits, or did when it was looked at.
    pub(super) fn waits(&mut self, look: Look) {
        let Look { task, hints } = look;
        let ended = (task.state != State::PendingApproval).then(|| task.state.to_string());
        let known = self.item(task.id).is_some();
        if ended.is_none() && !known {
            let item = Item { text: text(&task, hints), task, ended, seen: 0 };
            let place = self.items.partition_point(|other| order(&other.task) <= order(&item.task));
            self.items.insert(place, item);
        } else if let (Some(state), true) = (&ended, known) {
            self.end(task.id, state.clone());
        } else if let Some(item) = self.items.iter_mut().find(|item| item.task.id == task.id) {
            // Somebody approved it, and others have to still.
            item.text = text(&task, hints);
            item.task = task;
        }
        self.settle();
    }

    /// Something changed.
    pub(super) fn hear(&mut self, entry: &Entry) {
        match &entry.notice {
            Notice::Task { state: State::PendingApproval, .. } => {}
            Notice::Vote { task, tool, by } => {
                self.says = format!("{} {tool}: one more approval, by {}", tasks::short(*task), visible(by));
            }
            Notice::Task { task, tool, state, by, .. } => {
                if self.item(*task).is_some() {
                    self.says = format!("{} {tool} is {state}, by {}", tasks::short(*task), visible(by));
                    self.end(*task, format!("{state}, by {}", visible(by)));
                }
            }
            Notice::Paused => self.paused = true,
            Notice::Resumed => self.paused = false,
            Notice::Alarm { about, .. } => self.says = format!("alarm: {}", visible(about.get())),
            Notice::Config { became, .. } => match became {
                Adoption::Waits => {
                    "a change of the configuration waits for you; see `portero status`"
                        .clone_into(&mut self.says);
                }
                Adoption::Invalid => {
                    "the configuration has errors now; see `portero check`".clone_into(&mut self.says);
                }
                Adoption::Adopted | Adoption::Refused => {}
            },
            Notice::Grant { .. } | Notice::Rule { .. } => {}
        }
        self.settle();
    }

    /// An act came to its end.
    pub(super) fn acted(&mut self, acted: Acted) {
        match acted {
            Acted::Runnable => {}
            Acted::Void { task, why } => self.would_not_run(task, &why),
            acted @ (Acted::Done(_) | Acted::Wrong(_) | Acted::Failed(_)) => self.finished(acted),
        }
        self.settle();
    }

    /// What is being typed is taken back, as for a task that ends meanwhile.
    fn would_not_run(&mut self, id: TaskId, why: &str) {
        match &self.mode {
            Mode::Approve { task, .. } if *task == id && !self.busy => {
                self.says = format!("{}; you approved nothing", visible(why));
                drop(self.mode.take_typed());
                self.mode = Mode::Gone;
            }
            Mode::Approve { .. }
            | Mode::Reject { .. }
            | Mode::Browse
            | Mode::Help
            | Mode::Pause
            | Mode::Gone => {}
        }
    }

    fn finished(&mut self, acted: Acted) {
        self.busy = false;
        match (acted, &mut self.mode) {
            (Acted::Wrong(why), Mode::Approve { problem, .. }) => *problem = Some(visible(&why).into_owned()),
            (Acted::Done(words) | Acted::Wrong(words) | Acted::Failed(words), _) => {
                self.says = visible(&words).into_owned();
                self.mode = Mode::Browse;
            }
            (Acted::Runnable | Acted::Void { .. }, _) => {}
        }
    }

    /// The task waits no more. It stays where it is while it is selected; a question about it is taken back.
    fn end(&mut self, id: TaskId, how: String) {
        match &self.mode {
            Mode::Approve { task, .. } | Mode::Reject { task, .. } if *task == id && !self.busy => {
                self.says = format!("{} is {how}; you decided nothing", tasks::short(id));
                drop(self.mode.take_typed());
                self.mode = Mode::Gone;
            }
            Mode::Approve { .. }
            | Mode::Reject { .. }
            | Mode::Browse
            | Mode::Help
            | Mode::Pause
            | Mode::Gone => {}
        }
        if self.selected == Some(id) {
            if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
                item.ended = Some(how);
            }
        } else {
            self.items.retain(|item| item.task.id != id);
        }
    }

    /// Selects the task that is `by` places further; what ended and was still shown goes.
    pub(super) fn go(&mut self, by: isize) {
        let Some(here) = self.items.iter().position(|item| Some(item.task.id) == self.selected) else {
            return;
        };
        let there = here.saturating_add_signed(by).min(self.items.len() - 1);
        let target = self.items[there].task.id;
        // The one that ended was shown for this person's sake; there may be nothing but it in that direction.
        if there != here {
            self.select(target);
        } else if self.items[here].ended.is_some() {
            self.items.remove(here);
            let next = self.items.get(here.min(self.items.len().saturating_sub(1))).map(|item| item.task.id);
            self.scroll = 0;
            self.selected = next;
        }
        self.settle();
    }

    fn select(&mut self, id: TaskId) {
        self.selected = Some(id);
        self.scroll = 0;
        self.items.retain(|item| item.ended.is_none() || item.task.id == id);
    }

    /// Moves the call's text by so many lines.
    pub(super) fn scroll_by(&mut self, by: isize) {
        self.scroll = self.scroll.saturating_add_signed(by);
        self.settle();
    }

    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        for item in &mut self.items {
            item.seen = 0;
        }
        self.settle();
    }

    /// Whatever changed: something is selected where there is anything, the text is not scrolled beyond its
    /// end, and what is on the screen counts as seen.
    pub(super) fn settle(&mut self) {
        if self.selected().is_none() {
            self.scroll = 0;
            self.selected = self.items.first().map(|item| item.task.id);
        }
        let Some(item) = self.selected() else { return };
        let (id, lines, page) = (item.task.id, layout::lines(self, item).len(), layout::page(self));
        self.scroll = self.scroll.min(lines.saturating_sub(page));
        let seen = (self.scroll + page).min(lines);
        if let Some(item) = self.items.iter_mut().find(|item| item.task.id == id) {
            item.seen = item.seen.max(seen);
        }
    }
}

impl Mode {
    /// Takes what was typed, which is wiped where it goes.
    pub(super) fn take_typed(&mut self) -> Secret {
        match self {
            Self::Approve { typed, .. } => Secret::new(std::mem::take(typed)),
            Self::Browse | Self::Help | Self::Reject { .. } | Self::Pause | Self::Gone => Secret::new(""),
        }
    }
}

/// What stands of a task on the right.
fn text(task: &Task, hints: Option<Hints>) -> String {
    format!("its tool  {}\n{}", says(hints), task::describe(task))
}

/// What a tool's annotations say, in words.
pub(super) fn says(hints: Option<Hints>) -> String {
    let Some(hints) = hints else { return "is not known to the daemon at present".to_owned() };
    let word =
        |hint: Option<bool>, yes: &'static str, no: &'static str| hint.map(|on| if on { yes } else { no });
    let words: Vec<&str> = [
        word(hints.read_only, "only reads", "changes things"),
        word(hints.destructive, "may destroy", "destroys nothing"),
        word(hints.idempotent, "twice is as once", "twice is not as once"),
        word(hints.open_world, "reaches outside", "stays inside"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() {
        return "says nothing of what it does".to_owned();
    }
    format!("says: {} (the server's own word)", words.join(", "))
}

fn order(task: &Task) -> (Timestamp, TaskId) {
    (task.asked, task.id)
}
