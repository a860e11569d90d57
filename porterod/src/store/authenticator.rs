//! The authenticator's row: its sealed secret, the last used time step, and its failed tries.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// A secret encrypted under the passphrase.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedTotp {
    /// The salt of its key.
    pub(crate) salt: [u8; 16],
    /// The nonce of this encryption.
    pub(crate) nonce: [u8; 24],
    /// The ciphertext with its tag.
    pub(crate) text: Vec<u8>,
}

/// The enrolled authenticator.
#[derive(Clone)]
pub(crate) struct AuthenticatorRow {
    /// The time of enrolment.
    pub(crate) enrolled: Timestamp,
    /// The process that enrolled it.
    pub(crate) by: String,
    /// The encrypted secret and recovery codes.
    pub(crate) sealed: SealedTotp,
    /// How many recovery codes are left.
    pub(crate) recovery: u32,
    /// The time step of the last used code. Codes of this or an earlier step are refused.
    pub(crate) last_step: u64,
    /// Wrong codes since the last right one, each with a right passphrase.
    pub(crate) failed: u32,
    /// The time of the last wrong code.
    pub(crate) failed_at: Timestamp,
}

/// The row, if one is enrolled.
pub(crate) fn load(connection: &Connection) -> Result<Option<AuthenticatorRow>, StoreError> {
    let sql = "SELECT enrolled, enrolled_by, salt, nonce, sealed, recovery, last_step, failed, failed_at
               FROM authenticator";
    let found = connection.query_row(sql, [], |row| {
        Ok(AuthenticatorRow {
            enrolled: from_nanos(0, row.get(0)?)?,
            by: row.get(1)?,
            sealed: SealedTotp { salt: row.get(2)?, nonce: row.get(3)?, text: row.get(4)? },
            recovery: row.get(5)?,
            last_step: row.get(6)?,
            failed: row.get(7)?,
            failed_at: from_nanos(8, row.get(8)?)?,
        })
    });
    Ok(found.optional()?)
}

/// Enrols an authenticator. False if one is enrolled already.
pub(crate) fn enroll(connection: &Connection, row: &AuthenticatorRow) -> Result<bool, StoreError> {
    let sql = "INSERT INTO authenticator
               (only, enrolled, enrolled_by, salt, nonce, sealed, recovery, last_step)
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let SealedTotp { salt, nonce, text } = &row.sealed;
    let made = connection.execute(
        sql,
        params![to_nanos(row.enrolled), row.by, salt, nonce, text, row.recovery, row.last_step],
    )?;
    Ok(made == 1)
}

/// Counts a try as wrong before it is checked.
pub(crate) fn count_try(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE authenticator SET failed = failed + 1, failed_at = ?1", [to_nanos(now)])?;
    Ok(())
}

/// Uses the code of a time step. False if this or a later step was used before.
pub(crate) fn use_step(connection: &Connection, step: u64) -> Result<bool, StoreError> {
    let sql = "UPDATE authenticator SET last_step = ?1 WHERE last_step < ?1";
    Ok(connection.execute(sql, [step])? == 1)
}

/// Replaces the ciphertext with this nonce by one with `left` recovery codes. False if another one is stored.
pub(crate) fn reseal(
    connection: &Connection,
    before: &[u8; 24],
    sealed: &SealedTotp,
    left: u32,
) -> Result<bool, StoreError> {
    let SealedTotp { salt, nonce, text } = sealed;
    let sql = "UPDATE authenticator SET salt = ?1, nonce = ?2, sealed = ?3, recovery = ?4 WHERE nonce = ?5";
    Ok(connection.execute(sql, params![salt, nonce, text, left, before])? == 1)
}

/// Resets the count after a right code.
pub(crate) fn reset_tries(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE authenticator SET failed = 0", [])?;
    Ok(())
}

/// Removes the authenticator. False if none is enrolled.
pub(crate) fn remove(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM authenticator", [])? == 1)
}
