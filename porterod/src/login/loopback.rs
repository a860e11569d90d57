//! The address on this machine to which a browser brings the answer of a login (RFC 8252, 7.3).
//!
//! It takes one answer: a `GET` of its path with the login's own `state`. Everything else is refused and changes
//! nothing, so another program can neither end a login nor answer it. No page shows text from outside.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use portero::secret::Secret;
use portero::sync::lock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// The path of the redirect URI.
const CALLBACK_PATH: &str = "/callback";
/// The path that leads to the server's page, before the ticket.
const START_PATH: &str = "/start/";
/// How long a connection may take for its request and its response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections are served at once.
const MAX_CONNECTIONS: usize = 16;
/// The longest head of a request that is read, in bytes. Answers of some issuers are long.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// The pause after a connection could not be accepted, such as with too many open files.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Listens for the answer of one login.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    /// The same port for hosts on which `localhost` is `::1`.
    second: Option<TcpListener>,
    host: String,
}

/// What a browser did.
#[derive(Debug)]
pub(super) enum BrowserEvent {
    /// It brought the answer: the query of the redirect URI.
    Answered(Secret),
    /// The start address was opened a second time: one of the two was not the person's browser.
    StartedTwice,
}

/// The login that is waited for.
pub(super) struct ExpectedLogin {
    /// The server's page.
    pub(super) page: Secret,
    /// What the answer must repeat.
    pub(super) state: Secret,
}

impl Loopback {
    /// Listens on this port, or on any free one.
    ///
    /// # Errors
    /// If the port can't be had.
    pub(super) async fn bind(port: Option<u16>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        let bound = listener.local_addr()?.port();
        let (host, second) = match port {
            // A client that was registered with a fixed port was registered with this name, as other clients use it.
            Some(_) => {
                let second = TcpListener::bind((Ipv6Addr::LOCALHOST, bound)).await;
                (format!("localhost:{bound}"), allow_missing_ipv6(second)?)
            }
            None => (format!("127.0.0.1:{bound}"), None),
        };
        Ok(Self { listener, second, host })
    }

    /// Where the browser brings the answer.
    pub(super) fn redirect_uri(&self) -> String {
        format!("http://{}{CALLBACK_PATH}", self.host)
    }

    /// Serves until the receiver is dropped. Returns the address that leads to the server's page, once.
    pub(super) fn serve(self, expected: ExpectedLogin) -> (String, mpsc::Receiver<BrowserEvent>) {
        let ticket = BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>());
        let start = format!("http://{}{START_PATH}{ticket}", self.host);
        let (events, receiver) = mpsc::channel(1);
        let site = Site { host: self.host, ticket, expected, progress: Mutex::default(), events };
        tokio::spawn(accept_connections(Arc::new(site), self.listener, self.second));
        (start, receiver)
    }
}

/// The second listener; none where this machine has no `::1`. If another process has the port there, the browser may
/// bring the answer to that one, so the port counts as taken.
fn allow_missing_ipv6(bound: io::Result<TcpListener>) -> io::Result<Option<TcpListener>> {
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok(None),
    }
}

/// What is served.
struct Site {
    host: String,
    ticket: String,
    expected: ExpectedLogin,
    progress: Mutex<Progress>,
    events: mpsc::Sender<BrowserEvent>,
}

#[derive(Debug, Default)]
struct Progress {
    is_started: bool,
    is_answered: bool,
}

async fn accept_connections(site: Arc<Site>, listener: TcpListener, second: Option<TcpListener>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = site.events.closed() => return,
            accepted = listener.accept() => accepted,
            accepted = accept_second(second.as_ref()) => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            continue;
        };
        // Beyond the limit a connection is closed at once: each open one ends soon.
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            let site = Arc::clone(&site);
            tokio::spawn(async move {
                serve_connection(&site, stream).await;
                drop(permit);
            });
        }
    }
}

async fn accept_second(listener: Option<&TcpListener>) -> io::Result<(TcpStream, std::net::SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve_connection(site: &Site, stream: TcpStream) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(site.respond(&request)) });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A browser that goes away has no use for the page.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

impl Site {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // Another host would be a name that someone pointed at this machine.
        if request.headers().get(HOST).is_none_or(|host| host.as_bytes() != self.host.as_bytes()) {
            return page(StatusCode::MISDIRECTED_REQUEST, "This is not the address of a login.");
        }
        let path = request.uri().path();
        let ticket = path.strip_prefix(START_PATH);
        if ticket.is_none() && path != CALLBACK_PATH {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        if request.method() != Method::GET {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, "A login is opened with GET.");
            refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
            return refusal;
        }
        match ticket {
            Some(ticket) => self.start(ticket),
            None => self.take_answer(request.uri().query().unwrap_or_default()),
        }
    }

    /// Leads to the server's page, once.
    fn start(&self, ticket: &str) -> Response<Full<Bytes>> {
        if !is_same(ticket, &self.ticket) {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        let is_again = std::mem::replace(&mut lock(&self.progress).is_started, true);
        if is_again {
            // A full channel holds an event that ends the login too.
            let _ = self.events.try_send(BrowserEvent::StartedTwice);
            let words = "This login was opened by another program before, so it was ended. Begin it again.";
            return page(StatusCode::GONE, words);
        }
        let target = hyper::header::HeaderValue::from_str(self.expected.page.expose());
        let Ok(target) = target else {
            return page(StatusCode::BAD_GATEWAY, "The server's page has no valid address.");
        };
        let mut response = page(StatusCode::SEE_OTHER, "The server's page follows.");
        response.headers_mut().insert(LOCATION, target);
        response
    }

    /// Takes the answer, if it belongs to this login and is the first.
    fn take_answer(&self, query: &str) -> Response<Full<Bytes>> {
        let mut states = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
        let is_ours = match (states.next(), states.next()) {
            (Some((_, state)), None) => is_same(&state, self.expected.state.expose()),
            (Some(_), Some(_)) | (None, _) => false,
        };
        if !is_ours {
            return page(
                StatusCode::BAD_REQUEST,
                "This answer belongs to another login. Nothing was changed.",
            );
        }
        if std::mem::replace(&mut lock(&self.progress).is_answered, true) {
            return page(StatusCode::GONE, "This login has its answer already.");
        }
        let _ = self.events.try_send(BrowserEvent::Answered(Secret::new(query)));
        page(StatusCode::OK, "You can close this window. The terminal says how the login went.")
    }
}

/// Compares without telling by the time how much is the same.
fn is_same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

fn page(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let html = format!("<!doctype html><meta charset=\"utf-8\"><title>Portero</title><p>{words}</p>\n");
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of the answer holds the code.
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PAGE: &str = "https://issuer.example/authorize?state=right&client_id=1";

    /// A login that is waited for, and a browser for it.
    struct Fixture {
        host: String,
        start: String,
        events: mpsc::Receiver<BrowserEvent>,
    }

    impl Fixture {
        async fn new() -> Self {
            let loopback = Loopback::bind(None).await.expect("a free port");
            let host = loopback.host.clone();
            let expected = ExpectedLogin { page: Secret::new(PAGE), state: Secret::new("right") };
            let (start, events) = loopback.serve(expected);
            Self { host, start, events }
        }

        /// Sends a request for a path, and returns the whole response.
        async fn send(&self, method: &str, path: &str) -> String {
            self.send_to(&self.host, method, path).await
        }

        async fn send_to(&self, host: &str, method: &str, path: &str) -> String {
            let mut stream = TcpStream::connect(&self.host).await.expect("it listens");
            let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("it reads");
            let mut response = String::new();
            stream.read_to_string(&mut response).await.expect("a response");
            response
        }

        fn start_path(&self) -> &str {
            self.start.strip_prefix(&format!("http://{}", self.host)).expect("its own host")
        }

        fn event(&mut self) -> Option<BrowserEvent> {
            self.events.try_recv().ok()
        }
    }

    #[tokio::test]
    async fn it_leads_to_the_page_and_takes_the_first_answer_with_the_right_state() {
        let mut fixture = Fixture::new().await;
        let start = fixture.start_path().to_owned();
        let led = fixture.send("GET", &start).await;
        assert!(led.starts_with("HTTP/1.1 303") && led.contains(PAGE), "{led}");
        assert!(fixture.event().is_none());
        let done =
            fixture.send("GET", "/callback?code=c1&state=right&iss=https%3A%2F%2Fissuer.example").await;
        assert!(done.starts_with("HTTP/1.1 200") && done.contains("close this window"), "{done}");
        assert!(!done.contains("c1") && done.contains("referrer-policy: no-referrer"), "{done}");
        let Some(BrowserEvent::Answered(query)) = fixture.event() else { panic!("no answer") };
        assert_eq!(query.expose(), "code=c1&state=right&iss=https%3A%2F%2Fissuer.example");
        let again = fixture.send("GET", "/callback?code=c2&state=right").await;
        assert!(again.starts_with("HTTP/1.1 410"), "{again}");
        assert!(fixture.event().is_none());
    }

    #[tokio::test]
    async fn every_other_request_is_refused_and_ends_nothing() {
        let mut fixture = Fixture::new().await;
        for (method, path, status) in [
            ("GET", "/callback?code=c&state=wrong", 400),
            ("GET", "/callback?code=c", 400),
            ("GET", "/callback?code=c&state=right&state=right", 400),
            ("GET", "/callback?code=c&state=right&state=wrong", 400),
            ("GET", "/callback", 400),
            ("POST", "/callback?code=c&state=right", 405),
            ("HEAD", "/callback?code=c&state=right", 405),
            ("GET", "/", 404),
            ("GET", "/callback/?code=c&state=right", 404),
            ("GET", "/start/", 404),
            ("GET", "/start/right", 404),
        ] {
            let refused = fixture.send(method, path).await;
            assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {refused}");
            assert!(!refused.contains(PAGE), "{method} {path}: {refused}");
        }
        let port = fixture.host.rsplit(':').next().expect("a port").to_owned();
        for host in ["evil.example".to_owned(), format!("localhost:{port}"), "127.0.0.1".to_owned()] {
            let refused = fixture.send_to(&host, "GET", "/callback?code=c&state=right").await;
            assert!(refused.starts_with("HTTP/1.1 421"), "{host}: {refused}");
        }
        assert!(fixture.event().is_none(), "nothing of that is an answer");
        assert!(fixture.send("GET", "/callback?code=c&state=right").await.starts_with("HTTP/1.1 200"));
        assert!(matches!(fixture.event(), Some(BrowserEvent::Answered(_))));
    }

    #[tokio::test]
    async fn an_address_that_another_program_opened_first_ends_the_login() {
        let mut fixture = Fixture::new().await;
        let start = fixture.start_path().to_owned();
        assert!(fixture.send("GET", &start).await.starts_with("HTTP/1.1 303"));
        let second = fixture.send("GET", &start).await;
        assert!(second.starts_with("HTTP/1.1 410") && !second.contains(PAGE), "{second}");
        assert!(matches!(fixture.event(), Some(BrowserEvent::StartedTwice)));
    }

    #[tokio::test]
    async fn a_fixed_port_is_told_by_the_name_that_clients_are_registered_with() {
        // Another process may take the port in between, so a few are tried.
        for _ in 0..20 {
            let free = Loopback::bind(None).await.expect("a free port");
            let port: u16 = free.host.rsplit(':').next().expect("a port").parse().expect("a number");
            let taken = Loopback::bind(Some(port)).await.expect_err("it is taken");
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            drop(free);
            if let Ok(fixed) = Loopback::bind(Some(port)).await {
                return assert_eq!(fixed.redirect_uri(), format!("http://localhost:{port}/callback"));
            }
        }
        panic!("no port stays free");
    }

    #[tokio::test]
    async fn a_port_that_another_process_has_at_the_second_address_is_taken() {
        let failed = |kind: io::ErrorKind| allow_missing_ipv6(Err(kind.into()));
        let taken = failed(io::ErrorKind::AddrInUse).expect_err("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        for missing in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::Unsupported] {
            assert!(failed(missing).expect("no IPv6 here").is_none());
        }
    }

    #[tokio::test]
    async fn nothing_listens_once_the_login_is_over() {
        let fixture = Fixture::new().await;
        let Fixture { host, events, .. } = fixture;
        drop(events);
        let closed = async {
            while TcpStream::connect(&host).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the port is closed");
    }
}
