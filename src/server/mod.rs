//! Access to child servers.
//!
//! An [`Upstreams`] owns the children of one process. A request of the agent reaches a child only as a
//! [`Permitted`](crate::permit::Permitted) call. Portero's own requests (handshake, lists) carry nothing of
//! the agent's.

mod calls;
mod connection;
mod envelope;
mod environment;
mod events;
pub mod guard;
mod handshake;
mod http;
mod http_fault;
mod listen;
mod lists;
mod logs;
pub(crate) mod param_headers;
mod peer;
mod pending;
mod process;
mod rpc_client;
mod stdin_queue;
mod upstream;
mod upstreams;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use self::events::{LogLevel, UnknownLogLevel};
pub use self::http::{HttpConversation, HttpTransport, OutgoingMessage};
pub use self::http_fault::HttpFault;
pub use self::upstreams::Upstreams;
use crate::anonymize::{Anonymizer, Real};
use crate::clock::Clock;
use crate::config::{ServerLimits, ServerTransport};
use crate::json::RawJson;
use crate::names::{ChildGeneration, ServerName, ToolName};

/// The options for starting the servers of one process.
#[derive(Clone)]
pub struct LaunchOptions {
    /// The supervisor that children run under on Unix; without one they run bare.
    pub guard: Option<GuardCommand>,
    /// The directory for servers without their own `cwd`.
    pub directory: PathBuf,
    /// This process's environment, of which children inherit only an allow-list.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory of the servers' own logs.
    pub logs: PathBuf,
    /// The limits of `portero.json`.
    pub limits: ServerLimits,
    /// Conceals what servers write to stderr.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The client's name and version, as servers see them.
    pub client: (String, String),
    /// The clock, for the logs and the pauses between attempts.
    pub clock: Arc<dyn Clock>,
    /// Reaches servers over HTTP. Only the daemon has one (guarantee T2).
    pub http: Option<Arc<dyn HttpTransport>>,
    /// Looks up what references stand for. Only the daemon has one (guarantee T2).
    pub references: Option<Arc<dyn ReferenceResolver>>,
}

impl std::fmt::Debug for LaunchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchOptions").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// How the supervisor of [`guard`] is called: `PROGRAM ARGS… -- COMMAND ARGS…`.
#[derive(Debug, Clone)]
pub struct GuardCommand {
    /// One of Portero's own programs.
    pub program: PathBuf,
    /// The arguments that make it a guard: `guard`.
    pub args: Vec<OsString>,
}

/// Looks up what the references of a server's entry stand for.
pub trait ReferenceResolver: Send + Sync {
    /// The entry with a value in the place of each reference, or why there is none, in words for an agent.
    fn resolve<'a>(
        &'a self,
        server: &'a ServerName,
        transport: &'a ServerTransport,
    ) -> BoxFuture<'a, Result<ServerTransport, String>>;

    /// Forgets what was looked up for this entry, because the server refused it.
    fn forget(&self, transport: &ServerTransport);

    /// A server's listing without the values that only this process knows. A listing is kept on disk and passed to
    /// sessions, which can't conceal what they don't know. None if one can't be taken out.
    fn blank_listing(&self, server: &ServerName, listing: ServerListing) -> Option<ServerListing>;
}

/// A server's health.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerHealth {
    /// Its name.
    pub server: ServerName,
    /// Its condition.
    pub condition: ServerCondition,
    /// Its process id, if it runs here.
    pub pid: Option<u32>,
    /// How many tools it offers, if known.
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
    /// Ready: it answered the handshake.
    Ready,
    /// Failed, with the concealed reason. It is tried again when needed, after a pause.
    Failed(String),
    /// It wants a login or another credential, with the next step. It is tried again when needed.
    LoginNeeded(String),
}

/// Receives the `params` of `notifications/progress` for one call.
pub type ProgressSink = Arc<dyn Fn(Real<RawJson>) + Send + Sync>;

/// Options of a call while it runs.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// Receives progress; none if it isn't wanted.
    pub progress: Option<ProgressSink>,
    /// Cancelled when the client cancels the call. The cancellation is passed on to the server.
    pub cancel: CancellationToken,
    /// The lowest level of log messages that the client wants during the call; none if it wants none.
    pub log_level: Option<LogLevel>,
    /// The one process in which the call may be made; none where any will do.
    pub only_in: Option<ChildGeneration>,
}

impl std::fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallOptions").field("progress", &self.progress.is_some()).finish_non_exhaustive()
    }
}

/// A server's answer.
#[derive(Debug)]
pub enum ServerAnswer {
    /// The `result`.
    Result(Real<RawJson>),
    /// The `error` object.
    Error(Real<RawJson>),
}

/// A server's listing, in its own bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerListing {
    /// Its `instructions`.
    pub instructions: Option<String>,
    /// Its declared capabilities.
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

/// One of a server's lists.
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

/// A notification of a server other than a changed list.
#[derive(Debug)]
pub enum ServerEvent {
    /// A subscribed resource changed: `params` of `notifications/resources/updated`.
    ResourceUpdated(ServerName, Real<RawJson>),
    /// `params` of `notifications/message`.
    Log(ServerName, Real<RawJson>),
    /// This many log messages were left out, because the server sent too many.
    LogsLeftOut(ServerName, u64),
}

impl ServerEvent {
    /// Its server.
    #[must_use]
    pub const fn server(&self) -> &ServerName {
        match self {
            Self::ResourceUpdated(server, _) | Self::Log(server, _) | Self::LogsLeftOut(server, _) => server,
        }
    }
}

/// Receives events. It is called where the server's output is read, so an event that precedes an answer is
/// delivered before that answer. It must not block.
pub type ServerEventSink = Arc<dyn Fn(ServerEvent) + Send + Sync>;

/// A change, or possible change, of a server's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChange {
    /// One of its lists changed.
    List(ServerName, ListKind),
    /// It ended by itself. Fetching its listing again starts it.
    Ended(ServerName),
    /// It was restarted after it ended by itself, and knows no subscription any more.
    Restarted(ServerName),
}

impl ServerChange {
    /// Its server.
    #[must_use]
    pub const fn server(&self) -> &ServerName {
        match self {
            Self::List(server, _) | Self::Ended(server) | Self::Restarted(server) => server,
        }
    }
}

/// The method by which the daemon reports [`ServerChange::Restarted`] to sessions.
pub const RESTARTED_METHOD: &str = "notifications/portero/restarted";

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// There is no such server.
    #[error("there is no server `{0}`")]
    Unknown(ServerName),
    /// It couldn't be started or listed. The call didn't reach it.
    #[error("server `{0}` could not be started: {1}")]
    StartFailed(ServerName, String),
    /// It ended the session over HTTP before this call, which didn't run.
    #[error("server `{0}` ended its session; the call did not run, call again")]
    SessionEnded(ServerName),
    /// A request over HTTP didn't reach it, for a reason in Portero's words.
    #[error("server `{0}` could not be reached: {1}; the call did not run")]
    NotReached(ServerName, String),
    /// It wants a login or another credential, with the next step. The call didn't run.
    #[error("server `{0}` wants a login: {1}; the call did not run")]
    LoginNeeded(ServerName, String),
    /// The daemon, which runs it, could not list it, for a reason in the daemon's words.
    #[error("server `{0}` is not available: {1}")]
    Reported(ServerName, String),
    /// A request over HTTP failed, for a reason in Portero's words. The effect is unknown.
    #[error("server `{0}` gave no answer: {1}; whether it took effect is unknown")]
    RequestFailed(ServerName, String),
    /// It was restarted and no longer lists this tool (guarantee P5). The call didn't reach it.
    #[error("server `{0}` does not offer `{1}` since it was started again")]
    NotListed(ServerName, ToolName),
    /// It was restarted and defines this tool otherwise than when the call was decided. The call didn't reach it.
    #[error(
        "server `{0}` defines `{1}` otherwise since it was started again; the call did not run, call again"
    )]
    Redefined(ServerName, ToolName),
    /// Its process is another one than the call may be made in; the call did not reach it.
    #[error("server `{0}` was started again since; the call did not reach it")]
    OtherProcess(ServerName),
    /// It ended, or its output became unreadable, during the call. The effect is unknown.
    #[error("server `{0}` stopped while it worked on this call; whether it took effect is unknown")]
    Stopped(ServerName),
    /// It didn't answer in time. The effect is unknown.
    #[error("server `{0}` did not answer within {1} s; whether it took effect is unknown")]
    Timeout(ServerName, u64),
    /// Its answer was longer than the limit, in bytes.
    #[error("server `{0}` answered with more than {1} bytes; the answer was not read")]
    TooLong(ServerName, usize),
    /// Its answer was unusable, for a reason in Portero's words. The effect is unknown.
    #[error("server `{0}` answered with what is no MCP message: {1}; whether it took effect is unknown")]
    Malformed(ServerName, String),
    /// The client cancelled the call.
    #[error("cancelled")]
    Cancelled,
}

impl ServerError {
    /// Why a server can't be listed, in words that follow its name. No call was made.
    #[must_use]
    pub fn describe_for_listing(&self) -> String {
        match self {
            Self::LoginNeeded(_, why) => format!("it wants a login: {why}; ask your user for that"),
            Self::Reported(_, why) => why.clone(),
            Self::Unknown(_)
            | Self::SessionEnded(_)
            | Self::NotReached(..)
            | Self::StartFailed(..)
            | Self::RequestFailed(..)
            | Self::NotListed(..)
            | Self::Redefined(..)
            | Self::OtherProcess(_)
            | Self::Stopped(_)
            | Self::Timeout(..)
            | Self::TooLong(..)
            | Self::Malformed(..)
            | Self::Cancelled => self.to_string(),
        }
    }
}
