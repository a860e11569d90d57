//! `subscriptions/listen` of the modern revision, `resources/subscribe` of the earlier ones, and the updates
//! that follow.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::answers;
use super::event_loop::RequestFutures;
use super::request::ClientRequest;
use super::state::SessionState;
use super::subscriptions::{MAX_WATCHED_RESOURCES, NotificationTarget, ResourceKey};
use crate::anonymize::{Fake, Real};
use crate::call::{Call, Method};
use crate::json::{self, RawJson, RawObject};
use crate::names::{Operation, ServerName, ToolId};
use crate::pipeline::{CallReply, Refusal};
use crate::policy::Action;
use crate::server::CallOptions;
use crate::wire::modern::SubscriptionFilter;

/// How many subscriptions are made at once, for one listener or for one restarted server.
pub(super) const MAX_CONCURRENT_SUBSCRIBES: usize = 16;

impl SessionState {
    /// `subscriptions/listen` (2026-07-28): acknowledged at once, and answered only when the session ends.
    /// Until then it is an open request like any other.
    pub(super) fn start_listen(
        self: &Arc<Self>,
        request: ClientRequest,
        params: Option<&RawValue>,
        work: &mut RequestFutures,
    ) {
        let mut granted = SubscriptionFilter::read(params);
        let mut calls = Vec::new();
        let mut seen = HashSet::new();
        granted.resource_subscriptions.retain(|uri| {
            let call = seen.insert(uri.clone()).then(|| self.subscription_call(uri)).flatten();
            let Some((call, resource)) =
                call.and_then(|call| subscribed_resource(&call).map(|of| (call, of)))
            else {
                return false;
            };
            // Registered before the server is asked. An update that arrives in between is then passed on, and
            // a cancellation knows which subscriptions to end.
            let is_taken = self.subscriptions.add_listener(&resource, request.key(), uri);
            if is_taken {
                calls.push((call, resource));
            }
            is_taken
        });
        // The acknowledgement comes before any update: the spec wants it first, and the listener is registered
        // only after it.
        self.client_queue.queue_acknowledgement(request.id(), &granted);
        self.subscriptions.begin_listen(request.key().clone(), request.id().clone(), granted);
        work.push(Box::pin(Arc::clone(self).keep_listening(request, calls)));
    }

    /// Subscribes for a listener, and unsubscribes once the client cancels the request.
    async fn keep_listening(self: Arc<Self>, request: ClientRequest, calls: Vec<(Call, ResourceKey)>) {
        let subscribing = futures_util::stream::iter(calls).for_each_concurrent(
            MAX_CONCURRENT_SUBSCRIBES,
            async |(call, resource)| {
                let reply = self.run_call(call, request.call_options()).await;
                if !matches!(reply, CallReply::Result(_) | CallReply::Refused(Refusal::Cancelled)) {
                    self.subscriptions.remove_listener(&resource, request.key());
                }
            },
        );
        subscribing.await;
        request.cancel_token().cancelled().await;
        // Only now, when no subscribing call is still under way. One that arrived after the unsubscribing
        // would stay.
        let unwanted = self.subscriptions.remove_listener_everywhere(request.key());
        drop(request);
        for resource in unwanted {
            self.unsubscribe_if_unwatched(resource);
        }
    }

    /// The call that subscribes to a resource, if policy allows it.
    fn subscription_call(&self, uri: &str) -> Option<Call> {
        let (server, own) = self.pipeline.catalog.resolve_resource(uri, None)?;
        let tool = ToolId::new(server, Operation::SubscribeResource);
        self.pipeline.policy_source.refresh_policy();
        // A listener can't wait for a person, so anything but a plain allow leaves the resource out.
        if self.tool_action(&tool) != Action::Allow {
            return None;
        }
        let params = self.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": own }))).ok()?;
        Some(Call { tool, method: Method::SubscribeResource, params, meta: None })
    }

    /// `resources/subscribe`
    pub(super) async fn subscribe(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match self.build_resource_call(Method::SubscribeResource, params.as_deref()).await {
            Ok((call, spelled)) => self.subscribe_plain(call, spelled, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_resource_request(request, reply);
    }

    async fn subscribe_plain(
        self: &Arc<Self>,
        call: Call,
        spelled: String,
        follow: CallOptions,
    ) -> CallReply {
        let Some(resource) = subscribed_resource(&call) else { return self.run_call(call, follow).await };
        if !self.subscriptions.has_room(&resource) {
            return CallReply::Refused(Refusal::Declined(format!(
                "at most {MAX_WATCHED_RESOURCES} resources can be subscribed to at once; unsubscribe from others first"
            )));
        }
        let reply = self.run_call(call, follow).await;
        match &reply {
            CallReply::Result(_) => self.subscriptions.add_plain(resource, spelled),
            // The server may already have subscribed.
            CallReply::Refused(Refusal::Cancelled) => self.unsubscribe_if_unwatched(resource),
            CallReply::Error(_) | CallReply::PendingApproval(_) | CallReply::Refused(_) => {}
        }
        reply
    }

    /// `resources/unsubscribe`: reaches the server only if this session has no other subscription to the
    /// resource.
    pub(super) async fn unsubscribe(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match self.build_resource_call(Method::UnsubscribeResource, params.as_deref()).await {
            Ok((call, _)) => {
                let resource = subscribed_resource(&call);
                if resource.is_some_and(|resource| self.subscriptions.remove_plain(&resource)) {
                    self.withdraw(call, request.call_options()).await
                } else {
                    request.answer_own_result(json::serialize_raw(&serde_json::Map::new()));
                    return;
                }
            }
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_resource_request(request, reply);
    }

    /// Unsubscribes from a resource that nothing in this session watches any longer.
    fn unsubscribe_if_unwatched(self: &Arc<Self>, (server, uri): ResourceKey) {
        if self.subscriptions.is_watched(&(server.clone(), uri.clone())) {
            return;
        }
        let Ok(params) = self.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": uri }))) else {
            return;
        };
        let tool = ToolId::new(server, Operation::SubscribeResource);
        let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
        let shared = Arc::clone(self);
        self.spawn_background(async move {
            shared.withdraw(call, CallOptions::default()).await;
        });
    }

    /// Ends this session's subscription to a resource.
    async fn withdraw(&self, call: Call, follow: CallOptions) -> CallReply {
        let context = self.context.load_full();
        self.pipeline.withdraw(call, &context, follow).await
    }

    /// Subscribes again to the watched resources of a restarted server. No agent asked for it, so it consumes
    /// no use of a grant. A resource that policy no longer allows is dropped.
    pub(super) fn resubscribe_server(self: &Arc<Self>, server: &ServerName) {
        let resources = self.subscriptions.watched_on(server);
        let shared = Arc::clone(self);
        self.spawn_background(async move {
            futures_util::stream::iter(resources)
                .for_each_concurrent(MAX_CONCURRENT_SUBSCRIBES, |resource| {
                    shared.resubscribe_resource(resource)
                })
                .await;
        });
    }

    async fn resubscribe_resource(&self, resource: ResourceKey) {
        // The client may have unsubscribed in the meantime.
        if !self.subscriptions.is_watched(&resource) {
            return;
        }
        let Some(call) = self.grantless_subscription_call(&resource).await else {
            tracing::warn!(server = %resource.0, "a subscription was not made again: policy does not allow it");
            return self.subscriptions.remove_resource(&resource);
        };
        if !matches!(self.run_call(call, CallOptions::default()).await, CallReply::Result(_)) {
            tracing::warn!(server = %resource.0, "a subscription could not be made again");
        }
    }

    /// The call that subscribes to a resource, if policy allows it without consuming a grant's use.
    async fn grantless_subscription_call(&self, (server, uri): &ResourceKey) -> Option<Call> {
        let params = self.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": uri }))).ok()?;
        let tool = ToolId::new(server.clone(), Operation::SubscribeResource);
        let call = Call { tool, method: Method::SubscribeResource, params, meta: None };
        if !self.is_allowed_without_grant(&call) {
            // The daemon may know a grant that we don't, so refresh and decide again. If it can't be reached,
            // the policy known here holds.
            let _ = self.pipeline.policy_source.wait_for_policy().await;
        }
        self.is_allowed_without_grant(&call).then_some(call)
    }

    /// Whether policy allows a call without consuming a grant's use.
    fn is_allowed_without_grant(&self, call: &Call) -> bool {
        self.pipeline.policy_source.refresh_policy();
        let policy = self.pipeline.policy.load();
        let (context, now) = (self.context.load(), self.pipeline.clock.now());
        let decision = policy.decide(&call.tool, call.arguments(), Some(context.origin.asker()), now);
        decision.action == Action::Allow && policy.consumed_grant(&decision).is_none()
    }

    /// A resource changed. `params` are those of a server's `notifications/resources/updated`.
    pub(super) fn resource_updated(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Ok(object) = RawObject::read(params.expose()) else { return };
        let Some(uri) = object.get_text("uri") else { return };
        let resource = (server.clone(), self.conceal_uri(&uri));
        if self.subscriptions.is_watched(&resource) {
            self.send_or_hold_update(resource, params);
        }
    }

    /// Sends an update to each subscription to its resource.
    pub(super) fn notify_update(&self, resource: &ResourceKey, params: &Real<RawJson>) {
        let Ok(object) = RawObject::read(params.expose()) else { return };
        for (target, spelled) in self.subscriptions.targets(resource) {
            // Each subscription gets the URI as it spelled it, because clients compare it as text.
            let spelled = json::serialize_raw(&spelled);
            let params = Real::from_server(object.clone().with_member("uri", &spelled).to_raw());
            let Ok(params) = self.pipeline.anonymizer.load().conceal(params) else {
                tracing::error!(server = %resource.0, "a notification was withheld: a private value stood in it");
                continue;
            };
            self.send_notification(target, "notifications/resources/updated", Some(&params));
        }
    }

    /// Sends a notification to one target.
    pub(super) fn send_notification(
        &self,
        target: NotificationTarget,
        method: &'static str,
        params: Option<&Fake<RawJson>>,
    ) {
        match target {
            NotificationTarget::Connection => self.client_queue.queue_notification(method, params),
            NotificationTarget::Listener(id) => {
                self.client_queue.queue_subscription_notification(&id, method, params)
            }
        }
    }

    /// The targets whose filters want a notification.
    pub(super) fn targets_wanting(
        &self,
        wants: impl Fn(&SubscriptionFilter) -> bool,
    ) -> Vec<NotificationTarget> {
        let connection = self.protocol.is_initialized().then_some(NotificationTarget::Connection);
        connection.into_iter().chain(self.subscriptions.listeners_wanting(wants)).collect()
    }

    /// Ends every listener regularly when the session ends.
    pub(super) fn end_listeners(&self) {
        for (key, id) in self.subscriptions.end_all_listens() {
            // This is the request's answer. The cancellation only ends `keep_listening`, which drops the
            // request.
            self.client_queue.queue_listen_result(&id);
            self.in_flight.cancel_request(&key);
        }
    }

    fn conceal_uri(&self, uri: &str) -> String {
        self.pipeline.anonymizer.load().conceal_text(uri).into_inner()
    }
}

/// The resource that a subscribing call is about.
fn subscribed_resource(call: &Call) -> Option<ResourceKey> {
    let uri = RawObject::read(call.params.get()).ok()?.get_text("uri")?.into_owned();
    Some((call.tool.server.clone(), uri))
}
