//! The agent's side of MCP: one session over one connection, in any revision, with Portero's own tools.
//!
//! Only [`Fake`](crate::anonymize::Fake) values reach the writer, because `ClientQueue` takes nothing else.
//! One task reads, decides, calls and writes. So a call costs no hop to another task, and all that is ready is
//! written at once.

mod agent;
mod answers;
mod background;
mod builtin_calls;
mod builtin_tools;
mod calls;
mod client;
mod client_queue;
mod dispatch;
mod event_loop;
mod handle;
mod handshake;
mod hold;
mod in_flight;
mod instructions;
mod listen;
mod listing_requests;
mod lists;
mod notifications;
mod protocol;
mod request;
mod result_news;
mod state;
mod stdio;
mod subscriptions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::builtin_tools::{builtin_list_result, builtin_tool_names};
pub use self::handle::{PriorHandshake, SessionHandle};
pub use self::handshake::capabilities;
pub use self::protocol::UNKNOWN_LEVEL_MESSAGE;
use self::state::SessionState;
pub use self::stdio::{Stdin, Stdout, stdio};
use crate::config::{ServerLimits, SkippedServer};
use crate::names::TaskId;
use crate::pipeline::{BoxFuture, Pipeline, Refusal};
use crate::task::{CallOrigin, Task, TaskState, UnseenTasks};

/// Access to the agent's tasks, which live in the daemon.
pub trait AgentTasks: Send + Sync {
    /// Returns one task of this principal. Waits up to `wait` for a final state; zero doesn't wait.
    fn check_task(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>>;

    /// This principal's tasks, the newest first.
    fn list_tasks(&self, state: Option<TaskState>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>>;

    /// The finished tasks of this principal that no agent has fetched. The first answer waits for this, so it
    /// returns none rather than take long or start anything.
    fn unseen_tasks(&self) -> BoxFuture<'_, UnseenTasks> {
        Box::pin(std::future::ready(UnseenTasks::default()))
    }

    /// Takes over to tell which of these tasks ended without any agent having heard of it. Each is given to one
    /// session only. A result waits for this, so it returns none rather than take long.
    fn claim_news(&self, tasks: Vec<TaskId>) -> BoxFuture<'_, UnseenTasks>;

    /// Cancels a task that hasn't started.
    fn cancel_task(&self, task: TaskId) -> BoxFuture<'_, Result<Task, Refusal>>;
}

/// The dependencies of a session.
pub struct SessionDeps {
    /// The pipeline that runs its calls.
    pub pipeline: Arc<Pipeline>,
    /// Access to its tasks.
    pub tasks: Arc<dyn AgentTasks>,
    /// Who acts. `client` is replaced once the client introduces itself.
    pub origin: CallOrigin,
    /// Servers that the configuration left out, with reasons. The instructions name them.
    pub skipped: Vec<SkippedServer>,
    /// How long lists wait, and how long a message may be.
    pub limits: ServerLimits,
    /// How long a call waits for a person's decision before it gets its pending answer (`approvals.hold`).
    pub hold: Duration,
    /// The headers `mcp-param-…` of the only request, by their names in lower case, if it came over HTTP
    /// (2026-07-28). Its call must say the same.
    pub param_headers: Option<HashMap<String, String>>,
}

/// One agent's session.
pub struct Session(Arc<SessionState>);

impl Session {
    /// A session, and the handle that pushes events into it.
    #[must_use]
    pub fn new(parts: SessionDeps) -> (Self, SessionHandle) {
        let shared = SessionState::new(parts);
        let handle = SessionHandle::new(&shared);
        (Self(shared), handle)
    }

    /// Speaks MCP until the reader ends or [`SessionHandle::shutdown`] is called. Then it returns promptly and
    /// drops every open call of this session.
    ///
    /// # Errors
    /// If reading or writing fails.
    pub async fn run<R, W>(self, reader: R, writer: W) -> std::io::Result<()>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let ended = event_loop::run_session(&self.0, reader, writer).await;
        self.0.background.stop_all();
        ended
    }
}

#[cfg(test)]
mod tests;
