//! The approval passphrase: the second factor without which nothing is widened from a terminal
//! (guarantee A7).
//!
//! Only its argon2id hash is kept. After five wrong tries there is a pause that doubles with each further
//! one; a restart does not end it.

use std::sync::Arc;

use jiff::Timestamp;
use portero::clock::Clock;
use portero::secret::Secret;

use crate::journal::Journal;
use crate::store::StoreError;

/// Proof that a person confirmed with a second factor. Only what checks one makes it.
#[derive(Debug, Clone)]
pub struct Confirmed {
    by: String,
}

impl Confirmed {
    /// Where the confirmation came from, for the audit: the process that asked, such as `terminal pid 4711`.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }
}

/// Why a passphrase did not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PassphraseError {
    /// None is set yet.
    #[error("no approval passphrase is set; set one with `portero passphrase set`")]
    Unset,
    /// One is needed and none was given.
    #[error("this needs the approval passphrase")]
    Missing,
    /// It is not the one.
    #[error("that is not the approval passphrase; {left} more tries before a pause")]
    Wrong {
        /// Tries that are left before a pause.
        left: u32,
    },
    /// Too many wrong tries.
    #[error("too many wrong tries; the next one is possible in {} s", .0.as_secs().max(1))]
    Paused(std::time::Duration),
    /// The new one is too short.
    #[error("the passphrase must have at least {0} characters")]
    Short(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the passphrase's hash and checks tries.
pub struct Passphrase {}

impl Passphrase {
    /// On this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        let _ = (journal, clock);
        todo!()
    }

    /// When it was first set and by which process; none until then.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn first_set(&self) -> Result<Option<(Timestamp, String)>, StoreError> {
        todo!()
    }

    /// Checks a try of `process`.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn confirm(&self, given: Secret, process: &str) -> Result<Confirmed, PassphraseError> {
        let _ = (given, process);
        todo!()
    }

    /// Sets the first one, or a new one in place of `old`.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn set(&self, old: Option<Secret>, new: Secret, process: &str) -> Result<(), PassphraseError> {
        let _ = (old, new, process);
        todo!()
    }
}
