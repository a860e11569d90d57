//! The approval passphrase, the second factor for every widening from a terminal (guarantee A7), and its
//! authenticator.
//!
//! The daemon never receives the passphrase: a terminal proves that it was typed (`portero::passphrase`), and
//! the store keeps a key that checks the proof. Five wrong tries cause a pause, which doubles with each
//! further one, and a restart does not end it. Each try counts as wrong before it is checked, so a crash
//! can't hide one.

mod authenticator;
mod sealed_totp;
mod totp;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Clock;
use portero::ipc::{Act, GivenProof, NewPassphrase, Risk};
use portero::names::Actor;
use portero::notice::AlarmKind;
use portero::passphrase::KdfParams;
use portero::secret::Secret;
use rusqlite::Connection;
use tokio::sync::Mutex;

pub use authenticator::EnrolledTotp;
use authenticator::TotpOffer;

use crate::auth::authorization::{Authorization, Factor};
use crate::journal::{AuditMode, Journal};
use crate::store::authenticator as codes;
use crate::store::passphrase::{self as kept, PassphraseRow};
use crate::store::{Durability, StoreError};

/// Wrong tries before the first pause.
const MAX_FREE_TRIES: u32 = 5;
/// The first pause; each further wrong try doubles it.
const MIN_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// Why a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// No passphrase is set yet.
    #[error("no approval passphrase is set; set one with `portero passphrase set`")]
    Unset,
    /// A proof is needed, and none was given.
    #[error("this needs the approval passphrase")]
    Missing,
    /// The passphrase is wrong.
    #[error("that is not the approval passphrase; {left} more tries before a pause")]
    Wrong {
        /// Tries that are left before a pause.
        left: u32,
    },
    /// An authenticator is enrolled, and a high-risk act came without a code.
    #[error("this is wide, so it needs a code of the authenticator beside the passphrase")]
    CodeMissing,
    /// The code is neither a present one nor a recovery code that is left.
    #[error(
        "that is not the code of now, nor a recovery code that is left; {left} more tries before a pause"
    )]
    CodeWrong {
        /// Tries that are left before a pause.
        left: u32,
    },
    /// The code does not come from the offered secret.
    #[error("that is not the code that this secret makes now")]
    WrongFirstCode,
    /// The code's step, or a later one, was used before.
    #[error("that code, or a later one, was used before")]
    CodeUsed,
    /// An authenticator is enrolled already.
    #[error("an authenticator is enrolled already, since {0}")]
    Enrolled(Timestamp),
    /// No authenticator is enrolled.
    #[error("no authenticator is enrolled")]
    NotEnrolled,
    /// No secret was offered, or its time is over.
    #[error("no enrolment was begun, or it was too long ago")]
    NotOffered,
    /// The sealed authenticator does not open with the right passphrase.
    #[error("what the store keeps of the authenticator is damaged, or was changed by another program")]
    CannotUnseal,
    /// An earlier build sealed the authenticator in another way.
    #[error("the authenticator was enrolled by an earlier version of Portero, and this one cannot open it")]
    Outdated,
    /// Too many wrong tries.
    #[error("too many wrong tries; the next one is possible in {} s", .0.as_secs().max(1))]
    Paused(Duration),
    /// The new passphrase is derived with less work than is required.
    #[error("the passphrase was derived with less work than protects it")]
    WeakDerivation,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks tries of the passphrase and the authenticator.
pub struct PassphraseChecker {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// The offered secret. Its lock admits one try at a time, so no two tries share one count.
    turn: Mutex<Option<TotpOffer>>,
}

impl PassphraseChecker {
    /// Makes the checker on this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, turn: Mutex::new(None) }
    }

    /// Returns when the passphrase was first set, and by which process; `None` if none is set.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn first_set(&self) -> Result<Option<(Timestamp, String)>, StoreError> {
        Ok(self.journal.store().read(kept::load)?.map(|kept| (kept.first_set, kept.first_by)))
    }

    /// Returns how the passphrase is derived; `None` if none is set.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kdf_params(&self) -> Result<Option<KdfParams>, StoreError> {
        self.journal.store().read(kept::load)?.map(|kept| Ok(kept.verifier()?.salted)).transpose()
    }

    /// Checks the factors of `actor` for an act: the passphrase, and a code too if the act is high-risk and an
    /// authenticator is enrolled. The caller records a refusal.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn authorize(
        &self,
        given: GivenProof,
        code: Option<Secret>,
        act: &Act,
        actor: &Actor,
    ) -> Result<Authorization, PassphraseError> {
        let _turn = self.turn.lock().await;
        let authenticator = match act.risk() {
            Risk::Low => None,
            Risk::High => self.journal.store().read(codes::load)?,
        };
        let factors = match authenticator {
            None => {
                self.check_passphrase(&given).await?;
                vec![Factor::Passphrase]
            }
            Some(row) => {
                self.check_passphrase_and_code(row, given, code, actor).await?;
                vec![Factor::Passphrase, Factor::Totp]
            }
        };
        Ok(Authorization::new(act.clone(), actor.clone(), factors))
    }

    /// Sets the passphrase, in place of `old` if one is set. The same transaction seals the authenticator
    /// under the new one.
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
        let act = Act::SetPassphrase;
        let record = self.journal.act_record(act.word(), &act.about(), true, Some(process));
        let (by, now) = (process.to_string(), self.clock.now().wall);
        // The former text is compared in the transaction: a change meanwhile must not be overwritten.
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

    /// Checks a try, and resets the count if it was right.
    async fn check_passphrase(&self, given: &GivenProof) -> Result<PassphraseRow, PassphraseError> {
        let kept = self.try_passphrase(given).await?;
        self.journal.store().write(Durability::StoreSynced, kept::reset_tries).await?;
        Ok(kept)
    }

    /// Counts the try and checks it; the count stays, because a code may still be missing.
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
        // The count is on disk before the check, so a kill in between can't hide a wrong try.
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
    /// Fails while the pause after this many wrong tries lasts; the last of them was at `failed_at`.
    async fn check_may_try(
        &self,
        failed: u32,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), PassphraseError> {
        if failed_at > now {
            // The clock was set back. The pause counts from now on, or it would last until the clock caught
            // up.
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

/// The rest of a pause: the whole of it if the clock was set back before the last try.
fn remaining_pause(failed: u32, failed_at: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = failed.checked_sub(MAX_FREE_TRIES)?;
    let whole = MIN_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_PAUSE);
    let passed = Duration::try_from(now.duration_since(failed_at)).unwrap_or_default();
    whole.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Tries that are left before a pause, once one more has failed.
const fn tries_left(failed: u32) -> u32 {
    MAX_FREE_TRIES.saturating_sub(failed.saturating_add(1))
}

#[cfg(test)]
pub(crate) mod tests;
