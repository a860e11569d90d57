//! A daemon in this process, on directories and a clock of its own.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portero::clock::TestClock;
use portero::ipc::requests::approvals::{ApproveTask, ListTasks, RejectTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::overrides::{CreateGrant, CreateRule, ExplainDecision, RemoveRule, RevokeGrants};
use portero::ipc::requests::sessions::{CheckTask, SubmitCall, SubscribeOverrides};
use portero::ipc::{
    Challenge, DaemonFailure, FailureKind, GrantSelection, Hello, IpcClient, PROTOCOL_VERSION, PeerRole,
    PushMessage, Request, RequestError,
};
use portero::names::{Principal, SessionId};
use portero::paths::Paths;
use portero::policy::{Action, Explanation, Grant, GrantLimits, Overrides, PolicyRule};
use portero::server::GuardCommand;
use portero::store_identity::Nonce;
use portero::task::{Task, TaskState};
use porterod::app::{App, AppDeps};
use porterod::keyring::{Keyring, NoKeyring};
use porterod::telegram::supervisor::TelegramTiming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::fake_server::{RECORD_VARIABLE, ROLE_VARIABLE};
#[cfg(target_os = "linux")]
use crate::stand_in_keyring::StandInKeyring;

/// What every wait ends with.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// Directories with a configuration: servers `notes` and `common` (shared), Jane Roe shown as John Doe.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) clock: Arc<TestClock>,
}

impl Home {
    #[must_use]
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let home = Self { directory, clock };
        for name in ["config", "project", "other", "home"] {
            std::fs::create_dir(home.path_of(name)).unwrap();
        }
        let server = |name: &str, shared: bool| {
            json!({
                "name": name,
                "command": std::env::current_exe().unwrap(),
                "args": ["--exact", "fake_server::fake_server", "--nocapture", "-q"],
                "env": {ROLE_VARIABLE: "1", RECORD_VARIABLE: home.path_of(&format!("{name}.record"))},
                "instance": if shared { "user" } else { "session" },
                "stateless": true,
            })
        };
        home.write("mcps.json", &json!({"mcps": [server("notes", false), server("common", true)]}));
        home.write_policies("require-approval");
        let replacement = json!({"fake": "John Doe", "real": "Jane Roe", "bidirectional": true});
        home.write("replacements.json", &json!({"replacements": [replacement]}));
        home
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, value: &Value) {
        let beside = self.path_of("beside");
        std::fs::write(&beside, value.to_string()).unwrap();
        std::fs::rename(beside, self.path_of("config").join(name)).unwrap();
    }

    /// The policy of `notes/send`; reading is allowed, erasing denied.
    pub(crate) fn write_policies(&self, send: &str) {
        let policies = json!({"*/read": "allow", "*/wait": "allow", "*/erase": "deny", "notes/send": send});
        self.write("policies.json", &json!({"policies": policies}));
    }

    /// The policy with this list of reading tools.
    pub(crate) fn write_reads(&self, reads: &[&str]) {
        let policies = json!({"*/read": "allow", "*/wait": "allow", "*/erase": "deny"});
        self.write("policies.json", &json!({"policies": policies, "reads": reads}));
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths { config: self.path_of("config"), state: self.path_of("state"), runtime: self.path_of("run") }
    }

    pub(crate) fn app_deps(&self) -> AppDeps {
        AppDeps {
            paths: self.paths(),
            home: self.path_of("home"),
            environment: std::env::vars_os().collect(),
            clock: Arc::clone(&self.clock) as _,
            disk: Arc::new(portero::audit::SystemDisk),
            boot_id: "boot".to_owned(),
            guard: cfg!(unix).then(|| GuardCommand {
                program: env!("CARGO_BIN_EXE_porterod").into(),
                args: vec!["guard".into()],
            }),
            build: "test".to_owned(),
            telegram: TelegramTiming::default(),
            keyring: self.system_keyring(),
        }
    }

    /// A keyring of the system, which every daemon that starts from now on finds.
    #[cfg(target_os = "linux")]
    pub(crate) fn keyring(&self) -> StandInKeyring {
        StandInKeyring::in_directory(&self.path_of("keyring"))
    }

    /// None, unless a test has made one: never that of the machine.
    fn system_keyring(&self) -> Arc<dyn Keyring> {
        #[cfg(target_os = "linux")]
        if self.path_of("keyring").exists() {
            return Arc::new(self.keyring().service());
        }
        Arc::new(NoKeyring)
    }

    /// A child that another test starts at this moment may still hold the former daemon's lock, until it is executed.
    pub(crate) async fn start(&self) -> App {
        let starting = async {
            loop {
                match App::start(self.app_deps()).await {
                    Err(failure) if failure.kind == FailureKind::Refused => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    started => return started.unwrap(),
                }
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, starting).await.expect("in time")
    }

    pub(crate) async fn connect(&self, peer: PeerRole) -> (IpcClient, mpsc::Receiver<PushMessage>) {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: self.path_of("config"),
            peer,
            nonce: Nonce::default(),
        };
        let (client, pushes, _) = IpcClient::connect(&self.paths().socket(), hello, None).await.unwrap();
        (client, pushes)
    }

    /// A terminal at which the passphrase is set.
    pub(crate) async fn terminal_with_passphrase(&self) -> Terminal {
        let terminal = self.terminal().await;
        let new = Challenge::new(PASSPHRASE);
        terminal.request(SetPassphrase { old: None, new }).await.unwrap();
        terminal
    }

    pub(crate) async fn terminal(&self) -> Terminal {
        Terminal(self.connect(PeerRole::Terminal).await.0)
    }

    /// A session in a directory, such as `project`, that has not subscribed.
    pub(crate) async fn silent_session(&self, directory: &str) -> (IpcClient, mpsc::Receiver<PushMessage>) {
        let directory = self.path_of(directory);
        let principal = Principal::from_project(&directory);
        let id = SessionId::fresh();
        self.connect(PeerRole::Session { id, agent_session: None, principal, directory }).await
    }

    /// A session that follows rules and grants as sessions do.
    pub(crate) async fn session(&self, directory: &str) -> Session {
        let (client, mut pushes) = self.silent_session(directory).await;
        let Ok(standing) = client.request(SubscribeOverrides).await else { panic!("no standing") };
        let (standing, _) = tokio::sync::watch::channel(standing);
        let (other, others) = mpsc::channel(100);
        let (follower, heard) = (client.clone(), standing.clone());
        tokio::spawn(async move {
            while let Some(push) = pushes.recv().await {
                match push {
                    PushMessage::Standing(standing) => {
                        let epoch = standing.epoch;
                        heard.send_replace(standing);
                        let _ = follower.report_epoch(epoch).await;
                    }
                    push => drop(other.send(push).await),
                }
            }
        });
        Session { client, standing, others }
    }

    /// The calls that a server got.
    pub(crate) fn record(&self, server: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path_of(&format!("{server}.record"))).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A person's terminal.
pub(crate) struct Terminal(pub(crate) IpcClient);

impl Terminal {
    pub(crate) async fn request<R: Request>(&self, request: R) -> Result<R::Response, DaemonFailure> {
        request_soon(&self.0, request).await
    }

    pub(crate) async fn approve(&self, task: &Task) -> Result<Task, DaemonFailure> {
        self.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() })
            .await
            .map(|task| *task)
    }

    pub(crate) async fn rule(&self, pattern: &str, action: Action) -> Result<PolicyRule, DaemonFailure> {
        let challenge = (action == Action::Allow).then(challenge);
        self.request(CreateRule {
            pattern: pattern.parse().unwrap(),
            action,
            run_waiting: Vec::new(),
            challenge,
        })
        .await
    }

    pub(crate) async fn grant(&self, pattern: &str, lasts: Duration) -> Result<Grant, DaemonFailure> {
        self.grant_limited(pattern, lasts, GrantLimits::default()).await
    }

    pub(crate) async fn grant_limited(
        &self,
        pattern: &str,
        lasts: Duration,
        limits: GrantLimits,
    ) -> Result<Grant, DaemonFailure> {
        let millis = u64::try_from(lasts.as_millis()).unwrap();
        let pattern = pattern.parse().unwrap();
        self.request(CreateGrant { pattern, millis, limits, run_waiting: Vec::new(), challenge: challenge() })
            .await
    }

    pub(crate) async fn revoke(&self, grant: u64) -> Result<u64, DaemonFailure> {
        self.request(RevokeGrants { which: GrantSelection::Ids(vec![grant]) }).await
    }

    /// Removes a rule that allows.
    pub(crate) async fn unrule(&self, id: u64) -> Result<(), DaemonFailure> {
        self.request(RemoveRule { id, challenge: None }).await
    }

    /// Rejects whatever waits; the same calls may ask again at once.
    pub(crate) async fn reject_all(&self) {
        let state = Some(TaskState::PendingApproval);
        for task in self.request(ListTasks { state, after: None, limit: 100 }).await.unwrap() {
            self.request(RejectTask { task: task.id, reason: None, for_now: true }).await.unwrap();
        }
    }

    pub(crate) async fn why(&self, tool: &str) -> Explanation {
        match self.request(ExplainDecision { tool: tool.parse().unwrap(), arguments: None }).await {
            Ok(explanation) => *explanation,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Session {
    pub(crate) client: IpcClient,
    /// The last standing that was pushed.
    pub(crate) standing: tokio::sync::watch::Sender<Overrides>,
    /// Other pushes.
    pub(crate) others: mpsc::Receiver<PushMessage>,
}

impl Session {
    pub(crate) async fn request<R: Request>(&self, request: R) -> Result<R::Response, DaemonFailure> {
        request_soon(&self.client, request).await
    }

    /// Submits a call that says `text`.
    pub(crate) async fn submit(&self, tool: &str, text: &str) -> Result<Task, DaemonFailure> {
        let (call, client) = call(tool, text);
        self.request(SubmitCall { call, client, child: None }).await.map(|task| *task)
    }

    pub(crate) async fn finished(&self, task: &Task) -> Task {
        let wait_millis = u64::try_from(TEST_TIMEOUT.as_millis()).unwrap();
        let task = *self.request(CheckTask { task: task.id, wait_millis }).await.unwrap();
        assert!(task.state.is_final(), "{task:?}");
        task
    }

    /// Waits until the rules and grants that were pushed fit.
    pub(crate) async fn wait_for_overrides(&self, fits: impl FnMut(&Overrides) -> bool) {
        let mut pushed = self.standing.subscribe();
        let waiting = tokio::time::timeout(TEST_TIMEOUT, pushed.wait_for(fits));
        drop(waiting.await.expect("in time").expect("the session keeps the sender"));
    }

    /// Waits for a push that fits.
    pub(crate) async fn wait_for_push(&mut self, fits: impl Fn(&PushMessage) -> bool) -> PushMessage {
        let heard = async {
            loop {
                let push = self.others.recv().await.expect("the connection stays");
                if fits(&push) {
                    return push;
                }
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, heard).await.expect("in time")
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<String, DaemonFailure>> + Send>>;

/// A request of any type, so that a list holds several.
pub(crate) struct AnyRequest {
    /// The request, as a failed test shows it.
    pub(crate) words: String,
    send: Box<dyn FnOnce(IpcClient) -> Sending>,
}

impl AnyRequest {
    pub(crate) fn of<R: Request>(request: R) -> Self {
        let words = format!("{} {request:?}", R::METHOD);
        let send = |client: IpcClient| -> Sending {
            Box::pin(
                async move { request_soon(&client, request).await.map(|response| format!("{response:?}")) },
            )
        };
        Self { words, send: Box::new(send) }
    }

    /// The response in the words of a failed test, or the refusal.
    pub(crate) async fn send(self, client: &IpcClient) -> Result<String, DaemonFailure> {
        (self.send)(client.clone()).await
    }
}

async fn request_soon<R: Request>(client: &IpcClient, request: R) -> Result<R::Response, DaemonFailure> {
    match tokio::time::timeout(2 * TEST_TIMEOUT, client.request(request)).await.expect("in time") {
        Ok(response) => Ok(response),
        Err(RequestError::Refused(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn call(tool: &str, text: &str) -> (portero::call::Call, portero::anonymize::Fake<String>) {
    let name = tool.split_once('/').unwrap().1;
    let params = json!({"name": name, "arguments": {"text": text}});
    let call = json!({"tool": tool, "method": "tools/call", "params": params});
    (serde_json::from_str(&call.to_string()).unwrap(), serde_json::from_str("\"claude 1\"").unwrap())
}

pub(crate) fn challenge() -> Challenge {
    Challenge::new(PASSPHRASE)
}

/// Waits until something is so.
pub(crate) async fn wait_until(what: &str, so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn is_kind<T>(result: &Result<T, DaemonFailure>, kind: FailureKind) -> bool {
    result.as_ref().is_err_and(|failure| failure.kind == kind)
}

pub(crate) fn is_settled(push: &PushMessage, task: &Task, as_state: TaskState) -> bool {
    matches!(push, PushMessage::Settled { task: id, state } if *id == task.id && *state == as_state)
}

pub(crate) fn is_there(path: &Path) -> bool {
    path.exists()
}
