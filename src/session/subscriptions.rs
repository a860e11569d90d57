//! What the client wants to hear of: `subscriptions/listen` of the modern revision, and
//! `resources/subscribe` of the earlier ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;

use super::answers;
use super::outbox::Echo;
use super::request::Request;
use super::state::Shared;
use crate::anonymize::{Fake, Real};
use crate::call::{Call, Method};
use crate::json::{self, Object, RawJson};
use crate::names::{Operation, ServerName, ToolId};
use crate::pipeline::Reply;
use crate::policy::Action;
use crate::server::Follow;
use crate::wire::Id;
use crate::wire::modern::Filter;

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
type Resource = (ServerName, String);

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
    /// `subscriptions/listen` (2026-07-28): acknowledged at once, answered only when the session ends.
    pub(super) fn listen(self: &Arc<Self>, request: Request, params: Option<&RawValue>) {
        let wanted = Filter::read(params);
        let resources: Vec<(String, Call)> = wanted
            .resource_subscriptions
            .iter()
            .filter_map(|uri| Some((uri.clone(), self.subscription(uri)?)))
            .collect();
        let granted = Filter {
            resource_subscriptions: resources.iter().map(|(uri, _)| uri.clone()).collect(),
            ..wanted
        };
        self.out.acknowledged(request.id(), &granted);
        let listener = Listener { key: request.key().clone(), id: request.id().clone(), granted };
        self.subscriptions.listeners().push(listener);
        for (uri, call) in resources {
            let (shared, key) = (Arc::clone(self), request.key().clone());
            self.spawn(async move { shared.watch(call, uri, key).await });
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

    async fn subscribe_plain(&self, call: Call, spelled: String, follow: Follow) -> Reply {
        let resource = resource_of(&call);
        let reply = self.run_once(call, follow).await;
        if let (Reply::Result(_), Some(resource)) = (&reply, resource) {
            self.subscriptions.resources().entry(resource).or_default().plain = Some(spelled);
        }
        reply
    }

    /// `resources/unsubscribe`: the server is told once nobody listens any more.
    pub(super) async fn unsubscribe(self: Arc<Self>, request: Request, params: Option<RawJson>) {
        let reply = match self.resource_call(Method::UnsubscribeResource, params.as_deref()).await {
            Ok((call, _)) => {
                let resource = resource_of(&call);
                if resource.is_some_and(|resource| self.subscriptions.forget_plain(&resource)) {
                    self.run_once(call, request.follow()).await
                } else {
                    request.own_result(json::raw(&serde_json::Map::new()));
                    return;
                }
            }
            Err(refusal) => Reply::Refused(refusal),
        };
        answers::to_resource(request, reply);
    }

    /// Subscribes for a listener, as long as it is there.
    async fn watch(&self, call: Call, spelled: String, key: Id) {
        let Some(resource) = resource_of(&call) else { return };
        if matches!(self.run_once(call, Follow::default()).await, Reply::Result(_))
            && self.subscriptions.is_listening(&key)
        {
            self.subscriptions.resources().entry(resource).or_default().listened.push((key, spelled));
        }
    }

    /// Ends a listener, since the client took the request back.
    pub(super) fn stop_listening(self: &Arc<Self>, key: &Id) {
        if !self.subscriptions.remove(key) {
            return;
        }
        for (server, uri) in self.subscriptions.forget_listener(key) {
            let Ok(params) = self.conceal_own(json::raw(&serde_json::json!({ "uri": uri }))) else {
                continue;
            };
            let tool = ToolId::new(server, Operation::SubscribeResource);
            let call = Call { tool, method: Method::UnsubscribeResource, params, meta: None };
            let shared = Arc::clone(self);
            self.spawn(async move {
                shared.run_once(call, Follow::default()).await;
            });
        }
    }

    /// A resource changed: `params` of a server's `notifications/resources/updated`.
    pub(super) fn resource_updated(&self, server: &ServerName, params: &Real<RawJson>) {
        let Ok(object) = Object::read(params.expose()) else { return };
        let Some(uri) = object.text("uri") else { return };
        let resource = (server.clone(), self.conceal_uri(&uri));
        for (hearer, spelled) in self.subscriptions.hearers(&resource) {
            let spelled = json::raw(&spelled);
            let params = Real::from_server(object.clone().with("uri", &spelled).to_raw());
            let Ok(params) = self.pipeline.anonymizer.load().conceal(params) else {
                tracing::error!(%server, "a notification was withheld: a private value stood in it");
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

    /// Whether a listener has this id.
    pub(super) fn is_listening(&self, key: &Id) -> bool {
        self.listeners().iter().any(|listener| listener.key == *key)
    }

    fn remove(&self, key: &Id) -> bool {
        let mut listeners = self.listeners();
        let before = listeners.len();
        listeners.retain(|listener| listener.key != *key);
        listeners.len() < before
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
