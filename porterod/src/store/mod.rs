//! Tasks, rules and grants on disk: SQLite with one writer.
//!
//! One thread moves changes from a bounded queue into one transaction at a time (group commit). A caller gets
//! its answer only after the commit.
//! A corrupt, newer or foreign file is an error and never treated as an empty store (guarantee P3).

pub(crate) mod access_tokens;
pub(crate) mod authenticator;
pub(crate) mod buttons;
pub(crate) mod card_lists;
pub(crate) mod cards;
pub(crate) mod checkpoints;
pub(crate) mod columns;
pub(crate) mod credentials;
pub(crate) mod definitions;
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

/// How long another program may hold the store before a narrowing change is reported as unsaved.
const BUSY_GRACE: Duration = Duration::from_millis(200);
/// How long the disk may take before that.
pub(crate) const SAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The store of one daemon.
#[derive(Debug)]
pub struct Store {
    /// Dropped first: the last connection to close folds the log into the file, and only the writer's can
    /// write.
    reader: Reader,
    writer: StoreWriter,
}

/// Syncs the audit before a commit.
pub type CommitBarrier = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// Whether a change has audit records, which must be synced before its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It has records.
    AuditSynced,
    /// It has none.
    StoreSynced,
    /// It has none and is repeatable. It survives a crash of the process, and reaches the disk with the next
    /// change of another kind. A power failure may lose it as a whole.
    Unsynced,
}

impl Store {
    /// Opens the store at `path`, creates it if missing, and migrates it. It is an error if the store is
    /// missing while `witness` exists, a file that is written wherever there is a store.
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

    /// Runs `change` in a transaction, and returns its value once it is on the disk ([`Durability::Unsynced`]
    /// is the exception). If the change or the commit fails, it is rolled back.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        records: Durability,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(records, change).await
    }

    /// Returns the reason once a waiting change may take long. The change is not cancelled.
    pub(crate) async fn wait_until_stuck(&self) -> StoreError {
        let mut busy = self.writer.subscribe_busy();
        // A short hold is normal, as by a backup. Only one that outlasts the grace counts, and each new hold
        // has its own.
        let held = async {
            loop {
                // The sender lives as long as the writer, and an ended writer answers its callers itself.
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

    /// Reads on a connection and a thread of its own. The caller's thread waits, so reads must be short; on a
    /// hanging disk the wait is bounded.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.read(read)
    }

    /// Writes the queued changes and closes the store, with its log folded into the file. Nothing can be read
    /// or written afterwards.
    pub fn close(&self) {
        self.reader.close();
        self.writer.close();
    }
}
