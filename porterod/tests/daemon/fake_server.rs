//! A small MCP server: this test program, started a second time.
//!
//! It writes each `tools/call` that it gets, with its process id, into the file `RECORD_VARIABLE`. One whose role is
//! [`TALKATIVE`] has resources and logs too, writes down everything that it gets, and does what a call of `read` says.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

/// What makes this program a server.
pub(crate) const ROLE_VARIABLE: &str = "PORTERO_TEST_FAKE_SERVER";
/// The role of one that says things unasked.
pub(crate) const TALKATIVE: &str = "talkative";
/// Where it writes down what it gets.
pub(crate) const RECORD_VARIABLE: &str = "PORTERO_TEST_RECORD";
/// The name of one more tool that it lists.
pub(crate) const MORE: &str = "PORTERO_TEST_MORE";
/// A value that it tells with each answer, and writes down.
pub(crate) const SECRET_VARIABLE: &str = "PORTERO_TEST_SECRET";
/// The resource of a talkative one. A subscription to any other is not answered.
pub(crate) const MEMO_URI: &str = "memo://1";

/// No test: the server's `main`.
#[test]
#[expect(clippy::too_many_lines, reason = "one list of what it answers")]
fn fake_server() {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else { return };
    let is_talkative = role == TALKATIVE;
    let (mut version, mut lists) = (1, true);
    let mut stdout = std::io::stdout().lock();
    // What the test harness has begun to say ends here.
    let mut say = |message: &Value| {
        writeln!(stdout, "\n{message}").expect("stdout");
        stdout.flush().expect("stdout");
    };
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.expect("stdin")).expect("JSON");
        let id = &message["id"];
        if is_talkative {
            record_request(&message);
        }
        let result = match message["method"].as_str().unwrap_or_default() {
            _ if id.is_null() => continue,
            "initialize" if is_talkative => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {
                    "tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {},
                },
                "serverInfo": {"name": "talkative", "version": "1"},
            }),
            "tools/list" if is_talkative => {
                if !lists {
                    let params = json!({"uri": MEMO_URI});
                    say(
                        &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}),
                    );
                    continue;
                }
                // `read` stays as it is pinned, so that it can be called after a change.
                let tools = ["read".to_owned(), format!("extra-{version}")];
                json!({"tools": tools.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))})
            }
            "resources/list" if is_talkative => json!({"resources": [{"uri": MEMO_URI, "name": "memo"}]}),
            "resources/templates/list" if is_talkative => json!({"resourceTemplates": []}),
            "resources/subscribe" if is_talkative && message["params"]["uri"] != MEMO_URI => continue,
            "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" if is_talkative => json!({}),
            "tools/call" if is_talkative => {
                let mut tell = |method: &str, params: Value| {
                    say(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
                };
                if let Some(token) = message["params"]["_meta"].get("progressToken") {
                    tell("notifications/progress", json!({"progressToken": token, "progress": 1}));
                }
                match message["params"]["arguments"]["text"].as_str().unwrap_or_default() {
                    "hang" => lists = false,
                    "change" => {
                        version += 1;
                        tell("notifications/tools/list_changed", json!({}));
                    }
                    text if text.starts_with("log") => {
                        tell("notifications/message", json!({"level": "info", "data": text}));
                    }
                    "update" => tell("notifications/resources/updated", json!({"uri": MEMO_URI})),
                    _ => {}
                }
                json!({"content": []})
            }
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
            "tools/list" => {
                wait_while_held();
                let mut tools = ["read", "erase", "wait"].map(tool).to_vec();
                if !std::path::Path::new(GONE).exists() {
                    tools.push(tool("send"));
                }
                tools.extend(std::env::var(MORE).ok().map(|name| tool(&name)));
                json!({"tools": tools})
            }
            "tools/call" => {
                if let Some(token) = message["params"]["_meta"].get("progressToken") {
                    let params = json!({"progressToken": token, "progress": 1, "message": "Jane Roe"});
                    say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                }
                record_request(&message["params"]);
                let mut text = message["params"]["arguments"].to_string();
                text.extend(std::env::var(SECRET_VARIABLE));
                if message["params"]["name"] == "wait" || text.contains(ENDLESS) {
                    continue;
                }
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

/// It doesn't list `send` while the project holds this file.
pub(crate) const GONE: &str = "gone";
/// A call that says this is never answered.
pub(crate) const ENDLESS: &str = "endless";
/// Lists nothing as long as the project holds this file, or for a minute.
pub(crate) const HOLD: &str = "hold";

fn wait_while_held() {
    let since = std::time::Instant::now();
    while std::path::Path::new(HOLD).exists() && since.elapsed() < std::time::Duration::from_secs(60) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

pub(crate) fn tool(name: &str) -> Value {
    // Two checkouts may hold two versions. A private value in a description is concealed wherever it leaves.
    let version = std::fs::read_to_string("version").unwrap_or_default();
    json!({"name": name, "description": format!("{name}{version} for Jane Roe"), "inputSchema": {"type": "object"}})
}

fn record_request(params: &Value) {
    let path = std::env::var_os(RECORD_VARIABLE).expect("where to write");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("opened");
    let secret = std::env::var(SECRET_VARIABLE).ok();
    let line = json!({"pid": std::process::id(), "params": params, "secret": secret});
    // At once, so that a reader sees whole lines.
    file.write_all(format!("{line}\n").as_bytes()).expect("written");
}
