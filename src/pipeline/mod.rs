//! The life of a call: `handle` and `finish`.

use std::future::Future;
use std::pin::Pin;

use crate::anonymize::Fake;
use crate::call::Call;
use crate::json::RawJson;
use crate::names::ServerName;
use crate::names::TaskId;
use crate::permit::{Outgoing, Permitted};
use crate::policy::Decision;
use crate::server::{Answer, Follow, Offer, ServerError};
use crate::task::{Origin, Task};

/// A future that a seam returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What came of an agent's call.
#[derive(Debug)]
pub enum Reply {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object: code, message, data.
    Error(Fake<RawJson>),
    /// A person is asked; the task is on disk.
    Waiting(Box<Task>),
    /// It did not run.
    Refused(Refusal),
}

/// Why a call did not run, or its answer is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy denies it; the decision names the rule.
    #[error("{0}")]
    Denied(Decision),
    /// No server lists it (guarantee P5).
    #[error("no server offers `{0}`; search with portero/search_tools")]
    Unknown(String),
    /// The arguments are not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The daemon cannot be asked, so nothing that needs approval can go on.
    #[error("{0}")]
    NoDesk(String),
    /// The server could not be reached, such as one that does not start: the call had no effect.
    #[error("{0}")]
    Server(String),
    /// The server stopped, or took too long, while the call was with it: whether it took effect is unknown.
    #[error("{0}")]
    Interrupted(String),
    /// The answer held a private value and is withheld (guarantee N5).
    #[error("{0}")]
    Withheld(crate::anonymize::Leak),
    /// The audit could not be written, so the call did not run (guarantee D2).
    #[error("the audit record could not be written, so the call did not run")]
    NoAudit,
    /// The client took the call back.
    #[error("cancelled")]
    Cancelled,
}

/// The life of a call, and everything that it needs.
pub struct Pipeline {}

impl Pipeline {
    /// Makes an agent's call: decide, ask or refuse, reveal, send, conceal, record.
    pub async fn handle(&self, call: Call, context: &Context, follow: Follow) -> Reply {
        let _ = (call, context, follow);
        todo!()
    }

    /// The second half of a call's life, from the permit on; also for a task that a person approved.
    pub async fn finish(&self, permitted: Permitted, context: &Context, follow: Follow) -> Reply {
        let _ = (permitted, context, follow);
        todo!()
    }
}

/// How a person is asked: the daemon's own desk, or the way to it from a session.
pub trait Desk: Send + Sync {
    /// Opens a task for a call that needs a person. Returns once it is on disk, or finds the identical one
    /// that already waits.
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>>;

    /// Makes a call on a shared server, through the daemon's own pipeline: policy, concealing and audit hold
    /// there too, whoever speaks on the socket.
    fn forward<'a>(&'a self, call: Call, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply>;

    /// What a shared server offers, in its own words, through the daemon. Where no server is shared, nobody
    /// asks.
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(async move { Err(ServerError::Unknown(server.clone())) })
    }

    /// Called before each decision: brings the policy up to date where nobody pushes changes, such as the
    /// last known denies while no daemon is connected (guarantee D4).
    fn before_decision(&self) {}
}

/// How servers are reached: the process's own [`Fleet`](crate::server), or a stand-in in tests.
pub trait Servers: Send + Sync {
    /// What a server offers, all pages; starts it if needed.
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>>;

    /// Makes a permitted call; starts the server if needed.
    fn call(&self, call: Outgoing, follow: Follow) -> BoxFuture<'_, Result<Answer, ServerError>>;

    /// Passes a log level on to the servers that declare logging.
    fn set_log_level(&self, level: &str);
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub struct Context {
    /// Principal, session, client and directory.
    pub origin: Origin,
    /// The task that a person approved, when the call is one.
    pub task: Option<TaskId>,
}
