//! The authenticator beside the passphrase: an app that makes a code every thirty seconds, and recovery codes
//! for the day on which it is lost.
//!
//! Once it is enrolled, what is wide needs both. A code counts once, and each try counts as wrong before it is
//! checked: a right passphrase alone does not end that count, so whoever knows the passphrase guesses no codes
//! faster. What cannot be opened confirms nothing.

use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Moment;
use portero::ipc::{Given, Width};
use portero::notice::Alarm;
use portero::secret::Secret;
use rusqlite::Connection;

use super::seal::{About, Contents, Found};
use super::{Confirmed, Passphrase, PassphraseError, kept, left};
use crate::journal::Weight;
use crate::store::authenticator::{self as codes, Row, Sealed};
use crate::store::passphrase::Kept;
use crate::store::{Records, StoreError};

/// How long a secret that was offered can be enrolled.
const OFFERED_MOST: Duration = Duration::from_secs(600);

/// A secret that was shown and is not in force yet.
pub(super) struct Offer {
    contents: Contents,
    made: Moment,
}

/// What may be told of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Since when it is enrolled.
    pub since: Timestamp,
    /// By which process it was.
    pub by: String,
    /// How many recovery codes are left.
    pub recovery: u32,
    /// Whether an earlier build sealed it, so that it cannot be opened and only be removed.
    pub is_outdated: bool,
}

/// What is kept of the authenticator under a new passphrase.
pub(super) struct Resealed {
    before: [u8; 24],
    sealed: Sealed,
    left: u32,
}

impl Resealed {
    /// Puts it in the place of the former.
    pub(super) fn keep(&self, connection: &Connection) -> Result<(), StoreError> {
        if codes::reseal(connection, &self.before, &self.sealed, self.left)? {
            return Ok(());
        }
        Err(StoreError::Failed("the authenticator changed meanwhile; nothing was changed".to_owned()))
    }
}

impl Passphrase {
    /// The authenticator that is enrolled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn enrolled(&self) -> Result<Option<Enrolled>, StoreError> {
        let row = self.journal.store().read(codes::load)?;
        Ok(row.map(|Row { enrolled, by, recovery, sealed, .. }| {
            let is_outdated = Contents::is_outdated(&sealed);
            Enrolled { since: enrolled, by, recovery, is_outdated }
        }))
    }

    /// Checks what `process` gave for something wide: the passphrase, and a code once one is enrolled.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn confirm_wide(
        &self,
        given: Given,
        code: Option<Secret>,
        process: &str,
    ) -> Result<Confirmed, PassphraseError> {
        let _turn = self.turn.lock().await;
        match self.journal.store().read(codes::load)? {
            None => drop(self.check(&given).await?),
            Some(row) => self.check_both(row, given, code, process).await?,
        }
        Ok(Confirmed::typed(process.to_owned(), Width::Wide))
    }

    /// Offers a new secret, in the spelling of authenticator apps, to whoever knows the passphrase. It takes
    /// effect with [`Passphrase::enroll`].
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn offer(&self, given: Given) -> Result<Secret, PassphraseError> {
        let mut turn = self.turn.lock().await;
        if let Some(row) = self.journal.store().read(codes::load)? {
            return Err(PassphraseError::Enrolled(row.enrolled));
        }
        self.check(&given).await?;
        let contents = Contents::fresh();
        let secret = contents.secret();
        *turn = Some(Offer { contents, made: self.clock.now() });
        Ok(secret)
    }

    /// Enrols the secret that was offered, with a first code of it, and gives the recovery codes.
    ///
    /// # Errors
    /// See [`PassphraseError`]; after a wrong code another one may follow.
    pub async fn enroll(
        &self,
        given: Given,
        code: Option<Secret>,
        process: &str,
    ) -> Result<Vec<Secret>, PassphraseError> {
        let mut turn = self.turn.lock().await;
        let now = self.clock.now();
        turn.take_if(|offer| now.boot.saturating_sub(offer.made.boot) > OFFERED_MOST);
        let Offer { contents, .. } = turn.as_mut().ok_or(PassphraseError::NotOffered)?;
        let code = code.ok_or(PassphraseError::CodeMissing)?;
        self.check(&given).await?;
        let opens = given.opens.as_ref().ok_or(PassphraseError::Sealed)?;
        let Found::Step(last_step) = contents.find(&code, now.wall) else {
            return Err(PassphraseError::FirstCode);
        };
        let about = About { enrolled: now.wall, by: process.to_owned() };
        let offered = contents.recovery();
        let sealed = sealed(contents, opens, &about)?;
        let row = Row {
            enrolled: about.enrolled,
            by: about.by,
            sealed,
            recovery: contents.recovery_left(),
            last_step,
            failed: 0,
            failed_at: now.wall,
        };
        let record = self.journal.act("totp enroll", "the authenticator", true, Some(process));
        let enrolled = self.journal.change(Weight::Strict, move |connection| {
            let enrolled = codes::enroll(connection, &row)?;
            Ok((enrolled, if enrolled { vec![record.clone()] } else { Vec::new() }))
        });
        let enrolled = enrolled.await?;
        *turn = None;
        if enrolled { Ok(offered) } else { Err(PassphraseError::Enrolled(now.wall)) }
    }

    /// Removes the authenticator: from then on the passphrase alone confirms what is wide. One of an earlier build
    /// takes the passphrase alone: its codes can't be checked any more, by any means.
    ///
    /// # Errors
    /// See [`PassphraseError`].
    pub async fn remove(
        &self,
        given: Given,
        code: Option<Secret>,
        process: &str,
    ) -> Result<(), PassphraseError> {
        let _turn = self.turn.lock().await;
        let row = self.journal.store().read(codes::load)?.ok_or(PassphraseError::NotEnrolled)?;
        let is_outdated = Contents::is_outdated(&row.sealed);
        if is_outdated {
            self.check(&given).await?;
        } else {
            self.check_both(row, given, code, process).await?;
        }
        let about = if is_outdated { "the authenticator of an earlier version" } else { "the authenticator" };
        let record = self.journal.act("totp remove", about, true, Some(process));
        let removed = self.journal.change(Weight::Strict, move |connection| {
            let removed = codes::remove(connection)?;
            Ok((removed, if removed { vec![record.clone()] } else { Vec::new() }))
        });
        if removed.await? { Ok(()) } else { Err(PassphraseError::NotEnrolled) }
    }

    /// What is kept of the authenticator, if one is enrolled, under a new passphrase.
    pub(super) fn resealed(&self, old: &Given, opens: &Secret) -> Result<Option<Resealed>, PassphraseError> {
        let Some(row) = self.journal.store().read(codes::load)? else { return Ok(None) };
        let (before, about) = (row.sealed.nonce, About::of(&row));
        let contents = opened(&row, old)?;
        let sealed = sealed(&contents, opens, &about)?;
        Ok(Some(Resealed { before, sealed, left: contents.recovery_left() }))
    }

    /// Checks passphrase and code. Only both together end the counts of wrong tries.
    async fn check_both(
        &self,
        row: Row,
        given: Given,
        code: Option<Secret>,
        process: &str,
    ) -> Result<(), PassphraseError> {
        if Contents::is_outdated(&row.sealed) {
            return Err(PassphraseError::Outdated);
        }
        let (code, now) = (code.ok_or(PassphraseError::CodeMissing)?, self.clock.now().wall);
        self.may_try(row.failed, row.failed_at, now).await?;
        let Kept { failed, .. } = self.tried(&given).await?;
        let count = move |connection: &Connection| codes::count_try(connection, now);
        self.journal.store().write(Records::None, count).await?;
        let (before, about, wrong) = (row.sealed.nonce, About::of(&row), row.failed.max(failed));
        let mut contents = opened(&row, &given)?;
        let used = match contents.find(&code, now) {
            Found::Step(step) => self.use_step(step).await?,
            Found::Recovery => {
                let opens = given.opens.as_ref().ok_or(PassphraseError::Sealed)?;
                let sealed = sealed(&contents, opens, &about)?;
                let left = contents.recovery_left();
                self.use_recovery(Resealed { before, sealed, left }, process).await?;
                true
            }
            Found::Nothing => return Err(self.wrong_code(left(wrong)).await),
        };
        if used { Ok(()) } else { Err(PassphraseError::CodeUsed) }
    }

    async fn wrong_code(&self, left: u32) -> PassphraseError {
        if left == 0 {
            let about = "wrong codes of the authenticator, with the right passphrase, were tried at a terminal, \
                         so there is a pause now";
            self.journal.alarm(Alarm::Passphrase, about).await;
        }
        PassphraseError::CodeWrong { left }
    }

    /// False when its code, or a later one, was used before.
    async fn use_step(&self, step: u64) -> Result<bool, StoreError> {
        let using = move |connection: &Connection| {
            let used = codes::use_step(connection, step)?;
            if used {
                forget_tries(connection)?;
            }
            Ok(used)
        };
        self.journal.store().write(Records::None, using).await
    }

    async fn use_recovery(&self, rest: Resealed, process: &str) -> Result<(), StoreError> {
        let about = format!("a recovery code; {} are left", rest.left);
        let record = self.journal.act("totp recovery", &about, true, Some(process));
        let using = move |connection: &Connection| {
            rest.keep(connection)?;
            forget_tries(connection)?;
            Ok(((), vec![record.clone()]))
        };
        self.journal.change(Weight::Strict, using).await
    }
}

fn forget_tries(connection: &Connection) -> Result<(), StoreError> {
    codes::forget_tries(connection)?;
    kept::forget_tries(connection)
}

/// Opens what is kept with what was given.
fn opened(row: &Row, given: &Given) -> Result<Contents, PassphraseError> {
    if Contents::is_outdated(&row.sealed) {
        return Err(PassphraseError::Outdated);
    }
    let opens = given.opens.as_ref().ok_or(PassphraseError::Sealed)?;
    Contents::open(row, opens).ok_or(PassphraseError::Sealed)
}

/// Seals contents under the passphrase that gives this key.
fn sealed(contents: &Contents, opens: &Secret, about: &About) -> Result<Sealed, PassphraseError> {
    let failed = || StoreError::Failed("the authenticator could not be sealed".to_owned());
    Ok(contents.seal(opens, about).ok_or_else(failed)?)
}

#[cfg(test)]
mod tests;
