//! Reaching child servers.
//!
//! A [`Upstreams`] owns one process's children. A request reaches a child only as a
//! [`Permitted`](crate::permit::Permitted) call; what Portero asks for itself (handshake, lists) never
//! carries anything of the agent's.

mod calls;
mod connection;
mod envelope;
mod environment;
mod events;
pub mod guard;
mod handshake;
mod lists;
mod logs;
mod pending;
mod process;
mod stdin_queue;
mod upstream;
mod upstreams;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use self::events::{LogLevel, UnknownLogLevel};
pub use self::upstreams::Upstreams;
use crate::anonymize::{Anonymizer, Real};
use crate::clock::Clock;
use crate::config::ServerLimits;
use crate::json::RawJson;
use crate::names::{ServerName, ToolName};

/// What the servers of one process are started with.
#[derive(Clone)]
pub struct LaunchOptions {
    /// The supervisor that children run under on Unix; none runs them bare.
    pub guard: Option<GuardCommand>,
    /// The directory that servers without their own `cwd` run in.
    pub directory: PathBuf,
    /// This process's environment. Children get what the allow-list lets through.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory of the servers' own logs.
    pub logs: PathBuf,
    /// The limits of `portero.json`.
    pub limits: ServerLimits,
    /// Conceals what servers write to stderr.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The name and version that servers are told.
    pub client: (String, String),
    /// Time, for the logs and for the pause between attempts.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for LaunchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// How the supervisor of [`guard`] is called: `PROGRAM ARGS… -- COMMAND ARGS…`.
#[derive(Debug, Clone)]
pub struct GuardCommand {
    /// One of Portero's own programs.
    pub program: PathBuf,
    /// What makes it a guard: `guard`.
    pub args: Vec<OsString>,
}

/// How a server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerHealth {
    /// Which.
    pub server: ServerName,
    /// Its condition.
    pub condition: ServerCondition,
    /// The process id of its process, when it runs here.
    pub pid: Option<u32>,
    /// How many tools it offers, when that is known.
    pub tools: Option<usize>,
}

/// The condition of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerCondition {
    /// Not started; it starts when it is needed.
    Idle,
    /// Starting.
    Starting,
    /// It answered the handshake.
    Ready,
    /// It failed, with the reason, concealed; it is tried again when needed, after a pause.
    Failed(String),
}

/// Takes the `params` of a server's `notifications/progress` for one call.
pub type ProgressSink = Arc<dyn Fn(Real<RawJson>) + Send + Sync>;

/// What accompanies a call while it runs.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// Where progress goes; none when it is not wanted.
    pub progress: Option<ProgressSink>,
    /// Cancelled when the client takes the call back; the server is told.
    pub cancel: CancellationToken,
    /// From which level on the client wants log messages while the call runs; none when it wants none.
    pub log_level: Option<LogLevel>,
}

impl std::fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("progress", &self.progress.is_some()).finish_non_exhaustive()
    }
}

/// What a server answered.
#[derive(Debug)]
pub enum ServerAnswer {
    /// The `result`.
    Result(Real<RawJson>),
    /// The `error` object.
    Error(Real<RawJson>),
}

/// What a server offers, in its own bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerListing {
    /// Its `instructions`.
    pub instructions: Option<String>,
    /// Its capabilities, as it declared them.
    pub capabilities: Option<RawJson>,
    /// Its tools, all pages.
    pub tools: Vec<RawJson>,
    /// Its resources, all pages.
    pub resources: Vec<RawJson>,
    /// Its resource templates, all pages.
    pub templates: Vec<RawJson>,
    /// Its prompts, all pages.
    pub prompts: Vec<RawJson>,
}

/// Which of a server's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// Tools.
    Tools,
    /// Resources and templates.
    Resources,
    /// Prompts.
    Prompts,
}

/// A notification of a server, but for changed lists.
#[derive(Debug)]
pub enum ServerEvent {
    /// A resource that was subscribed to changed: `params` of `notifications/resources/updated`.
    ResourceUpdated(ServerName, Real<RawJson>),
    /// `params` of `notifications/message`.
    Log(ServerName, Real<RawJson>),
    /// So many log messages were left out, since the server sent too many.
    LogsLeftOut(ServerName, u64),
}

/// Takes events. It is called where the server's output is read, so whatever a server says before an answer is
/// taken before that answer reaches its caller. It must not block.
pub type ServerEventSink = Arc<dyn Fn(ServerEvent) + Send + Sync>;

/// A change of what a server offers, or may offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChange {
    /// One of its lists changed.
    List(ServerName, ListKind),
    /// It ended by itself. What it offers is to be asked anew, which starts it again.
    Ended(ServerName),
    /// It was started again after it had ended by itself: it knows of no subscription any more.
    Restarted(ServerName),
}

/// The method by which the daemon tells sessions of [`ServerChange::Restarted`].
pub const RESTARTED_METHOD: &str = "notifications/portero/restarted";

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// There is no such server.
    #[error("there is no server `{0}`")]
    Unknown(ServerName),
    /// It could not be started, or did not list what it offers; the call did not reach it.
    #[error("server `{0}` could not be started: {1}")]
    StartFailed(ServerName, String),
    /// It was started again and does not list this tool any more (guarantee P5); the call did not reach it.
    #[error("server `{0}` does not offer `{1}` since it was started again")]
    NotListed(ServerName, ToolName),
    /// It ended, or its output became unreadable, while the call was with it: the effect is unknown.
    #[error("server `{0}` stopped while it worked on this call; whether it took effect is unknown")]
    Stopped(ServerName),
    /// It did not answer in time: the effect is unknown.
    #[error("server `{0}` did not answer within {1} s; whether it took effect is unknown")]
    Timeout(ServerName, u64),
    /// It answered with a message that is longer than the limit, in bytes.
    #[error("server `{0}` answered with more than {1} bytes; the answer was not read")]
    TooLong(ServerName, usize),
    /// It answered with something that is no answer, for a reason in Portero's words: the effect is unknown.
    #[error("server `{0}` answered with what is no MCP message: {1}; whether it took effect is unknown")]
    Malformed(ServerName, String),
    /// The client took the call back.
    #[error("cancelled")]
    Cancelled,
}

#[cfg(test)]
mod tests {
    use crate::config::ServerConfig;

    /// A server with nothing but a name.
    pub(super) fn server(name: &str) -> ServerConfig {
        ServerConfig {
            name: name.parse().expect("a name"),
            command: "true".to_owned(),
            args: Vec::new(),
            env: std::collections::BTreeMap::new(),
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
}
