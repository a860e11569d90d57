//! The subscriptions of sessions to resources of shared servers.
//!
//! The server sees one subscription per resource, however many sessions share it. It ends with the last of
//! them, by `unsubscribe` or by the end of the connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use portero::names::ServerName;
use portero::sync::lock;

use super::InstanceScope;

/// The most resources that one session may be subscribed to.
pub const MAX_RESOURCES_PER_SESSION: usize = 1024;
/// A resource with the scope of its server, the server, and its concealed URI.
pub type SharedResource = (InstanceScope, ServerName, String);

/// The subscriptions of all sessions.
#[derive(Debug, Default)]
pub struct ResourceSubscriptions(Mutex<SubscriptionTable>);

#[derive(Debug, Default)]
struct SubscriptionTable {
    next: u64,
    resources: HashMap<SharedResource, ResourceSubscribers>,
}

#[derive(Debug, Default)]
struct ResourceSubscribers {
    /// The numbers of the subscribers.
    numbers: HashSet<u64>,
    /// Held while the server is asked, so that it gets the changes in the order in which they are noted.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl ResourceSubscriptions {
    /// Returns a number for a new subscriber.
    #[must_use]
    pub fn add_subscriber(&self) -> u64 {
        let mut inner = self.lock_table();
        inner.next += 1;
        inner.next
    }

    /// Adds a subscription. Returns whether it is new, or none if the subscriber has
    /// [`MAX_RESOURCES_PER_SESSION`].
    #[must_use]
    pub fn note_subscription(&self, resource: &SharedResource, number: u64) -> Option<bool> {
        let mut inner = self.lock_table();
        let has = |subscribed: &ResourceSubscribers| subscribed.numbers.contains(&number);
        if inner.resources.get(resource).is_some_and(has) {
            return Some(false);
        }
        let own = inner.resources.values().filter(|subscribed| has(subscribed)).count();
        (own < MAX_RESOURCES_PER_SESSION)
            .then(|| inner.resources.entry(resource.clone()).or_default().numbers.insert(number))
    }

    /// Removes a subscription, and returns whether it existed.
    pub fn forget_subscription(&self, resource: &SharedResource, number: u64) -> bool {
        self.lock_table()
            .resources
            .get_mut(resource)
            .is_some_and(|subscribed| subscribed.numbers.remove(&number))
    }

    /// Removes a subscriber, and returns the resources that now have none.
    #[must_use]
    pub fn remove_subscriber(&self, number: u64) -> Vec<SharedResource> {
        let mut inner = self.lock_table();
        let of_it = inner.resources.iter_mut().filter_map(|(resource, subscribed)| {
            (subscribed.numbers.remove(&number) && subscribed.numbers.is_empty()).then(|| resource.clone())
        });
        of_it.collect()
    }

    /// Whether any session is subscribed.
    #[must_use]
    pub fn has_subscribers(&self, resource: &SharedResource) -> bool {
        self.lock_table().resources.get(resource).is_some_and(|subscribed| !subscribed.numbers.is_empty())
    }

    /// The lock to hold while the server is asked to subscribe or unsubscribe.
    #[must_use]
    pub fn resource_gate(&self, resource: &SharedResource) -> Arc<tokio::sync::Mutex<()>> {
        let mut inner = self.lock_table();
        // Removes ended subscriptions. One whose gate is in use stays, because a second gate would break the
        // order.
        inner.resources.retain(|_, subscribed| {
            !subscribed.numbers.is_empty() || Arc::strong_count(&subscribed.gate) > 1
        });
        Arc::clone(&inner.resources.entry(resource.clone()).or_default().gate)
    }

    fn lock_table(&self) -> MutexGuard<'_, SubscriptionTable> {
        lock(&self.0)
    }
}
