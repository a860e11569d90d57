//! The harness: a daemon in a process of its own, killed at each point of a task's life, and started again.

use std::num::NonZeroU32;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portero::audit::{self, Event, Filter, Outcome, Record, Segment};
use portero::clock::{Clock as _, SystemClock};
use portero::ipc::requests::approvals::{ApproveTask, ListTasks};
use portero::ipc::requests::audit::ListHeads;
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::requests::overrides::{CreateGrant, GetOverrides};
use portero::ipc::requests::sessions::{ConsumeGrant, SubmitCall};
use portero::ipc::{AskError, Challenge, Client, Hello, PROTOCOL, Peer, Push, TelegramConfirms};
use portero::names::{Principal, SessionId};
use portero::paths::Paths;
use portero::policy::Limits;
use portero::task::{State, Task};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::LAST;
use crate::app::{App, Parts};
use crate::channels::telegram::courier::Pace;
use crate::channels::telegram::link::Tuning;

mod channel;
#[path = "../../tests/daemon/fake_server.rs"]
mod fake_server;
mod full;
mod hung;
mod phone;
mod rejected;

/// What makes this program a daemon: the directory that it lives in.
const ROLE: &str = "PORTERO_TEST_CRASH_DAEMON";
/// The file in which a channel of that daemon writes down what it tells; it has none without.
const CHANNEL: &str = "PORTERO_TEST_CRASH_CHANNEL";
const SOON: Duration = Duration::from_secs(30);

/// What must be true of a task when everything has come to rest after a crash.
struct Rest {
    /// None when nothing was stored, so the agent has no id.
    state: Option<State>,
    ran: usize,
}

/// Every point, in the order of a task's life.
const POINTS: [(&str, Rest); 14] = [
    ("changed pending-approval", Rest { state: None, ran: 0 }),
    ("recorded pending-approval", Rest { state: None, ran: 0 }),
    ("committed pending-approval", Rest { state: Some(State::PendingApproval), ran: 0 }),
    ("changed approved", Rest { state: Some(State::PendingApproval), ran: 0 }),
    ("recorded approved", Rest { state: Some(State::PendingApproval), ran: 0 }),
    ("committed approved", Rest { state: Some(State::Completed), ran: 1 }),
    ("changed executing", Rest { state: Some(State::Completed), ran: 1 }),
    ("recorded executing", Rest { state: Some(State::Completed), ran: 1 }),
    ("committed executing", Rest { state: Some(State::Interrupted), ran: 0 }),
    ("claimed", Rest { state: Some(State::Interrupted), ran: 0 }),
    ("answered", Rest { state: Some(State::Interrupted), ran: 1 }),
    ("changed completed", Rest { state: Some(State::Interrupted), ran: 1 }),
    ("recorded completed", Rest { state: Some(State::Interrupted), ran: 1 }),
    ("committed completed", Rest { state: Some(State::Completed), ran: 1 }),
];

/// No test: the daemon's `main`.
#[test]
fn daemon() {
    let Some(home) = std::env::var_os(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut signals = crate::signals::Signals::new(hung::GRACES).unwrap();
        let app = App::start(parts(Path::new(&home))).await.unwrap();
        let _hangs = hung::hang(Path::new(&home));
        let stop = CancellationToken::new();
        let channel = std::env::var_os(CHANNEL).map(|file| {
            let telling = channel::tell(app.outbox(), file.into());
            tokio::spawn(stop.clone().run_until_cancelled_owned(telling))
        });
        tokio::select! {
            () = app.stopped() => {}
            () = signals.next() => {}
        }
        stop.cancel();
        drop(channel);
        app.shutdown().await;
    });
}

fn paths(home: &Path) -> Paths {
    Paths { config: home.join("config"), state: home.join("state"), runtime: home.join("run") }
}

fn parts(home: &Path) -> Parts {
    Parts {
        paths: paths(home),
        home: home.to_owned(),
        environment: std::env::vars_os().collect(),
        clock: Arc::new(SystemClock),
        disk: Arc::new(audit::RealDisk),
        boot_id: "boot".to_owned(),
        guard: None,
        build: "test".to_owned(),
        telegram: Tuning {
            pace: Pace { gap: Duration::from_millis(1), ..Pace::default() },
            ..Tuning::default()
        },
    }
}

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::Builder::new().prefix("pt-").tempdir().unwrap());
        std::fs::create_dir(home.at("config")).unwrap();
        std::fs::create_dir(home.at("project")).unwrap();
        let server = json!({
            "name": "notes",
            "command": std::env::current_exe().unwrap(),
            "args": ["--exact", "crash::tests::fake_server::fake_server", "--nocapture", "-q"],
            "env": {fake_server::ROLE: "1", fake_server::RECORD: home.at("record")},
        });
        std::fs::write(home.at("config/mcps.json"), json!({"mcps": [server]}).to_string()).unwrap();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A daemon that dies at `last`, if ever.
    fn daemon(&self, last: Option<&str>) -> Daemon {
        self.daemon_with(last, false)
    }

    fn daemon_with(&self, last: Option<&str>, channel: bool) -> Daemon {
        let mut command = self.command();
        command.envs(channel.then(|| (CHANNEL, self.at("told")))).envs(last.map(|last| (LAST, last)));
        Daemon(command.spawn().unwrap())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "crash::tests::daemon", "--nocapture", "-q"])
            .env(ROLE, self.0.path())
            .env_remove(LAST)
            .env_remove(CHANNEL)
            .env_remove(hung::HANGS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    async fn connect(&self, peer: Peer) -> Client {
        let hello = || Hello {
            protocol: PROTOCOL,
            build: "test".to_owned(),
            config: self.at("config"),
            peer: peer.clone(),
            nonce: portero::identity::Nonce::default(),
        };
        let socket = paths(self.0.path()).socket();
        let since = Instant::now();
        loop {
            match Client::connect(&socket, hello(), None).await {
                Ok((client, ..)) => return client,
                Err(error) => assert!(since.elapsed() < SOON, "no daemon listens: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn session(&self) -> Client {
        let directory = self.at("project");
        let principal = Principal::of_project(&directory);
        self.connect(Peer::Session { id: SessionId::fresh(), agent_session: None, principal, directory })
            .await
    }

    /// What the server really got.
    fn ran(&self) -> usize {
        std::fs::read_to_string(self.at("record")).unwrap_or_default().lines().count()
    }

    /// How many times the audit says that the call was about to go out.
    fn intended(&self) -> usize {
        let log = audit::read(&paths(self.0.path()).audit(), &Filter::default()).unwrap();
        log.entries.iter().filter(|entry| matches!(entry.record.event, Event::Intent { .. })).count()
    }
}

/// A daemon that ends with the test.
struct Daemon(Child);

impl Daemon {
    fn end(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < SOON, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn was_killed(&mut self) -> bool {
        self.end().signal() == Some(9)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn challenge() -> Challenge {
    Challenge::new("correct horse battery staple")
}

fn submit() -> SubmitCall {
    let call = json!({
        "tool": "notes/send",
        "method": "tools/call",
        "params": {"name": "send", "arguments": {"text": "once"}},
    });
    SubmitCall {
        call: serde_json::from_str(&call.to_string()).unwrap(),
        client: serde_json::from_value(Value::from("claude 1")).unwrap(),
    }
}

/// The agent asks, the person says yes; the daemon may be gone at any moment.
async fn live(home: &Home) -> Result<(), AskError> {
    let (person, session) = (home.connect(Peer::Terminal).await, home.session().await);
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let task = session.request(submit()).await?;
    person.request(ApproveTask { task: task.id, challenge: challenge() }).await?;
    Ok(())
}

/// The one task, once nothing moves by itself any more.
async fn at_rest(person: &Client) -> Option<Task> {
    let since = Instant::now();
    loop {
        let Ok(mut tasks) = person.request(ListTasks { state: None, after: None, limit: 10 }).await else {
            panic!("tasks")
        };
        assert!(tasks.len() <= 1, "{tasks:?}");
        match tasks.pop() {
            Some(task) if matches!(task.state, State::Approved | State::Executing) => {}
            task => return task,
        }
        assert!(since.elapsed() < SOON, "the task does not come to rest");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn check(point: &str, home: &Home, task: Option<&Task>, rest: &Rest) {
    assert_eq!(task.map(|task| task.state), rest.state, "{point}");
    assert_eq!(home.ran(), rest.ran, "{point}");
    assert!(home.intended() >= rest.ran, "{point}: what ran was recorded first");
    if let Some(task) = task.filter(|task| task.state == State::Interrupted) {
        let note = task.note.as_ref().unwrap().get();
        assert!(note.contains("unknown"), "{point}: {note}");
    }
}

/// Whatever happened, the audit holds and is no shorter than what is known of it.
async fn check_audit(point: &str, home: &Home, person: &Client) {
    let Ok(heads) = person.request(ListHeads).await else { panic!("heads") };
    let verdict = audit::verify_against(&paths(home.0.path()).audit(), &heads).unwrap();
    assert!(verdict.holds(), "{point}: {verdict:?}");
}

/// Says yes again, also to what ran already, and starts the daemon once more: at most one execution stays.
async fn try_to_run_it_again(point: &str, home: &Home, mut daemon: Daemon, task: Option<Task>, rest: &Rest) {
    let person = home.connect(Peer::Terminal).await;
    let Some(task) = task else { return };
    let pending = task.state == State::PendingApproval;
    let yes = person.request(ApproveTask { task: task.id, challenge: challenge() }).await;
    assert_eq!(yes.is_ok(), pending, "{point}: {yes:?}");
    let settled = at_rest(&person).await.unwrap();
    let ran = if pending { 1 } else { rest.ran };
    assert_eq!(home.ran(), ran, "{point}");
    assert!(settled.state.is_final(), "{point}");
    person.request(StopDaemon).await.unwrap();
    assert!(daemon.end().success(), "{point}");
    let _again = home.daemon(None);
    let person = home.connect(Peer::Terminal).await;
    assert_eq!(at_rest(&person).await.map(|task| task.state), Some(settled.state), "{point}");
    assert_eq!(home.ran(), ran, "{point}");
}

#[tokio::test]
async fn killed_at_any_point_a_task_runs_at_most_once_and_says_what_is_known() {
    for (point, rest) in &POINTS {
        let home = Home::new();
        let mut daemon = home.daemon(Some(point));
        // Its answer may or may not come before the end.
        let _ = live(&home).await;
        assert!(daemon.was_killed(), "{point} was not reached");

        let daemon = home.daemon(None);
        let person = home.connect(Peer::Terminal).await;
        let task = at_rest(&person).await;
        check(point, &home, task.as_ref(), rest);
        check_audit(point, &home, &person).await;
        drop(person);
        try_to_run_it_again(point, &home, daemon, task, rest).await;
    }
}

/// The uses of the one grant.
async fn uses_left(person: &Client) -> Option<u32> {
    let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
    standing.grants[0].uses_left()
}

/// A person grants two uses, and the agent's session consumes one.
async fn grant_and_use(home: &Home) -> Result<(), AskError> {
    let (person, session) = (home.connect(Peer::Terminal).await, home.session().await);
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let (pattern, millis) = ("notes/send".parse().unwrap(), 3_600_000);
    let limits = Limits { uses: NonZeroU32::new(2), ..Limits::default() };
    person.request(CreateGrant { pattern, millis, limits, challenge: challenge() }).await?;
    session.request(consume()).await.map(drop)
}

fn consume() -> ConsumeGrant {
    ConsumeGrant { grant: 1, call: submit().call }
}

#[tokio::test]
async fn killed_at_any_point_of_a_use_it_is_had_once_or_lost() {
    for (point, left) in [("changed use", 2), ("recorded use", 2), ("committed use", 1)] {
        let home = Home::new();
        let mut daemon = home.daemon(Some(point));
        assert!(grant_and_use(&home).await.is_err(), "{point}: nobody is told yes, so no call goes out");
        assert!(daemon.was_killed(), "{point} was not reached");

        let _daemon = home.daemon(None);
        let (person, session) = (home.connect(Peer::Terminal).await, home.session().await);
        assert_eq!(uses_left(&person).await, Some(left), "{point}");
        check_audit(point, &home, &person).await;
        for _ in 0..left {
            session.request(consume()).await.unwrap();
        }
        assert!(session.request(consume()).await.is_err(), "{point}: none is gained");
    }
}

#[tokio::test]
async fn killed_again_while_it_recovers_a_task_is_still_interrupted_once() {
    for point in ["changed interrupted", "recorded interrupted", "committed interrupted"] {
        let home = Home::new();
        let mut daemon = home.daemon(Some("answered"));
        let _ = live(&home).await;
        assert!(daemon.was_killed());
        assert!(home.daemon(Some(point)).was_killed(), "{point} was not reached");

        let _daemon = home.daemon(None);
        let person = home.connect(Peer::Terminal).await;
        let task = at_rest(&person).await;
        check(point, &home, task.as_ref(), &Rest { state: Some(State::Interrupted), ran: 1 });
        check_audit(point, &home, &person).await;
    }
}

/// The calls that the audit says were interrupted with their process.
fn closed(home: &Home) -> Vec<u64> {
    let log = audit::read(&home.at("state/audit"), &Filter::default()).unwrap();
    let closed = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        Event::Interrupted { call, .. } => Some(call),
        _ => None,
    });
    closed.collect()
}

#[tokio::test]
async fn killed_while_it_closes_the_calls_of_a_killed_session_each_is_closed_once() {
    for point in ["changed close", "recorded close", "committed close"] {
        let home = Home::new();
        let session = Segment::open(&home.at("state/audit"), "session", SystemClock.now()).unwrap();
        for call in [7, 8] {
            let tool = "notes/send".parse().unwrap();
            let event = Event::Intent { call, tool, reason: "rule".to_owned(), task: None, arguments: None };
            let at = SystemClock.now().wall;
            session.append(&Record { at, session: None, principal: None, event }).unwrap();
        }
        drop(session);
        assert!(home.daemon(Some(point)).was_killed(), "{point} was not reached");
        for start in ["the next", "one more"] {
            let daemon = home.daemon(None);
            let person = home.connect(Peer::Terminal).await;
            let since = Instant::now();
            while closed(&home).len() < 2 {
                assert!(since.elapsed() < SOON, "{point}, {start}: {:?}", closed(&home));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // A head of every segment says that the look at a start is over.
            person.request(ListHeads).await.unwrap();
            assert_eq!(closed(&home), [7, 8], "{point}, {start}");
            check_audit(point, &home, &person).await;
            drop(daemon);
        }
    }
}
