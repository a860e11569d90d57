//! A small MCP server: this test program, started a second time.
//!
//! It writes each `tools/call` that it gets, with its process id, into the file `RECORD`.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

/// What makes this program a server.
pub(crate) const ROLE: &str = "PORTERO_TEST_FAKE_SERVER";
/// Where it writes down what it gets.
pub(crate) const RECORD: &str = "PORTERO_TEST_RECORD";

/// No test: the server's `main`.
#[test]
fn fake_server() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    // What the test harness has begun to say ends here.
    let mut say = |message: &Value| {
        writeln!(stdout, "\n{message}").expect("stdout");
        stdout.flush().expect("stdout");
    };
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.expect("stdin")).expect("JSON");
        let id = &message["id"];
        let result = match message["method"].as_str().unwrap_or_default() {
            _ if id.is_null() => continue,
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
            "tools/list" => {
                let tools = ["read", "send", "erase", "wait"].map(tool);
                json!({"tools": tools})
            }
            "tools/call" => {
                if let Some(token) = message["params"]["_meta"].get("progressToken") {
                    let params = json!({"progressToken": token, "progress": 1, "message": "Jane Roe"});
                    say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                }
                record(&message["params"]);
                if message["params"]["name"] == "wait" {
                    continue;
                }
                let text = message["params"]["arguments"].to_string();
                json!({"content": [{"type": "text", "text": text}]})
            }
            _ => {
                let error = json!({"code": -32601, "message": "unknown"});
                say(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
                continue;
            }
        };
        say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }
    std::process::exit(0);
}

fn tool(name: &str) -> Value {
    // Two checkouts may hold two versions.
    let version = std::fs::read_to_string("version").unwrap_or_default();
    json!({"name": name, "description": format!("{name}{version}"), "inputSchema": {"type": "object"}})
}

fn record(params: &Value) {
    let path = std::env::var_os(RECORD).expect("where to write");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("opened");
    writeln!(file, "{}", json!({"pid": std::process::id(), "params": params})).expect("written");
}
