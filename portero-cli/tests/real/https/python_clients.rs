//! The official Python SDK's client and that of fastmcp over HTTPS, with a token and with a login of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{HttpsHome, RemoteClient, check_conversation};
use crate::approvals::filesystem_home;
use crate::peers::{peer_file, peers};
use crate::remote::HttpPeer;

/// `http_client.py`, which ends by itself after two minutes.
struct PythonClient {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl PythonClient {
    /// Starts a client of this kind; returns what it says of its connection.
    fn connect(https: &HttpsHome, kind: &str, token: &str) -> (Self, Value) {
        Self::start(https, &[kind, &https.url()], Some(token))
    }

    fn start(https: &HttpsHome, arguments: &[&str], token: Option<&str>) -> (Self, Value) {
        let mut command = Command::new(peers().python("python"));
        command.arg(peer_file("http_client.py")).args(arguments).env("CA_FILE", &https.certificate);
        command.env_remove("TOKEN").envs(token.map(|token| ("TOKEN", token)));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut client = Self { process, input, output };
        let first = client.read_line();
        (client, first)
    }

    fn read_line(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).expect("text"), 0, "the client ended");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input.as_mut().expect("open"), "{command}").expect("it reads");
        self.read_line()
    }
}

impl RemoteClient for PythonClient {
    fn list_tools(&mut self) -> Vec<String> {
        let names = self.tell(&json!({"list": true}));
        serde_json::from_value(names.clone()).unwrap_or_else(|error| panic!("{error}: {names}"))
    }

    fn call_tool(&mut self, tool: &str, arguments: Value) -> Value {
        self.tell(&json!({"tool": tool, "arguments": arguments}))
    }
}

impl Drop for PythonClient {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn the_python_sdk_is_served_in_every_era() {
    for (mode, protocol) in [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")] {
        let https = HttpsHome::start();
        let token = https.create_token("laptop");
        let (mut client, connected) = PythonClient::connect(&https, mode, &token);
        assert_eq!(connected, json!({"protocol": protocol}), "{mode}");
        check_conversation(&https, &mut client);
    }
}

#[test]
fn fastmcp_is_served() {
    let https = HttpsHome::start();
    let token = https.create_token("laptop");
    let (mut client, connected) = PythonClient::connect(&https, "fastmcp", &token);
    assert_eq!(connected["error"], Value::Null, "{connected}");
    check_conversation(&https, &mut client);
}

#[test]
fn python_clients_with_a_wrong_token_get_an_error_and_nothing_else() {
    let https = HttpsHome::start();
    let revoked = https.create_token("revoked");
    assert!(https.home.run(&["token", "revoke", "revoked"]).status.success());
    for (kind, token) in [("legacy", "portero_wrong"), ("auto", &*revoked), ("fastmcp", "portero_wrong")] {
        let (_client, connected) = PythonClient::connect(&https, kind, token);
        assert!(connected["error"].is_string(), "{kind}: {connected}");
    }
    // A client that insists on a revision first asks with its first request.
    let (mut client, _) = PythonClient::connect(&https, "2026-07-28", &revoked);
    let listed = client.tell(&json!({"list": true}));
    assert!(listed["error"].is_string(), "{listed}");
    assert_eq!(https.home.json(&["status"])["https_clients"], json!([]));
}

#[test]
fn the_python_sdk_logs_in_by_itself_where_the_endpoint_says() {
    let issuer = HttpPeer::start(|port| {
        let mut command = Command::new("node");
        command.arg(peer_file("issuer.mjs")).arg(port.to_string()).args(["jwt", "portero"]);
        command.env("PEERS", peers().directory());
        command
    });
    let oidc = json!({
        "issuer": issuer.url(""), "audience": "portero", "claims": {"scope": {"deposit": {"servers": ["files"]}}},
    });
    let https = HttpsHome::open(filesystem_home(), json!({"oidc": oidc}));
    for mode in ["legacy", "auto"] {
        let (mut client, connected) = PythonClient::start(&https, &[mode, &https.url(), "anna"], None);
        assert_eq!(connected["error"], Value::Null, "{mode}: {connected}");
        let read = client.call_tool(
            "portero__call",
            json!({"tool": "files/read_text_file", "args": {"path": https.note()}}),
        );
        assert!(read.to_string().contains("from the note"), "{mode}: {read}");
    }
    let status = https.home.json(&["status"]);
    let principal = status["https_clients"][0]["principal"].as_str().expect("a client");
    assert!(principal.contains(&issuer.url("")) && principal.ends_with("#anna"), "{status}");
}
