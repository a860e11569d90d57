//! What the tests share: a fleet in a temporary directory, permitted calls, and waiting.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::clock::{Clock as _, SystemClock};
use portero::config::{ServerConfig, ServerLimits};
use portero::names::ServerName;
use portero::permit::{Admission, CallDefinition, Outgoing, admit_call};
use portero::policy::{Action, ConfigPolicy, Overrides, Policy};
use portero::secret::Secret;
use portero::server::{
    CallOptions, GuardCommand, LaunchOptions, ServerAnswer, ServerChange, ServerError, Upstreams,
};
use tokio::sync::mpsc;

/// How long a condition is waited for before the test fails.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// This executable.
pub(crate) fn myself() -> PathBuf {
    std::env::current_exe().expect("the test knows its own file")
}

/// Runs a test on a runtime like that of the programs.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT * 3, test).await.expect("the test hangs") });
}

/// Waits for a condition.
#[cfg(unix)]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TEST_TIMEOUT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A fleet of fake children in a temporary directory.
pub(crate) struct Fixture {
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) changes: mpsc::Receiver<ServerChange>,
    pub(crate) directory: tempfile::TempDir,
}

/// A server that plays [`crate::child`] with these arguments.
pub(crate) fn fake_server(name: &str, args: &[&str]) -> ServerConfig {
    ServerConfig {
        name: name.parse().expect("a name"),
        transport: portero::config::ServerTransport::Stdio(portero::config::StdioServer {
            command: myself().to_str().expect("a path in UTF-8").to_owned(),
            args: ["child"].iter().chain(args).map(|arg| Secret::new(*arg)).collect(),
            ..portero::config::StdioServer::default()
        }),
        timeout: None,
        prefix: true,
        instance: portero::config::ServerInstance::Session,
        stateless: false,
        pinned_tools: None,
        categories: Vec::new(),
        roots: None,
    }
}

/// The program of a server of [`fake_server`].
pub(crate) fn program_of(server: &mut ServerConfig) -> &mut portero::config::StdioServer {
    match &mut server.transport {
        portero::config::ServerTransport::Stdio(program) => program,
        portero::config::ServerTransport::Http(_) => panic!("it is a program"),
    }
}

/// What fleets are started with here.
pub(crate) fn launch_options(directory: PathBuf, limits: ServerLimits) -> LaunchOptions {
    LaunchOptions {
        http: None,
        references: None,
        guard: cfg!(unix).then(|| GuardCommand {
            program: myself(),
            args: vec![portero::server::guard::SUBCOMMAND.into()],
        }),
        logs: directory.join("logs"),
        directory,
        environment: std::env::vars_os().chain([secret_variable()]).collect(),
        limits,
        anonymizer: Arc::new(ArcSwap::from_pointee(Anonymizer::empty())),
        client: ("portero".to_owned(), "1".to_owned()),
        clock: Arc::new(SystemClock),
    }
}

/// A variable that no child may see.
pub(crate) fn secret_variable() -> (OsString, OsString) {
    ("SECRET_OF_THE_AGENT".into(), "hunter2".into())
}

impl Fixture {
    pub(crate) fn new(servers: Vec<ServerConfig>) -> Self {
        Self::with_limits(servers, ServerLimits::default())
    }

    pub(crate) fn with_limits(servers: Vec<ServerConfig>, limits: ServerLimits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (fleet, changes) = Upstreams::new(servers, launch_options(directory.path().to_owned(), limits));
        Self { upstreams: fleet, changes, directory }
    }

    pub(crate) async fn call_tool(
        &self,
        server: &str,
        tool: &str,
        arguments: &str,
    ) -> Result<ServerAnswer, ServerError> {
        self.upstreams.call(permitted_call(server, tool, arguments), CallOptions::default()).await
    }

    /// Calls a tool and gives its result's text.
    pub(crate) async fn call_for_text(&self, server: &str, tool: &str, arguments: &str) -> String {
        answer_text(self.call_tool(server, tool, arguments).await)
    }
}

pub(crate) fn server_name(server: &str) -> ServerName {
    server.parse().expect("a name")
}

/// A permitted call of a tool.
pub(crate) fn permitted_call(server: &str, tool: &str, arguments: &str) -> Outgoing {
    permitted_call_as_defined(server, tool, arguments, None)
}

/// A permitted call of a tool, decided on by the definition with this digest.
pub(crate) fn permitted_call_as_defined(
    server: &str,
    tool: &str,
    arguments: &str,
    digest: Option<String>,
) -> Outgoing {
    let params = format!("{{\"name\":\"{tool}\",\"arguments\":{arguments}}}");
    let call = Call {
        tool: format!("{server}/{tool}").parse().expect("a tool"),
        method: Method::CallTool,
        params: serde_json::from_str(&params).expect("JSON"),
        meta: None,
    };
    let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
    let policy = Policy::new(config, Overrides::default());
    let definition = CallDefinition { digest, ..CallDefinition::default() };
    match admit_call(&policy, call, None, definition, SystemClock.now()) {
        Admission::Allowed(permitted) => permitted.reveal(&Anonymizer::empty()),
        verdict => panic!("{verdict:?}"),
    }
}

/// The bytes of a result, or of what stands in it as `is`.
#[track_caller]
pub(crate) fn answer_text(answer: Result<ServerAnswer, ServerError>) -> String {
    match answer {
        Ok(ServerAnswer::Result(result)) => {
            let text = result.expose().get();
            let inside = text.strip_prefix("{\"is\":").and_then(|rest| rest.strip_suffix('}'));
            inside.unwrap_or(text).to_owned()
        }
        Ok(ServerAnswer::Error(error)) => panic!("an error: {}", error.expose().get()),
        Err(error) => panic!("no answer: {error}"),
    }
}
