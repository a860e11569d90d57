//! The messages to one stream of a client, kept for a while so that a client can take it up again.
//!
//! Whoever writes never waits: a client that doesn't read costs a bounded buffer, from which the oldest notifications are
//! left out. Answers stay.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use portero::sync::lock;
use tokio::sync::Notify;

/// How much waits in a stream for a client that doesn't read. Answers don't count, and are never left out.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// The most notifications.
    pub max_notifications: usize,
    /// The most bytes of notifications. A longer one waits alone.
    pub max_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { max_notifications: 1024, max_bytes: 2 << 20 }
    }
}

/// From so many waiting notifications on, one that already waits isn't queued again.
const DEDUPLICATE_FROM: usize = 32;

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// Its number in the stream, from 1.
    pub number: u64,
    /// The JSON-RPC message, or the batch of answers.
    pub message: Arc<[u8]>,
    /// Whether it answers the client's message. Otherwise it is a notification.
    pub is_answer: bool,
}

/// The messages to one stream.
#[derive(Debug)]
pub struct EventStream {
    number: u64,
    limits: StreamLimits,
    state: Mutex<StreamState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct StreamState {
    events: VecDeque<StreamEvent>,
    /// The number of the last event.
    last: u64,
    /// The number of the last event that a reader took.
    delivered: u64,
    /// The bytes of the notifications.
    notification_bytes: usize,
    notifications: usize,
    /// The answers that are still to come.
    awaited: usize,
    ended: bool,
    /// Counts the readers. Only the last one gets events.
    reader: u64,
}

/// The one that reads a stream. Another one takes its place.
#[derive(Debug)]
pub struct StreamReader {
    stream: Arc<EventStream>,
    number: u64,
    after: u64,
}

impl EventStream {
    /// A stream for so many answers. One without any is open until it is ended.
    #[must_use]
    pub(super) fn new(number: u64, awaited: usize, limits: StreamLimits) -> Arc<Self> {
        let state = StreamState { awaited, ..StreamState::default() };
        Arc::new(Self { number, limits, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Its number in the session.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Adds a notification.
    pub(super) fn push_notification(&self, message: &[u8]) {
        let mut state = lock(&self.state);
        if state.ended {
            return;
        }
        // Updates and changes of lists say the same each time, so one that waits says it all.
        let waits = |event: &StreamEvent| event.number > state.delivered && *event.message == *message;
        if state.notifications >= DEDUPLICATE_FROM && state.events.iter().any(waits) {
            return;
        }
        state.notifications += 1;
        state.notification_bytes += message.len();
        state.add_event(message, false);
        state.limit_notifications(self.limits);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Adds the answer to one or several requests of the client. The stream ends with its last one.
    pub(super) fn push_answer(&self, message: &[u8], answered: usize) {
        let mut state = lock(&self.state);
        if state.ended {
            return;
        }
        state.add_event(message, true);
        state.awaited = state.awaited.saturating_sub(answered);
        state.ended = state.awaited == 0;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Notes that no answer comes to one request, because the client cancelled it.
    pub(super) fn forget_answer(&self) {
        let mut state = lock(&self.state);
        state.awaited = state.awaited.saturating_sub(1);
        state.ended |= state.awaited == 0;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the stream. What waits can still be read.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_waiters();
    }

    /// Whether it ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// The bytes of everything in it.
    pub(super) fn kept_bytes(&self) -> usize {
        lock(&self.state).events.iter().map(|event| event.message.len()).sum()
    }

    /// Returns once it has an event or has ended. True if all that it has is the one answer that it will ever have.
    pub async fn wait_for_first(&self) -> bool {
        self.when(|state| {
            let is_single = || state.ended && state.events.len() == 1 && state.events[0].is_answer;
            (state.ended || !state.events.is_empty()).then(is_single)
        })
        .await
    }

    /// The answers, once it has ended: for a client that takes nothing else.
    pub async fn wait_for_answers(&self) -> Vec<Arc<[u8]>> {
        self.when(|state| {
            let answers = state.events.iter().filter(|event| event.is_answer);
            state.ended.then(|| answers.map(|event| Arc::clone(&event.message)).collect())
        })
        .await
    }

    /// Reads the events after this one; `None` begins with those that no reader took. A former reader gets nothing more.
    #[must_use]
    pub fn read_after(self: &Arc<Self>, after: Option<u64>) -> StreamReader {
        let (number, after) = {
            let mut state = lock(&self.state);
            state.reader += 1;
            (state.reader, after.unwrap_or(state.delivered))
        };
        self.changed.notify_waiters();
        StreamReader { stream: Arc::clone(self), number, after }
    }

    /// Returns what `look` finds, once it finds something.
    async fn when<T>(&self, look: impl Fn(&mut StreamState) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the look, so that a change in between wakes it.
            changed.as_mut().enable();
            if let Some(found) = look(&mut lock(&self.state)) {
                return found;
            }
            changed.await;
        }
    }
}

impl StreamState {
    fn add_event(&mut self, message: &[u8], is_answer: bool) {
        self.last += 1;
        self.events.push_back(StreamEvent { number: self.last, message: message.into(), is_answer });
    }

    /// Leaves out the oldest notifications beyond the limits.
    fn limit_notifications(&mut self, limits: StreamLimits) {
        while self.notifications > limits.max_notifications
            || (self.notification_bytes > limits.max_bytes && self.notifications > 1)
        {
            let Some(oldest) = self.events.iter().position(|event| !event.is_answer) else { return };
            if let Some(event) = self.events.remove(oldest) {
                self.notifications -= 1;
                self.notification_bytes -= event.message.len();
            }
        }
    }
}

impl StreamReader {
    /// The number of the stream.
    #[must_use]
    pub fn stream_number(&self) -> u64 {
        self.stream.number
    }

    /// The number of the last event that it got, or after which it began.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.after
    }

    /// The next event; `None` at the end, or once another reader took this one's place. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Option<StreamEvent> {
        let (number, after) = (self.number, self.after);
        let next = self.stream.when(|state| {
            if state.reader != number {
                return Some(None);
            }
            let next = state.events.iter().find(|event| event.number > after).cloned();
            if let Some(event) = &next {
                state.delivered = state.delivered.max(event.number);
                return Some(next);
            }
            state.ended.then_some(None)
        });
        let next = next.await;
        if let Some(event) = &next {
            self.after = event.number;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_stream(number: u64, awaited: usize) -> Arc<EventStream> {
        EventStream::new(number, awaited, StreamLimits::default())
    }

    async fn read_all(reader: &mut StreamReader) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(event) = reader.next_event().await {
            read.push(format!("{} {}", event.number, String::from_utf8_lossy(&event.message)));
        }
        read
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_last_answer_and_can_be_taken_up_again() {
        let stream = open_stream(1, 2);
        stream.push_notification(b"n");
        stream.push_answer(b"a", 1);
        assert!(!stream.is_ended());
        stream.push_answer(b"b", 1);
        assert!(stream.is_ended());
        assert_eq!(read_all(&mut stream.read_after(None)).await, ["1 n", "2 a", "3 b"]);
        assert_eq!(read_all(&mut stream.read_after(Some(1))).await, ["2 a", "3 b"]);
        assert!(read_all(&mut stream.read_after(None)).await.is_empty(), "all was taken");
    }

    #[tokio::test]
    async fn a_second_reader_takes_the_place_of_the_first() {
        let stream = open_stream(0, 0);
        let mut first = stream.read_after(None);
        let mut second = stream.read_after(None);
        stream.push_notification(b"n");
        assert!(first.next_event().await.is_none());
        assert_eq!(second.next_event().await.unwrap().number, 1);
    }

    #[tokio::test]
    async fn only_a_single_answer_needs_no_stream() {
        let plain = open_stream(1, 1);
        plain.push_answer(b"a", 1);
        assert!(plain.wait_for_first().await);
        let with_progress = open_stream(2, 1);
        with_progress.push_notification(b"p");
        assert!(!with_progress.wait_for_first().await);
        with_progress.push_answer(b"a", 1);
        assert_eq!(with_progress.wait_for_answers().await.len(), 1);
        let cancelled = open_stream(3, 1);
        cancelled.forget_answer();
        assert!(!cancelled.wait_for_first().await && cancelled.is_ended());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_costs_a_bounded_buffer_and_keeps_its_answer() {
        let stream = open_stream(1, 1);
        for number in 0..5_000 {
            stream.push_notification(format!("{number} {}", "x".repeat(10_000)).as_bytes());
        }
        stream.push_answer(b"answer", 1);
        let limits = StreamLimits::default();
        assert!(stream.kept_bytes() <= limits.max_bytes + 20_000, "{}", stream.kept_bytes());
        let read = read_all(&mut stream.read_after(None)).await;
        assert!(
            read.len() <= limits.max_notifications + 1
                && read.last().is_some_and(|last| last.ends_with("answer"))
        );
        for _ in 0..100 {
            stream.push_notification(b"ended");
        }
        assert!(read_all(&mut stream.read_after(None)).await.is_empty());
    }

    #[tokio::test]
    async fn the_same_change_waits_once() {
        let stream = open_stream(0, 0);
        for _ in 0..10_000 {
            stream.push_notification(b"changed");
        }
        stream.push_notification(b"other");
        stream.end();
        let read = read_all(&mut stream.read_after(None)).await;
        assert!(read.len() <= DEDUPLICATE_FROM + 1, "{}", read.len());
        assert!(read.last().is_some_and(|last| last.ends_with("other")));
    }
}
