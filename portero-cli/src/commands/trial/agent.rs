//! The agent of the trial: an MCP client of a real `portero mcp`.

use std::process::Stdio;
use std::time::Duration;

use portero::paths::Paths;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::failure::{CommandFailure, CommandResult};

/// How long Portero may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the session may take to end.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(2);

/// A running session.
pub(super) struct TrialAgent {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    next_id: u64,
    /// All text that the agent received, unchanged.
    pub(super) received_text: String,
}

impl TrialAgent {
    /// Starts `portero mcp` as an agent's program does, and makes the handshake.
    pub(super) async fn connect(paths: &Paths, project: &std::path::Path) -> CommandResult<Self> {
        let failed = |error: &std::io::Error| {
            CommandFailure::refused("could not start `portero mcp`").caused_by(error)
        };
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            // The trial's own directories, so that no real configuration or store is touched.
            .args(["mcp", "--no-start", "--config"])
            .arg(&paths.config)
            .env("PORTERO_STATE_DIR", &paths.state)
            .env("PORTERO_RUNTIME_DIR", &paths.runtime)
            .env("CLAUDE_PROJECT_DIR", project)
            .current_dir(project)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let stdin = child.stdin.take().expect("it was asked to be a pipe");
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let lines = BufReader::new(stdout).lines();
        let mut agent = Self { child, stdin, lines, next_id: 0, received_text: String::new() };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "portero-try", "version": env!("CARGO_PKG_VERSION")},
        });
        agent.send_request("initialize", hello).await?;
        agent.send_line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(agent)
    }

    /// Calls a tool, and returns its result or `{"error": …}`.
    pub(super) async fn call_tool(&mut self, name: &str, arguments: Value) -> CommandResult<Value> {
        self.send_request("tools/call", json!({"name": name, "arguments": arguments})).await
    }

    /// Makes a request, and returns its `result` or `{"error": …}`.
    pub(super) async fn send_request(&mut self, method: &str, params: Value) -> CommandResult<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.send_line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.read_answer(id)).await;
        answer.unwrap_or_else(|_| {
            Err(CommandFailure::refused(format!(
                "`portero mcp` did not answer `{method}` within {} s",
                ANSWER_TIMEOUT.as_secs()
            )))
        })
    }

    async fn read_answer(&mut self, id: u64) -> CommandResult<Value> {
        loop {
            let line =
                self.lines.next_line().await.map_err(|error| connection_failure().caused_by(&error))?;
            let line = line.ok_or_else(connection_failure)?;
            self.received_text.push_str(&line);
            self.received_text.push('\n');
            let mut message: Value = serde_json::from_str(&line).map_err(|error| {
                CommandFailure::refused("`portero mcp` wrote something that is no JSON").caused_by(&error)
            })?;
            // Notifications and requests of the server may come first.
            if message["id"] == id && message.get("method").is_none() {
                return Ok(match message.get("result") {
                    Some(_) => message["result"].take(),
                    None => json!({"error": message["error"].take()}),
                });
            }
        }
    }

    async fn send_line(&mut self, message: &Value) -> CommandResult {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).await.map_err(|error| connection_failure().caused_by(&error))
    }

    /// Ends the session by closing its input, as a client does.
    pub(super) async fn close(self) -> CommandResult<String> {
        let Self { mut child, stdin, received_text: heard, .. } = self;
        // A closed input is how a client ends a session on stdio.
        drop(stdin);
        match tokio::time::timeout(SESSION_END_TIMEOUT, child.wait()).await {
            Ok(Ok(_)) => Ok(heard),
            Ok(Err(error)) => Err(connection_failure().caused_by(&error)),
            Err(_) => Err(CommandFailure::refused("`portero mcp` did not end when its client left")),
        }
    }
}

fn connection_failure() -> CommandFailure {
    CommandFailure::refused("the connection to `portero mcp` broke")
}

/// The text of a tool's result, or of an error.
pub(super) fn result_text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().or_else(|| result["error"]["message"].as_str()).unwrap_or_default()
}
