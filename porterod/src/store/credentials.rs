//! The sealed credentials. The store knows no key to them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// An encrypted value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedCredential {
    /// The nonce of this encryption.
    pub(crate) nonce: [u8; 24],
    /// The ciphertext with its tag.
    pub(crate) text: Vec<u8>,
}

/// The value of this name, if one is stored.
pub(crate) fn load(connection: &Connection, name: &str) -> Result<Option<SealedCredential>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT nonce, sealed FROM credentials WHERE name = ?1")?;
    let found =
        statement.query_row([name], |row| Ok(SealedCredential { nonce: row.get(0)?, text: row.get(1)? }));
    Ok(found.optional()?)
}

/// Stores a value, and replaces an earlier one of this name.
pub(crate) fn save(
    connection: &Connection,
    name: &str,
    value: &SealedCredential,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO credentials (name, nonce, sealed, kept) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE
               SET nonce = excluded.nonce, sealed = excluded.sealed, kept = excluded.kept";
    connection.prepare_cached(sql)?.execute(params![name, value.nonce, value.text, to_nanos(now)])?;
    Ok(())
}

/// Removes a value. False if none is stored.
pub(crate) fn remove(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("DELETE FROM credentials WHERE name = ?1")?.execute([name])? == 1)
}

/// The names with the time at which each was stored, sorted by name.
pub(crate) fn list(connection: &Connection) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name, kept FROM credentials ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, from_nanos(1, row.get(1)?)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
