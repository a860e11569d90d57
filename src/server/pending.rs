//! The requests that wait for a child's answer, and the one timer that watches all of them.
//!
//! A timer for each request would wake the runtime's driver for each. One sleep until the earliest deadline
//! costs a request nothing, as long as answers come in time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::http_fault::HttpFault;
use super::{ProgressSink, ServerAnswer};
use crate::sync::lock;

/// The requests that wait for one child.
#[derive(Default)]
pub(super) struct PendingRequests {
    table: Mutex<PendingTable>,
    /// Notified when a new request has the earliest deadline.
    earlier_deadline: Notify,
}

#[derive(Default)]
struct PendingTable {
    open: HashMap<u64, PendingAnswer>,
    /// Answers that couldn't be matched to a request, in order of arrival.
    unclaimed: Vec<UnclaimedAnswer>,
    /// Notifications that the server may still answer, each as the id of the request after it.
    notifications: VecDeque<u64>,
    closed: bool,
    /// How long the watch sleeps; none if it waits for a request.
    asleep_until: Option<Instant>,
}

struct PendingAnswer {
    /// None once it is late, while its caller hasn't left yet.
    answer: Option<oneshot::Sender<RequestOutcome>>,
    progress: Option<ProgressSink>,
    timeout: Duration,
    deadline: Instant,
}

/// An answer that belongs to one of the requests that were open when it came.
struct UnclaimedAnswer {
    /// The highest open id at that time.
    newest_id: u64,
    fault: String,
}

/// How many such answers are kept. Further ones are noise.
const MAX_UNCLAIMED_ANSWERS: usize = 64;

/// How many notifications are remembered. The oldest are dropped.
const MAX_NOTIFICATIONS: usize = 64;

/// The outcome of a request.
pub(super) enum RequestOutcome {
    /// The child answered.
    Answer(ServerAnswer),
    /// The child's answer was too long.
    TooLong,
    /// The child's answer was unusable, with the fault in Portero's words.
    Malformed(String),
    /// The child was silent for too long.
    Late,
    /// The transport got no answer.
    Fault(HttpFault),
}

impl PendingRequests {
    /// Registers a request. Returns `None` if the conversation is over. If it ends later, the sender is
    /// dropped.
    pub(super) fn register(
        &self,
        id: u64,
        progress: Option<ProgressSink>,
        limit: Duration,
        late_at: Instant,
    ) -> Option<oneshot::Receiver<RequestOutcome>> {
        let (answer, answered) = oneshot::channel();
        let mut table = self.lock_table();
        if table.closed {
            return None;
        }
        table
            .open
            .insert(id, PendingAnswer { answer: Some(answer), progress, timeout: limit, deadline: late_at });
        // Only an earlier deadline wakes the watch. In the common case of equal timeouts it sleeps on.
        if table.asleep_until.is_none_or(|until| late_at < until) {
            table.asleep_until = Some(late_at);
            self.earlier_deadline.notify_one();
        }
        Some(answered)
    }

    /// Removes a request. Returns true if its answer was still to come.
    pub(super) fn abandon(&self, id: u64) -> bool {
        let mut table = self.lock_table();
        let was_open = table.open.remove(&id).is_some();
        // One request less may leave an unclaimed answer with a single candidate.
        table.assign_unclaimed();
        was_open
    }

    /// Registers a request whose answer has no reader, so that a malformed one isn't taken for another
    /// request's.
    pub(super) fn register_unread(&self, id: u64, limit: Duration) {
        drop(self.register(id, None, limit, Instant::now() + limit));
    }

    /// Sends an outcome to the request's caller. A caller that has left misses nothing.
    pub(super) fn settle_request(&self, id: u64, outcome: impl FnOnce() -> RequestOutcome) {
        let mut table = self.lock_table();
        let waiting = table.open.remove(&id);
        if waiting.is_some() {
            table.forget_notifications_before(id);
        }
        table.assign_unclaimed();
        // Released first, so that a woken caller never waits for this lock.
        drop(table);
        if let Some(answer) = waiting.and_then(|waiting| waiting.answer) {
            let _ = answer.send(outcome());
        }
    }

    /// Settles the request of an unusable answer that doesn't name its request.
    ///
    /// If one request is open, the answer is for that one. Otherwise elimination decides: once no more
    /// requests are left than such answers arrived, all of these requests get them.
    pub(super) fn settle_unclaimed(&self, fault: String) {
        let mut table = self.lock_table();
        // Requests sent after this answer arrived can't be meant, and all later ids are higher.
        let Some(newest) = table.open.keys().max().copied() else { return };
        if table.unclaimed.len() < MAX_UNCLAIMED_ANSWERS {
            table.unclaimed.push(UnclaimedAnswer { newest_id: newest, fault });
        }
        table.assign_unclaimed();
    }

    /// Records an outgoing notification. `next` is the id of the request that comes after it.
    pub(super) fn record_notification(&self, next: u64) {
        let mut table = self.lock_table();
        if table.notifications.len() == MAX_NOTIFICATIONS {
            table.notifications.pop_front();
        }
        table.notifications.push_back(next);
    }

    /// Whether an answer to no request can be one to a notification. Each notification counts once.
    pub(super) fn take_notification(&self) -> bool {
        self.lock_table().notifications.pop_front().is_some()
    }

    /// Fails every open request because an answer was too long.
    pub(super) fn settle_all_too_long(&self) {
        let open = std::mem::take(&mut self.lock_table().open);
        for answer in open.into_values().filter_map(|waiting| waiting.answer) {
            let _ = answer.send(RequestOutcome::TooLong);
        }
    }

    /// Restarts a request's time, because the child shows that it is working. Returns the sink for its
    /// progress.
    pub(super) fn extend_deadline(&self, id: u64) -> Option<ProgressSink> {
        let mut table = self.lock_table();
        let waiting = table.open.get_mut(&id)?;
        waiting.deadline = Instant::now() + waiting.timeout;
        waiting.progress.clone()
    }

    /// Fails every open request and accepts no more. Callers see their channels close.
    pub(super) fn close(&self) {
        let mut table = self.lock_table();
        table.closed = true;
        let open = std::mem::take(&mut table.open);
        // Dropped outside the lock, because dropping a sender wakes its caller.
        drop(table);
        drop(open);
    }

    /// Reports late answers to their callers, for as long as it is polled.
    pub(super) async fn watch_deadlines(&self) {
        loop {
            match self.sweep_late(Instant::now()) {
                Some(until) => tokio::select! {
                    // A notification between the sweep and this wait isn't lost: `notify_one` keeps a permit.
                    biased;
                    () = self.earlier_deadline.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                None => self.earlier_deadline.notified().await,
            }
        }
    }

    /// Reports late requests, and returns when to look again.
    fn sweep_late(&self, now: Instant) -> Option<Instant> {
        let mut table = self.lock_table();
        // These have no caller that would abandon them.
        table.open.retain(|_, waiting| waiting.deadline > now || !waiting.is_unread());
        table.assign_unclaimed();
        // A late request stays in the table until its caller leaves. Until then an unclaimed answer may still
        // be its own.
        for waiting in table.open.values_mut().filter(|waiting| waiting.deadline <= now) {
            if let Some(answer) = waiting.answer.take() {
                let _ = answer.send(RequestOutcome::Late);
            }
        }
        let waiting = table.open.values().filter(|waiting| waiting.answer.is_some());
        table.asleep_until = waiting.map(|waiting| waiting.deadline).min();
        table.asleep_until
    }

    fn lock_table(&self) -> MutexGuard<'_, PendingTable> {
        lock(&self.table)
    }
}

impl PendingTable {
    /// A server that answers a request has dealt with the notifications before it.
    fn forget_notifications_before(&mut self, id: u64) {
        while self.notifications.front().is_some_and(|next| *next <= id) {
            self.notifications.pop_front();
        }
    }

    /// Settles the requests whose answers are known by elimination.
    fn assign_unclaimed(&mut self) {
        let mut count = 0;
        while let Some(unclaimed) = self.unclaimed.get(count) {
            count += 1;
            // Arrival order and `newest_id` both grow, so the candidates of an earlier answer are among those
            // of a later one.
            let candidates: Vec<u64> =
                self.open.keys().filter(|id| **id <= unclaimed.newest_id).copied().collect();
            // `count` answers have at most `count` candidates, so each of these requests has one of them.
            // Which one doesn't matter, since all of them failed.
            if candidates.len() > count {
                continue;
            }
            let fault = unclaimed.fault.clone();
            for id in candidates {
                self.forget_notifications_before(id);
                if let Some(answer) = self.open.remove(&id).and_then(|waiting| waiting.answer) {
                    let _ = answer.send(RequestOutcome::Malformed(fault.clone()));
                }
            }
            // From the start again: fewer open requests may settle answers that were ambiguous before.
            self.unclaimed.drain(..count);
            count = 0;
        }
    }
}

impl PendingAnswer {
    /// Whether its answer has no reader.
    fn is_unread(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_request_is_late_in_its_own_time() {
        let pending = PendingRequests::default();
        let begin = Instant::now();
        let mut long = pending.register(1, None, 60 * SECOND, begin + 60 * SECOND).expect("open");
        let mut short = pending.register(2, None, SECOND, begin + SECOND).expect("open");
        assert_eq!(pending.sweep_late(begin), Some(begin + SECOND));
        assert!(short.try_recv().is_err(), "it has time left");
        assert_eq!(pending.sweep_late(begin + SECOND), Some(begin + 60 * SECOND));
        assert!(matches!(short.try_recv(), Ok(RequestOutcome::Late)));
        assert!(pending.abandon(2), "its server is to be told");
        assert!(long.try_recv().is_err(), "it has time left");
        assert_eq!(pending.sweep_late(begin + 60 * SECOND), None);
        assert!(matches!(long.try_recv(), Ok(RequestOutcome::Late)));
    }

    #[test]
    fn a_sign_of_life_starts_the_time_anew() {
        let pending = PendingRequests::default();
        let begin = Instant::now();
        let _answered = pending.register(1, None, 60 * SECOND, begin).expect("open");
        assert!(pending.extend_deadline(1).is_none(), "nobody follows its progress");
        assert!(pending.sweep_late(begin).is_some_and(|until| until >= begin + 60 * SECOND));
    }

    #[tokio::test]
    async fn whoever_is_late_first_is_told_first() {
        let pending = Arc::new(PendingRequests::default());
        let watch = Arc::clone(&pending);
        tokio::spawn(async move { watch.watch_deadlines().await });
        for _ in 0..2 {
            let now = Instant::now();
            let _long = pending.register(1, None, 600 * SECOND, now + 600 * SECOND).expect("open");
            tokio::task::yield_now().await;
            let short = pending.register(2, None, SECOND, now + SECOND / 1000).expect("open");
            assert!(matches!(short.await, Ok(RequestOutcome::Late)));
            assert!(pending.abandon(1) && pending.abandon(2));
        }
    }

    fn register_all(
        pending: &PendingRequests,
        ids: std::ops::RangeInclusive<u64>,
    ) -> Vec<oneshot::Receiver<RequestOutcome>> {
        let late_at = Instant::now() + 60 * SECOND;
        ids.map(|id| pending.register(id, None, 60 * SECOND, late_at).expect("open")).collect()
    }

    fn is_malformed(answered: &mut oneshot::Receiver<RequestOutcome>) -> bool {
        matches!(answered.try_recv(), Ok(RequestOutcome::Malformed(_)))
    }

    #[test]
    fn an_answer_that_nobody_can_claim_is_that_of_the_only_request() {
        let pending = PendingRequests::default();
        pending.settle_unclaimed("nobody waits".to_owned());
        let mut only = register_all(&pending, 1..=1).remove(0);
        assert!(only.try_recv().is_err(), "it came before the request");
        pending.settle_unclaimed("x".to_owned());
        assert!(is_malformed(&mut only));
        assert!(!pending.abandon(1), "there is nothing to cancel");
    }

    #[test]
    fn among_several_requests_it_is_found_by_elimination() {
        let pending = PendingRequests::default();
        let mut open_ones = register_all(&pending, 1..=3);
        pending.settle_unclaimed("x".to_owned());
        let mut later = register_all(&pending, 4..=4).remove(0);
        pending.settle_request(1, || RequestOutcome::TooLong);
        assert!(open_ones[1..].iter_mut().all(|answered| answered.try_recv().is_err()));
        pending.settle_request(3, || RequestOutcome::TooLong);
        assert!(is_malformed(&mut open_ones[1]), "it can be no other's");
        assert!(later.try_recv().is_err(), "it came after that");
        let mut last = register_all(&pending, 5..=5).remove(0);
        pending.settle_unclaimed("x".to_owned());
        pending.settle_unclaimed("x".to_owned());
        assert!(is_malformed(&mut later) && is_malformed(&mut last));
    }

    #[test]
    fn a_request_without_a_reader_claims_its_own_answer_and_ends_in_time() {
        let pending = PendingRequests::default();
        pending.register_unread(1, 60 * SECOND);
        let mut read = register_all(&pending, 2..=2).remove(0);
        pending.settle_unclaimed("x".to_owned());
        assert!(read.try_recv().is_err(), "it may be the other's");
        pending.settle_request(1, || RequestOutcome::TooLong);
        assert!(is_malformed(&mut read));
        pending.register_unread(3, SECOND);
        pending.sweep_late(Instant::now() + 2 * SECOND);
        assert!(!pending.abandon(3));
    }

    #[test]
    fn a_request_without_a_reader_that_ends_leaves_an_answer_to_the_other() {
        let pending = PendingRequests::default();
        pending.register_unread(1, SECOND);
        let mut read = register_all(&pending, 2..=2).remove(0);
        pending.settle_unclaimed("x".to_owned());
        assert!(read.try_recv().is_err(), "it may be the other's");
        pending.sweep_late(Instant::now() + 2 * SECOND);
        assert!(is_malformed(&mut read), "it can be no other's");
    }

    #[test]
    fn a_notification_is_answered_at_most_once_and_before_what_came_after_it() {
        let pending = PendingRequests::default();
        assert!(!pending.take_notification());
        let _open = register_all(&pending, 1..=1);
        pending.record_notification(2);
        pending.record_notification(2);
        assert!(pending.take_notification());
        let _later = register_all(&pending, 2..=2);
        pending.settle_request(1, || RequestOutcome::TooLong);
        pending.settle_request(7, || RequestOutcome::TooLong);
        assert!(pending.take_notification(), "only what came before it was answered");
        pending.record_notification(2);
        pending.settle_request(2, || RequestOutcome::TooLong);
        assert!(!pending.take_notification());
    }

    #[tokio::test]
    async fn after_the_end_nobody_waits() {
        let pending = PendingRequests::default();
        let late_at = Instant::now() + SECOND;
        let answered = pending.register(1, None, SECOND, late_at).expect("open");
        pending.close();
        assert!(answered.await.is_err());
        assert!(pending.register(2, None, SECOND, late_at).is_none());
    }
}
