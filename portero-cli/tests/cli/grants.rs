//! Grants with limits, from the terminal to the agent's call.

#![cfg(unix)]

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

const SESSION_VARIABLE: &str = "CLAUDE_CODE_SESSION_ID";
const SESSION_ONE: &str = "5b0c2d1e-0000-4000-8000-00000000c1a0";
const SESSION_TWO: &str = "77d0a4f2-0000-4000-8000-00000000beef";

/// An agent whose program calls its session so.
fn connect_agent(world: &mut TestHome, session: &'static str) -> Agent {
    world.variables = vec![(SESSION_VARIABLE, session)];
    let agent = Agent::connect(world, &[]);
    eventually("the session is connected", || {
        let sessions = world.json(&["status"])["agent_sessions"].to_string();
        sessions.contains(session).then_some(())
    });
    agent
}

/// Whether a mail was sent without a question; else a person is asked.
fn is_sent_unasked(agent: &mut Agent, subject: &str) -> bool {
    let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
    let answer = agent.call_tool("office__send_mail", &mail);
    if answer["result"]["structuredContent"]["status"] == "pending-approval" {
        return false;
    }
    assert!(result_text(&answer).contains("sent"), "{answer}");
    true
}

fn first_grant(world: &TestHome) -> Value {
    world.json(&["rules"])["grants"][0].clone()
}

#[test]
fn a_grant_that_would_last_too_long_is_refused_before_the_passphrase_is_asked_for() {
    let world = TestHome::with_office();
    // No passphrase is set: it would be told of that first if it came so far.
    let said = world.run(&["grant", "office/*", "25h"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("at most 1d") && said.stderr.contains("grantMost"), "{}", said.stderr);
    for words in [&["--session", "beef"][..], &["--project", "gone"], &["--uses", "0"]] {
        let said = world.run(&[&["grant", "office/*", "1h"], words].concat());
        assert_ne!(said.code, 0);
        assert!(!said.stderr.contains("passphrase"), "{words:?}: {}", said.stderr);
    }
}

#[test]
fn a_grant_for_one_session_and_some_uses_holds_for_no_other_and_no_longer() {
    let mut world = TestHome::with_office();
    set_passphrase(&world);
    let mut other = connect_agent(&mut world, SESSION_TWO);
    let mut one = connect_agent(&mut world, SESSION_ONE);
    let words = ["grant", "office/send_mail", "30m", "--uses", "3", "--session", "c1a0"];
    let shown = confirm_with_passphrase(&world, &words, "runs unasked for 30m");
    assert!(shown.contains(&format!("Limited: only in session {SESSION_ONE}, 3 uses.")), "{shown}");
    assert!(!is_sent_unasked(&mut other, "other"), "it is another session's");
    assert!(is_sent_unasked(&mut one, "first"));
    for command in ["rules", "status"] {
        let told = world.run(&[command]).stdout;
        assert!(told.contains("2 of 3 uses left; only in session 5b0c2d1e"), "{command}: {told}");
    }
    // The agent's program starts `portero mcp` again.
    one.close();
    let mut again = connect_agent(&mut world, SESSION_ONE);
    for subject in ["second", "third", "fourth"] {
        let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
        again.send_request("tools/call", &json!({"name": "office__send_mail", "arguments": mail}));
    }
    // Which of them runs is open; what reached the server, and what waits, counts.
    eventually("all three are answered", || {
        let asked = world.json(&["pending"]).as_array().unwrap().len() == 2;
        (asked && world.received_calls().len() == 3).then_some(())
    });
    assert!(!is_sent_unasked(&mut again, "fifth"));
    let left = first_grant(&world);
    assert_eq!(
        (&left["uses_left"], &left["used"], &left["limits"]["uses"]),
        (&json!(0), &json!(3), &json!(3))
    );
    assert_eq!(left["limits"]["agent_session"], SESSION_ONE);
    assert_eq!(world.received_calls().len(), 3);
    let logs = world.run(&["logs"]).stdout;
    assert!(logs.contains("(grant 1)") && logs.contains("0 of 3 uses left"), "{logs}");
}

#[test]
fn a_grant_for_a_project_holds_in_it_alone_and_why_says_so() {
    let mut world = TestHome::with_office();
    set_passphrase(&world);
    confirm_with_passphrase(
        &world,
        &["grant", "office/send_mail", "30m", "--project", "."],
        "only in project",
    );
    let why = world.run(&["why", "office/send_mail"]).stdout;
    let whom = format!("holds only in project {}", world.path("project").canonicalize().unwrap().display());
    assert!(why.contains("office/send_mail: require-approval") && why.contains(&whom), "{why}");
    assert_eq!(world.json(&["why", "office/send_mail"])["elsewhere"][0]["id"], 1);
    assert!(is_sent_unasked(&mut connect_agent(&mut world, SESSION_ONE), "here"));
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = world.path("elsewhere").to_str().unwrap().to_owned().leak();
    world.variables = vec![("CLAUDE_PROJECT_DIR", elsewhere)];
    assert!(!is_sent_unasked(&mut Agent::connect(&world, &[]), "elsewhere"));
}

#[test]
fn a_grant_with_a_fixed_argument_holds_for_those_calls_and_is_listed_with_it() {
    let mut world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = connect_agent(&mut world, SESSION_ONE);
    let words =
        ["grant", "office/send_mail", "30m", "--with", "subject=weekly", "--with", "/to=\"a@b.test\""];
    let shown = confirm_with_passphrase(&world, &words, "runs unasked for 30m");
    let limit = r#"only with subject = "weekly", to = "a@b.test""#;
    assert!(shown.contains(&format!("Limited: {limit}.")), "{shown}");
    assert!(!shown.contains("it covers session"), "it is for everyone: {shown}");
    assert!(is_sent_unasked(&mut agent, "weekly"));
    assert!(!is_sent_unasked(&mut agent, "weekly "));
    assert!(world.run(&["rules"]).stdout.contains(limit));
    let why = world.run(&["why", "office/send_mail"]).stdout;
    assert!(why.contains("office/send_mail: require-approval"), "{why}");
    assert!(why.contains(&format!("grant 1 on `office/send_mail` holds {limit}")), "{why}");
    let logs = world.run(&["logs"]).stdout;
    assert!(logs.contains(limit), "{logs}");
    for (typed, problem) in [
        (&["--with", "subject"][..], "FIELD=VALUE"),
        (&["--with", "subject=[1]"], "only a text, a number"),
        (&["--with", "/a~=1"], "JSON Pointer"),
        (&["--with", "to=a", "--with", "/to=b"], "once only"),
    ] {
        let said = world.run(&[&["grant", "office/send_mail", "1h"], typed].concat());
        assert_eq!(said.code, 2, "{typed:?}: {}", said.stderr);
        assert!(said.stderr.contains(problem), "{typed:?}: {}", said.stderr);
    }
}

#[test]
fn a_grant_for_what_reads_covers_policys_own_list_and_an_addition_waits() {
    let mut world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = connect_agent(&mut world, SESSION_ONE);
    let shown =
        confirm_with_passphrase(&world, &["grant", "office/*", "30m", "--reads"], "runs unasked for 30m");
    assert!(shown.contains("Limited: only tools that policy lists as reading."), "{shown}");
    assert!(!is_sent_unasked(&mut agent, "nothing is listed"));
    let policies = json!({"office/send_mail": "require-approval", "office/delete_*": "deny"});
    world.write("policies.json", &json!({"policies": policies, "reads": ["office/send_*"]}));
    eventually("the edit is seen", || {
        let told = world.run(&["config", "diff"]).stdout;
        told.contains("`office/send_*` is listed as reading").then_some(())
    });
    assert!(!is_sent_unasked(&mut agent, "the list waits for a person"));
    confirm_with_passphrase(&world, &["config", "confirm"], "in force");
    eventually("the session has the new list", || is_sent_unasked(&mut agent, "listed").then_some(()));
}
