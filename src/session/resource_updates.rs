//! What comes in bursts, on its way to the client: updates of resources, and the count of log messages that were
//! left out.
//!
//! A burst goes out at once as far as it is short. Of what is beyond, the last update of each resource follows in
//! a moment, so that the client always gets the last state; there are no more of them than the session watches
//! resources.

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

/// How many updates go out in one interval.
const MAX_UPDATES_PER_INTERVAL: usize = 100;
/// How long the others are held.
const HOLD_INTERVAL: Duration = Duration::from_millis(100);
/// An update with more than this in it is held without the rest: what counts is that the resource changed.
const MAX_HELD_BYTES: usize = 4 << 10;

/// What is held.
#[derive(Debug, Default)]
pub(super) struct ResourceUpdates(Mutex<HeldUpdates>);

#[derive(Debug, Default)]
struct HeldUpdates {
    since: Option<Instant>,
    /// How many went out since.
    sent: usize,
    order: VecDeque<ResourceKey>,
    last: HashMap<ResourceKey, Real<RawJson>>,
    logs_left_out: u64,
    /// Whether a task follows that lets them go.
    flushing: bool,
}

impl HeldUpdates {
    fn may_send_now(&mut self, resource: &ResourceKey) -> bool {
        if self.since.is_none_or(|since| since.elapsed() >= HOLD_INTERVAL) {
            (self.since, self.sent) = (Some(Instant::now()), 0);
        }
        // One that follows a held one of its resource would come before it.
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

/// The update with nothing but its URI.
fn uri_only(params: &Real<RawJson>) -> Real<RawJson> {
    let uri = RawObject::read(params.expose())
        .ok()
        .and_then(|object| object.get_text("uri").map(|uri| json::serialize_raw(&uri)));
    let uri = uri.unwrap_or_else(|| json::serialize_raw(""));
    Real::from_server(RawObject::default().with_member("uri", &uri).to_raw())
}

impl SessionState {
    /// Tells of an update now or, in a burst, a moment later.
    pub(super) fn send_or_hold_update(self: &Arc<Self>, resource: ResourceKey, params: Real<RawJson>) {
        let mut held = self.resource_updates.lock_held();
        if !self.client_queue.is_over_limit() && held.may_send_now(&resource) {
            drop(held);
            return self.notify_update(&resource, &params);
        }
        held.hold_update(resource, params);
        self.flush_later(held);
    }

    /// Counts a log message for which the client left no room.
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
                // A client may leave everything unread for hours; what is held waits for it without looking.
                shared.client_queue.room().await;
                if shared.flush_held() {
                    return;
                }
            }
        });
    }

    /// Lets go what may go; true when nothing is left.
    fn flush_held(self: &Arc<Self>) -> bool {
        let left_out = std::mem::take(&mut self.resource_updates.lock_held().logs_left_out);
        if left_out > 0 {
            let words =
                format!("{left_out} log messages were left out: the client did not read them in time");
            self.log_own_message(Level::Warning, &words);
        }
        for _ in 0..MAX_UPDATES_PER_INTERVAL {
            let next = self.resource_updates.lock_held().pop_next();
            let Some((resource, params)) = next else { break };
            self.notify_update(&resource, &params);
        }
        let mut held = self.resource_updates.lock_held();
        held.flushing = !held.order.is_empty() || held.logs_left_out > 0;
        !held.flushing
    }
}

impl ResourceUpdates {
    fn lock_held(&self) -> MutexGuard<'_, HeldUpdates> {
        lock(&self.0)
    }
}
