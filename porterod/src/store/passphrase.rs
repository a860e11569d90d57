//! The passphrase's verifier and its failed tries.

use jiff::Timestamp;
use portero::passphrase::PassphraseVerifier;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// The stored verifier with its tries.
#[derive(Debug, Clone)]
pub(crate) struct PassphraseRow {
    /// The verifier, as [`PassphraseVerifier::to_text`] wrote it.
    pub(crate) text: String,
    /// When a passphrase was first set.
    pub(crate) first_set: Timestamp,
    /// The process that set it.
    pub(crate) first_by: String,
    /// Wrong tries since the last right one.
    pub(crate) failed: u32,
    /// The time of the last wrong try.
    pub(crate) failed_at: Timestamp,
}

impl PassphraseRow {
    /// The verifier.
    pub(crate) fn verifier(&self) -> Result<PassphraseVerifier, StoreError> {
        PassphraseVerifier::from_text(&self.text)
            .ok_or_else(|| StoreError::corrupt("what it keeps of the passphrase cannot be read"))
    }
}

/// The row, if a passphrase is set.
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

/// Sets the first verifier, or replaces the one with the text `old`. False if another one is stored.
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

/// Counts a try as wrong before it is checked, so that neither a crash nor a concurrent try is free.
pub(crate) fn count_try(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed = failed + 1, failed_at = ?1", [to_nanos(now)])?;
    Ok(())
}

/// Moves tries in the future to now, for passphrase and code. They come from a clock that was set back, and
/// would otherwise delay the next try for that long.
pub(crate) fn clamp_to_now(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed_at = ?1 WHERE failed_at > ?1", [to_nanos(now)])?;
    connection.execute("UPDATE authenticator SET failed_at = ?1 WHERE failed_at > ?1", [to_nanos(now)])?;
    Ok(())
}

/// Resets the count after a right try.
pub(crate) fn reset_tries(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE passphrase SET failed = 0", [])?;
    Ok(())
}
