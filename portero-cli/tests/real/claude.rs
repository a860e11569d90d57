//! The real Claude Code with a scripted model, headless and interactive, and `portero mcp` as its only server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::approvals::filesystem_home;
use crate::peers::{peer_file, peers};
use crate::test_support::TestHome;

const FAKE_API_KEY: &str = "sk-ant-api03-not-a-real-key-0000000000";

/// A scripted model and the configuration of a Claude Code that uses it.
pub(crate) struct ClaudeFixture<'a> {
    home: &'a TestHome,
    model: Child,
    port: String,
    requests: PathBuf,
}

impl<'a> ClaudeFixture<'a> {
    pub(crate) fn new(home: &'a TestHome, script: &Value) -> Self {
        let portero = home.portero_command(&["mcp"]);
        let env: serde_json::Map<String, Value> = portero
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), json!(value?.to_str()?))))
            .filter(|(name, _)| name.starts_with("PORTERO"))
            .collect();
        let entry = json!({
            "type": "stdio", "command": env!("CARGO_BIN_EXE_portero"), "args": ["mcp"], "env": env,
        });
        Self::with_entry(home, script, &entry)
    }

    /// One whose Claude Code reaches Portero by this entry of its configuration.
    pub(crate) fn with_entry(home: &'a TestHome, script: &Value, entry: &Value) -> Self {
        let requests = home.path("state").join("model.jsonl");
        let mut model = Command::new(peers().python("python"))
            .arg(peer_file("model.py"))
            .arg(script.to_string())
            .arg(&requests)
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let mut port = String::new();
        BufReader::new(model.stdout.take().expect("piped"))
            .read_line(&mut port)
            .expect("the model prints its port");
        let stage = Self { home, model, port: port.trim().to_owned(), requests };
        stage.configure(entry);
        stage
    }

    fn configure(&self, entry: &Value) {
        let settings = self.home.path("run").join("claude");
        fs::create_dir_all(&settings).expect("writable");
        let project = self.home.path("project");
        let known = json!({
            "hasCompletedOnboarding": true, "theme": "dark", "numStartups": 5, "lastOnboardingVersion": "2.1.328",
            "customApiKeyResponses": {"approved": [&FAKE_API_KEY[FAKE_API_KEY.len() - 20..]], "rejected": []},
            "projects": {project.to_string_lossy(): {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}},
        });
        fs::write(settings.join(".claude.json"), known.to_string()).expect("writable");
        let servers = json!({"mcpServers": {"portero": entry}});
        fs::write(settings.join("mcp.json"), servers.to_string()).expect("writable");
    }

    /// The arguments with which Claude Code uses only Portero.
    pub(crate) fn claude_arguments(&self) -> Vec<String> {
        let mcp = self.home.path("run").join("claude/mcp.json");
        ["--mcp-config", &mcp.to_string_lossy(), "--strict-mcp-config", "--allowedTools", "mcp__portero"]
            .map(str::to_owned)
            .to_vec()
    }

    /// A command with the environment of a quiet Claude Code.
    pub(crate) fn with_quiet_environment(&self, mut command: Command) -> Command {
        let settings = self.home.path("run").join("claude");
        command
            .current_dir(self.home.path("project"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("HOME", &settings)
            .env("CLAUDE_CONFIG_DIR", &settings)
            .env("ANTHROPIC_API_KEY", FAKE_API_KEY)
            .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", self.port))
            .env("TERM", "xterm-256color")
            .env("ENABLE_CLAUDEAI_MCP_SERVERS", "false");
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_TELEMETRY",
            "DISABLE_AUTOUPDATER",
            "DISABLE_UPDATES",
            "DISABLE_ERROR_REPORTING",
            "DISABLE_INSTALLATION_CHECKS",
            "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
        ] {
            command.env(name, "1");
        }
        command
    }

    /// Everything that the model was sent.
    pub(crate) fn model_requests(&self) -> String {
        fs::read_to_string(&self.requests).expect("the model was asked")
    }
}

impl Drop for ClaudeFixture<'_> {
    fn drop(&mut self) {
        drop(self.model.kill());
        drop(self.model.wait());
    }
}

/// A home with a file of a real name.
fn home_with_letter() -> TestHome {
    let home = filesystem_home();
    let project = home.path("project");
    home.write(
        "replacements.json",
        &json!({"replacements": [{"fake": "John Doe", "real": "Ada Lovelace", "bidirectional": true}]}),
    );
    fs::write(project.join("letter.txt"), "Dear Ada Lovelace, all is well.").expect("writable");
    home
}

/// A model that reads the letter and asks to write another.
fn claude_with_script(home: &TestHome) -> ClaudeFixture<'_> {
    let project = home.path("project");
    let script = json!([
        {"tool": "mcp__portero__files__read_text_file", "input": {"path": project.join("letter.txt")}},
        {"tool": "mcp__portero__files__write_file", "input": {"path": project.join("reply.txt"), "content": "Yours"}},
        {"text": "The reply waits."},
    ]);
    ClaudeFixture::new(home, &script)
}

fn assert_the_model_saw_the_right_things(stage: &ClaudeFixture<'_>) {
    let sent = stage.model_requests();
    assert!(sent.contains("Dear John Doe, all is well."), "the read reached the model concealed");
    assert!(!sent.contains("Ada Lovelace"), "the vendor never gets the real name");
    assert!(sent.contains("pending-approval"), "the write waits for a person");
    assert!(!stage.home.path("project").join("reply.txt").exists());
    assert_eq!(stage.home.json(&["pending"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn claude_code_headless_reads_concealed_and_asks_to_write() {
    let home = home_with_letter();
    let stage = claude_with_script(&home);
    let mut command = Command::new(peers().claude());
    command.args(["-p", "Write to her."]).args(stage.claude_arguments()).stdin(Stdio::null());
    let output = stage.with_quiet_environment(command).output().expect("Claude Code runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("The reply waits."), "{said}");
    assert_the_model_saw_the_right_things(&stage);
}

#[test]
fn claude_code_interactive_reads_concealed_and_asks_to_write() {
    let home = home_with_letter();
    let stage = claude_with_script(&home);
    let steps =
        json!([{"wait": "❯|> "}, {"type": "Write to her."}, {"type": "\r"}, {"wait": "The reply waits"}]);
    let mut command = Command::new(peers().python("python"));
    command
        .arg(peer_file("type_at.py"))
        .arg(steps.to_string())
        .arg(peers().claude())
        .args(stage.claude_arguments());
    let output = stage.with_quiet_environment(command).output().expect("Python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_the_model_saw_the_right_things(&stage);
}
