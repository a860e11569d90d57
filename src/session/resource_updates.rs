//! Limits bursts toward the client: updates of resources, and the count of log messages left out.
//!
//! The beginning of a burst goes out at once. Of the rest, the last update of each resource follows a moment
//! later, so the client always learns the last state. At most one update is held for each watched resource.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::logs::Level;
use super::state::SessionState;
use super::subscriptions::ResourceKey;
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::sync::lock;

/// How many updates are sent in one interval.
const MAX_UPDATES_PER_INTERVAL: usize = 100;
/// How long further updates are held.
const HOLD_INTERVAL: Duration = Duration::from_millis(100);
/// A larger update is held as its URI only. The change itself is what counts.
const MAX_HELD_BYTES: usize = 4 << 10;

/// The updates and counts that are held.
#[derive(Debug, Default)]
pub(super) struct ResourceUpdates(Mutex<HeldUpdates>);

#[derive(Debug, Default)]
struct HeldUpdates {
    since: Option<Instant>,
    /// How many were sent in this interval.
    sent: usize,
    order: VecDeque<ResourceKey>,
    last: HashMap<ResourceKey, Real<RawJson>>,
    logs_left_out: u64,
    /// Whether a task will flush them.
    flushing: bool,
}

impl HeldUpdates {
    fn may_send_now(&mut self, resource: &ResourceKey) -> bool {
        if self.since.is_none_or(|since| since.elapsed() >= HOLD_INTERVAL) {
            (self.since, self.sent) = (Some(Instant::now()), 0);
        }
        // An update must not overtake a held one of the same resource.
        let goes = self.sent < MAX_UPDATES_PER_INTERVAL && !self.last.contains_key(resource);
        self.sent += usize::from(goes);
        goes
    }

    fn hold_update(&mut self, resource: ResourceKey, params: Real<RawJson>) {
        let params = if params.expose().get().len() <= MAX_HELD_BYTES { params } else { uri_only(&params) };
        if self.last.insert(resource.clone(), params).is_none() {
            self.order.push_back(resource);
        }
    }

    fn pop_next(&mut self) -> Option<(ResourceKey, Real<RawJson>)> {
        let resource = self.order.pop_front()?;
        let params = self.last.remove(&resource)?;
        Some((resource, params))
    }
}

/// The update reduced to its URI.
fn uri_only(params: &Real<RawJson>) -> Real<RawJson> {
    let uri = RawObject::read(params.expose())
        .ok()
        .and_then(|object| object.get_text("uri").map(|uri| json::serialize_raw(&uri)));
    let uri = uri.unwrap_or_else(|| json::serialize_raw(""));
    Real::from_server(RawObject::default().with_member("uri", &uri).to_raw())
}

impl SessionState {
    /// Sends an update now or, in a burst, a moment later.
    pub(super) fn send_or_hold_update(self: &Arc<Self>, resource: ResourceKey, params: Real<RawJson>) {
        let mut held = self.resource_updates.lock_held();
        if !self.client_queue.is_over_limit() && held.may_send_now(&resource) {
            // Released first: `notify_update` takes other locks and conceals, which may take a while.
            drop(held);
            return self.notify_update(&resource, &params);
        }
        held.hold_update(resource, params);
        self.flush_later(held);
    }

    /// Counts a log message that the client left no room for.
    pub(super) fn count_left_out_log(self: &Arc<Self>) {
        let mut held = self.resource_updates.lock_held();
        held.logs_left_out += 1;
        self.flush_later(held);
    }

    fn flush_later(self: &Arc<Self>, mut held: MutexGuard<'_, HeldUpdates>) {
        if std::mem::replace(&mut held.flushing, true) {
            return;
        }
        drop(held);
        let shared = Arc::clone(self);
        self.spawn_background(async move {
            loop {
                tokio::time::sleep(HOLD_INTERVAL).await;
                // A client may not read for hours. Held updates wait for room without polling.
                shared.client_queue.room().await;
                if shared.flush_held() {
                    return;
                }
            }
        });
    }

    /// Sends up to one interval's worth of what is held. Returns true if nothing is left.
    fn flush_held(self: &Arc<Self>) -> bool {
        let left_out = std::mem::take(&mut self.resource_updates.lock_held().logs_left_out);
        if left_out > 0 {
            let words =
                format!("{left_out} log messages were left out: the client did not read them in time");
            self.log_own_message(Level::Warning, &words);
        }
        // The lock is taken for each step, so that new updates can be held meanwhile.
        for _ in 0..MAX_UPDATES_PER_INTERVAL {
            let next = self.resource_updates.lock_held().pop_next();
            let Some((resource, params)) = next else { break };
            self.notify_update(&resource, &params);
        }
        let mut held = self.resource_updates.lock_held();
        // Decided under the same lock as `flush_later`: either this task sees the new update, or the next
        // caller starts another task.
        held.flushing = !held.order.is_empty() || held.logs_left_out > 0;
        !held.flushing
    }
}

impl ResourceUpdates {
    fn lock_held(&self) -> MutexGuard<'_, HeldUpdates> {
        lock(&self.0)
    }
}
