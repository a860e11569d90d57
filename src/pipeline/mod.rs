//! The life of a call: `handle` and `finish`.

use std::future::Future;
use std::pin::Pin;

use crate::anonymize::Fake;
use crate::call::Call;
use crate::json::RawJson;
use crate::names::TaskId;
use crate::policy::Decision;
use crate::server::Follow;
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
    /// The server failed: it could not be started, crashed, or took too long.
    #[error("{0}")]
    Server(String),
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

/// How a person is asked: the daemon's own desk, or the way to it from a session.
pub trait Desk: Send + Sync {
    /// Opens a task for a call that needs a person. Returns once it is on disk, or finds the identical one
    /// that already waits.
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>>;

    /// Makes a call on a shared server, through the daemon's own pipeline: policy, concealing and audit hold
    /// there too, whoever speaks on the socket.
    fn forward<'a>(&'a self, call: Call, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply>;
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub struct Context {
    /// Principal, session, client and directory.
    pub origin: Origin,
    /// The task that a person approved, when the call is one.
    pub task: Option<TaskId>,
}
