//! The actions of buttons, as the store keeps them.

use std::time::Duration;

use portero::ipc::Act;
use portero::json::serialize_raw;
use portero::names::{TaskId, ToolId};
use portero::pattern::Pattern;
use portero::policy::definition_pins::{DefinitionItem, WaitingDigest};
use portero::policy::{Action, GrantLimits};
use serde::{Deserialize, Serialize};

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
    /// The button decides about several tasks of a list.
    DecideList(ListDecision),
    /// The button shows another view, which its maker names.
    Show(String),
}

/// The decision of a press about several tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListDecision {
    /// Run these calls, each with the digest of what the person saw of it.
    Approve(Vec<(TaskId, String)>),
    /// Do not run these calls.
    Deny(Vec<TaskId>),
}

/// The decision of a press about one task, or about its tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDecision {
    /// Run the call.
    Approve,
    /// Run it, in another process than the one that its session uses.
    ApproveFresh,
    /// Run the call, and allow its tool for this many minutes.
    ApproveFor(u32),
    /// Run the call, and make the grant or rule that its card showed.
    ApproveWith(Box<ShownWidening>),
    /// Run the call, and allow its tool from now on. Only cards of an earlier build have such a button.
    Allow,
    /// Run the call, and accept its tool's definition, by the digest of what the person was shown.
    ApproveAndAccept(WaitingDigest),
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
    pub const fn lets_run(&self) -> bool {
        match self {
            Self::Approve
            | Self::ApproveFresh
            | Self::ApproveFor(_)
            | Self::ApproveWith(_)
            | Self::Allow
            | Self::ApproveAndAccept(_) => true,
            Self::Deny | Self::DenyWithReason | Self::Forbid => false,
        }
    }
}

/// A change that a person was shown, and confirms with a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShownWidening {
    /// The act.
    pub what: Act,
    /// A digest of the preview; the button confirms this preview alone.
    pub seen: String,
}

impl ShownWidening {
    /// An act whose preview has these tools, each with its present action.
    #[must_use]
    pub fn new(what: Act, tools: &[(ToolId, Action)]) -> Self {
        Self { what, seen: digest_preview(tools) }
    }

    /// Whether the person was shown this preview.
    #[must_use]
    pub fn has_shown(&self, tools: &[(ToolId, Action)]) -> bool {
        self.seen == digest_preview(tools)
    }
}

fn digest_preview(tools: &[(ToolId, Action)]) -> String {
    blake3::hash(serialize_raw(&tools).get().as_bytes()).to_hex().to_string()
}

/// A restriction of one tool. Lateness does no harm, so its button counts as long as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restriction {
    /// The tool, by its literal name.
    pub tool: ToolId,
    /// How much less.
    pub to: RestrictionLevel,
}

/// How much less a tool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictionLevel {
    /// It asks.
    Ask,
    /// It is denied.
    Deny,
}

impl RestrictionLevel {
    /// What the rule says.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Ask => Action::RequireApproval,
            Self::Deny => Action::Deny,
        }
    }
}

impl Restriction {
    /// What the button does.
    #[must_use]
    pub fn act(&self) -> Act {
        Act::make_rule(Pattern::from(&self.tool), self.to.action())
    }
}

/// An answer to what a terminal asks for. Which number is the right one is not told here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfirmationAnswer {
    /// The question's number.
    pub question: i64,
    /// What it says.
    pub says: AnswerChoice,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerChoice {
    /// The number in this place, from zero.
    Number(u8),
    /// No.
    Refuse,
}

/// A decision with the task of its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardDecision {
    /// What it decides.
    pub decision: TaskDecision,
    /// About which task.
    pub task: TaskId,
    /// The task's tool.
    pub tool: ToolId,
}

impl CardDecision {
    /// The acts of the button: the first about the call, and the second about its tool from then on.
    #[must_use]
    pub fn acts(&self) -> (Act, Option<Act>) {
        let pattern = || Pattern::from(&self.tool);
        match &self.decision {
            TaskDecision::Approve => (Act::Approve(self.task), None),
            TaskDecision::ApproveFresh => (Act::ApproveFresh(self.task), None),
            TaskDecision::ApproveFor(minutes) => {
                let lasts = Duration::from_secs(60 * u64::from(*minutes));
                // The button's label says that much and no more.
                (Act::Approve(self.task), Some(Act::grant(&pattern(), lasts, &GrantLimits::default())))
            }
            TaskDecision::ApproveWith(shown) => (Act::Approve(self.task), Some(shown.what.clone())),
            TaskDecision::Allow => (Act::Approve(self.task), Some(Act::Allow(pattern()))),
            TaskDecision::ApproveAndAccept(shown) => {
                let item = DefinitionItem::Tool(self.tool.tool.clone());
                let accept = Act::AcceptDefinition(self.tool.server.clone(), item, *shown);
                (Act::Approve(self.task), Some(accept))
            }
            TaskDecision::Deny | TaskDecision::DenyWithReason => (Act::Reject(self.task), None),
            TaskDecision::Forbid => (Act::Reject(self.task), Some(Act::Deny(pattern()))),
        }
    }
}

/// The action of a button that only shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAction {
    /// The button's task; `None` if the button is about several.
    pub task: Option<TaskId>,
    /// The view's name.
    pub what: String,
}
