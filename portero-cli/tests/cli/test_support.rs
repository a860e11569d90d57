//! A throw-away home for the two programs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Directories of its own; the daemon that a test started there ends with it.
pub(crate) struct TestHome {
    directory: TempDir,
    /// Variables that its commands get.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// The user that its programs run as, where it is not the tester; they are copies in this world then.
    user: Option<u32>,
}

/// What a command printed and how it ended.
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestHome {
    /// Empty directories.
    #[must_use]
    pub(crate) fn empty() -> Self {
        let directory = tempfile::Builder::new().prefix("pt-").tempdir().unwrap();
        let world = Self { directory, variables: Vec::new(), user: None };
        for name in ["config", "project", "home"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        world
    }

    /// With the sample server as `office`: reading is allowed, sending asks, deleting is denied.
    #[must_use]
    pub(crate) fn with_office() -> Self {
        crate::porterod::porterod_program();
        Self::empty().with_office_files()
    }

    /// As [`TestHome::with_office`], for an ordinary user: the tester, and in the place of root `nobody`, who may look into
    /// no other process.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub(crate) fn with_office_of_another_user() -> Self {
        const NOBODY: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            return Self::with_office();
        }
        let mut world = Self::empty();
        world.user = Some(NOBODY);
        let programs = world.path("programs");
        fs::create_dir(&programs).unwrap();
        for program in
            [std::path::Path::new(env!("CARGO_BIN_EXE_portero")), crate::porterod::porterod_program()]
        {
            fs::copy(program, programs.join(program.file_name().unwrap())).unwrap();
        }
        let world = world.with_office_files();
        let owner = format!("{NOBODY}:{NOBODY}");
        let owned = Command::new("chown").args(["-R", &owner]).arg(world.directory.path()).status().unwrap();
        assert!(owned.success());
        world
    }

    /// `portero` in this world.
    pub(crate) fn portero(&self) -> PathBuf {
        match self.user {
            Some(_) => self.path("programs/portero"),
            None => env!("CARGO_BIN_EXE_portero").into(),
        }
    }

    /// `porterod` in this world.
    #[cfg(target_os = "linux")]
    pub(crate) fn porterod(&self) -> PathBuf {
        self.portero().with_file_name("porterod")
    }

    /// A program, as the user of this world.
    pub(crate) fn command_as_user(&self, program: &std::path::Path) -> Command {
        let Some(user) = self.user else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={user}"))
            .arg("--clear-groups")
            .arg(program);
        command
    }

    /// A file that the user of this world can read.
    #[cfg(target_os = "linux")]
    pub(crate) fn copy_readable(&self, file: &std::path::Path) -> PathBuf {
        let copy = self.path("project").join(file.file_name().unwrap());
        fs::copy(file, &copy).unwrap();
        copy
    }

    fn with_office_files(self) -> Self {
        let world = self;
        world.write(
            "mcps.json",
            &json!({"mcps": [{
                "name": "office",
                "command": world.portero(),
                "args": ["sample-server", "--record", world.path("received.jsonl")],
                "stateless": true,
            }]}),
        );
        world.write(
            "policies.json",
            &json!({
                "policies": {
                    "office/list_*": "allow", "office/read_*": "allow", "office/search_*": "allow",
                    "office/send_mail": "require-approval", "office/delete_*": "deny",
                },
            }),
        );
        world.write(
            "replacements.json",
            &json!({"replacements": [
                {"fake": "Jane Doe", "real": "Marta Lindqvist", "bidirectional": true, "label": "name"},
                {"fake": "jane@example.com", "real": "marta.lindqvist@northwind.test", "bidirectional": true},
            ]}),
        );
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, file: &str, value: &Value) {
        fs::write(self.path("config").join(file), value.to_string()).unwrap();
    }

    /// The tools that reached the sample server, in order.
    pub(crate) fn received_calls(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("received.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `portero` with these words, in this world, and nothing of the tester's own.
    #[must_use]
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.command_as_user(&self.portero());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("PORTERO_CONFIG_DIR", self.path("config"))
            .env("PORTERO_STATE_DIR", self.path("state"))
            .env("PORTERO_RUNTIME_DIR", self.path("run"))
            .env("CLAUDE_PROJECT_DIR", self.path("project"))
            .envs(self.variables.iter().copied())
            .current_dir(self.path("project"));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> CommandOutput {
        CommandOutput::from_output(self.command(words).stdin(std::process::Stdio::null()).output().unwrap())
    }

    /// Runs it to its end and reads its JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut all = words.to_vec();
        all.push("--json");
        let said = self.run(&all);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
        serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", said.stdout))
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if self.path("run").exists() {
            let _ = self.command(&["daemon", "stop"]).output();
        }
    }
}

impl CommandOutput {
    pub(crate) fn from_output(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Waits until something holds.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(TEST_TIMEOUT, what, look)
}

/// Waits for so long until something holds.
pub(crate) fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < limit, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
