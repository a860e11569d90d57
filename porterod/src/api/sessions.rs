//! The requests of an agent's session: its calls, and reports of its audit.

use std::path::Path;
use std::sync::{Arc, Mutex};

use portero::audit::{AuditEvent, AuditRecord};
use portero::call::Call;
use portero::ipc::requests::sessions::{
    CallPreview, ConsumeGrant, ForwardCall, GetServerListing, PreviewCall, ReportCheckpoint, SetLogLevel,
    SubmitCall, SubscribeOverrides,
};
use portero::ipc::{
    DaemonFailure, FailureKind, ForwardedCall, FromDaemon, MessageSender, PushMessage, SendError,
};
use portero::json::RawJson;
use portero::names::ServerName;
use portero::pipeline::{CallContext, CallReply};
use portero::policy::{Action, Grant, Overrides};
use portero::server::{CallOptions, ProgressSink, ServerError, ServerListing};
use portero::sync::lock;
use portero::task::{ChildGround, SessionChild, Task};

use super::{SessionCaller, SessionRequest, Subscriber, failure};
use crate::daemon::Daemon;

impl SessionRequest for SubscribeOverrides {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<Overrides, DaemonFailure> {
        caller.session.seat.subscribe();
        Ok(daemon.policy.load().overrides().clone())
    }
}

impl SessionRequest for SubmitCall {
    /// Submits a call for approval. The daemon conceals and decides again, because the peer on the socket is
    /// not trusted.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<Box<Task>, DaemonFailure> {
        let Self { call, client, child } = self;
        let context = caller.session.context(daemon, &client);
        let call = conceal(daemon, call)?;
        let asker = Some(context.origin.asker());
        let decision =
            daemon.policy.load().decide_without_denials(call.identity(), asker, daemon.clock.now());
        match decision.action {
            Action::Deny => {
                let event = AuditEvent::Refused { tool: call.tool, reason: decision.to_string() };
                let CallContext { origin, .. } = context;
                let record = AuditRecord {
                    at: daemon.clock.now().wall,
                    session: Some(origin.session),
                    address: origin.remote_address(),
                    principal: Some(origin.principal),
                    event,
                };
                daemon.journal.record_unsynced(record);
                Err(DaemonFailure::new(FailureKind::Refused, decision.to_string()))
            }
            // The call may be allowed by now, but it was submitted for a person, so a person decides.
            Action::Allow | Action::RequireApproval => {
                let child = held_child(daemon, caller, &call, child)?;
                let submitted = daemon.approval_queue.submit_call_in(call, &context.origin, child).await;
                submitted.map(Box::new).map_err(|refusal| failure::of_refusal(&refusal))
            }
        }
    }
}

impl SessionRequest for PreviewCall {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<CallPreview, DaemonFailure> {
        let Self { call, client, child } = self;
        let context = caller.session.context(daemon, &client);
        let call = conceal(daemon, call)?;
        let child = held_child(daemon, caller, &call, child)?;
        let waiting = daemon.approval_queue.preview_call_in(call, &context.origin, child).await;
        waiting.map(|waiting| CallPreview { waiting }).map_err(|refusal| failure::of_refusal(&refusal))
    }
}

/// The session's process in which a call is to run; none where the daemon makes it.
pub(super) fn held_child(
    daemon: &Daemon,
    caller: &SessionCaller<'_>,
    call: &Call,
    ground: Option<ChildGround>,
) -> Result<Option<SessionChild>, DaemonFailure> {
    let config = daemon.config.current();
    let server = config.servers.iter().find(|server| server.name == call.tool.server);
    let invalid = |words: &str| DaemonFailure::new(FailureKind::Invalid, words);
    match (server, ground) {
        (Some(server), _) if server.instance.is_in_daemon() => Ok(None),
        (_, Some(ground)) => match caller.session.seat.holder() {
            Some(holder) => Ok(Some(SessionChild { holder, ground })),
            None => Err(invalid("this connection did not show its session's key")),
        },
        (Some(server), None) if !server.stateless => {
            Err(invalid("each session runs this server itself, and this one does not say in which process"))
        }
        // A server that is not configured here is refused with the binding.
        (Some(_) | None, None) => Ok(None),
    }
}

/// Conceals a call by the daemon's own rules; text that the session concealed already stays as it is.
pub(super) fn conceal(daemon: &Daemon, call: Call) -> Result<Call, DaemonFailure> {
    let anonymizer = daemon.anonymizer.load();
    if anonymizer.is_private_tool(&call.tool.tool) {
        let words = "a tool whose name holds a private value cannot be called through Portero";
        return Err(DaemonFailure::new(FailureKind::Refused, words));
    }
    let withheld =
        |leak: portero::anonymize::Leak| DaemonFailure::new(FailureKind::Refused, leak.to_string());
    let params = anonymizer.conceal_arguments(call.params.into_inner()).map_err(withheld)?;
    let meta = call
        .meta
        .map(|meta| anonymizer.conceal_arguments(meta.into_inner()))
        .transpose()
        .map_err(withheld)?;
    Ok(Call { params, meta, ..call })
}

impl SessionRequest for ForwardCall {
    /// Makes a session's call to a shared server, through the daemon's own pipeline.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<ForwardedCall, DaemonFailure> {
        let Self { call, client, progress, log_level } = self;
        let session = caller.session;
        let context = &session.context(daemon, &client);
        let late = Arc::new(LateProgress::default());
        let sink = progress.then(|| progress_sink(daemon, caller.number, &session.outbox, Arc::clone(&late)));
        let follow =
            CallOptions { progress: sink, cancel: caller.withdrawn.clone(), log_level, only_in: None };
        let reply = forward_call(daemon, &session.subscriber, call, context, follow).await;
        if let Some(last) = late.take() {
            // Sent before the response, so the client sees progress in order.
            let _ = session.outbox.send(&FromDaemon::Push(last)).await;
        }
        match reply? {
            CallReply::Result(result) => Ok(ForwardedCall::Result(result)),
            CallReply::Error(error) => Ok(ForwardedCall::Error(error)),
            CallReply::PendingApproval(task) => Ok(ForwardedCall::Waiting(task)),
            CallReply::Joined(task) => Ok(ForwardedCall::Joined(task)),
            CallReply::Refused(refusal) => Err(failure::of_refusal(&refusal)),
        }
    }
}

/// Makes a session's call to a shared server, through the daemon's own pipeline.
///
/// # Errors
/// When the call can't be concealed, or the daemon doesn't run that server for this session.
pub async fn forward_call(
    daemon: &Daemon,
    subscriber: &Subscriber,
    call: Call,
    context: &CallContext,
    follow: CallOptions,
) -> Result<CallReply, DaemonFailure> {
    let call = conceal(daemon, call)?;
    let (server, directory) = (&call.tool.server, &context.origin.directory);
    if daemon.upstreams.scope_of(server, directory).is_none() {
        return Err(DaemonFailure::new(
            FailureKind::NotFound,
            format!("the daemon runs no server `{server}` for sessions"),
        ));
    }
    let project = daemon.upstreams.project_for(server, directory);
    let project = project.map_err(|refusal| failure::of_refusal(&refusal))?;
    if let Some(level) = follow.log_level {
        project.raise_log_level(level);
    }
    Ok(subscriber.handle(&project, call, context, follow).await)
}

/// The listing of a server that the daemon runs for sessions in `directory`, unconcealed.
///
/// # Errors
/// When there is none, or it doesn't answer; the message is concealed.
pub async fn fetch_listing(
    daemon: &Daemon,
    server: &ServerName,
    directory: &Path,
) -> Result<Arc<ServerListing>, DaemonFailure> {
    let listing = match daemon.upstreams.scope_of(server, directory) {
        Some(scope) => daemon.upstreams.scope_listing(&scope, server).await,
        None => Err(ServerError::Unknown(server.clone())),
    };
    listing.map_err(|error| {
        let message = daemon.anonymizer.load().conceal_text(&error.describe_for_listing()).into_inner();
        DaemonFailure::new(FailureKind::Server, message)
    })
}

/// The last progress message that found no room in the queue.
#[derive(Default)]
struct LateProgress(Mutex<Option<PushMessage>>);

impl LateProgress {
    fn set(&self, push: Option<PushMessage>) {
        *lock(&self.0) = push;
    }

    fn take(&self) -> Option<PushMessage> {
        lock(&self.0).take()
    }
}

/// Makes the sink that sends progress to the request with this number. Progress that can't be concealed is
/// dropped. The last message that found no room is sent before the response.
fn progress_sink(daemon: &Daemon, number: u64, to: &MessageSender, late: Arc<LateProgress>) -> ProgressSink {
    let (anonymizer, to) = (Arc::clone(&daemon.anonymizer), to.clone());
    Arc::new(move |params| {
        let Ok(params) = anonymizer.load().conceal(params) else { return };
        let push = FromDaemon::Push(PushMessage::Progress { number, params });
        // A full queue must not delay the server, so the sink never waits.
        let sent = to.try_send(&push);
        match (sent, push) {
            (Err(SendError::Full), FromDaemon::Push(push)) => late.set(Some(push)),
            _ => late.set(None),
        }
    })
}

impl SessionRequest for SetLogLevel {
    async fn handle(self, daemon: &Arc<Daemon>, caller: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        daemon.upstreams.want_logs(self.level, &caller.session.origin.directory);
        Ok(())
    }
}

impl SessionRequest for ConsumeGrant {
    /// Decides again by the daemon's own rules. The grant is used up by the session itself, whatever its
    /// client says.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &SessionCaller<'_>) -> Result<Grant, DaemonFailure> {
        let call = conceal(daemon, self.call)?;
        let consumed = daemon.overrides.consume_use(self.grant, &call, &caller.session.origin).await;
        consumed.map_err(|error| failure::of_overrides(&error))
    }
}

impl SessionRequest for GetServerListing {
    /// Lists a shared server. The session conceals the list, because it has the same rules.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<RawJson, DaemonFailure> {
        let listing = fetch_listing(daemon, &self.server, &caller.session.origin.directory).await?;
        Ok(portero::json::serialize_raw(&*listing))
    }
}

impl SessionRequest for ReportCheckpoint {
    async fn handle(self, daemon: &Arc<Daemon>, _: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        daemon.audit.checkpoints().accept_checkpoint(self.0).await.map_err(|error| failure::of_store(&error))
    }
}
