//! An agent's side of one `portero mcp` process: a plain JSON-RPC client that keeps every line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// One session.
pub(crate) struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: u64,
    /// Every line that Portero wrote, in order.
    pub(crate) received_lines: Vec<String>,
    /// What the server said in its answer to `initialize`.
    pub(crate) welcome: Value,
}

impl Agent {
    /// Starts a session and shakes hands in the 2025-11-25 revision.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut agent = Self::connect(command);
        agent.welcome = agent
            .request(
                "initialize",
                json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test-agent", "version": "1"}}),
            )
            .expect("the handshake is answered");
        agent.notify("notifications/initialized", json!({}));
        agent
    }

    /// Starts the process and says nothing.
    pub(crate) fn connect(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("portero starts");
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines, next_id: 1, received_lines: Vec::new(), welcome: Value::Null }
    }

    /// Sends one line as it is.
    pub(crate) fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the session is open");
        writeln!(stdin, "{line}").expect("portero reads");
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Sends a request and returns its id.
    pub(crate) fn send_request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        id
    }

    /// Sends a request and waits for its `result`, or its `error` object.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send_request(method, params);
        self.wait_for_answer(id)
    }

    /// Waits for the answer to a request.
    pub(crate) fn wait_for_answer(&mut self, id: u64) -> Result<Value, Value> {
        let line =
            self.wait_for_message(|message| message["id"] == json!(id) && message.get("method").is_none());
        let mut message: Value = serde_json::from_str(&line).expect("checked");
        match message.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(message["result"].take()),
        }
    }

    /// Waits for the first line, seen or coming, that holds; returns it as it came.
    pub(crate) fn wait_for_message(&mut self, holds: impl Fn(&Value) -> bool) -> String {
        let test = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|message| holds(&message));
        if let Some(line) = self.received_lines.iter().find(|line| test(line)) {
            return line.clone();
        }
        let end = Instant::now() + TEST_TIMEOUT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = test(&line);
                    self.received_lines.push(line.clone());
                    if found {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("nothing came in time; seen: {:#?}", self.received_lines)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("portero ended; seen: {:#?}", self.received_lines)
                }
            }
        }
    }

    /// Calls a tool by the name in the list and returns its result.
    pub(crate) fn call_tool(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
            .unwrap_or_else(|error| panic!("{tool} gave an error: {error}"))
    }

    /// The names in `tools/list`.
    pub(crate) fn tool_names(&mut self) -> Vec<String> {
        let list = self.request("tools/list", json!({})).expect("a list");
        let tools = list["tools"].as_array().expect("tools");
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until `tools/list` holds a name.
    pub(crate) fn wait_for_tool(&mut self, name: &str) {
        let end = Instant::now() + TEST_TIMEOUT;
        while !self.tool_names().iter().any(|tool| tool == name) {
            assert!(Instant::now() < end, "{name} was never listed");
            let seen = self.received_lines.len();
            self.wait_for_line_after(seen);
        }
    }

    fn wait_for_line_after(&mut self, seen: usize) {
        if self.received_lines.len() > seen {
            return;
        }
        if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            self.received_lines.push(line);
        }
    }

    /// Closes stdin and waits for the end; returns how long that took.
    pub(crate) fn close(mut self) -> Duration {
        let begin = Instant::now();
        self.stdin = None;
        self.child.wait().expect("portero ends");
        begin.elapsed()
    }

    /// Sends the process a signal, and waits for its end. Returns whether that was in order, and how long it took.
    pub(crate) fn signal(mut self, name: &str) -> (bool, Duration) {
        let begin = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        (status.success(), begin.elapsed())
    }

    /// Kills the process, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stdin = None;
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::yield_now();
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The text of a tool result's first content block.
pub(crate) fn result_text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}"))
}
