//! Over the network, against the real programs: a client without a credential at the endpoint, and a remote server that
//! wants the credentials of another, or one that never accepts its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use expectrl::Expect as _;
use serde_json::{Value, json};

use super::remote_server::{ACCESS_TOKEN, INWARD, RemoteServer};
use crate::agent::Agent;
use crate::terminal::{PASSPHRASE, run_without_terminal, set_passphrase, spawn_on_terminal};
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};
use crate::totp::{answer_prompt, read_to_end};

const TOKEN: &str = "5d0b7ac21e94f86371bb02ce58d9a4f7";

/// The endpoint of the real daemon, with short limits.
struct Endpoint {
    home: TestHome,
    address: String,
}

impl Endpoint {
    fn open() -> Self {
        let home = TestHome::with_office();
        fs::write(home.path("config/.env"), format!("BEARER_TOKEN={TOKEN}\n")).unwrap();
        let limits =
            json!({"header": "2s", "body": "2s", "bodyBytes": 2048, "requestsPerMinuteOfAddress": 6000});
        let https = json!({"plainHttp": true, "listen": "127.0.0.1:0", "limits": limits});
        home.write("portero.json", &json!({"https": https}));
        let address = endpoint_address(&home);
        Self { home, address }
    }

    /// What the endpoint says to these bytes until it closes the connection.
    fn send(&self, bytes: &str) -> String {
        let mut stream = self.connect();
        // It may close before it read all.
        let _ = stream.write_all(bytes.as_bytes());
        read_all(&mut stream)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
    }
}

/// Until the end of the connection; a reset is an end, too.
fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            panic!("it stays open after {:?}", String::from_utf8_lossy(&bytes))
        }
        Ok(_) | Err(_) => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn statuses(responses: &str) -> Vec<&str> {
    responses
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, mark)| responses.get(at + mark.len()..at + 12))
        .collect()
}

/// Waits for the endpoint of this home's daemon.
pub(super) fn endpoint_address(home: &TestHome) -> String {
    eventually("the endpoint is open", || find_address(&home.json(&["status"])["https"]))
}

/// The address of the endpoint, wherever the status tells it.
fn find_address(https: &Value) -> Option<String> {
    match https {
        Value::String(text) => text.parse::<std::net::SocketAddr>().ok().map(|address| address.to_string()),
        Value::Object(members) => members.values().find_map(find_address),
        _ => None,
    }
}

#[test]
fn slow_and_huge_requests_without_a_credential_cost_the_real_endpoint_nothing() {
    let endpoint = Endpoint::open();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| endpoint.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    }
    // Refused by its head alone: nothing of the body is ever sent, and it is not asked for.
    for body in [
        "Content-Length: 1000000000000",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue\r\nContent-Length: 9",
    ] {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{body}\r\n\r\n"
        );
        let mut stream = endpoint.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 401", "{body}");
    }
    // One that sends it all the same is not read to its end.
    let mut flood = endpoint.connect();
    flood.write_all(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    let sent = (0..1000).take_while(|_| flood.write_all(&[b'x'; 65_536]).is_ok()).count();
    assert!(sent < 1000, "64 MB of a refused body were taken");
    for stream in &mut slow {
        assert_eq!(read_all(stream), "", "a slow head is dropped without a word");
    }
    let health = endpoint.send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&health), ["200"]);
}

#[test]
fn a_body_that_differs_from_its_headers_smuggles_no_request_past_the_real_endpoint() {
    let endpoint = Endpoint::open();
    let smuggled = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    let json = "Content-Type: application/json";
    for (headers, body) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 9", ""),
        ("Content-Length: 0, 9", ""),
        ("Content-Length: +0", ""),
        ("Content-Length: 0x0", ""),
        ("Content-Length: -1", ""),
        ("Transfer-Encoding: identity", ""),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked", "0\r\n\r\n"),
        ("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\n"),
        ("Transfer-Encoding: chunked", "-1\r\n"),
        ("Transfer-Encoding: chunked", "0;\n\n"),
    ] {
        // What stands in front of the smuggled request has no credential, as that of another client of one proxy.
        let text =
            format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{json}\r\n{headers}\r\n\r\n{body}{smuggled}");
        let said = endpoint.send(&text);
        assert!(!said.contains("portero_"), "{headers}: the smuggled request was answered: {said}");
        assert!(
            statuses(&said).iter().all(|status| ["400", "401", "411", "413", "501"].contains(status)),
            "{headers}: {said}"
        );
    }
    // Shorter than it says: the request is not served, and the connection doesn't wait for ever.
    let mut short = endpoint.connect();
    let authorized = format!("Authorization: Bearer {TOKEN}\r\nAccept: application/json, text/event-stream");
    write!(
        short,
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{json}\r\n{authorized}\r\nContent-Length: 900\r\n\r\n{{"
    )
    .unwrap();
    short.shutdown(Shutdown::Write).unwrap();
    assert!(!read_all(&mut short).contains(" 200 "));
    // Longer than its head says: what follows is a request of its own, and needs its own credential.
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let said = endpoint.send(&format!(
        "POST /mcp/message HTTP/1.1\r\nHost: localhost\r\n{json}\r\n{authorized}\r\nContent-Length: {}\r\n\r\n{ping}\
         GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ping.len()
    ));
    assert_eq!(statuses(&said).last(), Some(&"401"), "{said}");
    assert!(!said.contains("portero_calls"), "{said}");
}

#[test]
fn another_host_page_or_token_gets_nothing_from_the_real_endpoint() {
    let endpoint = Endpoint::open();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
    for (headers, expected) in [
        ("Host: evil.example", "421"),
        ("Host: localhost\r\nHost: evil.example", "400"),
        ("Host: localhost\r\nOrigin: https://evil.example", "403"),
        ("Host: localhost\r\nOrigin: null", "403"),
        ("Host: localhost", "401"),
        (&format!("Host: localhost\r\nAuthorization: Bearer {}", &TOKEN[1..]), "401"),
        (&format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}x"), "401"),
        (&format!("Host: localhost\r\nAuthorization: Basic {TOKEN}"), "401"),
        (&format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nAuthorization: Bearer x"), "401"),
        (&format!("Host: localhost\r\nAuthorization: Bearer {unsigned}"), "401"),
        (&format!("Host: localhost\r\nCookie: token={TOKEN}"), "401"),
        (&format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}"), "200"),
    ] {
        let said = endpoint.send(&format!("GET /ready HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n"));
        assert_eq!(statuses(&said), [expected], "{headers}: {said}");
    }
    for path in [format!("/ready?access_token={TOKEN}"), format!("/ready?token={TOKEN}")] {
        let said =
            endpoint.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert_eq!(statuses(&said), ["401"], "a token in an address: {said}");
    }
    drop(endpoint.home);
}

/// Calls a tool without arguments.
pub(super) fn call_server(agent: &mut Agent, tool: &str) -> Value {
    agent.call_tool("portero__call", &json!({"tool": tool, "arguments": {}}))
}

/// A home with these servers, each by its path at the remote server, with a credential.
fn remote_home(remote: &RemoteServer, servers: &[(&str, String)]) -> TestHome {
    crate::porterod::porterod_program();
    let home = TestHome::empty();
    let entries = servers.iter().map(|(name, path)| {
        let headers = json!({"X-Api-Key": "${secret:key}"});
        (
            (*name).to_owned(),
            json!({"type": "http", "url": format!("{}{path}", remote.origin), "headers": headers}),
        )
    });
    home.write("mcps.json", &json!({"mcpServers": entries.collect::<serde_json::Map<_, _>>()}));
    home.write("policies.json", &json!({"policies": {"**": "allow"}}));
    let set = run_without_terminal(&home, &["secret", "set", "key"], "key-of-the-test-0123456789\n");
    assert_eq!(set.code, 0, "{}", set.stderr);
    home
}

#[test]
fn a_remote_server_that_redirects_gets_no_credential_sent_elsewhere() {
    let (remote, thief) = (RemoteServer::start(), RemoteServer::start());
    let home = remote_home(&remote, &[("moved", format!("/moved/{}/mcp", thief.port()))]);
    let mut agent = Agent::connect(&home, &[]);
    let refused = call_server(&mut agent, "moved/tell");
    assert!(remote.has_received("key-of-the-test"), "it was asked");
    assert_eq!(thief.count("/stolen/mcp"), 0, "{refused}");
    assert!(refused.to_string().contains(&format!("it moved to {}", thief.origin)), "{refused}");
}

#[test]
fn a_remote_server_that_refuses_every_credential_is_asked_seldom_and_costs_the_others_nothing() {
    let remote = RemoteServer::start();
    let home =
        remote_home(&remote, &[("locked", "/locked/mcp".to_owned()), ("open", "/open/mcp".to_owned())]);
    let mut agent = Agent::connect(&home, &[]);
    for _ in 0..10 {
        let refused = call_server(&mut agent, "locked/tell");
        assert!(refused.to_string().contains("wants a login"), "{refused}");
        let served = call_server(&mut agent, "open/tell");
        assert!(served.to_string().contains("REDACTED"), "{served}");
    }
    let asked = remote.count("/locked/mcp");
    // Each attempt to connect tries two eras and the older transport, each once more with the secret looked up again.
    assert!((1..=60).contains(&asked), "asked {asked} times for ten calls");
}

#[test]
fn a_login_that_points_inward_or_whose_answer_is_not_its_own_is_refused() {
    let remote = RemoteServer::start();
    let names = ["inward0", "inward1", "inward2", "inward3"];
    let mut servers: Vec<(&str, String)> =
        names.iter().enumerate().map(|(at, name)| (*name, format!("/inward/{at}/mcp"))).collect();
    servers.push(("signed", "/signed/mcp".to_owned()));
    let home = remote_home(&remote, &servers);
    let settings = json!({"clientId": "portero", "clientSecret": "client-secret-of-the-test"});
    let mut entries: Value =
        serde_json::from_str(&fs::read_to_string(home.path("config/mcps.json")).unwrap()).unwrap();
    for (_, entry) in entries["mcpServers"].as_object_mut().unwrap() {
        entry["oauth"] = settings.clone();
        entry.as_object_mut().unwrap().shift_remove("headers");
    }
    home.write("mcps.json", &entries);
    eventually("the edit applies", || home.run(&["login"]).stdout.contains("signed").then_some(()));
    for (name, issuer) in names.iter().zip(INWARD) {
        let said = run_without_terminal(&home, &["login", name, "--no-browser"], "");
        let is_told = ["points into this machine", "is no address of a host", "is not encrypted"]
            .iter()
            .any(|words| said.stderr.contains(words));
        assert!(said.code == 1 && is_told, "{issuer}: {}{}", said.stdout, said.stderr);
    }
    set_passphrase(&home);
    let begin = || {
        let mut terminal = spawn_on_terminal(&home, &["login", "signed", "--no-browser"]);
        answer_prompt(&mut terminal, "Passphrase, to ", PASSPHRASE);
        let shown = terminal.expect("paste it here:").unwrap();
        let shown = String::from_utf8_lossy(shown.before()).into_owned();
        let state = shown.split("state=").nth(1).expect("the page's address").to_owned();
        (terminal, state.chars().take_while(|letter| !"& \r\n".contains(*letter)).collect::<String>())
    };
    let answer = |state: &str, issuer: &str| {
        let issuer = issuer.replace(':', "%3A").replace('/', "%2F");
        format!("http://127.0.0.1/callback?code=c&state={state}&iss={issuer}")
    };
    // An answer with another state changes nothing; one of another issuer ends the login.
    let (mut terminal, state) = begin();
    terminal.send_line(answer("of-another-login", &remote.origin)).unwrap();
    terminal.expect("Paste the address:").unwrap();
    terminal.send_line(answer(&state, "https://evil.example")).unwrap();
    let end = read_to_end(&mut terminal);
    assert!(!end.contains("signed in at"), "{end}");
    assert_eq!(remote.count("/token"), 0, "no code was sent for it");
    let (mut terminal, state) = begin();
    terminal.send_line(answer(&state, &remote.origin)).unwrap();
    let end = read_to_end(&mut terminal);
    assert!(end.contains("signed in at") && !end.contains(ACCESS_TOKEN), "{end}");
    assert_eq!(remote.count("/token"), 1);
}
