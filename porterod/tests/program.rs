//! The program itself: how it starts, what it says, how it ends.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{self, Hello, PROTOCOL_VERSION, PeerRole, ProbeResult};
use portero::store_identity::Nonce;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("config")).unwrap();
        Self(directory)
    }

    fn command(&self, args: &[&str]) -> Command {
        self.command_at("run", args)
    }

    /// With a runtime directory of this name.
    fn command_at(&self, runtime: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porterod"));
        command
            .arg("--config")
            .arg(self.0.path().join("config"))
            .args(args)
            .env("PORTERO_STATE_DIR", self.0.path().join("state"))
            .env("PORTERO_RUNTIME_DIR", self.0.path().join(runtime))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The process of the daemon that answers.
    fn running_pid(&self) -> Option<Pid> {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: self.0.path().join("config"),
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        match runtime.block_on(ipc::probe_daemon(&self.0.path().join("run/portero.sock"), hello, None)) {
            ProbeResult::Ready(welcome) => Pid::from_raw(i32::try_from(welcome.pid).unwrap()),
            ProbeResult::NeedsRestart(_) | ProbeResult::Unreachable(_) => None,
        }
    }

    fn has_socket(&self) -> bool {
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

    fn end_with(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(since.elapsed() < TEST_TIMEOUT, "it does not end");
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
        assert!(home.has_socket());
        assert_eq!(daemon.end_with(signal), Some(0));
        assert!(!home.has_socket());
    }
}

/// A daemon that was started apart; it is killed when the test ends before it does.
struct DetachedDaemon(Pid);

impl DetachedDaemon {
    fn start(home: &Home) -> Self {
        let started = home.command(&["--detach"]).output().unwrap();
        let said = String::from_utf8_lossy(&started.stdout);
        assert_eq!((started.status.code(), &*said), (Some(0), "ready\n"), "{started:?}");
        assert!(started.stderr.is_empty(), "{started:?}");
        Self(home.running_pid().unwrap())
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
            assert!(since.elapsed() < TEST_TIMEOUT, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for DetachedDaemon {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

#[test]
fn a_second_one_says_running_when_detached_and_fails_otherwise() {
    let home = Home::new();
    let first = DetachedDaemon::start(&home);
    let second = home.command(&["--detach"]).output().unwrap();
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(0), &b"running\n"[..]));
    let third = home.command(&[]).output().unwrap();
    assert_eq!(third.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&third.stderr).contains("another daemon is already running"));
    assert!(first.is_there());
    first.end();
    assert!(!home.has_socket(), "it ended cleanly");
}

#[test]
fn a_detached_one_lets_go_of_its_streams_and_logs_to_a_file() {
    let home = Home::new();
    // The streams that it was started with end, although it lives on.
    let daemon = DetachedDaemon::start(&home);
    assert!(daemon.is_there());
    assert!(home.0.path().join("state/logs/porterod.log").exists());
    daemon.end();
}

#[cfg(target_os = "linux")]
#[test]
fn a_detached_one_is_below_nobody_who_started_it() {
    let home = Home::new();
    let daemon = DetachedDaemon::start(&home);
    let group = rustix::process::getpgid(Some(daemon.0)).unwrap();
    let session = rustix::process::getsid(Some(daemon.0)).unwrap();
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
    assert_eq!(daemon.end_with(Signal::KILL), None);
    assert!(home.has_socket(), "a killed daemon leaves its socket");
    let mut next = Daemon(home.command(&[]).spawn().unwrap());
    assert_eq!(next.first_word(), "ready");
    assert_eq!(next.end_with(Signal::TERM), Some(0));
}

/// What each of these says first, and all that it says on stderr once it has ended; those that serve go on.
fn start_all(home: &Home, runtimes: &[&str]) -> (Vec<Daemon>, Vec<String>) {
    let mut all: Vec<_> =
        runtimes.iter().map(|runtime| Daemon(home.command_at(runtime, &[]).spawn().unwrap())).collect();
    let words: Vec<_> = all.iter_mut().map(Daemon::first_word).collect();
    let (mut serving, mut refused) = (Vec::new(), Vec::new());
    for (mut daemon, word) in all.into_iter().zip(words) {
        if word == "ready" {
            serving.push(daemon);
            continue;
        }
        assert_eq!(word, "");
        let mut told = String::new();
        daemon.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(daemon.0.wait().unwrap().code(), Some(1), "{told}");
        refused.push(told);
    }
    (serving, refused)
}

#[test]
fn of_several_that_begin_at_once_one_serves_and_the_others_say_so() {
    for round in 0..3 {
        let home = Home::new();
        let (mut serving, refused) = start_all(&home, &["run"; 4]);
        assert_eq!((serving.len(), refused.len()), (1, 3), "round {round}: {refused:?}");
        assert!(refused.iter().all(|told| told.contains("another daemon is already running")), "{refused:?}");
        assert_eq!(home.running_pid(), Some(Pid::from_child(&serving[0].0)));
        assert_eq!(serving[0].end_with(Signal::TERM), Some(0));
    }
}

#[test]
fn one_state_is_served_by_one_daemon_whatever_the_runtime_directories() {
    for round in 0..3 {
        let home = Home::new();
        let (mut serving, refused) = start_all(&home, &["run", "other"]);
        assert_eq!((serving.len(), refused.len()), (1, 1), "round {round}: {refused:?}");
        assert!(refused[0].contains("already uses this state directory"), "{}", refused[0]);
        assert!(refused[0].contains("PORTERO_STATE_DIR"), "it says what to do: {}", refused[0]);
        assert_eq!(serving[0].end_with(Signal::TERM), Some(0));
    }
}

#[test]
fn who_holds_the_state_is_told_at_once_and_a_killed_holder_holds_nothing() {
    let home = Home::new();
    let mut first = Daemon(home.command(&[]).spawn().unwrap());
    assert_eq!(first.first_word(), "ready");
    // As when a runtime directory was cleared under the daemon: nobody answers there any more.
    std::fs::remove_dir_all(home.0.path().join("run")).unwrap();
    let audit = || std::fs::read_dir(home.0.path().join("state/audit")).unwrap().count();
    let segments = audit();
    let began = Instant::now();
    for (runtime, args) in [("run", &[][..]), ("other", &[]), ("other", &["--detach"])] {
        let refused = home.command_at(runtime, args).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("process {}", first.0.id())), "{told}");
    }
    assert!(began.elapsed() < TEST_TIMEOUT, "nothing is waited for");
    assert_eq!(audit(), segments, "who is refused writes no audit");
    assert_eq!(first.end_with(Signal::KILL), None);
    let mut next = Daemon(home.command_at("other", &[]).spawn().unwrap());
    assert_eq!(next.first_word(), "ready");
    assert_eq!(next.end_with(Signal::TERM), Some(0));
}

#[test]
fn a_foreign_file_in_the_sockets_place_is_told_and_stays() {
    let home = Home::new();
    std::fs::create_dir(home.0.path().join("run")).unwrap();
    let place = home.0.path().join("run/portero.sock");
    std::fs::write(&place, "somebody's").unwrap();
    for args in [&[][..], &["--detach"]] {
        let refused = home.command(args).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("portero.sock") && told.contains("move it away"), "{told}");
        assert_eq!(std::fs::read(&place).unwrap(), b"somebody's");
    }
}

#[test]
fn errors_in_the_configuration_are_told_and_nothing_starts() {
    let home = Home::new();
    std::fs::write(home.0.path().join("config/policies.json"), r#"{"policies":{"a/b":"alow"}}"#).unwrap();
    let failed = home.command(&["--detach"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(told.contains("policies.json:1:") && told.contains("portero check"), "{told}");
    assert!(!home.has_socket());
}

/// What a process has in memory, in KiB.
#[cfg(target_os = "linux")]
fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn its_memory_does_not_grow_with_the_number_of_calls() {
    use portero::audit::{AuditEvent, AuditRecord, AuditWriter, RecordedOutcome};
    use portero::clock::{Clock as _, SystemClock};

    let home = Home::new();
    let mut daemon = Daemon(home.command(&[]).spawn().unwrap());
    assert_eq!(daemon.first_word(), "ready");
    let session =
        AuditWriter::open(&home.0.path().join("state/audit"), "a session", SystemClock.now()).unwrap();
    let tool: portero::names::ToolId = "github/list_issues".parse().unwrap();
    let record = |event| AuditRecord {
        at: SystemClock.now().wall,
        session: None,
        principal: None,
        address: None,
        event,
    };
    let write = |calls: std::ops::Range<u64>| {
        for call in calls {
            let (reason, arguments) = ("allowed by policies.json".to_owned(), Some("digest".repeat(8)));
            let intent = AuditEvent::Intent { call, tool: tool.clone(), reason, task: None, arguments };
            let outcome =
                AuditEvent::Outcome { call, tool: tool.clone(), outcome: RecordedOutcome::Done, micros: 7 };
            session.append_all(&[record(intent), record(outcome)]).unwrap();
        }
    };
    // What counts the calls for `status` reads all that was written since the last time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counted = || {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: home.0.path().join("config"),
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        runtime.block_on(async {
            let socket = home.0.path().join("run/portero.sock");
            let (client, _pushes, _) = ipc::IpcClient::connect(&socket, hello, None).await.unwrap();
            client.request(GetStatus).await.unwrap().counts.done
        })
    };
    // A status waits for the counting only so long, and the next one goes on from there.
    let count_to = |calls: u64| {
        let deadline = Instant::now() + Duration::from_secs(120);
        while counted() != calls {
            assert!(Instant::now() < deadline, "{calls} calls are not counted");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    write(0..10_000);
    count_to(10_000);
    let before = resident_bytes(daemon.0.id());
    write(10_000..100_000);
    count_to(100_000);
    let after = resident_bytes(daemon.0.id());
    assert!(after < before + (4 << 10), "{before} KiB after 10,000 calls and {after} KiB after 100,000");
    assert_eq!(daemon.end_with(Signal::TERM), Some(0));
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
