//! Whoever keeps editing the configuration floods neither a person nor the audit, and nothing is lost.

use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::WatchTasks;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{PushMessage, TaskChanges};
use portero::notice::{ConfigAdoption, Notice};
use portero::policy::Action;
use porterod::approved_config::recent_edits::GATHER_INTERVAL;
use serde_json::{Value, json};

use crate::support::{Home, Session, TEST_TIMEOUT, Terminal, challenge, wait_until};

/// Writes a file, and waits until the daemon went by it.
async fn edit_policies(home: &Home, session: &mut Session, policies: &Value) {
    home.write("policies.json", policies);
    session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
}

/// One that allows more than is confirmed.
fn wide_policies(number: u32) -> Value {
    json!({"policies": {"notes/erase": "deny", (format!("notes/tool_{number}")): "allow"}})
}

/// The acts about the configuration, and how often it was recorded.
fn recorded_edits(home: &Home) -> (Vec<String>, usize) {
    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let (mut acts, mut configs) = (Vec::new(), 0);
    for entry in log.entries {
        match entry.record.event {
            AuditEvent::Act { act, about, .. } if act.starts_with("config ") => {
                acts.push(format!("{act}: {about}"))
            }
            AuditEvent::Config { .. } => configs += 1,
            _ => {}
        }
    }
    (acts, configs)
}

async fn outbox_position(person: &Terminal) -> u64 {
    watch_from(person, None).await.place
}

async fn watch_from(person: &Terminal, after: Option<u64>) -> TaskChanges {
    match person.request(WatchTasks { after }).await {
        Ok(watched) => watched,
        other => panic!("{other:?}"),
    }
}

/// What people were told of the configuration since, until that is so much.
async fn wait_for_edits(person: &Terminal, mut place: u64, count: usize) -> Vec<(ConfigAdoption, u64)> {
    let mut told = Vec::new();
    let telling = async {
        while told.len() < count {
            let next = watch_from(person, Some(place)).await;
            place = next.place;
            told.extend(next.entries.into_iter().filter_map(|entry| match entry.notice {
                Notice::Config { became, edits, .. } => Some((became, edits)),
                _ => None,
            }));
        }
    };
    tokio::time::timeout(2 * TEST_TIMEOUT, telling).await.expect("told in time");
    told
}

#[tokio::test]
async fn edits_that_wait_one_after_the_other_are_told_and_recorded_together() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let begin = outbox_position(&person).await;
    let configs = recorded_edits(&home).1;
    for number in 0..8 {
        edit_policies(&home, &mut session, &wide_policies(number)).await;
    }
    let (acts, now) = recorded_edits(&home);
    let waits: Vec<_> = acts.iter().filter(|act| act.starts_with("config waits")).collect();
    assert!(waits.len() == 1 && waits[0].contains("tool_0"), "the first, at once: {acts:?}");
    assert_eq!(now - configs, 1);
    home.clock.advance(GATHER_INTERVAL);
    assert_eq!(
        wait_for_edits(&person, begin, 2).await,
        [(ConfigAdoption::Waits, 1), (ConfigAdoption::Waits, 7)]
    );
    let (acts, _) = recorded_edits(&home);
    let last = acts.last().unwrap();
    assert!(last.starts_with("config waits: 7 edits one after the other (policies.json 7 times)"), "{last}");
    assert!(last.contains("tool_7"), "what waits now stands there: {last}");
    app.shutdown().await;
}

#[tokio::test]
async fn what_led_to_a_configuration_is_on_record_before_it_is_confirmed() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for number in 0..4 {
        edit_policies(&home, &mut session, &wide_policies(number)).await;
    }
    let Ok(waiting) = person.request(GetConfigChanges).await else { panic!("what waits") };
    let confirm = ConfirmConfig { shown: waiting.shown, challenge: challenge() };
    person.request(confirm).await.unwrap();
    let (acts, _) = recorded_edits(&home);
    let [.., before, last] = &acts[..] else { panic!("{acts:?}") };
    assert!(before.contains("3 edits one after the other") && before.contains("tool_3"), "{before}");
    assert!(last.starts_with("config confirm"), "{last}");
    app.shutdown().await;
}

#[tokio::test]
async fn what_was_taken_back_is_on_record_and_nobody_is_told_that_it_waits() {
    let home = Home::new();
    home.write("policies.json", &json!({"policies": {"notes/erase": "deny"}}));
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let begin = outbox_position(&person).await;
    for number in 0..3 {
        edit_policies(&home, &mut session, &wide_policies(number)).await;
    }
    edit_policies(&home, &mut session, &json!({"policies": {"notes/erase": "deny"}})).await;
    home.clock.advance(GATHER_INTERVAL);
    let gathered =
        async || recorded_edits(&home).0.iter().any(|act| act.contains("2 edits one after the other"));
    wait_until("they are recorded", gathered).await;
    assert_eq!(
        wait_for_edits(&person, begin, 2).await,
        [(ConfigAdoption::Waits, 1), (ConfigAdoption::Adopted, 1)]
    );
    person.rule("a/b", Action::Deny).await.unwrap();
    let last = watch_from(&person, Some(begin)).await.entries;
    let configs = last.iter().filter(|entry| matches!(entry.notice, Notice::Config { .. })).count();
    assert_eq!(configs, 2, "{last:?}");
    app.shutdown().await;
}

#[tokio::test]
async fn edits_that_change_nothing_are_gathered_and_what_narrows_among_them_holds_and_is_recorded_at_once() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let present: Value =
        serde_json::from_str(&std::fs::read_to_string(home.path_of("config").join("policies.json")).unwrap())
            .unwrap();
    let spaced = |blanks: usize| format!("{present}{}", " ".repeat(blanks));
    let begin = outbox_position(&person).await;
    for blanks in 1..6 {
        std::fs::write(home.path_of("config").join("policies.json"), spaced(blanks)).unwrap();
        session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
    }
    let adopted =
        |home: &Home| recorded_edits(home).0.iter().filter(|act| act.starts_with("config adopt")).count();
    assert_eq!(adopted(&home), 1);
    edit_policies(&home, &mut session, &json!({"defaultPolicy": "deny"})).await;
    assert_eq!(person.why("notes/send").await.decision.action, Action::Deny);
    assert_eq!(adopted(&home), 2, "{:?}", recorded_edits(&home));
    home.clock.advance(GATHER_INTERVAL);
    assert_eq!(
        wait_for_edits(&person, begin, 2).await,
        [(ConfigAdoption::Adopted, 1), (ConfigAdoption::Adopted, 5)]
    );
    app.shutdown().await;
}

#[tokio::test]
async fn what_is_gathered_when_the_daemon_ends_is_recorded() {
    let home = Home::new();
    let app = home.start().await;
    let (_person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for number in 0..3 {
        edit_policies(&home, &mut session, &wide_policies(number)).await;
    }
    app.shutdown().await;
    let (acts, _) = recorded_edits(&home);
    assert!(acts.last().unwrap().contains("2 edits one after the other"), "{acts:?}");
}
