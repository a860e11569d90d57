//! The approval passphrase: the second factor without which nothing is widened from a terminal
//! (guarantee A7), and the authenticator whose codes what is wide needs beside it.
//!
//! The daemon never gets it: a terminal proves that it was typed there (`portero::passphrase`), and what is kept is the
//! key that checks this. After five wrong tries there is a pause that doubles with each further
//! one; a restart does not end it. Each try counts as wrong before it is checked.

mod authenticator;
mod authorization;
mod sealed_totp;
mod totp;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Clock;
use portero::ipc::{GivenProof, NewPassphrase, Risk};
use portero::names::Actor;
use portero::notice::AlarmKind;
use portero::passphrase::KdfParams;
use rusqlite::Connection;
use tokio::sync::Mutex;

pub use authenticator::EnrolledTotp;
use authenticator::TotpOffer;
pub use authorization::Authorization;

use crate::journal::{AuditMode, Journal};
use crate::store::passphrase::{self as kept, PassphraseRow};
use crate::store::{Durability, StoreError};

/// Wrong tries before the first pause.
const MAX_FREE_TRIES: u32 = 5;
/// The first pause; each further wrong try doubles it.
const MIN_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// Why a passphrase did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// An authenticator is enrolled, and no code was given for what is wide.
    #[error("this is wide, so it needs a code of the authenticator beside the passphrase")]
    CodeMissing,
    /// It is neither a present code nor a recovery code that is left.
    #[error(
        "that is not the code of now, nor a recovery code that is left; {left} more tries before a pause"
    )]
    CodeWrong {
        /// Tries that are left before a pause.
        left: u32,
    },
    /// The secret that was offered does not make it.
    #[error("that is not the code that this secret makes now")]
    WrongFirstCode,
    /// Its step, or a later one, was used before.
    #[error("that code, or a later one, was used before")]
    CodeUsed,
    /// An authenticator is enrolled already.
    #[error("an authenticator is enrolled already, since {0}")]
    Enrolled(Timestamp),
    /// None is enrolled.
    #[error("no authenticator is enrolled")]
    NotEnrolled,
    /// No secret was offered, or too long ago.
    #[error("no enrolment was begun, or it was too long ago")]
    NotOffered,
    /// What is kept of the authenticator does not open with the right passphrase.
    #[error("what the store keeps of the authenticator is damaged, or was changed by another program")]
    CannotUnseal,
    /// An earlier build sealed it in another way.
    #[error("the authenticator was enrolled by an earlier version of Portero, and this one cannot open it")]
    Outdated,
    /// Too many wrong tries.
    #[error("too many wrong tries; the next one is possible in {} s", .0.as_secs().max(1))]
    Paused(Duration),
    /// The new one is protected by less work than is required.
    #[error("the passphrase was derived with less work than protects it")]
    WeakDerivation,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps what checks the passphrase, and the authenticator, and checks tries.
pub struct PassphraseChecker {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// One try at a time; and the secret that was offered for enrolment.
    turn: Mutex<Option<TotpOffer>>,
}

impl PassphraseChecker {
    /// On this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, turn: Mutex::new(None) }
    }

    /// When it was first set and by which process; none until then.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn first_set(&self) -> Result<Option<(Timestamp, String)>, StoreError> {
        Ok(self.journal.store().read(kept::load)?.map(|kept| (kept.first_set, kept.first_by)))
    }

    /// How it is derived; none where none is set.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kdf_params(&self) -> Result<Option<KdfParams>, StoreError> {
        self.journal.store().read(kept::load)?.map(|kept| Ok(kept.verifier()?.salted)).transpose()
    }

    /// Checks a try of `process`, for what is not wide. Whoever asks records a refusal, with what was to be done.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn authorize_low_risk(
        &self,
        given: GivenProof,
        process: &Actor,
    ) -> Result<Authorization, PassphraseError> {
        let _turn = self.turn.lock().await;
        self.check_passphrase(&given).await?;
        Ok(Authorization::from_passphrase(process.to_owned(), Risk::Low))
    }

    /// Sets the first one, or a new one in place of `old`. What is kept of an authenticator is sealed anew with
    /// it, in the same transaction.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn set_passphrase(
        &self,
        old: Option<GivenProof>,
        new: NewPassphrase,
        process: &Actor,
    ) -> Result<(), PassphraseError> {
        let _turn = self.turn.lock().await;
        if !new.verifier.salted.is_acceptable() {
            return Err(PassphraseError::WeakDerivation);
        }
        let former = match (self.journal.store().read(kept::load)?, old) {
            (None, _) => None,
            (Some(_), None) => return Err(PassphraseError::Missing),
            (Some(_), Some(old)) => Some((self.check_passphrase(&old).await?.text, old)),
        };
        let resealed = match &former {
            Some((_, old)) => self.reseal_totp(old, &new.opens)?,
            None => None,
        };
        let text = new.verifier.to_text();
        let record =
            self.journal.act_record("passphrase set", "the approval passphrase", true, Some(process));
        let (by, now) = (process.to_string(), self.clock.now().wall);
        let set = self.journal.change(AuditMode::Required, move |connection| {
            let former = former.as_ref().map(|(text, _)| text.as_str());
            let set = kept::set(connection, former, &text, &by, now)?;
            if set && let Some(resealed) = &resealed {
                resealed.save(connection)?;
            }
            Ok((set, if set { vec![record.clone()] } else { Vec::new() }))
        });
        if set.await? { Ok(()) } else { Err(PassphraseError::Missing) }
    }

    /// Checks a try, and ends the count if it was right.
    async fn check_passphrase(&self, given: &GivenProof) -> Result<PassphraseRow, PassphraseError> {
        let kept = self.try_passphrase(given).await?;
        self.journal.store().write(Durability::StoreSynced, kept::reset_tries).await?;
        Ok(kept)
    }

    /// Counts the try and checks it; the count stays.
    async fn try_passphrase(&self, given: &GivenProof) -> Result<PassphraseRow, PassphraseError> {
        let store = self.journal.store();
        let Some(kept) = store.read(kept::load)? else {
            return Err(PassphraseError::Unset);
        };
        let GivenProof { act: Some(act), proof: Some(proof), .. } = given else {
            return Err(PassphraseError::Missing);
        };
        let verifier = kept.verifier()?;
        let now = self.clock.now().wall;
        self.check_may_try(kept.failed, kept.failed_at, now).await?;
        store.write(Durability::StoreSynced, move |connection| kept::count_try(connection, now)).await?;
        if verifier.verify_proof(act, proof) {
            return Ok(kept);
        }
        let left = tries_left(kept.failed);
        if left == 0 {
            let tries = kept.failed + 1;
            let about =
                format!("{tries} wrong passphrases were tried at a terminal, so there is a pause now");
            self.journal.raise_alarm(AlarmKind::Passphrase, &about).await;
        }
        Err(PassphraseError::Wrong { left })
    }
}

impl PassphraseChecker {
    /// Whether another try may be made, after so many wrong ones, the last of them at `failed_at`.
    async fn check_may_try(
        &self,
        failed: u32,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), PassphraseError> {
        if failed_at > now {
            // The pause counts from here on: else it would last until the clock is where it was.
            let made_by_now = move |connection: &Connection| kept::clamp_to_now(connection, now);
            self.journal.store().write(Durability::StoreSynced, made_by_now).await?;
        }
        remaining_pause(failed, failed_at, now).map_or(Ok(()), |pause| Err(PassphraseError::Paused(pause)))
    }
}

impl std::fmt::Debug for PassphraseChecker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}

/// How long a pause still lasts: the whole of it where the wall clock was set back before the last try.
fn remaining_pause(failed: u32, failed_at: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = failed.checked_sub(MAX_FREE_TRIES)?;
    let whole = MIN_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_PAUSE);
    let passed = Duration::try_from(now.duration_since(failed_at)).unwrap_or_default();
    whole.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Tries that are left before a pause, once one more than these has failed.
const fn tries_left(failed: u32) -> u32 {
    MAX_FREE_TRIES.saturating_sub(failed.saturating_add(1))
}

#[cfg(test)]
pub(crate) mod tests;
