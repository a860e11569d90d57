//! The client's subscriptions: open `subscriptions/listen` requests, and the resources that it watches.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::client_queue::RequestId;
use crate::names::ServerName;
use crate::wire::IdKey;
use crate::wire::modern::SubscriptionFilter;

/// How many resources a session may watch at once.
pub(super) const MAX_WATCHED_RESOURCES: usize = 1024;

/// The client's subscriptions.
#[derive(Default)]
pub(super) struct Subscriptions {
    listeners: Mutex<Vec<ListenRequest>>,
    resources: Mutex<HashMap<ResourceKey, ResourceWatchers>>,
}

/// An open `subscriptions/listen`.
struct ListenRequest {
    key: IdKey,
    id: RequestId,
    granted: SubscriptionFilter,
}

/// A resource: its server, and its concealed URI there.
pub(super) type ResourceKey = (ServerName, String);

/// The subscriptions to one resource, each with the client's spelling of its URI.
#[derive(Debug, Default)]
struct ResourceWatchers {
    /// By `resources/subscribe`.
    plain: Option<String>,
    /// By `subscriptions/listen`, with the listener's key.
    listened: Vec<(IdKey, String)>,
}

impl ResourceWatchers {
    fn is_empty(&self) -> bool {
        self.plain.is_none() && self.listened.is_empty()
    }
}

/// Where a notification goes.
pub(super) enum NotificationTarget {
    /// To the connection as a whole.
    Connection,
    /// To the listener with this id.
    Listener(RequestId),
}

impl Subscriptions {
    fn listeners(&self) -> MutexGuard<'_, Vec<ListenRequest>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resources(&self) -> MutexGuard<'_, HashMap<ResourceKey, ResourceWatchers>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a `subscriptions/listen`.
    pub(super) fn begin_listen(&self, key: IdKey, id: RequestId, granted: SubscriptionFilter) {
        self.listeners().push(ListenRequest { key, id, granted });
    }

    /// Ends a listener that the client cancelled.
    pub(super) fn end_listen(&self, key: &IdKey) {
        self.listeners().retain(|listener| listener.key != *key);
    }

    /// Ends every listener and returns their requests, for the end of the session.
    pub(super) fn end_all_listens(&self) -> Vec<(IdKey, RequestId)> {
        self.listeners().drain(..).map(|listener| (listener.key, listener.id)).collect()
    }

    /// The listeners whose filter wants the notification.
    pub(super) fn listeners_wanting(
        &self,
        wants: impl Fn(&SubscriptionFilter) -> bool,
    ) -> Vec<NotificationTarget> {
        let listeners = self.listeners();
        let listening = listeners.iter().filter(|listener| wants(&listener.granted));
        listening.map(|listener| NotificationTarget::Listener(listener.id.clone())).collect()
    }

    /// Whether another subscription to this resource fits.
    pub(super) fn has_room(&self, resource: &ResourceKey) -> bool {
        let resources = self.resources();
        resources.contains_key(resource) || resources.len() < MAX_WATCHED_RESOURCES
    }

    /// Adds a listener's subscription to a resource. Returns false if there is no room.
    pub(super) fn add_listener(&self, resource: &ResourceKey, key: &IdKey, spelled: &str) -> bool {
        let has_room = self.has_room(resource);
        if has_room {
            let mut resources = self.resources();
            let watched = resources.entry(resource.clone()).or_default();
            watched.listened.push((key.clone(), spelled.to_owned()));
        }
        has_room
    }

    /// Adds a subscription by `resources/subscribe`.
    pub(super) fn add_plain(&self, resource: ResourceKey, spelled: String) {
        self.resources().entry(resource).or_default().plain = Some(spelled);
    }

    /// Removes every subscription to a resource.
    pub(super) fn remove_resource(&self, resource: &ResourceKey) {
        self.resources().remove(resource);
    }

    /// Whether any subscription to a resource exists.
    pub(super) fn is_watched(&self, resource: &ResourceKey) -> bool {
        self.resources().contains_key(resource)
    }

    /// The resources of a server that have subscriptions.
    pub(super) fn watched_on(&self, server: &ServerName) -> Vec<ResourceKey> {
        self.resources().keys().filter(|(on, _)| on == server).cloned().collect()
    }

    /// Removes a listener's subscription to a resource.
    pub(super) fn remove_listener(&self, resource: &ResourceKey, key: &IdKey) {
        let mut resources = self.resources();
        let Some(watched) = resources.get_mut(resource) else { return };
        watched.listened.retain(|(listener, _)| listener != key);
        if watched.is_empty() {
            resources.remove(resource);
        }
    }

    /// Removes a subscription by `resources/subscribe`. Returns true if it was the resource's last one.
    pub(super) fn remove_plain(&self, resource: &ResourceKey) -> bool {
        let mut resources = self.resources();
        let Some(watched) = resources.get_mut(resource) else { return false };
        watched.plain = None;
        let unwanted = watched.is_empty();
        if unwanted {
            resources.remove(resource);
        }
        unwanted
    }

    /// Removes a listener's subscriptions, and returns the resources that have no others.
    pub(super) fn remove_listener_everywhere(&self, key: &IdKey) -> Vec<ResourceKey> {
        let mut resources = self.resources();
        for watched in resources.values_mut() {
            watched.listened.retain(|(listener, _)| listener != key);
        }
        resources.extract_if(|_, watched| watched.is_empty()).map(|(resource, _)| resource).collect()
    }

    /// The targets of a resource's update, each with its own spelling of the URI.
    pub(super) fn targets(&self, resource: &ResourceKey) -> Vec<(NotificationTarget, String)> {
        // Lock order: `resources` before `listeners`. Only this function holds both.
        let resources = self.resources();
        let Some(watched) = resources.get(resource) else { return Vec::new() };
        let listeners = self.listeners();
        let plain = watched.plain.iter().map(|spelled| (NotificationTarget::Connection, spelled.clone()));
        let listened = watched.listened.iter().filter_map(|(key, spelled)| {
            let listener = listeners.iter().find(|listener| listener.key == *key)?;
            Some((NotificationTarget::Listener(listener.id.clone()), spelled.clone()))
        });
        plain.chain(listened).collect()
    }
}
