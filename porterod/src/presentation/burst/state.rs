//! Which calls share a list, and the state of a list.

use jiff::{SignedDuration, Timestamp};
use portero::digest::FieldDigest;
use portero::ipc::InspectedTask;
use portero::json::serialize_raw;
use portero::names::TaskId;
use portero::task::TaskState;
use serde::{Deserialize, Serialize};

use super::super::card::RecordedDecision;

/// The longest time between two calls of a burst.
const BURST_WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// The longest time between the first and the last call.
const MAX_BURST_DURATION: SignedDuration = SignedDuration::from_secs(60);
/// The most calls in one list.
const MAX_LISTED_CALLS: u64 = 50;

/// The latest message with calls of a session.
#[derive(Debug, Clone)]
pub struct RecentMessage {
    /// When the first of its calls arrived.
    pub first: Timestamp,
    /// When the last of its calls arrived.
    pub last: Timestamp,
    /// How many calls it shows.
    pub count: u64,
    /// Whether all its calls wait, and a person has not begun to decide about them.
    pub is_untouched: bool,
}

/// Whether a call of the same session that arrived now joins this message. A message that a person decides
/// on stays as it is, so that no button changes under their thumb.
#[must_use]
pub fn joins(message: &RecentMessage, arrived: Timestamp) -> bool {
    message.is_untouched
        && message.count < MAX_LISTED_CALLS
        && arrived.duration_since(message.last) <= BURST_WINDOW
        && arrived.duration_since(message.first) <= MAX_BURST_DURATION
}

/// The stored state of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState {
    /// The open view.
    #[serde(default)]
    pub view: ListView,
    /// The user who turned last. What was shown was shown to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer: Option<i64>,
    /// The calls that were shown in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<ShownCall>,
    /// The calls that an approval of all left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<(TaskId, String)>,
}

/// A view of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListView {
    /// A page of the list, counted from zero.
    List(usize),
    /// A page of one call in full, counted from zero.
    Call(TaskId, usize),
    /// The question whether to deny all that wait.
    Deny,
}

impl Default for ListView {
    fn default() -> Self {
        Self::List(0)
    }
}

/// A call as a person saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCall {
    /// Its task.
    pub task: TaskId,
    /// [`shown_digest`] of what was on the screen.
    pub digest: String,
}

impl ShownCall {
    /// The call as it is shown now.
    #[must_use]
    pub fn of(look: &InspectedTask) -> Self {
        Self { task: look.task.id, digest: shown_digest(look) }
    }
}

impl ListState {
    /// Reads a stored state; an unreadable one is the first view, with nothing looked at.
    #[must_use]
    pub fn parse(stored: &str) -> Self {
        serde_json::from_str(stored).unwrap_or_default()
    }

    /// The state as it is stored.
    #[must_use]
    pub fn serialize(&self) -> String {
        serialize_raw(self).get().to_owned()
    }

    /// Whether a person only leafed through the list, so that more calls may join it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        match self.view {
            ListView::List(_) => self.shown.is_empty() && self.left_out.is_empty(),
            ListView::Call(..) | ListView::Deny => false,
        }
    }

    /// Whether this very content of a call was shown in full.
    #[must_use]
    pub fn has_shown(&self, call: &ShownCall) -> bool {
        self.shown.contains(call)
    }

    /// Why an approval of all left out this call; none if it did not.
    #[must_use]
    pub fn left_out_reason(&self, task: TaskId) -> Option<&String> {
        self.left_out.iter().find(|(id, _)| *id == task).map(|(_, reason)| reason)
    }

    /// Opens a view for this user. What was shown to another user counts no more.
    pub fn open_view(&mut self, view: ListView, user: i64) {
        if self.viewer != Some(user) {
            self.shown.clear();
        }
        (self.view, self.viewer) = (view, Some(user));
    }

    /// Notes that a call was shown in full; an earlier content of it counts no more.
    pub fn note_shown(&mut self, call: ShownCall) {
        self.shown.retain(|known| known.task != call.task);
        self.shown.push(call);
    }
}

/// A call of a list.
#[derive(Debug, Clone)]
pub struct ListedCall {
    /// The task as a person sees it.
    pub look: InspectedTask,
    /// Who decided about it, once that is known.
    pub decided: Option<RecordedDecision>,
    /// Why it can't be approved together with others, where it waits.
    pub obstacle: Option<String>,
}

impl ListedCall {
    /// Whether it waits for a person.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(self.look.task.state, TaskState::PendingApproval)
    }
}

/// A digest of everything that a person sees of a call, with the binding that an approval covers.
#[must_use]
pub fn shown_digest(look: &InspectedTask) -> String {
    let (task, call) = (&look.task, &look.task.call);
    FieldDigest::new("portero shown call v1")
        .bytes("task", task.id.to_string())
        .bytes("tool", call.tool.to_string())
        .bytes("method", call.method.as_str())
        .bytes("params", call.params.get().get())
        .optional("meta", call.meta.as_ref().map(|meta| meta.get().get()))
        .bytes("binding", &task.binding)
        .to_hex()
}
