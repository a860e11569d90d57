//! Real servers over HTTP behind the gateway. The daemon alone reaches them.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::result_text;
use crate::approvals::check_task;
use crate::peers::{peer_file, peers};
use crate::test_support::TestHome;

pub(crate) const TOKEN: &str = "bank-token-0123456789";

/// A server over HTTP, which ends with the test.
pub(crate) struct HttpPeer {
    process: Child,
    port: u16,
}

impl HttpPeer {
    /// Starts a server on a free port, which `command` is told, and waits until it listens.
    pub(crate) fn start(command: impl Fn(u16) -> Command) -> Self {
        // Another process may take the port before the server does, which then ends at once.
        for _ in 0..5 {
            let port = free_port();
            if let Some(peer) = Self::start_on(port, &command) {
                return peer;
            }
        }
        panic!("the server does not listen on any port");
    }

    pub(crate) fn start_on(port: u16, command: impl Fn(u16) -> Command) -> Option<Self> {
        let process =
            command(port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let mut peer = Self { process, port };
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(peer);
            }
            if peer.process.try_wait().expect("its state is known").is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        panic!("the server does not listen");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// server-everything with this transport.
pub(crate) fn everything(transport: &'static str) -> HttpPeer {
    HttpPeer::start(|port| {
        let mut command = Command::new("node");
        command.arg(peers().npm_server("server-everything")).arg(transport).env("PORT", port.to_string());
        command
    })
}

/// The bank of the Python SDK, which writes into the home's project directory.
pub(crate) fn bank_command(home: &TestHome, port: u16, modes: &[&str]) -> Command {
    let mut command = Command::new(peers().python("python"));
    command.arg(peer_file("http_server.py")).arg(port.to_string()).arg(TOKEN).args(modes);
    command.current_dir(home.path("project"));
    command
}

fn home_with(policies: &Value) -> TestHome {
    TestHome::new(&json!({}), policies)
}

#[test]
fn a_real_server_is_reached_by_both_transports() {
    for (transport, path, entry) in [
        ("streamableHttp", "/mcp", json!({"type": "http"})),
        ("sse", "/sse", json!({"type": "sse"})),
        ("sse", "/sse", json!({})),
    ] {
        let server = everything(transport);
        let home = home_with(&json!({"policies": {"**": "allow"}}));
        let mut entry = entry;
        entry["url"] = json!(server.url(path));
        home.write("mcps.json", &json!({"mcpServers": {"everything": entry}}));
        let mut agent = home.start_agent();
        agent.wait_for_tool("everything__echo");
        let echoed = agent.call_tool("everything__echo", json!({"message": "hello"}));
        assert!(result_text(&echoed).contains("hello"), "{transport}: {echoed}");
        let id = agent.send_request(
            "tools/call",
            json!({"name": "everything__trigger-long-running-operation", "arguments": {"duration": 1, "steps": 2},
                   "_meta": {"progressToken": "mine"}}),
        );
        agent.wait_for_message(|message| {
            message["method"] == "notifications/progress" && message["params"]["progressToken"] == "mine"
        });
        agent.wait_for_answer(id).expect("a result");
        let list = agent.request("resources/list", json!({})).expect("a list");
        let uri = list["resources"][0]["uri"].as_str().expect("a resource").to_owned();
        agent.request("resources/read", json!({"uri": uri})).expect("a resource");
    }
}

#[test]
fn its_token_reaches_the_server_and_nothing_else() {
    for modes in [["json", "session"], ["stream", "session"], ["json", "stateless"]] {
        let home = home_with(&json!({"policies": {"**": "allow"}}));
        let bank = HttpPeer::start(|port| bank_command(&home, port, &modes));
        std::fs::write(home.path("config").join(".env"), format!("BANK_TOKEN={TOKEN}\n")).expect("writable");
        let entry = json!({"url": bank.url("/mcp"), "headers": {"Authorization": "Bearer ${BANK_TOKEN}"}});
        home.write("mcps.json", &json!({"mcpServers": {"bank": entry}}));
        let mut agent = home.start_agent();
        agent.wait_for_tool("bank__deposit");
        let told = agent.call_tool("bank__tell_token", json!({}));
        assert!(result_text(&told).contains("the token is"), "{modes:?}: {told}");
        assert!(!told.to_string().contains(TOKEN), "{modes:?}: {told}");
        for command in [&["status"][..], &["doctor"], &["config", "diff"], &["logs"]] {
            let output = home.run(command);
            let said = [output.stdout, output.stderr].concat();
            assert!(!String::from_utf8_lossy(&said).contains(TOKEN), "{command:?} shows the token");
        }
        drop(agent);
    }
}

#[test]
fn an_approved_call_runs_once_at_the_daemon() {
    let home = home_with(&json!({"policies": {"bank/deposit": "require-approval"}}));
    home.set_passphrase();
    let bank = HttpPeer::start(|port| bank_command(&home, port, &["json"]));
    let entry = json!({"url": bank.url("/mcp"), "headers": {"Authorization": format!("Bearer {TOKEN}")}});
    home.write("mcps.json", &json!({"mcpServers": {"bank": entry}}));
    let (code, screen) = home.run_at_terminal(&["config", "confirm"], &[crate::test_support::PASSPHRASE]);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("url at http://127.0.0.1") && !screen.contains(TOKEN), "{screen}");
    let mut agent = home.start_agent();
    agent.wait_for_tool("bank__deposit");
    let answer = agent.call_tool("bank__deposit", json!({"amount": 7}));
    let pending: Value = serde_json::from_str(result_text(&answer)).expect("an object");
    let task = pending["taskId"].as_str().expect("an id").to_owned();
    home.approve_task(&task);
    let result = check_task(&mut agent, &task);
    assert!(result.to_string().contains("deposited 7"), "{result}");
    let deposits = std::fs::read_to_string(home.path("project").join("deposits.txt")).expect("written");
    assert_eq!(deposits, "7\n");
}

#[test]
fn a_server_that_wants_another_login_is_told_and_costs_the_others_nothing() {
    let home = home_with(&json!({"policies": {"**": "allow"}}));
    let bank = HttpPeer::start(|port| bank_command(&home, port, &["json"]));
    let everything = everything("streamableHttp");
    home.write(
        "mcps.json",
        &json!({"mcpServers": {
            "bank": {"url": bank.url("/mcp"), "headers": {"Authorization": "Bearer wrong-token-0123456789"}},
            "gone": {"url": format!("http://127.0.0.1:{}/mcp", free_port())},
            "everything": {"url": everything.url("/mcp")},
        }}),
    );
    let mut agent = home.start_agent();
    agent.wait_for_tool("everything__echo");
    let refusal = |agent: &mut crate::agent::Agent, tool: &str| {
        agent.call_tool("portero__call", json!({"tool": tool, "arguments": {}})).to_string()
    };
    let told = refusal(&mut agent, "bank/deposit");
    assert!(told.contains("it wants a login") && told.contains("refused the credential"), "{told}");
    let told = refusal(&mut agent, "gone/anything");
    assert!(told.contains("the connection was refused"), "{told}");
    let doctor = home.run(&["doctor"]);
    let said =
        String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
    assert!(said.contains("it wants a login") && said.contains("the connection was refused"), "{said}");
}

#[test]
fn a_server_that_was_restarted_is_reached_again() {
    let home = home_with(&json!({"policies": {"**": "allow"}}));
    let bank = HttpPeer::start(|port| bank_command(&home, port, &["json", "session"]));
    let entry = json!({"url": bank.url("/mcp"), "headers": {"Authorization": format!("Bearer {TOKEN}")}});
    home.write("mcps.json", &json!({"mcpServers": {"bank": entry}}));
    let mut agent = home.start_agent();
    agent.wait_for_tool("bank__deposit");
    agent.call_tool("bank__deposit", json!({"amount": 1}));
    let port = bank.port;
    drop(bank);
    let away = agent.call_tool("bank__deposit", json!({"amount": 2}));
    assert!(away.to_string().contains("could not be reached"), "{away}");
    let again = HttpPeer::start_on(port, |port| bank_command(&home, port, &["json", "session"]));
    let _again = again.expect("its port is free again");
    // The new process knows nothing of the old session.
    let back = agent.call_tool("bank__deposit", json!({"amount": 3}));
    assert!(back.to_string().contains("deposited 3"), "{back}");
    let deposits = std::fs::read_to_string(home.path("project").join("deposits.txt")).expect("written");
    assert_eq!(deposits, "1\n3\n");
}
