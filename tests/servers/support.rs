//! What the tests share: a fleet in a temporary directory, permitted calls, and waiting.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::clock::{Clock as _, SystemClock};
use portero::config::{Limits, Server};
use portero::names::ServerName;
use portero::permit::{Outgoing, Verdict, admit};
use portero::policy::{Action, ConfigPolicy, Policy, Standing};
use portero::secret::Secret;
use portero::server::{Answer, Fleet, Follow, Guard, Launch, ServerChange, ServerError};
use tokio::sync::mpsc;

/// How long a condition is waited for before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// This executable.
pub(crate) fn myself() -> PathBuf {
    std::env::current_exe().expect("the test knows its own file")
}

/// Runs a test on a runtime like that of the programs.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 3, test).await.expect("the test hangs") });
}

/// Waits for a condition.
#[cfg(unix)]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A fleet of fake children in a temporary directory.
pub(crate) struct Rig {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) changes: mpsc::Receiver<ServerChange>,
    pub(crate) directory: tempfile::TempDir,
}

/// A server that plays [`crate::child`] with these arguments.
pub(crate) fn server(name: &str, args: &[&str]) -> Server {
    Server {
        name: name.parse().expect("a name"),
        command: myself().to_str().expect("a path in UTF-8").to_owned(),
        args: ["child"].iter().chain(args).map(|arg| Secret::new(*arg)).collect(),
        env: BTreeMap::new(),
        env_passthrough: Vec::new(),
        cwd: None,
        timeout: None,
        prefix: true,
        shared: false,
        pinned_tools: None,
        categories: Vec::new(),
        roots: None,
    }
}

/// What fleets are started with here.
pub(crate) fn launch(directory: PathBuf, limits: Limits) -> Launch {
    Launch {
        guard: cfg!(unix)
            .then(|| Guard { program: myself(), args: vec![portero::server::guard::WORD.into()] }),
        logs: directory.join("logs"),
        directory,
        environment: std::env::vars_os().chain([secret()]).collect(),
        limits,
        anonymizer: Arc::new(ArcSwap::from_pointee(Anonymizer::none())),
        client: ("portero".to_owned(), "1".to_owned()),
        clock: Arc::new(SystemClock),
    }
}

/// A variable that no child may see.
pub(crate) fn secret() -> (OsString, OsString) {
    ("SECRET_OF_THE_AGENT".into(), "hunter2".into())
}

impl Rig {
    pub(crate) fn new(servers: Vec<Server>) -> Self {
        Self::with_limits(servers, Limits::default())
    }

    pub(crate) fn with_limits(servers: Vec<Server>, limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (fleet, changes) = Fleet::new(servers, launch(directory.path().to_owned(), limits));
        Self { fleet, changes, directory }
    }

    pub(crate) async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: &str,
    ) -> Result<Answer, ServerError> {
        self.fleet.call(outgoing(server, tool, arguments), Follow::default()).await
    }

    /// Calls a tool and gives its result's text.
    pub(crate) async fn result(&self, server: &str, tool: &str, arguments: &str) -> String {
        text(self.call(server, tool, arguments).await)
    }
}

pub(crate) fn name(server: &str) -> ServerName {
    server.parse().expect("a name")
}

/// A permitted call of a tool.
pub(crate) fn outgoing(server: &str, tool: &str, arguments: &str) -> Outgoing {
    let params = format!("{{\"name\":\"{tool}\",\"arguments\":{arguments}}}");
    let call = Call {
        tool: format!("{server}/{tool}").parse().expect("a tool"),
        method: Method::CallTool,
        params: serde_json::from_str(&params).expect("JSON"),
        meta: None,
    };
    let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
    let policy = Policy::new(config, Standing::default());
    match admit(&policy, call, None, SystemClock.now()) {
        Verdict::Allowed(permitted) => permitted.reveal(&Anonymizer::none()),
        verdict => panic!("{verdict:?}"),
    }
}

/// The bytes of a result, or of what stands in it as `is`.
#[track_caller]
pub(crate) fn text(answer: Result<Answer, ServerError>) -> String {
    match answer {
        Ok(Answer::Result(result)) => {
            let text = result.expose().get();
            let inside = text.strip_prefix("{\"is\":").and_then(|rest| rest.strip_suffix('}'));
            inside.unwrap_or(text).to_owned()
        }
        Ok(Answer::Error(error)) => panic!("an error: {}", error.expose().get()),
        Err(error) => panic!("no answer: {error}"),
    }
}
