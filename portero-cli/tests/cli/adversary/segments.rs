//! Through the audit: what looks like a session's records and is none's that this daemon knows.

use std::time::Duration;

use jiff::Timestamp;
use portero::audit::{AuditEvent, AuditRecord, AuditWriter};
use portero::clock::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::test_support::{TestHome, eventually_within};

/// The daemon gives a session a minute and a half to greet, and looks every ten seconds.
const UNTIL_TOLD: Duration = Duration::from_secs(180);

/// A call that never was, for this reason.
fn forge(world: &TestHome, reason: &str) -> AuditWriter {
    let audit = world.path("state/audit");
    let segment = AuditWriter::open(&audit, "portero 0.1.0", SystemClock.now()).unwrap();
    let event = AuditEvent::Intent {
        call: 1,
        tool: "office/delete_mail".parse().unwrap(),
        reason: reason.to_owned(),
        task: None,
        arguments: None,
    };
    segment
        .append(&AuditRecord { at: Timestamp::now(), session: None, principal: None, address: None, event })
        .unwrap();
    segment
}

fn alarms(world: &TestHome) -> Vec<String> {
    let status = world.json(&["status"]);
    let alarms = status["alarms"].as_array().unwrap().iter();
    alarms.map(|alarm| alarm[1].as_str().unwrap().to_owned()).collect()
}

fn alarm(world: &TestHome, words: &str) -> String {
    eventually_within(UNTIL_TOLD, words, || alarms(world).into_iter().find(|alarm| alarm.contains(words)))
}

/// The people at the terminal find it in both places.
fn is_told(world: &TestHome, alarm: &str) {
    let status = world.run(&["status"]).stdout;
    assert!(status.lines().any(|line| line.starts_with("alarm ") && line.contains(alarm)), "{status}");
    let logs = world.run(&["logs"]).stdout;
    assert!(logs.lines().any(|line| line.contains("  ALARM ") && line.contains(alarm)), "{logs}");
}

#[test]
fn records_that_cite_a_rule_or_a_grant_that_never_was_raise_an_alarm_in_the_status_and_in_the_audit() {
    let world = TestHome::with_office();
    world.json(&["daemon", "start"]);
    world.json(&["deny", "office/search_mail"]);
    assert_eq!(alarms(&world), [""; 0]);
    for (reason, source) in
        [("allowed by `office/*` (rule 7)", "rule 7"), ("allowed by `office/*` (grant 9)", "grant 9")]
    {
        let forged = forge(&world, reason);
        let words = format!("segment {} cites {source}", forged.checkpoint().segment);
        let told = alarm(&world, &words);
        assert!(told.starts_with("calls ran by rules or grants that were never in force here"), "{told}");
        is_told(&world, &words);
    }
}

/// This takes as long as a session has to greet.
#[test]
fn records_of_a_session_that_never_greeted_raise_an_alarm_and_those_of_one_that_was_killed_at_once_none() {
    let world = TestHome::with_office();
    world.json(&["daemon", "start"]);
    // Each is killed with its first answer, before its own connection is made; one shakes no hands at all.
    for hello in [true, true, true, false] {
        let mut agent = if hello { Agent::connect(&world, &[]) } else { Agent::start(&world, &[]) };
        let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
        kill_process(Pid::from_child(&agent.child), Signal::KILL).unwrap();
        result_text(&answer);
    }
    assert_eq!(world.received_calls().len(), 4);
    let forged = forge(&world, "allowed by `office/*` (policies.json:1:2)");
    let words = format!("never greeted this daemon: segment {};", forged.checkpoint().segment);
    alarm(&world, &words);
    is_told(&world, &words);
    let told = alarms(&world);
    assert_eq!(told.len(), 1, "no other segment is named: {told:?}");
}
