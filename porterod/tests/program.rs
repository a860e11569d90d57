//! The program itself: how it starts, what it says, how it ends.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
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
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new();
        let mut daemon = Daemon(home.command(&[]).spawn().unwrap());
        assert_eq!(daemon.first_word(), "ready");
        assert!(home.socket());
        assert_eq!(daemon.end(signal), Some(0));
        assert!(!home.socket());
    }
}

#[test]
fn a_second_one_says_running_when_detached_and_fails_otherwise() {
    let home = Home::new();
    let mut first = Daemon(home.command(&["--detach"]).spawn().unwrap());
    assert_eq!(first.first_word(), "ready");
    let second = home.command(&["--detach"]).output().unwrap();
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(0), &b"running\n"[..]));
    let third = home.command(&[]).output().unwrap();
    assert_eq!(third.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&third.stderr).contains("another daemon is already running"));
    assert_eq!(first.end(Signal::TERM), Some(0));
}

#[test]
fn a_detached_one_lets_go_of_its_streams_and_logs_to_a_file() {
    let home = Home::new();
    let mut daemon = Daemon(home.command(&["--detach"]).spawn().unwrap());
    let (mut out, mut err) = (String::new(), String::new());
    // Both end although the daemon lives on.
    daemon.0.stdout.as_mut().unwrap().read_to_string(&mut out).unwrap();
    daemon.0.stderr.as_mut().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("ready\n", ""));
    assert!(daemon.0.try_wait().unwrap().is_none());
    assert!(home.0.path().join("state/logs/porterod.log").exists());
    assert_eq!(daemon.end(Signal::TERM), Some(0));
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
