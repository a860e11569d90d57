//! The access tokens, each with a hash of its secret.

use jiff::Timestamp;
use portero::access::{AccessToken, TokenName};
use rusqlite::{Connection, params};

use super::StoreError;
use super::columns::{from_json, from_nanos, from_plain, to_nanos, unreadable_column};

/// A stored token.
#[derive(Debug, Clone)]
pub(crate) struct AccessTokenRow {
    /// The public part of the token, by which it is found.
    pub(crate) id: String,
    /// The BLAKE3 hash of the whole token.
    pub(crate) hash: [u8; 32],
    /// What people know of it.
    pub(crate) token: AccessToken,
}

/// Every token, by name.
pub(crate) fn list(connection: &Connection) -> Result<Vec<AccessTokenRow>, StoreError> {
    let mut statement = connection
        .prepare("SELECT id, hash, name, scope, made, expires, last_used FROM access_tokens ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let (name, scope): (String, String) = (row.get(2)?, row.get(3)?);
        let time = |column| row.get::<_, Option<i64>>(column)?.map(|at| from_nanos(column, at)).transpose();
        let hash: Vec<u8> = row.get(1)?;
        Ok(AccessTokenRow {
            id: row.get(0)?,
            hash: <[u8; 32]>::try_from(hash.as_slice()).map_err(|error| unreadable_column(1, error))?,
            token: AccessToken {
                name: from_plain(2, &name)?,
                scope: from_json(3, &scope)?,
                made: from_nanos(4, row.get(4)?)?,
                expires: time(5)?,
                last_used: time(6)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stores a token. False if its name is taken.
pub(crate) fn insert(connection: &Connection, row: &AccessTokenRow) -> Result<bool, StoreError> {
    let AccessTokenRow { id, hash, token } = row;
    let scope = serde_json::to_string(&token.scope).map_err(|error| StoreError::Failed(error.to_string()))?;
    let inserted = connection.execute(
        "INSERT INTO access_tokens (id, hash, name, scope, made, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name) DO NOTHING",
        params![
            id,
            hash.as_slice(),
            token.name.as_str(),
            scope,
            to_nanos(token.made),
            token.expires.map(to_nanos)
        ],
    )?;
    Ok(inserted == 1)
}

/// Removes the token with this name, and returns whether there was one.
pub(crate) fn remove(connection: &Connection, name: &TokenName) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM access_tokens WHERE name = ?1", [name.as_str()])? == 1)
}

/// Notes when a token was last used.
pub(crate) fn note_use(connection: &Connection, id: &str, at: Timestamp) -> Result<(), StoreError> {
    connection.execute("UPDATE access_tokens SET last_used = ?2 WHERE id = ?1", params![id, to_nanos(at)])?;
    Ok(())
}
