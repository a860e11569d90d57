//! What the buttons do, as it is kept.

use portero::ipc::Act;
use serde::{Deserialize, Serialize};

use super::{ConfirmationAnswer, Restriction};

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ButtonAction {
    /// It decides.
    Decide(TaskDecision),
    /// It confirms what widens.
    Widen(ShownWidening),
    /// It narrows what one tool may do.
    Restrict(Restriction),
    /// It answers what a terminal asks for.
    Answer(ConfirmationAnswer),
    /// It shows something else; what, its maker knows.
    Show(String),
}

/// What a tap decides about one task or its one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDecision {
    /// Run it.
    Approve,
    /// Run it, and permit its tool for so many minutes.
    ApproveFor(u32),
    /// Run it, and permit its tool from now on.
    Allow,
    /// Do not run it.
    Deny,
    /// Do not run it, for a reason that the person writes.
    DenyWithReason,
    /// Do not run it, and refuse its tool from now on.
    Forbid,
}

impl TaskDecision {
    /// Whether it says that the call may run.
    #[must_use]
    pub const fn lets_run(self) -> bool {
        match self {
            Self::Approve | Self::ApproveFor(_) | Self::Allow => true,
            Self::Deny | Self::DenyWithReason | Self::Forbid => false,
        }
    }
}

/// What a person asked for in words, and confirms with a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownWidening {
    /// What it does.
    pub what: Act,
    /// A digest of what they were shown of it: a button confirms nothing else.
    pub seen: String,
}
