//! The routes of MCP on a port of this test, for principals by the name in `Authorization`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use porterod::app::App;
use porterod::https::RemotePrincipal;
use porterod::https::mcp::mcp_routes;
use porterod::remote_sessions::{Caller, RemoteAgent, RemoteSessions, SessionLimits, ToolReach, Validity};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::TEST_TIMEOUT;

/// Has everything.
pub(crate) const PHONE: &str = "phone";
/// Has everything, too.
pub(crate) const TABLET: &str = "tablet";
/// Has what is called `read`, and nothing else.
pub(crate) const READER: &str = "reader";

/// What every request ends with: hundreds at once share two processors with other tests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A served endpoint; it ends with this.
pub(crate) struct Endpoint {
    pub(crate) sessions: Arc<RemoteSessions>,
    address: SocketAddr,
    client: reqwest::Client,
    /// How long the phone's credential counts.
    phone: Arc<Mutex<Validity>>,
    serving: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
        self.sessions.close();
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = tokio::time::timeout(REQUEST_TIMEOUT, response.text()).await.expect("in time").unwrap();
        Self { status, headers, text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The messages, whether it is JSON or a stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        match self.header("content-type") {
            "application/json" => vec![serde_json::from_str(&self.text).unwrap()],
            "text/event-stream" => events(&self.text).into_iter().map(|(_, message)| message).collect(),
            other => panic!("{other:?}: {} {}", self.status, self.text),
        }
    }

    /// The only message.
    pub(crate) fn message(&self) -> Value {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// The text of a tool's result.
    pub(crate) fn tool_text(&self) -> String {
        let message = self.messages().pop().expect("an answer");
        message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }
}

/// The events with a message, each with its id.
pub(crate) fn events(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let data = field("data: ");
        (!data.is_empty()).then(|| (field("id: ").to_owned(), serde_json::from_str(data).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

impl Endpoint {
    pub(crate) async fn serve(app: &App) -> Self {
        Self::serve_with(app, SessionLimits::default()).await
    }

    pub(crate) async fn serve_with(app: &App, limits: SessionLimits) -> Self {
        let sessions = RemoteSessions::new(Arc::clone(app.daemon()), limits);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let phone = Arc::new(Mutex::new(fresh_credential()));
        let identify = from_fn_with_state(Arc::clone(&phone), identify);
        let routes = mcp_routes(Arc::clone(&sessions)).layer(identify);
        let serving = tokio::spawn(async move { axum::serve(socket, routes).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sessions, address, client, phone, serving }
    }

    /// Ends the phone's credential, and gives it another one.
    pub(crate) fn replace_phone(&self) {
        let former = std::mem::replace(&mut *self.phone.lock().unwrap(), fresh_credential());
        former.revoked.unwrap().cancel();
    }

    /// Gives the phone a credential that ends at this time, beside the one that it had.
    pub(crate) fn renew_phone(&self, expires: Timestamp) {
        self.phone.lock().unwrap().expires = Some(expires);
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str, who: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = request.header(AUTHORIZATION, who);
        request.header(ACCEPT, "application/json, text/event-stream").timeout(REQUEST_TIMEOUT)
    }

    pub(crate) fn post(&self, who: &str, body: &Value) -> reqwest::RequestBuilder {
        self.post_text(who, body.to_string())
    }

    pub(crate) fn post_text(&self, who: &str, body: String) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST, "/mcp", who).header(CONTENT_TYPE, "application/json").body(body)
    }

    /// A session that has begun.
    pub(crate) async fn session(&self, who: &'static str, revision: &str) -> HttpSession<'_> {
        let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"},
        }});
        let begun = Reply::read(self.post(who, &initialize).send().await.unwrap()).await;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
        assert_eq!(begun.message()["result"]["protocolVersion"], revision);
        let session = HttpSession {
            endpoint: self,
            who,
            id: begun.header("mcp-session-id").to_owned(),
            revision: revision.to_owned(),
        };
        assert!(session.id.len() >= 32, "{}", session.id);
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(session.send(&initialized).await.status, StatusCode::ACCEPTED);
        session
    }

    /// A request of 2026-07-28, with the headers that it must have.
    pub(crate) fn modern(&self, who: &str, id: u64, method: &str, params: &Value) -> reqwest::RequestBuilder {
        let mut params = params.clone();
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let request = self.post(who, &body).header("mcp-protocol-version", "2026-07-28");
        let request = request.header("mcp-method", method);
        match params["name"].as_str().or(params["uri"].as_str()) {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }
}

/// A session over HTTP.
pub(crate) struct HttpSession<'a> {
    endpoint: &'a Endpoint,
    who: &'static str,
    pub(crate) id: String,
    revision: String,
}

impl HttpSession<'_> {
    pub(crate) fn with_headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header("mcp-session-id", &self.id).header("mcp-protocol-version", &self.revision)
    }

    pub(crate) async fn send(&self, body: &Value) -> Reply {
        let request = self.with_headers(self.endpoint.post(self.who, body));
        Reply::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn request(&self, id: u64, method: &str, params: Value) -> Reply {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await
    }

    pub(crate) async fn call(&self, id: u64, tool: &str, arguments: Value) -> Reply {
        self.request(id, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// The response to a POST whose end isn't waited for.
    pub(crate) async fn begin(&self, body: &Value) -> reqwest::Response {
        self.with_headers(self.endpoint.post(self.who, body)).send().await.unwrap()
    }

    /// The session's own stream, or the one after this event.
    pub(crate) async fn open_stream(&self, last_event: Option<&str>) -> reqwest::Response {
        let mut request = self.with_headers(self.endpoint.request(reqwest::Method::GET, "/mcp", self.who));
        if let Some(last) = last_event {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    }
}

/// Reads a stream until what it sent so far fits.
pub(crate) async fn read_until(
    response: &mut reqwest::Response,
    fits: impl Fn(&[(String, Value)]) -> bool,
) -> Vec<(String, Value)> {
    let reading = async {
        let mut text = String::new();
        loop {
            let chunk = response.chunk().await.unwrap().unwrap_or_else(|| panic!("it ended: {text}"));
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            let found = events(&text);
            if text.ends_with("\n\n") && fits(&found) {
                return found;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("in time")
}

/// One who has everything, as the endpoint knows it.
pub(crate) fn caller(name: &str) -> Caller {
    let agent = RemoteAgent { name: name.to_owned(), reach: ToolReach { tools: vec!["*".parse().unwrap()] } };
    Caller { agent, address: [192, 0, 2, 7].into(), validity: Validity::default() }
}

fn fresh_credential() -> Validity {
    Validity { revoked: Some(CancellationToken::new()), expires: None }
}

async fn identify(State(phone): State<Arc<Mutex<Validity>>>, mut request: Request, next: Next) -> Response {
    let name = request.headers().get("authorization").and_then(|name| name.to_str().ok()).unwrap_or_default();
    let pattern = match name {
        PHONE | TABLET => "*",
        READER => "*/read",
        _ => return StatusCode::UNAUTHORIZED.into_response(),
    };
    let principal = RemotePrincipal {
        name: name.to_owned(),
        tools: vec![pattern.parse().unwrap()],
        address: ([192, 0, 2, 7], 4711).into(),
        validity: if name == PHONE { phone.lock().unwrap().clone() } else { Validity::default() },
    };
    request.extensions_mut().insert(principal);
    next.run(request).await
}
