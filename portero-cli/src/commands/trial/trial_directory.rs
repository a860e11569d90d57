//! The temporary directory of the trial, its configuration, and the calls that the sample server recorded
//! there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portero::files::{self, MAX_STATE_FILE_BYTES, PipeMode, SymlinkMode};
use portero::paths::Paths;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::sample_server::{REAL_EMAIL, REAL_KEY, REAL_NAME};
use crate::failure::{CommandFailure, CommandResult};

/// The fake value of the name.
pub(super) const FAKE_NAME: &str = "Jane Doe";
/// The fake value of the address.
pub(super) const FAKE_EMAIL: &str = "jane@example.com";
/// The fake value of the key.
pub(super) const REDACTED: &str = "***API-KEY***";

/// The directory with all of the trial's files; dropping it removes it.
pub(super) struct TrialDirectory {
    directory: TempDir,
    pub(super) paths: Paths,
}

/// A call as the sample server received it, with its answer.
pub(super) struct ReceivedCall {
    pub(super) tool: String,
    pub(super) arguments: Value,
    pub(super) answer: String,
}

impl TrialDirectory {
    /// Creates the directory with its configuration.
    pub(super) fn create() -> CommandResult<Self> {
        let failed = |error: &io::Error| {
            CommandFailure::refused("could not create a temporary directory").caused_by(error)
        };
        let directory =
            tempfile::Builder::new().prefix("portero-try-").tempdir().map_err(|error| failed(&error))?;
        let within = |name: &str| directory.path().join(name);
        let paths = Paths { config: within("config"), state: within("state"), runtime: within("run") };
        let scene = Self { paths, directory };
        scene.write_config().map_err(|error| failed(&error))?;
        Ok(scene)
    }

    fn write_config(&self) -> io::Result<()> {
        fs::create_dir(&self.paths.config)?;
        fs::create_dir(self.project_directory())?;
        self.paths.create_directories()?;
        let program = std::env::current_exe()?;
        let file =
            |name: &str, value: &Value| fs::write(self.paths.config.join(name), format!("{value:#}\n"));
        file(
            "mcps.json",
            &json!({"mcps": [{
                "name": "office",
                "command": program,
                "args": ["sample-server", "--record", self.record_path()],
            }]}),
        )?;
        file(
            "policies.json",
            &json!({
                "policies": {
                    "office/list_*": "allow", "office/read_*": "allow", "office/search_*": "allow",
                    "office/send_mail": "require-approval",
                    "office/delete_*": "deny",
                },
                "defaultPolicy": "require-approval",
            }),
        )?;
        file(
            "replacements.json",
            &json!({"replacements": [
                {"fake": FAKE_NAME, "real": "${TRY_NAME}", "bidirectional": true, "label": "name"},
                {"fake": FAKE_EMAIL, "real": "${TRY_EMAIL}", "bidirectional": true, "caseSensitive": false, "label": "email"},
                {"fake": "fake-api-key-12345", "real": "${TRY_KEY}", "bidirectional": false, "responseReplacement": REDACTED},
            ]}),
        )?;
        let values = format!("TRY_NAME=\"{REAL_NAME}\"\nTRY_EMAIL={REAL_EMAIL}\nTRY_KEY={REAL_KEY}\n");
        let dotenv = self.paths.config.join(".env");
        fs::write(&dotenv, values)?;
        #[cfg(unix)]
        fs::set_permissions(&dotenv, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(())
    }

    /// The whole directory.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The agent's project.
    pub(super) fn project_directory(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    fn record_path(&self) -> PathBuf {
        self.directory.path().join("received.jsonl")
    }

    /// The calls that the sample server received, in order.
    pub(super) fn received_calls(&self) -> CommandResult<Vec<ReceivedCall>> {
        let text = match files::read_text(
            &self.record_path(),
            MAX_STATE_FILE_BYTES,
            SymlinkMode::Refuse,
            PipeMode::Refuse,
        ) {
            Ok(text) => text,
            // Before the first call the server has no record file.
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => {
                return Err(CommandFailure::refused("could not read what the sample server received")
                    .caused_by(&error));
            }
        };
        let entry = |line: &str| {
            let mut value: Value = serde_json::from_str(line).ok()?;
            Some(ReceivedCall {
                tool: value["tool"].as_str()?.to_owned(),
                answer: value["answer"].as_str().unwrap_or_default().to_owned(),
                arguments: value["arguments"].take(),
            })
        };
        Ok(text.lines().filter_map(entry).collect())
    }
}
