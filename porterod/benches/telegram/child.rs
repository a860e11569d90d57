//! The server whose tool is approved: this program, started a second time. It writes down when it is called.

use std::io::{BufRead, Write};
use std::time::SystemTime;

use serde_json::{Value, json};

/// What makes this program a server: the file that it writes to.
pub(crate) const RECORD_VARIABLE: &str = "PORTERO_BENCH_RECORD";

pub(crate) fn run_server() {
    let path = std::env::var_os(RECORD_VARIABLE).expect("where to write");
    let mut record = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("opened");
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.expect("stdin")).expect("JSON");
        let id = &message["id"];
        let result = match message["method"].as_str().unwrap_or_default() {
            _ if id.is_null() => continue,
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "bench", "version": "1"},
            }),
            "tools/list" => {
                json!({"tools": [{"name": "send", "inputSchema": {"type": "object"}}]})
            }
            "tools/call" => {
                writeln!(record, "{}", unix_nanos()).expect("written");
                json!({"content": [{"type": "text", "text": "done"}]})
            }
            _ => json!({}),
        };
        writeln!(stdout, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result})).expect("stdout");
        stdout.flush().expect("stdout");
    }
}

/// The present, in nanoseconds since 1970: both programs see the same clock.
pub(crate) fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos()
}
