//! The sealed credentials, and the names of the keys that the system's keyring holds for them. The store knows no key.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// The length of a key's id.
pub(crate) const KEY_ID_BYTES: usize = 16;

/// An encrypted value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedCredential {
    /// The nonce of this encryption.
    pub(crate) nonce: [u8; 24],
    /// The ciphertext with its tag.
    pub(crate) text: Vec<u8>,
}

/// The id of a key in the keyring; none stands for the key in the file beside the store.
pub(crate) type StoredKeyId = Option<[u8; KEY_ID_BYTES]>;

/// What is known of a credential without its value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CredentialRow {
    pub(crate) name: String,
    pub(crate) kept: Timestamp,
    pub(crate) key: StoredKeyId,
}

/// A key that the keyring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) id: [u8; KEY_ID_BYTES],
    /// Whether a credential is sealed under it.
    pub(crate) is_used: bool,
}

/// The value of this name and its key, if one is stored.
pub(crate) fn load(
    connection: &Connection,
    name: &str,
) -> Result<Option<(SealedCredential, StoredKeyId)>, StoreError> {
    let sql = "SELECT nonce, sealed, key_id FROM credentials WHERE name = ?1";
    let found = connection.prepare_cached(sql)?.query_row([name], read_sealed);
    Ok(found.optional()?)
}

fn read_sealed(row: &Row<'_>) -> rusqlite::Result<(SealedCredential, StoredKeyId)> {
    Ok((SealedCredential { nonce: row.get(0)?, text: row.get(1)? }, row.get(2)?))
}

/// Stores a value, and replaces an earlier one of this name.
pub(crate) fn save(
    connection: &Connection,
    name: &str,
    (value, key): (&SealedCredential, StoredKeyId),
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO credentials (name, nonce, sealed, kept, key_id) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (name) DO UPDATE
               SET nonce = excluded.nonce, sealed = excluded.sealed, kept = excluded.kept, key_id = excluded.key_id";
    connection.prepare_cached(sql)?.execute(params![name, value.nonce, value.text, to_nanos(now), key])?;
    Ok(())
}

/// Stores the same value under another key. When it was kept stays as it is.
pub(crate) fn reseal(
    connection: &Connection,
    name: &str,
    (value, key): (&SealedCredential, StoredKeyId),
) -> Result<(), StoreError> {
    let sql = "UPDATE credentials SET nonce = ?2, sealed = ?3, key_id = ?4 WHERE name = ?1";
    connection.prepare_cached(sql)?.execute(params![name, value.nonce, value.text, key])?;
    Ok(())
}

/// Removes a value. False if none is stored.
pub(crate) fn remove(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("DELETE FROM credentials WHERE name = ?1")?.execute([name])? == 1)
}

/// What is stored, sorted by name.
pub(crate) fn list(connection: &Connection) -> Result<Vec<CredentialRow>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT name, kept, key_id FROM credentials ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        Ok(CredentialRow { name: row.get(0)?, kept: from_nanos(1, row.get(1)?)?, key: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The keys that the keyring holds, or is about to hold, the latest first.
pub(crate) fn list_keys(connection: &Connection) -> Result<Vec<KeyRow>, StoreError> {
    let sql = "SELECT id, EXISTS (SELECT 1 FROM credentials WHERE key_id = id)
               FROM credential_keys ORDER BY made DESC, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok(KeyRow { id: row.get(0)?, is_used: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a key before the keyring gets it, so that no crash leaves an item there that is unknown here. It is the latest
/// from then on, whatever the clock says.
pub(crate) fn add_key(
    connection: &Connection,
    id: [u8; KEY_ID_BYTES],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO credential_keys (id, made)
               VALUES (?1, max(?2, (SELECT coalesce(max(made), 0) + 1 FROM credential_keys)))";
    connection.prepare_cached(sql)?.execute(params![id, to_nanos(now)])?;
    Ok(())
}

/// Forgets a key under which nothing is sealed. False if there is something, or no such key.
pub(crate) fn remove_key(connection: &Connection, id: [u8; KEY_ID_BYTES]) -> Result<bool, StoreError> {
    let sql = "DELETE FROM credential_keys
               WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM credentials WHERE key_id = ?1)";
    Ok(connection.prepare_cached(sql)?.execute([id])? == 1)
}
