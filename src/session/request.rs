//! One request of the client, from its arrival to its one answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::logs::Level;
use super::outbox::{Batch, Dress, Echo};
use super::state::Shared;
use crate::anonymize::{Fake, Leak, Real};
use crate::json::{Object, RawJson};
use crate::pipeline::Refusal;
use crate::server::{Follow, ProgressSink};
use crate::wire::{self, Id, codes, modern};

/// A request that waits for its answer. Dropped without one, as after a cancellation, it stays unanswered.
pub(super) struct Request {
    shared: Arc<Shared>,
    id: Echo,
    key: Id,
    modern: bool,
    token: Option<Echo>,
    /// The level of log messages that it asked for.
    log: Option<Level>,
    to: To,
    cancel: CancellationToken,
    /// Whether progress may still be reported.
    open: Arc<AtomicBool>,
}

/// Where an answer goes.
#[derive(Clone)]
pub(super) enum To {
    /// Onto a line of its own.
    Line,
    /// Into the one line that answers a batch.
    Batch(Arc<Batch>),
}

/// The requests that are not answered yet.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Id, Flight>>);

struct Flight {
    cancel: CancellationToken,
    /// The level of log messages that a modern request asked for.
    log: Option<Level>,
}

/// The most requests that may be open at once.
const MOST_OPEN: usize = 4096;

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// An open request has the same id.
    SameId,
    /// Too many are open.
    TooMany,
}

impl Flights {
    fn open(&self, key: Id, flight: Flight) -> Result<(), Busy> {
        let mut flights = self.lock();
        if flights.contains_key(&key) {
            return Err(Busy::SameId);
        }
        if flights.len() >= MOST_OPEN {
            return Err(Busy::TooMany);
        }
        flights.insert(key, flight);
        Ok(())
    }

    /// Takes a request back, if it is still open.
    pub(super) fn cancel(&self, key: &Id) {
        if let Some(flight) = self.lock().get(key) {
            flight.cancel.cancel();
        }
    }

    /// The most talkative level that an open modern request asked for.
    pub(super) fn log_level(&self) -> Option<Level> {
        self.lock().values().filter_map(|flight| flight.log).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// Takes a request in.
    ///
    /// # Errors
    /// When its id is in use, or too many are open; it is answered already then.
    pub(super) fn open(
        shared: &Arc<Shared>,
        id: &RawValue,
        is_modern: bool,
        meta: &modern::RequestMeta<'_>,
        to: To,
    ) -> Result<Self, Busy> {
        let key = Id::of(id).expect("an envelope's id is a string or a number");
        let log = meta.log_level().and_then(|level| level.parse().ok()).filter(|_| is_modern);
        let cancel = CancellationToken::new();
        let opened = shared.flights.open(key.clone(), Flight { cancel: cancel.clone(), log });
        if opened.is_ok()
            && let Some(level) = log
        {
            shared.wants_logs(level);
        }
        let request = Self {
            shared: Arc::clone(shared),
            id: Echo::of(id),
            key,
            modern: is_modern,
            token: meta.progress_token().map(Echo::of),
            log,
            to,
            cancel,
            open: Arc::new(AtomicBool::new(opened.is_ok())),
        };
        match opened {
            Ok(()) => Ok(request),
            Err(busy) => {
                request.fixed_error(codes::INVALID_REQUEST, busy.words());
                Err(busy)
            }
        }
    }

    /// The id, as the client wrote it.
    pub(super) const fn id(&self) -> &Echo {
        &self.id
    }

    /// The id as a key.
    pub(super) const fn key(&self) -> &Id {
        &self.key
    }

    /// Whether it is of the modern revision.
    pub(super) const fn is_modern(&self) -> bool {
        self.modern
    }

    /// Cancelled when the client takes the request back.
    pub(super) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Waits for something, unless the client takes the request back meanwhile.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.cancel.cancelled() => Err(Refusal::Cancelled),
        }
    }

    /// What accompanies the call that this request becomes.
    pub(super) fn follow(&self) -> Follow {
        let log_level = self.shared.log_level_of(self.log, self.modern);
        Follow { progress: self.progress(), cancel: self.cancel.clone(), log_level }
    }

    /// Where progress goes: to the client under its own token, concealed, and only until the answer.
    pub(super) fn progress(&self) -> Option<ProgressSink> {
        let token = self.token.clone()?;
        let (shared, open) = (Arc::clone(&self.shared), Arc::clone(&self.open));
        Some(Arc::new(move |params: Real<RawJson>| {
            if !open.load(Ordering::Acquire) {
                return;
            }
            match shared.pipeline.anonymizer.load().conceal(params) {
                Ok(params) => shared.out.progress(&token, &params),
                Err(Leak) => tracing::error!("progress was withheld: a private value stood in it"),
            }
        }))
    }

    /// Answers with a result.
    pub(super) fn result(self, result: &Fake<RawJson>) {
        self.dressed(if self.modern { Dress::Modern } else { Dress::Legacy }, result);
    }

    /// Answers with the result of a method that can be cached.
    pub(super) fn list(self, result: &Fake<RawJson>) {
        self.dressed(if self.modern { Dress::ModernList } else { Dress::Legacy }, result);
    }

    /// Answers with a result that Portero made.
    pub(super) fn own_result(self, result: RawJson) {
        match self.shared.conceal_own(result) {
            Ok(result) => self.result(&result),
            Err(Leak) => self.withheld(),
        }
    }

    /// Answers `tools/call`, with what a new client would be told at the handshake where that changed.
    pub(super) fn tool_result(self, result: &Fake<RawJson>) {
        match self.shared.with_introduction(result) {
            Some(longer) => self.result(&longer),
            None => self.result(result),
        }
    }

    /// Answers `tools/call` with a result that Portero made.
    pub(super) fn own_tool_result(self, result: RawJson) {
        match self.shared.conceal_own(result) {
            Ok(result) => self.tool_result(&result),
            Err(Leak) => self.withheld(),
        }
    }

    /// Answers with an error object.
    pub(super) fn error_object(self, error: &Fake<RawJson>) {
        let dress = if self.modern { Dress::Modern } else { Dress::Legacy };
        self.end_progress();
        match &self.to {
            To::Line => self.shared.out.error(&self.id, dress, error),
            To::Batch(batch) => batch.error(&self.id, dress, error),
        }
    }

    /// Answers with an error in Portero's words, which may name what the client wrote.
    pub(super) fn error(self, code: i32, words: &str, data: Option<&RawValue>) {
        match self.shared.conceal_own(wire::error(code, words, data)) {
            Ok(error) => self.error_object(&error),
            Err(Leak) => self.withheld(),
        }
    }

    /// Answers with an error in Portero's fixed words.
    pub(super) fn fixed_error(self, code: i32, words: &'static str) {
        self.end_progress();
        match &self.to {
            To::Line => self.shared.out.fixed_error(&self.id, code, Fake::own(words)),
            To::Batch(batch) => batch.fixed_error(&self.id, code, Fake::own(words)),
        }
    }

    /// Answers that the answer is withheld (guarantee N5).
    pub(super) fn withheld(self) {
        tracing::error!("an answer was withheld: a private value stood in it after it was concealed");
        self.fixed_error(
            codes::INTERNAL_ERROR,
            "the answer was withheld: a second look found a private value in it",
        );
    }

    /// The last progress goes before the answer, and none after it.
    fn end_progress(&self) {
        if let Some(token) = &self.token
            && self.open.load(Ordering::Acquire)
        {
            self.shared.out.let_progress_go(token);
        }
    }

    fn dressed(&self, dress: Dress, result: &Fake<RawJson>) {
        self.end_progress();
        match &self.to {
            To::Line => self.shared.out.result(&self.id, dress, result),
            To::Batch(batch) => batch.result(&self.id, dress, result),
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.open.swap(false, Ordering::AcqRel) {
            self.shared.flights.lock().remove(&self.key);
            // Without an answer, as after a cancellation, what is held of its progress is of no use.
            if let Some(token) = &self.token {
                self.shared.out.forget_progress(token);
            }
        }
        if let To::Batch(batch) = &self.to
            && batch.settle()
        {
            self.shared.out.batch(batch);
        }
    }
}

impl Busy {
    const fn words(self) -> &'static str {
        match self {
            Self::SameId => "a request with this id is still open",
            Self::TooMany => "too many requests are open; wait for answers first",
        }
    }
}

/// `params` as an object; without any, an empty one.
pub(super) fn object(params: Option<&RawValue>) -> Object<'_> {
    params.and_then(|params| Object::read(params).ok()).unwrap_or_default()
}
