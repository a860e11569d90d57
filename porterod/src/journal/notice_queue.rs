//! Notices on their way into the store, and notices that could not be written yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use portero::notice::Notice;
use portero::sync::lock;
use rusqlite::Connection;
use tokio::sync::{Notify, watch};

use super::AuditMode;
use crate::store::StoreError;
use crate::store::outbox::{self, OutboxLimits};

/// How many notices may wait while the disk is full. The notice of a new task never waits: without it the
/// task isn't opened.
const MAX_LATE_NOTICES: usize = 4096;

/// The notices that wait for the disk, and the signals for readers of the outbox.
#[derive(Debug)]
pub(super) struct NoticeQueue {
    late: Mutex<VecDeque<Notice>>,
    is_late: Notify,
    count: watch::Sender<u64>,
}

impl Default for NoticeQueue {
    fn default() -> Self {
        Self { late: Mutex::default(), is_late: Notify::new(), count: watch::channel(0).0 }
    }
}

impl NoticeQueue {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(super) fn notify_watchers(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) async fn wait_for_late(&self) {
        self.is_late.notified().await;
    }

    /// Keeps notices until they can be written.
    pub(super) fn keep_late(&self, notices: impl IntoIterator<Item = Notice>) {
        let mut late = lock(&self.late);
        // The oldest are dropped first: a person needs the present state most.
        late.extend(notices);
        while late.len() > MAX_LATE_NOTICES {
            late.pop_front();
            tracing::error!("a notice is lost: too many wait for the disk");
        }
        if !late.is_empty() {
            self.is_late.notify_one();
        }
    }

    /// Takes all waiting notices, to write them or put them back.
    pub(super) fn take_late(&self) -> Vec<Notice> {
        lock(&self.late).drain(..).collect()
    }

    /// Begins an attempt to store the notices of one change.
    pub(super) fn begin_attempt(self: &Arc<Self>, weight: AuditMode, at: Timestamp) -> Arc<NoticeAttempt> {
        Arc::new(NoticeAttempt { notices: Arc::clone(self), weight, at, late: Mutex::default() })
    }
}

/// How the notices of a transaction fared.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum PutState {
    /// There were no notices.
    #[default]
    Nothing,
    /// The transaction holds them.
    Stored,
    /// They could not be put into the transaction.
    Failed,
}

/// One transaction's notices.
pub(super) struct NoticeAttempt {
    notices: Arc<NoticeQueue>,
    weight: AuditMode,
    at: Timestamp,
    late: Mutex<AttemptNotices>,
}

#[derive(Default)]
struct AttemptNotices {
    /// Late notices from before this change, now in its transaction.
    earlier: Vec<Notice>,
    /// This change's own notices, if they could not be put into its transaction.
    own: Vec<Notice>,
    /// How all of them fared.
    put: PutState,
}

impl NoticeAttempt {
    /// Puts the late notices and then `own` into the transaction. A narrowing change continues even if that
    /// fails.
    pub(super) fn put_notices(&self, connection: &Connection, own: Vec<Notice>) -> Result<(), StoreError> {
        // The queue gives them up only during this transaction: `finish` puts back those that weren't
        // committed.
        let earlier = self.notices.take_late();
        let all: Vec<Notice> = earlier.iter().chain(&own).cloned().collect();
        let put = put_in_outbox(connection, &all, self.at);
        let mut late = lock(&self.late);
        let how = if all.is_empty() { PutState::Nothing } else { PutState::Stored };
        *late = AttemptNotices { earlier, own: Vec::new(), put: how };
        match (put, self.weight) {
            (Err(error), AuditMode::BestEffort) => {
                tracing::error!(%error, "a notice waits for the disk");
                (late.own, late.put) = (own, PutState::Failed);
                Ok(())
            }
            (put, AuditMode::BestEffort | AuditMode::Required) => put,
        }
    }

    /// Must be called once the transaction's result is known. Notices that weren't stored wait for the next
    /// transaction; only the own notices of a rolled-back change are dropped.
    pub(super) fn finish(&self, stays: bool) {
        let AttemptNotices { earlier, own, put } = std::mem::take(&mut *lock(&self.late));
        match (stays, put) {
            (true, PutState::Nothing) => {}
            (true, PutState::Stored) => self.notices.notify_watchers(),
            (true, PutState::Failed) => self.notices.keep_late(earlier.into_iter().chain(own)),
            (false, PutState::Nothing | PutState::Stored | PutState::Failed) => {
                self.notices.keep_late(earlier)
            }
        }
    }
}

pub(super) fn put_in_outbox(
    connection: &Connection,
    notices: &[Notice],
    at: Timestamp,
) -> Result<(), StoreError> {
    outbox::put_notices(connection, notices, at, OutboxLimits::PRODUCTION)
}
