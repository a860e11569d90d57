//! Tasks, rules and grants on disk: SQLite, one writer.
//!
//! One thread drains a bounded queue into one transaction at a time (group commit); an answer is given only
//! after the commit. A file that is corrupt, newer or not Portero's is an error, never an empty store
//! (guarantee P3).

use std::path::Path;

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file is not what Portero wrote.
    #[error("the store {path} is damaged or not Portero's: {problem}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer Portero wrote it.
    #[error("the store {path} was written by a newer Portero (version {found}; this one knows {known})")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Another process has it open.
    #[error("the store {0} is in use by another process")]
    Busy(String),
    /// SQLite or the disk failed; nothing was changed.
    #[error("the store could not be read or written: {0}")]
    Failed(String),
    /// The audit record could not be written, so nothing was changed (guarantee D2).
    #[error("the audit record could not be written, so nothing was changed: {0}")]
    Audit(String),
    /// A person or agent asked for something that cannot be: see the text.
    #[error("{0}")]
    Refused(String),
}

/// The store of one daemon.
pub struct Store {}

/// Makes durable, before a commit, what was written beside the store: the audit.
pub type Barrier = Box<dyn Fn() -> std::io::Result<()> + Send>;

impl Store {
    /// Opens the store at `path`, makes it if it is not there, and brings it up to date. If it is gone while
    /// `witness` (a file that exists wherever a store once was) is still there, that is an error.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Newer`], [`StoreError::Busy`] or [`StoreError::Failed`].
    pub fn open(path: &Path, witness: Option<&Path>, barrier: Barrier) -> Result<Self, StoreError> {
        let _ = (path, witness, barrier);
        todo!()
    }
}
