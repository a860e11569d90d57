//! An agent's program: MCP lines over the stdio of a real `portero mcp`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use crate::world::{PATIENCE, World};

pub(crate) struct Agent {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next: u64,
    /// Everything that ever reached the agent.
    pub(crate) heard: String,
}

impl Agent {
    /// Starts `portero mcp` with `words` and shakes hands.
    #[must_use]
    pub(crate) fn connect(world: &World, words: &[&str]) -> Self {
        let mut agent = Self::start(world, words);
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test-agent", "version": "1"},
        });
        let answer = agent.ask("initialize", &hello);
        assert_eq!(answer["result"]["protocolVersion"], "2025-06-18", "{answer}");
        agent.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        agent
    }

    /// Starts `portero mcp` with `words`.
    #[must_use]
    pub(crate) fn start(world: &World, words: &[&str]) -> Self {
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
        Self { stdin: child.stdin.take(), child, lines, next: 0, heard: String::new() }
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Asks; the answer is [`Agent::answer`]'s.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Waits for the answer to a question; others that come meanwhile are dropped.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        self.answer_and_before(id).0
    }

    /// Waits for the answer to a question, and gives what came before it too.
    pub(crate) fn answer_and_before(&mut self, id: u64) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.next_message();
            if message["id"] == id && message.get("method").is_none() {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Waits for the next message, whatever it is.
    pub(crate) fn next_message(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the session says something");
        self.heard.push_str(&line);
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a line as it is and waits for the answer with this id, as it came.
    pub(crate) fn exchange(&mut self, line: &str, id: u64) -> String {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {line}"));
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return line;
            }
        }
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Closes the agent's side; how long the session took to end, in milliseconds.
    pub(crate) fn leave(&mut self) -> u128 {
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
pub(crate) fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}"))
}
