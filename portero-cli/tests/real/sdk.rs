//! The official SDKs as clients: Python in each era, TypeScript where it checks more.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::peers::{peer_file, peers};
use crate::test_support::TestHome;

fn run_python_client(mode: &str) -> Value {
    let home = TestHome::new(&json!({}), &json!({"policies": {"time/*": "allow"}}));
    home.write(
        "mcps.json",
        &json!({"mcpServers": {"time": {"command": peers().python("mcp-server-time"), "args": ["--local-timezone", "UTC"]}}}),
    );
    let portero = home.portero_command(&["mcp"]);
    let output = Command::new(peers().python("python"))
        .arg(peer_file("sdk_client.py"))
        .args([
            mode,
            "time__get_current_time",
            r#"{"timezone":"Asia/Tokyo"}"#,
            env!("CARGO_BIN_EXE_portero"),
            "mcp",
        ])
        .envs(portero.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

#[test]
fn the_python_sdk_lists_and_calls_in_every_era() {
    for (mode, protocol) in [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")] {
        let seen = run_python_client(mode);
        assert_eq!(seen["protocol"], protocol, "{mode}: {seen}");
        assert!(
            seen["tools"].as_array().expect("tools").contains(&json!("time__get_current_time")),
            "{mode}: {seen}"
        );
        assert!(seen["result"].to_string().contains("Asia/Tokyo"), "{mode}: {seen}");
    }
}

/// Lists a tool with an output schema while it is allowed, and calls it once it asks; what the client got.
fn run_pending_client(client: impl FnOnce(&str) -> Command) -> Value {
    let home = TestHome::new(&json!({}), &json!({"policies": {"*": "allow"}}));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/weather.py");
    home.write(
        "mcps.json",
        &json!({"mcpServers": {"sky": {"command": peers().python("python"), "args": [script]}}}),
    );
    let portero = home.portero_command(&["mcp"]);
    let output = client("sky__weather")
        .args(["sky/weather", env!("CARGO_BIN_EXE_portero")])
        .envs(portero.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("the client runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

#[test]
fn a_pending_answer_survives_clients_that_check_results() {
    let python = |mode: &'static str| {
        move |tool: &str| {
            let mut command = Command::new(peers().python("python"));
            command.arg(peer_file("sdk_pending.py")).args([mode, tool]);
            command
        }
    };
    let typescript = |tool: &str| {
        let mut command = Command::new("node");
        command.arg(peer_file("sdk_pending.mjs")).arg(peers().node_modules()).arg(tool);
        command
    };
    for seen in [
        run_pending_client(python("legacy")),
        run_pending_client(python("auto")),
        run_pending_client(typescript),
    ] {
        assert_eq!(seen["before"]["temperature"], 5, "{seen}");
        assert_eq!(seen["result"]["isError"], true, "{seen}");
        let text = seen["result"]["content"][0]["text"].as_str().expect("a text");
        let status: Value = serde_json::from_str(text).expect("the status as text");
        assert_eq!(status["status"], "pending-approval", "{seen}");
        assert!(status["taskId"].is_string(), "{seen}");
    }
}
