//! Rules and grants: what people said since the configuration was written.
//!
//! What widens takes a [`Confirmed`]; what narrows acts at once, even where it cannot be written
//! ([`RulesError::NotKept`]). Each change raises the epoch by one in the same transaction, and rewrites the
//! file of denies that sessions read while no daemon runs ([`portero::policy::denies`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portero::clock::Clock;
use portero::pattern::Pattern;
use portero::policy::{Grant, Rule, Standing};

use crate::journal::Journal;
use crate::passphrase::Confirmed;
use crate::store::StoreError;

/// Why rules or grants did not change as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RulesError {
    /// There is no such rule or grant.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `rule` or `grant`.
        what: &'static str,
        /// The id that was asked for.
        id: u64,
    },
    /// It would widen, and nobody confirmed.
    #[error("removing this rule widens what is allowed, so it needs the approval passphrase")]
    NeedsConfirmation,
    /// The grant would last too long, or no time at all.
    #[error("a grant lasts at most {} s and at least 1 s", .0.as_secs())]
    Duration(Duration),
    /// It is in force in this daemon and its sessions, but could not be written; it is tried again, and
    /// lost if the daemon ends before that succeeds.
    #[error("it is in force, but could not be saved yet, and is lost if the daemon ends now: {0}")]
    NotKept(String),
    /// It did not take effect.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rules and grants in force.
pub struct Rules {}

impl Rules {
    /// Reads them from the store and writes the file of denies at `denies`. Where that file is ahead of the
    /// store (a store that was put back, or lost its last writes), its denies are taken over, and grants and
    /// allowing rules are dropped: nothing gets weaker.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be written.
    pub async fn open(
        journal: Arc<Journal>,
        denies: PathBuf,
        boot_id: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, RulesError> {
        let _ = (journal, denies, boot_id, clock);
        todo!()
    }

    /// What is in force now; expired grants are left out.
    #[must_use]
    pub fn standing(&self) -> Standing {
        todo!()
    }

    /// Watches for changes: the value is the epoch.
    #[must_use]
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }

    /// Adds a deny. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn deny(&self, pattern: Pattern, process: &str) -> Result<Rule, RulesError> {
        let _ = (pattern, process);
        todo!()
    }

    /// Adds an allow. Widens.
    ///
    /// # Errors
    /// When it could not be recorded and stored; then it is not in force.
    pub async fn allow(&self, pattern: Pattern, confirmed: Confirmed) -> Result<Rule, RulesError> {
        let _ = (pattern, confirmed);
        todo!()
    }

    /// Removes a rule. Removing anything but an allow widens.
    ///
    /// # Errors
    /// [`RulesError::NeedsConfirmation`], and as for the others.
    pub async fn unrule(
        &self,
        id: u64,
        confirmed: Option<Confirmed>,
        process: &str,
    ) -> Result<Rule, RulesError> {
        let _ = (id, confirmed, process);
        todo!()
    }

    /// Grants for a while, `most` at the most. Widens.
    ///
    /// # Errors
    /// [`RulesError::Duration`], or when it could not be recorded and stored.
    pub async fn grant(
        &self,
        pattern: Pattern,
        lasts: Duration,
        most: Duration,
        confirmed: Confirmed,
    ) -> Result<Grant, RulesError> {
        let _ = (pattern, lasts, most, confirmed);
        todo!()
    }

    /// Ends grants, all where `ids` is none, and tells how many it ended. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotFound`], or [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn revoke(&self, ids: Option<&[u64]>, process: &str) -> Result<u64, RulesError> {
        let _ = (ids, process);
        todo!()
    }
}
