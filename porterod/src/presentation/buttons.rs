//! The buttons below a card, and the action of each.
//!
//! The buttons are a pure function of the present state. A channel draws their labels and gets each one's
//! token from [`crate::auth::buttons`]; a token contains nothing of the call.

mod offers;

use portero::approval_scope::ApprovalScope;
use portero::names::TaskId;
use portero::policy::definition_pins::WaitingDigest;
use portero::task::Task;
use serde::{Deserialize, Serialize};

pub use self::offers::{FieldChoice, ScopeOffers};

use crate::auth::buttons::{ButtonAction, ShownWidening, TaskDecision};

/// The length of the grant that a card offers with one tap, in minutes.
const QUICK_MINUTES: u32 = 10;
/// The longest name of a tool that such a button shows whole. A longer one would be cut on a phone.
const MAX_TOOL_CHARS: usize = 32;

/// The action of a button on a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Open this view.
    Open(CardMode),
    /// Approve the call and make the grant or rule that the view shows.
    ApproveWith(Box<ShownWidening>),
    /// Deny the call, and its tool permanently.
    AlwaysDeny,
    /// Deny the call with a reason for the agent.
    DenyWithReason,
    /// Approve the call and accept its definition, by the digest of what was shown.
    ApproveAndAccept(WaitingDigest),
    /// Show the whole call as JSON.
    AsJson,
    /// Show the card again.
    AsCard,
    /// Turn to this page, counted from zero.
    Page(usize),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardState {
    /// The open page, counted from zero.
    pub page: usize,
    /// The number of pages.
    pub pages: usize,
    /// Whether the person must confirm that they read the document before they can approve.
    pub must_read: bool,
    /// Whether its call would not run any more, so that nothing approves it.
    pub is_void: bool,
    /// Whether the process that its session uses is lost, so that an approval takes another one.
    pub is_lost: bool,
    /// What the person may permit with the call; the call alone where its tool is locked.
    pub offers: ScopeOffers,
    /// The definition that the person may accept beside the call, if it asks because of one.
    pub definition: Option<WaitingDigest>,
    /// The open view.
    pub mode: CardMode,
    /// The grant or rule that the open view shows, for the button that confirms it.
    pub shown: Option<ShownWidening>,
}

/// A view of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardMode {
    /// The card with its first buttons.
    Card,
    /// The card with all its buttons.
    More,
    /// The card with the question whether its definition should be accepted.
    Accept,
    /// The call as JSON.
    Json,
    /// The fields of the call, of which the person chooses those that later calls must have too.
    Fields(FieldChoice),
    /// What this scope would permit, with the question whether to approve the call and permit that.
    Confirm(ApprovalScope),
}

impl CardMode {
    /// The view as the store keeps it.
    #[must_use]
    pub fn serialize(&self) -> String {
        portero::json::serialize_raw(self).get().to_owned()
    }

    /// Reads a stored view. One that this build doesn't know is the card itself.
    #[must_use]
    pub fn parse(stored: &str) -> Self {
        match stored {
            // An earlier build asked so whether its tool should always be allowed.
            "\"sure\"" => Self::Confirm(ApprovalScope::Always),
            stored => serde_json::from_str(stored).unwrap_or(Self::Card),
        }
    }

    /// The view that can be shown: the card itself, where nothing can be permitted beside the call.
    #[must_use]
    pub fn or_card(self, can_permit: bool) -> Self {
        match self {
            Self::Fields(_) | Self::Confirm(_) if !can_permit => Self::Card,
            mode => mode,
        }
    }
}

/// An action with its button's label.
type LabelledAction = (String, CardAction);

impl CardAction {
    /// The stored action of a press.
    #[must_use]
    pub fn button_action(self) -> ButtonAction {
        ButtonAction::Decide(match self {
            Self::Approve => TaskDecision::Approve,
            Self::ApproveFresh => TaskDecision::ApproveFresh,
            Self::ApproveFor(minutes) => TaskDecision::ApproveFor(minutes),
            Self::ApproveWith(shown) => TaskDecision::ApproveWith(shown),
            Self::ApproveAndAccept(shown) => TaskDecision::ApproveAndAccept(shown),
            Self::Deny => TaskDecision::Deny,
            Self::AlwaysDeny => TaskDecision::Forbid,
            Self::Read
            | Self::More
            | Self::Less
            | Self::Open(_)
            | Self::DenyWithReason
            | Self::AsJson
            | Self::AsCard
            | Self::Page(_) => {
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
    pub fn next_view(self, mode: CardMode, page: usize) -> Option<(CardMode, usize)> {
        match self {
            Self::More => Some((CardMode::More, page)),
            Self::Open(mode) => Some((mode, 0)),
            Self::AsJson => Some((CardMode::Json, 0)),
            Self::Page(page) => Some((mode, page)),
            Self::AsCard | Self::Less => Some((CardMode::Card, 0)),
            Self::Read | Self::DenyWithReason => Some((mode, page)),
            Self::Approve
            | Self::ApproveFresh
            | Self::ApproveFor(_)
            | Self::ApproveWith(_)
            | Self::ApproveAndAccept(_)
            | Self::Deny
            | Self::AlwaysDeny => None,
        }
    }
}

/// The buttons of a task's card.
#[must_use]
pub fn card_buttons(task: &Task, state: &CardState) -> ButtonRows {
    let button = |(label, action): LabelledAction| Button {
        label,
        task: Some(task.id),
        action: action.button_action(),
    };
    let rows = card_rows(state, &task.call.tool.to_string());
    rows.into_iter().map(|row| row.into_iter().map(button).collect()).collect()
}

/// The neighbouring pages with their button labels; none if there is only one page.
#[must_use]
pub fn page_turns(page: usize, pages: usize) -> Vec<(String, usize)> {
    // A page beyond the end has no neighbours: the text became shorter since it was drawn.
    let back = page.checked_sub(1).filter(|_| page < pages);
    let on = Some(page + 1).filter(|next| *next < pages);
    back.into_iter().chain(on).map(|to| (button_label(&CardAction::Page(to), page), to)).collect()
}

/// The rows of the open view.
fn card_rows(state: &CardState, tool: &str) -> Vec<Vec<LabelledAction>> {
    let can_permit = state.offers.has_more_than_once() && !state.must_read && !state.is_void;
    let definition = state.definition.filter(|_| !state.must_read && !state.is_void);
    let plain = |action: CardAction| (button_label(&action, state.page), action);
    let mut rows = match (&state.mode, definition) {
        (CardMode::Fields(choice), _) if can_permit => field_rows(state, choice),
        (CardMode::Confirm(scope), _) if can_permit => confirm_rows(state, scope),
        // No single press accepts a definition.
        (CardMode::Accept, Some(shown)) => vec![
            vec![plain(CardAction::ApproveAndAccept(shown))],
            turn_row(state),
            vec![plain(CardAction::AsCard)],
        ],
        (
            CardMode::Fields(_)
            | CardMode::Confirm(_)
            | CardMode::Accept
            | CardMode::Card
            | CardMode::More
            | CardMode::Json,
            _,
        ) => call_rows(state, tool, can_permit),
    };
    // Telegram refuses a keyboard with an empty row.
    rows.retain(|row| !row.is_empty());
    rows
}

/// The rows below the call.
fn call_rows(state: &CardState, tool: &str, can_permit: bool) -> Vec<Vec<LabelledAction>> {
    let plain = |action: CardAction| (button_label(&action, state.page), action);
    // Until the document was read, no button that approves or allows exists at all, so no old press can use
    // one.
    let first = match (state.must_read, state.is_lost) {
        (true, _) => CardAction::Read,
        (false, true) => CardAction::ApproveFresh,
        (false, false) => CardAction::Approve,
    };
    let mut rows = match state.is_void {
        true => vec![vec![plain(CardAction::Deny)]],
        false => vec![vec![plain(first), plain(CardAction::Deny)]],
    };
    if state.definition.is_some() && !state.must_read && !state.is_void {
        let label = "✅ Approve and accept the new definition…".to_owned();
        rows.push(vec![(label, CardAction::Open(CardMode::Accept))]);
    }
    // A person must be able to tell from the button what a single tap permits.
    let is_shown_whole = tool.chars().count() <= MAX_TOOL_CHARS;
    if can_permit && is_shown_whole && state.offers.has_tool_for(QUICK_MINUTES) {
        // The time comes first: a narrow screen cuts a label's end, and the card names the tool too.
        let label = format!("✅ Approve + {QUICK_MINUTES} min of {tool}");
        rows.push(vec![(label, CardAction::ApproveFor(QUICK_MINUTES))]);
    }
    rows.push(turn_row(state));
    match state.mode {
        CardMode::Card | CardMode::Accept | CardMode::Fields(_) | CardMode::Confirm(_) => {
            rows.push(vec![plain(CardAction::More)])
        }
        CardMode::Json => rows.push(vec![plain(CardAction::AsCard)]),
        CardMode::More => {
            if can_permit {
                rows.extend(state.offers.menu_rows());
                let always = CardAction::Open(CardMode::Confirm(ApprovalScope::Always));
                rows.push(vec![
                    ("Always allow this tool…".to_owned(), always),
                    plain(CardAction::AlwaysDeny),
                ]);
            } else {
                // Without the right to approve, a deny stays possible: it only narrows.
                rows.push(vec![plain(CardAction::AlwaysDeny)]);
            }
            rows.push(vec![plain(CardAction::DenyWithReason), plain(CardAction::AsJson)]);
            rows.push(vec![plain(CardAction::Less)]);
        }
    }
    rows
}

/// The rows below the fields of a call.
fn field_rows(state: &CardState, choice: &FieldChoice) -> Vec<Vec<LabelledAction>> {
    let mut rows = state.offers.field_rows(choice);
    rows.insert(0, turn_row(state));
    rows
}

/// The rows below what a scope would permit. Its button is below the last page only, so a person has seen all
/// pages before pressing it.
fn confirm_rows(state: &CardState, scope: &ApprovalScope) -> Vec<Vec<LabelledAction>> {
    let is_last = state.page + 1 >= state.pages;
    let confirms = state
        .shown
        .iter()
        .filter(|_| is_last)
        .map(|shown| (offers::confirm_label(scope), CardAction::ApproveWith(Box::new(shown.clone()))));
    let back = ("Back".to_owned(), offers::former_view(scope));
    vec![confirms.collect(), turn_row(state), vec![back]]
}

fn turn_row(state: &CardState) -> Vec<LabelledAction> {
    page_turns(state.page, state.pages).into_iter().map(|(label, to)| (label, CardAction::Page(to))).collect()
}

/// A button's label while page `shown` is open.
pub(super) fn button_label(action: &CardAction, shown: usize) -> String {
    let words = match action {
        CardAction::Approve => "✅ Approve",
        CardAction::ApproveFresh => "⚠️ Run in another process",
        CardAction::Read => "📄 I have read the document",
        CardAction::Deny => "❌ Deny",
        CardAction::ApproveFor(_) | CardAction::ApproveWith(_) => "✅ Approve, and more",
        CardAction::More => "More…",
        CardAction::Less => "Less",
        CardAction::Open(_) => "Open…",
        CardAction::ApproveAndAccept(_) => "✅ Yes, approve and accept it",
        CardAction::AlwaysDeny => "Always deny this tool",
        CardAction::DenyWithReason => "Deny with a reason",
        CardAction::AsJson => "Show as JSON",
        CardAction::AsCard => "Back to the card",
        CardAction::Page(page) if *page < shown => return format!("‹ Page {}", page + 1),
        CardAction::Page(page) => return format!("Page {} ›", page + 1),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
