//! Tokens of real issuers: `oidc-provider` and `oauth2-mock-server` from npm.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::peers::{peer_file, peers};
use crate::test_support::TestHome;

/// How long an answer may take, and how long it may take until rotated keys are fetched: 30 s, and a slow machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An issuer that does what a line tells it.
struct RealIssuer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
}

impl RealIssuer {
    fn start(kind: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(peer_file("token_issuers.mjs")).arg(peers().node_modules()).arg(kind);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut issuer = Self { process, input, output, url: String::new() };
        issuer.url = issuer.read_line()["issuer"].as_str().expect("its address").to_owned();
        issuer
    }

    /// The next line that is JSON; the issuer prints notes of its own, too.
    fn read_line(&mut self) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("text"), 0, "the issuer ended");
            if let Ok(value) = serde_json::from_str(&line) {
                return value;
            }
        }
        panic!("the issuer said nothing in time");
    }

    fn tell(&mut self, command: Value) -> Value {
        writeln!(self.input, "{command}").expect("it reads");
        let answer = self.read_line();
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    fn token(&mut self, mut command: Value) -> String {
        command["command"] = "token".into();
        self.tell(command)["token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for RealIssuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A daemon that takes this issuer's tokens, and its endpoint.
fn start_portero(issuer: &RealIssuer) -> (TestHome, SocketAddr) {
    let home = TestHome::new(&json!({"mcps": []}), &json!({"policies": {}}));
    let oidc = json!({
        "issuer": issuer.url, "audience": "portero", "claims": {"scope": {"notes:use": {"servers": ["notes"]}}},
    });
    home.write("portero.json", &json!({"https": {"listen": "127.0.0.1:0", "plainHttp": true, "oidc": oidc}}));
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let status = home.json(&["status"]);
        let address = status.pointer("/https/address").and_then(Value::as_str);
        if let Some(address) = address {
            return (home, address.parse().expect("an address"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the endpoint was not opened: {}", home.json(&["status"]));
}

/// The status of a request with this token.
fn status_with(address: SocketAddr, token: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let request = format!(
        "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("an answer");
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or(&response).to_owned()
}

fn wait_for_status(address: SocketAddr, token: &str, expected: &str) {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        if status_with(address, token) == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("never {expected}, at last {}", status_with(address, token));
}

#[test]
fn tokens_of_oidc_provider_count_also_after_its_keys_rotated() {
    let mut issuer = RealIssuer::start("oidc-provider");
    let (_home, address) = start_portero(&issuer);
    let (first, without_scope) = (issuer.token(json!({"scope": "notes:use"})), issuer.token(json!({})));
    assert_eq!(status_with(address, &first), "200");
    assert_eq!(status_with(address, &without_scope), "403");
    issuer.tell(json!({"command": "rotate"}));
    let second = issuer.token(json!({"scope": "notes:use"}));
    wait_for_status(address, &second, "200");
    assert_eq!(status_with(address, &first), "401", "its key was withdrawn");
    // Each names another key, and none of them asks the issuer so soon.
    let before = issuer.tell(json!({"command": "fetches"}));
    for id in 0..100 {
        let header = data_encoding::BASE64URL_NOPAD
            .encode(json!({"alg": "RS256", "kid": id.to_string()}).to_string().as_bytes());
        let (_, rest) = second.split_once('.').expect("a JWT");
        assert_eq!(status_with(address, &format!("{header}.{rest}")), "401");
    }
    let asked = issuer.tell(json!({"command": "fetches"}))["fetches"].as_u64().expect("a count")
        - before["fetches"].as_u64().expect("a count");
    // One at most in 30 s, and a slow machine may take longer than that for all of them.
    assert!(asked <= 4, "{asked}");
}

#[test]
fn faulty_tokens_of_oauth2_mock_server_are_refused() {
    let mut issuer = RealIssuer::start("oauth2-mock-server");
    let (_home, address) = start_portero(&issuer);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let good = issuer.token(json!({}));
    assert_eq!(status_with(address, &good), "200");
    for (command, expected) in [
        (json!({"claims": {"scope": "other"}}), "403"),
        (json!({"claims": {"aud": "other"}}), "401"),
        (json!({"claims": {"iss": "http://127.0.0.1:1"}}), "401"),
        (json!({"claims": {"exp": now - 3600}}), "401"),
        (json!({"claims": {"nbf": now + 3600}}), "401"),
        (json!({"claims": {"sub": null}}), "401"),
    ] {
        let token = issuer.token(command.clone());
        assert_eq!(status_with(address, &token), expected, "{command}");
    }
    let (signed, signature) = good.rsplit_once('.').expect("a JWT");
    let (_, payload) = signed.split_once('.').expect("a JWT");
    let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"first"}"#);
    for forged in
        [format!("{none}.{payload}."), format!("{none}.{payload}.{signature}"), format!("{signed}.AAAA")]
    {
        assert_eq!(status_with(address, &forged), "401", "{forged}");
    }
}
