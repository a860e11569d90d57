//! A process of the same user looks for credentials: in every answer of the socket, in what every command and the
//! endpoint say, in every file that isn't the user's own configuration, and in the environment and command line of every
//! process.

mod messages;
mod search;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use expectrl::Expect as _;
use serde_json::{Value, json};

use self::messages::Subjects;
use self::search::{Credential, CredentialSearch};
use super::network::{call_server, endpoint_address};
use super::raw_socket::RawSocket;
use super::remote_server::{ACCESS_TOKEN, REFRESH_TOKEN, RemoteServer};
use super::stolen_mail;
use crate::agent::{Agent, result_text};
use crate::background_telegram::BackgroundTelegram;
use crate::fake_telegram::TOKEN as BOT_TOKEN;
use crate::terminal::{
    PASSPHRASE, confirm_with_passphrase, run_without_terminal, set_passphrase, spawn_on_terminal,
};
use crate::test_support::{TEST_TIMEOUT, TestHome};
use crate::totp::{answer_prompt, read_to_end};

const HEADER_KEY: &str = "static-header-5e7a1c90";
const WRITTEN_KEY: &str = "written-out-header-77c2e1";
const KEPT_SECRET: &str = "kept-secret-c0ffee-41d8";
const FLEETING_SECRET: &str = "fleeting-secret-9b3f-02";
const CLIENT_SECRET: &str = "client-secret-of-oauth-6a";
const BEARER_TOKEN: &str = "8c1f4be27a905d3360e2b7f19acd54e8";

/// A person's Portero that has every kind of credential, and uses them.
struct Vault {
    home: TestHome,
    agent: Agent,
    remote: RemoteServer,
    _telegram: BackgroundTelegram,
    search: CredentialSearch,
    /// The id of a task that waits.
    task: String,
}

impl Vault {
    fn new() -> Self {
        let (telegram, remote) = (BackgroundTelegram::start(), RemoteServer::start());
        let mut home = TestHome::with_office();
        // Whatever a daemon logs at all is in its log then.
        home.variables.push(("PORTERO_LOG", "trace"));
        write_configuration(&home, &telegram, &remote);
        for (words, value) in [
            (&["secret", "set", "kept", "--keep"][..], KEPT_SECRET),
            (&["secret", "set", "fleeting"], FLEETING_SECRET),
        ] {
            let set = run_without_terminal(&home, words, &format!("{value}\n"));
            assert_eq!(set.code, 0, "{}", set.stderr);
        }
        set_passphrase(&home);
        sign_in(&home, &remote);
        let shown = confirm_with_passphrase(&home, &["token", "create", "laptop"], "token laptop: made");
        let token = shown.split_whitespace().find(|word| word.starts_with("portero_")).expect("the token");
        let search = CredentialSearch::new(&[
            Credential::chosen("the header", HEADER_KEY),
            Credential::chosen("the header that is written out", WRITTEN_KEY),
            Credential::chosen("the kept secret", KEPT_SECRET),
            Credential::chosen("the secret in memory", FLEETING_SECRET),
            Credential::chosen("the client's secret", CLIENT_SECRET),
            Credential::chosen("the access token of the login", ACCESS_TOKEN),
            Credential::chosen("its refresh token", REFRESH_TOKEN),
            Credential::chosen("the bot's token", BOT_TOKEN),
            Credential::chosen("the bearer token", BEARER_TOKEN),
            Credential::chosen("the passphrase", PASSPHRASE),
            // Its hash is kept, which confirms no guess of 256 random bits.
            Credential { what: "the access token", value: token.to_owned(), is_random: true },
        ]);
        let mut agent = Agent::connect(&home, &[]);
        for tool in ["keyed/tell", "signed/tell", "keyed/fail", "signed/fail"] {
            let called = call_server(&mut agent, tool);
            assert!(called.to_string().contains("REDACTED"), "{called}");
        }
        let pending = agent.call_tool("office__send_mail", &stolen_mail());
        let task = pending["result"]["structuredContent"]["taskId"].as_str().expect("it waits").to_owned();
        let vault = Self { home, agent, remote, _telegram: telegram, search, task };
        vault.assert_all_are_used();
        vault
    }

    /// Each credential reached the server that it is for: what was never used would be found nowhere either.
    fn assert_all_are_used(&self) {
        for value in [HEADER_KEY, WRITTEN_KEY, KEPT_SECRET, FLEETING_SECRET, CLIENT_SECRET, ACCESS_TOKEN] {
            assert!(self.remote.has_received(value), "{value} is not used");
        }
    }

    fn subjects(&self) -> Subjects<'_> {
        Subjects { task: &self.task, server: "signed", secret: "kept", token: "laptop" }
    }

    /// Makes a request as each kind of peer that there is.
    fn try_message(&self, principal: &Value, message: &Value) {
        for connect in [
            RawSocket::as_session as fn(&TestHome, &Value) -> RawSocket,
            |home, _| RawSocket::as_session(home, &json!("/somewhere/else")),
            |home, _| RawSocket::as_terminal(home),
        ] {
            let mut socket = connect(&self.home, principal);
            let reply = socket.request(message).unwrap_or_default();
            let refused = reply["Err"]["message"].as_str().unwrap_or_default();
            let is_read = !refused.contains("does not know that request") && !refused.contains("cannot read");
            assert!(is_read, "{message} was not even read: {reply}");
            self.search.assert_none(&message.to_string(), &socket.received_text);
        }
    }

    /// Runs a command, and searches all that it says. Returns its exit code.
    fn try_command(&self, words: &[&str]) -> i32 {
        let said = run_without_terminal(&self.home, words, "");
        let place = format!("portero {}", words.join(" "));
        self.search.assert_none(&place, &said.stdout);
        self.search.assert_none(&place, &said.stderr);
        said.code
    }
}

fn write_configuration(home: &TestHome, telegram: &BackgroundTelegram, remote: &RemoteServer) {
    let variables = [
        ("HEADER_KEY", HEADER_KEY),
        ("CLIENT_SECRET", CLIENT_SECRET),
        ("BOT_TOKEN", BOT_TOKEN),
        ("BEARER_TOKEN", BEARER_TOKEN),
    ];
    let lines = variables.map(|(name, value)| format!("{name}='{value}'\n"));
    fs::write(home.path("config/.env"), lines.concat()).unwrap();
    let servers = home.path("config/mcps.json");
    let mut servers: Value = serde_json::from_str(&fs::read_to_string(servers).unwrap()).unwrap();
    let list = servers["mcps"].as_array_mut().unwrap();
    list.push(json!({
        "name": "keyed", "type": "http", "url": format!("{}/keyed/mcp", remote.origin),
        "headers": {
            "Authorization": "Bearer ${secret:kept}", "X-Fleeting": "${secret:fleeting}",
            "X-Api-Key": "${HEADER_KEY}", "X-Auth-Token": WRITTEN_KEY,
        },
    }));
    list.push(json!({
        "name": "signed", "type": "http", "url": format!("{}/signed/mcp", remote.origin),
        "oauth": {"clientId": "portero", "clientSecret": "${CLIENT_SECRET}"},
    }));
    home.write("mcps.json", &servers);
    let policies =
        json!({"keyed/*": "allow", "signed/*": "allow", "office/read_*": "allow", "office/delete_*": "deny"});
    home.write("policies.json", &json!({"policies": policies}));
    home.write(
        "portero.json",
        &json!({
            "telegram": {"token": "${BOT_TOKEN}", "apiUrl": telegram.fake().api_url()},
            "https": {"plainHttp": true, "listen": "127.0.0.1:0"},
            // That of the machine is none of a test's.
            "credentials": {"keyring": false},
        }),
    );
}

/// Signs in as a person does whose browser is on another machine.
fn sign_in(home: &TestHome, remote: &RemoteServer) {
    let mut terminal = spawn_on_terminal(home, &["login", "signed", "--no-browser"]);
    answer_prompt(&mut terminal, "Passphrase, to ", PASSPHRASE);
    let shown = terminal.expect("paste it here:").unwrap();
    let shown = String::from_utf8_lossy(shown.before()).into_owned();
    let state = shown.split("state=").nth(1).expect("the page's address");
    let state: String = state.chars().take_while(|letter| !"& \r\n".contains(*letter)).collect();
    let issuer = remote.origin.replace(':', "%3A").replace('/', "%2F");
    terminal.send_line(format!("http://127.0.0.1/callback?code=c&state={state}&iss={issuer}")).unwrap();
    let end = read_to_end(&mut terminal);
    assert!(end.contains("signed in at"), "{end}");
}

/// Every command with its sub-commands, from the program's own help, so that a new one is tried too.
fn leaf_commands(home: &TestHome, parent: &[String]) -> Vec<Vec<String>> {
    let mut words: Vec<&str> = parent.iter().map(String::as_str).collect();
    words.push("--help");
    let help = home.run(&words).stdout;
    let Some((_, list)) = help.split_once("Commands:\n") else { return vec![parent.to_vec()] };
    let names = list.lines().take_while(|line| !line.is_empty());
    // A name is indented by two characters; the lines that go on with its description by more.
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let children = names.map(|name| [parent, &[name.to_owned()]].concat());
    children.flat_map(|child| leaf_commands(home, &child)).collect()
}

/// All files below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
    files
}

#[test]
fn no_message_on_the_socket_shows_a_credential() {
    let vault = Vault::new();
    let subjects = vault.subjects();
    subjects.assert_complete();
    let principal = vault.home.json(&["task", &vault.task])["origin"]["principal"].clone();
    for message in subjects.harmless_messages() {
        vault.try_message(&principal, &message);
    }
    let (last, others) =
        subjects.destructive_messages().split_last().map(|(l, o)| (l.clone(), o.to_vec())).unwrap();
    for message in others {
        vault.try_message(&principal, &message);
    }
    let mut socket = RawSocket::as_terminal(&vault.home);
    socket.request(&last);
    vault.search.assert_none("daemon/stop", &socket.received_text);
    vault.search.assert_none("the agent's session", &vault.agent.received_text);
}

#[test]
fn no_command_shows_a_credential() {
    let vault = Vault::new();
    let commands = leaf_commands(&vault.home, &[]);
    assert!(commands.len() > 30, "{commands:?}");
    // These run until they are ended.
    let is_endless = |command: &Vec<String>| ["mcp", "try", "connect"].contains(&command[0].as_str());
    // These take away what the others could show.
    let is_last = |command: &Vec<String>| {
        matches!(command.join(" ").as_str(), "secret clear" | "logout" | "token revoke" | "pause" | "reject")
            || command[0] == "daemon"
    };
    let (last, first): (Vec<_>, Vec<_>) =
        commands.into_iter().filter(|command| !is_endless(command)).partition(is_last);
    assert!(last.len() >= 7, "{last:?}");
    for command in first.iter().chain(&last) {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        for argument in ["", "signed", "kept", "laptop", "signed/tell", &vault.task] {
            let words: Vec<&str> =
                command.iter().copied().chain((!argument.is_empty()).then_some(argument)).collect();
            // What the parser refuses says the same as JSON.
            if vault.try_command(&words) != 2 {
                vault.try_command(&[&words[..], &["--json"]].concat());
            }
        }
    }
}

#[test]
fn no_file_and_no_process_shows_a_credential() {
    let mut vault = Vault::new();
    vault.agent.call_tool("office__read_mail", &json!({"id": 1}));
    vault.home.run(&["doctor"]);
    let own = [
        "config/mcps.json",
        "config/policies.json",
        "config/portero.json",
        "config/replacements.json",
        "config/.env",
    ]
    .map(|file| vault.home.path(file));
    let files: Vec<PathBuf> = ["config", "state", "run", "home", "project"]
        .iter()
        .flat_map(|directory| files_below(&vault.home.path(directory)))
        .filter(|file| !own.contains(file))
        .collect();
    assert!(files.iter().any(|file| file.extension().is_some_and(|kind| kind == "db")), "{files:?}");
    assert!(files.iter().any(|file| file.extension().is_some_and(|kind| kind == "log")), "{files:?}");
    for file in &files {
        // The daemon replaces some files meanwhile.
        if let Ok(bytes) = fs::read(file) {
            vault.search.assert_none(&file.display().to_string(), bytes);
        }
    }
    let daemon = vault.home.json(&["daemon", "status"])["pid"].as_u64().unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        for name in ["environ", "cmdline"] {
            // It may have ended, or be closed to this user.
            let Ok(bytes) = fs::read(entry.path().join(name)) else { continue };
            vault.search.assert_none(&format!("/proc/{pid}/{name}"), bytes);
            seen.push((pid, name));
        }
    }
    assert!(seen.contains(&(daemon, "environ")) && seen.contains(&(daemon, "cmdline")), "{seen:?}");
    assert!(seen.contains(&(u64::from(vault.agent.child.id()), "cmdline")), "{seen:?}");
}

#[test]
fn nothing_that_the_agent_or_a_client_over_https_reads_shows_a_credential() {
    let mut vault = Vault::new();
    let listed = vault.agent.request("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for name in names {
        for arguments in [
            json!({}),
            json!({"query": "Bearer"}),
            json!({"tool": "signed/tell"}),
            json!({"server": "signed"}),
        ] {
            vault.agent.call_tool(name, &arguments);
        }
    }
    for method in ["resources/list", "prompts/list", "resources/templates/list", "server/discover"] {
        vault.agent.request(method, &json!({}));
    }
    assert!(!result_text(&vault.agent.call_tool("portero__list_tasks", &json!({}))).is_empty());
    vault.search.assert_none("the agent's session", &vault.agent.received_text);

    let address = endpoint_address(&vault.home);
    for path in ["/health", "/ready", "/metrics", "/mcp", "/.well-known/oauth-protected-resource"] {
        for authorization in [None, Some("Bearer guessed"), Some("Basic Z3Vlc3NlZDpndWVzc2Vk")] {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
            let header = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n")
                .unwrap();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).unwrap();
            assert!(response.starts_with(b"HTTP/1.1 "), "{path} is answered");
            vault.search.assert_none(path, response);
        }
    }
}
