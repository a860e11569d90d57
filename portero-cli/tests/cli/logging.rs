//! What servers say on the way, with real processes: log messages and progress come before the result that they
//! belong to, from own and shared servers, in every era on either side.

use std::path::Path;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::test_support::TestHome;

const ERAS: [&str; 2] = ["legacy", "modern"];

/// A server of `tests/support/chatty.py` for each era, by the session and shared.
fn chatty_home() -> TestHome {
    crate::porterod::porterod_program();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/chatty.py");
    let python = if cfg!(windows) { "python" } else { "python3" };
    let server = |era: &str, shared: bool| {
        let name = format!("{}-{era}", if shared { "shared" } else { "own" });
        json!({"name": name, "command": python, "args": [script, era], "instance": if shared { "user" } else { "session" }})
    };
    let servers: Vec<Value> =
        ERAS.into_iter().flat_map(|era| [server(era, false), server(era, true)]).collect();
    let world = TestHome::empty();
    world.write("mcps.json", &json!({"mcps": servers}));
    world.write("policies.json", &json!({"policies": {"*": "allow"}}));
    world
}

/// The `_meta` of a request of this era that wants to hear everything.
fn request_meta(era: &str) -> Value {
    match era {
        "modern" => json!({
            "progressToken": "p",
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/logLevel": "info",
        }),
        _ => json!({"progressToken": "p"}),
    }
}

fn method_names(said: &[Value]) -> Vec<&str> {
    said.iter().map(|message| message["method"].as_str().unwrap()).collect()
}

#[test]
fn log_messages_and_progress_come_before_their_result_in_every_era() {
    let world = chatty_home();
    for client in ERAS {
        let mut agent =
            if client == "legacy" { Agent::connect(&world, &[]) } else { Agent::start(&world, &[]) };
        for server in ["own-legacy", "own-modern", "shared-legacy", "shared-modern"] {
            let params =
                json!({"name": format!("{server}/talk"), "arguments": {}, "_meta": request_meta(client)});
            // The first call starts the server; list changes come beside it.
            agent.request("tools/call", &params);
            for _ in 0..50 {
                let id = agent.send_request("tools/call", &params);
                let (answer, mut said) = agent.wait_for_answer_and_earlier(id);
                assert!(answer.get("result").is_some(), "{client} client, {server}: {answer}");
                said.retain(|message| !message["method"].as_str().unwrap().ends_with("list_changed"));
                assert_eq!(
                    method_names(&said),
                    ["notifications/message", "notifications/message", "notifications/progress"],
                    "{client} client, {server}: {said:?}"
                );
                let logger = said[0]["params"]["logger"].as_str().unwrap();
                assert_eq!((logger, &said[1]["params"]["data"]), (server, &json!(1)));
            }
        }
    }
}

#[test]
fn of_a_burst_of_log_messages_each_arrives_or_is_counted() {
    const SENT_MESSAGES: u64 = 2_000;
    let world = chatty_home();
    let mut agent = Agent::connect(&world, &[]);
    for server in ["own-legacy", "shared-legacy"] {
        let params = json!({"name": format!("{server}/talk"), "arguments": {"count": SENT_MESSAGES}});
        let id = agent.send_request("tools/call", &params);
        let (_, mut said) = agent.wait_for_answer_and_earlier(id);
        let count = |said: &[Value]| -> u64 {
            let mut count = 0;
            for message in said.iter().filter(|message| message["method"] == "notifications/message") {
                match &message["params"]["data"] {
                    Value::String(words) => {
                        assert!(words.contains("messages") && words.contains(server), "{words}");
                        count += words.split(' ').next().unwrap().parse::<u64>().unwrap();
                    }
                    _ => count += 1,
                }
            }
            count
        };
        while count(&said) < SENT_MESSAGES {
            said.push(agent.next_message());
        }
        assert_eq!(count(&said), SENT_MESSAGES, "{server}");
    }
}
