//! The only exit toward the agent. Its methods take only [`Fake`] values, what the client chose itself (ids,
//! tokens), and Portero's fixed text.
//!
//! Each part of the session appends lines here. The session's event loop takes all that is queued and writes
//! it at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::anonymize::Fake;
use crate::json::{self, RawJson, RawObject};
use crate::wire::{self, MalformedMessage, codes, modern};

/// With more queued bytes than this the client isn't reading, and messages that it can do without are left
/// out.
const MAX_QUEUED_BYTES: usize = 8 << 20;
/// A buffer that grew beyond this is released.
const MAX_RETAINED_BYTES: usize = 4 << 20;

/// Held progress larger than this loses its message. Its numbers are what counts.
const MAX_HELD_BYTES: usize = 4 << 10;

/// Lines on their way to the client.
#[derive(Debug, Default)]
pub(super) struct ClientQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// The `params` of the last progress of each token that found no room. While any is held the queue is over
    /// its limit, so held progress is never older than queued lines.
    held: BTreeMap<String, RawJson>,
}

impl Queue {
    fn write_progress(&mut self, params: &RawValue) {
        wire::write_notification(&mut self.lines, "notifications/progress", Some(params));
    }
}

/// A value that the client chose and gets back byte for byte: a request's id or a progress token.
#[derive(Debug, Clone)]
pub(super) struct RequestId(RawJson);

/// The shape of a result in the client's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultShape {
    /// Earlier revisions: without the members of the modern one.
    Legacy,
    /// With `resultType`.
    Modern,
    /// With `resultType`, `ttlMs` and `cacheScope`.
    ModernList,
}

impl RequestId {
    /// Takes the value from the client's message.
    pub(super) fn from_raw(value: &RawValue) -> Self {
        Self(value.to_owned())
    }

    /// Its bytes, as the client wrote them.
    pub(super) fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl ClientQueue {
    /// Swaps the queued lines for an empty buffer. Held progress moves up into the queue.
    pub(super) fn swap_queued(&self, empty: &mut Vec<u8>) {
        debug_assert!(empty.is_empty(), "the last batch is written");
        if empty.capacity() > MAX_RETAINED_BYTES {
            *empty = Vec::new();
        }
        self.with_queue(|queue| {
            // The queued lines go first. Held progress is newer, so it begins the next batch, under the same
            // lock.
            std::mem::swap(&mut queue.lines, empty);
            for params in std::mem::take(&mut queue.held).into_values() {
                queue.write_progress(&params);
            }
        });
        self.emptied.notify_waiters();
    }

    /// The number of queued bytes.
    pub(super) fn len(&self) -> usize {
        self.with_queue(|queue| queue.lines.len())
    }

    /// Resolves once the client keeps up.
    pub(super) async fn room(&self) {
        loop {
            // Registered before the check, so that a swap between check and await isn't missed.
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if !self.is_over_limit() {
                return;
            }
            emptied.await;
        }
    }

    /// Resolves once something was queued since the last call.
    pub(super) async fn wait_until_filled(&self) {
        self.filled.notified().await;
    }

    /// Queues a result.
    pub(super) fn queue_result(
        &self,
        to: &AnswerTarget,
        id: &RequestId,
        shape: ResultShape,
        result: &Fake<RawJson>,
    ) {
        self.write_answer(to, |out| write_shaped_result(out, id, shape, result));
    }

    /// Queues an error object: code, message, data.
    pub(super) fn queue_error(
        &self,
        to: &AnswerTarget,
        id: &RequestId,
        shape: ResultShape,
        error: &Fake<RawJson>,
    ) {
        self.write_answer(to, |out| write_shaped_error(out, id, shape, error));
    }

    /// Queues an error with Portero's fixed text.
    pub(super) fn queue_fixed_error(
        &self,
        to: &AnswerTarget,
        id: &RequestId,
        code: i32,
        words: Fake<&'static str>,
    ) {
        let error = wire::answer_error_object(code, words.get(), None);
        self.write_answer(to, |out| wire::write_error(out, id.as_raw(), &error));
    }

    /// Queues the answer to a line, or a batch member, that is no message.
    pub(super) fn queue_malformed(&self, to: &AnswerTarget, malformed: &MalformedMessage) {
        self.write_answer(to, |out| wire::write_malformed_error(out, malformed));
    }

    /// Queues the answer to a line that was too long to read.
    pub(super) fn queue_too_long(&self, limit: usize, id: Option<RawJson>) {
        self.push_line(|out| wire::write_too_long_error(out, limit, id));
    }

    /// Queues a notification.
    pub(super) fn queue_notification(&self, method: &'static str, params: Option<&Fake<RawJson>>) {
        self.push_line(|out| wire::write_notification(out, method, params.map(|params| &**params.get())));
    }

    /// Queues a notification that belongs to the listen request `id`.
    pub(super) fn queue_subscription_notification(
        &self,
        id: &RequestId,
        method: &'static str,
        params: Option<&Fake<RawJson>>,
    ) {
        let params = modern::mark_subscription(id.as_raw(), params.map(|params| &**params.get()));
        self.push_line(|out| wire::write_notification(out, method, Some(&params)));
    }

    /// Queues the acknowledgement of the listen request `id`. The filter holds URIs that the client chose.
    pub(super) fn queue_acknowledgement(&self, id: &RequestId, granted: &modern::SubscriptionFilter) {
        let params = modern::acknowledged_params(id.as_raw(), granted);
        self.push_line(|out| wire::write_notification(out, modern::ACKNOWLEDGED_METHOD, Some(&params)));
    }

    /// Queues the result that ends the listen request `id` regularly.
    pub(super) fn queue_listen_result(&self, id: &RequestId) {
        self.push_line(|out| wire::write_result(out, id.as_raw(), &modern::listen_result(id.as_raw())));
    }

    /// Queues progress under the client's own token. While the client doesn't keep up, the last progress of
    /// each token is held. It follows once there is room, or right before the answer.
    pub(super) fn queue_progress(&self, token: &RequestId, params: &Fake<RawJson>) {
        let Ok(object) = RawObject::read(params.get()) else { return };
        let object = object.with_member(modern::PROGRESS_TOKEN, token.as_raw());
        self.with_queue(|queue| {
            if queue.lines.len() <= MAX_QUEUED_BYTES {
                return queue.write_progress(&object.to_raw());
            }
            let is_short = params.get().get().len() <= MAX_HELD_BYTES;
            let held = if is_short { object } else { object.without_members(|key| !is_measure(key)) };
            queue.held.insert(token.as_raw().get().to_owned(), held.to_raw());
        });
        // Also for held progress: the loop must wake to move it up once the queue is empty.
        self.filled.notify_one();
    }

    /// Queues held progress of this token, because its answer comes next.
    pub(super) fn let_progress_go(&self, token: &RequestId) {
        self.with_queue(|queue| {
            if let Some(params) = queue.held.remove(token.as_raw().get()) {
                queue.write_progress(&params);
            }
        });
    }

    /// Drops held progress of this token, because no answer comes.
    pub(super) fn forget_progress(&self, token: &RequestId) {
        self.with_queue(|queue| queue.held.remove(token.as_raw().get()));
    }

    /// Whether the client doesn't keep up.
    pub(super) fn is_over_limit(&self) -> bool {
        self.len() > MAX_QUEUED_BYTES
    }

    /// Queues a log message. Returns false, without queueing it, if the client doesn't keep up.
    #[must_use]
    pub(super) fn queue_log(&self, params: &Fake<RawJson>) -> bool {
        let has_room = !self.is_over_limit();
        if has_room {
            self.queue_notification("notifications/message", Some(params));
        }
        has_room
    }

    /// Queues the answers of a batch as one line.
    pub(super) fn queue_batch(&self, answers: &AnswerBatch) {
        let lines = std::mem::take(&mut answers.0.lock().unwrap_or_else(PoisonError::into_inner).lines);
        if lines.is_empty() {
            return;
        }
        self.push_line(|out| wire::write_batch(out, &lines));
    }

    fn write_answer(&self, to: &AnswerTarget, write: impl FnOnce(&mut Vec<u8>)) {
        match to {
            AnswerTarget::Line => self.push_line(write),
            AnswerTarget::Batch(batch) => batch.with_state(|answers| write(&mut answers.lines)),
        }
    }

    fn push_line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.with_queue(|queue| write(&mut queue.lines));
        self.filled.notify_one();
    }

    fn with_queue<T>(&self, look: impl FnOnce(&mut Queue) -> T) -> T {
        look(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a member of progress is its token or one of its numbers.
fn is_measure(key: &str) -> bool {
    matches!(key, modern::PROGRESS_TOKEN | "progress" | "total")
}

/// Where an answer goes.
#[derive(Clone)]
pub(super) enum AnswerTarget {
    /// On a line of its own.
    Line,
    /// Into the one line that answers a batch.
    Batch(Arc<AnswerBatch>),
}

/// The answers to one batch, collected until the last one arrives (2025-03-26, Base Protocol, "Batching").
#[derive(Debug, Default)]
pub(super) struct AnswerBatch(Mutex<BatchState>);

#[derive(Debug, Default)]
struct BatchState {
    lines: Vec<u8>,
    outstanding: usize,
}

impl AnswerBatch {
    /// Registers one more expected answer.
    pub(super) fn expect_answer(&self) {
        self.with_state(|answers| answers.outstanding += 1);
    }

    /// Settles one expected answer; true if it was the last.
    pub(super) fn settle_answer(&self) -> bool {
        self.with_state(|answers| {
            answers.outstanding -= 1;
            answers.outstanding == 0
        })
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut BatchState) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes a result. Most results need only a prefix, so a large one is copied once and not parsed.
fn write_shaped_result(out: &mut Vec<u8>, id: &RequestId, shape: ResultShape, result: &Fake<RawJson>) {
    let result = result.get();
    let bare = !mentions_modern_members(result);
    match shape {
        ResultShape::Legacy if bare => wire::write_result(out, id.as_raw(), result),
        // The slow road: only a result that may hold a modern member is parsed, and loses it.
        ResultShape::Legacy => {
            wire::write_result(out, id.as_raw(), &modern::strip_modern_members(result.clone()))
        }
        ResultShape::Modern if bare && is_single_line_object(result) => {
            out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
            out.extend_from_slice(id.as_raw().get().as_bytes());
            out.extend_from_slice(b",\"result\":{\"resultType\":\"complete\",");
            out.extend_from_slice(&result.get().as_bytes()[1..]);
            out.extend_from_slice(b"}\n");
        }
        ResultShape::Modern => wire::write_result(out, id.as_raw(), &modern::mark_complete(result.clone())),
        ResultShape::ModernList => {
            wire::write_result(out, id.as_raw(), &modern::mark_list_result(result.clone()))
        }
    }
}

/// Writes an error. The modern revision has no code of its own for a missing resource, so its code is
/// replaced.
fn write_shaped_error(out: &mut Vec<u8>, id: &RequestId, shape: ResultShape, error: &Fake<RawJson>) {
    let object = RawObject::read(error.get()).unwrap_or_default();
    let not_found =
        object.get("code").and_then(|code| code.get().parse().ok()) == Some(codes::RESOURCE_NOT_FOUND);
    if shape != ResultShape::Legacy && not_found {
        let code = json::serialize_raw(&codes::INVALID_PARAMS);
        wire::write_error(out, id.as_raw(), &object.with_member("code", &code).to_raw());
    } else {
        wire::write_error(out, id.as_raw(), error.get());
    }
}

/// Whether it is an object with a member right after its brace, on one line.
fn is_single_line_object(result: &RawValue) -> bool {
    let bytes = result.get().as_bytes();
    bytes.starts_with(b"{\"") && memchr::memchr2(b'\n', b'\r', bytes).is_none()
}

fn mentions_modern_members(result: &RawValue) -> bool {
    let bytes = result.get().as_bytes();
    // `\u` may spell a member's name too, so a result with it is parsed to be sure.
    [&b"resultType"[..], b"ttlMs", b"cacheScope", b"\\u"]
        .iter()
        .any(|word| memchr::memmem::find(bytes, word).is_some())
}
