//! What one session is subscribed to of shared servers, counted by its connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::json::{self, Object};
use portero::names::{Operation, ToolId};
use portero::pipeline::{Context, Refusal, Reply};
use portero::server::Follow;
use portero::task::Origin;

use crate::daemon::Daemon;
use crate::servers::Project;
use crate::subscriptions::{MAX_SUBSCRIBED, Resource};

/// How long it may take to take one subscription back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many are taken back at the same time.
const MAX_RELEASING: usize = 16;

/// One session's subscriptions; dropping it takes them back.
pub struct Subscriber {
    daemon: Arc<Daemon>,
    origin: Origin,
    number: u64,
}

impl Subscriber {
    /// A session without subscriptions.
    #[must_use]
    pub fn new(daemon: &Arc<Daemon>, origin: &Origin) -> Self {
        Self {
            daemon: Arc::clone(daemon),
            origin: origin.clone(),
            number: daemon.sessions.subscriptions.join(),
        }
    }

    /// Makes a call of this session on a shared server, and counts its subscriptions.
    pub async fn handle(&self, project: &Project, call: Call, context: &Context, follow: Follow) -> Reply {
        let Some(resource) = resource_of(&call) else {
            return project.pipeline().handle(call, context, follow).await;
        };
        let subscriptions = &self.daemon.sessions.subscriptions;
        let gate = subscriptions.gate(&resource);
        let _turn = tokio::select! {
            turn = gate.lock() => turn,
            () = follow.cancel.cancelled() => return Reply::Refused(Refusal::Cancelled),
        };
        let (is_new, is_held) = if call.method == Method::SubscribeResource {
            // Before the server is asked: what comes while it answers counts.
            let noted = subscriptions.note(&resource, self.number);
            let Some(is_new) = noted else {
                return Reply::Refused(Refusal::Declined(format!(
                    "at most {MAX_SUBSCRIBED} resources can be subscribed to at once; unsubscribe from others first"
                )));
            };
            (is_new, false)
        } else {
            let is_held = subscriptions.forget(&resource, self.number);
            if subscriptions.is_wanted(&resource) {
                return empty_result();
            }
            (false, is_held)
        };
        let pipeline = project.pipeline();
        let reply = match is_held {
            // What policy denies by now would stay subscribed to for good.
            true => pipeline.withdraw(call, context, follow).await,
            false => pipeline.handle(call, context, follow).await,
        };
        let may_be_subscribed = match &reply {
            Reply::Result(_) => return reply,
            Reply::Error(_) | Reply::Waiting(_) => false,
            Reply::Refused(refusal) => matches!(
                refusal,
                Refusal::Cancelled | Refusal::Interrupted(_) | Refusal::Malformed(_) | Refusal::Withheld(_)
            ),
        };
        if is_new {
            let _ = subscriptions.forget(&resource, self.number);
        }
        if may_be_subscribed {
            self.release(vec![resource]);
        }
        reply
    }

    /// Takes back at the servers what no session wants any more.
    fn release(&self, resources: Vec<Resource>) {
        if resources.is_empty() || self.daemon.stop.is_cancelled() {
            return;
        }
        let (daemon, origin) = (Arc::clone(&self.daemon), self.origin.clone());
        self.daemon.work.spawn(async move {
            let releasing = futures_util::stream::iter(resources)
                .for_each_concurrent(MAX_RELEASING, async |resource| {
                    release(&daemon, &origin, resource).await
                });
            tokio::select! {
                () = releasing => {}
                () = daemon.stop.cancelled() => {}
            }
        });
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let unwanted = self.daemon.sessions.subscriptions.leave(self.number);
        self.release(unwanted);
    }
}

/// Unsubscribes, unless the server ended and its subscriptions with it, or a session wants the resource again.
async fn release(daemon: &Daemon, origin: &Origin, resource: Resource) {
    let server = resource.0.clone();
    let released = tokio::time::timeout(RELEASE_TIMEOUT, async {
        let gate = daemon.sessions.subscriptions.gate(&resource);
        let _turn = gate.lock().await;
        if daemon.sessions.subscriptions.is_wanted(&resource) || !daemon.servers.is_running(&server) {
            return true;
        }
        let (server, uri) = &resource;
        let uri = json::raw(&serde_json::json!({ "uri": uri }));
        let Ok(params) = daemon.anonymizer.load().conceal_own(uri) else { return false };
        let Ok(project) = daemon.servers.project(server, &origin.directory) else { return false };
        let tool = ToolId::new(server.clone(), Operation::SubscribeResource);
        let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
        let context = Context { origin: origin.clone(), task: None };
        matches!(project.pipeline().withdraw(call, &context, Follow::default()).await, Reply::Result(_))
    });
    if !matches!(released.await, Ok(true)) {
        tracing::warn!(%server, "a subscription that no session wants any more could not be taken back");
    }
}

/// The resource that a call subscribes to or unsubscribes from.
fn resource_of(call: &Call) -> Option<Resource> {
    match call.method {
        Method::SubscribeResource | Method::UnsubscribeResource => {
            let uri = Object::read(call.params.get()).ok()?.text("uri")?.into_owned();
            Some((call.tool.server.clone(), uri))
        }
        Method::CallTool | Method::ReadResource | Method::GetPrompt | Method::Complete => None,
    }
}

fn empty_result() -> Reply {
    match Anonymizer::none().conceal_own(json::raw(&Object::default())) {
        Ok(result) => Reply::Result(result),
        Err(leak) => Reply::Refused(Refusal::Withheld(leak)),
    }
}
