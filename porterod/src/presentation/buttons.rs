//! The buttons below a card or a list, and the action of each.
//!
//! The buttons are a pure function of the present state. A channel draws their labels and gets each one's
//! token from [`crate::auth::buttons`]; a token contains nothing of the call.

use portero::names::TaskId;
use serde::{Deserialize, Serialize};

use super::card::short_id;
use crate::auth::buttons::{ButtonAction, TaskDecision};

/// The lengths of the grants that a card offers, in minutes.
const GRANT_MINUTES: [u32; 2] = [10, 60];

/// The action of a button on a card or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardAction {
    /// Approve the call.
    Approve,
    /// Approve the call, in another process than the one that its session uses.
    ApproveFresh,
    /// Confirm that the document was read; the approval is a second press.
    Read,
    /// Deny the call.
    Deny,
    /// Approve the call and grant its tool for this many minutes.
    ApproveFor(u32),
    /// Show all buttons.
    More,
    /// Show the first buttons only.
    Less,
    /// Ask whether to allow this tool permanently.
    AlwaysAllow,
    /// Approve the call and allow its tool permanently.
    AllowForGood,
    /// Deny the call, and its tool permanently.
    AlwaysDeny,
    /// Deny the call with a reason for the agent.
    DenyWithReason,
    /// Show the whole call as JSON.
    AsJson,
    /// Show the card again.
    AsCard,
    /// Turn to this page, counted from zero.
    Page(usize),
    /// Show a listed task in its own message.
    Single,
    /// Deny every waiting task of a list.
    DenyAll,
}

/// A button with its label and action.
#[derive(Debug, Clone, PartialEq)]
pub struct Button {
    /// Its label, in Portero's own words.
    pub label: String,
    /// The task that it concerns; none if it concerns several or none.
    pub task: Option<TaskId>,
    /// The action of a press.
    pub action: ButtonAction,
}

/// Rows of buttons.
pub type ButtonRows = Vec<Vec<Button>>;

impl Button {
    /// A button that concerns no task.
    #[must_use]
    pub const fn new(label: String, action: ButtonAction) -> Self {
        Self { label, task: None, action }
    }
}

/// The state of a card, from which its buttons follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardState {
    /// The open page, counted from zero.
    pub page: usize,
    /// The number of pages.
    pub pages: usize,
    /// Whether the person must confirm that they read the document before they can approve.
    pub must_read: bool,
    /// Whether the process that its session uses is lost, so that an approval takes another one.
    pub is_lost: bool,
    /// Whether the person may grant or allow this tool; false for a locked tool.
    pub can_permit: bool,
    /// The longest that a grant may last, in minutes.
    pub max_grant_minutes: u32,
    /// The open view.
    pub mode: CardMode,
}

/// A view of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardMode {
    /// The card with its first buttons.
    Card,
    /// The card with all its buttons.
    More,
    /// The card with the question whether its tool should be allowed permanently.
    Sure,
    /// The call as JSON.
    Json,
}

impl CardAction {
    /// The stored action of a press.
    #[must_use]
    pub fn button_action(self) -> ButtonAction {
        ButtonAction::Decide(match self {
            Self::Approve => TaskDecision::Approve,
            Self::ApproveFresh => TaskDecision::ApproveFresh,
            Self::ApproveFor(minutes) => TaskDecision::ApproveFor(minutes),
            Self::AllowForGood => TaskDecision::Allow,
            Self::Deny => TaskDecision::Deny,
            Self::AlwaysDeny => TaskDecision::Forbid,
            Self::Read
            | Self::More
            | Self::Less
            | Self::AlwaysAllow
            | Self::DenyWithReason
            | Self::AsJson
            | Self::AsCard
            | Self::Page(_)
            | Self::Single
            | Self::DenyAll => {
                return ButtonAction::Show(portero::json::serialize_raw(&self).get().to_owned());
            }
        })
    }

    /// Parses the action of a button that only shows something, as [`Self::button_action`] wrote it.
    #[must_use]
    pub fn parse_shown(what: &str) -> Option<Self> {
        serde_json::from_str(what).ok()
    }

    /// The view and page that a press opens, given the open ones; none if the press decides.
    #[must_use]
    pub const fn next_view(self, mode: CardMode, page: usize) -> Option<(CardMode, usize)> {
        match self {
            Self::More => Some((CardMode::More, page)),
            Self::AlwaysAllow => Some((CardMode::Sure, page)),
            Self::AsJson => Some((CardMode::Json, 0)),
            Self::Page(page) => Some((mode, page)),
            Self::AsCard | Self::Less | Self::Single => Some((CardMode::Card, 0)),
            Self::Read | Self::DenyWithReason => Some((mode, page)),
            Self::Approve
            | Self::ApproveFresh
            | Self::ApproveFor(_)
            | Self::AllowForGood
            | Self::Deny
            | Self::AlwaysDeny
            | Self::DenyAll => None,
        }
    }
}

/// The buttons of a task's card.
#[must_use]
pub fn card_buttons(task: TaskId, state: &CardState) -> ButtonRows {
    let button = |action: CardAction| Button {
        label: button_label(action, state.page),
        task: Some(task),
        action: action.button_action(),
    };
    card_actions(state).into_iter().map(|row| row.into_iter().map(button).collect()).collect()
}

/// The buttons of a list: one for each task, labelled with the end of its id, and one that denies all. No
/// button approves several tasks.
#[must_use]
pub fn list_buttons(tasks: &[TaskId]) -> ButtonRows {
    let single = |task: &TaskId| Button {
        label: format!("{} {}", button_label(CardAction::Single, 0), short_id(*task).as_str()),
        task: Some(*task),
        action: CardAction::Single.button_action(),
    };
    let mut rows: ButtonRows = tasks.chunks(2).map(|two| two.iter().map(single).collect()).collect();
    if !tasks.is_empty() {
        let label = button_label(CardAction::DenyAll, 0);
        rows.push(vec![Button::new(label, CardAction::DenyAll.button_action())]);
    }
    rows
}

/// The neighbouring pages with their button labels; none if there is only one page.
#[must_use]
pub fn page_turns(page: usize, pages: usize) -> Vec<(String, usize)> {
    // A page beyond the end has no neighbours: the text became shorter since it was drawn.
    let back = page.checked_sub(1).filter(|_| page < pages);
    let on = Some(page + 1).filter(|next| *next < pages);
    back.into_iter().chain(on).map(|to| (button_label(CardAction::Page(to), page), to)).collect()
}

fn card_actions(state: &CardState) -> Vec<Vec<CardAction>> {
    // The question of a permanent rule has its own view, so no single press makes one.
    if state.mode == CardMode::Sure && state.can_permit && !state.must_read {
        return vec![vec![CardAction::AllowForGood], vec![CardAction::AsCard]];
    }
    // Until the document was read, no button that approves or allows exists at all, so no old press can use
    // one.
    let first = match (state.must_read, state.is_lost) {
        (true, _) => CardAction::Read,
        (false, true) => CardAction::ApproveFresh,
        (false, false) => CardAction::Approve,
    };
    let mut rows = vec![vec![first, CardAction::Deny]];
    if state.can_permit && !state.must_read {
        rows.push(
            GRANT_MINUTES
                .into_iter()
                .filter(|minutes| *minutes <= state.max_grant_minutes)
                .map(CardAction::ApproveFor)
                .collect(),
        );
    }
    rows.push(page_turns(state.page, state.pages).into_iter().map(|(_, to)| CardAction::Page(to)).collect());
    match state.mode {
        CardMode::Card | CardMode::Sure => rows.push(vec![CardAction::More]),
        CardMode::Json => rows.push(vec![CardAction::AsCard]),
        CardMode::More => {
            if state.can_permit && !state.must_read {
                rows.push(vec![CardAction::AlwaysAllow, CardAction::AlwaysDeny]);
            } else {
                // Without the right to approve, a deny stays possible: it only narrows.
                rows.push(vec![CardAction::AlwaysDeny]);
            }
            rows.push(vec![CardAction::DenyWithReason, CardAction::AsJson]);
            rows.push(vec![CardAction::Less]);
        }
    }
    // Telegram refuses a keyboard with an empty row.
    rows.retain(|row| !row.is_empty());
    rows
}

/// A button's label while page `shown` is open.
fn button_label(action: CardAction, shown: usize) -> String {
    let words = match action {
        CardAction::Approve => "✅ Approve",
        CardAction::ApproveFresh => "⚠️ Run in another process",
        CardAction::Read => "📄 I have read the document",
        CardAction::Deny => "❌ Deny",
        CardAction::ApproveFor(minutes) if minutes % 60 == 0 => {
            return format!("✅ Approve + {} h", minutes / 60);
        }
        CardAction::ApproveFor(minutes) => return format!("✅ Approve + {minutes} min"),
        CardAction::More => "More…",
        CardAction::Less => "Less",
        CardAction::AlwaysAllow => "Always allow this tool",
        CardAction::AllowForGood => "✅ Yes, approve and always allow",
        CardAction::AlwaysDeny => "Always deny this tool",
        CardAction::DenyWithReason => "Deny with a reason",
        CardAction::AsJson => "Show as JSON",
        CardAction::AsCard => "Back to the card",
        CardAction::Single => "Show",
        CardAction::DenyAll => "❌ Deny all of these",
        CardAction::Page(page) if page < shown => return format!("‹ Page {}", page + 1),
        CardAction::Page(page) => return format!("Page {} ›", page + 1),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
