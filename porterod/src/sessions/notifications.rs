//! Notifications of shared servers on their way to one session, which may read slowly.
//!
//! No notification disappears silently. Of updates and changes the last of each kind is held until there is
//! room. Log messages without room are counted, and the count is sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use portero::anonymize::{Anonymizer, Fake};
use portero::ipc::{FromDaemon, MessageSender, PushMessage, SendError};
use portero::json::{self, RawJson, RawObject};
use portero::names::ServerName;
use portero::sync::lock;

/// The most updates and changes held for one session.
const MAX_HELD: usize = 1024;
/// Updates above this size aren't held.
const MAX_HELD_BYTES: usize = 4 << 10;

/// A concealed notification of a shared server.
#[derive(Debug, Clone)]
pub struct ServerNotification {
    /// The server.
    pub server: ServerName,
    /// `notifications/resources/updated`, `notifications/message`, or a `list_changed` method.
    pub method: &'static str,
    /// The `params`.
    pub params: Option<Fake<RawJson>>,
}

/// The queue of notifications to one session.
#[derive(Debug, Clone)]
pub(super) struct NotificationQueue {
    outbox: MessageSender,
    held: Arc<Mutex<HeldNotifications>>,
}

#[derive(Debug, Default)]
struct HeldNotifications {
    order: VecDeque<NotificationKey>,
    last: HashMap<NotificationKey, ServerNotification>,
    left_out: BTreeMap<ServerName, u64>,
    /// Whether a task is running that sends the held ones.
    flushing: bool,
}

/// Of two notifications with one key only the later one is needed.
type NotificationKey = (ServerName, &'static str, Option<String>);

const LOG_METHOD: &str = "notifications/message";

impl ServerNotification {
    /// The key under which a later notification replaces this one; none for log messages, because each
    /// counts.
    fn replacement_key(&self) -> Option<NotificationKey> {
        let uri = || Some(RawObject::read(self.params.as_ref()?.get()).ok()?.get_text("uri")?.into_owned());
        let params = self.params.as_ref().map_or(0, |params| params.get().get().len());
        (self.method != LOG_METHOD && params <= MAX_HELD_BYTES)
            .then(|| (self.server.clone(), self.method, uri()))
    }

    /// A log message about left-out log messages of a server.
    #[must_use]
    pub fn logs_left_out(server: ServerName, count: u64, why: &str) -> Self {
        let data = format!("{count} messages of {server} were left out: {why}");
        let params = json::serialize_raw(&serde_json::json!({ "level": "warning", "data": data }));
        // The text is a server's name and Portero's own words, and the session conceals it again.
        Self { server, method: LOG_METHOD, params: Anonymizer::empty().conceal_local(params).ok() }
    }

    pub(super) fn to_message(&self) -> FromDaemon {
        let Self { server, method, params } = self.clone();
        FromDaemon::Push(PushMessage::Notification { server, method: method.to_owned(), params })
    }
}

impl NotificationQueue {
    pub(super) fn new(outbox: MessageSender) -> Self {
        Self { outbox, held: Arc::default() }
    }

    /// Queues a notification, or holds it until there is room.
    pub(super) fn send_or_hold(&self, notification: &ServerNotification, message: &FromDaemon) {
        let key = notification.replacement_key();
        // The lock spans the check and the send: a notification must not overtake an older held one with its
        // key.
        let mut held = self.lock_held();
        let is_held = key.as_ref().is_some_and(|key| held.last.contains_key(key));
        if !is_held {
            match self.outbox.try_send(message) {
                Ok(()) | Err(SendError::Closed) => return,
                Err(SendError::Full | SendError::TooLong(_) | SendError::NotJson(_)) => {}
            }
        }
        held.hold_notification(key, notification);
        if !std::mem::replace(&mut held.flushing, true) {
            // The task ends with the connection at the latest.
            tokio::spawn(self.clone().flush_held());
        }
    }

    /// Sends the held notifications as the session makes room.
    async fn flush_held(self) {
        loop {
            let next = self.lock_held().take_next();
            let Some(next) = next else { return };
            if matches!(self.outbox.send(&next.to_message()).await, Err(SendError::Closed)) {
                return;
            }
        }
    }

    fn lock_held(&self) -> MutexGuard<'_, HeldNotifications> {
        lock(&self.held)
    }
}

impl HeldNotifications {
    fn hold_notification(&mut self, key: Option<NotificationKey>, notification: &ServerNotification) {
        match key {
            Some(key) if self.last.contains_key(&key) || self.last.len() < MAX_HELD => {
                if self.last.insert(key.clone(), notification.clone()).is_none() {
                    self.order.push_back(key);
                }
            }
            Some(_) | None => *self.left_out.entry(notification.server.clone()).or_default() += 1,
        }
    }

    fn take_next(&mut self) -> Option<ServerNotification> {
        if let Some((server, count)) = self.left_out.pop_first() {
            let why = "they came faster than this session took them";
            return Some(ServerNotification::logs_left_out(server, count, why));
        }
        let next = self.order.pop_front().and_then(|key| self.last.remove(&key));
        // Cleared under the lock that found nothing left, so the next held notification starts a new task.
        self.flushing = next.is_some();
        next
    }
}
