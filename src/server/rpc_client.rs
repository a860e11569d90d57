//! Requests to one child, and the answers that their callers wait for.
//!
//! An id is used once in a conversation, so an answer that comes late can't be taken for that of another request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::envelope::{self, MetaMembers};
use super::pending::{PendingRequests, RequestOutcome};
use super::stdin_queue::StdinQueue;
use super::{ProgressSink, ServerAnswer, ServerError};
use crate::json;
use crate::names::ServerName;
use crate::wire;

/// Portero's side of a conversation as JSON-RPC's client: it sends requests and notifications.
pub(super) struct RpcClient {
    pub(super) server: ServerName,
    pub(super) stdin_queue: StdinQueue,
    pub(super) pending: PendingRequests,
    pub(super) max_message_bytes: usize,
    next_id: AtomicU64,
}

/// One request.
pub(super) struct OutgoingRequest<'a> {
    pub(super) method: &'a str,
    /// An object without `_meta`.
    pub(super) params: Option<&'a RawValue>,
    pub(super) meta: MetaMembers<'a>,
    pub(super) progress: Option<ProgressSink>,
    /// How long the server may be silent about it. Progress restarts the time.
    pub(super) timeout: Duration,
    /// Cancelled when the caller no longer wants the answer.
    pub(super) cancel: &'a CancellationToken,
}

impl RpcClient {
    pub(super) fn new(server: ServerName, max_message_bytes: usize) -> Self {
        Self {
            server,
            stdin_queue: StdinQueue::default(),
            pending: PendingRequests::default(),
            max_message_bytes,
            next_id: AtomicU64::new(1),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn send_request(
        &self,
        request: OutgoingRequest<'_>,
    ) -> Result<ServerAnswer, ServerError> {
        let OutgoingRequest { method, params, mut meta, progress, timeout: limit, cancel } = request;
        let late_at = Instant::now() + limit;
        let timed_out = || ServerError::Timeout(self.server.clone(), limit.as_secs());
        if !self.stdin_queue.has_room() {
            tokio::select! {
                biased;
                () = self.stdin_queue.wait_for_room() => {}
                () = cancel.cancelled() => return Err(ServerError::Cancelled),
                () = tokio::time::sleep_until(late_at) => return Err(timed_out()),
            }
        }
        let id = self.next_request_id();
        // The request's id is also its progress token: unique, and found in the same table.
        meta.progress_token = progress.is_some().then_some(id);
        let Some(answered) = self.pending.register(id, progress, limit, late_at) else {
            let reason = "it ended before the call reached it".to_owned();
            return Err(ServerError::StartFailed(self.server.clone(), reason));
        };
        // Declared before the push. If the caller leaves at any await below, its drop cancels the request at
        // the server.
        let _open = OpenRequest { rpc: self, id };
        self.stdin_queue.push(|out| envelope::write_request_with_meta(out, id, method, params, meta));
        tokio::select! {
            biased;
            // An answer wins over a cancellation at the same moment.
            outcome = answered => match outcome {
                Ok(RequestOutcome::Answer(answer)) => Ok(answer),
                Ok(RequestOutcome::Malformed(why)) => Err(ServerError::Malformed(self.server.clone(), why)),
                Ok(RequestOutcome::TooLong) => Err(ServerError::TooLong(self.server.clone(), self.max_message_bytes)),
                Ok(RequestOutcome::Late) => Err(timed_out()),
                Ok(RequestOutcome::Fault(fault)) => Err(fault.into_error(self.server.clone())),
                Err(_) => Err(ServerError::Stopped(self.server.clone())),
            },
            () = cancel.cancelled() => Err(ServerError::Cancelled),
        }
    }

    /// An id that no other request of this conversation has.
    pub(super) fn next_request_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Cancels a request whose answer is no longer wanted.
    pub(super) fn cancel_request(&self, id: u64) {
        let params = json::parse_raw(format!(r#"{{"requestId":{id}}}"#)).expect("a number is JSON");
        self.send_notification("notifications/cancelled", Some(&params));
    }

    /// Sends a notification.
    pub(super) fn send_notification(&self, method: &str, params: Option<&RawValue>) {
        self.pending.record_notification(self.next_id.load(Ordering::Relaxed));
        self.stdin_queue.push_if_room(|out| wire::write_notification(out, method, params));
    }

    /// Sends a request whose answer no caller waits for, and returns its id; it is dropped if the child has
    /// long stopped reading.
    pub(super) fn send_unanswered(&self, method: &str, params: &RawValue, meta: MetaMembers<'_>) -> u64 {
        let id = self.next_request_id();
        self.stdin_queue
            .push_if_room(|out| envelope::write_request_with_meta(out, id, method, Some(params), meta));
        id
    }

    /// Accepts no more requests, and fails the open ones.
    pub(super) fn close(&self) {
        self.stdin_queue.close();
        self.pending.close();
    }
}

/// An open request. If its caller leaves before the answer, the request is cancelled at the server.
struct OpenRequest<'a> {
    rpc: &'a RpcClient,
    id: u64,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        if self.rpc.pending.abandon(self.id) {
            self.rpc.cancel_request(self.id);
        }
    }
}
