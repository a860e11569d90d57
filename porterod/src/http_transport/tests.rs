//! The transport against a scripted server, below the same upstreams as in the daemon.

mod client_certificate;
pub(crate) mod fake_http;
mod login;
mod param_headers;
mod revision;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::clock::{Clock, SystemClock, TestClock};
use portero::config::url::HttpUrl;
use portero::config::{
    CredentialFormat, CredentialLocation, HttpServer, ServerAuth, ServerConfig, ServerInstance, ServerLimits,
    ServerTransport, StaticAuth,
};
use portero::names::ServerName;
use portero::permit::{Admission, CallDefinition, admit_call};
use portero::pipeline::BoxFuture;
use portero::policy::{Action, ConfigPolicy, Overrides, Policy};
use portero::secret::{Secret, SecretReference};
use portero::server::{
    CallOptions, LaunchOptions, ReferenceResolver, ServerAnswer, ServerCondition, ServerError, ServerListing,
    Upstreams,
};
use portero::sync::lock;

use self::fake_http::{FakeHttp, Reply, Seen, event};
use super::{HttpClients, ProxySettings};
use crate::oauth::OAuth;
use crate::oauth::tests::open_oauth;

const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;
const TOOLS: &str = r#"{"tools":[{"name":"read","inputSchema":{"type":"object"}}]}"#;

/// Logins without any.
fn no_logins() -> Arc<OAuth> {
    let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time")));
    open_oauth(&Arc::default(), &clock)
}

/// Servers over HTTP, as the daemon has them.
struct Fixture {
    upstreams: Arc<Upstreams>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new(url: &str, change: impl FnOnce(&mut HttpServer)) -> Self {
        Self::with_limits(url, ServerLimits::default(), change)
    }

    fn with_limits(url: &str, limits: ServerLimits, change: impl FnOnce(&mut HttpServer)) -> Self {
        Self::with_all(url, limits, no_logins(), (None, Arc::new(SystemClock)), change)
    }

    fn with_oauth(url: &str, oauth: Arc<OAuth>, change: impl FnOnce(&mut HttpServer)) -> Self {
        Self::with_all(url, ServerLimits::default(), oauth, (None, Arc::new(SystemClock)), change)
    }

    fn with_references(
        url: &str,
        references: Arc<dyn ReferenceResolver>,
        clock: &Arc<TestClock>,
        change: impl FnOnce(&mut HttpServer),
    ) -> Self {
        let of_references = (Some(references), Arc::clone(clock) as Arc<dyn Clock>);
        Self::with_all(url, ServerLimits::default(), no_logins(), of_references, change)
    }

    fn with_all(
        url: &str,
        limits: ServerLimits,
        oauth: Arc<OAuth>,
        (references, clock): (Option<Arc<dyn ReferenceResolver>>, Arc<dyn Clock>),
        change: impl FnOnce(&mut HttpServer),
    ) -> Self {
        let config = Self::config(url, change);
        let directory = tempfile::tempdir().expect("a directory");
        let launch = LaunchOptions {
            guard: None,
            directory: directory.path().to_owned(),
            environment: Vec::new(),
            logs: directory.path().join("logs"),
            limits,
            anonymizer: Arc::new(ArcSwap::from_pointee(Anonymizer::empty())),
            client: ("portero".to_owned(), "1".to_owned()),
            clock,
            http: Some(Arc::new(HttpClients::new(ProxySettings::default(), oauth))),
            references,
        };
        let (upstreams, _changes) = Upstreams::new(vec![config], launch);
        Self { upstreams, _directory: directory }
    }

    fn config(url: &str, change: impl FnOnce(&mut HttpServer)) -> ServerConfig {
        let mut server = HttpServer {
            url: HttpUrl::parse(url).expect("a URL"),
            is_sse: false,
            headers: BTreeMap::from([("authorization".to_owned(), Secret::new("Bearer s3cret"))]),
            auth: ServerAuth::None,
            max_concurrent: HttpServer::DEFAULT_MAX_CONCURRENT,
            ca_file: None,
            client_certificate: None,
        };
        change(&mut server);
        ServerConfig {
            name: "linear".parse().expect("a name"),
            transport: ServerTransport::Http(server),
            timeout: None,
            prefix: true,
            instance: ServerInstance::User,
            stateless: true,
            pinned_tools: None,
            categories: Vec::new(),
            roots: None,
        }
    }

    async fn list(&self) -> Result<ServerListing, ServerError> {
        self.upstreams.fetch_listing(&"linear".parse().expect("a name")).await
    }

    async fn call(&self, tool: &str) -> Result<String, ServerError> {
        self.call_with(tool, CallOptions::default()).await
    }

    async fn call_with(&self, tool: &str, options: CallOptions) -> Result<String, ServerError> {
        self.call_with_arguments(tool, "{}", options).await
    }

    async fn call_with_arguments(
        &self,
        tool: &str,
        arguments: &str,
        options: CallOptions,
    ) -> Result<String, ServerError> {
        let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
        let call = Call {
            tool: format!("linear/{tool}").parse().expect("a tool"),
            method: Method::CallTool,
            params: serde_json::from_str(&params).expect("JSON"),
            meta: None,
        };
        let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
        let policy = Policy::new(config, Overrides::default());
        let admitted = admit_call(&policy, call, None, CallDefinition::default(), SystemClock.now());
        let Admission::Allowed(permitted) = admitted else { panic!("{admitted:?}") };
        match self.upstreams.call(permitted.reveal(&Anonymizer::empty()), options).await? {
            ServerAnswer::Result(result) => Ok(result.expose().get().to_owned()),
            ServerAnswer::Error(error) => Ok(format!("error {}", error.expose().get())),
        }
    }

    fn condition(&self) -> ServerCondition {
        self.upstreams.health().remove(0).condition
    }
}

/// A usual server: a session, answers as JSON, no stream of its own. `on_call` answers `tools/call`.
fn usual(seen: &Seen, on_call: impl FnOnce(&Seen) -> Reply) -> Reply {
    match (&*seen.method, &*seen.rpc_method()) {
        ("POST", "initialize") => {
            let headers = vec![
                ("content-type", "application/json".to_owned()),
                ("mcp-session-id", "session-1".to_owned()),
            ];
            Reply::Whole(200, headers, seen.result(INITIALIZED))
        }
        ("POST", "server/discover") => refuse_discover(),
        ("POST", "tools/list") => Reply::json(seen.result(TOOLS)),
        ("POST", "tools/call") => on_call(seen),
        ("POST", _) => Reply::status(202),
        _ => Reply::status(405),
    }
}

/// As servers on the Python SDK 1 refuse what comes before `initialize`.
fn refuse_discover() -> Reply {
    let error = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}"#;
    Reply::Whole(400, vec![("content-type", "application/json".to_owned())], error.to_owned())
}

fn words(error: Result<String, ServerError>) -> String {
    error.expect_err("no answer").to_string()
}

#[tokio::test]
async fn a_server_is_greeted_listed_and_called_in_one_session() {
    let server =
        FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{\n\"a\": 1.10}")))).await;
    let fixture = Fixture::new(&format!("{}/mcp?x=1", server.origin), |_| {});
    assert_eq!(fixture.list().await.expect("listed").tools.len(), 1);
    assert_eq!(fixture.call("read").await.expect("answered"), "{\n\"a\": 1.10}");
    server.wait_for("GET").await;
    for seen in server.seen() {
        assert_eq!((&*seen.path, seen.header("authorization")), ("/mcp?x=1", "Bearer s3cret"), "{seen:?}");
        let session = match &*seen.rpc_method() {
            "server/discover" => ("", "2026-07-28"),
            "initialize" => ("", ""),
            _ => ("session-1", "2025-06-18"),
        };
        assert_eq!((seen.header("mcp-session-id"), seen.header("mcp-protocol-version")), session, "{seen:?}");
        if seen.method == "POST" {
            assert_eq!(seen.header("accept"), "application/json, text/event-stream");
            assert_eq!(seen.header("content-type"), "application/json");
        }
    }
    assert_eq!(
        server.asked()[..3],
        ["POST server/discover", "POST initialize", "POST notifications/initialized"]
    );
    fixture.upstreams.close().await;
    server.wait_for("DELETE").await;
}

/// Gives a number, which is another one whenever it was forgotten.
#[derive(Default)]
struct Counting {
    forgotten: AtomicUsize,
    looked_up: AtomicUsize,
}

impl ReferenceResolver for Counting {
    fn resolve<'a>(
        &'a self,
        _: &'a ServerName,
        transport: &'a ServerTransport,
    ) -> BoxFuture<'a, Result<ServerTransport, String>> {
        self.looked_up.fetch_add(1, Ordering::SeqCst);
        let number = self.forgotten.load(Ordering::SeqCst).to_string();
        let resolved = transport.resolved(&|_| Some(Secret::new(number.as_str())));
        Box::pin(async { resolved.ok_or_else(|| "no value".to_owned()) })
    }

    fn forget(&self, _: &ServerTransport) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    fn blank_listing(&self, _: &ServerName, listing: ServerListing) -> Option<ServerListing> {
        Some(listing)
    }
}

#[tokio::test]
async fn a_refused_reference_is_looked_up_again_and_the_call_is_made_once_more_with_another_value() {
    let expected = Arc::new(Mutex::new("Bearer 0".to_owned()));
    let accepted = Arc::clone(&expected);
    let server = FakeHttp::start(move |seen| {
        if seen.header("authorization") != *lock(&accepted) {
            return Reply::status(401);
        }
        usual(seen, |seen| Reply::json(seen.result("{}")))
    })
    .await;
    let counting = Arc::new(Counting::default());
    let resolver = Arc::clone(&counting) as _;
    let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time")));
    let fixture = Fixture::with_references(&server.origin, resolver, &clock, |server| {
        let reference = SecretReference::Secret("key".parse().expect("a name"));
        let header = Secret::new(format!("Bearer {}", reference.marked()));
        server.headers.insert("authorization".to_owned(), header);
    });
    fixture.call("read").await.expect("with the first value");
    assert_eq!(counting.looked_up.load(Ordering::SeqCst), 1);

    *lock(&expected) = "Bearer 1".to_owned();
    fixture.call("read").await.expect("with the second value");
    assert_eq!(counting.forgotten.load(Ordering::SeqCst), 1);

    // A server that refuses every value costs no look-up for each call: that may run a program of the person's.
    *lock(&expected) = "Bearer none".to_owned();
    let calls = || server.seen().iter().filter(|seen| seen.rpc_method() == "tools/call").count();
    let before = calls();
    for _ in 0..3 {
        let refused = words(fixture.call("read").await);
        assert!(refused.contains("wants a login: it refused the credential in its entry"), "{refused}");
    }
    assert_eq!(calls(), before + 3, "no call is made twice");
    assert_eq!(counting.forgotten.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(60));
    *lock(&expected) = "Bearer 2".to_owned();
    fixture.call("read").await.expect("with the third value");
    assert_eq!(counting.forgotten.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_may_come_as_a_stream_after_other_messages() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| {
            let token = &seen.message()["params"]["_meta"]["progressToken"];
            let progress = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
            );
            let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
            Reply::EventsThenOpen(vec![
                ": a comment\n\n".to_owned(),
                event(&progress),
                event(ping),
                format!("data: {}\n\n", seen.result(r#"{"done":true}"#)),
            ])
        })
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let options = CallOptions {
        progress: Some(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })),
        ..CallOptions::default()
    };
    assert_eq!(fixture.call_with("read", options).await.expect("answered"), r#"{"done":true}"#);
    assert_eq!(heard.load(Ordering::Relaxed), 1, "progress comes before the answer");
    let pong = || server.seen().into_iter().any(|seen| seen.body.contains(r#""id":"p""#));
    server.wait_for("POST").await;
    assert!(pong(), "the server's request is answered by a POST");
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_after_its_last_event() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let id = Arc::new(Mutex::new(String::new()));
    let server = FakeHttp::start(move |seen| match (&*seen.method, seen.header("last-event-id")) {
        ("GET", "e1") => match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::status(503),
            _ => Reply::Events(vec![event(&id.lock().expect("whole"))]),
        },
        _ => usual(seen, |seen| {
            *id.lock().expect("whole") = seen.result(r#"{"late":1}"#);
            Reply::Events(vec!["id: e1\nretry: 1\ndata:\n\n".to_owned()])
        }),
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    assert_eq!(fixture.call("read").await.expect("answered"), r#"{"late":1}"#);
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    let calls = server.asked().iter().filter(|asked| *asked == "POST tools/call").count();
    assert_eq!(calls, 1, "the call itself is never sent again");
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_leaves_the_effect_unknown() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| match seen.message()["params"]["name"].as_str() {
            Some("plain") => Reply::Events(vec![": nothing\n\n".to_owned()]),
            _ => Reply::Events(vec!["id: e1\nretry: 1\ndata:\n\n".to_owned()]),
        })
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    assert_eq!(
        words(fixture.call("plain").await),
        "server `linear` gave no answer: its stream ended before the answer; whether it took effect is unknown"
    );
    assert!(words(fixture.call("marked").await).contains("could not be resumed"));
}

/// A 404 that names no request is the session's, with an error of JSON-RPC or without one.
#[tokio::test]
async fn a_session_that_the_server_forgot_is_begun_again_and_the_call_runs_once() {
    for forgotten in [
        "",
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session has been terminated"}}"#,
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
    ] {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let server = FakeHttp::start(move |seen| {
            usual(seen, |seen| match count.fetch_add(1, Ordering::Relaxed) {
                1 => {
                    let headers = vec![("content-type", "application/json".to_owned())];
                    Reply::Whole(404, headers, forgotten.to_owned())
                }
                _ => Reply::json(seen.result("{}")),
            })
        })
        .await;
        let fixture = Fixture::new(&server.origin, |_| {});
        for _ in 0..3 {
            assert_eq!(fixture.call("read").await.expect("answered"), "{}", "{forgotten}");
        }
        let greeted = server.asked().iter().filter(|asked| *asked == "POST initialize").count();
        assert_eq!((calls.load(Ordering::Relaxed), greeted), (4, 2), "{forgotten}");
    }
}

/// As servers on the TypeScript SDK's examples say it. Another error with that status is the answer.
#[tokio::test]
async fn a_forgotten_session_is_known_by_its_error_too() {
    const FORGOTTEN: &str = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#;
    const OTHER: &str = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"no such page"},"id":null}"#;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = FakeHttp::start(move |seen| {
        let refuse = |body: &str| {
            Reply::Whole(400, vec![("content-type", "application/json".to_owned())], body.to_owned())
        };
        usual(seen, |seen| match count.fetch_add(1, Ordering::Relaxed) {
            1 => refuse(FORGOTTEN),
            3 => refuse(OTHER),
            _ => Reply::json(seen.result("{}")),
        })
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    for _ in 0..2 {
        assert_eq!(fixture.call("read").await.expect("answered"), "{}");
    }
    assert!(fixture.call("read").await.expect("answered").contains("no such page"));
    let greeted = server.asked().iter().filter(|asked| *asked == "POST initialize").count();
    assert_eq!((calls.load(Ordering::Relaxed), greeted), (4, 2));
}

#[tokio::test]
async fn an_answer_to_the_call_itself_is_no_forgotten_session() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| {
            let id = &seen.message()["id"];
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32002,"message":"no such page"}}}}"#
            );
            Reply::Whole(404, vec![("content-type", "application/json".to_owned())], error)
        })
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    assert!(fixture.call("read").await.expect("answered").contains("no such page"));
    let calls = server.asked().iter().filter(|asked| *asked == "POST tools/call").count();
    assert_eq!(calls, 1, "what the server took is not sent again");
}

/// What a call meets, and the words about it.
#[tokio::test]
async fn each_refusal_says_whether_the_call_ran_and_what_to_do() {
    const NOT_RUN: &str = "the call did not run";
    const UNKNOWN: &str = "whether it took effect is unknown";
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no such tool"}}"#;
    let with = |status, header: Option<(&'static str, &str)>, body: &str| {
        let headers = header.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Reply::Whole(status, headers, body.to_owned())
    };
    let cases: Vec<(Reply, [&str; 2])> = vec![
        (with(401, None, ""), ["wants a login: it refused the credential in its entry", NOT_RUN]),
        (
            with(403, Some(("www-authenticate", r#"Bearer error="insufficient_scope""#)), ""),
            ["lacks a scope", NOT_RUN],
        ),
        (with(403, None, ""), ["refused the request (403)", NOT_RUN]),
        (with(429, Some(("retry-after", "7")), ""), ["asks to wait 7 s", NOT_RUN]),
        (with(413, None, ""), ["refused the request (413)", NOT_RUN]),
        (with(405, None, ""), ["refused the request (405)", NOT_RUN]),
        // A proxy may answer so after it passed the call on.
        (with(408, None, ""), ["status 408", UNKNOWN]),
        (with(409, None, ""), ["status 409", UNKNOWN]),
        (with(410, None, ""), ["status 410", UNKNOWN]),
        (with(422, None, ""), ["status 422", UNKNOWN]),
        (with(499, None, ""), ["status 499", UNKNOWN]),
        (with(500, None, "s3cret"), ["status 500", UNKNOWN]),
        (with(503, None, ""), ["status 503", UNKNOWN]),
        (
            with(308, Some(("location", "https://elsewhere.example/s3cret")), ""),
            ["moved to https://elsewhere.example;", NOT_RUN],
        ),
        (with(302, Some(("location", "/other")), ""), ["moved within its own host", NOT_RUN]),
        (with(202, None, ""), ["will not answer it", UNKNOWN]),
        (
            with(200, Some(("content-type", "text/html")), "<html>s3cret"),
            ["text/html, which is no MCP message", UNKNOWN],
        ),
        (with(200, Some(("content-type", "s3cret s3cret")), "x"), ["unknown type", UNKNOWN]),
        (
            with(
                200,
                Some(("content-type", "application/json")),
                r#"{"jsonrpc":"2.0","id":999,"result":{}}"#,
            ),
            ["holds no answer to the request", UNKNOWN],
        ),
        (with(400, Some(("content-type", "application/json")), error), ["error", "no such tool"]),
    ];
    for (reply, [told, effect]) in cases {
        let reply = Mutex::new(Some(reply));
        let server = FakeHttp::start(move |seen| {
            usual(seen, |_| reply.lock().expect("whole").take().expect("one call"))
        })
        .await;
        let fixture = Fixture::new(&server.origin, |_| {});
        let answer = fixture.call("read").await;
        let text = answer.unwrap_or_else(|error| error.to_string());
        assert!(text.contains(told) && text.contains(effect), "{told}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_wants_a_login_cannot_be_started() {
    let nowhere = Fixture::new("http://127.0.0.1:1/mcp", |_| {});
    let error = nowhere.list().await.expect_err("nothing listens");
    assert!(error.to_string().contains("the connection was refused"), "{error}");
    assert!(matches!(nowhere.condition(), ServerCondition::Failed(_)));

    let server = FakeHttp::start(|_| Reply::status(401)).await;
    let locked = Fixture::new(&server.origin, |server| server.headers.clear());
    let error = locked.list().await.expect_err("it wants a login");
    assert!(error.to_string().contains("write its key under `headers` in mcps.json"), "{error}");
    assert_eq!(server.asked(), ["POST server/discover"], "a refused login is not tried in another way");
    assert!(matches!(locked.condition(), ServerCondition::LoginNeeded(_)), "{:?}", locked.condition());
}

#[tokio::test]
async fn a_server_that_goes_away_is_no_longer_ready_and_is_again_once_it_is_back() {
    let mut server = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let fixture = Fixture::new(&server.origin, |_| {});
    fixture.call("read").await.expect("answered");
    assert_eq!(fixture.condition(), ServerCondition::Ready);
    let port = server.stop().await;
    let gone = async {
        // The first call may still be written to a connection that is just closing.
        while !words(fixture.call("read").await).contains("could not be reached") {}
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the server is gone");
    let gone = ServerCondition::Failed("the connection was refused".to_owned());
    assert_eq!(fixture.condition(), gone);
    server.start_again(port);
    fixture.call("read").await.expect("answered");
    assert_eq!(fixture.condition(), ServerCondition::Ready);
}

#[tokio::test]
async fn after_an_edit_of_its_address_no_call_reaches_the_former_server() {
    let former = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let present = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let fixture = Fixture::new(&former.origin, |_| {});
    fixture.call("read").await.expect("answered");
    let calls = |server: &FakeHttp| server.asked().iter().filter(|asked| *asked == "POST tools/call").count();
    fixture.upstreams.replace_servers(vec![Fixture::config(&present.origin, |_| {})]);
    fixture.call("read").await.expect("answered");
    assert_eq!((calls(&former), calls(&present)), (1, 1));
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(9_000));
    let server = FakeHttp::start(move |seen| {
        let long = long.clone();
        usual(seen, move |seen| match seen.message()["params"]["name"].as_str() {
            Some("streamed") => Reply::EventsThenOpen(vec![event(&seen.result(&long))]),
            _ => Reply::json(seen.result(&long)),
        })
    })
    .await;
    let limits = ServerLimits { max_message_bytes: 8_000, ..ServerLimits::default() };
    let fixture = Fixture::with_limits(&server.origin, limits, |_| {});
    for tool in ["whole", "streamed"] {
        assert!(matches!(fixture.call(tool).await, Err(ServerError::TooLong(_, 8_000))), "{tool}");
    }
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server_and_frees_its_place() {
    let server = FakeHttp::start(|seen| {
        usual(seen, |seen| match seen.message()["params"]["name"].as_str() {
            Some("hang") => Reply::Never,
            _ => Reply::json(seen.result("{}")),
        })
    })
    .await;
    let fixture = Fixture::new(&server.origin, |server| server.max_concurrent = 1);
    let options = CallOptions::default();
    let cancel = options.cancel.clone();
    let hanging = fixture.call_with("hang", options);
    let cancelling = async {
        server.wait_for("POST tools/call").await;
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(hanging, cancelling);
    assert_eq!(answer, Err(ServerError::Cancelled));
    server.wait_for("POST notifications/cancelled").await;
    let id_of = |method: &str| {
        let seen = server.seen().into_iter().find(|seen| seen.rpc_method() == method).expect("it came");
        match method {
            "tools/call" => seen.message()["id"].clone(),
            _ => seen.message()["params"]["requestId"].clone(),
        }
    };
    assert_eq!(id_of("notifications/cancelled"), id_of("tools/call"));
    assert_eq!(fixture.call("read").await.expect("the place is free again"), "{}");
}

#[tokio::test]
async fn what_the_server_sends_unasked_arrives_by_its_own_stream() {
    let listed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&listed);
    let server = FakeHttp::start(move |seen| match &*seen.method {
        "GET" => Reply::EventsThenOpen(vec![event(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#)]),
        _ => {
            count.fetch_add(usize::from(seen.rpc_method() == "tools/list"), Ordering::Relaxed);
            usual(seen, |seen| Reply::json(seen.result("{}")))
        }
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    fixture.list().await.expect("listed");
    let answered = async {
        while !server.seen().iter().any(|seen| seen.body == r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("the ping is answered");
}

#[tokio::test]
async fn a_stateless_revision_is_spoken_with_its_headers_and_without_a_session() {
    let server = FakeHttp::start(|seen| match &*seen.rpc_method() {
        "initialize" => Reply::Whole(
            404,
            vec![("content-type", "application/json".to_owned())],
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"unknown method"}}"#.to_owned(),
        ),
        "server/discover" => Reply::json(
            seen.result(r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#),
        ),
        "tools/list" => Reply::json(seen.result(TOOLS)),
        "tools/call" => Reply::json(seen.result(r#"{"resultType":"complete","a":1}"#)),
        _ => Reply::status(202),
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    fixture.list().await.expect("listed");
    assert_eq!(fixture.call("read").await.expect("answered"), r#"{"a":1}"#);
    let call = server.seen().into_iter().find(|seen| seen.rpc_method() == "tools/call").expect("called");
    let headers =
        ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"].map(|name| call.header(name));
    assert_eq!(headers, ["2026-07-28", "tools/call", "read", ""]);
    assert!(!server.asked().iter().any(|asked| asked.starts_with("GET")), "it has no such stream");
}

/// The HTTP with SSE of 2024-11-05, at `/sse` and `/messages`. `open` holds what its stream says, by the messages.
async fn older_server(named: &'static str) -> FakeHttp {
    let (answers, stream) = tokio::sync::mpsc::unbounded_channel::<String>();
    let stream = Mutex::new(Some(stream));
    FakeHttp::start(move |seen| match (&*seen.method, &*seen.path) {
        ("GET", "/sse" | "/sse?key=k%26y") => {
            let Some(stream) = stream.lock().expect("whole").take() else { return Reply::status(500) };
            Reply::Live(format!("event: endpoint\ndata: {named}\n\n"), stream)
        }
        ("POST", "/messages?id=1" | "/messages?id=1&key=k%26y") => {
            let result = match &*seen.rpc_method() {
                "initialize" => INITIALIZED.replace("2025-06-18", "2024-11-05"),
                "tools/list" => TOOLS.to_owned(),
                _ => "{}".to_owned(),
            };
            if seen.message()["id"].is_u64() {
                answers.send(event(&seen.result(&result))).expect("the stream is open");
            }
            Reply::status(202)
        }
        _ => Reply::status(405),
    })
    .await
}

#[tokio::test]
async fn an_older_server_is_found_by_its_stream() {
    for is_sse in [false, true] {
        let server = older_server("/messages?id=1").await;
        let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| config.is_sse = is_sse);
        assert_eq!(fixture.list().await.expect("listed").tools.len(), 1);
        assert_eq!(fixture.call("read").await.expect("answered"), "{}");
        assert!(server.seen().iter().all(|seen| seen.header("authorization") == "Bearer s3cret"));
        let tried =
            server.seen().iter().filter(|seen| (&*seen.method, &*seen.path) == ("POST", "/sse")).count();
        assert_eq!(tried, if is_sse { 0 } else { 2 }, "by `server/discover`, then by `initialize`");
    }
}

/// A credential `k&y` at a place, without any header.
fn placed(
    location: CredentialLocation,
    name: &str,
    format: CredentialFormat,
) -> impl FnOnce(&mut HttpServer) {
    let name = name.to_owned();
    move |server| {
        server.headers.clear();
        server.auth =
            ServerAuth::Static(StaticAuth { location, name, format, credential: Secret::new("k&y") });
    }
}

#[tokio::test]
async fn a_credential_goes_where_the_entry_says() {
    let server = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let url = format!("{}/mcp?x=1", server.origin);
    let prefix = CredentialFormat::Prefix("Key ".to_owned());
    let fixture = Fixture::new(&url, placed(CredentialLocation::Header, "x-key", prefix));
    fixture.call("read").await.expect("answered");
    assert!(server.seen().iter().all(|seen| seen.header("x-key") == "Key k&y" && seen.path == "/mcp?x=1"));

    let server = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let url = format!("{}/mcp?x=1", server.origin);
    let fixture = Fixture::new(&url, placed(CredentialLocation::Query, "key", CredentialFormat::Raw));
    fixture.call("read").await.expect("answered");
    assert!(server.seen().iter().all(|seen| seen.path == "/mcp?x=1&key=k%26y"), "{:?}", server.seen());

    let server = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let fixture =
        Fixture::new(&server.origin, placed(CredentialLocation::Body, "key", CredentialFormat::Raw));
    fixture.call("read").await.expect("answered");
    let posted: Vec<_> = server.seen().into_iter().filter(|seen| seen.method == "POST").collect();
    assert!(posted.len() >= 3);
    assert!(posted.iter().all(|seen| seen.message()["params"]["_meta"]["key"] == "k&y"), "{posted:?}");
}

#[tokio::test]
async fn an_older_server_gets_the_credential_at_both_of_its_addresses() {
    let server = older_server("/messages?id=1").await;
    let place = placed(CredentialLocation::Query, "key", CredentialFormat::Raw);
    let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| {
        config.is_sse = true;
        place(config);
    });
    fixture.list().await.expect("listed");
    let paths: Vec<_> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths[0], "/sse?key=k%26y");
    assert!(paths[1..].iter().all(|path| path == "/messages?id=1&key=k%26y"), "{paths:?}");
}

#[tokio::test]
async fn an_older_server_has_no_more_requests_open_than_it_may() {
    let (answers, stream) = tokio::sync::mpsc::unbounded_channel::<String>();
    let stream = Mutex::new(Some(stream));
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen_most = Arc::clone(&most);
    let server = FakeHttp::start(move |seen| match (&*seen.method, &*seen.rpc_method()) {
        ("GET", _) => match stream.lock().expect("whole").take() {
            Some(stream) => Reply::Live("event: endpoint\ndata: /messages\n\n".to_owned(), stream),
            None => Reply::status(500),
        },
        ("POST", "initialize") => {
            let result = INITIALIZED.replace("2025-06-18", "2024-11-05");
            answers.send(event(&seen.result(&result))).expect("the stream is open");
            Reply::status(202)
        }
        ("POST", "tools/call") => {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let (answers, open, answer) = (answers.clone(), Arc::clone(&open), event(&seen.result("{}")));
            tokio::spawn(async move {
                // Time for the other calls to come, if they were sent.
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                open.fetch_sub(1, Ordering::SeqCst);
                answers.send(answer).expect("the stream is open");
            });
            Reply::status(202)
        }
        ("POST", _) => Reply::status(202),
        _ => Reply::status(405),
    })
    .await;
    let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| {
        config.is_sse = true;
        config.max_concurrent = 2;
    });
    let calls = futures_util::future::join_all((0..6).map(|_| fixture.call("read"))).await;
    assert!(calls.iter().all(|answer| answer.as_deref() == Ok("{}")), "{calls:?}");
    assert_eq!(seen_most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cancelled_call_frees_its_place_at_an_older_server() {
    let (answers, stream) = tokio::sync::mpsc::unbounded_channel::<String>();
    let stream = Mutex::new(Some(stream));
    let server = FakeHttp::start(move |seen| match (&*seen.method, &*seen.rpc_method()) {
        ("GET", _) => match stream.lock().expect("whole").take() {
            Some(stream) => Reply::Live("event: endpoint\ndata: /messages\n\n".to_owned(), stream),
            None => Reply::status(500),
        },
        ("POST", method) => {
            let result = match method {
                "initialize" => Some(INITIALIZED.replace("2025-06-18", "2024-11-05")),
                "tools/call" if seen.message()["params"]["name"] == "read" => Some("{}".to_owned()),
                _ => None,
            };
            if let Some(result) = result {
                answers.send(event(&seen.result(&result))).expect("the stream is open");
            }
            Reply::status(202)
        }
        _ => Reply::status(405),
    })
    .await;
    let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| {
        config.is_sse = true;
        config.max_concurrent = 1;
    });
    let options = CallOptions::default();
    let cancel = options.cancel.clone();
    let cancelling = async {
        server.wait_for("POST tools/call").await;
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(fixture.call_with("hang", options), cancelling);
    assert_eq!(answer, Err(ServerError::Cancelled));
    assert_eq!(fixture.call("read").await.expect("the place is free again"), "{}");
}

#[tokio::test]
async fn an_older_server_that_spells_ids_otherwise_gets_further_calls() {
    for spell in [|id: &str| format!("\"{id}\""), |id: &str| format!("{id}.0")] {
        let (answers, stream) = tokio::sync::mpsc::unbounded_channel::<String>();
        let stream = Mutex::new(Some(stream));
        let server = FakeHttp::start(move |seen| match (&*seen.method, &*seen.rpc_method()) {
            ("GET", _) => match stream.lock().expect("whole").take() {
                Some(stream) => Reply::Live("event: endpoint\ndata: /messages\n\n".to_owned(), stream),
                None => Reply::status(500),
            },
            ("POST", method) => {
                let result = match method {
                    "initialize" => INITIALIZED.replace("2025-06-18", "2024-11-05"),
                    _ => "{}".to_owned(),
                };
                if seen.message()["id"].is_u64() {
                    let id = spell(&seen.message()["id"].to_string());
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                    answers.send(event(&answer)).expect("the stream is open");
                }
                Reply::status(202)
            }
            _ => Reply::status(405),
        })
        .await;
        let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| {
            config.is_sse = true;
            config.max_concurrent = 2;
        });
        let calls = async {
            for _ in 0..5 {
                assert_eq!(fixture.call("read").await.expect("answered"), "{}");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), calls).await.expect("each answer frees a place");
    }
}

#[tokio::test]
async fn an_older_server_cannot_send_the_credentials_elsewhere() {
    let elsewhere = FakeHttp::start(|_| Reply::status(202)).await;
    let named: &'static str = Box::leak(format!("{}/messages?id=1", elsewhere.origin).into_boxed_str());
    let server = older_server(named).await;
    let fixture = Fixture::new(&format!("{}/sse", server.origin), |config| config.is_sse = true);
    let error = fixture.list().await.expect_err("it names another host");
    assert!(error.to_string().contains("an address of another host"), "{error}");
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_origin() {
    let elsewhere = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let target = format!("{}/mcp", elsewhere.origin);
    let server =
        FakeHttp::start(move |_| Reply::Whole(307, vec![("location", target.clone())], String::new())).await;
    let error = Fixture::new(&server.origin, |_| {}).list().await.expect_err("it moved");
    assert!(error.to_string().contains("if you trust that, write its address into `url`"), "{error}");
    assert_eq!(elsewhere.asked(), [""; 0]);

    let server = FakeHttp::start(|seen| match &*seen.path {
        "/old" => Reply::Whole(307, vec![("location", "/new".to_owned())], String::new()),
        _ => usual(seen, |seen| Reply::json(seen.result("{}"))),
    })
    .await;
    let fixture = Fixture::new(&format!("{}/old", server.origin), |_| {});
    assert_eq!(fixture.call("read").await.expect("within the origin it is followed"), "{}");
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    for (text, told) in [(None, "`caFile` can't be used"), (Some("not PEM"), "no certificates in PEM")] {
        if let Some(text) = text {
            std::fs::write(&file, text).expect("written");
        }
        let fixture = Fixture::new("https://localhost:1/", |server| server.ca_file = Some(file.clone()));
        let error = fixture.list().await.expect_err("unusable");
        assert!(error.to_string().contains(told), "{error}");
    }
}
