//! Agents that reach a real `porterod` over HTTPS, by its self-signed certificate and with a token of
//! `portero token create`: real clients, and `portero connect`.

mod claude_code;
mod connect;
mod node_clients;
mod python_clients;
mod status;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{TEST_TIMEOUT, result_text};
use crate::approvals::filesystem_home;
use crate::remote::free_port;
use crate::test_support::{PASSPHRASE, TestHome};

/// A person's Portero with an open endpoint.
pub(crate) struct HttpsHome {
    pub(crate) home: TestHome,
    port: u16,
    /// What clients trust.
    pub(crate) certificate: PathBuf,
}

impl HttpsHome {
    /// In front of a filesystem server, with a file to read.
    pub(crate) fn start() -> Self {
        Self::open(filesystem_home(), json!({}))
    }

    /// A file that only its owner can read.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path("run").join(name);
        std::fs::write(&path, text).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        path
    }

    /// With these settings of the endpoint beside its address. The person has a passphrase.
    pub(crate) fn open(home: TestHome, more: Value) -> Self {
        std::fs::write(home.path("project").join("note.txt"), "from the note").expect("writable");
        // Another process may take the port first.
        for _ in 0..5 {
            let port = free_port();
            let mut https = more.clone();
            https["listen"] = format!("127.0.0.1:{port}").into();
            https["selfSigned"] = true.into();
            home.write("portero.json", &json!({"https": https}));
            if let Some(certificate) = wait_until_served(&home) {
                home.set_passphrase();
                return Self { home, port, certificate };
            }
        }
        panic!("the endpoint was not opened: {}", home.json(&["status"]));
    }

    /// Waits until the endpoint is open again.
    pub(crate) fn wait_until_served(&self) {
        assert!(wait_until_served(&self.home).is_some(), "{}", self.home.json(&["status"]));
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }

    /// Makes a token as a person does, and reads it from their screen.
    pub(crate) fn create_token(&self, name: &str) -> String {
        let (code, screen) = self.home.run_at_terminal(&["token", "create", name], &[PASSPHRASE]);
        assert_eq!(code, 0, "{screen}");
        let token = screen.split_whitespace().find(|word| word.starts_with("portero_"));
        token.unwrap_or_else(|| panic!("no token: {screen}")).to_owned()
    }

    pub(crate) fn note(&self) -> PathBuf {
        self.home.path("project").join("note.txt")
    }

    pub(crate) fn reply(&self) -> PathBuf {
        self.home.path("project").join("reply.txt")
    }

    /// Approves the one call that waits, once it does.
    pub(crate) fn approve_when_asked(&self) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        while Instant::now() < deadline {
            let pending = self.home.json(&["pending"]);
            if let Some(task) = pending[0]["id"].as_str() {
                return self.home.approve_task(task);
            }
        }
        panic!("nothing asked");
    }
}

/// The file of the certificate that is served; none if the port is taken.
fn wait_until_served(home: &TestHome) -> Option<PathBuf> {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while Instant::now() < deadline {
        let https = &home.json(&["status"])["https"];
        match https["state"].as_str() {
            Some("serving") => {
                let certificate = home.json(&["https", "cert"]);
                return Some(certificate["file"].as_str().expect("a file").into());
            }
            Some("failed") => return None,
            // The daemon reads its files while it starts.
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("the endpoint is neither open nor failed")
}

/// A client over HTTPS.
pub(crate) trait RemoteClient {
    /// The names in its list of tools.
    fn list_tools(&mut self) -> Vec<String>;

    /// The result of a call, `isError` included.
    fn call_tool(&mut self, tool: &str, arguments: Value) -> Value;
}

/// Lists and calls, and lets a person approve what asks.
pub(crate) fn check_conversation(https: &HttpsHome, client: &mut impl RemoteClient) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    let tools = loop {
        let tools = client.list_tools();
        if tools.iter().any(|tool| tool == "files__write_file") {
            break tools;
        }
        assert!(Instant::now() < deadline, "the server was never listed: {tools:?}");
    };
    assert!(!tools.iter().any(|tool| tool == "files__move_file"), "a denied tool is listed: {tools:?}");

    let read = client.call_tool("files__read_text_file", json!({"path": https.note()}));
    assert!(result_text(&read).contains("from the note"), "{read}");

    let denied =
        json!({"tool": "files/move_file", "args": {"source": https.note(), "destination": https.reply()}});
    let denied = client.call_tool("portero__call", denied);
    assert_eq!(denied["isError"], true, "{denied}");
    assert!(result_text(&denied).contains("files/move_*"), "the refusal names the rule: {denied}");

    let asked = json!({"path": https.reply(), "content": "written once"});
    let asked = client.call_tool("files__write_file", asked);
    let pending: Value = serde_json::from_str(result_text(&asked)).expect("an object");
    assert_eq!(pending["status"], "pending-approval", "{asked}");
    assert!(!https.reply().exists(), "nothing happens before the person decides");
    let task = pending["taskId"].as_str().expect("an id");
    https.home.approve_task(task);
    let result = client.call_tool("portero__check_task", json!({"task_id": task, "wait_seconds": 30}));
    assert!(result_text(&result).contains("Successfully wrote"), "the tool's own result: {result}");
    assert_eq!(std::fs::read_to_string(https.reply()).expect("written"), "written once");
}
