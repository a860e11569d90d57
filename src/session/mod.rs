//! The agent's side of MCP: one session over one connection, any revision, with Portero's own tools.
//!
//! Only [`Fake`](crate::anonymize::Fake) values reach the writer: everything goes through `outbox::Outbox`,
//! whose methods take nothing else. One task reads, decides, calls and writes; a call costs no hop to
//! another task, and whatever is ready at the same time is written at once.

mod answers;
mod calls;
mod dispatch;
mod handshake;
mod lists;
mod logs;
mod notices;
mod outbox;
mod own_tools;
mod request;
mod run;
mod state;
mod stdio;
mod subscriptions;
mod updates;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::handshake::capabilities;
pub use self::logs::UNKNOWN_LEVEL;
pub use self::notices::{Handle, Resumed};
pub use self::own_tools::listed as own_tools;
use self::state::Shared;
pub use self::stdio::{Stdin, Stdout, stdio};
use crate::config::{Limits, Skipped};
use crate::names::TaskId;
use crate::pipeline::{BoxFuture, Pipeline, Refusal};
use crate::task::{News, Origin, State, Task};

/// The agent's way to its tasks, which live in the daemon.
pub trait Tasks: Send + Sync {
    /// One task of this principal. Waits up to `wait` for a final state; zero does not wait.
    fn check(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>>;

    /// This principal's tasks, the newest first.
    fn list(&self, state: Option<State>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>>;

    /// The finished tasks of this principal that no agent has asked about yet. It is asked before the first answer,
    /// so it gives none rather than to take long or to start anything.
    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(std::future::ready(News::default()))
    }

    /// Takes a task back.
    fn cancel(&self, task: TaskId) -> BoxFuture<'_, Result<Task, Refusal>>;
}

/// What a session is made of.
pub struct Parts {
    /// The life of its calls.
    pub pipeline: Arc<Pipeline>,
    /// The way to its tasks.
    pub tasks: Arc<dyn Tasks>,
    /// Who acts; `client` is replaced by what the client says of itself.
    pub origin: Origin,
    /// Servers that the configuration left out, and why: the agent is told.
    pub skipped: Vec<Skipped>,
    /// How long lists wait, and how long a message may be.
    pub limits: Limits,
}

/// One agent's session.
pub struct Session(Arc<Shared>);

impl Session {
    /// A session and the handle to push into it.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Handle) {
        let shared = Shared::new(parts);
        let handle = Handle::new(&shared);
        (Self(shared), handle)
    }

    /// Speaks MCP until the reader ends, or [`Handle::shutdown`] is called; returns promptly then, with
    /// every call of this session dropped.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub async fn run<R, W>(self, reader: R, writer: W) -> std::io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let ended = run::run(&self.0, reader, writer).await;
        self.0.end();
        ended
    }
}

#[cfg(test)]
mod tests;
