//! The requests of a session about its principal's tasks.
//!
//! The functions are for sessions of this process; the requests of others come to the same.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::requests::sessions::{CancelTask, CheckTask, ClaimNews, ListOwnTasks, ListUnseenTasks};
use portero::ipc::{DaemonFailure, FailureKind};
use portero::names::{Principal, TaskId};
use portero::task::{Task, TaskState, UnseenTasks};

use super::{SessionCaller, SessionRequest, failure, shown};
use crate::approvals::TaskFilter;
use crate::daemon::Daemon;

/// The longest time for which a session may wait for a task.
const MAX_TASK_WAIT: Duration = Duration::from_secs(3600);

/// A task of this principal, once it is final or `wait` has passed. It counts as seen by an agent if it is final.
///
/// # Errors
/// When the principal has no such task, or the store can't be read.
pub async fn check_own_task(
    daemon: &Daemon,
    principal: &Principal,
    task: TaskId,
    wait: Duration,
) -> Result<Task, DaemonFailure> {
    let waited = daemon.approval_queue.wait_until_final(task, Some(principal), wait.min(MAX_TASK_WAIT)).await;
    let task = waited.map_err(|error| failure::of_approval(&error))?;
    daemon.approval_queue.mark_seen(std::slice::from_ref(&task)).await;
    Ok(shown::task(daemon, task))
}

/// The tasks of this principal, the newest first.
///
/// # Errors
/// When the store can't be read.
pub async fn list_own_tasks(
    daemon: &Daemon,
    principal: &Principal,
    state: Option<TaskState>,
    limit: u32,
) -> Result<Vec<Task>, DaemonFailure> {
    let which = TaskFilter { principal: Some(principal.clone()), state, after: None, limit };
    let tasks = daemon.approval_queue.list_tasks(&which).map_err(|error| failure::of_store(&error))?;
    // A denied or expired task has no result, so the list shows all of it and the agent has seen it.
    let told = tasks.iter().filter(|task| matches!(task.state, TaskState::Denied | TaskState::Expired));
    daemon.approval_queue.mark_seen(&told.cloned().collect::<Vec<_>>()).await;
    Ok(shown::tasks(daemon, tasks))
}

/// The finished tasks of this principal that no agent has fetched.
///
/// # Errors
/// When the store can't be read.
pub fn unseen_tasks(daemon: &Daemon, principal: &Principal) -> Result<UnseenTasks, DaemonFailure> {
    daemon.approval_queue.unseen_tasks(principal).map_err(|error| failure::of_store(&error))
}

/// Takes over to tell which of these tasks ended. Each is given to one session only.
///
/// # Errors
/// When the store can't be read.
pub fn claim_news(
    daemon: &Daemon,
    principal: &Principal,
    tasks: Vec<TaskId>,
) -> Result<UnseenTasks, DaemonFailure> {
    daemon.approval_queue.claim_news(principal, tasks).map_err(|error| failure::of_store(&error))
}

/// Cancels a task of this principal that hasn't started.
///
/// # Errors
/// When the principal has no such task, or it has started.
pub async fn cancel_own_task(
    daemon: &Daemon,
    principal: &Principal,
    task: TaskId,
) -> Result<Task, DaemonFailure> {
    let cancelled = daemon.approval_queue.cancel(task, principal).await;
    cancelled.map(|task| shown::task(daemon, task)).map_err(|error| failure::of_approval(&error))
}

impl SessionRequest for CheckTask {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        let wait = Duration::from_millis(self.wait_millis);
        tokio::select! {
            task = check_own_task(daemon, caller.principal(), self.task, wait) => task.map(Box::new),
            () = caller.withdrawn.cancelled() => Err(DaemonFailure::new(FailureKind::Refused, "withdrawn")),
        }
    }
}

impl SessionRequest for ListOwnTasks {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<Vec<Task>, DaemonFailure> {
        list_own_tasks(daemon, caller.principal(), self.state, self.limit).await
    }
}

impl SessionRequest for ListUnseenTasks {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<UnseenTasks, DaemonFailure> {
        unseen_tasks(daemon, caller.principal())
    }
}

impl SessionRequest for ClaimNews {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<UnseenTasks, DaemonFailure> {
        claim_news(daemon, caller.principal(), self.tasks)
    }
}

impl SessionRequest for CancelTask {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        cancel_own_task(daemon, caller.principal(), self.task).await.map(Box::new)
    }
}
