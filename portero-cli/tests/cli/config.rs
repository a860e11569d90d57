//! An edit of the configuration that widens waits for a person, in sessions too, with the daemon and without.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;

use portero::approved_config::{self, ApprovedConfig};
use portero::store_identity::StoreId;
use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::crash::kill_daemon;
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

pub(crate) fn wait_for_unconfirmed(world: &TestHome) {
    eventually("the edit waits", || {
        (world.json(&["status"])["config_waits"].as_u64().unwrap() > 0).then_some(())
    });
}

fn sample_mail(body: &str) -> Value {
    json!({"to": "a@b.test", "subject": "x", "body": body})
}

fn is_pending(answer: &Value) -> bool {
    answer["result"]["structuredContent"]["status"] == "pending-approval"
}

fn is_refused(answer: &Value) -> bool {
    answer["result"]["isError"] == true
}

#[test]
fn an_agent_that_allows_itself_everything_is_still_asked_about_until_the_person_confirms() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    world
        .write("policies.json", &json!({"policies": {"office/read_mail": "deny"}, "defaultPolicy": "allow"}));
    wait_for_unconfirmed(&world);
    eventually("what narrows is in force in the session", || {
        is_refused(&agent.call_tool("office__read_mail", &json!({"id": 1}))).then_some(())
    });
    assert!(is_refused(&agent.call_tool("office__delete_mail", &json!({"id": 1}))));
    assert!(is_pending(&agent.call_tool("office__send_mail", &sample_mail("first"))));

    kill_daemon(&world);
    eventually("it asks after the kill too", || {
        let answer = agent.call_tool("office__send_mail", &sample_mail("second"));
        assert!(is_pending(&answer) || is_refused(&answer), "{answer}");
        is_pending(&answer).then_some(())
    });
    assert!(is_refused(&agent.call_tool("office__delete_mail", &json!({"id": 1}))));
    let told = world.run(&["check"]).stderr;
    assert!(told.contains("not in force") && told.contains("portero config confirm"), "{told}");
    let diff = world.run(&["config", "diff"]).stdout;
    assert!(diff.contains("`defaultPolicy`: require-approval → allow"), "{diff}");
    assert!(diff.contains("office/delete_mail  DENIED now → allow"), "{diff}");

    let shown =
        confirm_with_passphrase(&world, &["config", "confirm"], "confirmed; the configuration is in force");
    assert!(shown.contains("`defaultPolicy`: require-approval → allow"), "{shown}");
    eventually("what was confirmed is in force in the session", || {
        (!is_pending(&agent.call_tool("office__send_mail", &sample_mail("third")))).then_some(())
    });
    assert!(world.run(&["config", "diff"]).stdout.contains("in force as it is"));
}

/// A program that shows that it was started.
fn telltale_program(world: &TestHome) -> (std::path::PathBuf, std::path::PathBuf) {
    let (program, ran) = (world.path("tell-tale"), world.path("ran"));
    std::fs::write(&program, format!("#!/bin/sh\necho ran >> '{}'\n", ran.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    (program, ran)
}

#[test]
fn a_session_never_starts_a_program_that_nobody_confirmed() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let (program, ran) = telltale_program(&world);
    let text_of = std::fs::read_to_string(world.path("config").join("mcps.json")).unwrap();
    let mut edited: Value = serde_json::from_str(&text_of).unwrap();
    edited["mcps"][0]["command"] = json!(program);
    edited["mcps"].as_array_mut().unwrap().push(json!({"name": "new", "command": program}));
    world.write("mcps.json", &edited);
    wait_for_unconfirmed(&world);
    for words in [&[][..], &["--no-start"]] {
        let mut agent = Agent::connect(&world, words);
        let listed = eventually("the configuration is read", || {
            let listed = agent.request("tools/list", &json!({})).to_string();
            listed.contains("office__read_mail").then_some(listed)
        });
        assert!(!listed.contains("new__"), "{listed}");
        result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
        if words.is_empty() {
            assert_eq!(world.run(&["daemon", "stop"]).code, 0);
        }
    }
    assert_eq!(world.run(&["doctor"]).code, 1, "one is not started");
    assert!(!ran.exists(), "it was started");
}

#[test]
fn without_the_daemon_a_session_goes_by_the_copy_and_by_nothing_where_that_is_gone() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    world.write("policies.json", &json!({"defaultPolicy": "allow"}));
    let mut agent = Agent::connect(&world, &["--no-start"]);
    assert!(is_refused(&agent.call_tool("office__delete_mail", &json!({"id": 1}))));
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));

    std::fs::remove_file(world.path("state/confirmed.json")).unwrap();
    let before = world.received_calls().len();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    for tool in ["office__read_mail", "office__delete_mail"] {
        let answer = agent.call_tool(tool, &json!({"id": 1}));
        assert!(is_refused(&answer) || answer.get("error").is_some(), "{answer}");
    }
    assert_eq!(world.received_calls().len(), before);
}

/// The store that sealed the configuration.
fn sealed_by(world: &TestHome) -> StoreId {
    approved_config::seal::read(&world.path("config/portero.seal")).unwrap().unwrap()
}

#[test]
fn a_session_whose_copy_is_not_the_daemon_s_goes_by_nothing_confirmed() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    approved_config::write_copy(
        &world.path("state/confirmed.json"),
        &sealed_by(&world),
        &ApprovedConfig::Open,
    )
    .unwrap();
    world.write("policies.json", &json!({"defaultPolicy": "allow"}));
    let mut agent = Agent::connect(&world, &[]);
    // What asks the daemon waits for it.
    agent.call_tool("portero__list_tasks", &json!({}));
    let before = world.received_calls().len();
    let answer = agent.call_tool("office__delete_mail", &json!({"id": 1}));
    assert!(is_refused(&answer) || answer.get("error").is_some(), "{answer}");
    assert_eq!(world.received_calls().len(), before);
}
