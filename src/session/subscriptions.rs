//! What the client wants to hear of: `subscriptions/listen` of the modern revision, and
//! `resources/subscribe` of the earlier ones.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::answers;
use super::outbox::Echo;
use super::request::Request;
use super::run::Work;
use super::state::Shared;
use crate::anonymize::{Fake, Real};
use crate::call::{Call, Method};
use crate::json::{self, Object, RawJson};
use crate::names::{Operation, ServerName, ToolId};
use crate::pipeline::{Refusal, Reply};
use crate::policy::Action;
use crate::server::Follow;
use crate::wire::Id;
use crate::wire::modern::Filter;

/// How many resources a session watches at once.
const MAX_WATCHED: usize = 1024;
/// How many subscriptions of one listener, or to one server that was started again, are made at the same time.
pub(super) const MAX_SUBSCRIBING: usize = 16;

/// What the client listens to.
#[derive(Default)]
pub(super) struct Subscriptions {
    listeners: Mutex<Vec<Listener>>,
    resources: Mutex<HashMap<Resource, Watched>>,
}

/// An open `subscriptions/listen`.
struct Listener {
    key: Id,
    id: Echo,
    granted: Filter,
}

/// A resource on its server, with its concealed URI there.
pub(super) type Resource = (ServerName, String);

/// Who wants to hear of a resource, and under which spelling of its URI.
#[derive(Debug, Default)]
struct Watched {
    /// By `resources/subscribe`.
    plain: Option<String>,
    /// By `subscriptions/listen`, with the listener.
    listened: Vec<(Id, String)>,
}

impl Watched {
    fn is_unwanted(&self) -> bool {
        self.plain.is_none() && self.listened.is_empty()
    }
}

/// Who is to hear of a change.
pub(super) enum Hearer {
    /// The whole connection.
    Connection,
    /// The listener with this id.
    Listener(Echo),
}

impl Shared {
    /// `subscriptions/listen` (2026-07-28): acknowledged at once, answered only when the session ends. Until then
    /// it is an open request as any other.
    pub(super) fn listen(self: &Arc<Self>, request: Request, params: Option<&RawValue>, work: &mut Work) {
        let mut granted = Filter::read(params);
        let mut calls = Vec::new();
        let mut seen = HashSet::new();
        granted.resource_subscriptions.retain(|uri| {
            let call = seen.insert(uri.clone()).then(|| self.subscription(uri)).flatten();
            let Some((call, resource)) = call.and_then(|call| resource_of(&call).map(|of| (call, of))) else {
                return false;
            };
            // Wanted before the server is asked: whatever comes in between is told, and a cancellation knows what
            // to take back.
            let is_taken = self.subscriptions.watch(&resource, request.key(), uri);
            if is_taken {
                calls.push((call, resource));
            }
            is_taken
        });
        self.out.acknowledged(request.id(), &granted);
        let listener = Listener { key: request.key().clone(), id: request.id().clone(), granted };
        self.subscriptions.listeners().push(listener);
        work.push(Box::pin(Arc::clone(self).keep_listening(request, calls)));
    }

    /// Subscribes for a listener, and takes that back once the client takes the request back.
    async fn keep_listening(self: Arc<Self>, request: Request, calls: Vec<(Call, Resource)>) {
        let subscribing = futures_util::stream::iter(calls).for_each_concurrent(
            MAX_SUBSCRIBING,
            async |(call, resource)| {
                let reply = self.run_once(call, request.follow()).await;
                if !matches!(reply, Reply::Result(_) | Reply::Refused(Refusal::Cancelled)) {
                    self.subscriptions.unwatch(&resource, request.key());
                }
            },
        );
        subscribing.await;
        request.cancel().cancelled().await;
        // Only now, when no call that subscribes is under way any more, so that none arrives after these.
        let unwanted = self.subscriptions.forget_listener(request.key());
        drop(request);
        for resource in unwanted {
            self.release(resource);
        }
    }

    /// The call that subscribes to a resource, if policy allows it.
    fn subscription(&self, uri: &str) -> Option<Call> {
        let (server, own) = self.pipeline.catalog.resolve_resource(uri, None)?;
        let tool = ToolId::new(server, Operation::SubscribeResource);
        self.pipeline.desk.before_decision();
        if self.action(&tool) != Action::Allow {
            return None;
        }
        let params = self.conceal_own(json::raw(&serde_json::json!({ "uri": own }))).ok()?;
        Some(Call { tool, method: Method::SubscribeResource, params, meta: None })
    }

    /// `resources/subscribe`
    pub(super) async fn subscribe(self: Arc<Self>, request: Request, params: Option<RawJson>) {
        let reply = match self.resource_call(Method::SubscribeResource, params.as_deref()).await {
            Ok((call, spelled)) => self.subscribe_plain(call, spelled, request.follow()).await,
            Err(refusal) => Reply::Refused(refusal),
        };
        answers::to_resource(request, reply);
    }

    async fn subscribe_plain(self: &Arc<Self>, call: Call, spelled: String, follow: Follow) -> Reply {
        let Some(resource) = resource_of(&call) else { return self.run_once(call, follow).await };
        if !self.subscriptions.has_room(&resource) {
            return Reply::Refused(Refusal::Declined(format!(
                "at most {MAX_WATCHED} resources can be subscribed to at once; unsubscribe from others first"
            )));
        }
        let reply = self.run_once(call, follow).await;
        match &reply {
            Reply::Result(_) => self.subscriptions.watch_plain(resource, spelled),
            // The server may have subscribed already.
            Reply::Refused(Refusal::Cancelled) => self.release(resource),
            Reply::Error(_) | Reply::Waiting(_) | Reply::Refused(_) => {}
        }
        reply
    }

    /// `resources/unsubscribe`: the server is told once nobody listens any more.
    pub(super) async fn unsubscribe(self: Arc<Self>, request: Request, params: Option<RawJson>) {
        let reply = match self.resource_call(Method::UnsubscribeResource, params.as_deref()).await {
            Ok((call, _)) => {
                let resource = resource_of(&call);
                if resource.is_some_and(|resource| self.subscriptions.forget_plain(&resource)) {
                    self.withdraw(call, request.follow()).await
                } else {
                    request.own_result(json::raw(&serde_json::Map::new()));
                    return;
                }
            }
            Err(refusal) => Reply::Refused(refusal),
        };
        answers::to_resource(request, reply);
    }

    /// Ends a listener, since the client took the request back.
    pub(super) fn stop_listening(&self, key: &Id) {
        self.subscriptions.listeners().retain(|listener| listener.key != *key);
    }

    /// Unsubscribes from a resource that nothing in this session watches any more.
    fn release(self: &Arc<Self>, (server, uri): Resource) {
        if self.subscriptions.is_watched(&(server.clone(), uri.clone())) {
            return;
        }
        let Ok(params) = self.conceal_own(json::raw(&serde_json::json!({ "uri": uri }))) else { return };
        let tool = ToolId::new(server, Operation::SubscribeResource);
        let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
        let shared = Arc::clone(self);
        self.spawn(async move {
            shared.withdraw(call, Follow::default()).await;
        });
    }

    /// Unsubscribes from a resource that this session was subscribed to.
    async fn withdraw(&self, call: Call, follow: Follow) -> Reply {
        let context = self.context.load_full();
        self.pipeline.withdraw(call, &context, follow).await
    }

    /// Subscribes anew to what is listened to on a server that was started again. No agent asked for that, so it
    /// uses up no grant; what policy does not allow by now is not watched any more.
    pub(super) fn subscribe_again(self: &Arc<Self>, server: &ServerName) {
        let resources: Vec<Resource> = {
            let resources = self.subscriptions.resources();
            resources.keys().filter(|(on, _)| on == server).cloned().collect()
        };
        let shared = Arc::clone(self);
        self.spawn(async move {
            futures_util::stream::iter(resources)
                .for_each_concurrent(MAX_SUBSCRIBING, |resource| shared.subscribe_once_more(resource))
                .await;
        });
    }

    async fn subscribe_once_more(&self, resource: Resource) {
        // The client may have taken it back meanwhile.
        if !self.subscriptions.is_watched(&resource) {
            return;
        }
        let Some(call) = self.free_subscription(&resource).await else {
            tracing::warn!(server = %resource.0, "a subscription was not made again: policy does not allow it");
            return self.subscriptions.forget(&resource);
        };
        if !matches!(self.run_once(call, Follow::default()).await, Reply::Result(_)) {
            tracing::warn!(server = %resource.0, "a subscription could not be made again");
        }
    }

    /// The call that subscribes to a resource, if policy allows it without a use of a grant.
    async fn free_subscription(&self, (server, uri): &Resource) -> Option<Call> {
        let params = self.conceal_own(json::raw(&serde_json::json!({ "uri": uri }))).ok()?;
        let tool = ToolId::new(server.clone(), Operation::SubscribeResource);
        let call = Call { tool, method: Method::SubscribeResource, params, meta: None };
        if !self.is_free(&call) {
            // Perhaps a grant covers it that only the daemon knows. Without it, what is known here counts.
            let _ = self.pipeline.desk.ready().await;
        }
        self.is_free(&call).then_some(call)
    }

    /// Whether policy allows a call, and no use of a grant is consumed for it.
    fn is_free(&self, call: &Call) -> bool {
        self.pipeline.desk.before_decision();
        let policy = self.pipeline.policy.load();
        let (context, now) = (self.context.load(), self.pipeline.clock.now());
        let decision = policy.decide(&call.tool, call.arguments(), Some(context.origin.asker()), now);
        decision.action == Action::Allow && policy.counted(&decision).is_none()
    }

    /// A resource changed: `params` of a server's `notifications/resources/updated`.
    pub(super) fn resource_updated(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Ok(object) = Object::read(params.expose()) else { return };
        let Some(uri) = object.text("uri") else { return };
        let resource = (server.clone(), self.conceal_uri(&uri));
        if self.subscriptions.is_watched(&resource) {
            self.pass_update(resource, params);
        }
    }

    /// Tells those who watch a resource that it changed.
    pub(super) fn tell_update(&self, resource: &Resource, params: &Real<RawJson>) {
        let Ok(object) = Object::read(params.expose()) else { return };
        for (hearer, spelled) in self.subscriptions.hearers(resource) {
            let spelled = json::raw(&spelled);
            let params = Real::from_server(object.clone().with("uri", &spelled).to_raw());
            let Ok(params) = self.pipeline.anonymizer.load().conceal(params) else {
                tracing::error!(server = %resource.0, "a notification was withheld: a private value stood in it");
                continue;
            };
            self.tell(hearer, "notifications/resources/updated", Some(&params));
        }
    }

    /// Sends a notification to those who want it.
    pub(super) fn tell(&self, hearer: Hearer, method: &'static str, params: Option<&Fake<RawJson>>) {
        match hearer {
            Hearer::Connection => self.out.notification(method, params),
            Hearer::Listener(id) => self.out.on_subscription(&id, method, params),
        }
    }

    /// Everybody who wants to hear of what `wants` asks a filter for.
    pub(super) fn hearers_of(&self, wants: impl Fn(&Filter) -> bool) -> Vec<Hearer> {
        let connection = self.speech.is_initialized().then_some(Hearer::Connection);
        let listeners = self.subscriptions.listeners();
        let listening = listeners.iter().filter(|listener| wants(&listener.granted));
        connection
            .into_iter()
            .chain(listening.map(|listener| Hearer::Listener(listener.id.clone())))
            .collect()
    }

    /// Ends every listener in order, since the session ends.
    pub(super) fn end_listeners(&self) {
        for listener in self.subscriptions.listeners().drain(..) {
            self.out.listen_ended(&listener.id);
            self.flights.cancel(&listener.key);
        }
    }

    fn conceal_uri(&self, uri: &str) -> String {
        self.pipeline.anonymizer.load().conceal_text(uri).into_inner()
    }
}

impl Subscriptions {
    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resources(&self) -> MutexGuard<'_, HashMap<Resource, Watched>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more subscription to this resource can be kept.
    fn has_room(&self, resource: &Resource) -> bool {
        let resources = self.resources();
        resources.contains_key(resource) || resources.len() < MAX_WATCHED
    }

    /// Notes that a listener wants to hear of a resource; false when there is no room for more.
    fn watch(&self, resource: &Resource, key: &Id, spelled: &str) -> bool {
        let has_room = self.has_room(resource);
        if has_room {
            let mut resources = self.resources();
            let watched = resources.entry(resource.clone()).or_default();
            watched.listened.push((key.clone(), spelled.to_owned()));
        }
        has_room
    }

    fn watch_plain(&self, resource: Resource, spelled: String) {
        self.resources().entry(resource).or_default().plain = Some(spelled);
    }

    /// Forgets a resource, whoever wanted to hear of it.
    fn forget(&self, resource: &Resource) {
        self.resources().remove(resource);
    }

    fn is_watched(&self, resource: &Resource) -> bool {
        self.resources().contains_key(resource)
    }

    /// Forgets that a listener wanted to hear of a resource.
    fn unwatch(&self, resource: &Resource, key: &Id) {
        let mut resources = self.resources();
        let Some(watched) = resources.get_mut(resource) else { return };
        watched.listened.retain(|(listener, _)| listener != key);
        if watched.is_unwanted() {
            resources.remove(resource);
        }
    }

    /// Forgets a plain subscription; true when nobody else wants the resource.
    fn forget_plain(&self, resource: &Resource) -> bool {
        let mut resources = self.resources();
        let Some(watched) = resources.get_mut(resource) else { return false };
        watched.plain = None;
        let unwanted = watched.is_unwanted();
        if unwanted {
            resources.remove(resource);
        }
        unwanted
    }

    /// Forgets a listener's resources; those that nobody wants any more are returned.
    fn forget_listener(&self, key: &Id) -> Vec<Resource> {
        let mut resources = self.resources();
        for watched in resources.values_mut() {
            watched.listened.retain(|(listener, _)| listener != key);
        }
        resources.extract_if(|_, watched| watched.is_unwanted()).map(|(resource, _)| resource).collect()
    }

    fn hearers(&self, resource: &Resource) -> Vec<(Hearer, String)> {
        let resources = self.resources();
        let Some(watched) = resources.get(resource) else { return Vec::new() };
        let listeners = self.listeners();
        let plain = watched.plain.iter().map(|spelled| (Hearer::Connection, spelled.clone()));
        let listened = watched.listened.iter().filter_map(|(key, spelled)| {
            let listener = listeners.iter().find(|listener| listener.key == *key)?;
            Some((Hearer::Listener(listener.id.clone()), spelled.clone()))
        });
        plain.chain(listened).collect()
    }
}

/// The resource that a subscription's call is about.
fn resource_of(call: &Call) -> Option<Resource> {
    let uri = Object::read(call.params.get()).ok()?.text("uri")?.into_owned();
    Some((call.tool.server.clone(), uri))
}
