//! The actions of buttons, as the store keeps them.

use portero::ipc::Act;
use serde::{Deserialize, Serialize};

use super::{ConfirmationAnswer, Restriction};

/// The action of a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ButtonAction {
    /// The button decides about a task.
    Decide(TaskDecision),
    /// The button confirms a widening change.
    Widen(ShownWidening),
    /// The button restricts one tool.
    Restrict(Restriction),
    /// The button answers the question of a terminal.
    Answer(ConfirmationAnswer),
    /// The button shows another view, which its maker names.
    Show(String),
}

/// The decision of a press about one task, or about its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDecision {
    /// Run the call.
    Approve,
    /// Run the call, and allow its tool for this many minutes.
    ApproveFor(u32),
    /// Run the call, and allow its tool from now on.
    Allow,
    /// Do not run the call.
    Deny,
    /// Do not run the call, for a reason that the person writes.
    DenyWithReason,
    /// Do not run the call, and deny its tool from now on.
    Forbid,
}

impl TaskDecision {
    /// Whether the decision lets the call run.
    #[must_use]
    pub const fn lets_run(self) -> bool {
        match self {
            Self::Approve | Self::ApproveFor(_) | Self::Allow => true,
            Self::Deny | Self::DenyWithReason | Self::Forbid => false,
        }
    }
}

/// A change that a person asked for in a command and confirms with a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownWidening {
    /// The act.
    pub what: Act,
    /// A digest of the preview; the button confirms this preview alone.
    pub seen: String,
}
