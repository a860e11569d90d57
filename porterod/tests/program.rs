//! The program itself: how it starts, what it says, how it ends.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portero::ipc::{self, Hello, PROTOCOL, Peer, Probe};
use rustix::process::{Pid, Signal, getpgid, getsid, kill_process, test_kill_process};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("config")).unwrap();
        Self(directory)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porterod"));
        command
            .arg("--config")
            .arg(self.0.path().join("config"))
            .args(args)
            .env("PORTERO_STATE_DIR", self.0.path().join("state"))
            .env("PORTERO_RUNTIME_DIR", self.0.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The process of the daemon that answers.
    fn running(&self) -> Option<Pid> {
        let hello = Hello {
            protocol: PROTOCOL,
            build: "test".to_owned(),
            config: self.0.path().join("config"),
            peer: Peer::Terminal,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        match runtime.block_on(ipc::probe(&self.0.path().join("run/portero.sock"), hello)) {
            Probe::Ready(welcome) => Pid::from_raw(i32::try_from(welcome.pid).unwrap()),
            Probe::NeedsRestart(_) | Probe::Unreachable(_) => None,
        }
    }

    fn socket(&self) -> bool {
        self.0.path().join("run/portero.sock").exists()
    }
}

/// A daemon that is killed when the test ends before it does.
struct Daemon(Child);

impl Daemon {
    fn first_word(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(since.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_ready_once_it_listens_and_ends_cleanly_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let home = Home::new();
        let mut daemon = Daemon(home.command(&[]).spawn().unwrap());
        assert_eq!(daemon.first_word(), "ready");
        assert!(home.socket());
        assert_eq!(daemon.end(signal), Some(0));
        assert!(!home.socket());
    }
}

/// A daemon that was started apart; it is killed when the test ends before it does.
struct Apart(Pid);

impl Apart {
    fn start(home: &Home) -> Self {
        let started = home.command(&["--detach"]).output().unwrap();
        let said = String::from_utf8_lossy(&started.stdout);
        assert_eq!((started.status.code(), &*said), (Some(0), "ready\n"), "{started:?}");
        assert!(started.stderr.is_empty(), "{started:?}");
        Self(home.running().unwrap())
    }

    fn is_there(&self) -> bool {
        // One that nobody has collected yet is gone all the same.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0.as_raw_nonzero()));
        match status {
            Ok(status) => !status.contains(") Z "),
            Err(_) => cfg!(not(target_os = "linux")) && test_kill_process(self.0).is_ok(),
        }
    }

    fn end(&self) {
        kill_process(self.0, Signal::TERM).unwrap();
        let since = Instant::now();
        while self.is_there() {
            assert!(since.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

#[test]
fn a_second_one_says_running_when_detached_and_fails_otherwise() {
    let home = Home::new();
    let first = Apart::start(&home);
    let second = home.command(&["--detach"]).output().unwrap();
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(0), &b"running\n"[..]));
    let third = home.command(&[]).output().unwrap();
    assert_eq!(third.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&third.stderr).contains("another daemon is already running"));
    assert!(first.is_there());
    first.end();
    assert!(!home.socket(), "it ended cleanly");
}

#[test]
fn a_detached_one_lets_go_of_its_streams_and_logs_to_a_file() {
    let home = Home::new();
    // The streams that it was started with end, although it lives on.
    let daemon = Apart::start(&home);
    assert!(daemon.is_there());
    assert!(home.0.path().join("state/logs/porterod.log").exists());
    daemon.end();
}

#[cfg(target_os = "linux")]
#[test]
fn a_detached_one_is_below_nobody_who_started_it() {
    let home = Home::new();
    let daemon = Apart::start(&home);
    let (group, session) = (getpgid(Some(daemon.0)).unwrap(), getsid(Some(daemon.0)).unwrap());
    assert_eq!((group, session), (daemon.0, daemon.0), "a session and a group of its own");
    let mut process = daemon.0.as_raw_nonzero().get();
    while process > 1 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        process = parent.trim().parse().unwrap();
        assert_ne!(process, i32::try_from(std::process::id()).unwrap(), "it is below this test");
    }
    daemon.end();
}

#[test]
fn after_a_kill_the_next_one_takes_over() {
    let home = Home::new();
    let mut daemon = Daemon(home.command(&[]).spawn().unwrap());
    assert_eq!(daemon.first_word(), "ready");
    assert_eq!(daemon.end(Signal::KILL), None);
    assert!(home.socket(), "a killed daemon leaves its socket");
    let mut next = Daemon(home.command(&[]).spawn().unwrap());
    assert_eq!(next.first_word(), "ready");
    assert_eq!(next.end(Signal::TERM), Some(0));
}

#[test]
fn errors_in_the_configuration_are_told_and_nothing_starts() {
    let home = Home::new();
    std::fs::write(home.0.path().join("config/policies.json"), r#"{"policies":{"a/b":"alow"}}"#).unwrap();
    let failed = home.command(&["--detach"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(told.contains("policies.json:1:") && told.contains("portero check"), "{told}");
    assert!(!home.socket());
}

#[test]
fn the_word_guard_comes_before_everything_else() {
    let home = Home::new();
    let guarded = Command::new(env!("CARGO_BIN_EXE_porterod"))
        .args(["guard", "--", "sh", "-c", "exit 7"])
        .env("HOME", home.0.path())
        .output()
        .unwrap();
    assert_eq!(guarded.status.code(), Some(7));
}
