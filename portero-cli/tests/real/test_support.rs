//! A person's Portero in a temporary directory: configuration, state, socket, daemon, terminal.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use expectrl::Expect;
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;

/// The approval passphrase of every test's person.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// One person's directories.
pub(crate) struct TestHome {
    directory: TempDir,
    /// Variables that every command gets.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl TestHome {
    /// Directories with this `mcps.json` and the policy `policies.json`.
    pub(crate) fn new(mcps: &Value, policies: &Value) -> Self {
        crate::porterod::porterod_program();
        let directory = tempfile::Builder::new().prefix("portero-").tempdir().expect("a temporary directory");
        for name in ["config", "state", "run", "project"] {
            fs::create_dir(directory.path().join(name)).expect("a new directory");
        }
        let home = Self { directory, variables: Vec::new() };
        home.write("mcps.json", mcps);
        home.write("policies.json", policies);
        home
    }

    /// Writes a configuration file.
    pub(crate) fn write(&self, name: &str, content: &Value) {
        fs::write(self.path("config").join(name), content.to_string()).expect("the directory is writable");
    }

    /// One of `config`, `state`, `run`, `project`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A `portero` command of this person.
    pub(crate) fn portero_command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
        command.args(arguments).current_dir(self.path("project")).env_clear();
        for name in ["PATH", "HOME", "SystemRoot", "TMPDIR", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("PORTERO_CONFIG_DIR", self.path("config"));
        command.env("PORTERO_STATE_DIR", self.path("state"));
        command.env("PORTERO_RUNTIME_DIR", self.path("run"));
        command.env("TERM", "xterm");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// An agent's session.
    pub(crate) fn start_agent(&self) -> Agent {
        Agent::start(&mut self.portero_command(&["mcp"]))
    }

    /// Runs a command and gives its JSON output.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{arguments:?} gave no JSON: {error}: {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Runs a command to its end, without a terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.portero_command(arguments).output().expect("portero starts")
    }

    /// Sets the approval passphrase, as a person at a terminal does.
    pub(crate) fn set_passphrase(&self) {
        let (status, screen) = self.run_at_terminal(&["passphrase", "set"], &[PASSPHRASE, PASSPHRASE]);
        assert_eq!(status, 0, "{screen}");
    }

    /// Runs a command on a terminal of its own and answers each question for a passphrase in turn, if it asks so
    /// many. Returns the exit code and what the terminal showed.
    pub(crate) fn run_at_terminal(&self, arguments: &[&str], answers: &[&str]) -> (i32, String) {
        let mut terminal =
            expectrl::Session::spawn(self.portero_command(arguments)).expect("a pseudo-terminal");
        terminal.set_expect_timeout(Some(Duration::from_secs(60)));
        let mut screen = String::new();
        for answer in answers {
            let found = match terminal.expect(expectrl::Regex("(?i)(passphrase[^\n]*|again): ?$")) {
                Ok(found) => found,
                // It had nothing to ask; its exit code tells.
                Err(expectrl::Error::Eof) => break,
                Err(error) => panic!("{arguments:?} did not ask: {error}; so far: {screen}"),
            };
            screen.push_str(&String::from_utf8_lossy(found.as_bytes()));
            terminal.send_line(answer).expect("the terminal takes input");
        }
        if let Ok(rest) = terminal.expect(expectrl::Eof) {
            screen.push_str(&String::from_utf8_lossy(rest.as_bytes()));
        }
        let status = terminal.get_process().wait().expect("the command ends");
        let code = match status {
            expectrl::process::unix::WaitStatus::Exited(_, code) => code,
            other => panic!("{arguments:?} ended by {other:?}"),
        };
        (code, screen)
    }

    /// Approves a task at the terminal.
    pub(crate) fn approve_task(&self, task: &str) {
        let (code, screen) = self.run_at_terminal(&["approve", task], &[PASSPHRASE]);
        assert_eq!(code, 0, "{screen}");
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        drop(self.run(&["daemon", "stop"]));
    }
}

/// The processes that hold `needle` in their command line and are not this test.
pub(crate) fn processes_naming(needle: &Path) -> Vec<String> {
    let needle = needle.to_string_lossy();
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().expect("ps runs");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(&*needle) && !line.contains("ps -eo"))
        .map(str::to_owned)
        .collect()
}
