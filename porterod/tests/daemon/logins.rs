//! Servers over HTTP that want a login.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::WatchTasks;
use portero::ipc::requests::daemon::{ExamineServer, GetStatus};
use portero::ipc::requests::login::{
    AwaitLogin, BeginLogin, BegunLogin, GiveLoginAnswer, ListLogins, LoginWay, Logout, LogoutOutcome,
    ServerLogin,
};
use portero::ipc::requests::sessions::GetServerListing;
use portero::ipc::{Challenge, CredentialPlace, DaemonFailure, FailureKind, IpcClient};
use portero::names::ServerName;
use portero::notice::{LoginChange, Notice};
use portero::secret::Secret;
use portero::server::ServerCondition;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Home, TEST_TIMEOUT, Terminal, challenge, is_kind, wait_until};

pub(crate) const TOKEN: &str = "an-access-token-0123456789";

/// A server that answers every request with 401; returns its URL. It ends with the runtime of its test.
async fn start_locked_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let refuse = service_fn(|_: Request<Incoming>| async {
                let response = Response::builder().status(StatusCode::UNAUTHORIZED);
                Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), refuse));
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_wants_a_login_is_told_to_everyone_and_to_people_once() {
    let home = Home::new();
    let headers = json!({"Authorization": "Bearer an-outdated-key-0123456789"});
    let entry = json!({"url": start_locked_server().await, "headers": headers});
    home.write("mcps.json", &json!({"mcpServers": {"linear": entry}}));
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let begin = person.request(WatchTasks { after: None }).await.unwrap().place;

    let refused = session.request(GetServerListing { server: "linear".parse().unwrap() }).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Server);
    assert!(
        refused.message.contains("it wants a login") && refused.message.contains("ask your user"),
        "{refused}"
    );
    let notices = async {
        let mut place = begin;
        loop {
            let next = person.request(WatchTasks { after: Some(place) }).await.unwrap();
            place = next.place;
            if let Some(entry) =
                next.entries.into_iter().find(|entry| matches!(entry.notice, Notice::Login { .. }))
            {
                return (place, entry.notice);
            }
        }
    };
    let (place, notice) = tokio::time::timeout(TEST_TIMEOUT, notices).await.expect("people are told");
    let Notice::Login { server, became: LoginChange::Needed(step) } = &notice else { panic!("{notice:?}") };
    assert_eq!(server.as_str(), "linear");
    assert!(step.get().contains("refused the credential"), "{step:?}");
    let status = person.request(GetStatus).await.unwrap();
    let is_told =
        status.servers.iter().any(|health| matches!(health.condition, ServerCondition::LoginNeeded(_)));
    assert!(is_told, "{:?}", status.servers);

    // It is asked again, by a person now, and nothing new is reported. The pause after a failure is over by then.
    home.clock.advance(Duration::from_secs(1));
    let examined = person.request(ExamineServer { server: "linear".parse().unwrap() }).await.unwrap_err();
    assert_eq!(examined.message, "it wants a login");
    assert!(examined.hint.is_some_and(|hint| hint.contains("refused the credential")));
    person.rule("linear/*", portero::policy::Action::Deny).await.unwrap();
    wait_until("the rule is reported", async || {
        let next = person.request(WatchTasks { after: Some(place) }).await.unwrap();
        assert!(!next.entries.iter().any(|entry| matches!(entry.notice, Notice::Login { .. })), "{next:?}");
        next.entries.iter().any(|entry| matches!(entry.notice, Notice::Rule { .. }))
    })
    .await;
    app.shutdown().await;
}

/// A server that takes [`TOKEN`] alone, and its issuer at the same origin.
pub(crate) struct SignInServer {
    origin: String,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl SignInServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (of, seen) = (origin.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (origin, seen) = (of.clone(), Arc::clone(&seen));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (origin, seen) = (origin.clone(), Arc::clone(&seen));
                    async move {
                        seen.lock().unwrap().push(request.uri().path().to_owned());
                        Ok::<_, Infallible>(respond(&origin, request).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { origin, asked }
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }
}

async fn respond(origin: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_signed_in =
        request.headers().get("authorization").is_some_and(|sent| *sent == *format!("Bearer {TOKEN}"));
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, value) = match &*path {
        "/.well-known/oauth-protected-resource/mcp" => {
            (200, json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]}))
        }
        "/.well-known/oauth-authorization-server" => (
            200,
            json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"),
                "revocation_endpoint": format!("{origin}/revoke"),
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
            }),
        ),
        "/register" => {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let uris = asked["redirect_uris"].clone();
            (201, json!({"client_id": "c1", "redirect_uris": uris, "token_endpoint_auth_method": "none"}))
        }
        "/token" => (
            200,
            json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600, "refresh_token": "a-refresh-token-0123456789"}),
        ),
        "/revoke" => (200, json!({})),
        "/mcp" if is_signed_in => answer_message(&serde_json::from_slice(&body).unwrap_or_default()),
        "/mcp" => (401, json!({})),
        _ => (404, json!({})),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(value.to_string()))).unwrap()
}

fn answer_message(message: &Value) -> (u16, Value) {
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "linear", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "read", "inputSchema": {"type": "object"}}]}),
        _ if message["id"].is_null() => return (202, json!({})),
        _ => {
            let error = json!({"code": -32601, "message": "unknown"});
            return (200, json!({"jsonrpc": "2.0", "id": message["id"], "error": error}));
        }
    };
    (200, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
}

pub(crate) fn linear() -> ServerName {
    "linear".parse().unwrap()
}

/// A home whose only server is this one.
pub(crate) fn home_with(server: &SignInServer) -> Home {
    let home = Home::new();
    let entry = json!({"url": format!("{}/mcp", server.origin)});
    home.write("mcps.json", &json!({"mcpServers": {"linear": entry}}));
    home
}

pub(crate) async fn begin(
    person: &Terminal,
    challenge: Option<Challenge>,
) -> Result<BegunLogin, DaemonFailure> {
    person.request(BeginLogin { server: linear(), scopes: Vec::new(), device: false, challenge }).await
}

/// Opens an address of this machine as a browser does, and returns the whole response.
pub(crate) async fn open(address: &str) -> String {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

/// Where the login's browser is sent at the end, with this code.
pub(crate) fn answer_address(begun: &BegunLogin, code: &str) -> String {
    let LoginWay::Browser { start, page, .. } = &begun.way else { panic!("no browser") };
    let (host, _) = start.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let state = page.expose().split(['?', '&']).find_map(|pair| pair.strip_prefix("state=")).unwrap();
    format!("http://{host}/callback?code={code}&state={state}")
}

#[tokio::test]
async fn a_person_signs_in_and_sessions_get_the_tools_by_themselves() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let (session, _pushes) = home.silent_session("project").await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&told);
    session.set_notification_sink(Arc::new(move |server, method, _| {
        into.lock().unwrap().push(format!("{server} {method}"));
    }));
    let listing = async |session: &IpcClient| session.request(GetServerListing { server: linear() }).await;
    assert!(listing(&session).await.is_err(), "it wants a login");
    let needed =
        ServerLogin { server: linear(), is_needed: true, is_left_over: false, place: None, trouble: None };
    assert_eq!(person.request(ListLogins).await.unwrap(), [needed]);

    let begun = begin(&person, Some(challenge())).await.unwrap();
    let LoginWay::Browser { start, page, origin } = &begun.way else { panic!("{begun:?}") };
    assert!(page.expose().starts_with(&format!("{}/authorize?", server.origin)) && *origin == server.origin);
    let led = open(start).await;
    assert!(led.starts_with("HTTP/1.1 303") && led.contains(page.expose()), "{led}");
    let wrong = open(&answer_address(&begun, "c").replace("state=", "state=not-")).await;
    assert!(wrong.starts_with("HTTP/1.1 400"), "{wrong}");
    assert_eq!(server.count("/token"), 0);
    let answer = answer_address(&begun, "c");
    let (ended, done) =
        tokio::join!(person.request(AwaitLogin { login: begun.login.clone() }), open(&answer));
    assert!(ended.is_ok() && done.starts_with("HTTP/1.1 200"), "{ended:?} {done}");
    wait_until("the session is told of the tools", async || {
        told.lock().unwrap().iter().any(|told| told == "linear notifications/tools/list_changed")
    })
    .await;
    assert!(listing(&session).await.unwrap().get().contains("read"));
    assert!(!person.request(ListLogins).await.unwrap()[0].is_needed);

    assert_eq!(person.request(Logout { server: linear() }).await.unwrap(), LogoutOutcome::Revoked);
    assert!(server.count("/revoke") > 0);
    // It is listed again by itself, without the token.
    wait_until("it wants a login again", async || person.request(ListLogins).await.unwrap()[0].is_needed)
        .await;
    app.shutdown().await;
    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    assert!(!format!("{log:?}").contains(TOKEN));
    let acts = log.entries.iter().filter_map(|entry| match &entry.record.event {
        AuditEvent::Act { act, about, done, .. } if act.starts_with("log") => Some((&**act, &**about, *done)),
        _ => None,
    });
    assert_eq!(acts.collect::<Vec<_>>(), [("login", "linear", true), ("logout", "linear", true)]);
}

#[tokio::test]
async fn a_login_is_not_begun_without_its_confirmation_nor_by_a_session() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for challenge in [None, Some(Challenge::default()), Some(Challenge::new("another passphrase"))] {
        assert!(is_kind(&begin(&person, challenge).await, FailureKind::Challenge));
    }
    let of_session =
        BeginLogin { server: linear(), scopes: Vec::new(), device: false, challenge: Some(challenge()) };
    assert!(is_kind(&session.request(of_session).await, FailureKind::Invalid));
    assert_eq!(server.asked.lock().unwrap().len(), 0, "nothing was asked of the server");
    let unknown = BeginLogin {
        server: "nosuch".parse().unwrap(),
        scopes: Vec::new(),
        device: false,
        challenge: Some(challenge()),
    };
    assert!(is_kind(&person.request(unknown).await, FailureKind::NotFound));
    app.shutdown().await;
}

#[tokio::test]
async fn a_login_whose_terminal_goes_or_whose_address_is_opened_twice_ends_and_changes_nothing() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let begun = begin(&person, Some(challenge())).await.unwrap();
    let give =
        |answer: String| GiveLoginAnswer { login: begun.login.clone(), answer: Secret::new(answer).into() };
    let no_answer = person.request(give("no answer at all".to_owned())).await;
    assert!(is_kind(&no_answer, FailureKind::Invalid), "{no_answer:?}");
    let other_terminal = home.terminal().await;
    let guessed = AwaitLogin { login: Secret::new("guessed").into() };
    assert!(is_kind(&other_terminal.request(guessed).await, FailureKind::Refused));
    wait_until("the login is over once a terminal that waits for it has gone", async || {
        // Dropping the request withdraws it. It may not have been sent by then, so it is tried until it has.
        let waiting = other_terminal.request(AwaitLogin { login: begun.login.clone() });
        let _ = tokio::time::timeout(Duration::from_millis(50), waiting).await;
        is_kind(&person.request(give("no answer at all".to_owned())).await, FailureKind::Refused)
    })
    .await;
    assert_eq!(server.count("/token"), 0);

    let begun = begin(&person, Some(challenge())).await.unwrap();
    let LoginWay::Browser { start, .. } = &begun.way else { panic!("{begun:?}") };
    assert!(open(start).await.starts_with("HTTP/1.1 303"));
    let (ended, second) =
        tokio::join!(person.request(AwaitLogin { login: begun.login.clone() }), open(start));
    let ended = ended.unwrap_err();
    assert!(ended.message.contains("opened twice") && second.starts_with("HTTP/1.1 410"), "{ended} {second}");
    assert_eq!(server.count("/token"), 0);
    app.shutdown().await;
}

#[tokio::test]
async fn a_later_login_ends_the_former_and_an_outcome_can_be_asked_for_afterwards() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let former = begin(&person, Some(challenge())).await.unwrap();
    let wait = AwaitLogin { login: former.login.clone() };
    let (ended, begun) = tokio::join!(person.request(wait), begin(&person, Some(challenge())));
    assert!(is_kind(&ended, FailureKind::Refused), "{ended:?}");

    let begun = begun.unwrap();
    assert!(open(&answer_address(&begun, "c")).await.starts_with("HTTP/1.1 200"));
    wait_until("the login is over", async || {
        let answer = Secret::new("no answer at all").into();
        let given = person.request(GiveLoginAnswer { login: begun.login.clone(), answer }).await;
        is_kind(&given, FailureKind::Refused)
    })
    .await;
    // The browser was faster than the terminal.
    person.request(AwaitLogin { login: begun.login.clone() }).await.unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn a_login_whose_entry_is_gone_is_listed_and_can_be_ended() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let begun = begin(&person, Some(challenge())).await.unwrap();
    let answer = answer_address(&begun, "c");
    let (ended, _) = tokio::join!(person.request(AwaitLogin { login: begun.login.clone() }), open(&answer));
    ended.unwrap();
    app.shutdown().await;

    home.write("mcps.json", &json!({"mcpServers": {}}));
    let app = home.start().await;
    let person = home.terminal().await;
    let left_over = ServerLogin {
        server: linear(),
        is_needed: false,
        is_left_over: true,
        place: Some(CredentialPlace::Store),
        trouble: None,
    };
    assert_eq!(person.request(ListLogins).await.unwrap(), [left_over]);
    assert_eq!(person.request(Logout { server: linear() }).await.unwrap(), LogoutOutcome::Revoked);
    assert!(server.count("/revoke") > 0);
    assert_eq!(person.request(ListLogins).await.unwrap(), []);
    assert!(is_kind(&person.request(Logout { server: linear() }).await, FailureKind::NotFound));
    app.shutdown().await;
}
