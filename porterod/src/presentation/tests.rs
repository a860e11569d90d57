//! Tasks for the tests of every channel, and a second channel: what it costs is seen here.

use std::time::Duration;

use portero::approval_scope::{AskingSession, ScopeTerms};
use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::policy::Policy;
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use super::burst::{ListState, ListedCall, overview, overview_buttons};
use super::buttons::{ButtonRows, CardMode, CardState, ScopeOffers, card_buttons};
use super::card::{Card, DecidedBy, RecordedDecision, call_document, outcome_text};
use super::notices::activity::{ActivitySummary, CallFate, button_rows, rules_by_tool};
use super::text::{StyledText, TextStyle};
use super::*;
use crate::auth::buttons::{ButtonAction, TaskDecision};

/// A task that waits, in the tests' project.
pub(crate) fn task_of(tool: &str, arguments: &Value) -> Task {
    let name = tool.split_once('/').expect("a tool").1;
    with_params(tool, &json!({ "name": name, "arguments": arguments }))
}

pub(crate) fn with_params(tool: &str, params: &Value) -> Task {
    serde_json::from_value(json!({
        "id": "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f",
        "state": "pending-approval",
        "call": { "tool": tool, "method": "tools/call", "params": params },
        "decision": {
            "action": "require-approval", "pattern": format!("{}/*", tool.split_once('/').expect("a tool").0),
            "source": { "config": { "line": 4, "column": 5 } }, "locked": false,
        },
        "origin": {
            "principal": "/home/ada/shop", "session": "019a9f3e-7c1d-7b4e-8f60-0123456789ab",
            "client": "claude-code 2.1.328", "directory": "/home/ada/shop",
        },
        "binding": "", "asked": "2026-11-20T13:00:00Z", "expires": "2026-11-20T13:15:00Z",
        "changed": "2026-11-20T13:00:00Z", "note": null, "result": null, "error": null,
    }))
    .expect("a task")
}

/// What a person may permit with a task's call, whose session is connected.
pub(crate) fn offers_of(task: &Task, policy: &Policy, max_grant: Duration) -> ScopeOffers {
    let session = AskingSession { session: task.origin.session, agent_session: None };
    let (call, principal) = (&task.call, &task.origin.principal);
    let terms = ScopeTerms { call, principal, session: Some(&session), policy, max_grant };
    ScopeOffers { scopes: terms.fitting_scopes(), fields: terms.choosable_fields() }
}

/// How the tests look at a card: a minute after it was asked, in Zurich's winter.
pub(crate) fn with_context<T>(look: impl FnOnce(&ViewContext<'_>) -> T) -> T {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    look(&ViewContext { now: "2026-11-20T13:01:00Z".parse().expect("a time"), zone: &zone })
}

/// A channel of plain text with numbered choices, such as a mailing list: messages of any number of characters up to
/// its limit, no pages, no entities.
struct PlainChannel {
    max_chars: usize,
}

/// A message of it, and what each number does.
struct PlainMessage {
    text: String,
    attachment: Option<(String, Vec<u8>)>,
    choices: Vec<ButtonAction>,
}

impl PlainChannel {
    fn show_question(
        &self,
        task: &Task,
        hints: Option<ToolHints>,
        mode: CardMode,
        was_read: bool,
    ) -> PlainMessage {
        let look = InspectedTask { task: task.clone(), hints, loss: None, void: None, definition: None };
        let card = with_context(|view| Card::new(&look, view));
        let whole = plain_text(&card.text());
        let fits = card.call.is_some() && whole.chars().count() <= self.max_chars;
        let text = if fits { whole } else { plain_text(&card.head_text()) };
        let document = (!fits).then(|| call_document(&look));
        let state = CardState {
            page: 0,
            pages: 1,
            must_read: !fits && !was_read,
            is_void: false,
            is_lost: false,
            offers: offers_of(task, &Policy::default(), Duration::from_secs(3600)),
            definition: None,
            mode,
            shown: None,
        };
        let message = with_choices(text, card_buttons(task, &state));
        PlainMessage { attachment: document.map(|document| (document.name, document.bytes)), ..message }
    }

    fn show_outcome(&self, task: &Task, decided: RecordedDecision) -> String {
        let text = with_context(|view| outcome_text(task, decided, None, view));
        plain_text(&text.truncated(self.max_chars, usize::MAX).0)
    }

    fn show_list(&self, tasks: &[Task]) -> PlainMessage {
        let calls: Vec<_> = tasks.iter().map(listed_call).collect();
        let list = with_context(|view| overview(&calls, &ListState::default(), view));
        let text = list.rows.into_iter().fold(list.head, |text, row| text.on_new_line().append(row));
        with_choices(
            plain_text(&text.on_new_line().append(list.foot)),
            overview_buttons((0, 1), Some(tasks[0].id)),
        )
    }
}

/// A waiting call of a list.
pub(crate) fn listed_call(task: &Task) -> ListedCall {
    let look = InspectedTask { task: task.clone(), hints: None, loss: None, void: None, definition: None };
    ListedCall { look, decided: None, obstacle: None }
}

/// Text from outside between quotes, or behind bars.
fn plain_text(text: &StyledText) -> String {
    let part = |part: &text::StyledPart| match part.style {
        None => part.text.clone(),
        Some(TextStyle::Bold) => part.text.to_uppercase(),
        Some(TextStyle::Code) => format!("'{}'", part.text),
        Some(TextStyle::Pre) => format!("> {}", part.text.replace('\n', "\n> ")),
    };
    text.parts().iter().map(part).collect()
}

fn with_choices(mut text: String, rows: ButtonRows) -> PlainMessage {
    let mut choices = Vec::new();
    for button in rows.into_iter().flatten() {
        choices.push(button.action);
        text.push_str(&format!("\n({}) {}", choices.len(), button.label));
    }
    PlainMessage { text, attachment: None, choices }
}

const PLAIN: PlainChannel = PlainChannel { max_chars: 600 };

fn mail_task(body: &str) -> Task {
    task_of("gmail/send_email", &json!({ "to": "bob@example.org", "subject": "Offer", "body": body }))
}

#[test]
fn a_second_channel_draws_a_card_and_lists_what_can_be_pressed() {
    let message = PLAIN.show_question(&mail_task("Dear Bob,\nhello"), None, CardMode::Card, false);
    insta::assert_snapshot!(message.text, @"
    MAY THIS RUN?
    'gmail/send_email'

    ASKS: 'claude-code 2.1.328'
    PROJECT: '/home/ada/shop', session '456789ab'
    SERVER'S HINTS: not known now
    WHY: 'needs approval by `gmail/*` (policies.json:4:5)'
    UNTIL: '14:15 +01', in 14 min
    TASK: '1b0a9e8f'

    E-MAIL
    TO: 'bob@example.org'
    SUBJECT: 'Offer'
    BODY:
    > Dear Bob,
    > hello
    (1) ✅ Approve
    (2) ❌ Deny
    (3) ✅ Approve + 10 min of gmail/send_email
    (4) More…
    ");
    assert_eq!(message.choices[1], ButtonAction::Decide(TaskDecision::Deny));
    assert!(message.attachment.is_none());
}

#[test]
fn a_second_channel_has_what_it_cannot_show_whole_read_first() {
    let task = mail_task(&"long ".repeat(500));
    let approve = ButtonAction::Decide(TaskDecision::Approve);
    let unread = PLAIN.show_question(&task, None, CardMode::Card, false);
    assert!(unread.attachment.is_some() && !unread.choices.contains(&approve), "{}", unread.text);
    assert!(PLAIN.show_question(&task, None, CardMode::Card, true).choices.contains(&approve));
}

#[test]
fn a_second_channel_tells_outcomes_lists_and_what_ran() {
    let mut task = mail_task("Hi");
    let list = PLAIN.show_list(&[task.clone(), task.clone()]);
    assert!(list.text.starts_with("CALLS WAIT FOR YOU: 2\nASKS: 'claude-code 2.1.328'"), "{}", list.text);
    assert!(list.text.contains("1. 2 × 'gmail/send_email'\nTo: 'bob@example.org'"), "{}", list.text);
    assert!(list.text.ends_with("(1) 🔎 Look through\n(2) ❌ Deny all…"), "{}", list.text);
    let decides = |action: &ButtonAction| !matches!(action, ButtonAction::Show(_));
    assert!(!list.choices.iter().any(decides), "a list decides nothing by itself");
    task.state = TaskState::Denied;
    let told = PLAIN.show_outcome(&task, RecordedDecision { by: DecidedBy::Terminal, at: task.asked });
    assert!(told.starts_with("DENIED at the terminal, '14:00 +01'\n'gmail/send_email'"), "{told}");
    let ran = ActivitySummary { counts: vec![(CallFate::Ran, task.call.tool.clone(), 3)], others: 0 };
    let policy = Policy::default();
    let now = portero::clock::Clock::now(&portero::clock::TestClock::at(task.asked));
    let rules = rules_by_tool(&ran, &policy, now);
    let notice = with_choices(plain_text(&ran.message_text(&rules)), button_rows(&rules, None));
    assert_eq!(
        notice.text,
        "RAN WITHOUT ASKING\n3 × 'gmail/send_email'\n(1) ✋ Ask: gmail/send_email\n(2) ⛔ Deny: gmail/send_email"
    );
}
