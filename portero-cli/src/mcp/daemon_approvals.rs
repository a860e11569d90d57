//! The services that a session gets from the daemon: approvals, shared servers, tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::anonymize::Real;
use portero::call::Call;
use portero::config::Config;
use portero::ipc::requests::sessions::{
    CancelTask, CheckTask, ClaimNews, ConsumeGrant, ForwardCall, GetServerListing, JoinCall, ListOwnTasks,
    PreviewCall, SubmitCall,
};
use portero::ipc::{ForwardedCall, Request};
use portero::names::{ServerName, TaskId};
use portero::pipeline::{
    Approvals, BoxFuture, CallContext, CallReply, DefinitionRegistry, GrantUses, JoinedCall,
    ListedDefinitions, PolicySource, Refusal, SharedServers,
};
use portero::server::{CallOptions, LogLevel, ServerError, ServerListing};
use portero::session::AgentTasks;
use portero::task::{Task, TaskState, UnseenTasks};
use tokio::sync::watch;

use super::daemon_connection::{DaemonConnection, describe_lost_answer};
use super::session_children::SessionChildren;

/// The daemon's approval queue and shared servers, over the session's connection.
pub(super) struct DaemonApprovals {
    pub(super) connection: Arc<DaemonConnection>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) children: Arc<SessionChildren>,
}

/// How long a forwarded call may take, by server: the daemon's own limit and a grace for the connection. The
/// daemon answers earlier; this limit is for a daemon that hangs with an open connection.
pub(super) struct CallLimits(ArcSwap<Limits>);

struct Limits {
    start: Duration,
    request: Duration,
    /// The limits of shared servers that have their own.
    of_servers: HashMap<ServerName, Duration>,
}

/// How much longer a session waits than the daemon may take.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// How many start timeouts may pass before a call reaches its server: for its start, for one retry in the
/// other era, and for its lists.
const MAX_START_WAITS: u32 = 4;

/// How long a result waits for the daemon to say which news come with it.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(250);

impl CallLimits {
    pub(super) fn new(config: &Config) -> Self {
        Self(ArcSwap::from_pointee(Limits::of(config)))
    }

    /// Applies another configuration.
    pub(super) fn replace(&self, config: &Config) {
        self.0.store(Arc::new(Limits::of(config)));
    }

    /// How long the daemon may be silent about a call to `server`.
    fn of_call(&self, server: &ServerName) -> Duration {
        let limits = self.0.load();
        let request = limits.of_servers.get(server).copied().unwrap_or(limits.request);
        request.saturating_add(limits.before_call())
    }

    /// How long the daemon may take for other requests, for which it may have to list a server.
    fn of_request(&self) -> Duration {
        self.0.load().before_call()
    }
}

impl Limits {
    fn of(config: &Config) -> Self {
        let of_servers =
            config.servers.iter().filter_map(|server| Some((server.name.clone(), server.timeout?)));
        let limits = &config.settings.limits;
        Self {
            start: limits.start_timeout,
            request: limits.request_timeout,
            of_servers: of_servers.collect(),
        }
    }

    fn before_call(&self) -> Duration {
        self.start.saturating_mul(MAX_START_WAITS).saturating_add(ANSWER_GRACE)
    }
}

/// Returns once `limit` has passed without progress. Each progress notification restarts the time, as at the
/// server.
async fn silent_for(limit: Duration, heard: &watch::Sender<()>) {
    let mut heard = heard.subscribe();
    while tokio::time::timeout(limit, heard.changed()).await.is_ok() {}
}

impl DaemonApprovals {
    /// Makes a request with a time limit, so that a hanging daemon doesn't block it for ever.
    async fn request<R: Request>(&self, request: R) -> Result<R::Response, Refusal> {
        self.request_within(self.limits.of_request(), request).await
    }

    async fn request_within<R: Request>(&self, limit: Duration, request: R) -> Result<R::Response, Refusal> {
        tokio::time::timeout(limit, self.connection.request(request)).await.unwrap_or_else(|_| {
            Err(Refusal::DaemonUnavailable(format!(
                "Portero's daemon did not answer within {} s; look with portero/list_tasks whether the call waits or ran \
                 before you try it again",
                limit.as_secs()
            )))
        })
    }

    async fn request_task<R: Request<Response = Box<Task>>>(&self, request: R) -> Result<Task, Refusal> {
        Ok(*self.request(request).await?)
    }
}

impl Approvals for DaemonApprovals {
    fn submit_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(async move {
            let child = self.children.ground_if_held(&call).await?;
            let request = SubmitCall { call, client: context.origin.client.clone(), child };
            let task = self.request_task(request).await?;
            // Before the agent learns that the call waits, so that its next one finds it.
            self.children.waiting.note_task(&task, Timestamp::now());
            Ok(task)
        })
    }

    fn preview_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Option<TaskId>, Refusal>> {
        Box::pin(async move {
            let child = self.children.ground_if_held(&call).await?;
            let request = PreviewCall { call, client: context.origin.client.clone(), child };
            Ok(self.request(request).await?.waiting)
        })
    }

    fn find_waiting(&self, call: &Call, context: &CallContext) -> Option<TaskId> {
        self.children.waiting.find_task(call, &context.origin.principal, Timestamp::now())
    }

    fn join_call<'a>(
        &'a self,
        task: TaskId,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<JoinedCall, Refusal>> {
        Box::pin(async move {
            let child = self.children.ground_if_held(&call).await?;
            let client = context.origin.client.clone();
            let joined = self.request(JoinCall { task, call, client, child }).await?;
            if matches!(joined, JoinedCall::Ended) {
                self.children.waiting.forget_task(task);
            }
            Ok(joined)
        })
    }
}

impl SharedServers for DaemonApprovals {
    fn forward_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        Box::pin(async move {
            let server = call.tool.server.clone();
            let client = match self.connection.request_client().await {
                Ok(client) => client,
                Err(refusal) => return CallReply::Refused(refusal),
            };
            let request = ForwardCall {
                call,
                client: context.origin.client.clone(),
                progress: follow.progress.is_some(),
                log_level: follow.log_level,
            };
            let heard = watch::Sender::new(());
            let limit = self.limits.of_call(&server);
            // The daemon's progress is already concealed. The pipeline conceals it again, like everything
            // from a server, which changes nothing.
            let progress = follow.progress.map(|sink| -> portero::ipc::ForwardProgressSink {
                let heard = heard.clone();
                Arc::new(move |params| {
                    heard.send_replace(());
                    sink(Real::from_server(params.into_inner()));
                })
            });
            // An answer that is already there wins over a cancellation or a timeout, because the call has
            // run.
            tokio::select! {
                biased;
                forwarded = client.forward(&request, progress) => match forwarded {
                    Ok(ForwardedCall::Result(result)) => CallReply::Result(result),
                    Ok(ForwardedCall::Error(error)) => CallReply::Error(error),
                    Ok(ForwardedCall::Waiting(task)) => CallReply::PendingApproval(task),
                    Ok(ForwardedCall::Joined(task)) => CallReply::Joined(task),
                    Err(error) => CallReply::Refused(describe_lost_answer(error)),
                },
                () = follow.cancel.cancelled() => CallReply::Refused(Refusal::Cancelled),
                () = silent_for(limit, &heard) => CallReply::Refused(Refusal::Interrupted(format!(
                    "Portero's daemon did not answer within {} s: the call may have run, and whether it took effect is \
                     unknown",
                    limit.as_secs()
                ))),
            }
        })
    }

    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        Box::pin(async move {
            let failed = |reason: String| ServerError::StartFailed(server.clone(), reason);
            match self.request(GetServerListing { server: server.clone() }).await {
                Ok(listing) => serde_json::from_str(listing.get()).map_err(|error| failed(error.to_string())),
                Err(refusal) => Err(ServerError::Reported(server.clone(), refusal.to_string())),
            }
        })
    }

    fn set_log_level(&self, level: LogLevel) {
        self.connection.want_logs(level);
    }
}

impl PolicySource for DaemonApprovals {
    fn wait_for_policy(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(self.connection.wait_until_current())
    }

    fn refresh_policy(&self) {
        self.connection.refresh_denies();
    }
}

impl DefinitionRegistry for DaemonApprovals {
    fn report_listing(&self, server: &ServerName, definitions: ListedDefinitions) {
        self.connection.report_definitions(server, definitions);
    }

    fn wait_until_registered<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, ()> {
        Box::pin(self.connection.wait_until_reported(server))
    }
}

impl GrantUses for DaemonApprovals {
    fn consume_use<'a>(&'a self, grant: u64, call: &'a Call, _: &'a CallContext) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let consumed = self.request(ConsumeGrant { grant, call: call.clone() }).await;
            consumed.is_ok_and(|used| used.id == grant)
        })
    }
}

impl AgentTasks for DaemonApprovals {
    fn check_task(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>> {
        let wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let limit = self.limits.of_request().saturating_add(wait);
        Box::pin(async move { Ok(*self.request_within(limit, CheckTask { task, wait_millis }).await?) })
    }

    fn list_tasks(&self, state: Option<TaskState>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>> {
        Box::pin(self.request(ListOwnTasks { state, limit }))
    }

    fn unseen_tasks(&self) -> BoxFuture<'_, UnseenTasks> {
        Box::pin(self.connection.fetch_news())
    }

    fn claim_news(&self, tasks: Vec<TaskId>) -> BoxFuture<'_, UnseenTasks> {
        Box::pin(async move {
            let claimed =
                tokio::time::timeout(CLAIM_TIMEOUT, self.connection.request(ClaimNews { tasks })).await;
            claimed.ok().and_then(Result::ok).unwrap_or_default()
        })
    }

    fn cancel_task(&self, task: TaskId) -> BoxFuture<'_, Result<Task, Refusal>> {
        Box::pin(self.request_task(CancelTask { task }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_tells_of_its_progress_is_not_given_up() {
        const LIMIT: Duration = Duration::from_secs(1);
        const BEFORE: Duration = Duration::from_millis(600);
        let (heard, begin) = (watch::Sender::new(()), std::time::Instant::now());
        let mut silent = std::pin::pin!(silent_for(LIMIT, &heard));
        for _ in 0..2 {
            assert!(tokio::time::timeout(BEFORE, &mut silent).await.is_err(), "it was given up on");
            heard.send_replace(());
        }
        silent.await;
        assert!(begin.elapsed() >= BEFORE * 2 + LIMIT);
    }
}
