//! What one server says unasked, on its way to the fleet's owner.
//!
//! The channel is shared by all servers, so each has its own allowance in it; what a server says beyond that
//! is left out. That a list changed is never lost: it is held back for a moment and said once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::logs::Allowance;
use super::{Event, List};
use crate::names::ServerName;

/// How many events wait for the fleet's owner, of all servers together.
pub(super) const WAITING_MOST: usize = 1024;
/// How many log messages and resource updates a second one server may send.
const A_SECOND: u32 = 100;
/// How long a change is held back, so that a burst becomes one.
const HOLD: Duration = Duration::from_millis(100);
/// The longest that a server which never stops to announce changes is held back.
const HOLD_MOST: Duration = Duration::from_secs(10);

/// One server's part of the channel.
#[derive(Debug)]
pub(super) struct Events {
    server: ServerName,
    to: mpsc::Sender<Event>,
    allowance: Mutex<Allowance>,
    changed: AtomicU8,
    wake: Notify,
}

impl Events {
    pub(super) fn new(server: ServerName, to: mpsc::Sender<Event>) -> Self {
        Self {
            server,
            to,
            allowance: Mutex::new(Allowance::a_second(A_SECOND)),
            changed: AtomicU8::new(0),
            wake: Notify::new(),
        }
    }

    /// Passes an event on, unless the server talks too much or nobody keeps up.
    pub(super) fn say(&self, event: Event) {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        if !(allowance.take() && self.to.try_send(event).is_ok()) {
            tracing::debug!(server = %self.server, "an event was left out");
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

    /// Announces changes, each burst once.
    pub(super) async fn announce(&self) {
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
                    && self.to.send(Event::ListChanged(self.server.clone(), list)).await.is_err()
                {
                    return;
                }
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
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_burst_of_changes_is_announced_once_and_a_stale_one_never() {
        let (to, mut from) = mpsc::channel(WAITING_MOST);
        let events = Arc::new(Events::new("a".parse().expect("a name"), to));
        let announcing = Arc::clone(&events);
        let task = tokio::spawn(async move { announcing.announce().await });
        for _ in 0..1000 {
            events.changed(List::Tools);
            events.changed(List::Prompts);
        }
        events.about_to_list(List::Prompts);
        let first = tokio::time::timeout(Duration::from_secs(10), from.recv()).await.expect("in time");
        assert!(matches!(first, Some(Event::ListChanged(_, List::Tools))), "{first:?}");
        assert!(tokio::time::timeout(HOLD * 3, from.recv()).await.is_err(), "said twice");
        task.abort();
    }

    #[tokio::test]
    async fn a_flood_leaves_room_for_the_other_servers() {
        let (to, mut from) = mpsc::channel(WAITING_MOST);
        let events = Events::new("a".parse().expect("a name"), to);
        for _ in 0..100_000 {
            let params = crate::json::raw("x");
            events.say(Event::Log("a".parse().expect("a name"), crate::anonymize::Real::from_server(params)));
        }
        let mut passed = 0;
        while from.try_recv().is_ok() {
            passed += 1;
        }
        // The flood may stretch over a few seconds of a busy machine.
        assert!((1..WAITING_MOST / 2).contains(&passed), "{passed} of 100,000 events passed");
    }
}
