//! Through the daemon's socket, and through other directories.

use serde_json::{Value, json};

use super::socket::{Socket, assert_known, request};
use super::{Siege, hello, mail, try_prizes};
use crate::agent::Agent;

/// Everything that widens, in the words of the socket, with a challenge that is wrong, empty, or of another shape.
fn widening(task: &str) -> Vec<Value> {
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
fn calls() -> Vec<Value> {
    let call = |tool: &str, name: &str, arguments: Value| {
        json!({
            "tool": tool, "method": "tools/call", "params": {"name": name, "arguments": arguments},
        })
    };
    let sending = call("office/send_mail", "send_mail", mail());
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
    let mut siege = Siege::begin();
    // It knows whose the task is: the list of tasks says so.
    let principal = siege.world.json(&["task", &siege.task])["origin"]["principal"].clone();
    assert!(principal.is_string());
    let asks: Vec<Value> = widening(&siege.task).into_iter().chain(calls()).collect();
    for ask in &asks {
        // A connection each: what is no message ends one.
        for mut socket in [
            Socket::as_terminal(&siege.world),
            Socket::as_session(&siege.world, &principal),
            Socket::as_session(&siege.world, &json!("/somewhere/else")),
        ] {
            let reply = socket.request(ask).expect("an answer");
            let done = reply.get("Ok").is_some_and(|ok| ok["state"] != "pending-approval");
            assert!(!done, "{ask} was answered with {reply}");
            assert_known(ask, &reply);
        }
        siege.held(&ask.to_string());
    }
    siege.storm("after every message");
}

#[test]
fn a_flood_of_questions_under_forged_names_leaves_no_yes_behind() {
    let siege = Siege::begin();
    for number in 0..200 {
        let principal = json!(format!("/project/{number}"));
        let mut socket = Socket::as_session(&siege.world, &principal);
        for ask in calls() {
            socket.request(&ask);
        }
    }
    siege.held("a flood");
    // The person's own task is still there to be decided.
    assert_eq!(siege.world.json(&["task", &siege.task])["state"], "pending-approval");
}

#[test]
fn another_configuration_directory_is_not_served_by_the_daemon() {
    let mut siege = Siege::begin();
    let own = siege.world.path("own-config");
    copy_directory(&siege.world.path("config"), &own);
    std::fs::write(own.join("policies.json"), r#"{"policies": {"**": "allow"}}"#).unwrap();
    let own = own.to_str().unwrap().to_owned();
    let mut agent = Agent::start(&siege.world, &["--config", &own]);
    agent.ask("initialize", &hello());
    try_prizes(&mut agent);
    siege.storm("another configuration directory");
}

/// With directories of its own, an agent has a Portero of its own; it does not get this one's configuration.
#[test]
fn another_state_directory_does_not_open_a_sealed_configuration() {
    let mut siege = Siege::begin();
    siege.world.variables =
        vec![("PORTERO_STATE_DIR", "../elsewhere/state"), ("PORTERO_RUNTIME_DIR", "../elsewhere/run")];
    let mut agent = Agent::start(&siege.world, &[]);
    agent.ask("initialize", &hello());
    try_prizes(&mut agent);
    let started = siege.world.run(&["daemon", "start"]);
    assert_ne!(started.code, 0, "{}", started.out);
    assert!(started.err.contains("sealed"), "{}", started.err);
    siege.world.variables.clear();
    siege.held("another state directory");
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
