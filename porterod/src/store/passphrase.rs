//! What checks the passphrase, and its tries.

use jiff::Timestamp;
use portero::passphrase::PassphraseVerifier;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// What is kept of the passphrase.
#[derive(Debug, Clone)]
pub(crate) struct PassphraseRow {
    /// [`PassphraseVerifier::to_text`].
    pub(crate) text: String,
    /// When one was first set.
    pub(crate) first_set: Timestamp,
    /// By which process.
    pub(crate) first_by: String,
    /// Wrong tries since the last right one.
    pub(crate) failed: u32,
    /// When the last of them was.
    pub(crate) failed_at: Timestamp,
}

impl PassphraseRow {
    /// What checks it.
    pub(crate) fn verifier(&self) -> Result<PassphraseVerifier, StoreError> {
        PassphraseVerifier::from_text(&self.text)
            .ok_or_else(|| StoreError::corrupt("what it keeps of the passphrase cannot be read"))
    }
}

/// Reads it, if one is set.
pub(crate) fn load(connection: &Connection) -> Result<Option<PassphraseRow>, StoreError> {
    let sql = "SELECT verifier, first_set, first_by, failed, failed_at FROM passphrase";
    let found = connection.query_row(sql, [], |row| {
        Ok(PassphraseRow {
            text: row.get(0)?,
            first_set: from_nanos(1, row.get(1)?)?,
            first_by: row.get(2)?,
            failed: row.get(3)?,
            failed_at: from_nanos(4, row.get(4)?)?,
        })
    });
    Ok(found.optional()?)
}

/// Sets the first one, or replaces the one whose text is `old`. False when that is not how things stand.
pub(crate) fn set(
    connection: &Connection,
    old: Option<&str>,
    text: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let at = to_nanos(now);
    let changed = match old {
        None => connection.execute(
            "INSERT INTO passphrase (only, verifier, first_set, first_by, changed, changed_by)
             VALUES (1, ?1, ?2, ?3, ?2, ?3) ON CONFLICT DO NOTHING",
            params![text, at, by],
        )?,
        Some(old) => connection.execute(
            "UPDATE passphrase SET verifier = ?1, changed = ?2, changed_by = ?3, failed = 0 WHERE verifier = ?4",
            params![text, at, by, old],
        )?,
    };
    Ok(changed == 1)
}

/// Counts a try as wrong before it is checked, so that no crash and no second try beside it is free.
pub(crate) fn count_try(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed = failed + 1, failed_at = ?1", [to_nanos(now)])?;
    Ok(())
}

/// Tries of passphrase and code at a time that is yet to come, since the wall clock was set back, count as made now.
pub(crate) fn clamp_to_now(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed_at = ?1 WHERE failed_at > ?1", [to_nanos(now)])?;
    connection.execute("UPDATE authenticator SET failed_at = ?1 WHERE failed_at > ?1", [to_nanos(now)])?;
    Ok(())
}

/// A right try ends the count.
pub(crate) fn reset_tries(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed = 0", [])?;
    Ok(())
}
