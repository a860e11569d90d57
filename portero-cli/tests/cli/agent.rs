//! An agent's program: MCP lines over the stdio of a real `portero mcp`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

pub(crate) struct Agent {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: u64,
    /// Answers that came while another one was waited for: calls may end in any order.
    early_answers: Vec<Value>,
    /// Everything that ever reached the agent.
    pub(crate) received_text: String,
}

impl Agent {
    /// Starts `portero mcp` with `words` and shakes hands.
    #[must_use]
    pub(crate) fn connect(world: &TestHome, words: &[&str]) -> Self {
        let mut agent = Self::start(world, words);
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test-agent", "version": "1"},
        });
        let answer = agent.request("initialize", &hello);
        assert_eq!(answer["result"]["protocolVersion"], "2025-06-18", "{answer}");
        agent.send_message(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        agent
    }

    /// Starts `portero mcp` with `words`.
    #[must_use]
    pub(crate) fn start(world: &TestHome, words: &[&str]) -> Self {
        let mut all = vec!["mcp"];
        all.extend(words);
        let mut child = world
            .command(&all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            next_id: 0,
            early_answers: Vec::new(),
            received_text: String::new(),
        }
    }

    /// Calls a tool, again as long as the session still reads its configuration: on a busy machine that takes a moment, and
    /// nothing runs meanwhile.
    pub(crate) fn call_tool(&mut self, tool: &str, arguments: &Value) -> Value {
        eventually("the configuration is read", || {
            let answer = self.request("tools/call", &json!({"name": tool, "arguments": arguments}));
            (!answer.to_string().contains("still reads its configuration")).then_some(answer)
        })
    }

    /// Asks and waits for the answer.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send_request(method, params);
        self.wait_for_answer(id)
    }

    /// Asks; the answer is [`Agent::answer`]'s.
    pub(crate) fn send_request(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send_message(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Waits for the answer to a question. Other answers that come meanwhile are kept for their own callers.
    pub(crate) fn wait_for_answer(&mut self, id: u64) -> Value {
        self.wait_for_answer_and_earlier(id).0
    }

    /// Waits for the answer to a question, and gives what came before it too.
    pub(crate) fn wait_for_answer_and_earlier(&mut self, id: u64) -> (Value, Vec<Value>) {
        if let Some(place) = self.early_answers.iter().position(|answer| answer["id"] == id) {
            return (self.early_answers.remove(place), Vec::new());
        }
        let mut before = Vec::new();
        loop {
            let message = self.next_message();
            let is_answer = message.get("method").is_none() && message.get("id").is_some();
            if is_answer && message["id"] == id {
                return (message, before);
            }
            if is_answer {
                self.early_answers.push(message.clone());
            }
            before.push(message);
        }
    }

    /// Sends a notification.
    #[cfg(unix)]
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send_message(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Waits for a message that is as wanted; others that come meanwhile are dropped.
    #[cfg(unix)]
    pub(crate) fn wait_for_message(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next_message();
            if is_wanted(&message) {
                return message;
            }
        }
    }

    /// Waits for the next message, whatever it is.
    pub(crate) fn next_message(&mut self) -> Value {
        let line = self.lines.recv_timeout(TEST_TIMEOUT).expect("the session says something");
        self.received_text.push_str(&line);
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a line as it is and waits for the answer with this id, as it came.
    pub(crate) fn exchange_line(&mut self, line: &str, id: u64) -> String {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        loop {
            let line =
                self.lines.recv_timeout(TEST_TIMEOUT).unwrap_or_else(|_| panic!("no answer to {line}"));
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return line;
            }
        }
    }

    /// Sends a line as it is.
    pub(crate) fn send_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for the next line, as it came.
    pub(crate) fn next_line(&mut self) -> String {
        self.lines.recv_timeout(TEST_TIMEOUT).expect("the session says something")
    }

    fn send_message(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Closes the agent's side; how long the session took to end, in milliseconds.
    pub(crate) fn close(&mut self) -> u128 {
        let begin = Instant::now();
        drop(self.stdin.take());
        self.child.wait().unwrap();
        begin.elapsed().as_millis()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a tool's result.
pub(crate) fn result_text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}"))
}
