//! The latest denials, so that a denied call doesn't ask again at once.

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::names::{Principal, TaskId};
use portero::task::Task;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::columns::{from_nanos, from_plain, to_nanos};

/// A person's denial.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    /// The denied task.
    pub(crate) task: TaskId,
    /// Its time.
    pub(crate) at: Timestamp,
    /// The person's reason, if they gave one and the task still exists.
    pub(crate) reason: Option<Fake<String>>,
}

/// Stores the denial of this task; `call` is its call's fingerprint.
pub(crate) fn record_denial(connection: &Connection, task: &Task, call: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO denials (principal, call, task, denied) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (principal, call) DO UPDATE SET task = excluded.task, denied = excluded.denied",
        )?
        .execute(params![
            task.origin.principal.as_str(),
            call,
            task.id.to_string(),
            to_nanos(task.changed)
        ])?;
    Ok(())
}

/// The last denial of this call of this principal.
pub(crate) fn find_denial(
    connection: &Connection,
    principal: &Principal,
    call: &str,
) -> Result<Option<Denial>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT denials.task, denials.denied, tasks.note FROM denials
             LEFT JOIN tasks ON tasks.id = denials.task
             WHERE denials.principal = ?1 AND denials.call = ?2",
        )?
        .query_row(params![principal.as_str(), call], denial_from_row);
    Ok(found.optional()?)
}

/// Every denial since `since`: its principal, its call's fingerprint, and the denial.
pub(crate) fn list_denials(
    connection: &Connection,
    since: Timestamp,
) -> Result<Vec<(Principal, String, Denial)>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT denials.task, denials.denied, tasks.note, denials.principal, denials.call FROM denials
             LEFT JOIN tasks ON tasks.id = denials.task
             WHERE denials.denied >= ?1 ORDER BY denials.denied",
        )?
        .query_map([to_nanos(since)], |row| {
            let principal = from_plain(3, row.get_ref(3)?.as_str()?)?;
            Ok((principal, row.get(4)?, denial_from_row(row)?))
        })?
        .collect::<Result<_, _>>();
    Ok(found?)
}

fn denial_from_row(row: &Row<'_>) -> rusqlite::Result<Denial> {
    let note = row.get_ref(2)?.as_str_or_null()?;
    Ok(Denial {
        task: from_plain(0, row.get_ref(0)?.as_str()?)?,
        at: from_nanos(1, row.get(1)?)?,
        reason: note.map(|note| from_plain(2, note)).transpose()?,
    })
}

/// Removes denials before `before`. Denials in the future, left by a clock that was set back, are removed
/// too.
pub(crate) fn prune_denials(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM denials WHERE denied < ?1 OR denied > ?2")?
        .execute([to_nanos(before), to_nanos(now)])?;
    Ok(())
}
