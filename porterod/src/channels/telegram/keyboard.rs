//! The buttons below a message.
//!
//! Which buttons there are is a pure function of what is possible now. What a button carries is a token that its
//! maker alone understands: nothing of a call stands in it.

use serde::{Deserialize, Serialize};

use super::text::Shown;

/// How long the grants last that a card offers, in minutes.
const GRANTS: [u32; 2] = [10, 60];

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
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
pub struct Token(String);

/// A text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a button carries 1 to 64 bytes")]
pub struct NoToken;

impl TryFrom<String> for Token {
    type Error = NoToken;

    fn try_from(text: String) -> Result<Self, NoToken> {
        if (1..=64).contains(&text.len()) { Ok(Self(text)) } else { Err(NoToken) }
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What stands on it, in Portero's words.
    pub label: String,
    /// What it carries.
    pub token: Token,
}

/// Rows of buttons.
pub type Keyboard = Vec<Vec<Key>>;

/// How a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which page is shown, counted from zero.
    pub page: usize,
    /// How many there are.
    pub pages: usize,
    /// Whether the yes waits until the person says that they read the document.
    pub unread: bool,
    /// Whether a grant or rule of the person could permit this tool; not where it is locked.
    pub loosens: bool,
    /// The longest that a grant may last, in minutes.
    pub grant_most: u32,
    /// Which view is open.
    pub view: View,
}

/// Which view of a card is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
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
pub fn of_card(standing: &Standing, mut token: impl FnMut(Choice) -> Token) -> Keyboard {
    choices(standing)
        .into_iter()
        .map(|row| {
            row.into_iter()
                .map(|choice| Key { label: label(choice, standing.page), token: token(choice) })
                .collect()
        })
        .collect()
}

/// The buttons of a list: one for each task in it, by the end of its id, and one against all; `token` makes what
/// each carries, from the task's place in the list. There is none that approves several.
pub fn of_list(tasks: &[Shown], mut token: impl FnMut(Choice, Option<usize>) -> Token) -> Keyboard {
    let single = |(place, id): (usize, &Shown)| Key {
        label: format!("Show {}", id.as_str()),
        token: token(Choice::Single, Some(place)),
    };
    let singles: Vec<Key> = tasks.iter().enumerate().map(single).collect();
    let mut rows: Keyboard = singles.chunks(2).map(<[Key]>::to_vec).collect();
    if !tasks.is_empty() {
        let all = Key { label: label(Choice::DenyAll, 0), token: token(Choice::DenyAll, None) };
        rows.push(vec![all]);
    }
    rows
}

/// The buttons for turning the pages of anything else; none where there is one page.
pub fn of_pages(page: usize, pages: usize, mut token: impl FnMut(Choice) -> Token) -> Keyboard {
    let row = turning(page, pages);
    let key = |choice| Key { label: label(choice, page), token: token(choice) };
    if row.is_empty() { Vec::new() } else { vec![row.into_iter().map(key).collect()] }
}

/// As [`of_pages`], with the page to which each button turns.
#[must_use]
pub fn turns(page: usize, pages: usize) -> Vec<(String, usize)> {
    let back = page.checked_sub(1).filter(|_| page < pages);
    let on = Some(page + 1).filter(|next| *next < pages);
    back.into_iter().chain(on).map(|to| (label(Choice::Page(to), page), to)).collect()
}

fn choices(standing: &Standing) -> Vec<Vec<Choice>> {
    if standing.view == View::Sure && standing.loosens && !standing.unread {
        return vec![vec![Choice::AllowForGood], vec![Choice::AsCard]];
    }
    let first = if standing.unread { Choice::Read } else { Choice::Approve };
    let mut rows = vec![vec![first, Choice::Deny]];
    if standing.loosens && !standing.unread {
        rows.push(
            GRANTS
                .into_iter()
                .filter(|minutes| *minutes <= standing.grant_most)
                .map(Choice::ApproveFor)
                .collect(),
        );
    }
    rows.push(turning(standing.page, standing.pages));
    match standing.view {
        View::Card | View::Sure => rows.push(vec![Choice::More]),
        View::Json => rows.push(vec![Choice::AsCard]),
        View::More => {
            if standing.loosens && !standing.unread {
                rows.push(vec![Choice::AlwaysAllow, Choice::AlwaysDeny]);
            } else {
                rows.push(vec![Choice::AlwaysDeny]);
            }
            rows.push(vec![Choice::DenyWithReason, Choice::AsJson]);
            rows.push(vec![Choice::Less]);
        }
    }
    rows.retain(|row| !row.is_empty());
    rows
}

fn turning(page: usize, pages: usize) -> Vec<Choice> {
    let back = page.checked_sub(1).filter(|_| page < pages).map(Choice::Page);
    let on = Some(page + 1).filter(|next| *next < pages).map(Choice::Page);
    back.into_iter().chain(on).collect()
}

/// What stands on a button, while this page is shown.
fn label(choice: Choice, shown: usize) -> String {
    let words = match choice {
        Choice::Approve => "✅ Approve",
        Choice::Read => "📄 I have read the document",
        Choice::Deny => "❌ Deny",
        Choice::ApproveFor(minutes) if minutes % 60 == 0 => {
            return format!("✅ Approve + {} h", minutes / 60);
        }
        Choice::ApproveFor(minutes) => return format!("✅ Approve + {minutes} min"),
        Choice::More => "More…",
        Choice::Less => "Less",
        Choice::AlwaysAllow => "Always allow this tool",
        Choice::AllowForGood => "✅ Yes, approve and always allow",
        Choice::AlwaysDeny => "Always deny this tool",
        Choice::DenyWithReason => "Deny with a reason",
        Choice::AsJson => "Show as JSON",
        Choice::AsCard => "Back to the card",
        Choice::Single => "Show",
        Choice::DenyAll => "❌ Deny all of these",
        Choice::Page(page) if page < shown => return format!("‹ Page {}", page + 1),
        Choice::Page(page) => return format!("Page {} ›", page + 1),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
