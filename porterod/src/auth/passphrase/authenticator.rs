//! The authenticator beside the passphrase: an app that makes a code every thirty seconds, and recovery codes
//! for its loss.
//!
//! Once enrolled, a high-risk act needs both factors. A code counts once, and each try counts as wrong before
//! it is checked. The right passphrase alone does not reset that count, so a person who knows it guesses
//! codes no faster. A sealed secret that does not open confirms nothing.

use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Moment;
use portero::ipc::{Act, GivenProof};
use portero::names::Actor;
use portero::notice::AlarmKind;
use portero::secret::Secret;
use rusqlite::Connection;

use super::sealed_totp::{CodeMatch, EnrollmentContext, TotpContents};
use super::{PassphraseChecker, PassphraseError, kept, tries_left};
use crate::journal::AuditMode;
use crate::store::authenticator::{self as codes, AuthenticatorRow, SealedTotp};
use crate::store::passphrase::PassphraseRow;
use crate::store::{Durability, StoreError};

/// The time in which an offered secret can be enrolled.
const OFFER_TIMEOUT: Duration = Duration::from_secs(600);

/// A secret that was shown and is not enrolled yet.
pub(super) struct TotpOffer {
    contents: TotpContents,
    made: Moment,
}

/// The state of an authenticator, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledTotp {
    /// When it was enrolled.
    pub since: Timestamp,
    /// The process that enrolled it.
    pub by: String,
    /// How many recovery codes are left.
    pub recovery: u32,
    /// Whether an earlier build sealed it: it can't be opened, only removed.
    pub is_outdated: bool,
}

/// The authenticator's sealed contents under a new passphrase.
pub(super) struct ResealedTotp {
    before: [u8; 24],
    sealed: SealedTotp,
    left: u32,
}

impl ResealedTotp {
    /// Puts it in the place of the former; fails if that one changed meanwhile.
    pub(super) fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        if codes::reseal(connection, &self.before, &self.sealed, self.left)? {
            return Ok(());
        }
        Err(StoreError::Failed("the authenticator changed meanwhile; nothing was changed".to_owned()))
    }
}

impl PassphraseChecker {
    /// Returns the enrolled authenticator, if there is one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn enrolled_totp(&self) -> Result<Option<EnrolledTotp>, StoreError> {
        let row = self.journal.store().read(codes::load)?;
        Ok(row.map(|AuthenticatorRow { enrolled, by, recovery, sealed, .. }| {
            let is_outdated = TotpContents::is_outdated(&sealed);
            EnrolledTotp { since: enrolled, by, recovery, is_outdated }
        }))
    }

    /// Offers a new secret to a person who knows the passphrase. [`PassphraseChecker::enroll_totp`] makes it
    /// count.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn offer_totp(&self, given: GivenProof) -> Result<Secret, PassphraseError> {
        let mut turn = self.turn.lock().await;
        if let Some(row) = self.journal.store().read(codes::load)? {
            return Err(PassphraseError::Enrolled(row.enrolled));
        }
        self.check_passphrase(&given).await?;
        let contents = TotpContents::generate();
        let secret = contents.secret();
        *turn = Some(TotpOffer { contents, made: self.clock.now() });
        Ok(secret)
    }

    /// Enrols the offered secret with its first code, and returns the recovery codes.
    ///
    /// # Errors
    /// See [`PassphraseError`]; after a wrong code another try may follow.
    pub async fn enroll_totp(
        &self,
        given: GivenProof,
        code: Option<Secret>,
        process: &Actor,
    ) -> Result<Vec<Secret>, PassphraseError> {
        let mut turn = self.turn.lock().await;
        let now = self.clock.now();
        // The boot clock can't be set back, so an old offer can't be revived.
        turn.take_if(|offer| now.boot.saturating_sub(offer.made.boot) > OFFER_TIMEOUT);
        let TotpOffer { contents, .. } = turn.as_mut().ok_or(PassphraseError::NotOffered)?;
        let code = code.ok_or(PassphraseError::CodeMissing)?;
        self.check_passphrase(&given).await?;
        let opens = given.opens.as_ref().ok_or(PassphraseError::CannotUnseal)?;
        // A first code proves that the app has the secret: a mistyped one would lock the person out.
        let CodeMatch::Step(last_step) = contents.match_code(&code, now.wall) else {
            return Err(PassphraseError::WrongFirstCode);
        };
        let about = EnrollmentContext { enrolled: now.wall, by: process.to_string() };
        let offered = contents.recovery_codes();
        let sealed = seal_contents(contents, opens, &about)?;
        let row = AuthenticatorRow {
            enrolled: about.enrolled,
            by: about.by,
            sealed,
            recovery: contents.recovery_left(),
            last_step,
            failed: 0,
            failed_at: now.wall,
        };
        let record =
            self.journal.act_record(Act::EnrollTotp.word(), &Act::EnrollTotp.about(), true, Some(process));
        let enrolled = self.journal.change(AuditMode::Required, move |connection| {
            let enrolled = codes::enroll(connection, &row)?;
            Ok((enrolled, if enrolled { vec![record.clone()] } else { Vec::new() }))
        });
        let enrolled = enrolled.await?;
        // The offer is over in any case, so its recovery codes belong to one enrolment.
        *turn = None;
        if enrolled { Ok(offered) } else { Err(PassphraseError::Enrolled(now.wall)) }
    }

    /// Removes the authenticator: the passphrase alone then confirms high-risk acts. One of an earlier build
    /// needs the passphrase alone, because its codes can't be checked any more.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn remove_totp(
        &self,
        given: GivenProof,
        code: Option<Secret>,
        process: &Actor,
    ) -> Result<(), PassphraseError> {
        let _turn = self.turn.lock().await;
        let row = self.journal.store().read(codes::load)?.ok_or(PassphraseError::NotEnrolled)?;
        let is_outdated = TotpContents::is_outdated(&row.sealed);
        if is_outdated {
            self.check_passphrase(&given).await?;
        } else {
            self.check_passphrase_and_code(row, given, code, process).await?;
        }
        let act = Act::RemoveTotp;
        let about = if is_outdated { format!("{} of an earlier version", act.about()) } else { act.about() };
        let record = self.journal.act_record(act.word(), &about, true, Some(process));
        let removed = self.journal.change(AuditMode::Required, move |connection| {
            let removed = codes::remove(connection)?;
            Ok((removed, if removed { vec![record.clone()] } else { Vec::new() }))
        });
        if removed.await? { Ok(()) } else { Err(PassphraseError::NotEnrolled) }
    }

    /// Seals the authenticator, if one is enrolled, under a new passphrase.
    pub(super) fn reseal_totp(
        &self,
        old: &GivenProof,
        opens: &Secret,
    ) -> Result<Option<ResealedTotp>, PassphraseError> {
        let Some(row) = self.journal.store().read(codes::load)? else { return Ok(None) };
        let (before, about) = (row.sealed.nonce, EnrollmentContext::from_row(&row));
        let contents = unseal_contents(&row, old)?;
        let sealed = seal_contents(&contents, opens, &about)?;
        Ok(Some(ResealedTotp { before, sealed, left: contents.recovery_left() }))
    }

    /// Checks passphrase and code. Only both together reset the counts of wrong tries.
    pub(super) async fn check_passphrase_and_code(
        &self,
        row: AuthenticatorRow,
        given: GivenProof,
        code: Option<Secret>,
        process: &Actor,
    ) -> Result<(), PassphraseError> {
        if TotpContents::is_outdated(&row.sealed) {
            return Err(PassphraseError::Outdated);
        }
        let (code, now) = (code.ok_or(PassphraseError::CodeMissing)?, self.clock.now().wall);
        self.check_may_try(row.failed, row.failed_at, now).await?;
        // A code is counted only after the right passphrase, so a stranger can't bring the authenticator to a
        // pause.
        let PassphraseRow { failed, .. } = self.try_passphrase(&given).await?;
        let count = move |connection: &Connection| codes::count_try(connection, now);
        self.journal.store().write(Durability::StoreSynced, count).await?;
        let (before, about, wrong) =
            (row.sealed.nonce, EnrollmentContext::from_row(&row), row.failed.max(failed));
        let mut contents = unseal_contents(&row, &given)?;
        let used = match contents.match_code(&code, now) {
            CodeMatch::Step(step) => self.use_step(step).await?,
            // The rest is sealed without the used code, which therefore can't count twice.
            CodeMatch::RecoveryCode => {
                let opens = given.opens.as_ref().ok_or(PassphraseError::CannotUnseal)?;
                let sealed = seal_contents(&contents, opens, &about)?;
                let left = contents.recovery_left();
                self.use_recovery_code(ResealedTotp { before, sealed, left }, process).await?;
                true
            }
            CodeMatch::NoMatch => return Err(self.wrong_code_error(tries_left(wrong)).await),
        };
        if used { Ok(()) } else { Err(PassphraseError::CodeUsed) }
    }

    async fn wrong_code_error(&self, left: u32) -> PassphraseError {
        if left == 0 {
            let about = "wrong codes of the authenticator, with the right passphrase, were tried at a terminal, \
                         so there is a pause now";
            self.journal.raise_alarm(AlarmKind::Passphrase, about).await;
        }
        PassphraseError::CodeWrong { left }
    }

    /// Uses up a code's step. Returns `false` if that step, or a later one, was used before.
    async fn use_step(&self, step: u64) -> Result<bool, StoreError> {
        let using = move |connection: &Connection| {
            let used = codes::use_step(connection, step)?;
            if used {
                reset_tries(connection)?;
            }
            Ok(used)
        };
        self.journal.store().write(Durability::StoreSynced, using).await
    }

    async fn use_recovery_code(&self, rest: ResealedTotp, process: &Actor) -> Result<(), StoreError> {
        let about = format!("a recovery code; {} are left", rest.left);
        let record = self.journal.act_record("totp recovery", &about, true, Some(process));
        let using = move |connection: &Connection| {
            rest.save(connection)?;
            reset_tries(connection)?;
            Ok(((), vec![record.clone()]))
        };
        self.journal.change(AuditMode::Required, using).await
    }
}

fn reset_tries(connection: &Connection) -> Result<(), StoreError> {
    codes::reset_tries(connection)?;
    kept::reset_tries(connection)
}

/// Opens the sealed contents with the key of this proof.
fn unseal_contents(row: &AuthenticatorRow, given: &GivenProof) -> Result<TotpContents, PassphraseError> {
    if TotpContents::is_outdated(&row.sealed) {
        return Err(PassphraseError::Outdated);
    }
    let opens = given.opens.as_ref().ok_or(PassphraseError::CannotUnseal)?;
    TotpContents::open(row, opens).ok_or(PassphraseError::CannotUnseal)
}

/// Seals contents under the passphrase that gives this key.
fn seal_contents(
    contents: &TotpContents,
    opens: &Secret,
    about: &EnrollmentContext,
) -> Result<SealedTotp, PassphraseError> {
    let failed = || StoreError::Failed("the authenticator could not be sealed".to_owned());
    Ok(contents.seal(opens, about).ok_or_else(failed)?)
}

#[cfg(test)]
mod tests;
