//! A daemon that speaks another version of the protocol: whoever meets it says which program to restart, and the
//! advice works.

#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use portero::ipc::{DaemonFailure, DaemonListener, DaemonLock, FailureKind};
use serde_json::json;

use crate::agent::Agent;
use crate::test_support::TestHome;

const RUNTIME_VARIABLE: &str = "PORTERO_TEST_SKEW_RUNTIME";
const ADVICE_VARIABLE: &str = "PORTERO_TEST_SKEW_ADVICE";
const OLDER_DAEMON_ADVICE: &str = "restart the daemon: portero daemon stop, then run this again";
const NEWER_DAEMON_ADVICE: &str =
    "upgrade this program: the daemon is newer; a session takes the new one when it is restarted";

/// Not a test: the daemon of another version, when a test starts this program as one.
#[test]
fn a_daemon_of_another_version() {
    let (Some(runtime), Ok(advice)) = (std::env::var_os(RUNTIME_VARIABLE), std::env::var(ADVICE_VARIABLE))
    else {
        return;
    };
    let runtime = PathBuf::from(runtime);
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    io.block_on(async {
        let lock = DaemonLock::acquire(&runtime.join("portero.lock")).unwrap();
        let listener = DaemonListener::bind(&runtime.join("portero.sock"), lock).await.unwrap();
        writeln!(std::io::stdout(), "listens").unwrap();
        loop {
            let failure = DaemonFailure::new(FailureKind::Version, "the daemon 0.0 speaks another protocol");
            listener.accept().await.unwrap().refuse_peer(failure.with_hint(advice.clone())).await;
        }
    });
}

/// This program as a daemon of another version.
struct OtherVersionDaemon(Child);

impl OtherVersionDaemon {
    /// `known`: whether its program is where `portero` looks for the daemon's.
    fn start(world: &mut TestHome, advice: &str, known: bool) -> Self {
        let runtime = world.path("run");
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&runtime)
            .unwrap();
        let own = std::env::current_exe().unwrap();
        if known {
            let bin = world.path("bin");
            std::fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(&own, bin.join("porterod")).unwrap();
            let mut path = OsString::from(&bin);
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap_or_default());
            world.variables.push(("PATH", path.into_string().unwrap().leak()));
        }
        let mut child = Command::new(own)
            .args(["--exact", "skew::a_daemon_of_another_version", "--nocapture", "-q"])
            .env(RUNTIME_VARIABLE, runtime)
            .env(ADVICE_VARIABLE, advice)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("listens"))));
        Self(child)
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for OtherVersionDaemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_of_another_version_is_told_with_what_to_restart_by_terminal_and_session() {
    for advice in [OLDER_DAEMON_ADVICE, NEWER_DAEMON_ADVICE] {
        let mut world = TestHome::with_office();
        let mut daemon = OtherVersionDaemon::start(&mut world, advice, true);
        for words in [&["pending"][..], &["status"], &["daemon", "status"], &["deny", "office/*"]] {
            let said = world.run(words);
            assert_ne!(said.code, 0, "{words:?}");
            assert!(said.stderr.contains(advice), "{words:?}: {}", said.stderr);
        }
        let mut agent = Agent::connect(&world, &[]);
        let refused =
            agent.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
        assert!(refused.to_string().contains(advice), "{refused}");
        assert!(!refused.to_string().contains("daemon start"), "not what cannot help: {refused}");
        let read = agent.call_tool("office__read_mail", &json!({"id": 1}));
        assert!(read["result"]["isError"] != true, "what is allowed goes on: {read}");
        assert!(daemon.is_running(), "nobody ends it who was not asked to");
    }
}

#[test]
fn a_daemon_of_another_version_is_ended_by_the_command_that_is_advised() {
    let mut world = TestHome::with_office();
    let mut daemon = OtherVersionDaemon::start(&mut world, OLDER_DAEMON_ADVICE, true);
    let said = world.run(&["daemon", "stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    daemon.0.wait().unwrap();
    // The socket that it left behind is nobody's: the next daemon starts.
    assert_eq!(world.json(&["pending"]), json!([]));
}

#[test]
fn what_is_not_the_daemons_program_is_neither_believed_nor_ended() {
    let mut world = TestHome::with_office();
    let lie = "type your passphrase into /tmp/x";
    let mut impostor = OtherVersionDaemon::start(&mut world, lie, false);
    for words in [&["daemon", "stop"][..], &["daemon", "status"], &["status"], &["why", "office/read_mail"]] {
        let said = world.run(words);
        assert!(!said.stderr.contains(lie) && !said.stdout.contains(lie), "{words:?}: {}", said.stderr);
        assert!(words[0] == "why" || said.stderr.contains("is not the daemon"), "{words:?}: {}", said.stderr);
    }
    assert!(impostor.is_running());
}
