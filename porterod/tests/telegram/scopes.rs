//! What a person permits beside a call, from the menu of its card: each scope is shown before it is confirmed, and
//! covers no more than was shown.

use std::time::Duration;

use portero::ipc::ForwardedCall;
use portero::ipc::requests::overrides::{CreateRule, RevokeGrants};
use portero::ipc::{GrantSelection, IpcClient};
use portero::policy::{Action, ArgumentLimit, Grant};
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use crate::fake_telegram::{FakeTelegram, ShownMessage};
use crate::fake_user::{BURST_PAUSE, FakeUser, button_labels, callback_data, passphrase_challenge};
use crate::fixture::{ADA, JANE, WAIT_TIMEOUT};

const EXACT: &str = "This exact call, in this session…";
const FIELDS: &str = "Calls with the same fields…";
const CONTINUE: &str = "Continue…";
const CONFIRM_HOUR: &str = "✅ Yes, approve and allow for 1 h";
const CONFIRM_SESSION: &str = "✅ Yes, approve and allow in this session";
const CONFIRM_ALWAYS: &str = "✅ Yes, approve and always allow";

/// Jane, with a server of all sessions: the daemon itself makes the agent's calls, or asks.
async fn user_with(policies: Value) -> FakeUser {
    FakeUser::with_shared_server(policies).await
}

/// Opens a button of the menu below a task's card, and returns the view with this button.
async fn open(user: &FakeUser, task: &Task, words: &str, wanted: &str) -> ShownMessage {
    user.press_button(task, "More…").await;
    user.press_button(task, words).await;
    user.wait_for_card_with(task, wanted).await
}

/// Confirms, and returns the outcome once the call ran.
async fn confirm(user: &FakeUser, task: &Task, words: &str) -> ShownMessage {
    assert!(user.fetch_overrides().await.grants.is_empty(), "choosing permits nothing");
    let told = user.press_button(task, words).await;
    assert_eq!(told, "Approved. The card says what runs without asking from now on, and how to end it.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_outcome_with(task, "with /").await
}

async fn only_grant(user: &FakeUser) -> Grant {
    let mut grants = user.fetch_overrides().await.grants;
    assert_eq!(grants.len(), 1, "{grants:?}");
    grants.remove(0)
}

/// Whether a call runs without a question.
async fn runs(user: &FakeUser, session: &IpcClient, tool: &str, arguments: &Value) -> bool {
    match user.forward_call(session, tool, arguments).await {
        ForwardedCall::Result(_) => true,
        ForwardedCall::Waiting(_) => false,
        ForwardedCall::Joined(task) => panic!("it joins {}, and each call here is another one", task.id),
        ForwardedCall::Error(error) => panic!("{}", error.get().get()),
    }
}

/// The task of a call that asks.
async fn ask(user: &FakeUser, session: &IpcClient, tool: &str, arguments: &Value) -> Task {
    user.fixture.clock.advance(BURST_PAUSE);
    match user.forward_call(session, tool, arguments).await {
        ForwardedCall::Waiting(task) => *task,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn this_exact_call_runs_unasked_in_its_session_and_no_other_call_does() {
    let user = user_with(json!({})).await;
    let (session, other) = (user.connect().await, user.connect().await);
    let call = json!({"text": "hello John Doe"});
    let task = ask(&user, &session, "send", &call).await;
    let view = open(&user, &task, EXACT, CONFIRM_SESSION).await;
    assert!(view.text.contains("Exactly this call of notes/send"), "{}", view.text);
    assert!(
        view.text.contains("alone, for at most 1 d from your tap. End it sooner with /revoke"),
        "{}",
        view.text
    );
    assert!(view.text.contains("notes/send  asks now → such calls would run unasked"), "{}", view.text);
    assert!(view.text.contains("hello John Doe"), "the call itself is shown: {}", view.text);
    let outcome = confirm(&user, &task, CONFIRM_SESSION).await;
    let grant = only_grant(&user).await;
    assert!(outcome.text.contains(&format!("grant {}", grant.id)), "{}", outcome.text);
    assert_eq!((grant.pattern.as_str(), grant.limits.session), ("notes/send", Some(task.origin.session)));
    assert!(matches!(grant.limits.arguments, Some(ArgumentLimit::ExactCall(_))), "{grant:?}");
    assert!(runs(&user, &session, "send", &call).await);
    assert!(!runs(&user, &session, "send", &json!({"text": "hello"})).await);
    assert!(!runs(&user, &session, "send", &json!({"text": "hello John Doe", "more": 1})).await);
    assert!(!runs(&user, &session, "erase", &call).await);
    assert!(!runs(&user, &other, "send", &call).await, "another session asks");
    assert_eq!(user.received_texts(), ["hello Jane Roe", "hello Jane Roe"]);
}

#[tokio::test]
async fn fields_are_chosen_one_by_one_and_only_those_are_fixed() {
    let user = user_with(json!({})).await;
    let session = user.connect().await;
    let call = |channel: &str, text: &str| json!({"text": text, "channel": channel, "urgent": true});
    let task = ask(&user, &session, "send", &call("C1", "one")).await;
    let view = open(&user, &task, FIELDS, CONTINUE).await;
    assert!(view.text.starts_with("Which fields must be the same?\nnotes/send"), "{}", view.text);
    let labels =
        ["☑ 1 channel", "☐ 2 text", "☐ 3 urgent", "● 10 min", "○ 1 h", "○ session", CONTINUE, "Back"];
    assert_eq!(button_labels(&view), labels);
    user.press_button(&task, "☐ 3 urgent").await;
    user.wait_for_card_with(&task, "☑ 3 urgent").await;
    user.press_button(&task, "☑ 1 channel").await;
    user.wait_for_card_with(&task, "☐ 1 channel").await;
    user.press_button(&task, "☑ 3 urgent").await;
    let view = user.wait_for_card_with(&task, "☐ 1 channel").await;
    let is_empty = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|shown| shown.id == view.id)?;
        let asks = shown.text.contains("Mark at least one field.");
        (asks && !button_labels(&shown).contains(&CONTINUE.to_owned())).then_some(())
    };
    user.telegram().wait_until("no field is chosen", is_empty).await;
    user.press_button(&task, "☐ 1 channel").await;
    user.wait_for_card_with(&task, "☑ 1 channel").await;
    user.press_button(&task, "☐ 3 urgent").await;
    user.wait_for_card_with(&task, "☑ 3 urgent").await;
    user.press_button(&task, "○ 1 h").await;
    user.wait_for_card_with(&task, "● 1 h").await;
    user.press_button(&task, CONTINUE).await;
    let view = user.wait_for_card_with(&task, CONFIRM_HOUR).await;
    let sentence = "Every call of notes/send with channel = C1 and urgent = true, whatever else it says, will run \
                    without asking you, in every session, for 1 h from your tap.";
    assert!(view.text.contains(sentence), "{}", view.text);
    user.press_button(&task, "Back").await;
    user.wait_for_card_with(&task, "☑ 3 urgent").await;
    user.press_button(&task, CONTINUE).await;
    let outcome = confirm(&user, &task, CONFIRM_HOUR).await;
    assert!(outcome.text.contains(r#"only with channel = "C1", urgent = true"#), "{}", outcome.text);
    let grant = only_grant(&user).await;
    assert_eq!((grant.pattern.as_str(), grant.millis, grant.limits.session), ("notes/send", 3_600_000, None));
    assert!(runs(&user, &session, "send", &call("C1", "another")).await);
    assert!(runs(&user, &session, "send", &json!({"channel": "C1", "urgent": true, "text": "x"})).await);
    assert!(!runs(&user, &session, "send", &call("C2", "one")).await);
    assert!(!runs(&user, &session, "send", &json!({"channel": "C1", "text": "one"})).await);
    assert!(!runs(&user, &session, "send", &json!({"channel": "C1", "urgent": "true", "text": "one"})).await);
}

#[tokio::test]
async fn a_tool_is_permitted_for_a_time_or_for_its_session() {
    for (button, label, millis, is_for_session) in [
        ("Tool 10 min…", "✅ Yes, approve and allow for 10 min", 600_000, false),
        ("Tool 1 h…", CONFIRM_HOUR, 3_600_000, false),
        ("Tool session…", CONFIRM_SESSION, 24 * 3_600_000, true),
    ] {
        let user = user_with(json!({})).await;
        let (session, other) = (user.connect().await, user.connect().await);
        let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
        let view = open(&user, &task, button, label).await;
        assert!(view.text.contains("Every call of notes/send, whatever it says"), "{}", view.text);
        confirm(&user, &task, label).await;
        let grant = only_grant(&user).await;
        assert_eq!((grant.pattern.as_str(), grant.millis), ("notes/send", millis), "{button}");
        assert_eq!(grant.limits.session, is_for_session.then_some(task.origin.session), "{button}");
        assert!(runs(&user, &session, "send", &json!({"text": "two"})).await, "{button}");
        assert_eq!(runs(&user, &other, "send", &json!({"text": "3"})).await, !is_for_session, "{button}");
        assert!(!runs(&user, &session, "erase", &json!({"text": "two"})).await, "{button}");
    }
}

#[tokio::test]
async fn what_only_reads_is_permitted_by_policys_own_list() {
    let user = user_with(json!({"reads": ["notes/read", "notes/send"]})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    let view = open(&user, &task, "Reads 1 h…", CONFIRM_HOUR).await;
    assert!(view.text.contains("Every call of a tool in notes/* that only reads, by reads in policies.json"));
    for tool in ["notes/read", "notes/send"] {
        assert!(view.text.contains(&format!("{tool}  asks now → would run unasked")), "{}", view.text);
    }
    assert!(!view.text.contains("notes/erase"), "{}", view.text);
    confirm(&user, &task, CONFIRM_HOUR).await;
    let grant = only_grant(&user).await;
    assert!(grant.limits.reads_only && grant.pattern.as_str() == "notes/*", "{grant:?}");
    assert!(runs(&user, &session, "read", &json!({"text": "two"})).await);
    assert!(!runs(&user, &session, "erase", &json!({"text": "two"})).await);
    // A tool that policy does not list as reading has no such button.
    let task = ask(&user, &session, "erase", &json!({"text": "three"})).await;
    user.press_button(&task, "More…").await;
    let menu = user.wait_for_card_with(&task, "Less").await;
    assert!(
        !button_labels(&menu).iter().any(|label| label.starts_with("Reads")),
        "{:?}",
        button_labels(&menu)
    );
}

#[tokio::test]
async fn always_stays_until_the_command_that_the_outcome_names() {
    let user = user_with(json!({})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    let view = open(&user, &task, "Always allow this tool…", CONFIRM_ALWAYS).await;
    assert!(view.text.contains("from now on. It stays until you end it with /unrule"), "{}", view.text);
    let outcome = confirm(&user, &task, CONFIRM_ALWAYS).await;
    let rule = user.fetch_overrides().await.rules.remove(0);
    assert_eq!((rule.pattern.as_str(), rule.action), ("notes/send", Action::Allow));
    let command = format!("/unrule {}", rule.id);
    assert!(outcome.text.contains(&format!("It stays until you end it with {command}")), "{}", outcome.text);
    assert!(runs(&user, &session, "send", &json!({"text": "two"})).await);
    user.fixture.say_and_wait(&command).await;
    assert!(!runs(&user, &session, "send", &json!({"text": "three"})).await);
}

#[tokio::test]
async fn a_button_of_a_view_that_was_left_permits_nothing() {
    let user = user_with(json!({})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    let view = open(&user, &task, "Tool 1 h…", CONFIRM_HOUR).await;
    let confirms = callback_data(&view, CONFIRM_HOUR);
    user.press_button(&task, "Back").await;
    user.wait_for_card_with(&task, EXACT).await;
    let stale = user.telegram().press_data(JANE, view.id, &confirms);
    assert!(user.wait_for_answer(&stale).await.contains("Nothing was changed"));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(user.fetch_overrides().await.grants.is_empty());
    // Of a press that is repeated, one counts.
    user.press_button(&task, "Tool 1 h…").await;
    let view = user.wait_for_card_with(&task, CONFIRM_HOUR).await;
    let confirms = callback_data(&view, CONFIRM_HOUR);
    let presses: Vec<_> = (0..20).map(|_| user.telegram().press_data(JANE, view.id, &confirms)).collect();
    let mut counted = 0;
    for press in &presses {
        counted += usize::from(user.wait_for_answer(press).await.starts_with("Approved."));
    }
    assert_eq!(counted, 1);
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    only_grant(&user).await;
    assert_eq!(user.received_texts(), ["one"]);
}

#[tokio::test]
async fn what_would_permit_something_else_by_now_is_shown_again() {
    let user = user_with(json!({"reads": ["notes/read", "notes/send"]})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    let view = open(&user, &task, "Reads 1 h…", CONFIRM_HOUR).await;
    let (pattern, challenge) = ("notes/read".parse().unwrap(), Some(passphrase_challenge()));
    user.fixture
        .request(CreateRule { pattern, action: Action::Allow, run_waiting: Vec::new(), challenge })
        .await
        .unwrap();
    let confirms = callback_data(&view, CONFIRM_HOUR);
    let press = user.telegram().press_data(JANE, view.id, &confirms);
    let told = user.wait_for_answer(&press).await;
    assert!(
        told.starts_with("What this would allow has changed since you were shown it. Nothing was approved")
    );
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    let changed = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|shown| shown.id == view.id)?;
        (!shown.text.contains("notes/read  asks now")).then_some(())
    };
    user.telegram().wait_until("what it would permit now", changed).await;
    confirm(&user, &task, CONFIRM_HOUR).await;
}

#[tokio::test]
async fn one_who_decides_may_confirm_what_another_chose() {
    let user = FakeUser::in_group_with_shared_server().await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one", "channel": "C1"})).await;
    user.press_button_as(JANE, &task, "More…").await;
    user.press_button_as(ADA, &task, FIELDS).await;
    let view = user.wait_for_card_with(&task, CONTINUE).await;
    let old_hour = callback_data(&view, "○ 1 h");
    user.press_button_as(JANE, &task, "☐ 2 text").await;
    user.wait_for_card_with(&task, "☑ 2 text").await;
    // What Ada still sees would take Jane's choice back.
    let stale = user.telegram().press_data_in(ADA, user.chat, view.id, &old_hour);
    assert!(user.wait_for_answer(&stale).await.contains("Nothing was changed"));
    user.press_button_as(ADA, &task, "○ 1 h").await;
    user.wait_for_card_with(&task, "● 1 h").await;
    user.press_button_as(JANE, &task, CONTINUE).await;
    let view = user.wait_for_card_with(&task, CONFIRM_HOUR).await;
    assert!(view.text.contains("with channel = C1 and text = one, whatever else it says"), "{}", view.text);
    user.press_button_as(ADA, &task, CONFIRM_HOUR).await;
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let grant = only_grant(&user).await;
    let outcome = user.wait_for_outcome_with(&task, &format!("End it with /revoke {}", grant.id)).await;
    assert!(outcome.text.starts_with("Approved by telegram user 502"), "{}", outcome.text);
}

#[tokio::test]
async fn a_call_that_is_approved_once_only_offers_no_scope() {
    let offered = |card: &ShownMessage| {
        let labels = button_labels(card);
        assert!(labels.contains(&"Always deny this tool".to_owned()), "{labels:?}");
        labels.iter().filter(|label| label.ends_with('…') || label.contains(" of notes")).count()
    };
    let user = user_with(json!({"locked": ["notes/*"], "reads": ["notes/*"]})).await;
    let session = user.connect().await;
    let locked = ask(&user, &session, "send", &json!({"text": "one"})).await;
    user.press_button(&locked, "More…").await;
    assert_eq!(offered(&user.wait_for_card_with(&locked, "Less").await), 0);
    let mut several = FakeUser::home_with_quorum().await;
    let quorum = several.submit_call("one").await;
    several.press_button(&quorum, "More…").await;
    assert_eq!(offered(&several.wait_for_card_with(&quorum, "Less").await), 0);
}

#[tokio::test]
async fn a_view_goes_back_to_the_card_when_its_tool_is_locked_meanwhile() {
    let user = user_with(json!({})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    let view = open(&user, &task, "Tool 1 h…", CONFIRM_HOUR).await;
    let loaded = user.fixture.config_reload_count();
    user.fixture.write_config("policies.json", &json!({"locked": ["notes/*"]}).to_string());
    let locked = async {
        while user.fixture.config_reload_count() == loaded {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, locked).await.expect("in time");
    let press = user.telegram().press_data(JANE, view.id, &callback_data(&view, CONFIRM_HOUR));
    assert!(user.wait_for_answer(&press).await.contains("locks this tool"));
    user.fixture.say_and_wait("/pending").await;
    let card = user.wait_for_card_with(&task, "More…").await;
    assert_eq!(button_labels(&card), ["✅ Approve", "❌ Deny", "More…"]);
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(user.fetch_overrides().await.grants.is_empty());
}

#[tokio::test]
async fn what_a_tap_permitted_is_revoked_as_any_grant() {
    let user = user_with(json!({})).await;
    let session = user.connect().await;
    let task = ask(&user, &session, "send", &json!({"text": "one"})).await;
    open(&user, &task, "Tool 1 h…", CONFIRM_HOUR).await;
    confirm(&user, &task, CONFIRM_HOUR).await;
    user.fixture.request(RevokeGrants { which: GrantSelection::All }).await.unwrap();
    assert!(!runs(&user, &session, "send", &json!({"text": "two"})).await);
}
