//! Notices on their way into the store, and those that could not be written yet.

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

/// How many notices may wait for a disk that is full. The notice of a new task never waits: without it the task is not
/// opened.
const MAX_LATE_NOTICES: usize = 4096;

/// The notices that wait for the disk, and the signals for those who read the outbox.
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
        // The oldest go first: of what a person must know, the present counts most.
        late.extend(notices);
        while late.len() > MAX_LATE_NOTICES {
            late.pop_front();
            tracing::error!("a notice is lost: too many wait for the disk");
        }
        if !late.is_empty() {
            self.is_late.notify_one();
        }
    }

    /// Takes all that wait, to write them or to keep them again.
    pub(super) fn take_late(&self) -> Vec<Notice> {
        lock(&self.late).drain(..).collect()
    }

    /// The notices of one change that is about to be tried.
    pub(super) fn begin_attempt(self: &Arc<Self>, weight: AuditMode, at: Timestamp) -> Arc<NoticeAttempt> {
        Arc::new(NoticeAttempt { notices: Arc::clone(self), weight, at, late: Mutex::default() })
    }
}

/// What became of notices in a transaction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum PutState {
    /// There were none.
    #[default]
    Nothing,
    /// They are in it.
    Stored,
    /// They could not be put into it.
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
    /// They came before this change, and are in its transaction now.
    earlier: Vec<Notice>,
    /// This change's own, where none of them could be put into its transaction.
    own: Vec<Notice>,
    /// What became of all of them in it.
    put: PutState,
}

impl NoticeAttempt {
    /// Puts what is late and then `own` into the transaction. A restrictive change goes on even where that fails.
    pub(super) fn put_notices(&self, connection: &Connection, own: Vec<Notice>) -> Result<(), StoreError> {
        // Taken from the queue only for as long as this transaction lasts: `finish` puts back what did not stay.
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

    /// To be called once it is known whether the transaction stays. What is not in the store waits for the next
    /// one; only the change's own notices go with a change that was undone.
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
