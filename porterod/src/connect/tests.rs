//! A client on stdio against a scripted server over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::http_transport::tests::fake_http::{FakeHttp, Reply, Seen, event};

/// The bound of every wait.
const PATIENCE: Duration = Duration::from_secs(60);
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const GREETING: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;

/// A client that is connected to a server.
struct Client {
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    served: JoinHandle<std::io::Result<()>>,
    _stop: oneshot::Sender<()>,
}

impl Client {
    fn start(url: &str, headers: &[(&str, &str)]) -> Self {
        let headers: BTreeMap<String, Secret> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        let url = HttpUrl::parse(url).expect("a URL");
        let server = describe_server(url, headers, None);
        let clients = HttpClients::without_logins(ProxySettings::default());
        let connector = Connector { server, clients, session_end_timeout: PATIENCE };
        let (input, read) = tokio::io::duplex(1 << 16);
        let (write, output) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(connector.serve(read, write, stopped));
        Self { input: Some(input), output: BufReader::new(output).lines(), served, _stop: stop }
    }

    /// A client that has greeted the server.
    async fn greeted(url: &str) -> Self {
        let mut client = Self::start(url, &[]);
        client.send(INITIALIZE).await;
        assert_eq!(client.line().await, format!(r#"{{"jsonrpc":"2.0","id":"first","result":{GREETING}}}"#));
        client.send(INITIALIZED).await;
        client
    }

    async fn send(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("it is read");
    }

    /// The next line that it is written.
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await.expect("a line comes");
        line.expect("the output can be read").expect("the output is open")
    }

    async fn message(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("every line is JSON")
    }

    /// Ends its input, and returns the lines that are still written.
    async fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let mut rest = Vec::new();
        let read = async {
            while let Ok(Some(line)) = self.output.next_line().await {
                rest.push(line);
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the output ends");
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("no fault");
        rest
    }
}

/// A server with sessions, answers as JSON, and no stream of its own.
fn usual(seen: &Seen, on_request: impl FnOnce(&Seen) -> Reply) -> Reply {
    match (&*seen.method, &*seen.rpc_method()) {
        ("POST", "initialize") => greet(seen, "session-1"),
        ("POST", "" | "notifications/initialized" | "notifications/cancelled") => Reply::status(202),
        ("POST", _) => on_request(seen),
        ("DELETE", _) => Reply::status(200),
        _ => Reply::status(405),
    }
}

fn greet(seen: &Seen, session: &str) -> Reply {
    let headers =
        vec![("content-type", "application/json".to_owned()), ("mcp-session-id", session.to_owned())];
    Reply::Whole(200, headers, seen.result(GREETING))
}

#[tokio::test]
async fn messages_pass_as_they_came_on_one_line_each() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| {
            Reply::json(seen.result("{\n  \"a\": 1.10,\n  \"n\": 123456789012345678901234567890 }"))
        })
    })
    .await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    let call = r#"{"jsonrpc":"2.0","id":1.50,"extra":[1],"method":"tools/call","params":{"name":"x","arguments":{"big":1e400}}}"#;
    client.send(call).await;
    let answer =
        r#"{"jsonrpc":"2.0","id":1.50,"result":{   "a": 1.10,   "n": 123456789012345678901234567890 }}"#;
    assert_eq!(client.line().await, answer);
    let seen = server.seen();
    assert!(seen.iter().any(|seen| seen.body == call), "{seen:?}");
    assert!(client.end().await.is_empty());
    server.wait_for("DELETE").await;
}

#[tokio::test]
async fn what_a_server_says_before_its_answer_comes_first_and_its_questions_are_answered() {
    let (tell, answered) = tokio::sync::mpsc::unbounded_channel();
    let answered = std::sync::Mutex::new(Some(answered));
    let server = FakeHttp::start(move |seen| {
        if seen.rpc_method().is_empty() && seen.method == "POST" {
            // The client's answer to the server's question.
            let _ = tell.send(event(r#"{"jsonrpc":"2.0","id":"c1","result":{"content":[]}}"#));
        }
        usual(seen, |_| {
            let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#;
            let question = r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#;
            let before = event(progress) + &event(question);
            Reply::Live(before, answered.lock().expect("no panic").take().expect("one call"))
        })
    })
    .await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    client.send(r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call","params":{"name":"x"}}"#).await;
    assert_eq!(client.message().await["params"]["progress"], 1);
    assert_eq!(client.line().await, r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#);
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"roots":[]}}"#;
    client.send(answer).await;
    assert_eq!(client.message().await["id"], "c1");
    assert!(
        server.seen().iter().any(|seen| seen.body == answer && seen.header("mcp-session-id") == "session-1")
    );
    client.end().await;
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_begun_anew_and_the_call_sent_again() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&sessions);
    let server = FakeHttp::start(move |seen| {
        if seen.rpc_method() == "initialize" {
            return greet(seen, &format!("session-{}", begun.fetch_add(1, Ordering::SeqCst)));
        }
        usual(seen, |seen| {
            // The first session is gone as soon as it is used.
            if seen.header("mcp-session-id") == "session-0" {
                Reply::status(404)
            } else {
                Reply::json(seen.result("{}"))
            }
        })
    })
    .await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    for id in 1..=2 {
        client
            .send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#))
            .await;
        assert_eq!(client.line().await, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
    assert!(client.end().await.is_empty(), "the client hears of its own requests only");
    assert_eq!(sessions.load(Ordering::SeqCst), 2);
    let calls: Vec<_> = server
        .seen()
        .iter()
        .filter(|seen| matches!(&*seen.rpc_method(), "tools/call" | "notifications/initialized"))
        .map(|seen| format!("{} {}", seen.header("mcp-session-id"), seen.rpc_method()))
        .collect();
    let expected = [
        "session-0 notifications/initialized",
        "session-0 tools/call",
        "session-1 notifications/initialized",
        "session-1 tools/call",
        "session-1 tools/call",
    ];
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn a_server_that_forgets_every_session_gets_each_call_twice_at_most() {
    let server = FakeHttp::start(|seen| usual(seen, |_| Reply::status(404))).await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#).await;
    let message = client.message().await;
    assert_eq!((&message["id"], &message["error"]["code"]), (&json!(1), &json!(-32000)), "{message}");
    assert!(message["error"]["message"].as_str().expect("words").contains("ended the session"), "{message}");
    client.end().await;
    assert_eq!(server.asked().iter().filter(|asked| *asked == "POST tools/call").count(), 2);
}

#[tokio::test]
async fn a_cancellation_reaches_the_server_and_the_request_gets_no_answer() {
    let server = FakeHttp::start(|seen| {
        usual(
            seen,
            |seen| if seen.rpc_method() == "ping" { Reply::json(seen.result("{}")) } else { Reply::Never },
        )
    })
    .await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    client.send(r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"x"}}"#).await;
    server.wait_for("POST tools/call").await;
    let cancellation =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}"#;
    client.send(cancellation).await;
    server.wait_for("POST notifications/cancelled").await;
    assert!(server.seen().iter().any(|seen| seen.body == cancellation));
    // The cancelled request isn't open any more, so its id may be used again.
    client.send(r#"{"jsonrpc":"2.0","id":"slow","method":"ping"}"#).await;
    assert_eq!(client.line().await, r#"{"jsonrpc":"2.0","id":"slow","result":{}}"#);
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn a_refused_credential_is_told_without_showing_it() {
    let server = FakeHttp::start(|_| Reply::status(401)).await;
    let url = format!("{}/mcp", server.origin);
    let greet = async |headers: &[(&str, &str)]| {
        let mut client = Client::start(&url, headers);
        client.send(INITIALIZE).await;
        let message = client.message().await["error"]["message"].as_str().expect("words").to_owned();
        assert!(client.end().await.is_empty());
        message
    };
    let refused = greet(&[("authorization", "Bearer tok-0123456789")]).await;
    assert!(refused.contains("refused the credential") && !refused.contains("tok-"), "{refused}");
    let missing = greet(&[]).await;
    assert!(missing.contains("wants a token") && missing.contains("PORTERO_TOKEN"), "{missing}");
}

#[tokio::test]
async fn each_request_gets_one_answer_also_from_batches_and_from_noise() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| match &*seen.rpc_method() {
            "batch" => Reply::json(format!(
                r#"[{{"jsonrpc":"2.0","method":"notifications/message","params":{{}}}},{}]"#,
                seen.result("{}")
            )),
            "twice" => {
                let answer = event(&seen.result("{}"));
                Reply::Events(vec![answer.clone(), answer])
            }
            "spelled" => Reply::json(r#"{"jsonrpc":"2.0","id":"3","result":{}}"#.to_owned()),
            _ => Reply::json("no message".to_owned()),
        })
    })
    .await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    let request = |id: u32, method: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
    client.send(&format!("[{}]", request(1, "batch"))).await;
    assert_eq!(client.message().await["method"], "notifications/message");
    assert_eq!(client.line().await, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    client.send(&request(2, "twice")).await;
    assert_eq!(client.line().await, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    client.send(&request(3, "spelled")).await;
    assert_eq!(client.line().await, r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
    client.send(&request(4, "noise")).await;
    let message = client.message().await;
    assert_eq!((&message["id"], &message["error"]["code"]), (&json!(4), &json!(-32000)), "{message}");
    client.send("{\"jsonrpc\":\"2.0\",").await;
    assert_eq!(client.message().await["error"]["code"], -32700);
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once() {
    let server = FakeHttp::start(|seen| usual(seen, |_| Reply::Never)).await;
    let mut client = Client::greeted(&format!("{}/mcp", server.origin)).await;
    // One more than may be open.
    for id in 0..=1024 {
        client.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).await;
    }
    let message = client.message().await;
    assert_eq!((&message["id"], &message["error"]["code"]), (&json!(1024), &json!(-32600)), "{message}");
    client.send(r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#).await;
    assert_eq!(client.message().await["id"], 0);
    assert!(client.end().await.is_empty());
}

/// A file of this mode.
#[cfg(unix)]
fn write_file(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join(name);
    std::fs::write(&path, text).expect("writable");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
    path
}

#[cfg(unix)]
#[tokio::test]
async fn a_credential_comes_from_private_files_or_the_variable_and_goes_encrypted_or_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let private = |name, text| write_file(directory.path(), name, text, 0o600);
    let token = private("token", "  tok-file \nrest\n");
    let headers = private("headers", "# mine\nX-Api-Key: k-1\n\nX-Other:v\n");
    let connect =
        async |url: &str, token_file: Option<&PathBuf>, header_file: Option<&PathBuf>, variable: &str| {
            let (token_file, header_file) = (token_file.cloned(), header_file.cloned());
            let args = ConnectArgs { url: url.to_owned(), token_file, header_file, ca_file: None };
            let read = |name: &str| (name == TOKEN_VARIABLE).then(|| variable.to_owned());
            Connector::new(args, read).await.map(|connector| {
                let sent = connector.server.headers.iter();
                sent.map(|(name, value)| format!("{name}: {}", value.expose())).collect::<Vec<_>>().join("\n")
            })
        };
    let here = "http://127.0.0.1:1/mcp";
    let sent = connect(here, None, None, "tok-variable").await.expect("usable");
    assert_eq!(sent, "authorization: Bearer tok-variable");
    let sent = connect(here, Some(&token), Some(&headers), "tok-variable").await.expect("usable");
    assert_eq!(sent, "authorization: Bearer tok-file\nx-api-key: k-1\nx-other: v");
    assert_eq!(connect("http://example.com/mcp", None, None, "").await.expect("nothing secret"), "");

    let open = write_file(directory.path(), "open", "tok-open", 0o644);
    let (empty, twice) = (private("empty", "\n"), private("twice", "Authorization: Bearer tok-x\n"));
    let (bare, own) = (private("bare", "tok-bare"), private("own", "Host: tok-host\n"));
    let missing = directory.path().join("missing");
    for (url, token_file, header_file, variable, words) in [
        ("http://example.com/mcp", None, None, "tok-v", "is not encrypted"),
        ("example.com", None, None, "", "the address can't be used"),
        (here, Some(&open), None, "", "can be read by others"),
        (here, Some(&missing), None, "", "missing"),
        (here, Some(&empty), None, "", "has no token in its first line"),
        (here, None, Some(&twice), "tok-v", "two credentials"),
        (here, None, Some(&bare), "", "line 1: there is no `:`"),
        (here, None, Some(&own), "", "`host` is set by the transport itself"),
        (here, None, None, "tok-\u{7f}", "cannot be sent"),
    ] {
        let error = connect(url, token_file, header_file, variable).await.expect_err(words);
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(!format!("{error} {error:?} {}", error.hint).contains("tok-"), "{error:?}");
    }
}
