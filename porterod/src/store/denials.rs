//! What a person said no to, so that the same call does not ask them again at once.

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::names::{Principal, TaskId};
use portero::task::Task;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::{from_nanos, from_plain, to_nanos};

/// A person's no.
#[derive(Debug)]
pub(crate) struct Denial {
    /// The task that they said it to.
    pub(crate) task: TaskId,
    /// When.
    pub(crate) at: Timestamp,
    /// Why, where they said so and the task is still there.
    pub(crate) reason: Option<Fake<String>>,
}

/// Notes that a person said no to this task, just now; `call` is the fingerprint of its call.
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

/// The last no to this call of this principal.
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
        .query_row(params![principal.as_str(), call], |row| {
            let note = row.get_ref(2)?.as_str_or_null()?;
            Ok(Denial {
                task: from_plain(0, row.get_ref(0)?.as_str()?)?,
                at: from_nanos(1, row.get(1)?)?,
                reason: note.map(|note| from_plain(2, note)).transpose()?,
            })
        });
    Ok(found.optional()?)
}

/// Removes those before `before`, and those that a clock that was set back left in the future.
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
