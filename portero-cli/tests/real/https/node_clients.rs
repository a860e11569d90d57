//! `mcp-remote`, which carries stdio to HTTPS, and MCP Inspector's command line.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{HttpsHome, RemoteClient, check_conversation};
use crate::agent::Agent;
use crate::peers::peers;

const WRONG_TOKEN: &str = "portero_wrong";

/// A command of Node that trusts the endpoint's certificate. Its home is the test's own.
fn node_command(https: &HttpsHome) -> Command {
    let mut command = Command::new(peers().newer_node());
    command.env_clear().env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command.env("HOME", https.home.path("run")).env("NODE_EXTRA_CA_CERTS", &https.certificate);
    command
}

fn mcp_remote(https: &HttpsHome, token: &str) -> Command {
    let mut command = node_command(https);
    command
        .arg(peers().node_modules().join(".bin/mcp-remote"))
        .args([&https.url(), "--transport", "http-only", "--header"])
        .arg(format!("Authorization: Bearer {token}"));
    command
}

impl RemoteClient for Agent {
    fn list_tools(&mut self) -> Vec<String> {
        self.tool_names()
    }

    fn call_tool(&mut self, tool: &str, arguments: Value) -> Value {
        Self::call_tool(self, tool, arguments)
    }
}

#[test]
fn mcp_remote_is_served() {
    let https = HttpsHome::start();
    let token = https.create_token("laptop");
    let mut agent = Agent::start(&mut mcp_remote(&https, &token));
    assert_eq!(agent.welcome["protocolVersion"], "2025-11-25", "{}", agent.welcome);
    check_conversation(&https, &mut agent);
}

#[test]
fn mcp_remote_with_a_wrong_token_ends_with_the_refusal() {
    let https = HttpsHome::start();
    let output = mcp_remote(&https, WRONG_TOKEN).stdin(Stdio::null()).output().expect("Node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("the bearer token is not valid"), "{said}");
}

/// MCP Inspector, which connects anew for each command.
struct Inspector<'a> {
    https: &'a HttpsHome,
    token: String,
    era: &'static str,
}

impl Inspector<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = node_command(self.https);
        command
            .arg(peers().node_modules().join(".bin/mcp-inspector"))
            .args(["--cli", &self.https.url(), "--transport", "http", "--protocol-era", self.era])
            // Without it a refused token opens a browser.
            .args(["--stored-auth-only", "--header"])
            .arg(format!("Authorization: Bearer {}", self.token))
            .args(arguments);
        command.stdin(Stdio::null()).output().expect("Node runs")
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{arguments:?} gave no JSON: {error}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

impl RemoteClient for Inspector<'_> {
    fn list_tools(&mut self) -> Vec<String> {
        let listed = self.ask(&["--method", "tools/list"]);
        let tools = listed["tools"].as_array().expect("tools");
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }

    fn call_tool(&mut self, tool: &str, arguments: Value) -> Value {
        let arguments = arguments.to_string();
        self.ask(&["--method", "tools/call", "--tool-name", tool, "--tool-args-json", &arguments])
    }
}

#[test]
fn the_inspector_is_served_in_both_eras() {
    for era in ["legacy", "modern"] {
        let https = HttpsHome::start();
        let token = https.create_token("laptop");
        check_conversation(&https, &mut Inspector { https: &https, token, era });
    }
}

#[test]
fn the_inspector_with_a_wrong_token_says_why_it_is_refused() {
    let https = HttpsHome::start();
    let inspector = Inspector { https: &https, token: WRONG_TOKEN.to_owned(), era: "legacy" };
    let output = inspector.run(&["--method", "tools/list"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("the bearer token is not valid"), "{said}");
    assert_eq!(https.home.json(&["status"])["https_clients"], json!([]));
}
