//! A session that began where it could do nothing works once that is mended, with the same client.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::test_support::{TestHome, eventually};

/// Shakes hands; what the agent is told.
fn connect_agent(world: &TestHome) -> (Agent, String) {
    let mut agent = Agent::start(world, &["--no-start"]);
    let client = json!({"name": "t", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    let answer = agent.request("initialize", &hello);
    (agent, answer["result"]["instructions"].as_str().unwrap().to_owned())
}

/// As [`connect_agent`], with a session that has read its configuration when it is greeted. A busy machine may take longer.
fn connect_agent_after_reading(world: &TestHome) -> (Agent, String) {
    eventually("the configuration is read before the handshake", || {
        let (agent, instructions) = connect_agent(world);
        (!instructions.contains("still reads its configuration")).then_some((agent, instructions))
    })
}

fn tool_names(agent: &mut Agent) -> Vec<String> {
    let listed = agent.request("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn wait_for_change(agent: &mut Agent) {
    while agent.next_message()["method"] != "notifications/tools/list_changed" {}
}

/// Lists and calls as if nothing had been; what changed is told once.
fn assert_works(agent: &mut Agent) {
    wait_for_change(agent);
    assert!(tool_names(agent).contains(&"office__read_mail".to_owned()));
    let told = |answer: &Value| answer["result"]["content"].as_array().unwrap().len();
    let read = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert_eq!(told(&read), 2, "{read}");
    let news = read["result"]["content"][1]["text"].as_str().unwrap();
    assert!(news.contains("configuration changed") && news.contains("Jane Doe"), "{news}");
    assert_eq!(told(&agent.call_tool("office__read_mail", &json!({"id": 1}))), 1, "once");
}

/// Says what is wrong, in the handshake and with each call, and lists Portero's own tools.
fn assert_refused(agent: &mut Agent, instructions: &str, words: &[&str]) {
    let refused = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    for word in words.iter().chain(&["portero check"]) {
        assert!(instructions.contains(word), "{word}: {instructions}");
        assert!(result_text(&refused).contains(word), "{word}: {refused}");
    }
    let listed = tool_names(agent);
    assert!(listed.iter().all(|name| name.starts_with("portero__")) && listed.len() == 6, "{listed:?}");
}

#[test]
fn a_session_on_a_broken_configuration_works_once_it_is_mended() {
    let world = TestHome::with_office();
    let policies = world.path("config/policies.json");
    let good = fs::read(&policies).unwrap();
    // Not JSON, Latin-1, UTF-16, and no file at all.
    let latin = b"{\"policies\": {\"caf\xe9/*\": \"allow\"}}".to_vec();
    let wide: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bad in [b"{\n\"policies\": {\"office/*\": \"alow\"}}".to_vec(), latin, wide] {
        fs::write(&policies, &bad).unwrap();
        let (mut agent, instructions) = connect_agent_after_reading(&world);
        assert_refused(&mut agent, &instructions, &["policies.json"]);
        assert!(
            bad[0] != b'{' || bad[1] != b'\n' || instructions.contains("policies.json:2"),
            "{instructions}"
        );
        fs::write(&policies, &good).unwrap();
        assert_works(&mut agent);
    }
    fs::remove_file(&policies).unwrap();
    fs::create_dir(&policies).unwrap();
    let (mut agent, instructions) = connect_agent_after_reading(&world);
    assert_refused(&mut agent, &instructions, &["policies.json"]);
    fs::remove_dir(&policies).unwrap();
    fs::write(&policies, &good).unwrap();
    assert_works(&mut agent);
}

#[test]
fn a_session_that_can_record_nothing_works_once_it_can() {
    let world = TestHome::with_office();
    // A file in the directory's place.
    fs::write(world.path("state"), "").unwrap();
    let (mut agent, instructions) = connect_agent_after_reading(&world);
    assert_refused(&mut agent, &instructions, &["state", "record"]);
    fs::remove_file(world.path("state")).unwrap();
    assert_works(&mut agent);
}

#[test]
fn a_session_on_an_empty_configuration_works_once_there_is_one() {
    let office = TestHome::with_office();
    let world = TestHome::empty();
    let (mut agent, _) = connect_agent(&world);
    assert_eq!(tool_names(&mut agent).len(), 6);
    for file in ["replacements.json", "policies.json", "mcps.json"] {
        fs::copy(office.path("config").join(file), world.path("config").join(file)).unwrap();
    }
    assert_works(&mut agent);
}

#[test]
fn a_modern_client_that_listens_hears_of_the_mended_configuration() {
    let world = TestHome::with_office();
    let policies = world.path("config/policies.json");
    let good = fs::read(&policies).unwrap();
    fs::write(&policies, "{").unwrap();
    let mut agent = Agent::start(&world, &["--no-start"]);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let found = agent.request("server/discover", &json!({"_meta": meta}));
    assert!(found["result"]["instructions"].as_str().unwrap().contains("policies.json"), "{found}");
    agent.send_request(
        "subscriptions/listen",
        &json!({"_meta": meta, "notifications": {"toolsListChanged": true}}),
    );
    fs::write(&policies, &good).unwrap();
    wait_for_change(&mut agent);
    let listed = agent.request("tools/list", &json!({"_meta": meta}));
    assert!(listed.to_string().contains("office__read_mail"), "{listed}");
}

#[cfg(unix)]
#[test]
fn a_file_that_hangs_does_not_hold_up_the_handshake() {
    let world = TestHome::with_office();
    let variables = world.path("config/.env");
    let served = fs::read(&variables).unwrap_or_default();
    let _ = fs::remove_file(&variables);
    assert!(std::process::Command::new("mkfifo").arg(&variables).status().unwrap().success());

    // A program that serves it would have a second for that. The client has its answer before.
    let (mut agent, instructions) = connect_agent(&world);
    assert!(instructions.contains("still reads"), "{instructions}");
    let refused = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(tool_names(&mut agent).iter().all(|name| name.starts_with("portero__")));

    // Once a program serves it, the session works.
    std::thread::spawn(move || fs::write(variables, served));
    assert_works(&mut agent);
}
