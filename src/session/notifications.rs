//! What the servers send unasked, on its way to the client: log messages and updates of resources.
//!
//! The beginning of a burst of updates goes out at once. Of the rest, the last update of each resource follows a
//! moment later, so the client always learns the last state. At most one update is held for each watched resource.
//! Log messages that the client leaves no room for are counted, and the count follows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::background::Background;
use super::client::Client;
use super::subscriptions::ResourceKey;
use crate::anonymize::Real;
use crate::audit::WithheldChannel;
use crate::json::{self, RawJson, RawObject};
use crate::names::ServerName;
use crate::server::LogLevel;
use crate::sync::lock;

/// How many updates are sent in one interval.
const MAX_UPDATES_PER_INTERVAL: usize = 100;
/// How long further updates are held.
const HOLD_INTERVAL: Duration = Duration::from_millis(100);
/// A larger update is held as its URI only. The change itself is what counts.
const MAX_HELD_BYTES: usize = 4 << 10;

/// Passes on what the servers send unasked.
pub(super) struct Notifications {
    client: Arc<Client>,
    background: Arc<Background>,
    held: Mutex<HeldUpdates>,
}

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

impl Notifications {
    pub(super) fn new(client: Arc<Client>, background: Arc<Background>) -> Self {
        Self { client, background, held: Mutex::default() }
    }

    /// Passes on a server's log message. `params` are those of its `notifications/message`.
    pub(super) fn forward_log(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Some(params) = self.with_logger_name(server, &params) else { return };
        match self.client.conceal_from(server, params) {
            Ok(params) => {
                if !self.client.queue.queue_log(&params) {
                    self.count_left_out_log();
                }
            }
            Err(leak) => self.client.report_withheld(WithheldChannel::Log, Some(server), &leak),
        }
    }

    /// Reports log messages that a server's rate limit left out.
    pub(super) fn report_left_out_logs(self: &Arc<Self>, server: &ServerName, count: u64) {
        self.log_own_message(
            LogLevel::Warning,
            &format!(
                "{count} messages of {server} were left out: it sent more than are passed on in a second"
            ),
        );
    }

    /// Sends the client a log message of Portero's own.
    pub(super) fn log_own_message(self: &Arc<Self>, level: LogLevel, words: &str) {
        if !self.client.wants_level(level) {
            return;
        }
        let params = serde_json::json!({ "level": level.as_str(), "logger": "portero", "data": words });
        if let Ok(params) = self.client.conceal_own(json::serialize_raw(&params))
            && !self.client.queue.queue_log(&params)
        {
            self.count_left_out_log();
        }
    }

    /// The message with its server's name in it, or `None` if the client doesn't want it.
    fn with_logger_name(&self, server: &ServerName, params: &Real<RawJson>) -> Option<Real<RawJson>> {
        let object = RawObject::read(params.expose()).ok()?;
        let level = object.get_text("level")?.parse().ok()?;
        if !self.client.wants_level(level) {
            return None;
        }
        let logger = match object.get_text("logger") {
            Some(logger) if !logger.is_empty() => json::serialize_raw(&format!("{server}/{logger}")),
            Some(_) | None => json::serialize_raw(server.as_str()),
        };
        Some(Real::from_server(object.with_member("logger", &logger).to_raw()))
    }

    /// A resource changed. `params` are those of a server's `notifications/resources/updated`.
    pub(super) fn resource_updated(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Ok(object) = RawObject::read(params.expose()) else { return };
        let Some(uri) = object.get_text("uri") else { return };
        let resource = (server.clone(), self.client.conceal_uri(&uri));
        if self.client.subscriptions.is_watched(&resource) {
            self.send_or_hold_update(resource, params);
        }
    }

    /// Sends an update to each subscription to its resource.
    fn notify_update(&self, resource: &ResourceKey, params: &Real<RawJson>) {
        let Ok(object) = RawObject::read(params.expose()) else { return };
        for (target, spelled) in self.client.subscriptions.targets(resource) {
            // Each subscription gets the URI as it spelled it, because clients compare it as text.
            let spelled = json::serialize_raw(&spelled);
            let params = Real::from_server(object.clone().with_member("uri", &spelled).to_raw());
            match self.client.conceal_from(&resource.0, params) {
                Ok(params) => {
                    self.client.send_notification(target, "notifications/resources/updated", Some(&params));
                }
                Err(leak) => {
                    self.client.report_withheld(WithheldChannel::ResourceUpdate, Some(&resource.0), &leak);
                }
            }
        }
    }

    /// Sends an update now or, in a burst, a moment later.
    fn send_or_hold_update(self: &Arc<Self>, resource: ResourceKey, params: Real<RawJson>) {
        let mut held = lock(&self.held);
        if !self.client.queue.is_over_limit() && held.may_send_now(&resource) {
            // Released first: `notify_update` takes other locks and conceals, which may take a while.
            drop(held);
            return self.notify_update(&resource, &params);
        }
        held.hold_update(resource, params);
        self.flush_later(held);
    }

    /// Counts a log message that the client left no room for.
    fn count_left_out_log(self: &Arc<Self>) {
        let mut held = lock(&self.held);
        held.logs_left_out += 1;
        self.flush_later(held);
    }

    fn flush_later(self: &Arc<Self>, mut held: MutexGuard<'_, HeldUpdates>) {
        if std::mem::replace(&mut held.flushing, true) {
            return;
        }
        drop(held);
        let notifications = Arc::clone(self);
        self.background.spawn(async move {
            loop {
                tokio::time::sleep(HOLD_INTERVAL).await;
                // A client may not read for hours. Held updates wait for room without polling.
                notifications.client.queue.room().await;
                if notifications.flush_held() {
                    return;
                }
            }
        });
    }

    /// Sends up to one interval's worth of what is held. Returns true if nothing is left.
    fn flush_held(self: &Arc<Self>) -> bool {
        let left_out = std::mem::take(&mut lock(&self.held).logs_left_out);
        if left_out > 0 {
            let words =
                format!("{left_out} log messages were left out: the client did not read them in time");
            self.log_own_message(LogLevel::Warning, &words);
        }
        // The lock is taken for each step, so that new updates can be held meanwhile.
        for _ in 0..MAX_UPDATES_PER_INTERVAL {
            let next = lock(&self.held).pop_next();
            let Some((resource, params)) = next else { break };
            self.notify_update(&resource, &params);
        }
        let mut held = lock(&self.held);
        // Decided under the same lock as `flush_later`: either this task sees the new update, or the next
        // caller starts another task.
        held.flushing = !held.order.is_empty() || held.logs_left_out > 0;
        !held.flushing
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
