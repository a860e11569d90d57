//! Through the daemon's socket, and through other directories.

use serde_json::{Value, json};

use super::raw_socket::{RawSocket, assert_known, request};
use super::{AttackFixture, call_forbidden_tools, initialize_params, stolen_mail};
use crate::agent::Agent;

/// Everything that widens, in the words of the socket, with a challenge that is wrong, empty, or of another shape.
fn elevating_requests(task: &str) -> Vec<Value> {
    let challenges = [
        json!({"passphrase": "password"}),
        json!({"passphrase": ""}),
        json!({}),
        json!(null),
        json!(true),
        json!({"telegram": true}),
    ];
    let mut asks = Vec::new();
    for challenge in challenges {
        asks.extend([
            request("approvals/approve", json!({"task": task, "challenge": challenge})),
            request(
                "approvals/approve",
                json!({"task": task, "challenge": challenge, "confirmed": true, "by": "terminal"}),
            ),
            request(
                "grants/create",
                json!({"pattern": "office/*", "millis": 60_000, "challenge": challenge}),
            ),
            request(
                "rules/create",
                json!({"pattern": "office/*", "action": "allow", "challenge": challenge}),
            ),
            request("rules/remove", json!({"id": 1, "challenge": challenge})),
            request("resume", json!({"challenge": challenge})),
            request("resume", challenge.clone()),
            request("passphrase/set", json!({"old": null, "new": {"passphrase": "a passphrase of mine"}})),
            request(
                "passphrase/set",
                json!({"old": challenge, "new": {"passphrase": "a passphrase of mine"}}),
            ),
            request("config/confirm", json!({"digest": "0", "challenge": challenge})),
        ]);
    }
    asks.extend([
        request("execute", json!({"task": task})),
        request("settle", json!({"task": task, "state": "approved"})),
        request("run", json!({"task": task})),
        request("approvals/ask-again", json!({"task": task})),
        request("standing", json!({"rules": [], "grants": [], "epoch": 99, "boot_id": ""})),
        request("approvals/approve", json!(null)),
        request("resume", json!(null)),
        request("approvals/approve", json!([task])),
    ]);
    asks
}

/// Calls that a session may try to hand over as if policy had been asked already.
fn smuggled_calls() -> Vec<Value> {
    let call = |tool: &str, name: &str, arguments: Value| {
        json!({
            "tool": tool, "method": "tools/call", "params": {"name": name, "arguments": arguments},
        })
    };
    let sending = call("office/send_mail", "send_mail", stolen_mail());
    let deleting = call("office/delete_mail", "delete_mail", json!({"id": 1}));
    // One tool for policy, another for the server.
    let two_faced = call("office/read_mail", "delete_mail", json!({"id": 1}));
    let mut asks = Vec::new();
    for call in [sending, deleting, two_faced] {
        asks.push(request(
            "calls/forward",
            json!({"call": call, "client": "adversary 1", "progress": false}),
        ));
        asks.push(request(
            "calls/submit",
            json!({"call": call, "client": "adversary 1", "state": "approved"}),
        ));
    }
    asks
}

#[test]
fn no_message_on_the_socket_gets_a_call_through() {
    let mut siege = AttackFixture::new();
    // It knows whose the task is: the list of tasks says so.
    let principal = siege.home.json(&["task", &siege.task])["origin"]["principal"].clone();
    assert!(principal.is_string());
    let asks: Vec<Value> = elevating_requests(&siege.task).into_iter().chain(smuggled_calls()).collect();
    for ask in &asks {
        // A connection each: what is no message ends one.
        for mut socket in [
            RawSocket::as_terminal(&siege.home),
            RawSocket::as_session(&siege.home, &principal),
            RawSocket::as_session(&siege.home, &json!("/somewhere/else")),
        ] {
            let reply = socket.request(ask).expect("an answer");
            let done = reply.get("Ok").is_some_and(|ok| ok["state"] != "pending-approval");
            assert!(!done, "{ask} was answered with {reply}");
            assert_known(ask, &reply);
        }
        siege.assert_held(&ask.to_string());
    }
    siege.attack_and_assert_held("after every message");
}

#[test]
fn a_flood_of_questions_under_forged_names_leaves_no_yes_behind() {
    let siege = AttackFixture::new();
    for number in 0..200 {
        let principal = json!(format!("/project/{number}"));
        let mut socket = RawSocket::as_session(&siege.home, &principal);
        for ask in smuggled_calls() {
            socket.request(&ask);
        }
    }
    siege.assert_held("a flood");
    // The person's own task is still there to be decided.
    assert_eq!(siege.home.json(&["task", &siege.task])["state"], "pending-approval");
}

#[test]
fn another_configuration_directory_is_not_served_by_the_daemon() {
    let mut siege = AttackFixture::new();
    let own = siege.home.path("own-config");
    copy_directory(&siege.home.path("config"), &own);
    std::fs::write(own.join("policies.json"), r#"{"policies": {"**": "allow"}}"#).unwrap();
    let own = own.to_str().unwrap().to_owned();
    let mut agent = Agent::start(&siege.home, &["--config", &own]);
    agent.request("initialize", &initialize_params());
    call_forbidden_tools(&mut agent);
    siege.attack_and_assert_held("another configuration directory");
}

/// With directories of its own, an agent has a Portero of its own; it does not get this one's configuration.
#[test]
fn another_state_directory_does_not_open_a_sealed_configuration() {
    let mut siege = AttackFixture::new();
    siege.home.variables =
        vec![("PORTERO_STATE_DIR", "../elsewhere/state"), ("PORTERO_RUNTIME_DIR", "../elsewhere/run")];
    let mut agent = Agent::start(&siege.home, &[]);
    agent.request("initialize", &initialize_params());
    call_forbidden_tools(&mut agent);
    let started = siege.home.run(&["daemon", "start"]);
    assert_ne!(started.code, 0, "{}", started.stdout);
    assert!(started.stderr.contains("sealed"), "{}", started.stderr);
    siege.home.variables.clear();
    siege.assert_held("another state directory");
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
