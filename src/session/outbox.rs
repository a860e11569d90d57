//! The only exit toward the agent: everything that is written passes here, and the methods take nothing but
//! [`Fake`] values beside what the client itself chose (ids, tokens) and Portero's fixed words.
//!
//! Whoever has something to say appends a line; the session's loop takes everything that is queued and
//! writes it at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::anonymize::Fake;
use crate::json::{self, Object, RawJson};
use crate::wire::{self, Malformed, codes, modern};

/// Beyond so many queued bytes the client does not read, and what it can do without is left out.
const CROWDED: usize = 8 << 20;
/// A buffer that grew beyond this is given back.
const KEEP: usize = 4 << 20;

/// Progress with more than this in it is held without its message: what counts is how far it has come.
const MAX_HELD_BYTES: usize = 4 << 10;

/// Lines on their way to the client.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// The `params` of the last progress of each token for which there was no room. The queue is crowded while any is
    /// held, so what is held is never older than what is queued.
    held: BTreeMap<String, RawJson>,
}

impl Queue {
    fn write_progress(&mut self, params: &RawValue) {
        wire::write_notification(&mut self.lines, "notifications/progress", Some(params));
    }
}

/// What the client itself chose and gets back byte for byte: a request's id, a progress token.
#[derive(Debug, Clone)]
pub(super) struct Echo(RawJson);

/// How a result is dressed for the client's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dress {
    /// As earlier revisions have it: without what only the modern one knows.
    Legacy,
    /// With `resultType`.
    Modern,
    /// With `resultType`, `ttlMs` and `cacheScope`.
    ModernList,
}

impl Echo {
    /// Takes what stood in the client's message.
    pub(super) fn of(value: &RawValue) -> Self {
        Self(value.to_owned())
    }

    /// Its bytes.
    pub(super) fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl Outbox {
    /// Exchanges what is queued for an empty buffer.
    pub(super) fn take(&self, empty: &mut Vec<u8>) {
        debug_assert!(empty.is_empty(), "the last batch is written");
        if empty.capacity() > KEEP {
            *empty = Vec::new();
        }
        self.with(|queue| {
            std::mem::swap(&mut queue.lines, empty);
            for params in std::mem::take(&mut queue.held).into_values() {
                queue.write_progress(&params);
            }
        });
        self.emptied.notify_waiters();
    }

    /// How many bytes are queued.
    pub(super) fn len(&self) -> usize {
        self.with(|queue| queue.lines.len())
    }

    /// Resolves once the client keeps up.
    pub(super) async fn room(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if !self.is_crowded() {
                return;
            }
            emptied.await;
        }
    }

    /// Resolves once something was queued since this was last awaited.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Queues a result.
    pub(super) fn result(&self, id: &Echo, dress: Dress, result: &Fake<RawJson>) {
        self.line(|out| write_result(out, id, dress, result));
    }

    /// Queues an error object: code, message, data.
    pub(super) fn error(&self, id: &Echo, dress: Dress, error: &Fake<RawJson>) {
        self.line(|out| write_error(out, id, dress, error));
    }

    /// Queues an error in Portero's fixed words.
    pub(super) fn fixed_error(&self, id: &Echo, code: i32, words: Fake<&'static str>) {
        self.line(|out| wire::write_error(out, id.raw(), &wire::error(code, words.get(), None)));
    }

    /// Queues the answer to a line that is no message.
    pub(super) fn malformed(&self, malformed: &Malformed) {
        self.line(|out| wire::write_malformed(out, malformed));
    }

    /// Queues the answer to a line that was too long to be read.
    pub(super) fn too_long(&self, limit: usize, id: Option<RawJson>) {
        self.line(|out| wire::write_too_long(out, limit, id));
    }

    /// Queues a notification.
    pub(super) fn notification(&self, method: &'static str, params: Option<&Fake<RawJson>>) {
        self.line(|out| wire::write_notification(out, method, params.map(|params| &**params.get())));
    }

    /// Queues a notification that belongs to the listen request `id`.
    pub(super) fn on_subscription(&self, id: &Echo, method: &'static str, params: Option<&Fake<RawJson>>) {
        let params = modern::on_subscription(id.raw(), params.map(|params| &**params.get()));
        self.line(|out| wire::write_notification(out, method, Some(&params)));
    }

    /// Queues the acknowledgement of the listen request `id`. The filter holds URIs that the client chose.
    pub(super) fn acknowledged(&self, id: &Echo, granted: &modern::Filter) {
        let params = modern::acknowledged(id.raw(), granted);
        self.line(|out| wire::write_notification(out, modern::ACKNOWLEDGED, Some(&params)));
    }

    /// Queues the result that ends the listen request `id` in order.
    pub(super) fn listen_ended(&self, id: &Echo) {
        self.line(|out| wire::write_result(out, id.raw(), &modern::listen_result(id.raw())));
    }

    /// Queues progress under the client's own token. While the client does not keep up, the last of each token is held,
    /// and follows once there is room, or before the answer.
    pub(super) fn progress(&self, token: &Echo, params: &Fake<RawJson>) {
        let Ok(object) = Object::read(params.get()) else { return };
        let object = object.with(modern::PROGRESS_TOKEN, token.raw());
        self.with(|queue| {
            if queue.lines.len() <= CROWDED {
                return queue.write_progress(&object.to_raw());
            }
            let is_short = params.get().get().len() <= MAX_HELD_BYTES;
            let held = if is_short { object } else { object.without(|key| !is_measure(key)) };
            queue.held.insert(token.raw().get().to_owned(), held.to_raw());
        });
        self.filled.notify_one();
    }

    /// Queues the progress under this token that is held, since the answer comes next.
    pub(super) fn let_progress_go(&self, token: &Echo) {
        self.with(|queue| {
            if let Some(params) = queue.held.remove(token.raw().get()) {
                queue.write_progress(&params);
            }
        });
    }

    /// Forgets the progress under this token that is held: no answer comes.
    pub(super) fn forget_progress(&self, token: &Echo) {
        self.with(|queue| queue.held.remove(token.raw().get()));
    }

    /// Whether the client does not keep up.
    pub(super) fn is_crowded(&self) -> bool {
        self.len() > CROWDED
    }

    /// Queues a log message; false, and nothing, when the client does not keep up.
    #[must_use]
    pub(super) fn log(&self, params: &Fake<RawJson>) -> bool {
        let has_room = !self.is_crowded();
        if has_room {
            self.notification("notifications/message", Some(params));
        }
        has_room
    }

    /// Queues the answers of a batch as one line.
    pub(super) fn batch(&self, answers: &Batch) {
        let lines = std::mem::take(&mut answers.0.lock().unwrap_or_else(PoisonError::into_inner).lines);
        if lines.is_empty() {
            return;
        }
        self.line(|out| wire::write_batch(out, &lines));
    }

    fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.with(|queue| write(&mut queue.lines));
        self.filled.notify_one();
    }

    fn with<T>(&self, look: impl FnOnce(&mut Queue) -> T) -> T {
        look(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a member of progress says how far it has come, and of what.
fn is_measure(key: &str) -> bool {
    matches!(key, modern::PROGRESS_TOKEN | "progress" | "total")
}

/// The answers to one batch, until the last of them is there (2025-03-26, Base Protocol, "Batching").
#[derive(Debug, Default)]
pub(super) struct Batch(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    lines: Vec<u8>,
    outstanding: usize,
}

impl Batch {
    /// One more answer is to come.
    pub(super) fn expect(&self) {
        self.with(|answers| answers.outstanding += 1);
    }

    /// One answer less is to come; true when it was the last.
    pub(super) fn settle(&self) -> bool {
        self.with(|answers| {
            answers.outstanding -= 1;
            answers.outstanding == 0
        })
    }

    /// Adds a result.
    pub(super) fn result(&self, id: &Echo, dress: Dress, result: &Fake<RawJson>) {
        self.with(|answers| write_result(&mut answers.lines, id, dress, result));
    }

    /// Adds an error object.
    pub(super) fn error(&self, id: &Echo, dress: Dress, error: &Fake<RawJson>) {
        self.with(|answers| write_error(&mut answers.lines, id, dress, error));
    }

    /// Adds an error in Portero's fixed words.
    pub(super) fn fixed_error(&self, id: &Echo, code: i32, words: Fake<&'static str>) {
        self.with(|answers| {
            wire::write_error(&mut answers.lines, id.raw(), &wire::error(code, words.get(), None));
        });
    }

    /// Adds the answer to a member that is no message.
    pub(super) fn malformed(&self, malformed: &Malformed) {
        self.with(|answers| wire::write_malformed(&mut answers.lines, malformed));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Answers) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes a result; a large one is copied once and not parsed, since most need no change but a prefix.
fn write_result(out: &mut Vec<u8>, id: &Echo, dress: Dress, result: &Fake<RawJson>) {
    let result = result.get();
    let bare = !mentions_dress(result);
    match dress {
        Dress::Legacy if bare => wire::write_result(out, id.raw(), result),
        Dress::Legacy => wire::write_result(out, id.raw(), &modern::strip(result.clone())),
        Dress::Modern if bare && is_plain(result) => {
            out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
            out.extend_from_slice(id.raw().get().as_bytes());
            out.extend_from_slice(b",\"result\":{\"resultType\":\"complete\",");
            out.extend_from_slice(&result.get().as_bytes()[1..]);
            out.extend_from_slice(b"}\n");
        }
        Dress::Modern => wire::write_result(out, id.raw(), &modern::complete(result.clone())),
        Dress::ModernList => wire::write_result(out, id.raw(), &modern::list_result(result.clone())),
    }
}

/// Writes an error; the modern revision has no code of its own for a resource that does not exist.
fn write_error(out: &mut Vec<u8>, id: &Echo, dress: Dress, error: &Fake<RawJson>) {
    let object = Object::read(error.get()).unwrap_or_default();
    let not_found =
        object.get("code").and_then(|code| code.get().parse().ok()) == Some(codes::RESOURCE_NOT_FOUND);
    if dress != Dress::Legacy && not_found {
        let code = json::raw(&codes::INVALID_PARAMS);
        wire::write_error(out, id.raw(), &object.with("code", &code).to_raw());
    } else {
        wire::write_error(out, id.raw(), error.get());
    }
}

/// Whether it is an object with a member right after its brace, in one line.
fn is_plain(result: &RawValue) -> bool {
    let bytes = result.get().as_bytes();
    bytes.starts_with(b"{\"") && memchr::memchr2(b'\n', b'\r', bytes).is_none()
}

fn mentions_dress(result: &RawValue) -> bool {
    let bytes = result.get().as_bytes();
    [&b"resultType"[..], b"ttlMs", b"cacheScope", b"\\u"]
        .iter()
        .any(|word| memchr::memmem::find(bytes, word).is_some())
}
