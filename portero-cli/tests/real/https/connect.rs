//! `portero connect` as a process: before a Portero over HTTPS, and before real servers over HTTP.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{HttpsHome, check_conversation};
use crate::agent::{Agent, TEST_TIMEOUT, result_text};
use crate::remote::{HttpPeer, TOKEN, bank_command, everything, free_port};
use crate::test_support::{TestHome, processes_naming};

/// `portero connect`, which knows nothing of a configuration.
fn connect_command(arguments: &[&str]) -> Command {
    crate::porterod::porterod_program();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
    command.arg("connect").args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command
}

/// As the documentation says it: with a file for the token, and the certificate as an authority.
fn connect_to(https: &HttpsHome, token_file: &Path) -> Command {
    let (token_file, certificate) = (token_file.to_string_lossy(), https.certificate.to_string_lossy());
    connect_command(&[&https.url(), "--token-file", &token_file, "--ca-file", &certificate])
}

fn initialize(agent: &mut Agent) -> Result<Value, Value> {
    let client = json!({"name": "test-agent", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    agent.request("initialize", params)
}

fn message_of(error: &Value) -> &str {
    error["message"].as_str().unwrap_or_else(|| panic!("no message: {error}"))
}

#[test]
fn a_client_on_stdio_reaches_a_portero_over_https() {
    let https = HttpsHome::start();
    let token_file = https.write_private("token", &https.create_token("laptop"));
    let mut agent = Agent::start(&mut connect_to(&https, &token_file));
    assert_eq!(agent.welcome["serverInfo"]["name"], "portero", "{}", agent.welcome);
    check_conversation(&https, &mut agent);
    let took = agent.close();
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_wrong_token_and_an_untrusted_certificate_are_told_with_the_reason() {
    let https = HttpsHome::start();
    let token = https.create_token("laptop");
    let right = https.write_private("right", &token);
    let wrong = https.write_private("wrong", "portero_0123456789wrong");

    let mut agent = Agent::connect(&mut connect_to(&https, &wrong));
    let refused = initialize(&mut agent).expect_err("a wrong token");
    assert!(message_of(&refused).contains("refused the credential"), "{refused}");
    assert!(!refused.to_string().contains("0123456789wrong"), "{refused}");

    let certificate = https.certificate.to_string_lossy();
    let mut agent = Agent::connect(&mut connect_command(&[&https.url(), "--ca-file", &certificate]));
    let refused = initialize(&mut agent).expect_err("no token");
    assert!(message_of(&refused).contains("PORTERO_TOKEN"), "{refused}");

    let mut agent =
        Agent::connect(&mut connect_command(&[&https.url(), "--token-file", &right.to_string_lossy()]));
    let refused = initialize(&mut agent).expect_err("an unknown certificate");
    assert!(message_of(&refused).contains("certificate"), "{refused}");

    // What can be known before any request is said at once.
    std::fs::set_permissions(&right, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    let output = connect_to(&https, &right).stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("chmod 600") && !said.contains(&token), "{said}");
}

#[test]
fn a_portero_that_was_killed_in_mid_call_is_reached_again() {
    let https = HttpsHome::start();
    let token_file = https.write_private("token", &https.create_token("laptop"));
    let mut agent = Agent::start(&mut connect_to(&https, &token_file));
    let task = crate::approvals::ask_to_write(&mut agent, &https.reply(), "after all");
    let waiting = agent.send_request(
        "tools/call",
        json!({"name": "portero__check_task", "arguments": {"task_id": task, "wait_seconds": 50}}),
    );
    // The daemon has it once it counts it among the open sessions' calls; a second answer shows that it was read.
    agent.request("ping", json!({})).expect("the server still answers");
    let pid = https.home.json(&["daemon", "status"])["pid"].as_u64().expect("a pid").to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    let failed = agent.wait_for_answer(waiting).expect_err("its answer can't come any more");
    assert!(message_of(&failed).contains(&https.url()[..20]), "the server is named: {failed}");

    // Until another daemon runs, each call is told so.
    let away = agent.request("tools/list", json!({})).expect_err("nothing listens");
    assert!(message_of(&away).contains("could not be reached"), "{away}");
    assert!(https.home.run(&["daemon", "start"]).status.success());
    https.wait_until_served();
    let tools = agent.request("tools/list", json!({})).expect("a list of the new daemon");
    assert!(tools.to_string().contains("portero__check_task"), "{tools}");
    https.home.approve_task(&task);
    let result = crate::approvals::check_task(&mut agent, &task);
    assert!(result_text(&result).contains("Successfully wrote"), "{result}");
    assert_eq!(std::fs::read_to_string(https.reply()).expect("written"), "after all");
}

#[test]
fn real_servers_over_http_are_carried_with_their_progress() {
    let server = everything("streamableHttp");
    let mut agent = Agent::start(&mut connect_command(&[&server.url("/mcp")]));
    let echoed = agent.call_tool("echo", json!({"message": "hello"}));
    assert!(result_text(&echoed).contains("hello"), "{echoed}");
    let operation = json!({"name": "trigger-long-running-operation", "arguments": {"duration": 1, "steps": 2},
                           "_meta": {"progressToken": "mine"}});
    let id = agent.send_request("tools/call", operation);
    agent.wait_for_message(|message| {
        message["method"] == "notifications/progress" && message["params"]["progressToken"] == "mine"
    });
    agent.wait_for_answer(id).expect("a result");
    let list = agent.request("resources/list", json!({})).expect("a list");
    let uri = list["resources"][0]["uri"].as_str().expect("a resource").to_owned();
    agent.request("resources/read", json!({"uri": uri})).expect("a resource");
    agent.close();

    let home = TestHome::new(&json!({}), &json!({"policies": {}}));
    for modes in [["json", "session"], ["stream", "session"], ["json", "stateless"]] {
        let bank = HttpPeer::start(|port| bank_command(&home, port, &modes));
        let mut command = connect_command(&[&bank.url("/mcp")]);
        let mut agent = Agent::start(command.env("PORTERO_TOKEN", TOKEN));
        assert_eq!(agent.welcome["instructions"], "Amounts are in cents.", "{modes:?}");
        let deposited = agent.call_tool("deposit", json!({"amount": 3}));
        assert!(result_text(&deposited).contains("deposited 3"), "{modes:?}: {deposited}");
        agent.close();
    }
}

#[test]
fn a_server_that_comes_late_goes_in_mid_call_and_comes_back_is_reached() {
    let port = free_port();
    let start = || {
        HttpPeer::start_on(port, |port| {
            let mut command = Command::new("node");
            command.arg(crate::peers::peers().npm_server("server-everything")).arg("streamableHttp");
            command.env("PORT", port.to_string());
            command
        })
        .expect("its port is free")
    };
    let url = format!("http://127.0.0.1:{port}/mcp");
    let mut agent = Agent::connect(&mut connect_command(&[&url]));
    let away = initialize(&mut agent).expect_err("nothing listens");
    assert_eq!(away["code"], -32000, "{away}");
    assert!(message_of(&away).contains("could not be reached"), "{away}");

    let server = start();
    initialize(&mut agent).expect("the server is there now");
    agent.notify("notifications/initialized", json!({}));
    let operation = json!({"name": "trigger-long-running-operation", "arguments": {"duration": 60, "steps": 60},
                           "_meta": {"progressToken": "mine"}});
    let id = agent.send_request("tools/call", operation);
    agent.wait_for_message(|message| message["method"] == "notifications/progress");
    drop(server);
    let lost = agent.wait_for_answer(id).expect_err("its answer can't come any more");
    assert!(message_of(&lost).contains("127.0.0.1"), "the server is named: {lost}");

    let _server = start();
    // The new process knows nothing of the old session.
    let echoed = agent.call_tool("echo", json!({"message": "back again"}));
    assert!(result_text(&echoed).contains("back again"), "{echoed}");
}

#[test]
fn a_signal_and_the_end_of_input_leave_neither_process_nor_session() {
    let https = HttpsHome::start();
    let token_file = https.write_private("token", &https.create_token("laptop"));
    for end in ["INT", "TERM", "end of input"] {
        let mut agent = Agent::start(&mut connect_to(&https, &token_file));
        agent.wait_for_tool("files__write_file");
        let clients = https.home.json(&["status"])["https_clients"].clone();
        assert_eq!(clients[0]["sessions"], 1, "{clients}");
        // A call that waits keeps no one from leaving.
        let task = crate::approvals::ask_to_write(&mut agent, &https.reply(), end);
        agent.send_request(
            "tools/call",
            json!({"name": "portero__check_task", "arguments": {"task_id": task, "wait_seconds": 50}}),
        );
        let took = match end {
            "end of input" => agent.close(),
            signal => {
                let (is_in_order, took) = agent.signal(signal);
                assert!(is_in_order, "{signal}");
                took
            }
        };
        assert!(took < Duration::from_secs(20), "{end}: {took:?}");
        assert_eq!(processes_naming(&token_file), Vec::<String>::new(), "{end}");
        let deadline = std::time::Instant::now() + TEST_TIMEOUT;
        while https.home.json(&["status"])["https_clients"] != json!([]) {
            assert!(std::time::Instant::now() < deadline, "{end}: the session is still there");
        }
    }
}
