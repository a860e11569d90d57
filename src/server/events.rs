//! The notifications of one server, on their way to the owner of the [`Upstreams`](super::Upstreams).
//!
//! Log messages and updates go straight to the owner's sink, so they stay ahead of the answer that follows
//! them. Log messages over the limit are counted, and the count is reported. A changed list is never lost. It
//! is held for a moment, so that a burst is reported once.

use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::logs::RateLimit;
use super::{ListKind, ServerChange, ServerEvent, ServerEventSink};
use crate::anonymize::Real;
use crate::json::RawJson;
use crate::names::ServerName;
use crate::sync::lock;

/// How many list changes may wait for the owner, of all servers together.
pub(super) const MAX_QUEUED_CHANGES: usize = 1024;
/// How many log messages one server may send per second.
pub(super) const MAX_LOGS_PER_SECOND: u32 = 500;
/// How long until the count of left-out log messages is reported.
const LEFT_OUT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a change is held, so that a burst becomes one.
const CHANGE_HOLD_INTERVAL: Duration = Duration::from_millis(100);
/// The longest time to hold changes of a server that announces them all the time.
const MAX_CHANGE_HOLD_INTERVAL: Duration = Duration::from_secs(10);

/// The owner's sink, once it is set.
pub(super) type EventSinkSlot = Arc<OnceLock<ServerEventSink>>;

/// One server's events.
pub(super) struct ServerEvents {
    server: ServerName,
    changes: mpsc::Sender<ServerChange>,
    sink: EventSinkSlot,
    logs: Mutex<LogBudget>,
    logs_left_out: Notify,
    changed: AtomicU8,
    wake: Notify,
}

struct LogBudget {
    rate_limit: RateLimit,
    left_out: u64,
}

impl ServerEvents {
    pub(super) fn new(
        server: ServerName,
        changes: mpsc::Sender<ServerChange>,
        hearing: EventSinkSlot,
    ) -> Self {
        Self {
            server,
            changes,
            sink: hearing,
            logs: Mutex::new(LogBudget {
                rate_limit: RateLimit::per_second(MAX_LOGS_PER_SECOND),
                left_out: 0,
            }),
            logs_left_out: Notify::new(),
            changed: AtomicU8::new(0),
            wake: Notify::new(),
        }
    }

    /// Forwards a log message, or counts it if the server sent too many.
    pub(super) fn forward_log(&self, params: impl FnOnce() -> Real<RawJson>) {
        let mut logs = lock(&self.logs);
        if !logs.rate_limit.try_acquire() {
            logs.left_out += 1;
            drop(logs);
            return self.logs_left_out.notify_one();
        }
        drop(logs);
        self.emit_event(ServerEvent::Log(self.server.clone(), params()));
    }

    /// Forwards an update of a resource.
    pub(super) fn forward_update(&self, params: Real<RawJson>) {
        self.emit_event(ServerEvent::ResourceUpdated(self.server.clone(), params));
    }

    fn emit_event(&self, event: ServerEvent) {
        if let Some(hear) = self.sink.get() {
            hear(event);
        }
    }

    /// Records that a list changed.
    pub(super) fn record_list_change(&self, list: ListKind) {
        self.changed.fetch_or(list_bit(list), Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Forgets earlier announcements of a list that is about to be fetched.
    pub(super) fn clear_list_change(&self, list: ListKind) {
        self.changed.fetch_and(!list_bit(list), Ordering::AcqRel);
    }

    /// Announces changes, each burst once, and the count of left-out log messages.
    pub(super) async fn announce_until_closed(&self) {
        tokio::join!(self.announce_changes(), self.announce_left_out_logs());
    }

    async fn announce_changes(&self) {
        let mut hold = CHANGE_HOLD_INTERVAL;
        let mut last = Instant::now();
        loop {
            self.wake.notified().await;
            // A change soon after the last report doubles the hold, and a quiet time resets it.
            hold = if last.elapsed() < hold * 4 {
                (hold * 2).min(MAX_CHANGE_HOLD_INTERVAL)
            } else {
                CHANGE_HOLD_INTERVAL
            };
            tokio::time::sleep(hold).await;
            last = Instant::now();
            // Taken after the hold and in one step, so that a change during the hold is included, and one
            // after it wakes the loop again.
            let changed = self.changed.swap(0, Ordering::AcqRel);
            for list in [ListKind::Tools, ListKind::Resources, ListKind::Prompts] {
                if changed & list_bit(list) != 0
                    && self.changes.send(ServerChange::List(self.server.clone(), list)).await.is_err()
                {
                    return;
                }
            }
        }
    }

    async fn announce_left_out_logs(&self) {
        loop {
            self.logs_left_out.notified().await;
            tokio::time::sleep(LEFT_OUT_INTERVAL).await;
            let mut logs = lock(&self.logs);
            let left_out = std::mem::take(&mut logs.left_out);
            drop(logs);
            if left_out > 0 {
                self.emit_event(ServerEvent::LogsLeftOut(self.server.clone(), left_out));
            }
        }
    }
}

const fn list_bit(list: ListKind) -> u8 {
    match list {
        ListKind::Tools => 1,
        ListKind::Resources => 2,
        ListKind::Prompts => 4,
    }
}

/// The levels of MCP's log messages, which are syslog's (RFC 5424, section 6.2.1), the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LogLevel {
    /// Details for finding an error.
    Debug,
    /// Normal events.
    Info,
    /// Normal, but notable.
    Notice,
    /// A problem may follow.
    Warning,
    /// An error.
    Error,
    /// A part doesn't work.
    Critical,
    /// Action is needed at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl LogLevel {
    /// All levels, the least severe first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The spelling in MCP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }
}

/// A text that names no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a level is debug, info, notice, warning, error, critical, alert or emergency")]
pub struct UnknownLogLevel;

impl FromStr for LogLevel {
    type Err = UnknownLogLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLogLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(UnknownLogLevel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerName {
        "a".parse().expect("a name")
    }

    #[tokio::test]
    async fn a_burst_of_changes_is_announced_once_and_a_stale_one_never() {
        let (to, mut from) = mpsc::channel(MAX_QUEUED_CHANGES);
        let events = Arc::new(ServerEvents::new(server(), to, EventSinkSlot::default()));
        let announcing = Arc::clone(&events);
        let task = tokio::spawn(async move { announcing.announce_until_closed().await });
        for _ in 0..1000 {
            events.record_list_change(ListKind::Tools);
            events.record_list_change(ListKind::Prompts);
        }
        events.clear_list_change(ListKind::Prompts);
        let first = tokio::time::timeout(Duration::from_secs(10), from.recv()).await.expect("in time");
        assert!(matches!(first, Some(ServerChange::List(_, ListKind::Tools))), "{first:?}");
        assert!(tokio::time::timeout(CHANGE_HOLD_INTERVAL * 3, from.recv()).await.is_err(), "said twice");
        task.abort();
    }

    #[tokio::test]
    async fn of_a_flood_of_log_messages_each_is_passed_on_or_counted() {
        const SENT: u64 = 100_000;
        let (to, _changes) = mpsc::channel(MAX_QUEUED_CHANGES);
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let sink: ServerEventSink = Arc::new(move |event| heard.send(event).expect("it is heard"));
        let events = Arc::new(ServerEvents::new(server(), to, Arc::new(OnceLock::from(sink))));
        let announcing = Arc::clone(&events);
        let task = tokio::spawn(async move { announcing.announce_until_closed().await });
        for _ in 0..SENT {
            events.forward_log(|| Real::from_server(crate::json::serialize_raw("x")));
        }
        let (mut passed, mut left_out) = (0, 0);
        while passed + left_out < SENT {
            match tokio::time::timeout(Duration::from_secs(10), hearing.recv()).await.expect("in time") {
                Some(ServerEvent::Log(..)) => passed += 1,
                Some(ServerEvent::LogsLeftOut(_, count)) => left_out += count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(passed + left_out, SENT);
        // The flood may stretch over a few seconds of a busy machine.
        assert!(passed >= u64::from(MAX_LOGS_PER_SECOND) && passed < SENT / 2, "{passed} passed");
        task.abort();
    }
}
