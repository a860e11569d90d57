//! The agent's side of MCP: one session over one connection, any revision, with Portero's own tools.
//!
//! Only [`Fake`](crate::anonymize::Fake) values reach the writer: everything goes through `Outbox`, whose
//! methods take nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::anonymize::Fake;
use crate::config::{Limits, Skipped};
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::pipeline::{BoxFuture, Pipeline, Refusal};
use crate::server::{Event, List};
use crate::task::{Origin, State, Task};

/// The agent's way to its tasks, which live in the daemon.
pub trait Tasks: Send + Sync {
    /// One task of this principal. Waits up to `wait` for a final state; zero does not wait.
    fn check(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>>;

    /// This principal's tasks, the newest first.
    fn list(&self, state: Option<State>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>>;

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
pub struct Session {}

/// The way to push things into a running session. Cheap to clone; it outlives the session harmlessly.
#[derive(Clone)]
pub struct Handle {}

impl Session {
    /// A session and the handle to push into it.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Handle) {
        let _ = parts;
        todo!()
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
        let _ = (reader, writer);
        todo!()
    }
}

impl Handle {
    /// Something that one of this process's own servers said unasked.
    pub fn event(&self, event: Event) {
        let _ = event;
        todo!()
    }

    /// A list of a shared server changed.
    pub fn list_changed(&self, server: &ServerName, list: List) {
        let _ = (server, list);
        todo!()
    }

    /// A shared server sent another notification (`notifications/resources/updated`,
    /// `notifications/message`), concealed.
    pub fn notification(&self, server: &ServerName, method: &str, params: Option<Fake<RawJson>>) {
        let _ = (server, method, params);
        todo!()
    }

    /// A task of this principal reached a final state.
    pub fn settled(&self, task: TaskId, state: State) {
        let _ = (task, state);
        todo!()
    }

    /// Rules or grants changed, and `pipeline.policy` holds them already.
    pub fn standing_changed(&self) {
        todo!()
    }

    /// The configuration was read anew and `pipeline` works by it already.
    pub fn config_changed(&self, skipped: Vec<Skipped>) {
        let _ = skipped;
        todo!()
    }

    /// Resolves once the session answered its first request: the time to start what need not be there
    /// before, such as the daemon.
    pub async fn answered(&self) {
        todo!()
    }

    /// Ends the session: `run` returns promptly.
    pub fn shutdown(&self) {
        todo!()
    }
}
