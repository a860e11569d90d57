//! The buttons below a card or a list, and what each leads to.
//!
//! Which buttons there are is a pure function of what is possible now. A channel draws their labels, and has
//! [`crate::auth::buttons`] make the token that each carries: nothing of a call is in that.

use portero::names::TaskId;
use serde::{Deserialize, Serialize};

use super::card::short_id;
use crate::auth::buttons::{ButtonAction, TaskDecision};

/// How long the grants last that a card offers, in minutes.
const GRANT_MINUTES: [u32; 2] = [10, 60];

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardAction {
    /// Yes, run it.
    Approve,
    /// Get the document; the yes comes after.
    Read,
    /// No.
    Deny,
    /// Yes, and permit this one tool for so many minutes.
    ApproveFor(u32),
    /// Show the other buttons too.
    More,
    /// Show the first buttons only.
    Less,
    /// Ask whether to permit this one tool from now on.
    AlwaysAllow,
    /// Yes, and permit this one tool from now on.
    AllowForGood,
    /// Refuse this one tool from now on.
    AlwaysDeny,
    /// No, with words for the agent.
    DenyWithReason,
    /// Show the whole call as JSON.
    AsJson,
    /// Show the card again.
    AsCard,
    /// Turn to this page, counted from zero.
    Page(usize),
    /// Show a task of a list by itself.
    Single,
    /// Deny every task of a list that still waits.
    DenyAll,
}

/// A button.
#[derive(Debug, Clone, PartialEq)]
pub struct Button {
    /// Its label, in Portero's words.
    pub label: String,
    /// The task that it is about; none where it is about several, or none.
    pub task: Option<TaskId>,
    /// What a press does.
    pub action: ButtonAction,
}

/// Rows of buttons.
pub type ButtonRows = Vec<Vec<Button>>;

impl Button {
    /// A button that is about no task.
    #[must_use]
    pub const fn new(label: String, action: ButtonAction) -> Self {
        Self { label, task: None, action }
    }
}

/// How a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardState {
    /// Which page is shown, counted from zero.
    pub page: usize,
    /// How many there are.
    pub pages: usize,
    /// Whether the yes waits until the person says that they read the document.
    pub must_read: bool,
    /// Whether a grant or rule of the person could permit this tool; not where it is locked.
    pub can_permit: bool,
    /// The longest that a grant may last, in minutes.
    pub max_grant_minutes: u32,
    /// Which view is open.
    pub mode: CardMode,
}

/// Which view of a card is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardMode {
    /// The card with its first buttons.
    Card,
    /// The card with all its buttons.
    More,
    /// The card, with the question whether its tool is to be permitted from now on.
    Sure,
    /// The call as JSON.
    Json,
}

impl CardAction {
    /// What a press does.
    #[must_use]
    pub fn button_action(self) -> ButtonAction {
        ButtonAction::Decide(match self {
            Self::Approve => TaskDecision::Approve,
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

    /// The action of a button that only shows something, as [`Self::button_action`] made it.
    #[must_use]
    pub fn parse_shown(what: &str) -> Option<Self> {
        serde_json::from_str(what).ok()
    }

    /// The view and the page that a press opens where these are open; none if it decides.
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

/// The buttons of a list: one for each task in it, by the end of its id, and one against all. There is none that
/// approves several.
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

/// The pages next to this one, each with the label of the button that turns to it; none where there is one page.
#[must_use]
pub fn page_turns(page: usize, pages: usize) -> Vec<(String, usize)> {
    let back = page.checked_sub(1).filter(|_| page < pages);
    let on = Some(page + 1).filter(|next| *next < pages);
    back.into_iter().chain(on).map(|to| (button_label(CardAction::Page(to), page), to)).collect()
}

fn card_actions(state: &CardState) -> Vec<Vec<CardAction>> {
    if state.mode == CardMode::Sure && state.can_permit && !state.must_read {
        return vec![vec![CardAction::AllowForGood], vec![CardAction::AsCard]];
    }
    let first = if state.must_read { CardAction::Read } else { CardAction::Approve };
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
                rows.push(vec![CardAction::AlwaysDeny]);
            }
            rows.push(vec![CardAction::DenyWithReason, CardAction::AsJson]);
            rows.push(vec![CardAction::Less]);
        }
    }
    rows.retain(|row| !row.is_empty());
    rows
}

/// A button's label, while this page is shown.
fn button_label(action: CardAction, shown: usize) -> String {
    let words = match action {
        CardAction::Approve => "✅ Approve",
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
