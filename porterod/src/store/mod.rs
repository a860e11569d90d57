//! Tasks, rules and grants on disk: SQLite, one writer.
//!
//! One thread drains a bounded queue into one transaction at a time (group commit); an answer is given only
//! after the commit. A file that is corrupt, newer or not Portero's is an error, never an empty store
//! (guarantee P3).

pub(crate) mod authenticator;
pub(crate) mod buttons;
pub(crate) mod cards;
pub(crate) mod checkpoints;
pub(crate) mod columns;
pub(crate) mod denials;
mod error;
mod open;
pub(crate) mod outbox;
pub(crate) mod overrides;
pub(crate) mod passphrase;
mod reader;
pub(crate) mod remote_confirmations;
pub(crate) mod tasks;
pub(crate) mod telegram;
pub(crate) mod telegram_notices;
pub(crate) mod topics;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

pub use error::StoreError;
use reader::Reader;
pub use tasks::TaskFilter;
use writer::StoreWriter;

/// For how long another program may hold the store before what narrows is answered as not saved yet.
const BUSY_GRACE: Duration = Duration::from_millis(200);
/// For how long the disk may be at it.
pub(crate) const SAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The store of one daemon.
#[derive(Debug)]
pub struct Store {
    /// Closed first: the last connection that closes folds the log into the file, and must be able to write.
    reader: Reader,
    writer: StoreWriter,
}

/// Makes durable, before a commit, what was written beside the store: the audit.
pub type CommitBarrier = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// Whether a change has records in the audit, so that they are synced before it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It has.
    AuditSynced,
    /// It has none.
    StoreSynced,
    /// It has none, and it is of the kind that is made again where it is missing: it survives the process, and is
    /// on the disk with the next change of another kind. Losing the machine's power may lose it, whole.
    Unsynced,
}

impl Store {
    /// Opens the store at `path`, makes it if it is not there, and brings it up to date. If it is gone while
    /// `witness` (a file that exists wherever a store once was) is still there, that is an error.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Newer`], [`StoreError::Busy`] or [`StoreError::Failed`].
    pub fn open(path: &Path, witness: Option<&Path>, barrier: CommitBarrier) -> Result<Self, StoreError> {
        let write = open::open_writer(path, witness).map_err(|error| error.with_path(path))?;
        let reader = open::open_reader(path).map_err(|error| StoreError::from(error).with_path(path))?;
        let writer = StoreWriter::start(write, barrier, path.to_owned())?;
        let reader = Reader::start(reader, path.to_owned())?;
        Ok(Self { reader, writer })
    }

    /// Runs `change` in a transaction and returns its value once that is on the disk (see [`Durability::Unsynced`] for
    /// the exception). If it fails, or the commit does, nothing of it stays.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        records: Durability,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(records, change).await
    }

    /// Returns, with the reason, once a change that waits may wait for long. The change is not taken back.
    pub(crate) async fn wait_until_stuck(&self) -> StoreError {
        let mut busy = self.writer.subscribe_busy();
        let held = async {
            loop {
                // The sender lives as long as the writer; a writer that ended answers by itself.
                if busy.wait_for(|busy| *busy).await.is_err() {
                    std::future::pending::<()>().await;
                }
                let freed = busy.wait_for(|busy| !*busy);
                if tokio::time::timeout(BUSY_GRACE, freed).await.is_err() {
                    return;
                }
            }
        };
        match tokio::time::timeout(SAVE_TIMEOUT, held).await {
            Ok(()) => StoreError::Busy(String::new()),
            Err(_) => StoreError::Failed("the disk does not answer".to_owned()),
        }
    }

    /// Reads on a connection and a thread of its own. Short, since the caller's thread waits, though not for long where
    /// the disk does not answer.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.read(read)
    }

    /// Writes what is queued and closes the file, in one piece without a log beside it. Nothing can be read or
    /// written after.
    pub fn close(&self) {
        self.reader.close();
        self.writer.close();
    }
}
