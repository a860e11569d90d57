//! What one server says unasked, on its way to the fleet's owner.
//!
//! Log messages and updates go straight to the owner's sink, so that they stay before the answer that follows
//! them. A server that logs too much is cut short, and how much was left out is told. That a list changed is
//! never lost: it is held back for a moment and said once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::logs::Allowance;
use super::{Event, EventSink, List, ServerChange};
use crate::anonymize::Real;
use crate::json::RawJson;
use crate::names::ServerName;

/// How many changes of lists wait for the fleet's owner, of all servers together.
pub(super) const MAX_WAITING: usize = 1024;
/// How many log messages a second one server may send.
pub(super) const LOGS_PER_SECOND: u32 = 500;
/// How long it takes until it is told how many log messages were left out.
const LEFT_OUT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a change is held back, so that a burst becomes one.
const HOLD: Duration = Duration::from_millis(100);
/// The longest that a server which never stops to announce changes is held back.
const HOLD_MOST: Duration = Duration::from_secs(10);

/// Where a fleet's events go, once its owner said so.
pub(super) type Hearing = Arc<OnceLock<EventSink>>;

/// One server's events.
pub(super) struct Events {
    server: ServerName,
    changes: mpsc::Sender<ServerChange>,
    hearing: Hearing,
    logs: Mutex<Logs>,
    crowded: Notify,
    changed: AtomicU8,
    wake: Notify,
}

struct Logs {
    allowance: Allowance,
    left_out: u64,
}

impl Events {
    pub(super) fn new(server: ServerName, changes: mpsc::Sender<ServerChange>, hearing: Hearing) -> Self {
        Self {
            server,
            changes,
            hearing,
            logs: Mutex::new(Logs { allowance: Allowance::a_second(LOGS_PER_SECOND), left_out: 0 }),
            crowded: Notify::new(),
            changed: AtomicU8::new(0),
            wake: Notify::new(),
        }
    }

    /// The server logged something.
    pub(super) fn log(&self, params: impl FnOnce() -> Real<RawJson>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if !logs.allowance.take() {
            logs.left_out += 1;
            drop(logs);
            return self.crowded.notify_one();
        }
        drop(logs);
        self.say(Event::Log(self.server.clone(), params()));
    }

    /// A resource changed.
    pub(super) fn updated(&self, params: Real<RawJson>) {
        self.say(Event::ResourceUpdated(self.server.clone(), params));
    }

    fn say(&self, event: Event) {
        if let Some(hear) = self.hearing.get() {
            hear(event);
        }
    }

    /// A list changed.
    pub(super) fn changed(&self, list: List) {
        self.changed.fetch_or(bit(list), Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// The list is about to be asked for: what was announced before is no news.
    pub(super) fn about_to_list(&self, list: List) {
        self.changed.fetch_and(!bit(list), Ordering::AcqRel);
    }

    /// Announces changes, each burst once, and what was left out.
    pub(super) async fn announce(&self) {
        tokio::join!(self.announce_changes(), self.tell_left_out());
    }

    async fn announce_changes(&self) {
        let mut hold = HOLD;
        let mut last = Instant::now();
        loop {
            self.wake.notified().await;
            hold = if last.elapsed() < hold * 4 { (hold * 2).min(HOLD_MOST) } else { HOLD };
            tokio::time::sleep(hold).await;
            last = Instant::now();
            let changed = self.changed.swap(0, Ordering::AcqRel);
            for list in [List::Tools, List::Resources, List::Prompts] {
                if changed & bit(list) != 0
                    && self.changes.send(ServerChange::List(self.server.clone(), list)).await.is_err()
                {
                    return;
                }
            }
        }
    }

    async fn tell_left_out(&self) {
        loop {
            self.crowded.notified().await;
            tokio::time::sleep(LEFT_OUT_INTERVAL).await;
            let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
            let left_out = std::mem::take(&mut logs.left_out);
            drop(logs);
            if left_out > 0 {
                self.say(Event::LogsLeftOut(self.server.clone(), left_out));
            }
        }
    }
}

const fn bit(list: List) -> u8 {
    match list {
        List::Tools => 1,
        List::Resources => 2,
        List::Prompts => 4,
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
        let (to, mut from) = mpsc::channel(MAX_WAITING);
        let events = Arc::new(Events::new(server(), to, Hearing::default()));
        let announcing = Arc::clone(&events);
        let task = tokio::spawn(async move { announcing.announce().await });
        for _ in 0..1000 {
            events.changed(List::Tools);
            events.changed(List::Prompts);
        }
        events.about_to_list(List::Prompts);
        let first = tokio::time::timeout(Duration::from_secs(10), from.recv()).await.expect("in time");
        assert!(matches!(first, Some(ServerChange::List(_, List::Tools))), "{first:?}");
        assert!(tokio::time::timeout(HOLD * 3, from.recv()).await.is_err(), "said twice");
        task.abort();
    }

    #[tokio::test]
    async fn of_a_flood_of_log_messages_each_is_passed_on_or_counted() {
        const SENT: u64 = 100_000;
        let (to, _changes) = mpsc::channel(MAX_WAITING);
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let sink: EventSink = Arc::new(move |event| heard.send(event).expect("it is heard"));
        let events = Arc::new(Events::new(server(), to, Arc::new(OnceLock::from(sink))));
        let announcing = Arc::clone(&events);
        let task = tokio::spawn(async move { announcing.announce().await });
        for _ in 0..SENT {
            events.log(|| Real::from_server(crate::json::raw("x")));
        }
        let (mut passed, mut left_out) = (0, 0);
        while passed + left_out < SENT {
            match tokio::time::timeout(Duration::from_secs(10), hearing.recv()).await.expect("in time") {
                Some(Event::Log(..)) => passed += 1,
                Some(Event::LogsLeftOut(_, count)) => left_out += count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(passed + left_out, SENT);
        // The flood may stretch over a few seconds of a busy machine.
        assert!(passed >= u64::from(LOGS_PER_SECOND) && passed < SENT / 2, "{passed} passed");
        task.abort();
    }
}
