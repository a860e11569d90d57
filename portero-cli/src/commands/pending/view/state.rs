//! The state of the view, without a terminal, a clock or a daemon.

use std::time::Duration;

use jiff::Timestamp;
use portero::names::TaskId;
use portero::secret::Secret;
use portero::task::Task;

/// The state of the view.
pub(super) struct PendingView {
    /// The tasks in the order in which they asked.
    pub(super) items: Vec<PendingItem>,
    pub(super) selected: Option<TaskId>,
    /// The first visible line of the selected call.
    pub(super) scroll: usize,
    pub(super) mode: ViewMode,
    /// Why there is no daemon; none while there is one.
    pub(super) daemon_error: Option<String>,
    pub(super) paused: bool,
    /// Whether a request is in progress; no other one starts meanwhile.
    pub(super) busy: bool,
    /// How long the passphrase is still remembered, with the number that the next approval takes in its place.
    pub(super) remembered: Option<(Duration, String)>,
    /// The last message.
    pub(super) message: String,
    pub(super) now: Timestamp,
    pub(super) size: (u16, u16),
}

/// A task in the list.
pub(super) struct PendingItem {
    pub(super) task: Task,
    /// The whole text, as `portero task` shows it.
    pub(super) text: String,
    /// Its end, once it no longer waits.
    pub(super) end_state: Option<String>,
    /// How many of its lines were visible so far, at the present width.
    pub(super) lines_seen: usize,
}

/// The mode, which gives keys their meaning.
pub(super) enum ViewMode {
    Browse,
    Help,
    /// The passphrase, or the number in its place, is being typed, to approve this task.
    Approve {
        task: TaskId,
        typed: String,
        number: Option<String>,
        problem: Option<String>,
    },
    /// A reason is being typed, to reject this task.
    Reject {
        task: TaskId,
        reason: String,
    },
    /// A pause is to be confirmed.
    Pause,
    /// The task ended while the person was typing. People type on for a moment without looking, so only Enter
    /// and Escape have an effect: the rest of a passphrase must not become a command or a reason.
    TaskEnded,
}

impl PendingView {
    /// An empty view.
    pub(super) fn new(now: Timestamp, size: (u16, u16)) -> Self {
        Self {
            items: Vec::new(),
            selected: None,
            scroll: 0,
            mode: ViewMode::Browse,
            daemon_error: None,
            paused: false,
            busy: false,
            remembered: None,
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

    /// How many tasks wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.items.iter().filter(|item| item.end_state.is_none()).count()
    }
}

impl ViewMode {
    /// Takes the typed text as a secret, which is wiped when dropped.
    pub(super) fn take_typed(&mut self) -> Secret {
        match self {
            Self::Approve { typed, .. } => Secret::new(std::mem::take(typed)),
            Self::Browse | Self::Help | Self::Reject { .. } | Self::Pause | Self::TaskEnded => {
                Secret::new("")
            }
        }
    }
}
