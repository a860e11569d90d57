//! Rules, grants, the pause and their epoch, with a digest over all of them. SQLite can't detect a changed
//! letter in a pattern; the digest does.

use std::time::Duration;

use jiff::Timestamp;
use portero::clock::Moment;
use portero::json::serialize_raw;
use portero::policy::{Grant, GrantLimits, Overrides, PolicyRule};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::columns::{from_json, from_nanos, from_plain, to_nanos, to_plain, unreadable_column};
use super::definitions;

/// The stored overrides and the next id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OverridesRecord {
    /// Epoch, rules, grants and pause. The daemon adds the boot id and the denials of single calls.
    pub(crate) overrides: Overrides,
    /// The id of the next rule or grant; ids are never reused.
    pub(crate) next_id: u64,
}

/// Writes the initial rows of a new store.
pub(super) fn insert_initial(connection: &Connection, binding_key: &[u8; 32]) -> Result<(), StoreError> {
    let kept = OverridesRecord { next_id: 1, ..OverridesRecord::default() };
    connection.execute(
        "INSERT INTO meta (only, epoch, next_id, overrides_digest, binding_key) VALUES (1, 0, 1, ?1, ?2)",
        params![overrides_digest(&kept), binding_key.as_slice()],
    )?;
    Ok(())
}

/// The keyed digest of the approved configuration; none before the first approval.
pub(crate) fn approved_config_digest(connection: &Connection) -> Result<Option<String>, StoreError> {
    Ok(connection.query_row("SELECT digest FROM approved_config", [], |row| row.get(0)).optional()?)
}

/// Replaces the digest of the approved configuration.
pub(crate) fn save_approved_config_digest(
    connection: &Connection,
    digest: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO approved_config (only, digest, at) VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET digest = excluded.digest, at = excluded.at",
        params![digest, to_nanos(now)],
    )?;
    Ok(())
}

/// The key of the bindings of approvals.
pub(crate) fn binding_key(connection: &Connection) -> Result<[u8; 32], StoreError> {
    Ok(connection.query_row("SELECT binding_key FROM meta", [], |row| row.get(0))?)
}

/// Reads rules, grants and the pause.
pub(crate) fn load_overrides(connection: &Connection) -> Result<OverridesRecord, StoreError> {
    let (epoch, next_id, found, paused): (u64, u64, String, Option<Timestamp>) = connection
        .query_row("SELECT epoch, next_id, overrides_digest, paused FROM meta", [], |row| {
            let paused = row.get::<_, Option<i64>>(3)?.map(|since| from_nanos(3, since)).transpose()?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, paused))
        })
        .map_err(corruption_error)?;
    let rules = connection
        .prepare("SELECT id, pattern, action, made FROM rules ORDER BY id")?
        .query_map([], |row| {
            Ok(PolicyRule {
                id: row.get(0)?,
                pattern: from_plain(1, row.get_ref(1)?.as_str()?)?,
                action: from_plain(2, row.get_ref(2)?.as_str()?)?,
                made: from_nanos(3, row.get(3)?)?,
            })
        })?
        .collect::<Result<_, _>>()
        .map_err(corruption_error)?;
    let grants = connection
        .prepare(
            "SELECT id, pattern, made, made_boot, boot_id, millis, session, agent_session, project, uses, used,
                 arguments, reads_only
             FROM grants ORDER BY id",
        )?
        .query_map([], grant_from_row)?
        .collect::<Result<_, _>>()
        .map_err(corruption_error)?;
    let definition_pins = definitions::load_pins(connection).map_err(corruption_error)?;
    let kept = OverridesRecord {
        overrides: Overrides { epoch, rules, grants, paused, definition_pins, ..Overrides::default() },
        next_id,
    };
    if overrides_digest(&kept) != found {
        return Err(StoreError::corrupt("its rules and grants are not as they were written"));
    }
    Ok(kept)
}

fn grant_from_row(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let boot = u64::try_from(row.get::<_, i64>(3)?).map_err(|error| unreadable_column(3, error))?;
    Ok(Grant {
        id: row.get(0)?,
        pattern: from_plain(1, row.get_ref(1)?.as_str()?)?,
        made: Moment { wall: from_nanos(2, row.get(2)?)?, boot: Duration::from_nanos(boot) },
        boot_id: row.get(4)?,
        millis: row.get(5)?,
        limits: GrantLimits {
            session: optional_text(row, 6)?,
            agent_session: optional_text(row, 7)?,
            project: optional_text(row, 8)?,
            uses: row.get(9)?,
            arguments: row.get_ref(11)?.as_str_or_null()?.map(|text| from_json(11, text)).transpose()?,
            reads_only: row.get(12)?,
        },
        used: row.get(10)?,
    })
}

fn optional_text<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_str_or_null()?.map(|text| from_plain(column, text)).transpose()
}

/// Raises the number of consumed uses of a grant to `used`. Fails if it isn't lower.
pub(crate) fn set_grant_used(connection: &Connection, id: u64, used: u32) -> Result<(), StoreError> {
    let mut kept = load_overrides(connection)?;
    let found = kept.overrides.grants.iter_mut().find(|grant| grant.id == id && grant.used < used);
    let Some(grant) = found else {
        return Err(StoreError::Refused(format!("grant {id} is not as the daemon knows it")));
    };
    grant.used = used;
    connection.execute("UPDATE grants SET used = ?2 WHERE id = ?1", params![id, used])?;
    connection.execute("UPDATE meta SET overrides_digest = ?1", [overrides_digest(&kept)])?;
    Ok(())
}

/// Replaces rules, grants and the pause. The new epoch must be later than the stored one.
pub(crate) fn save_overrides(connection: &Connection, kept: &OverridesRecord) -> Result<(), StoreError> {
    let epoch = kept.overrides.epoch;
    let replaced = connection.execute(
        "UPDATE meta SET epoch = ?1, next_id = ?2, overrides_digest = ?3, paused = ?4 WHERE epoch < ?1",
        params![epoch, kept.next_id, overrides_digest(kept), kept.overrides.paused.map(to_nanos)],
    )?;
    if replaced != 1 {
        return Err(StoreError::Failed(format!("epoch {epoch} does not follow the stored one")));
    }
    definitions::save_pins(connection, &kept.overrides.definition_pins)?;
    connection.execute_batch("DELETE FROM rules; DELETE FROM grants")?;
    let mut rules =
        connection.prepare_cached("INSERT INTO rules (id, pattern, action, made) VALUES (?1, ?2, ?3, ?4)")?;
    for rule in &kept.overrides.rules {
        rules.execute(params![
            rule.id,
            to_plain(&rule.pattern),
            to_plain(&rule.action),
            to_nanos(rule.made)
        ])?;
    }
    let mut grants = connection.prepare_cached(
        "INSERT INTO grants (id, pattern, made, made_boot, boot_id, millis, session, agent_session, project,
             uses, used, arguments, reads_only)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for grant in &kept.overrides.grants {
        let boot = i64::try_from(grant.made.boot.as_nanos()).unwrap_or(i64::MAX);
        let GrantLimits { session, agent_session, project, uses, arguments, reads_only } = &grant.limits;
        grants.execute(params![
            grant.id,
            to_plain(&grant.pattern),
            to_nanos(grant.made.wall),
            boot,
            grant.boot_id,
            grant.millis,
            session.as_ref().map(to_plain),
            agent_session.as_ref().map(to_plain),
            project.as_ref().map(to_plain),
            uses,
            grant.used,
            arguments.as_ref().map(|limit| serialize_raw(limit).get().to_owned()),
            reads_only
        ])?;
    }
    Ok(())
}

fn overrides_digest(kept: &OverridesRecord) -> String {
    let OverridesRecord { overrides, next_id } = kept;
    // The denials of single calls are stored with their tasks, and not here.
    let Overrides { epoch, rules, grants, paused, definition_pins, boot_id: _, denials: _ } = overrides;
    // A store of before the pins has a digest without them.
    let text = match definition_pins.is_empty() {
        true => serialize_raw(&(epoch, rules, grants, next_id, paused)),
        false => serialize_raw(&(epoch, rules, grants, next_id, paused, definition_pins)),
    };
    blake3::hash(text.get().as_bytes()).to_hex().to_string()
}

/// Unreadable content of these tables is damage.
fn corruption_error(error: rusqlite::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Failed(problem) => StoreError::corrupt(problem),
        other => other,
    }
}
