//! What is measured: the child alone, and behind gateways that know more or fewer replacements.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::child::{self, ToolNames};
use super::client::RoundFigures;

/// One of the things that are compared.
pub(super) struct BenchCase {
    pub(super) name: String,
    pub(super) tools: ToolNames,
    /// Whether everything is measured, or large results only.
    pub(super) whole: bool,
    pub(super) figures: Vec<RoundFigures>,
    /// The gateway's directory; the child alone has none.
    home: Option<tempfile::TempDir>,
}

impl BenchCase {
    /// The child alone, the gateway as it is mostly used, and the gateway with other sets of replacements.
    pub(super) fn all() -> Vec<Self> {
        vec![Self::bare(), Self::gateway(4, true), Self::gateway(0, false), Self::gateway(200, false)]
    }

    fn bare() -> Self {
        let tools = ToolNames { echo: "echo", page: "page" };
        Self { name: "bare".to_owned(), tools, whole: true, figures: Vec::new(), home: None }
    }

    fn gateway(replacements: usize, whole: bool) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        write_config(home.path(), replacements);
        Self {
            name: format!("{replacements} replacements"),
            tools: ToolNames { echo: "child__echo", page: "child__page" },
            whole,
            figures: Vec::new(),
            home: Some(home),
        }
    }

    /// The program that the client starts.
    pub(super) fn command(&self) -> Command {
        let Some(home) = &self.home else {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.env(child::CHILD_VARIABLE, "1");
            return command;
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
        command
            .args(["mcp", "--no-start"])
            .env("PORTERO_CONFIG_DIR", home.path().join("config"))
            .env("PORTERO_STATE_DIR", home.path().join("state"))
            .env("PORTERO_RUNTIME_DIR", home.path().join("run"));
        command
    }
}

fn write_config(home: &std::path::Path, replacements: usize) {
    let config = home.join("config");
    fs::create_dir_all(&config).expect("writable");
    let write = |name: &str, content: Value| {
        fs::write(config.join(name), content.to_string()).expect("writable");
    };
    let this = std::env::current_exe().expect("this program");
    write(
        "mcps.json",
        json!({"mcps": [{"name": "child", "command": this, "env": {child::CHILD_VARIABLE: "1"}}]}),
    );
    write("policies.json", json!({"policies": {"child/*": "allow"}}));
    let replacements: Vec<Value> = (0..replacements)
        .map(|number| {
            json!({"fake": format!("Person N{number:03}"), "real": child::real_value(number), "bidirectional": true,
                   "caseSensitive": number % 2 == 0})
        })
        .collect();
    write("replacements.json", json!({"replacements": replacements}));
}
