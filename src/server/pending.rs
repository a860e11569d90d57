//! The requests that wait for a child's answer, and the one clock that watches over all of them.
//!
//! A timer of its own would cost every request a wake-up of the runtime's driver. One sleep until the first
//! of them could be late costs a request nothing, as long as answers come in time.

use std::collections::HashMap;
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

/// What came of a request.
pub(super) enum Outcome {
    /// The child answered.
    Answer(Answer),
    /// The child's answer was too long.
    TooLong,
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
        self.lock().open.remove(&id).is_some()
    }

    /// Hands an outcome to the caller whose request it is; one that left meanwhile misses nothing.
    pub(super) fn settle(&self, id: u64, outcome: impl FnOnce() -> Outcome) {
        let waiting = self.lock().open.remove(&id);
        if let Some(answer) = waiting.and_then(|waiting| waiting.answer) {
            let _ = answer.send(outcome());
        }
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
