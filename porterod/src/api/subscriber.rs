//! One session's subscriptions to resources of shared servers, counted by its connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::json::{self, RawObject};
use portero::names::{Operation, ToolId};
use portero::pipeline::{CallContext, CallReply, Refusal};
use portero::server::CallOptions;
use portero::task::CallOrigin;

use crate::daemon::Daemon;
use crate::sessions::subscriptions::{MAX_RESOURCES_PER_SESSION, SharedResource};
use crate::upstreams::ProjectUpstreams;

/// The time limit for the release of one subscription.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many subscriptions are released at the same time.
const MAX_RELEASING: usize = 16;

/// One session's subscriptions; dropping it releases them.
pub struct Subscriber {
    daemon: Arc<Daemon>,
    origin: CallOrigin,
    number: u64,
}

impl Subscriber {
    /// Makes a session without subscriptions.
    #[must_use]
    pub fn new(daemon: &Arc<Daemon>, origin: &CallOrigin) -> Self {
        Self {
            daemon: Arc::clone(daemon),
            origin: origin.clone(),
            number: daemon.sessions.subscriptions.add_subscriber(),
        }
    }

    /// Makes a call of this session on a shared server, and counts its subscriptions.
    pub async fn handle(
        &self,
        project: &ProjectUpstreams,
        call: Call,
        context: &CallContext,
        follow: CallOptions,
    ) -> CallReply {
        let Some(resource) = self.resource_of(&call) else {
            return project.pipeline().handle_call(call, context, follow).await;
        };
        let subscriptions = &self.daemon.sessions.subscriptions;
        // One request at a time for each resource: a subscribe and an unsubscribe must reach the server in
        // order.
        let gate = subscriptions.resource_gate(&resource);
        let _turn = tokio::select! {
            turn = gate.lock() => turn,
            () = follow.cancel.cancelled() => return CallReply::Refused(Refusal::Cancelled),
        };
        let (is_new, is_held) = if call.method == Method::SubscribeResource {
            // Noted before the server is asked, so updates during its answer are delivered.
            let noted = subscriptions.note_subscription(&resource, self.number);
            let Some(is_new) = noted else {
                return CallReply::Refused(Refusal::Declined(format!(
                    "at most {MAX_RESOURCES_PER_SESSION} resources can be subscribed to at once; unsubscribe from others first"
                )));
            };
            (is_new, false)
        } else {
            let is_held = subscriptions.forget_subscription(&resource, self.number);
            // Another session still needs the resource, so the server keeps it.
            if subscriptions.has_subscribers(&resource) {
                return empty_result();
            }
            (false, is_held)
        };
        let pipeline = project.pipeline();
        let reply = match is_held {
            // The policy may deny this call by now, and the server would then keep the subscription for ever.
            true => pipeline.withdraw(call, context, follow).await,
            false => pipeline.handle_call(call, context, follow).await,
        };
        // A lost answer leaves the server's state unknown, so the subscription is released to be sure.
        let may_be_subscribed = match &reply {
            CallReply::Result(_) => return reply,
            CallReply::Error(_) | CallReply::PendingApproval(_) | CallReply::Joined(_) => false,
            CallReply::Refused(refusal) => matches!(
                refusal,
                Refusal::Cancelled | Refusal::Interrupted(_) | Refusal::Malformed(_) | Refusal::Withheld(_)
            ),
        };
        if is_new {
            let _ = subscriptions.forget_subscription(&resource, self.number);
        }
        if may_be_subscribed {
            self.release(vec![resource]);
        }
        reply
    }

    /// The resource that a call subscribes to or unsubscribes from.
    fn resource_of(&self, call: &Call) -> Option<SharedResource> {
        match call.method {
            Method::SubscribeResource | Method::UnsubscribeResource => {
                let uri = RawObject::read(call.params.get()).ok()?.get_text("uri")?.into_owned();
                let scope = self.daemon.upstreams.scope_of(&call.tool.server, &self.origin.directory)?;
                Some((scope, call.tool.server.clone(), uri))
            }
            Method::CallTool | Method::ReadResource | Method::GetPrompt | Method::Complete => None,
        }
    }

    /// Releases at the servers the resources that no session needs any more.
    fn release(&self, resources: Vec<SharedResource>) {
        if resources.is_empty() || self.daemon.lifecycle.stop_signal().is_cancelled() {
            return;
        }
        let (daemon, origin) = (Arc::clone(&self.daemon), self.origin.clone());
        self.daemon.lifecycle.spawn(async move {
            let releasing = futures_util::stream::iter(resources)
                .for_each_concurrent(MAX_RELEASING, async |resource| {
                    release(&daemon, &origin, resource).await
                });
            tokio::select! {
                () = releasing => {}
                () = daemon.lifecycle.stop_signal().cancelled() => {}
            }
        });
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let unwanted = self.daemon.sessions.subscriptions.remove_subscriber(self.number);
        self.release(unwanted);
    }
}

/// Unsubscribes, unless the server ended with its subscriptions, or a session needs the resource again.
async fn release(daemon: &Daemon, origin: &CallOrigin, resource: SharedResource) {
    let (scope, server, uri) = resource.clone();
    let released = tokio::time::timeout(RELEASE_TIMEOUT, async {
        let gate = daemon.sessions.subscriptions.resource_gate(&resource);
        let _turn = gate.lock().await;
        if daemon.sessions.subscriptions.has_subscribers(&resource)
            || !daemon.upstreams.is_running(&scope, &server)
        {
            return true;
        }
        let uri = json::serialize_raw(&serde_json::json!({ "uri": uri }));
        let Ok(params) = daemon.anonymizer.load().conceal_local(uri) else { return false };
        let Ok(project) = daemon.upstreams.project_for(&server, &origin.directory) else { return false };
        let tool = ToolId::new(server.clone(), Operation::SubscribeResource);
        let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
        let context = CallContext { origin: origin.clone(), task: None };
        matches!(
            project.pipeline().withdraw(call, &context, CallOptions::default()).await,
            CallReply::Result(_)
        )
    });
    if !matches!(released.await, Ok(true)) {
        tracing::warn!(%server, "a subscription that no session wants any more could not be taken back");
    }
}

fn empty_result() -> CallReply {
    match Anonymizer::empty().conceal_local(json::serialize_raw(&RawObject::default())) {
        Ok(result) => CallReply::Result(result),
        Err(leak) => CallReply::Refused(Refusal::Withheld(leak)),
    }
}
