//! Notices on their way into the store, and those that could not be written yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use portero::notice::Notice;
use rusqlite::Connection;
use tokio::sync::{Notify, watch};

use super::{Weight, lock};
use crate::store::StoreError;
use crate::store::outbox::{self, Limits};

/// How many may wait for a disk that is full. What opens a task never waits: without its notice there is none.
const LATE_MOST: usize = 4096;

/// What is told next, and whom it wakes.
#[derive(Debug)]
pub(super) struct Notices {
    late: Mutex<VecDeque<Notice>>,
    is_late: Notify,
    count: watch::Sender<u64>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { late: Mutex::default(), is_late: Notify::new(), count: watch::channel(0).0 }
    }
}

impl Notices {
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(super) fn wake(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) async fn is_late(&self) {
        self.is_late.notified().await;
    }

    /// Keeps notices until they can be written.
    pub(super) fn keep(&self, notices: impl IntoIterator<Item = Notice>) {
        let mut late = lock(&self.late);
        late.extend(notices);
        while late.len() > LATE_MOST {
            late.pop_front();
            tracing::error!("a notice is lost: too many wait for the disk");
        }
        if !late.is_empty() {
            self.is_late.notify_one();
        }
    }

    /// Takes all that wait, to write them or to keep them again.
    pub(super) fn take(&self) -> Vec<Notice> {
        lock(&self.late).drain(..).collect()
    }

    /// The notices of one change that is about to be tried.
    pub(super) fn attempt(self: &Arc<Self>, weight: Weight, at: Timestamp) -> Arc<Attempt> {
        Arc::new(Attempt { notices: Arc::clone(self), weight, at, late: Mutex::default() })
    }
}

/// What became of notices in a transaction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Put {
    /// There were none.
    #[default]
    Nothing,
    /// They are in it.
    In,
    /// They could not be put into it.
    Failed,
}

/// One transaction's notices.
pub(super) struct Attempt {
    notices: Arc<Notices>,
    weight: Weight,
    at: Timestamp,
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late {
    /// They came before this change, and are in its transaction now.
    earlier: Vec<Notice>,
    /// This change's own, where none of them could be put into its transaction.
    own: Vec<Notice>,
    /// What became of all of them in it.
    put: Put,
}

impl Attempt {
    /// Puts what is late and then `own` into the transaction. What narrows goes on without.
    pub(super) fn put(&self, connection: &Connection, own: Vec<Notice>) -> Result<(), StoreError> {
        let earlier = self.notices.take();
        let all: Vec<Notice> = earlier.iter().chain(&own).cloned().collect();
        let put = put(connection, &all, self.at);
        let mut late = lock(&self.late);
        let how = if all.is_empty() { Put::Nothing } else { Put::In };
        *late = Late { earlier, own: Vec::new(), put: how };
        match (put, self.weight) {
            (Err(error), Weight::Lenient) => {
                tracing::error!(%error, "a notice waits for the disk");
                (late.own, late.put) = (own, Put::Failed);
                Ok(())
            }
            (put, Weight::Lenient | Weight::Strict) => put,
        }
    }

    /// The transaction stays, or not.
    pub(super) fn end(&self, stays: bool) {
        let Late { earlier, own, put } = std::mem::take(&mut *lock(&self.late));
        match (stays, put) {
            (true, Put::Nothing) => {}
            (true, Put::In) => self.notices.wake(),
            (true, Put::Failed) => self.notices.keep(earlier.into_iter().chain(own)),
            (false, Put::Nothing | Put::In | Put::Failed) => self.notices.keep(earlier),
        }
    }
}

pub(super) fn put(connection: &Connection, notices: &[Notice], at: Timestamp) -> Result<(), StoreError> {
    outbox::put(connection, notices, at, Limits::REAL)
}
