//! `subscriptions/listen` of the modern revision, and `resources/subscribe` of the earlier ones.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::answers;
use super::request::{ClientRequest, RequestFutures};
use super::state::SessionState;
use super::subscriptions::{MAX_WATCHED_RESOURCES, ResourceKey};
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
            let is_taken = self.client.subscriptions.add_listener(&resource, request.key(), uri);
            if is_taken {
                calls.push((call, resource));
            }
            is_taken
        });
        // The acknowledgement comes before any update: the spec wants it first, and the listener is registered
        // only after it.
        self.client.queue.queue_acknowledgement(request.id(), &granted);
        self.client.subscriptions.begin_listen(request.key().clone(), request.id().clone(), granted);
        work.push(Box::pin(Arc::clone(self).keep_listening(request, calls)));
    }

    /// Subscribes for a listener, and unsubscribes once the client cancels the request.
    async fn keep_listening(self: Arc<Self>, request: ClientRequest, calls: Vec<(Call, ResourceKey)>) {
        let subscribing = futures_util::stream::iter(calls).for_each_concurrent(
            MAX_CONCURRENT_SUBSCRIBES,
            async |(call, resource)| {
                let reply = self.agent.run_call(call, request.call_options()).await;
                if !matches!(reply, CallReply::Result(_) | CallReply::Refused(Refusal::Cancelled)) {
                    self.client.subscriptions.remove_listener(&resource, request.key());
                }
            },
        );
        subscribing.await;
        request.cancel_token().cancelled().await;
        // Only now, when no subscribing call is still under way. One that arrived after the unsubscribing
        // would stay.
        let unwanted = self.client.subscriptions.remove_listener_everywhere(request.key());
        drop(request);
        for resource in unwanted {
            self.unsubscribe_if_unwatched(resource);
        }
    }

    /// The call that subscribes to a resource, if policy allows it.
    fn subscription_call(&self, uri: &str) -> Option<Call> {
        let (server, own) = self.agent.pipeline.catalog.resolve_resource(uri, None)?;
        let tool = ToolId::new(server, Operation::SubscribeResource);
        self.agent.pipeline.policy_source.refresh_policy();
        // A listener can't wait for a person, so anything but a plain allow leaves the resource out.
        if self.agent.tool_action(&tool) != Action::Allow {
            return None;
        }
        let params = self.client.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": own }))).ok()?;
        Some(Call { tool, method: Method::SubscribeResource, params, meta: None })
    }

    /// `resources/subscribe`
    pub(super) async fn subscribe(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match self.calls.build_resource_call(Method::SubscribeResource, params.as_deref()).await {
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
        let Some(resource) = subscribed_resource(&call) else {
            return self.agent.run_call(call, follow).await;
        };
        if !self.client.subscriptions.has_room(&resource) {
            return CallReply::Refused(Refusal::Declined(format!(
                "at most {MAX_WATCHED_RESOURCES} resources can be subscribed to at once; unsubscribe from others first"
            )));
        }
        let reply = self.agent.run_call(call, follow).await;
        match &reply {
            CallReply::Result(_) => self.client.subscriptions.add_plain(resource, spelled),
            // The server may already have subscribed.
            CallReply::Refused(Refusal::Cancelled) => self.unsubscribe_if_unwatched(resource),
            CallReply::Error(_)
            | CallReply::PendingApproval(_)
            | CallReply::Joined(_)
            | CallReply::Refused(_) => {}
        }
        reply
    }

    /// `resources/unsubscribe`: reaches the server only if this session has no other subscription to the
    /// resource.
    pub(super) async fn unsubscribe(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match self.calls.build_resource_call(Method::UnsubscribeResource, params.as_deref()).await
        {
            Ok((call, _)) => {
                let resource = subscribed_resource(&call);
                if resource.is_some_and(|resource| self.client.subscriptions.remove_plain(&resource)) {
                    self.agent.withdraw(call, request.call_options()).await
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
    fn unsubscribe_if_unwatched(&self, (server, uri): ResourceKey) {
        if self.client.subscriptions.is_watched(&(server.clone(), uri.clone())) {
            return;
        }
        let Ok(params) = self.client.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": uri })))
        else {
            return;
        };
        let tool = ToolId::new(server, Operation::SubscribeResource);
        let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
        let agent = Arc::clone(&self.agent);
        self.background.spawn(async move {
            agent.withdraw(call, CallOptions::default()).await;
        });
    }

    /// Subscribes again to the watched resources of a restarted server. No agent asked for it, so it consumes
    /// no use of a grant. A resource that policy no longer allows is dropped.
    pub(super) fn resubscribe_server(self: &Arc<Self>, server: &ServerName) {
        let resources = self.client.subscriptions.watched_on(server);
        let shared = Arc::clone(self);
        self.background.spawn(async move {
            futures_util::stream::iter(resources)
                .for_each_concurrent(MAX_CONCURRENT_SUBSCRIBES, |resource| {
                    shared.resubscribe_resource(resource)
                })
                .await;
        });
    }

    async fn resubscribe_resource(&self, resource: ResourceKey) {
        // The client may have unsubscribed in the meantime.
        if !self.client.subscriptions.is_watched(&resource) {
            return;
        }
        let Some(call) = self.grantless_subscription_call(&resource).await else {
            tracing::warn!(server = %resource.0, "a subscription was not made again: policy does not allow it");
            return self.client.subscriptions.remove_resource(&resource);
        };
        if !matches!(self.agent.run_call(call, CallOptions::default()).await, CallReply::Result(_)) {
            tracing::warn!(server = %resource.0, "a subscription could not be made again");
        }
    }

    /// The call that subscribes to a resource, if policy allows it without consuming a grant's use.
    async fn grantless_subscription_call(&self, (server, uri): &ResourceKey) -> Option<Call> {
        let params = self.client.conceal_own(json::serialize_raw(&serde_json::json!({ "uri": uri }))).ok()?;
        let tool = ToolId::new(server.clone(), Operation::SubscribeResource);
        let call = Call { tool, method: Method::SubscribeResource, params, meta: None };
        if !self.agent.is_allowed_without_grant(&call) {
            // The daemon may know a grant that we don't, so refresh and decide again. If it can't be reached,
            // the policy known here holds.
            let _ = self.agent.pipeline.policy_source.wait_for_policy().await;
        }
        self.agent.is_allowed_without_grant(&call).then_some(call)
    }
}

/// The resource that a subscribing call is about.
fn subscribed_resource(call: &Call) -> Option<ResourceKey> {
    let uri = RawObject::read(call.params.get()).ok()?.get_text("uri")?.into_owned();
    Some((call.tool.server.clone(), uri))
}
