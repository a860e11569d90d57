//! Who is connected over HTTPS, as `portero status` tells it.

use serde_json::{Value, json};

use super::HttpsHome;
use crate::agent::Agent;

fn connect(https: &HttpsHome, token: &str) -> Agent {
    let mut command = https.home.portero_command(&["connect", &https.url()]);
    Agent::connect(command.arg("--ca-file").arg(&https.certificate).env("PORTERO_TOKEN", token))
}

fn initialize(agent: &mut Agent, name: &str) {
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
                        "clientInfo": {"name": name, "version": "7.5"}});
    agent.request("initialize", params).expect("the handshake is answered");
}

#[test]
fn status_tells_who_is_connected_from_where_since_when_and_with_which_client() {
    let https = HttpsHome::start();
    let (laptop, phone) = (https.create_token("laptop"), https.create_token("phone"));
    let said = https.home.run(&["status"]);
    assert!(!String::from_utf8_lossy(&said.stdout).contains("OVER HTTPS"), "nobody is connected");

    let (mut one, mut two, mut other) =
        (connect(&https, &laptop), connect(&https, &laptop), connect(&https, &phone));
    initialize(&mut one, "editor");
    initialize(&mut two, "editor");
    // This client has no session: each of its requests says who it is.
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "pocket \u{202e}agent", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    other.request("tools/list", json!({"_meta": meta})).expect("a list");

    let clients = https.home.json(&["status"])["https_clients"].clone();
    let seen: Vec<_> = clients.as_array().expect("a list").iter().map(described).collect();
    let expected = [
        ("remote:token:laptop", "127.0.0.1", "editor 7.5", 2),
        ("remote:token:phone", "127.0.0.1", "pocket \u{202e}agent 1", 0),
    ];
    assert_eq!(seen, expected, "{clients}");
    for client in clients.as_array().expect("a list") {
        assert!(client["since"].as_str().is_some_and(|since| since.starts_with("20")), "{client}");
    }

    let said = String::from_utf8_lossy(&https.home.run(&["status"]).stdout).into_owned();
    let rows: Vec<Vec<&str>> = said
        .lines()
        .skip_while(|line| !line.starts_with("OVER HTTPS"))
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows[0], ["OVER HTTPS", "ADDRESS", "CLIENT", "SESSIONS", "SINCE"], "{said}");
    assert_eq!(rows[1][..4], ["token:laptop", "127.0.0.1", "editor 7.5", "2"], "{said}");
    assert_eq!(rows[2][..4], ["token:phone", "127.0.0.1", "pocket ⟨U+202E⟩agent 1", "0"], "{said}");
    assert!(rows[1][4].ends_with("ago") && rows[2][4].ends_with("ago"), "{said}");
    for token in [&laptop, &phone] {
        assert!(!said.contains(&**token), "a token is shown");
    }

    one.close();
    two.close();
    let clients = https.home.json(&["status"])["https_clients"].clone();
    let left: Vec<_> = clients.as_array().expect("a list").iter().map(described).collect();
    assert_eq!(left, expected[1..], "its sessions ended with the clients: {clients}");
}

fn described(client: &Value) -> (&str, &str, &str, u64) {
    let text = |name: &str| client[name].as_str().unwrap_or_else(|| panic!("no {name}: {client}"));
    (text("principal"), text("address"), text("client"), client["sessions"].as_u64().expect("a count"))
}
