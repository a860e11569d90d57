//! The pinned definitions: each server's pins, and the concealed text behind each digest.

use std::collections::BTreeMap;

use portero::names::ServerName;
use portero::policy::definition_pins::{DefinitionPins, ServerPins};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_json, from_plain, to_plain};

/// Reads the pins of all servers.
pub(super) fn load_pins(connection: &Connection) -> rusqlite::Result<DefinitionPins> {
    let pins: BTreeMap<ServerName, ServerPins> = connection
        .prepare_cached("SELECT server, pins FROM definition_pins")?
        .query_map([], |row| {
            Ok((from_plain(0, row.get_ref(0)?.as_str()?)?, from_json(1, row.get_ref(1)?.as_str()?)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(pins.into())
}

/// Writes the pins that differ from the stored ones. A server never loses its pins.
pub(super) fn save_pins(connection: &Connection, pins: &DefinitionPins) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO definition_pins (server, pins) VALUES (?1, ?2)
         ON CONFLICT (server) DO UPDATE SET pins = excluded.pins WHERE pins <> excluded.pins",
    )?;
    for (server, pins) in pins.servers() {
        statement.execute(params![to_plain(server), portero::json::serialize_raw(pins).get()])?;
    }
    Ok(())
}

/// Keeps the texts behind these digests.
pub(crate) fn save_texts(connection: &Connection, texts: &[(String, String)]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO definition_texts (digest, definition) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
    )?;
    for (digest, text) in texts {
        statement.execute(params![digest, text])?;
    }
    Ok(())
}

/// The text behind a digest; none if it was too long to keep.
pub(crate) fn find_text(connection: &Connection, digest: &str) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT definition FROM definition_texts WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
}

/// Removes the texts that no pin needs any more.
pub(crate) fn prune_texts(connection: &Connection) -> Result<(), StoreError> {
    let pins = load_pins(connection)?;
    let needed: std::collections::HashSet<&str> = pins.digests().collect();
    let kept: Vec<String> = connection
        .prepare_cached("SELECT digest FROM definition_texts")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut remove = connection.prepare_cached("DELETE FROM definition_texts WHERE digest = ?1")?;
    for digest in kept.iter().filter(|digest| !needed.contains(digest.as_str())) {
        remove.execute([digest])?;
    }
    Ok(())
}
