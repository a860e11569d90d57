//! The buttons below a message.
//!
//! Which buttons there are is a pure function of what is possible now. What a button carries is a token that its
//! maker alone understands: nothing of a call stands in it.

use serde::{Deserialize, Serialize};

use super::text::EscapedText;

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

/// What a button carries: `callback_data`, 1 to 64 bytes (Bot API, "`InlineKeyboardButton`").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallbackData(String);

/// A text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a button carries 1 to 64 bytes")]
pub struct InvalidCallbackData;

impl TryFrom<String> for CallbackData {
    type Error = InvalidCallbackData;

    fn try_from(text: String) -> Result<Self, InvalidCallbackData> {
        if (1..=64).contains(&text.len()) { Ok(Self(text)) } else { Err(InvalidCallbackData) }
    }
}

impl From<CallbackData> for String {
    fn from(token: CallbackData) -> Self {
        token.0
    }
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ButtonSpec {
    /// What stands on it, in Portero's words.
    pub label: String,
    /// What it carries.
    pub token: CallbackData,
}

/// Rows of buttons.
pub type KeyboardRows = Vec<Vec<ButtonSpec>>;

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

/// The buttons of a card; `token` makes what each carries.
pub fn card_buttons(standing: &CardState, mut token: impl FnMut(CardAction) -> CallbackData) -> KeyboardRows {
    card_actions(standing)
        .into_iter()
        .map(|row| {
            row.into_iter()
                .map(|choice| ButtonSpec { label: button_label(choice, standing.page), token: token(choice) })
                .collect()
        })
        .collect()
}

/// The buttons of a list: one for each task in it, by the end of its id, and one against all; `token` makes what
/// each carries, from the task's place in the list. There is none that approves several.
pub fn list_buttons(
    tasks: &[EscapedText],
    mut token: impl FnMut(CardAction, Option<usize>) -> CallbackData,
) -> KeyboardRows {
    let single = |(place, id): (usize, &EscapedText)| ButtonSpec {
        label: format!("Show {}", id.as_str()),
        token: token(CardAction::Single, Some(place)),
    };
    let singles: Vec<ButtonSpec> = tasks.iter().enumerate().map(single).collect();
    let mut rows: KeyboardRows = singles.chunks(2).map(<[ButtonSpec]>::to_vec).collect();
    if !tasks.is_empty() {
        let all = ButtonSpec {
            label: button_label(CardAction::DenyAll, 0),
            token: token(CardAction::DenyAll, None),
        };
        rows.push(vec![all]);
    }
    rows
}

/// The buttons for turning the pages of anything else; none where there is one page.
pub fn page_buttons(
    page: usize,
    pages: usize,
    mut token: impl FnMut(CardAction) -> CallbackData,
) -> KeyboardRows {
    let row = page_actions(page, pages);
    let key = |choice| ButtonSpec { label: button_label(choice, page), token: token(choice) };
    if row.is_empty() { Vec::new() } else { vec![row.into_iter().map(key).collect()] }
}

/// As [`page_buttons`], with the page to which each button turns.
#[must_use]
pub fn page_turns(page: usize, pages: usize) -> Vec<(String, usize)> {
    let back = page.checked_sub(1).filter(|_| page < pages);
    let on = Some(page + 1).filter(|next| *next < pages);
    back.into_iter().chain(on).map(|to| (button_label(CardAction::Page(to), page), to)).collect()
}

fn card_actions(standing: &CardState) -> Vec<Vec<CardAction>> {
    if standing.mode == CardMode::Sure && standing.can_permit && !standing.must_read {
        return vec![vec![CardAction::AllowForGood], vec![CardAction::AsCard]];
    }
    let first = if standing.must_read { CardAction::Read } else { CardAction::Approve };
    let mut rows = vec![vec![first, CardAction::Deny]];
    if standing.can_permit && !standing.must_read {
        rows.push(
            GRANT_MINUTES
                .into_iter()
                .filter(|minutes| *minutes <= standing.max_grant_minutes)
                .map(CardAction::ApproveFor)
                .collect(),
        );
    }
    rows.push(page_actions(standing.page, standing.pages));
    match standing.mode {
        CardMode::Card | CardMode::Sure => rows.push(vec![CardAction::More]),
        CardMode::Json => rows.push(vec![CardAction::AsCard]),
        CardMode::More => {
            if standing.can_permit && !standing.must_read {
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

fn page_actions(page: usize, pages: usize) -> Vec<CardAction> {
    let back = page.checked_sub(1).filter(|_| page < pages).map(CardAction::Page);
    let on = Some(page + 1).filter(|next| *next < pages).map(CardAction::Page);
    back.into_iter().chain(on).collect()
}

/// What stands on a button, while this page is shown.
fn button_label(choice: CardAction, shown: usize) -> String {
    let words = match choice {
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
