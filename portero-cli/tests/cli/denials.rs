//! A no to exactly one call, against older and newer words, from the terminal to the agent's call.

#![cfg(unix)]

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

fn mail(subject: &str) -> Value {
    json!({"to": "a@b.test", "subject": subject, "body": "y"})
}

fn await_session(world: &TestHome) {
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
}

/// Asks for this mail, and gives the task that waits.
fn ask_for_mail(agent: &mut Agent, subject: &str) -> String {
    let pending = agent.call_tool("office__send_mail", &mail(subject));
    pending["result"]["structuredContent"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("{pending}"))
        .to_owned()
}

fn assert_refused(agent: &mut Agent, subject: &str) {
    let refused = agent.call_tool("office__send_mail", &mail(subject)).to_string();
    assert!(refused.contains("said no to exactly this call"), "{refused}");
    assert!(refused.contains("never to them"), "the reason reaches the agent: {refused}");
}

#[test]
fn a_no_holds_against_an_older_grant_and_a_newer_one_lifts_it() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    await_session(&world);
    let task = ask_for_mail(&mut agent, "denied");
    confirm_with_passphrase(&world, &["grant", "office/send_mail", "30m"], "runs unasked for 30m");
    assert_eq!(world.run(&["reject", &task, "--reason", "never to them"]).code, 0);
    assert_refused(&mut agent, "denied");
    let other = agent.call_tool("office__send_mail", &mail("other"));
    assert!(result_text(&other).contains("sent"), "the grant permits every other call: {other}");

    // A daemon that starts anew knows it, and so does a session that connects again.
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    agent.close();
    let mut agent = Agent::connect(&world, &[]);
    await_session(&world);
    assert_refused(&mut agent, "denied");
    assert_eq!(world.received_calls().len(), 1);

    confirm_with_passphrase(&world, &["grant", "office/send_mail", "10m"], "runs unasked for 10m");
    let sent = agent.call_tool("office__send_mail", &mail("denied"));
    assert!(result_text(&sent).contains("sent"), "the later word is a yes: {sent}");
    assert_eq!(world.received_calls().len(), 2);
}

#[test]
fn a_no_holds_against_an_older_rule_and_against_the_files_without_the_daemon() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    await_session(&world);
    let task = ask_for_mail(&mut agent, "denied");
    confirm_with_passphrase(&world, &["allow", "office/send_mail"], "is allowed");
    assert_eq!(world.run(&["reject", &task, "--reason", "never to them"]).code, 0);
    assert_refused(&mut agent, "denied");
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    // The file of denies has it too, so a session without the daemon refuses it by itself.
    assert_refused(&mut agent, "denied");
    assert!(world.received_calls().is_empty());
}
