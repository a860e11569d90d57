//! Grants with limits, from the terminal to the agent's call.

#![cfg(unix)]

use serde_json::{Value, json};

use crate::agent::{Agent, text};
use crate::terminal::{confirm, set_passphrase};
use crate::world::{World, eventually};

const CLAUDE: &str = "CLAUDE_CODE_SESSION_ID";
const ONE: &str = "5b0c2d1e-0000-4000-8000-00000000c1a0";
const OTHER: &str = "77d0a4f2-0000-4000-8000-00000000beef";

/// An agent whose program calls its session so.
fn agent(world: &mut World, session: &'static str) -> Agent {
    world.variables = vec![(CLAUDE, session)];
    let agent = Agent::connect(world, &[]);
    eventually("the session is connected", || {
        let sessions = world.json(&["status"])["agent_sessions"].to_string();
        sessions.contains(session).then_some(())
    });
    agent
}

/// Whether a mail was sent without a question; else a person is asked.
fn sends(agent: &mut Agent, subject: &str) -> bool {
    let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
    let answer = agent.call("office__send_mail", &mail);
    if answer["result"]["structuredContent"]["status"] == "pending-approval" {
        return false;
    }
    assert!(text(&answer).contains("sent"), "{answer}");
    true
}

fn grant(world: &World) -> Value {
    world.json(&["rules"])["grants"][0].clone()
}

#[test]
fn a_grant_that_would_last_too_long_is_refused_before_the_passphrase_is_asked_for() {
    let world = World::with_office();
    // No passphrase is set: it would be told of that first if it came so far.
    let said = world.run(&["grant", "office/*", "25h"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("at most 1d") && said.err.contains("grantMost"), "{}", said.err);
    for words in [&["--session", "beef"][..], &["--project", "gone"], &["--uses", "0"]] {
        let said = world.run(&[&["grant", "office/*", "1h"], words].concat());
        assert_ne!(said.code, 0);
        assert!(!said.err.contains("passphrase"), "{words:?}: {}", said.err);
    }
}

#[test]
fn a_grant_for_one_session_and_some_uses_holds_for_no_other_and_no_longer() {
    let mut world = World::with_office();
    set_passphrase(&world);
    let mut other = agent(&mut world, OTHER);
    let mut one = agent(&mut world, ONE);
    let words = ["grant", "office/send_mail", "30m", "--uses", "3", "--session", "c1a0"];
    let shown = confirm(&world, &words, "runs unasked for 30m");
    assert!(shown.contains(&format!("Limited: only in session {ONE}, 3 uses.")), "{shown}");
    assert!(!sends(&mut other, "other"), "it is another session's");
    assert!(sends(&mut one, "first"));
    for command in ["rules", "status"] {
        let told = world.run(&[command]).out;
        assert!(told.contains("2 of 3 uses left; only in session 5b0c2d1e"), "{command}: {told}");
    }
    // The agent's program starts `portero mcp` again.
    one.leave();
    let mut again = agent(&mut world, ONE);
    for subject in ["second", "third", "fourth"] {
        let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
        again.begin("tools/call", &json!({"name": "office__send_mail", "arguments": mail}));
    }
    // Which of them runs is open; what reached the server, and what waits, counts.
    eventually("all three are answered", || {
        let asked = world.json(&["pending"]).as_array().unwrap().len() == 2;
        (asked && world.received().len() == 3).then_some(())
    });
    assert!(!sends(&mut again, "fifth"));
    let left = grant(&world);
    assert_eq!(
        (&left["uses_left"], &left["used"], &left["limits"]["uses"]),
        (&json!(0), &json!(3), &json!(3))
    );
    assert_eq!(left["limits"]["agent_session"], ONE);
    assert_eq!(world.received().len(), 3);
    let logs = world.run(&["logs"]).out;
    assert!(logs.contains("(grant 1)") && logs.contains("0 of 3 uses left"), "{logs}");
}

#[test]
fn a_grant_for_a_project_holds_in_it_alone_and_why_says_so() {
    let mut world = World::with_office();
    set_passphrase(&world);
    confirm(&world, &["grant", "office/send_mail", "30m", "--project", "."], "only in project");
    let why = world.run(&["why", "office/send_mail"]).out;
    let whom = format!("holds only in project {}", world.path("project").canonicalize().unwrap().display());
    assert!(why.contains("office/send_mail: require-approval") && why.contains(&whom), "{why}");
    assert_eq!(world.json(&["why", "office/send_mail"])["elsewhere"][0]["id"], 1);
    assert!(sends(&mut agent(&mut world, ONE), "here"));
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = world.path("elsewhere").to_str().unwrap().to_owned().leak();
    world.variables = vec![("CLAUDE_PROJECT_DIR", elsewhere)];
    assert!(!sends(&mut Agent::connect(&world, &[]), "elsewhere"));
}
