//! One request of the client, from its arrival to its one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::client_queue::{AnswerTarget, RequestId, ResultShape};
use super::in_flight::{InFlightRequest, RequestRejection};
use crate::anonymize::{Fake, Leak, Real};
use crate::audit::WithheldChannel;
use crate::json::{RawJson, RawObject};
use crate::pipeline::{BoxFuture, Refusal};
use crate::server::{CallOptions, LogLevel, ProgressSink};
use crate::wire::{self, IdKey, codes, modern};

/// The requests in progress.
pub(super) type RequestFutures = FuturesUnordered<BoxFuture<'static, ()>>;

/// A request that waits for its answer. If it is dropped without one, as after a cancellation, it stays
/// unanswered.
pub(super) struct ClientRequest {
    client: Arc<Client>,
    id: RequestId,
    key: IdKey,
    modern: bool,
    progress_token: Option<RequestId>,
    /// The level of log messages that it wants.
    log_level: Option<LogLevel>,
    target: AnswerTarget,
    cancel: CancellationToken,
    /// Whether progress may still be reported.
    open: Arc<AtomicBool>,
}

impl ClientRequest {
    /// Accepts a request.
    ///
    /// # Errors
    /// If its id is in use, or too many are open. It is then already answered.
    pub(super) fn open(
        client: &Arc<Client>,
        id: &RawValue,
        is_modern: bool,
        meta: &modern::RequestMeta<'_>,
        to: AnswerTarget,
    ) -> Result<Self, RequestRejection> {
        let key = IdKey::from_raw(id).expect("an envelope's id is a string or a number");
        let log = meta.log_level().and_then(|level| level.parse().ok()).filter(|_| is_modern);
        let cancel = CancellationToken::new();
        let opened = client
            .in_flight
            .register(key.clone(), InFlightRequest { cancel: cancel.clone(), log_level: log });
        if opened.is_ok()
            && let Some(level) = log
        {
            client.lower_server_threshold(level);
        }
        let request = Self {
            client: Arc::clone(client),
            id: RequestId::from_raw(id),
            key,
            modern: is_modern,
            progress_token: meta.progress_token().map(RequestId::from_raw),
            log_level: log,
            target: to,
            cancel,
            // A rejected request shares its key with the open one. Never marking it open keeps `drop` from
            // closing that one.
            open: Arc::new(AtomicBool::new(opened.is_ok())),
        };
        match opened {
            Ok(()) => Ok(request),
            Err(busy) => {
                request.answer_fixed_error(codes::INVALID_REQUEST, busy.message());
                Err(busy)
            }
        }
    }

    /// The id, as the client wrote it.
    pub(super) const fn id(&self) -> &RequestId {
        &self.id
    }

    /// The id as a key.
    pub(super) const fn key(&self) -> &IdKey {
        &self.key
    }

    /// Whether it is of the modern revision.
    pub(super) const fn is_modern(&self) -> bool {
        self.modern
    }

    /// Cancelled when the client cancels the request.
    pub(super) const fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Waits for `work`, unless the client cancels the request.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            // Finished work wins over a cancellation at the same moment: its answer is there, and may have had
            // effects.
            biased;
            done = work => done,
            () = self.cancel.cancelled() => Err(Refusal::Cancelled),
        }
    }

    /// What accompanies the call that this request becomes.
    pub(super) fn call_options(&self) -> CallOptions {
        let log_level = self.client.protocol.request_level(self.log_level, self.modern);
        CallOptions { progress: self.progress_sink(), cancel: self.cancel.clone(), log_level, only_in: None }
    }

    /// Reports progress to the client under its own token, concealed, and only until the answer.
    pub(super) fn progress_sink(&self) -> Option<ProgressSink> {
        let token = self.progress_token.clone()?;
        let (client, open) = (Arc::clone(&self.client), Arc::clone(&self.open));
        Some(Arc::new(move |params: Real<RawJson>| {
            if !open.load(Ordering::Acquire) {
                return;
            }
            match client.conceal(params) {
                Ok(params) => client.queue.queue_progress(&token, &params),
                Err(leak) => client.report_withheld(WithheldChannel::Progress, None, &leak),
            }
        }))
    }

    /// Answers with a result.
    pub(super) fn answer_result(self, result: &Fake<RawJson>) {
        self.send_shaped(if self.modern { ResultShape::Modern } else { ResultShape::Legacy }, result);
    }

    /// Answers with a result that clients may cache.
    pub(super) fn answer_list_result(self, result: &Fake<RawJson>) {
        self.send_shaped(if self.modern { ResultShape::ModernList } else { ResultShape::Legacy }, result);
    }

    /// Conceals JSON that Portero made or the client sent.
    pub(super) fn conceal_own(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.client.conceal_own(json)
    }

    /// Answers with a result that Portero made.
    pub(super) fn answer_own_result(self, result: RawJson) {
        match self.client.conceal_own(result) {
            Ok(result) => self.answer_result(&result),
            Err(leak) => self.answer_withheld(&leak),
        }
    }

    /// Answers with an error object.
    pub(super) fn answer_error_object(self, error: &Fake<RawJson>) {
        let shape = if self.modern { ResultShape::Modern } else { ResultShape::Legacy };
        self.end_progress();
        self.client.queue.queue_error(&self.target, &self.id, shape, error);
    }

    /// Answers with an error in Portero's text, which may quote the client.
    pub(super) fn answer_error(self, code: i32, words: &str, data: Option<&RawValue>) {
        match self.client.conceal_own(wire::answer_error_object(code, words, data)) {
            Ok(error) => self.answer_error_object(&error),
            Err(leak) => self.answer_withheld(&leak),
        }
    }

    /// Answers with an error in Portero's fixed text.
    pub(super) fn answer_fixed_error(self, code: i32, words: &'static str) {
        self.end_progress();
        let words = Fake::from_static(words);
        self.client.queue.queue_fixed_error(&self.target, &self.id, code, words);
    }

    /// Answers that the answer is withheld (guarantee N5).
    pub(super) fn answer_withheld(self, leak: &Leak) {
        self.client.report_withheld(WithheldChannel::Answer, None, leak);
        self.answer_fixed_error(
            codes::INTERNAL_ERROR,
            "the answer was withheld: a second look found a private value in it",
        );
    }

    /// Queues the last held progress, which must come before the answer.
    fn end_progress(&self) {
        if let Some(token) = &self.progress_token
            && self.open.load(Ordering::Acquire)
        {
            self.client.queue.let_progress_go(token);
        }
    }

    fn send_shaped(&self, shape: ResultShape, result: &Fake<RawJson>) {
        self.end_progress();
        self.client.queue.queue_result(&self.target, &self.id, shape, result);
    }
}

impl Drop for ClientRequest {
    fn drop(&mut self) {
        if self.open.swap(false, Ordering::AcqRel) {
            self.client.in_flight.close(&self.key);
            // No answer comes, as after a cancellation, so held progress is dropped.
            if let Some(token) = &self.progress_token {
                self.client.queue.forget_progress(token);
            }
        }
        // Dropped requests count too. A batch with a cancelled member must still end.
        if let AnswerTarget::Batch(batch) = &self.target
            && batch.settle_answer()
        {
            self.client.queue.queue_batch(batch);
        }
    }
}

/// `params` as an object; empty if there are none.
pub(super) fn params_object(params: Option<&RawValue>) -> RawObject<'_> {
    params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default()
}
