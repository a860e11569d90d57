//! A remote server and its issuer on loopback. Its tool says everything that it was sent, plain and in base64.
//!
//! It does what its path says:
//!
//! | path | behaviour |
//! |---|---|
//! | `/signed/mcp` | wants the token of its login |
//! | `/locked/mcp` | answers 401 whatever it is sent |
//! | `/inward/NUMBER/mcp` | names an issuer that points inward, see [`INWARD`] |
//! | `/moved/PORT/mcp` | redirects to that port of this machine |
//! | any other that ends with `/mcp` | serves |

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::test_support::TEST_TIMEOUT;

pub(super) const ACCESS_TOKEN: &str = "access-of-the-login-4f1c9a";
pub(super) const REFRESH_TOKEN: &str = "refresh-of-the-login-8b2d7e";

/// Issuers that no server on this machine may lead to.
pub(super) const INWARD: [&str; 4] =
    ["http://169.254.169.254", "https://[fe80::1]", "file:///etc/passwd", "http://auth.example.test"];

pub(super) struct RemoteServer {
    pub(super) origin: String,
    /// The values of all headers that it was sent, and the bodies of requests for tokens.
    received: Arc<Mutex<BTreeSet<String>>>,
    /// The paths that it was asked for, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

struct HttpRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl RemoteServer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (of, seen, paths) = (origin.clone(), Arc::clone(&received), Arc::clone(&asked));
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (origin, seen, paths) = (of.clone(), Arc::clone(&seen), Arc::clone(&paths));
                std::thread::spawn(move || serve(stream, &origin, &seen, &paths));
            }
        });
        Self { origin, received, asked }
    }

    /// How often it was asked for a path.
    pub(super) fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| *asked == path).count()
    }

    /// Its port.
    pub(super) fn port(&self) -> &str {
        self.origin.rsplit(':').next().unwrap()
    }

    /// Whether it was sent this text.
    pub(super) fn has_received(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().any(|value| value.contains(text))
    }
}

fn serve(stream: TcpStream, origin: &str, seen: &Mutex<BTreeSet<String>>, paths: &Mutex<Vec<String>>) {
    let Some(request) = read_request(&stream) else { return };
    paths.lock().unwrap_or_else(PoisonError::into_inner).push(request.path.clone());
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(request.headers.iter().map(|(_, value)| value.clone()));
        if request.path.ends_with("/token") {
            seen.insert(request.body.clone());
        }
    }
    let (status, header, body) = respond(origin, &request);
    let response = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{header}\r\n{body}",
        body.len()
    );
    // The client may have gone.
    let _ = (&stream).write_all(response.as_bytes());
}

fn read_request(stream: &TcpStream) -> Option<HttpRequest> {
    stream.set_read_timeout(Some(TEST_TIMEOUT)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(HttpRequest { method, path, headers, body: String::from_utf8(body).ok()? })
}

/// The status, a header with its line end, and the body.
fn respond(origin: &str, request: &HttpRequest) -> (u16, String, String) {
    let plain = |body: Value| (200, String::new(), body.to_string());
    match (&*request.method, request.path.split('?').next().unwrap_or_default()) {
        ("GET", "/.well-known/oauth-protected-resource/signed/mcp") => {
            plain(json!({"resource": format!("{origin}/signed/mcp"), "authorization_servers": [origin]}))
        }
        ("GET", "/.well-known/oauth-authorization-server") => plain(json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "authorization_response_iss_parameter_supported": true,
        })),
        ("POST", "/token") => plain(json!({
            "access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, "token_type": "Bearer",
            "expires_in": 3600,
        })),
        ("POST", "/signed/mcp") if !is_signed_in(request) => {
            let metadata = format!("{origin}/.well-known/oauth-protected-resource/signed/mcp");
            let header = format!("WWW-Authenticate: Bearer resource_metadata=\"{metadata}\"\r\n");
            (401, header, String::new())
        }
        ("POST", "/locked/mcp") => (401, "WWW-Authenticate: Bearer\r\n".to_owned(), String::new()),
        ("GET", path) if path.starts_with("/.well-known/oauth-protected-resource/inward/") => {
            let path = path.trim_start_matches("/.well-known/oauth-protected-resource");
            let number: usize = path.split('/').nth(2).and_then(|number| number.parse().ok()).unwrap_or(0);
            plain(json!({
                "resource": format!("{origin}{path}"), "authorization_servers": [INWARD[number]],
            }))
        }
        ("POST", path) if path.starts_with("/inward/") => {
            let metadata = format!("{origin}/.well-known/oauth-protected-resource{path}");
            (401, format!("WWW-Authenticate: Bearer resource_metadata=\"{metadata}\"\r\n"), String::new())
        }
        ("POST", path) if path.starts_with("/moved/") => {
            let port = path.split('/').nth(2).unwrap_or_default();
            (307, format!("Location: http://127.0.0.1:{port}/stolen/mcp\r\n"), String::new())
        }
        ("POST", path) if path.ends_with("/mcp") => respond_mcp(request),
        _ => (404, String::new(), String::new()),
    }
}

fn is_signed_in(request: &HttpRequest) -> bool {
    let right = format!("Bearer {ACCESS_TOKEN}");
    request.headers.iter().any(|(name, value)| name == "authorization" && *value == right)
}

fn respond_mcp(request: &HttpRequest) -> (u16, String, String) {
    let message: Value = serde_json::from_str(&request.body).unwrap_or_default();
    if message["id"].is_null() {
        return (202, String::new(), String::new());
    }
    let said = tell_everything(request);
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "remote", "version": "1"}, "instructions": said,
        }),
        "tools/list" => json!({"tools": [
            {"name": "tell", "description": said, "inputSchema": {"type": "object"}},
            {"name": "fail", "inputSchema": {"type": "object"}},
        ]}),
        "tools/call" if message["params"]["name"] == "tell" => {
            json!({"content": [{"type": "text", "text": said}], "structuredContent": {"said": said}})
        }
        _ => {
            let error = json!({"code": -32601, "message": said});
            return (
                200,
                String::new(),
                json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string(),
            );
        }
    };
    (200, String::new(), json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
}

/// Everything that it was sent, as text and in base64.
fn tell_everything(request: &HttpRequest) -> String {
    let values = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value} ({})", BASE64.encode(value.as_bytes())));
    values.collect::<Vec<_>>().join(", ")
}
