//! The same messages over stdio and over HTTP get the same answers, byte for byte, in every revision.
//!
//! A client that speaks HTTP to the daemon meets the session that a client on stdio meets. What HTTP alone has (statuses,
//! headers, session ids) is no part of an answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

const TOKEN: &str = "2f7c1b9e0d4a86553c1f0e9b7a2d4c68e1f3a5b7c9d0e2f4061728394a5b6c7d";
const LEGACY_REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What a client says, and whether it is answered.
type Line = (&'static str, bool);

/// For a session of each of the earlier revisions, in this order.
const LEGACY_LINES: &[Line] = &[
    (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, false),
    // Ids as clients write them.
    (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":-0,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":1.50,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":"","method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":"\u00fc \ud83d","method":"ping"}"#, true),
    (r#" { "method" : "ping" , "id" : "late" , "jsonrpc" : "2.0" } "#, true),
    (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, true),
    // What is no message.
    ("{", true),
    ("7", true),
    ("[]", true),
    (r#"{"jsonrpc":"1.0","id":2,"method":"ping"}"#, true),
    (r#"{"id":2,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":2}"#, true),
    (r#"{"jsonrpc":"2.0","id":2,"id":3,"method":"ping"}"#, true),
    (r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":[]}"#, true),
    (r#"{"jsonrpc":"2.0","id":2,"method":7}"#, true),
    (r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":{"n":NaN}}"#, true),
    ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", true),
    // Methods that are unknown, and answers to nothing.
    (r#"{"jsonrpc":"2.0","id":3,"method":"nothing/such"}"#, true),
    (r#"{"jsonrpc":"2.0","method":"notifications/nothing"}"#, false),
    (r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#, false),
    (r#"{"jsonrpc":"2.0","id":9,"result":{}}"#, false),
    (r#"{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"x"}}"#, false),
    // Batches.
    (
        r#"[{"jsonrpc":"2.0","id":4,"method":"ping"},{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":"b","method":"nothing"}]"#,
        true,
    ),
    (r#"[{"jsonrpc":"2.0","id":4,"method":"ping"},7,{"jsonrpc":"2.0","id":5,"method":7}]"#, true),
    (r#"[7,{"jsonrpc":"2.0","id":5}]"#, true),
    // What servers offer.
    (r#"{"jsonrpc":"2.0","id":10,"method":"tools/list"}"#, true),
    (r#"{"jsonrpc":"2.0","id":11,"method":"tools/list","params":{"cursor":"nowhere"}}"#, true),
    (r#"{"jsonrpc":"2.0","id":12,"method":"resources/list","params":{}}"#, true),
    (r#"{"jsonrpc":"2.0","id":13,"method":"resources/templates/list"}"#, true),
    (r#"{"jsonrpc":"2.0","id":14,"method":"prompts/list"}"#, true),
    (
        r#"{"jsonrpc":"2.0","id":15,"method":"tools/call","params":{"name":"office__read_mail","arguments":{"id":1}}}"#,
        true,
    ),
    (
        r#"{"jsonrpc":"2.0","id":16,"method":"tools/call","params":{"name":"office__read_mail","arguments":{"id":1.0,"id":2}}}"#,
        true,
    ),
    (
        r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"office__delete_mail","arguments":{"id":1}}}"#,
        true,
    ),
    (
        r#"{"jsonrpc":"2.0","id":18,"method":"tools/call","params":{"name":"nobody__does","arguments":{}}}"#,
        true,
    ),
    (r#"{"jsonrpc":"2.0","id":19,"method":"tools/call","params":{"arguments":{}}}"#, true),
    (r#"{"jsonrpc":"2.0","id":20,"method":"tools/call"}"#, true),
    (
        r#"{"jsonrpc":"2.0","id":21,"method":"tools/call","params":{"name":"portero__list_tasks","arguments":{"state":"odd"}}}"#,
        true,
    ),
    (r#"{"jsonrpc":"2.0","id":22,"method":"prompts/get","params":{"name":"none"}}"#, true),
    (r#"{"jsonrpc":"2.0","id":23,"method":"resources/read","params":{"uri":"nothing://here"}}"#, true),
    (r#"{"jsonrpc":"2.0","id":24,"method":"resources/subscribe","params":{}}"#, true),
    (
        r#"{"jsonrpc":"2.0","id":25,"method":"completion/complete","params":{"ref":{"type":"ref/none"}}}"#,
        true,
    ),
    (r#"{"jsonrpc":"2.0","id":26,"method":"logging/setLevel","params":{"level":"debug"}}"#, true),
    (r#"{"jsonrpc":"2.0","id":27,"method":"logging/setLevel","params":{"level":"loud"}}"#, true),
];

const FIRST_CALL: &str =
    r#"{"jsonrpc":"2.0","id":"first","method":"tools/call","params":{"name":"office__list_mail"}}"#;

/// Requests of 2026-07-28: method and the rest of `params`.
const MODERN_REQUESTS: &[(&str, &str)] = &[
    ("server/discover", "{}"),
    ("tools/list", "{}"),
    ("tools/list", r#"{"cursor":"nowhere"}"#),
    ("resources/list", "{}"),
    ("resources/templates/list", "{}"),
    ("prompts/list", "{}"),
    ("tools/call", r#"{"name":"office__read_mail","arguments":{"id":1}}"#),
    ("tools/call", r#"{"name":"office__delete_mail","arguments":{"id":1}}"#),
    ("tools/call", r#"{"name":"nobody__does","arguments":{}}"#),
    ("tools/call", r#"{"arguments":{}}"#),
    ("prompts/get", r#"{"name":"none"}"#),
    ("resources/read", r#"{"uri":"nothing://here"}"#),
    ("completion/complete", r#"{"ref":{"type":"ref/none"}}"#),
    ("resources/subscribe", r#"{"uri":"nothing://here"}"#),
    ("logging/setLevel", r#"{"level":"debug"}"#),
    ("ping", "{}"),
    ("initialize", r#"{"protocolVersion":"2025-11-25"}"#),
    ("nothing/such", "{}"),
];

/// A daemon that serves `/mcp`.
struct Endpoint(SocketAddr);

impl Endpoint {
    fn start(world: &TestHome) -> Self {
        world.write(
            "portero.json",
            &json!({"https": {
                "plainHttp": true, "listen": "127.0.0.1:0",
                "limits": {"requestsPerMinute": 100_000, "requestsPerMinuteOfAddress": 100_000},
            }}),
        );
        std::fs::write(world.path("config/.env"), format!("BEARER_TOKEN={TOKEN}\n")).unwrap();
        let started = world.run(&["daemon", "start"]);
        assert_eq!(started.code, 0, "{}", started.stderr);
        let address = eventually("the endpoint opens", || {
            let status = world.json(&["status"]);
            status["https"]["address"].as_str().map(|address| address.parse().unwrap())
        });
        Self(address)
    }

    /// The head and the body of the response to a POST.
    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(self.0).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a whole head");
        let is_chunked = header(head, "transfer-encoding") == "chunked";
        let body = if is_chunked { join_chunks(body) } else { body.to_owned() };
        let is_stream = header(head, "content-type") == "text/event-stream";
        (head.to_owned(), if is_stream { last_message(&body) } else { body })
    }
}

fn join_chunks(mut body: &str) -> String {
    let mut joined = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            return joined;
        }
        joined.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
}

/// The answer on a stream of events, which comes last.
fn last_message(events: &str) -> String {
    let mut data = events.lines().filter_map(|line| line.strip_prefix("data: "));
    data.rfind(|data| !data.is_empty()).unwrap_or_default().to_owned()
}

/// The response's header; empty if it has none of this name.
fn header(head: &str, name: &str) -> String {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map_or_else(String::new, |(_, value)| value.to_owned())
}

/// What a session on stdio answers to a line, if it answers.
fn answer_over_stdio(agent: &mut Agent, line: &str, is_answered: bool) -> String {
    agent.send_line(line);
    if !is_answered {
        agent.send_line(r#"{"jsonrpc":"2.0","id":"the end","method":"nothing/such"}"#);
    }
    let answer = loop {
        let said = agent.next_line();
        // Notifications come at any time. An id may be text that serde_json doesn't read.
        if !said.starts_with(r#"{"jsonrpc":"2.0","method":"#) {
            break said;
        }
    };
    match is_answered {
        true => answer,
        false => {
            assert!(answer.contains("the end"), "an answer to {line}: {answer}");
            String::new()
        }
    }
}

fn initialize(revision: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "both", "version": "1"},
    }})
    .to_string()
}

/// A session on stdio that has read its configuration, and its first answer. One that still reads it says so.
fn begin_over_stdio(world: &TestHome, hello: &str) -> (Agent, String) {
    eventually("the configuration is read", || {
        let mut agent = Agent::start(world, &[]);
        let answer = answer_over_stdio(&mut agent, hello, true);
        (!answer.contains("still reads its configuration")).then_some((agent, answer))
    })
}

#[test]
fn a_session_answers_over_http_as_over_stdio() {
    let world = TestHome::with_office();
    let endpoint = Endpoint::start(&world);
    let mut differences = Vec::new();
    for revision in LEGACY_REVISIONS {
        let hello = initialize(revision);
        let (mut agent, over_stdio) = begin_over_stdio(&world, &hello);
        let (head, over_http) = endpoint.post(&[], hello.as_bytes());
        assert_eq!(over_http, over_stdio, "{revision}");
        let id = header(&head, "mcp-session-id");
        let session = [("Mcp-Session-Id", &*id), ("MCP-Protocol-Version", revision)];
        // It waits for the server's start, so that both have its lists.
        answer_over_stdio(&mut agent, FIRST_CALL, true);
        endpoint.post(&session, FIRST_CALL.as_bytes());
        for (line, is_answered) in LEGACY_LINES.iter().copied() {
            let over_stdio = answer_over_stdio(&mut agent, line, is_answered);
            let (head, over_http) = endpoint.post(&session, line.as_bytes());
            if over_http != over_stdio {
                let status = head.lines().next().unwrap_or_default().to_owned();
                differences
                    .push(format!("{revision} {line}\n stdio {over_stdio}\n  http {over_http} ({status})"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_modern_request_is_answered_over_http_as_over_stdio() {
    let world = TestHome::with_office();
    let endpoint = Endpoint::start(&world);
    let mut agent = Agent::start(&world, &[]);
    answer_over_stdio(&mut agent, FIRST_CALL, true);
    let whole = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "both", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let changed = |key: &str, value: Value| {
        let mut meta = whole.clone();
        meta[key] = value;
        meta
    };
    let mut requests: Vec<(Value, &str, &str)> =
        MODERN_REQUESTS.iter().map(|(method, params)| (whole.clone(), *method, *params)).collect();
    for meta in [
        changed("io.modelcontextprotocol/clientCapabilities", json!(null)),
        changed("io.modelcontextprotocol/protocolVersion", json!("2099-01-01")),
        changed("io.modelcontextprotocol/logLevel", json!("loud")),
    ] {
        requests.push((meta.clone(), "tools/list", "{}"));
        requests.push((meta, "server/discover", "{}"));
    }
    let mut differences = Vec::new();
    for (number, (meta, method, params)) in requests.iter().enumerate() {
        let mut params: Value = serde_json::from_str(params).unwrap();
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or("none").to_owned();
        params["_meta"] = meta.clone();
        let line = json!({"jsonrpc": "2.0", "id": format!("m{number}"), "method": method, "params": params});
        let line = line.to_string();
        let over_stdio = answer_over_stdio(&mut agent, &line, true);
        let version = meta["io.modelcontextprotocol/protocolVersion"].as_str().unwrap();
        let headers = [("MCP-Protocol-Version", version), ("Mcp-Method", *method), ("Mcp-Name", &name)];
        let (head, over_http) = endpoint.post(&headers, line.as_bytes());
        if over_http != over_stdio {
            let status = head.lines().next().unwrap_or_default().to_owned();
            differences.push(format!("{line}\n stdio {over_stdio}\n  http {over_http} ({status})"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
