//! Logins at a real issuer (`oidc-provider` of npm), with a script in the place of the browser.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use expectrl::Expect;
use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::peers::{peer_file, peers};
use crate::remote::HttpPeer;
use crate::test_support::{PASSPHRASE, TestHome};

/// An issuer, servers that take its tokens alone, and a person's Portero in front of them.
struct Fixture {
    issuer: HttpPeer,
    /// They end with the test.
    _banks: Vec<HttpPeer>,
    home: TestHome,
}

impl Fixture {
    /// With a server of each of these names. The person has a passphrase, and a browser in which `anna` signs in.
    fn new(servers: &[&str]) -> Self {
        let issuer = HttpPeer::start(|port| {
            let mut command = Command::new("node");
            command.arg(peer_file("issuer.mjs")).arg(port.to_string()).env("PEERS", peers().directory());
            command
        });
        let mut home = TestHome::new(&json!({}), &json!({"policies": {"**": "allow"}}));
        let start_bank = |port: u16| {
            let mut command = Command::new(peers().python("python"));
            command.arg(peer_file("http_server.py")).arg(port.to_string());
            command.arg(format!("issuer={}", issuer.url(""))).current_dir(home.path("project"));
            command
        };
        let banks: Vec<HttpPeer> = servers.iter().map(|_| HttpPeer::start(start_bank)).collect();
        let entries = servers
            .iter()
            .zip(&banks)
            .map(|(name, bank)| ((*name).to_owned(), json!({"type": "http", "url": bank.url("/mcp")})));
        home.write("mcps.json", &json!({"mcpServers": entries.collect::<serde_json::Map<_, _>>()}));
        // That of the machine is none of a test's.
        home.write("portero.json", &json!({"credentials": {"keyring": false}}));
        let programs = home.path("programs");
        std::fs::create_dir(&programs).expect("a new directory");
        let script = format!(
            "#!/bin/sh\nexec '{}' '{}' \"$1\" anna\n",
            peers().python("python").display(),
            peer_file("browser.py").display()
        );
        // The one that Portero starts on Linux, and on macOS.
        for name in ["xdg-open", "open"] {
            let program = programs.join(name);
            std::fs::write(&program, &script).expect("writable");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
        }
        let path = std::env::var("PATH").expect("a PATH");
        home.variables.push(("PATH", format!("{}:{path}", programs.display())));
        home.variables.push(("DISPLAY", ":0".to_owned()));
        home.set_passphrase();
        Self { issuer, _banks: banks, home }
    }

    fn sign_in(&self, arguments: &[&str]) {
        let (code, screen) = self.home.run_at_terminal(&[&["login"], arguments].concat(), &[PASSPHRASE]);
        assert!(code == 0 && screen.contains("signed in at"), "{code}: {screen}");
    }

    /// What the issuer says for a path.
    fn ask_issuer(&self, path: &str) -> String {
        request(&self.issuer.url(""), &format!("GET {path}"))
    }

    /// Begins a login without a browser; returns the terminal and the address of the page.
    fn begin_without_browser(&self, server: &str) -> (expectrl::session::OsSession, String) {
        let command = self.home.portero_command(&["login", server, "--no-browser"]);
        let mut terminal = expectrl::Session::spawn(command).expect("a pseudo-terminal");
        terminal.set_expect_timeout(Some(Duration::from_secs(60)));
        terminal.expect(expectrl::Regex("(?i)passphrase[^\n]*: ?$")).expect("a question");
        terminal.send_line(PASSPHRASE).expect("the terminal takes input");
        let shown = terminal.expect(expectrl::Regex("http://[^\\s]+/auth\\?[^\\s]+\\s")).expect("an address");
        let page = String::from_utf8_lossy(shown.get(0).expect("the address")).trim().to_owned();
        terminal.expect("paste it here:").expect("a question");
        (terminal, page)
    }
}

/// Signs in at a page as a browser on another machine does; returns the address that it is sent to at the end.
fn browse_away(page: &str) -> String {
    let mut command = Command::new(peers().python("python"));
    let output =
        command.arg(peer_file("browser.py")).args([page, "anna", "--away"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("an address").trim().to_owned()
}

/// Sends `METHOD PATH` to an origin, and returns the whole response.
fn request(origin: &str, what: &str) -> String {
    let host = origin.strip_prefix("http://").expect("an origin");
    let mut stream = TcpStream::connect(host).expect("it listens");
    write!(stream, "{what} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

/// The value of a parameter in an address, decoded as far as these tests need.
fn parameter(address: &str, name: &str) -> String {
    let (_, query) = address.split_once('?').expect("a query");
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.expect("the parameter").replace("%3A", ":").replace("%2F", "/")
}

fn expect_success(mut terminal: expectrl::session::OsSession) {
    terminal.expect("signed in at").expect("the login succeeds");
    terminal.expect(expectrl::Eof).expect("the command ends");
}

fn refusal(agent: &mut Agent) -> String {
    let call = json!({"tool": "bank/deposit", "arguments": {"amount": 1}});
    agent.call_tool("portero__call", call).to_string()
}

#[test]
fn a_person_signs_in_with_a_browser_and_the_token_is_renewed_until_they_sign_out() {
    let fixture = Fixture::new(&["bank"]);
    let home = &fixture.home;
    let mut agent = home.start_agent();
    let told = refusal(&mut agent);
    assert!(told.contains("wants a login") && told.contains("portero login bank"), "{told}");
    let listed = home.json(&["login"]);
    assert_eq!(listed, json!([{"server": "bank", "is_needed": true, "is_left_over": false}]));
    let doctor = home.run(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("wants a login") && said.contains("portero login bank"), "{said}");

    fixture.sign_in(&["bank"]);
    // The running session gets the tools by itself.
    agent.wait_for_tool("bank__deposit");
    let deposited = agent.call_tool("bank__deposit", json!({"amount": 5}));
    assert!(result_text(&deposited).contains("deposited 5"), "{deposited}");
    assert_eq!(home.json(&["login"])[0]["is_needed"], false);

    // The access token ends; the call is made once, with a new one.
    fixture.ask_issuer("/expire");
    let deposited = agent.call_tool("bank__deposit", json!({"amount": 6}));
    assert!(result_text(&deposited).contains("deposited 6"), "{deposited}");
    let events = fixture.ask_issuer("/events");
    assert!(events.contains("token by refresh_token"), "{events}");

    let outcome = home.json(&["logout", "bank"]);
    assert_eq!(outcome, json!({"server": "bank", "outcome": "revoked"}));
    let events = fixture.ask_issuer("/events");
    assert!(events.contains("refresh token revoked"), "{events}");
    let told = refusal(&mut agent);
    assert!(told.contains("wants a login"), "{told}");
    let deposits = std::fs::read_to_string(home.path("project").join("deposits.txt")).expect("written");
    assert_eq!(deposits, "5\n6\n");
    assert_eq!(home.json(&["logout", "bank"])["outcome"], "not-signed-in");

    let logs = home.run(&["logs", "--json"]);
    let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
    let acts: Vec<Value> = logs.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for act in ["login", "logout"] {
        let is_recorded = acts.iter().any(|record| {
            let recorded = &record["record"]["event"]["act"];
            recorded["act"] == act && recorded["about"] == "bank" && recorded["done"] == true
        });
        assert!(is_recorded, "{act}: {logs}");
    }
}

#[test]
fn an_answer_is_pasted_by_hand_and_one_with_another_state_is_not_taken() {
    let fixture = Fixture::new(&["bank"]);
    let (mut terminal, page) = fixture.begin_without_browser("bank");
    let answer = browse_away(&page);
    // Neither at the address on this machine, nor by hand.
    let redirect_uri = parameter(&page, "redirect_uri");
    let origin = redirect_uri.strip_suffix("/callback").expect("its path").to_owned();
    let refused = request(&origin, "GET /callback?code=stolen&state=guessed");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    terminal
        .send_line(format!("{redirect_uri}?code=stolen&state=guessed"))
        .expect("the terminal takes input");
    terminal.expect("that is no answer of this login").expect("a refusal");
    terminal.send_line(&answer).expect("the terminal takes input");
    expect_success(terminal);
    fixture.home.start_agent().wait_for_tool("bank__deposit");
}

#[test]
fn two_logins_at_once_each_take_their_own_answer() {
    let fixture = Fixture::new(&["one", "two"]);
    let (mut one, page_of_one) = fixture.begin_without_browser("one");
    let (mut two, page_of_two) = fixture.begin_without_browser("two");
    let (answer_of_one, answer_of_two) = (browse_away(&page_of_one), browse_away(&page_of_two));
    one.send_line(&answer_of_two).expect("the terminal takes input");
    one.expect("that is no answer of this login").expect("a refusal");
    two.send_line(&answer_of_two).expect("the terminal takes input");
    expect_success(two);
    one.send_line(&answer_of_one).expect("the terminal takes input");
    expect_success(one);
}

#[test]
fn a_person_signs_in_on_another_device() {
    let fixture = Fixture::new(&["bank"]);
    let command = fixture.home.portero_command(&["login", "bank", "--device"]);
    let mut terminal = expectrl::Session::spawn(command).expect("a pseudo-terminal");
    terminal.set_expect_timeout(Some(Duration::from_secs(60)));
    terminal.expect(expectrl::Regex("(?i)passphrase[^\n]*: ?$")).expect("a question");
    terminal.send_line(PASSPHRASE).expect("the terminal takes input");
    let shown =
        terminal.expect(expectrl::Regex("any device: +([^\\s]+)\\s+and type this code: +([^\\s]+)\\s"));
    let shown = shown.expect("a page and a code");
    let part = |at| String::from_utf8_lossy(shown.get(at).expect("shown")).into_owned();
    let mut browser = Command::new(peers().python("python"));
    browser.arg(peer_file("browser.py")).args([&*part(1), "anna", "--code", &*part(2)]);
    let browsed = browser.output().expect("it runs");
    assert!(browsed.status.success(), "{}", String::from_utf8_lossy(&browsed.stderr));
    expect_success(terminal);
    fixture.home.start_agent().wait_for_tool("bank__deposit");
}

#[test]
fn an_agent_with_a_shell_cannot_sign_in() {
    let fixture = Fixture::new(&["bank"]);
    let output = fixture.home.run(&["login", "bank"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("needs a person at a terminal"), "{said}");
    let (code, screen) = fixture.home.run_at_terminal(&["login", "bank"], &["not the passphrase"]);
    assert!(code == 1 && !screen.contains("http://"), "{code}: {screen}");
    assert!(!fixture.ask_issuer("/events").contains("client registered"), "the issuer was asked");
}
