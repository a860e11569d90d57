//! Which configuration a person confirmed: a keyed digest. The row is only ever replaced.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::to_nanos;

/// The keyed digest; none until a configuration was confirmed.
pub(crate) fn load_digest(connection: &Connection) -> Result<Option<String>, StoreError> {
    Ok(connection.query_row("SELECT digest FROM confirmed", [], |row| row.get(0)).optional()?)
}

/// Keeps it.
pub(crate) fn save_digest(connection: &Connection, digest: &str, now: Timestamp) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO confirmed (only, digest, at) VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET digest = excluded.digest, at = excluded.at",
        params![digest, to_nanos(now)],
    )?;
    Ok(())
}
