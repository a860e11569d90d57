//! The requests that wait for a child's answer, and the one clock that watches over all of them.
//!
//! A timer of its own would cost every request a wake-up of the runtime's driver. One sleep until the first
//! of them could be late costs a request nothing, as long as answers come in time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{Answer, ProgressSink};

/// What waits for one child.
#[derive(Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
    /// A request came that can be late before all others.
    sooner: Notify,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Waiting>,
    /// Answers of which it could not be told whose they are, in the order in which they came.
    unclaimed: Vec<Unclaimed>,
    /// The notifications that the server may still answer, each by the id of the request that came after it.
    notifications: VecDeque<u64>,
    closed: bool,
    /// Until when the watch sleeps; none when it waits for a request.
    asleep_until: Option<Instant>,
}

struct Waiting {
    /// None once it is late: its caller has not left yet.
    answer: Option<oneshot::Sender<Outcome>>,
    progress: Option<ProgressSink>,
    limit: Duration,
    late_at: Instant,
}

/// An answer that belongs to one of the requests that were open when it came.
struct Unclaimed {
    /// The last id that was in use then.
    newest: u64,
    fault: String,
}

/// How many such answers are kept; one more is noise.
const MAX_UNCLAIMED: usize = 64;

/// How many notifications are remembered; the first go.
const MAX_NOTIFICATIONS: usize = 64;

/// What came of a request.
pub(super) enum Outcome {
    /// The child answered.
    Answer(Answer),
    /// The child's answer was too long.
    TooLong,
    /// The child's answer is none; what is wrong with it, in Portero's words.
    Malformed(String),
    /// The child was silent for too long.
    Late,
}

impl Pending {
    /// Takes a request in; none when the conversation is over. The sender is dropped when it ends first.
    pub(super) fn open(
        &self,
        id: u64,
        progress: Option<ProgressSink>,
        limit: Duration,
        late_at: Instant,
    ) -> Option<oneshot::Receiver<Outcome>> {
        let (answer, answered) = oneshot::channel();
        let mut table = self.lock();
        if table.closed {
            return None;
        }
        table.open.insert(id, Waiting { answer: Some(answer), progress, limit, late_at });
        if table.asleep_until.is_none_or(|until| late_at < until) {
            table.asleep_until = Some(late_at);
            self.sooner.notify_one();
        }
        Some(answered)
    }

    /// Forgets a request; true when its answer was still to come.
    pub(super) fn leave(&self, id: u64) -> bool {
        let mut table = self.lock();
        let was_open = table.open.remove(&id).is_some();
        table.claim();
        was_open
    }

    /// Takes in a request whose answer has no reader, so that a malformed one is not taken for another's.
    pub(super) fn open_unread(&self, id: u64, limit: Duration) {
        drop(self.open(id, None, limit, Instant::now() + limit));
    }

    /// Hands an outcome to the caller whose request it is; one that left meanwhile misses nothing.
    pub(super) fn settle(&self, id: u64, outcome: impl FnOnce() -> Outcome) {
        let mut table = self.lock();
        let waiting = table.open.remove(&id);
        if waiting.is_some() {
            table.answered(id);
        }
        table.claim();
        drop(table);
        if let Some(answer) = waiting.and_then(|waiting| waiting.answer) {
            let _ = answer.send(outcome());
        }
    }

    /// Settles the request that an answer was for that cannot be used and does not say whose it is.
    ///
    /// With one request open it is that one's. With several it is known by elimination: once all but as many
    /// are answered as such answers came, those that are left get them.
    pub(super) fn settle_unclaimed(&self, fault: String) {
        let mut table = self.lock();
        let Some(newest) = table.open.keys().max().copied() else { return };
        if table.unclaimed.len() < MAX_UNCLAIMED {
            table.unclaimed.push(Unclaimed { newest, fault });
        }
        table.claim();
    }

    /// A notification goes out; `next` is the id of the request that comes after it.
    pub(super) fn note_notification(&self, next: u64) {
        let mut table = self.lock();
        if table.notifications.len() == MAX_NOTIFICATIONS {
            table.notifications.pop_front();
        }
        table.notifications.push_back(next);
    }

    /// Whether an answer to no request can be one to a notification. It counts for one of them.
    pub(super) fn take_notification(&self) -> bool {
        self.lock().notifications.pop_front().is_some()
    }

    /// Tells every caller that the answer was too long.
    pub(super) fn settle_all_too_long(&self) {
        let open = std::mem::take(&mut self.lock().open);
        for answer in open.into_values().filter_map(|waiting| waiting.answer) {
            let _ = answer.send(Outcome::TooLong);
        }
    }

    /// The child showed that it is at work: its time starts anew. Where progress is to be reported.
    pub(super) fn heard_of(&self, id: u64) -> Option<ProgressSink> {
        let mut table = self.lock();
        let waiting = table.open.get_mut(&id)?;
        waiting.late_at = Instant::now() + waiting.limit;
        waiting.progress.clone()
    }

    /// Fails every open request and takes no more: the callers see their channels close.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        let open = std::mem::take(&mut table.open);
        drop(table);
        drop(open);
    }

    /// Tells callers that their answers are late, for as long as it is polled.
    pub(super) async fn watch(&self) {
        loop {
            match self.sweep(Instant::now()) {
                Some(until) => tokio::select! {
                    biased;
                    () = self.sooner.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                None => self.sooner.notified().await,
            }
        }
    }

    /// Tells who is late, and when to look again.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut table = self.lock();
        // Nobody leaves these.
        table.open.retain(|_, waiting| waiting.late_at > now || !waiting.is_unread());
        table.claim();
        for waiting in table.open.values_mut().filter(|waiting| waiting.late_at <= now) {
            if let Some(answer) = waiting.answer.take() {
                let _ = answer.send(Outcome::Late);
            }
        }
        let waiting = table.open.values().filter(|waiting| waiting.answer.is_some());
        table.asleep_until = waiting.map(|waiting| waiting.late_at).min();
        table.asleep_until
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A server that answered a request has dealt with the notifications before it.
    fn answered(&mut self, id: u64) {
        while self.notifications.front().is_some_and(|next| *next <= id) {
            self.notifications.pop_front();
        }
    }

    /// Hands out the answers that can belong to nobody else any more.
    fn claim(&mut self) {
        let mut count = 0;
        while let Some(unclaimed) = self.unclaimed.get(count) {
            count += 1;
            // Both grow, so the candidates of an earlier answer are among those of a later one.
            let candidates: Vec<u64> =
                self.open.keys().filter(|id| **id <= unclaimed.newest).copied().collect();
            if candidates.len() > count {
                continue;
            }
            let fault = unclaimed.fault.clone();
            for id in candidates {
                self.answered(id);
                if let Some(answer) = self.open.remove(&id).and_then(|waiting| waiting.answer) {
                    let _ = answer.send(Outcome::Malformed(fault.clone()));
                }
            }
            self.unclaimed.drain(..count);
            count = 0;
        }
    }
}

impl Waiting {
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
        let pending = Pending::default();
        let begin = Instant::now();
        let mut long = pending.open(1, None, 60 * SECOND, begin + 60 * SECOND).expect("open");
        let mut short = pending.open(2, None, SECOND, begin + SECOND).expect("open");
        assert_eq!(pending.sweep(begin), Some(begin + SECOND));
        assert!(short.try_recv().is_err(), "it has time left");
        assert_eq!(pending.sweep(begin + SECOND), Some(begin + 60 * SECOND));
        assert!(matches!(short.try_recv(), Ok(Outcome::Late)));
        assert!(pending.leave(2), "its server is to be told");
        assert!(long.try_recv().is_err(), "it has time left");
        assert_eq!(pending.sweep(begin + 60 * SECOND), None);
        assert!(matches!(long.try_recv(), Ok(Outcome::Late)));
    }

    #[test]
    fn a_sign_of_life_starts_the_time_anew() {
        let pending = Pending::default();
        let begin = Instant::now();
        let _answered = pending.open(1, None, 60 * SECOND, begin).expect("open");
        assert!(pending.heard_of(1).is_none(), "nobody follows its progress");
        assert!(pending.sweep(begin).is_some_and(|until| until >= begin + 60 * SECOND));
    }

    #[tokio::test]
    async fn whoever_is_late_first_is_told_first() {
        let pending = Arc::new(Pending::default());
        let watch = Arc::clone(&pending);
        tokio::spawn(async move { watch.watch().await });
        for _ in 0..2 {
            let now = Instant::now();
            let _long = pending.open(1, None, 600 * SECOND, now + 600 * SECOND).expect("open");
            tokio::task::yield_now().await;
            let short = pending.open(2, None, SECOND, now + SECOND / 1000).expect("open");
            assert!(matches!(short.await, Ok(Outcome::Late)));
            assert!(pending.leave(1) && pending.leave(2));
        }
    }

    fn open(pending: &Pending, ids: std::ops::RangeInclusive<u64>) -> Vec<oneshot::Receiver<Outcome>> {
        let late_at = Instant::now() + 60 * SECOND;
        ids.map(|id| pending.open(id, None, 60 * SECOND, late_at).expect("open")).collect()
    }

    fn is_malformed(answered: &mut oneshot::Receiver<Outcome>) -> bool {
        matches!(answered.try_recv(), Ok(Outcome::Malformed(_)))
    }

    #[test]
    fn an_answer_that_nobody_can_claim_is_that_of_the_only_request() {
        let pending = Pending::default();
        pending.settle_unclaimed("nobody waits".to_owned());
        let mut only = open(&pending, 1..=1).remove(0);
        assert!(only.try_recv().is_err(), "it came before the request");
        pending.settle_unclaimed("x".to_owned());
        assert!(is_malformed(&mut only));
        assert!(!pending.leave(1), "there is nothing to cancel");
    }

    #[test]
    fn among_several_requests_it_is_found_by_elimination() {
        let pending = Pending::default();
        let mut open_ones = open(&pending, 1..=3);
        pending.settle_unclaimed("x".to_owned());
        let mut later = open(&pending, 4..=4).remove(0);
        pending.settle(1, || Outcome::TooLong);
        assert!(open_ones[1..].iter_mut().all(|answered| answered.try_recv().is_err()));
        pending.settle(3, || Outcome::TooLong);
        assert!(is_malformed(&mut open_ones[1]), "it can be no other's");
        assert!(later.try_recv().is_err(), "it came after that");
        let mut last = open(&pending, 5..=5).remove(0);
        pending.settle_unclaimed("x".to_owned());
        pending.settle_unclaimed("x".to_owned());
        assert!(is_malformed(&mut later) && is_malformed(&mut last));
    }

    #[test]
    fn a_request_without_a_reader_claims_its_own_answer_and_ends_in_time() {
        let pending = Pending::default();
        pending.open_unread(1, 60 * SECOND);
        let mut read = open(&pending, 2..=2).remove(0);
        pending.settle_unclaimed("x".to_owned());
        assert!(read.try_recv().is_err(), "it may be the other's");
        pending.settle(1, || Outcome::TooLong);
        assert!(is_malformed(&mut read));
        pending.open_unread(3, SECOND);
        pending.sweep(Instant::now() + 2 * SECOND);
        assert!(!pending.leave(3));
    }

    #[test]
    fn a_request_without_a_reader_that_ends_leaves_an_answer_to_the_other() {
        let pending = Pending::default();
        pending.open_unread(1, SECOND);
        let mut read = open(&pending, 2..=2).remove(0);
        pending.settle_unclaimed("x".to_owned());
        assert!(read.try_recv().is_err(), "it may be the other's");
        pending.sweep(Instant::now() + 2 * SECOND);
        assert!(is_malformed(&mut read), "it can be no other's");
    }

    #[test]
    fn a_notification_is_answered_at_most_once_and_before_what_came_after_it() {
        let pending = Pending::default();
        assert!(!pending.take_notification());
        let _open = open(&pending, 1..=1);
        pending.note_notification(2);
        pending.note_notification(2);
        assert!(pending.take_notification());
        let _later = open(&pending, 2..=2);
        pending.settle(1, || Outcome::TooLong);
        pending.settle(7, || Outcome::TooLong);
        assert!(pending.take_notification(), "only what came before it was answered");
        pending.note_notification(2);
        pending.settle(2, || Outcome::TooLong);
        assert!(!pending.take_notification());
    }

    #[tokio::test]
    async fn after_the_end_nobody_waits() {
        let pending = Pending::default();
        let late_at = Instant::now() + SECOND;
        let answered = pending.open(1, None, SECOND, late_at).expect("open");
        pending.close();
        assert!(answered.await.is_err());
        assert!(pending.open(2, None, SECOND, late_at).is_none());
    }
}
