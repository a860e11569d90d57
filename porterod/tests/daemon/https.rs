//! The HTTPS endpoint over real sockets: what it serves, to whom, and what it refuses.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portero::ipc::requests::daemon::{GetStatus, StopDaemon};
use portero::ipc::{HttpsCertificate, HttpsStatus};
use porterod::app::App;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Home, TEST_TIMEOUT, wait_until};

const TOKEN: &str = "2f7c1b9e0d4a86553c1f0e9b7a2d4c68e1f3a5b7c9d0e2f4061728394a5b6c7d";

/// A daemon with an endpoint at a free port.
pub(crate) struct Endpoint {
    pub(crate) home: Home,
    app: App,
    address: SocketAddr,
}

impl Endpoint {
    pub(crate) async fn start(https: Value) -> Self {
        Self::start_in(Home::new(), https).await
    }

    pub(crate) async fn start_in(home: Home, https: Value) -> Self {
        write_https(&home, https);
        let app = home.start().await;
        wait_until("it is served", async || matches!(status(&home).await, HttpsStatus::Serving { .. })).await;
        let HttpsStatus::Serving { address, .. } = status(&home).await else { panic!("it is served") };
        Self { home, app, address }
    }

    /// One with plain HTTP and these limits.
    async fn plain(limits: Value) -> Self {
        Self::start(json!({"plainHttp": true, "listen": "127.0.0.1:0", "limits": limits})).await
    }

    async fn connect(&self) -> Connection<TcpStream> {
        Connection(TcpStream::connect(self.address).await.unwrap())
    }

    /// The whole response to a request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str, headers: &[&str]) -> String {
        let mut connection = self.connect().await;
        connection.send(&head(request, &[headers, &["Connection: close"]].concat())).await;
        connection.read_to_end().await
    }

    async fn certificate(&self) -> (HttpsCertificate, Option<String>) {
        match status(&self.home).await {
            HttpsStatus::Serving { certificate, problem, .. } => (certificate.expect("TLS"), problem),
            other => panic!("{other:?}"),
        }
    }

    /// A connection by TLS to a server whose certificate is in this file.
    async fn connect_tls(&self, trusted: &Path) -> std::io::Result<Connection<TlsStream<TcpStream>>> {
        self.connect_tls_as(trusted, None).await
    }

    async fn connect_tls_as(
        &self,
        trusted: &Path,
        identity: Option<&ClientIdentity>,
    ) -> std::io::Result<Connection<TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(trusted).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(ClientIdentity { certificate, key }) => config
                .with_client_auth_cert(
                    vec![certificate.clone()],
                    PrivatePkcs8KeyDer::from(key.clone()).into(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        tokio::time::timeout(TEST_TIMEOUT, connecting).await.expect("in time").map(Connection)
    }

    /// The response to a request by TLS with this client certificate; none if the handshake fails.
    pub(crate) async fn ask_tls(
        &self,
        request: &str,
        headers: &[&str],
        identity: Option<&ClientIdentity>,
    ) -> Option<String> {
        self.send_tls(&head(request, &[headers, &["Connection: close"]].concat()), identity).await
    }

    async fn send_tls(&self, text: &str, identity: Option<&ClientIdentity>) -> Option<String> {
        let (certificate, _) = self.certificate().await;
        let mut connection = self.connect_tls_as(&certificate.file, identity).await.ok()?;
        // In TLS 1.3 a client hears of a refused certificate after its own handshake.
        let asking = async {
            connection.0.write_all(text.as_bytes()).await.ok()?;
            let mut bytes = Vec::new();
            connection.0.read_to_end(&mut bytes).await.ok()?;
            String::from_utf8(bytes).ok().filter(|response| !response.is_empty())
        };
        tokio::time::timeout(TEST_TIMEOUT, asking).await.expect("in time")
    }

    /// The whole response to an `initialize`, with these headers or by TLS with this certificate.
    pub(crate) async fn begin_session(&self, headers: &[&str], identity: Option<&ClientIdentity>) -> String {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"},
        }});
        let body = body.to_string();
        let length = format!("Content-Length: {}", body.len());
        let accept = "Accept: application/json, text/event-stream";
        let own = ["Content-Type: application/json", accept, &length, "Connection: close"];
        let text = head("POST /mcp", &[headers, &own].concat()) + &body;
        if identity.is_some() {
            return self.send_tls(&text, identity).await.expect("the handshake succeeds");
        }
        let mut connection = self.connect().await;
        connection.send(&text).await;
        connection.read_to_end().await
    }

    /// Waits until so many sessions are open.
    pub(crate) async fn wait_for_sessions(&self, count: usize) {
        wait_until("so many sessions are open", async || {
            let status = self.home.terminal().await.request(GetStatus).await.unwrap();
            status.https_clients.iter().map(|client| client.sessions).sum::<usize>() == count
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        tokio::time::timeout(TEST_TIMEOUT, self.app.shutdown()).await.expect("in time");
    }
}

/// A client's certificate with its key in PKCS #8.
pub(crate) struct ClientIdentity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
}

pub(crate) fn write_https(home: &Home, https: Value) {
    std::fs::write(home.path_of("config").join(".env"), format!("BEARER_TOKEN={TOKEN}\n")).unwrap();
    home.write("portero.json", &json!({"https": https}));
}

async fn status(home: &Home) -> HttpsStatus {
    home.terminal().await.request(GetStatus).await.unwrap().https
}

/// The head of a request to `localhost`, unless a header names another host.
fn head(request: &str, headers: &[&str]) -> String {
    let has_host = headers.iter().any(|header| header.starts_with("Host:"));
    let host = if has_host { "" } else { "Host: localhost\r\n" };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{request} HTTP/1.1\r\n{host}{headers}\r\n")
}

pub(crate) fn authorization() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

pub(crate) fn status_of(response: &str) -> &str {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or(response)
}

struct Connection<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn send(&mut self, text: &str) {
        let sending = async {
            self.0.write_all(text.as_bytes()).await.unwrap();
            self.0.flush().await.unwrap();
        };
        tokio::time::timeout(TEST_TIMEOUT, sending).await.expect("in time");
    }

    /// What comes until the peer closes. A reset is an end, too.
    async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let reading = self.0.read_to_end(&mut bytes);
        let _ = tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("closed in time");
        String::from_utf8(bytes).unwrap()
    }

    /// What comes until it contains a text.
    async fn read_until(&mut self, text: &str) -> String {
        let mut bytes = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&bytes).contains(text) {
                let mut some = [0; 1024];
                let count = self.0.read(&mut some).await.unwrap();
                assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
                bytes.extend(&some[..count]);
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("in time");
        String::from_utf8(bytes).unwrap()
    }
}

#[tokio::test]
async fn health_is_open_and_everything_else_needs_the_token() {
    let endpoint = Endpoint::plain(json!({})).await;
    for request in ["GET /health", "POST /health"] {
        let response = endpoint.ask(request, &[]).await;
        assert!(status_of(&response) == "200" && response.ends_with("{\"status\":\"ok\"}"), "{response}");
        let lower = response.to_lowercase();
        assert!(
            !lower.contains("\r\nserver:") && lower.contains("\r\ncache-control: no-store"),
            "{response}"
        );
    }
    assert_eq!(status_of(&endpoint.ask("DELETE /health", &[]).await), "405");
    for request in ["GET /ready", "GET /metrics", "GET /mcp", "GET /nothing", "POST /mcp/message"] {
        let response = endpoint.ask(request, &[]).await;
        assert_eq!(status_of(&response), "401", "{request}: {response}");
        assert!(response.to_lowercase().contains("\r\nwww-authenticate: bearer\r\n"), "{response}");
        let guessed = endpoint.ask(request, &["Authorization: Bearer guessed"]).await;
        assert!(guessed.contains("error=\"invalid_token\"") && !guessed.contains(TOKEN), "{guessed}");
    }
    let with_token = [&*authorization()];
    let ready = endpoint.ask("GET /ready", &with_token).await;
    assert!(status_of(&ready) == "200" && ready.ends_with("{\"ready\":true}"), "{ready}");
    let metrics = endpoint.ask("GET /metrics", &with_token).await;
    assert!(metrics.contains("portero_http_responses_total{status=\"401\"} 10\n"), "{metrics}");
    assert!(metrics.contains("portero_calls_total{outcome=\"done\"} 0\n"), "{metrics}");
    assert_eq!(status_of(&endpoint.ask("POST /ready", &with_token).await), "405");
    assert_eq!(status_of(&endpoint.ask("GET /nothing", &with_token).await), "404");
    endpoint.stop().await;
}

#[tokio::test]
async fn another_host_and_another_pages_origin_are_refused() {
    let endpoint = Endpoint::start(json!({
        "plainHttp": true, "listen": "127.0.0.1:0", "hosts": ["portero.example.com"],
        "origins": ["https://app.example.com"],
    }))
    .await;
    for (headers, expected) in [
        (&["Host: portero.example.com"][..], "200"),
        (&["Host: evil.example"][..], "421"),
        (&["Host: localhost", "Host: evil.example"][..], "400"),
        (&["Origin: https://app.example.com"][..], "200"),
        (&["Origin: https://evil.example"][..], "403"),
        (&["Origin: null"][..], "403"),
    ] {
        assert_eq!(status_of(&endpoint.ask("GET /health", headers).await), expected, "{headers:?}");
    }
    let preflight = ["Origin: https://app.example.com", "Access-Control-Request-Method: POST"];
    let response = endpoint.ask("OPTIONS /mcp", &preflight).await;
    assert_eq!(status_of(&response), "204");
    assert!(response.contains("access-control-allow-origin: https://app.example.com\r\n"), "{response}");
    let preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"];
    let response = endpoint.ask("OPTIONS /mcp", &preflight).await;
    assert!(status_of(&response) == "403" && !response.contains("access-control"), "{response}");
    endpoint.stop().await;
}

#[tokio::test]
async fn a_body_is_read_after_authentication_only_and_within_its_limits() {
    let endpoint = Endpoint::plain(json!({"bodyBytes": 2048})).await;
    let json_body = "Content-Type: application/json";
    // Nothing of the body is sent, and the answer comes all the same.
    let response = endpoint.ask("POST /mcp", &[json_body, "Content-Length: 1000000000000"]).await;
    assert_eq!(status_of(&response), "401");
    let response = endpoint.ask("POST /mcp", &[json_body, "Expect: 100-continue", "Content-Length: 9"]).await;
    assert_eq!(status_of(&response), "401", "the body isn't asked for");

    let with_token = authorization();
    let response = endpoint.ask("POST /mcp", &[&with_token, json_body, "Content-Length: 1000000"]).await;
    assert_eq!(status_of(&response), "413");
    let response = endpoint.ask("POST /mcp", &[&with_token, "Content-Length: 9"]).await;
    assert_eq!(status_of(&response), "415");
    let zipped = [&*with_token, json_body, "Content-Encoding: gzip", "Content-Length: 9"];
    assert_eq!(status_of(&endpoint.ask("POST /mcp", &zipped).await), "415");

    let chunked = [&*with_token, json_body, "Transfer-Encoding: chunked", "Connection: close"];
    let mut connection = endpoint.connect().await;
    connection.send(&head("POST /mcp", &chunked)).await;
    connection.send(&format!("1000\r\n{}\r\n", "x".repeat(0x1000))).await;
    assert_eq!(status_of(&connection.read_to_end().await), "413");

    let mut whole = endpoint.connect().await;
    whole
        .send(&head("POST /mcp/nothing", &[&with_token, json_body, "Content-Length: 2", "Connection: close"]))
        .await;
    whole.send("{}").await;
    assert_eq!(status_of(&whole.read_to_end().await), "404");
    endpoint.stop().await;

    let endpoint = Endpoint::plain(json!({"body": "1s"})).await;
    let mut slow = endpoint.connect().await;
    slow.send(&head("POST /mcp", &[&with_token, json_body, "Content-Length: 9", "Connection: close"])).await;
    slow.send("{").await;
    assert_eq!(status_of(&slow.read_to_end().await), "408");
    endpoint.stop().await;
}

#[tokio::test]
async fn heads_that_are_slow_or_too_long_get_nowhere() {
    let endpoint = Endpoint::plain(json!({"header": "1s"})).await;
    let mut slow = endpoint.connect().await;
    slow.send("GET /health HTTP/1.1\r\nHost: loc").await;
    assert_eq!(slow.read_to_end().await, "");
    let mut silent = endpoint.connect().await;
    assert_eq!(silent.read_to_end().await, "");
    endpoint.stop().await;

    let endpoint = Endpoint::plain(json!({"headerBytes": 8192})).await;
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(status_of(&endpoint.ask("GET /health", &[&long]).await), "431");
    let many = vec!["X-Many: x"; 200];
    assert_eq!(status_of(&endpoint.ask("GET /health", &many).await), "431");
    for broken in ["GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n"] {
        let mut connection = endpoint.connect().await;
        connection.send(broken).await;
        assert_eq!(status_of(&connection.read_to_end().await), "400");
    }
    // A length that contradicts the encoding could smuggle a request past a proxy (RFC 9112, section 6.1).
    let both = ["Content-Length: 4", "Transfer-Encoding: chunked"];
    let mut connection = endpoint.connect().await;
    connection.send(&head("POST /health", &both)).await;
    connection.send(&format!("0\r\n\r\n{}", head("GET /metrics", &["Connection: close"]))).await;
    let response = connection.read_to_end().await;
    assert!(!response.contains("portero_"), "{response}");
    endpoint.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let endpoint = Endpoint::plain(json!({})).await;
    let mut connection = endpoint.connect().await;
    let requests = [
        head("GET /health", &[]),
        head("GET /ready", &[]),
        head("GET /ready", &[&authorization(), "Connection: close"]),
    ];
    connection.send(&requests.concat()).await;
    let responses = connection.read_to_end().await;
    let statuses: Vec<_> =
        responses.match_indices("HTTP/1.1 ").map(|(at, _)| status_of(&responses[at..])).collect();
    assert_eq!(statuses, ["200", "401", "200"]);
    endpoint.stop().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_requests_and_connections() {
    let endpoint =
        Endpoint::plain(json!({"requestsPerMinuteOfAddress": 12, "connectionsOfAddress": 2})).await;
    let mut kept = endpoint.connect().await;
    kept.send(&head("GET /health", &[])).await;
    kept.read_until("ok").await;
    let mut second = endpoint.connect().await;
    second.send(&head("GET /health", &[])).await;
    second.read_until("ok").await;
    let mut third = endpoint.connect().await;
    assert_eq!(third.read_to_end().await, "", "a third connection is closed");

    second.send(&head("GET /health", &[])).await;
    let refused = second.read_until("too many").await;
    assert_eq!(status_of(&refused), "429");
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    endpoint.home.clock.advance(Duration::from_secs(5));
    second.send(&head("GET /health", &[])).await;
    assert_eq!(status_of(&second.read_until("ok").await), "200");
    endpoint.stop().await;
}

#[tokio::test]
async fn strangers_shut_out_nobody_who_comes_from_the_same_address() {
    let endpoint = Endpoint::plain(json!({"requestsPerMinuteOfAddress": 12})).await;
    for (path, headers, statuses) in [
        ("GET /ready", vec!["Authorization: Bearer wrong".to_owned()], ["401", "401", "429", "429"]),
        ("GET /ready", vec![authorization()], ["200", "200", "200", "200"]),
        ("GET /health", vec![], ["429", "429", "429", "429"]),
    ] {
        for status in statuses {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            assert_eq!(status_of(&endpoint.ask(path, &headers).await), status, "{path} {headers:?}");
        }
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn a_made_certificate_is_kept_private_and_is_the_one_that_status_tells() {
    let endpoint = Endpoint::start(json!({"selfSigned": true, "listen": "127.0.0.1:0"})).await;
    let (certificate, problem) = endpoint.certificate().await;
    assert_eq!(problem, None);
    assert!(certificate.expires.unwrap().to_string().starts_with("2029-02-22"), "{certificate:?}");
    let key = certificate.file.with_extension("key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
    }
    let mut connection = endpoint.connect_tls(&certificate.file).await.unwrap();
    connection.send(&head("GET /health", &["Connection: close"])).await;
    assert_eq!(status_of(&connection.read_to_end().await), "200");
    let mut plain = endpoint.connect().await;
    plain.send(&head("GET /health", &["Connection: close"])).await;
    assert!(!plain.read_to_end().await.contains("200"), "without TLS nothing is served");

    let pem = std::fs::read(&certificate.file).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap())
        .timeout(TEST_TIMEOUT)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/ready", endpoint.address.port());
    let response = client.get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (reqwest::Version::HTTP_2, 200));

    let home = endpoint.home;
    tokio::time::timeout(TEST_TIMEOUT, endpoint.app.shutdown()).await.expect("in time");
    let again = Endpoint::start_in(home, json!({"selfSigned": true, "listen": "127.0.0.1:0"})).await;
    assert_eq!(again.certificate().await.0, certificate, "it is made once");
    again.stop().await;
}

/// Writes a new certificate for `localhost` and its key.
fn write_certificate(home: &Home) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(home.path_of("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(home.path_of("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
    let home = Home::new();
    write_certificate(&home);
    let (file, key) = (home.path_of("cert.pem"), home.path_of("key.pem"));
    let https = json!({"certFile": file, "keyFile": key, "listen": "127.0.0.1:0"});
    let endpoint = Endpoint::start_in(home, https).await;
    let first = endpoint.home.path_of("first.pem");
    std::fs::copy(&file, &first).unwrap();
    let mut kept = endpoint.connect_tls(&first).await.unwrap();
    kept.send(&head("GET /health", &[])).await;
    kept.read_until("ok").await;

    write_certificate(&endpoint.home);
    assert!(endpoint.connect_tls(&first).await.is_err(), "the former one is not served any more");
    assert!(endpoint.connect_tls(&file).await.is_ok());
    kept.send(&head("GET /health", &[])).await;
    kept.read_until("ok").await;
    let second = endpoint.home.path_of("second.pem");
    std::fs::copy(&file, &second).unwrap();

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    assert!(endpoint.connect_tls(&second).await.is_ok(), "the last good pair stays");
    let (certificate, problem) = endpoint.certificate().await;
    assert!(problem.as_ref().unwrap().contains("is not that of"), "{problem:?}");
    write_certificate(&endpoint.home);
    assert!(endpoint.connect_tls(&file).await.is_ok());
    let (replaced, problem) = endpoint.certificate().await;
    assert!(problem.is_none() && replaced.sha256 != certificate.sha256);
    endpoint.stop().await;
}

#[tokio::test]
async fn a_request_that_is_open_when_the_daemon_ends_is_answered() {
    let endpoint = Endpoint::plain(json!({})).await;
    let mut idle = endpoint.connect().await;
    idle.send(&head("GET /health", &[])).await;
    idle.read_until("ok").await;
    let mut open = endpoint.connect().await;
    let headers =
        [&*authorization(), "Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue"];
    open.send(&head("POST /nothing", &headers)).await;
    open.read_until("100 Continue\r\n\r\n").await;

    let terminal = endpoint.home.terminal().await;
    terminal.request(StopDaemon).await.unwrap();
    assert_eq!(idle.read_to_end().await, "", "an idle connection is closed");
    open.send("{}").await;
    assert_eq!(status_of(&open.read_to_end().await), "404");
    endpoint.stop().await;
}

#[tokio::test]
async fn an_unsafe_shape_stays_closed_and_the_daemon_runs() {
    let home = Home::new();
    write_https(&home, json!({"plainHttp": true, "listen": "0.0.0.0:0"}));
    let app = home.start().await;
    let closed = async || match status(&home).await {
        HttpsStatus::Closed { reason, .. } => reason,
        other => format!("{other:?}"),
    };
    let plain = "plain HTTP beyond this machine could be read on its way";
    wait_until("the reason is told", async || closed().await == plain).await;
    write_https(&home, json!({}));
    wait_until("another reason is told", async || closed().await == "it names no certificate").await;
    write_https(&home, json!({"certFile": "gone.pem", "keyFile": "gone.key"}));
    wait_until("a missing file is told", async || {
        matches!(status(&home).await, HttpsStatus::Failed { problem, .. } if problem.contains("gone.pem"))
    })
    .await;
    write_https(&home, json!({"plainHttp": true, "listen": "127.0.0.1:0"}));
    wait_until("a safe shape opens", async || matches!(status(&home).await, HttpsStatus::Serving { .. }))
        .await;
    home.write("portero.json", &json!({}));
    wait_until("a removed one closes", async || status(&home).await == HttpsStatus::Off).await;
    app.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_an_open_request_keeps_its_own() {
    let endpoint = Endpoint::plain(json!({"idle": "10s", "header": "10m", "body": "10m"})).await;
    let mut open = endpoint.connect().await;
    let headers =
        [&*authorization(), "Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue"];
    open.send(&head("POST /nothing", &headers)).await;
    open.read_until("100 Continue\r\n\r\n").await;
    let mut idle = endpoint.connect().await;
    idle.send(&head("GET /health", &[])).await;
    idle.read_until("ok").await;
    assert_eq!(idle.read_to_end().await, "");
    open.send("{}").await;
    open.read_until("HTTP/1.1 404").await;
    endpoint.stop().await;
}

/// Each connection of this test has two ends in this process.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_connections_are_open_at_once_and_need_no_threads() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    const CONNECTIONS: usize = 1000;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < 4096) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(4096), maximum }).unwrap();
    }
    let endpoint = Endpoint::plain(json!({
        "connections": CONNECTIONS + 10, "connectionsOfAddress": CONNECTIONS + 10,
        "requestsPerMinuteOfAddress": 1_000_000, "header": "10m", "idle": "10m",
    }))
    .await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = endpoint.connect().await;
        connection.send(&head("GET /health", &[])).await;
        connection.read_until("ok").await;
        connections.push(connection);
    }
    let metrics = endpoint.ask("GET /metrics", &[&authorization()]).await;
    assert!(metrics.contains(&format!("portero_http_connections {}\n", CONNECTIONS + 1)), "{metrics}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim();
    assert!(threads.parse::<usize>().unwrap() < CONNECTIONS / 2, "{threads} threads");
    for connection in &mut connections {
        connection.send(&head("GET /health", &["Connection: close"])).await;
        connection.read_until("ok").await;
    }
    endpoint.stop().await;
}
