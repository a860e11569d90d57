//! `approvals.hold`: a call that needs a person waits a while for the decision, and gets its own result if that comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::AgentTasks;
use super::agent::Agent;
use super::client::Client;
use super::result_news::ResultNews;
use crate::anonymize::{Fake, Leak, Real};
use crate::audit::WithheldChannel;
use crate::call::Call;
use crate::json::{self, RawJson};
use crate::names::TaskId;
use crate::pipeline::{CallReply, Refusal};
use crate::server::{CallOptions, ProgressSink};
use crate::task::{Task, TaskState};

/// How long one request to the daemon waits if the client wants progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Runs the agent's calls, and waits for its tasks.
pub(super) struct HeldCalls {
    client: Arc<Client>,
    agent: Arc<Agent>,
    tasks: Arc<dyn AgentTasks>,
    news: Arc<ResultNews>,
    /// How long a call is held, in milliseconds. Zero doesn't hold it.
    hold: AtomicU64,
    /// How long an approved call may run while it is held.
    run_timeout: Duration,
}

impl HeldCalls {
    pub(super) fn new(
        client: Arc<Client>,
        agent: Arc<Agent>,
        tasks: Arc<dyn AgentTasks>,
        news: Arc<ResultNews>,
        run_timeout: Duration,
    ) -> Self {
        Self { client, agent, tasks, news, hold: AtomicU64::new(0), run_timeout }
    }

    /// From now on, calls are held this long.
    pub(super) fn set_hold(&self, hold: Duration) {
        self.hold.store(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Runs a call. If it waits for a person it is held. If it joined the identical call that waited, it gets the
    /// outcome of that one.
    pub(super) async fn run_call(&self, call: Call, options: CallOptions) -> CallReply {
        let hold = Duration::from_millis(self.hold.load(Ordering::Relaxed));
        match self.agent.run_call(call, options.clone()).await {
            CallReply::PendingApproval(task) if !hold.is_zero() => self.hold_task(task, hold, &options).await,
            // It is approved, so nothing but its run is waited for.
            CallReply::Joined(task) => self.hold_task(task, Duration::ZERO, &options).await,
            other @ (CallReply::Result(_)
            | CallReply::Error(_)
            | CallReply::PendingApproval(_)
            | CallReply::Refused(_)) => other,
        }
    }

    /// The result of a task's call, if it comes in time; else the task as it is then. A client that cancels its request
    /// doesn't cancel the task, which waits on as it does after a pending answer.
    async fn hold_task(&self, task: Box<Task>, hold: Duration, options: &CallOptions) -> CallReply {
        let progress = options.progress.as_ref();
        let _awaited = self.news.await_task(task.id);
        let wait = async {
            let began = Instant::now();
            if let Some(tell) = progress {
                tell(wait_progress(&task, Duration::ZERO, hold));
            }
            let held = self.wait_for_task(task.id, began, hold, progress).await?;
            match held.state {
                // The decision came in time, so the call may run as long as one that needs none.
                TaskState::Approved | TaskState::Executing => {
                    let end = began.elapsed().saturating_add(self.run_timeout);
                    self.wait_for_task(task.id, began, end, progress).await
                }
                TaskState::PendingApproval
                | TaskState::Completed
                | TaskState::Failed
                | TaskState::Denied
                | TaskState::Expired
                | TaskState::Cancelled
                | TaskState::Interrupted => Ok(held),
            }
        };
        let waited = tokio::select! {
            waited = wait => waited,
            () = options.cancel.cancelled() => return CallReply::Refused(Refusal::Cancelled),
        };
        // The task is on disk, so it is answered even if the daemon is gone meanwhile.
        self.held_reply(waited.map_or(task, Box::new))
    }

    /// What came of a held call. It was concealed by the rules of its time, and the present rules may know more values.
    fn held_reply(&self, mut task: Box<Task>) -> CallReply {
        let conceal = |answer: Fake<RawJson>| self.client.conceal_own(answer.into_inner());
        let server = task.call.tool.server.clone();
        let withheld = |leak: Leak| {
            self.client.report_withheld(WithheldChannel::Answer, Some(&server), &leak);
            CallReply::Refused(Refusal::Withheld(leak))
        };
        match (task.result.take(), task.error.take()) {
            (Some(result), _) => conceal(result).map_or_else(withheld, CallReply::Result),
            (None, Some(error)) => conceal(error).map_or_else(withheld, CallReply::Error),
            (None, None) => CallReply::PendingApproval(task),
        }
    }

    /// Returns the task once it is in a final state, or as it is when the wait ends that began then.
    pub(super) async fn wait_for_task(
        &self,
        id: TaskId,
        began: Instant,
        wait: Duration,
        progress: Option<&ProgressSink>,
    ) -> Result<Task, Refusal> {
        // Each round waits in the daemon, for at most `slice`, so that progress can be reported in between.
        loop {
            let left = wait.saturating_sub(began.elapsed());
            let slice = if progress.is_some() { left.min(PROGRESS_INTERVAL) } else { left };
            let task = self.tasks.check_task(id, slice).await?;
            if task.state.is_final() || began.elapsed() >= wait {
                return Ok(task);
            }
            if let Some(tell) = progress {
                tell(wait_progress(&task, began.elapsed(), wait));
            }
        }
    }
}

fn wait_progress(task: &Task, waited: Duration, wait: Duration) -> Real<RawJson> {
    let message = match task.state {
        TaskState::PendingApproval => "waiting for a person to approve",
        TaskState::Approved | TaskState::Executing => "approved; the call is running",
        TaskState::Completed
        | TaskState::Failed
        | TaskState::Denied
        | TaskState::Expired
        | TaskState::Cancelled
        | TaskState::Interrupted => "decided",
    };
    Real::from_server(json::serialize_raw(&serde_json::json!({
        "progress": waited.as_secs(),
        "total": wait.as_secs(),
        "message": message,
    })))
}
