//! The buttons of a list and of its calls.
//!
//! No button of the list itself decides, because a list changes while calls join it. The rows that turn are
//! always the last ones, so that they keep their place while a person goes from call to call.

use portero::names::TaskId;
use serde::{Deserialize, Serialize};

use super::super::buttons::{Button, ButtonRows, CardAction, button_label, page_turns};
use super::state::{ListView, ShownCall};
use crate::auth::buttons::{ButtonAction, ListDecision};

/// The prefix of a list's buttons that only show something.
const STEP_PREFIX: &str = "list ";

/// A step within a list, which decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListStep {
    /// Opens a view. The button was below this call, which was shown in full.
    Turn(ListView, Option<ShownCall>),
    /// The person says that they read this call's document.
    Read(TaskId),
    /// Asks for the reason to deny these.
    AskReason(Vec<TaskId>),
}

impl ListStep {
    fn button_action(&self) -> ButtonAction {
        ButtonAction::Show(format!("{STEP_PREFIX}{}", portero::json::serialize_raw(self).get()))
    }

    /// Parses a step that a button holds; none if it is another button's.
    #[must_use]
    pub fn parse_shown(what: &str) -> Option<Self> {
        serde_json::from_str(what.strip_prefix(STEP_PREFIX)?).ok()
    }
}

/// What the buttons of one open call follow from.
#[derive(Debug, Clone)]
pub struct CallScreen {
    /// The call.
    pub task: TaskId,
    /// Whether it waits for a person.
    pub waits: bool,
    /// The open page, and the number of pages.
    pub page: usize,
    /// The number of pages.
    pub pages: usize,
    /// Whether its document must be read before it can be approved.
    pub must_read: bool,
    /// Whether its process is lost, so that an approval takes another one.
    pub is_lost: bool,
    /// Whether it would not run any more, so that it can only be denied.
    pub is_void: bool,
    /// What this screen shows in full.
    pub shown: Option<ShownCall>,
    /// The waiting call before it.
    pub previous: Option<TaskId>,
    /// The waiting call after it.
    pub next: Option<TaskId>,
    /// The calls that can be approved together, once all were shown.
    pub approvable: Option<Vec<ShownCall>>,
}

/// The buttons of the list on its open page. `first` is the call that *Look through* opens; none if no call
/// waits.
#[must_use]
pub fn overview_buttons((page, pages): (usize, usize), first: Option<TaskId>) -> ButtonRows {
    let look = first.map(|first| turn("🔎 Look through".to_owned(), ListView::Call(first, 0), None));
    let deny = first.map(|_| turn("❌ Deny all…".to_owned(), ListView::Deny, None));
    let turns = page_turns(page, pages).into_iter().map(|(label, to)| turn(label, ListView::List(to), None));
    let mut rows = vec![look.into_iter().collect(), turns.collect(), deny.into_iter().collect()];
    rows.retain(|row: &Vec<Button>| !row.is_empty());
    rows
}

/// The buttons of the question whether to deny these calls.
#[must_use]
pub fn deny_buttons(waiting: Vec<TaskId>) -> ButtonRows {
    let reason = ListStep::AskReason(waiting.clone()).button_action();
    let label = format!("❌ Deny all {}", waiting.len());
    vec![
        vec![Button::new(label, ButtonAction::DecideList(ListDecision::Deny(waiting)))],
        vec![Button::new("Deny all with a reason".to_owned(), reason)],
        vec![back(None)],
    ]
}

/// The buttons of one call of the list.
#[must_use]
pub fn call_buttons(screen: &CallScreen) -> ButtonRows {
    let CallScreen { task, page, shown, .. } = screen;
    let mut rows = ButtonRows::new();
    if screen.waits {
        let decide = |action: CardAction| Button {
            label: button_label(&action, 0),
            task: Some(*task),
            action: action.button_action(),
        };
        let first = match (screen.must_read, screen.is_lost) {
            _ if screen.is_void => None,
            (true, _) => {
                let label = button_label(&CardAction::Read, 0);
                Some(Button::new(label, ListStep::Read(*task).button_action()))
            }
            (false, true) => Some(decide(CardAction::ApproveFresh)),
            (false, false) => Some(decide(CardAction::Approve)),
        };
        rows.push(first.into_iter().chain([decide(CardAction::Deny)]).collect());
    }
    let pages = page_turns(*page, screen.pages).into_iter();
    rows.push(pages.map(|(label, to)| turn(label, ListView::Call(*task, to), shown.clone())).collect());
    if let Some(approvable) = &screen.approvable {
        let label = format!("✅ Approve all {}", approvable.len());
        let calls = approvable.iter().map(|call| (call.task, call.digest.clone())).collect();
        rows.push(vec![Button::new(label, ButtonAction::DecideList(ListDecision::Approve(calls)))]);
    }
    let open = |label: &str, to: TaskId| turn(label.to_owned(), ListView::Call(to, 0), shown.clone());
    let previous = screen.previous.map(|to| open("‹ Previous", to));
    rows.push(previous.into_iter().chain(screen.next.map(|to| open("Next ›", to))).collect());
    rows.push(vec![back(shown.clone())]);
    rows.retain(|row| !row.is_empty());
    rows
}

fn back(shown: Option<ShownCall>) -> Button {
    turn("Back to the list".to_owned(), ListView::List(0), shown)
}

fn turn(label: String, to: ListView, shown: Option<ShownCall>) -> Button {
    Button::new(label, ListStep::Turn(to, shown).button_action())
}
