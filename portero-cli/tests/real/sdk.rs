//! The official Python SDK as a client, in each era.

use std::process::Command;

use serde_json::{Value, json};

use crate::home::Home;
use crate::peers::{peers, source};

fn through_the_sdk(mode: &str) -> Value {
    let home = Home::new(&json!({}), &json!({"policies": {"time/*": "allow"}}));
    home.write(
        "mcps.json",
        &json!({"mcpServers": {"time": {"command": peers().python("mcp-server-time"), "args": ["--local-timezone", "UTC"]}}}),
    );
    let portero = home.portero(&["mcp"]);
    let output = Command::new(peers().python("python"))
        .arg(source("sdk_client.py"))
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
        let seen = through_the_sdk(mode);
        assert_eq!(seen["protocol"], protocol, "{mode}: {seen}");
        assert!(
            seen["tools"].as_array().expect("tools").contains(&json!("time__get_current_time")),
            "{mode}: {seen}"
        );
        assert!(seen["result"].to_string().contains("Asia/Tokyo"), "{mode}: {seen}");
    }
}
