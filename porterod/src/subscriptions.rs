//! Which sessions are subscribed to which resource of a shared server.
//!
//! The server has one subscription to a resource, however many sessions share it. It ends with the last of them:
//! when that one unsubscribes, or when its connection is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portero::names::ServerName;

/// How many resources one session may be subscribed to.
pub const MAX_SUBSCRIBED: usize = 1024;
/// A resource on its server, with its concealed URI.
pub type Resource = (ServerName, String);

/// The subscriptions of all sessions.
#[derive(Debug, Default)]
pub struct ResourceSubscriptions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    resources: HashMap<Resource, Subscribed>,
}

#[derive(Debug, Default)]
struct Subscribed {
    /// The numbers of the subscribers.
    by: HashSet<u64>,
    /// Held while the server is asked, so that it hears of changes in the order in which they are noted.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl ResourceSubscriptions {
    /// The number of another subscriber.
    #[must_use]
    pub fn join(&self) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        inner.next
    }

    /// Notes a subscription: true when it is new, none when the subscriber has [`MAX_SUBSCRIBED`].
    #[must_use]
    pub fn note(&self, resource: &Resource, number: u64) -> Option<bool> {
        let mut inner = self.lock();
        let has = |subscribed: &Subscribed| subscribed.by.contains(&number);
        if inner.resources.get(resource).is_some_and(has) {
            return Some(false);
        }
        let own = inner.resources.values().filter(|subscribed| has(subscribed)).count();
        (own < MAX_SUBSCRIBED).then(|| inner.resources.entry(resource.clone()).or_default().by.insert(number))
    }

    /// Forgets a subscription; whether the subscriber had it.
    pub fn forget(&self, resource: &Resource, number: u64) -> bool {
        self.lock().resources.get_mut(resource).is_some_and(|subscribed| subscribed.by.remove(&number))
    }

    /// Forgets a subscriber, and returns the resources that it alone wanted.
    #[must_use]
    pub fn leave(&self, number: u64) -> Vec<Resource> {
        let mut inner = self.lock();
        let of_it = inner.resources.iter_mut().filter_map(|(resource, subscribed)| {
            (subscribed.by.remove(&number) && subscribed.by.is_empty()).then(|| resource.clone())
        });
        of_it.collect()
    }

    /// Whether a session is subscribed.
    #[must_use]
    pub fn is_wanted(&self, resource: &Resource) -> bool {
        self.lock().resources.get(resource).is_some_and(|subscribed| !subscribed.by.is_empty())
    }

    /// What to lock while the server is asked to subscribe or to unsubscribe.
    #[must_use]
    pub fn gate(&self, resource: &Resource) -> Arc<tokio::sync::Mutex<()>> {
        let mut inner = self.lock();
        // What is left of subscriptions that ended, unless a change waits at its gate.
        inner
            .resources
            .retain(|_, subscribed| !subscribed.by.is_empty() || Arc::strong_count(&subscribed.gate) > 1);
        Arc::clone(&inner.resources.entry(resource.clone()).or_default().gate)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
