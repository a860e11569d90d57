//! Tasks for the tests of every channel, and a second channel: what it costs is seen here.

use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use super::buttons::{ButtonRows, CardMode, CardState, card_buttons, list_buttons};
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
        let card =
            with_context(|view| Card::new(&InspectedTask { task: task.clone(), hints, loss: None }, view));
        let whole = plain_text(&card.text());
        let fits = card.call.is_some() && whole.chars().count() <= self.max_chars;
        let text = if fits { whole } else { plain_text(&card.head_text()) };
        let document = (!fits).then(|| call_document(task));
        let state = CardState {
            page: 0,
            pages: 1,
            must_read: !fits && !was_read,
            is_lost: false,
            can_permit: true,
            max_grant_minutes: 60,
            mode,
        };
        let message = with_choices(text, card_buttons(task.id, &state));
        PlainMessage { attachment: document.map(|document| (document.name, document.bytes)), ..message }
    }

    fn show_outcome(&self, task: &Task, decided: RecordedDecision) -> String {
        let text = with_context(|view| outcome_text(task, decided, view));
        plain_text(&text.truncated(self.max_chars, usize::MAX).0)
    }

    fn show_list(&self, tasks: &[Task]) -> PlainMessage {
        let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
        with_choices(plain_text(&with_context(|view| views::list_text(tasks, view))), list_buttons(&ids))
    }
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
    (3) ✅ Approve + 10 min
    (4) ✅ Approve + 1 h
    (5) More…
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
    assert!(
        list.text.starts_with("CALLS WAIT FOR YOU: 2, by tool:\n2 × 'gmail/send_email'"),
        "{}",
        list.text
    );
    assert!(
        list.text.ends_with("(1) Show 1b0a9e8f\n(2) Show 1b0a9e8f\n(3) ❌ Deny all of these"),
        "{}",
        list.text
    );
    task.state = TaskState::Denied;
    let told = PLAIN.show_outcome(&task, RecordedDecision { by: DecidedBy::Terminal, at: task.asked });
    assert!(told.starts_with("DENIED at the terminal, '14:00 +01'\n'gmail/send_email'"), "{told}");
    let ran = ActivitySummary { counts: vec![(CallFate::Ran, task.call.tool.clone(), 3)], others: 0 };
    let policy = portero::policy::Policy::default();
    let now = portero::clock::Clock::now(&portero::clock::TestClock::at(task.asked));
    let rules = rules_by_tool(&ran, &policy, now);
    let notice = with_choices(plain_text(&ran.message_text(&rules)), button_rows(&rules, None));
    assert_eq!(
        notice.text,
        "RAN WITHOUT ASKING\n3 × 'gmail/send_email'\n(1) ✋ Ask: gmail/send_email\n(2) ⛔ Deny: gmail/send_email"
    );
}
