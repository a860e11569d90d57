//! The harness: a daemon in a process of its own, killed at each point of a task's life, and started again.

use std::num::NonZeroU32;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portero::audit::{self, AuditEvent, AuditRecord, AuditWriter, RecordFilter, RecordedOutcome};
use portero::clock::{Clock as _, SystemClock};
use portero::ipc::requests::approvals::{ApproveTask, ListTasks};
use portero::ipc::requests::audit::ListCheckpoints;
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::requests::overrides::{CreateGrant, GetOverrides};
use portero::ipc::requests::sessions::{ConsumeGrant, SubmitCall};
use portero::ipc::{
    Challenge, Hello, IpcClient, PROTOCOL_VERSION, PeerRole, PushMessage, RequestError, TelegramConfirmation,
};
use portero::names::{Principal, SessionId};
use portero::paths::Paths;
use portero::policy::GrantLimits;
use portero::task::{Task, TaskState};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::CRASH_POINT_VARIABLE;
use crate::app::{App, AppDeps};
use crate::keyring::{Keyring, NoKeyring};
use crate::telegram::sender::SendTiming;
use crate::telegram::supervisor::TelegramTiming;

mod channel;
#[cfg(target_os = "linux")]
mod credentials;
#[path = "../../tests/daemon/fake_server.rs"]
mod fake_server;
mod full;
mod handover;
mod hung;
mod joining;
mod phone;
mod rejected;
mod scopes;
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the tests over the socket need more of it")]
#[path = "../../tests/daemon/stand_in_keyring.rs"]
mod stand_in_keyring;

/// What makes this program a daemon: the directory that it lives in.
const ROLE: &str = "PORTERO_TEST_CRASH_DAEMON";
/// The file in which a channel of that daemon writes down what it tells; it has none without.
const CHANNEL: &str = "PORTERO_TEST_CRASH_CHANNEL";
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What must be true of a task when everything has come to rest after a crash.
struct ExpectedRest {
    /// None when nothing was stored, so the agent has no id.
    state: Option<TaskState>,
    ran: usize,
}

/// Every point, in the order of a task's life.
const CRASH_POINTS: [(&str, ExpectedRest); 14] = [
    ("changed pending-approval", ExpectedRest { state: None, ran: 0 }),
    ("recorded pending-approval", ExpectedRest { state: None, ran: 0 }),
    ("committed pending-approval", ExpectedRest { state: Some(TaskState::PendingApproval), ran: 0 }),
    ("changed approved", ExpectedRest { state: Some(TaskState::PendingApproval), ran: 0 }),
    ("recorded approved", ExpectedRest { state: Some(TaskState::PendingApproval), ran: 0 }),
    ("committed approved", ExpectedRest { state: Some(TaskState::Completed), ran: 1 }),
    ("changed executing", ExpectedRest { state: Some(TaskState::Completed), ran: 1 }),
    ("recorded executing", ExpectedRest { state: Some(TaskState::Completed), ran: 1 }),
    ("committed executing", ExpectedRest { state: Some(TaskState::Interrupted), ran: 0 }),
    ("claimed", ExpectedRest { state: Some(TaskState::Interrupted), ran: 0 }),
    ("answered", ExpectedRest { state: Some(TaskState::Interrupted), ran: 1 }),
    ("changed completed", ExpectedRest { state: Some(TaskState::Interrupted), ran: 1 }),
    ("recorded completed", ExpectedRest { state: Some(TaskState::Interrupted), ran: 1 }),
    ("committed completed", ExpectedRest { state: Some(TaskState::Completed), ran: 1 }),
];

/// No test: the daemon's `main`.
#[test]
fn daemon() {
    let Some(home) = std::env::var_os(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut signals = crate::signals::Signals::new(hung::GRACES).unwrap();
        let app = App::start(app_deps(Path::new(&home))).await.unwrap();
        let _hangs = hung::hang(Path::new(&home));
        let stop = CancellationToken::new();
        let channel = std::env::var_os(CHANNEL).map(|file| {
            let telling = channel::run_channel(app.outbox(), file.into());
            tokio::spawn(stop.clone().run_until_cancelled_owned(telling))
        });
        tokio::select! {
            () = app.wait_for_stop() => {}
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

fn app_deps(home: &Path) -> AppDeps {
    AppDeps {
        paths: paths(home),
        home: home.to_owned(),
        environment: std::env::vars_os().collect(),
        clock: Arc::new(SystemClock),
        disk: Arc::new(audit::SystemDisk),
        boot_id: "boot".to_owned(),
        guard: None,
        build: "test".to_owned(),
        telegram: TelegramTiming {
            sending: SendTiming { chat_interval: Duration::from_millis(1), ..SendTiming::default() },
            ..TelegramTiming::default()
        },
        keyring: system_keyring(home),
    }
}

/// The stand-in that a test has made, and never the keyring of the machine.
fn system_keyring(home: &Path) -> Arc<dyn Keyring> {
    let place = home.join("keyring");
    #[cfg(target_os = "linux")]
    if place.exists() {
        return Arc::new(stand_in_keyring::StandInKeyring::in_directory(&place).service());
    }
    assert!(!place.exists(), "the stand-in is for Linux");
    Arc::new(NoKeyring)
}

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self::with_server(true)
    }

    /// Whether its server keeps nothing between calls.
    fn with_server(stateless: bool) -> Self {
        let home = Self(tempfile::Builder::new().prefix("pt-").tempdir().unwrap());
        std::fs::create_dir(home.path_of("config")).unwrap();
        std::fs::create_dir(home.path_of("project")).unwrap();
        let server = json!({
            "name": "notes",
            "stateless": stateless,
            "command": std::env::current_exe().unwrap(),
            "args": ["--exact", "crash::tests::fake_server::fake_server", "--nocapture", "-q"],
            "env": {fake_server::ROLE_VARIABLE: "1", fake_server::RECORD_VARIABLE: home.path_of("record")},
        });
        std::fs::write(home.path_of("config/mcps.json"), json!({"mcps": [server]}).to_string()).unwrap();
        home
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A daemon that dies at `last`, if ever.
    fn start_daemon(&self, last: Option<&str>) -> Daemon {
        self.start_daemon_with(last, false)
    }

    fn start_daemon_with(&self, last: Option<&str>, channel: bool) -> Daemon {
        let mut command = self.command();
        command
            .envs(channel.then(|| (CHANNEL, self.path_of("told"))))
            .envs(last.map(|last| (CRASH_POINT_VARIABLE, last)));
        Daemon(command.spawn().unwrap())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "crash::tests::daemon", "--nocapture", "-q"])
            .env(ROLE, self.0.path())
            .env_remove(CRASH_POINT_VARIABLE)
            .env_remove(CHANNEL)
            .env_remove(hung::HANGS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    async fn connect(&self, peer: PeerRole) -> IpcClient {
        self.connect_for_pushes(peer).await.0
    }

    async fn connect_for_pushes(&self, peer: PeerRole) -> (IpcClient, mpsc::Receiver<PushMessage>) {
        let hello = || Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: self.path_of("config"),
            peer: peer.clone(),
            nonce: portero::store_identity::Nonce::default(),
        };
        let socket = paths(self.0.path()).socket();
        let since = Instant::now();
        loop {
            match IpcClient::connect(&socket, hello(), None).await {
                Ok((client, pushes, _)) => return (client, pushes),
                Err(error) => assert!(since.elapsed() < TEST_TIMEOUT, "no daemon listens: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn session(&self) -> IpcClient {
        self.connect(self.session_role()).await
    }

    fn session_role(&self) -> PeerRole {
        let directory = self.path_of("project");
        let principal = Principal::from_project(&directory);
        PeerRole::Session { id: SessionId::fresh(), agent_session: None, principal, directory }
    }

    /// What the server really got.
    fn count_runs(&self) -> usize {
        std::fs::read_to_string(self.path_of("record")).unwrap_or_default().lines().count()
    }

    /// How many times the audit says that the call was about to go out.
    fn count_intents(&self) -> usize {
        let log = audit::read_log(&paths(self.0.path()).audit(), &RecordFilter::default()).unwrap();
        log.entries.iter().filter(|entry| matches!(entry.record.event, AuditEvent::Intent { .. })).count()
    }
}

/// A daemon that ends with the test.
struct Daemon(Child);

impl Daemon {
    fn wait_for_exit(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < TEST_TIMEOUT, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn was_killed(&mut self) -> bool {
        self.wait_for_exit().signal() == Some(9)
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

fn submit_request() -> SubmitCall {
    let call = json!({
        "tool": "notes/send",
        "method": "tools/call",
        "params": {"name": "send", "arguments": {"text": "once"}},
    });
    SubmitCall {
        call: serde_json::from_str(&call.to_string()).unwrap(),
        client: serde_json::from_value(Value::from("claude 1")).unwrap(),
        child: None,
    }
}

/// The agent asks, the person says yes; the daemon may be gone at any moment.
async fn run_scenario(home: &Home) -> Result<(), RequestError> {
    let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let task = session.request(submit_request()).await?;
    person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await?;
    Ok(())
}

/// The one task, once nothing moves by itself any more.
async fn wait_until_at_rest(person: &IpcClient) -> Option<Task> {
    let since = Instant::now();
    loop {
        let Ok(mut tasks) = person.request(ListTasks { state: None, after: None, limit: 10 }).await else {
            panic!("tasks")
        };
        assert!(tasks.len() <= 1, "{tasks:?}");
        match tasks.pop() {
            Some(task) if matches!(task.state, TaskState::Approved | TaskState::Executing) => {}
            task => return task,
        }
        assert!(since.elapsed() < TEST_TIMEOUT, "the task does not come to rest");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn check_rest(point: &str, home: &Home, task: Option<&Task>, rest: &ExpectedRest) {
    assert_eq!(task.map(|task| task.state), rest.state, "{point}");
    assert_eq!(home.count_runs(), rest.ran, "{point}");
    assert!(home.count_intents() >= rest.ran, "{point}: what ran was recorded first");
    if let Some(task) = task.filter(|task| task.state == TaskState::Interrupted) {
        let note = task.note.as_ref().unwrap().get();
        assert!(note.contains("unknown"), "{point}: {note}");
    }
}

/// Whatever happened, the audit holds and is no shorter than what is known of it.
async fn check_audit(point: &str, home: &Home, person: &IpcClient) {
    let Ok(heads) = person.request(ListCheckpoints).await else { panic!("heads") };
    let verdict = audit::verify_with_checkpoints(&paths(home.0.path()).audit(), &heads).unwrap();
    assert!(verdict.is_intact(), "{point}: {verdict:?}");
}

/// Says yes again, also to what ran already, and starts the daemon once more: at most one execution stays.
async fn try_to_run_it_again(
    point: &str,
    home: &Home,
    mut daemon: Daemon,
    task: Option<Task>,
    rest: &ExpectedRest,
) {
    let person = home.connect(PeerRole::Terminal).await;
    let Some(task) = task else { return };
    let pending = task.state == TaskState::PendingApproval;
    let yes = person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await;
    assert_eq!(yes.is_ok(), pending, "{point}: {yes:?}");
    let settled = wait_until_at_rest(&person).await.unwrap();
    let ran = if pending { 1 } else { rest.ran };
    assert_eq!(home.count_runs(), ran, "{point}");
    assert!(settled.state.is_final(), "{point}");
    person.request(StopDaemon).await.unwrap();
    assert!(daemon.wait_for_exit().success(), "{point}");
    let _again = home.start_daemon(None);
    let person = home.connect(PeerRole::Terminal).await;
    assert_eq!(wait_until_at_rest(&person).await.map(|task| task.state), Some(settled.state), "{point}");
    assert_eq!(home.count_runs(), ran, "{point}");
}

#[tokio::test]
async fn killed_at_any_point_a_task_runs_at_most_once_and_says_what_is_known() {
    for (point, rest) in &CRASH_POINTS {
        let home = Home::new();
        let mut daemon = home.start_daemon(Some(point));
        // Its answer may or may not come before the end.
        let _ = run_scenario(&home).await;
        assert!(daemon.was_killed(), "{point} was not reached");

        let daemon = home.start_daemon(None);
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await;
        check_rest(point, &home, task.as_ref(), rest);
        check_audit(point, &home, &person).await;
        drop(person);
        try_to_run_it_again(point, &home, daemon, task, rest).await;
    }
}

/// The uses of the one grant.
async fn uses_left(person: &IpcClient) -> Option<u32> {
    let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
    standing.grants[0].uses_left()
}

/// A person grants two uses, and the agent's session consumes one.
async fn grant_and_use(home: &Home) -> Result<(), RequestError> {
    let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let (pattern, millis) = ("notes/send".parse().unwrap(), 3_600_000);
    let limits = GrantLimits { uses: NonZeroU32::new(2), ..GrantLimits::default() };
    person
        .request(CreateGrant { pattern, millis, limits, run_waiting: Vec::new(), challenge: challenge() })
        .await?;
    session.request(consume_request()).await.map(drop)
}

fn consume_request() -> ConsumeGrant {
    ConsumeGrant { grant: 1, call: submit_request().call }
}

#[tokio::test]
async fn killed_at_any_point_of_a_use_it_is_had_once_or_lost() {
    for (point, left) in [("changed use", 2), ("recorded use", 2), ("committed use", 1)] {
        let home = Home::new();
        let mut daemon = home.start_daemon(Some(point));
        assert!(grant_and_use(&home).await.is_err(), "{point}: nobody is told yes, so no call goes out");
        assert!(daemon.was_killed(), "{point} was not reached");

        let _daemon = home.start_daemon(None);
        let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
        assert_eq!(uses_left(&person).await, Some(left), "{point}");
        check_audit(point, &home, &person).await;
        for _ in 0..left {
            session.request(consume_request()).await.unwrap();
        }
        assert!(session.request(consume_request()).await.is_err(), "{point}: none is gained");
    }
}

#[tokio::test]
async fn killed_again_while_it_recovers_a_task_is_still_interrupted_once() {
    for point in ["changed interrupted", "recorded interrupted", "committed interrupted"] {
        let home = Home::new();
        let mut daemon = home.start_daemon(Some("answered"));
        let _ = run_scenario(&home).await;
        assert!(daemon.was_killed());
        assert!(home.start_daemon(Some(point)).was_killed(), "{point} was not reached");

        let _daemon = home.start_daemon(None);
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await;
        check_rest(
            point,
            &home,
            task.as_ref(),
            &ExpectedRest { state: Some(TaskState::Interrupted), ran: 1 },
        );
        check_audit(point, &home, &person).await;
    }
}

/// The calls that the audit says were interrupted with their process.
fn interrupted_calls(home: &Home) -> Vec<u64> {
    let log = audit::read_log(&home.path_of("state/audit"), &RecordFilter::default()).unwrap();
    let closed = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        AuditEvent::Interrupted { call, .. } => Some(call),
        _ => None,
    });
    closed.collect()
}

#[tokio::test]
async fn killed_while_it_closes_the_calls_of_a_killed_session_each_is_closed_once() {
    for point in ["changed close", "recorded close", "committed close"] {
        let home = Home::new();
        let session = AuditWriter::open(&home.path_of("state/audit"), "session", SystemClock.now()).unwrap();
        for call in [7, 8] {
            let tool = "notes/send".parse().unwrap();
            let event =
                AuditEvent::Intent { call, tool, reason: "rule".to_owned(), task: None, arguments: None };
            let at = SystemClock.now().wall;
            session
                .append(&AuditRecord { at, session: None, principal: None, address: None, event })
                .unwrap();
        }
        drop(session);
        assert!(home.start_daemon(Some(point)).was_killed(), "{point} was not reached");
        for start in ["the next", "one more"] {
            let daemon = home.start_daemon(None);
            let person = home.connect(PeerRole::Terminal).await;
            let since = Instant::now();
            while interrupted_calls(&home).len() < 2 {
                assert!(since.elapsed() < TEST_TIMEOUT, "{point}, {start}: {:?}", interrupted_calls(&home));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // A head of every segment says that the look at a start is over.
            person.request(ListCheckpoints).await.unwrap();
            assert_eq!(interrupted_calls(&home), [7, 8], "{point}, {start}");
            check_audit(point, &home, &person).await;
            drop(daemon);
        }
    }
}
