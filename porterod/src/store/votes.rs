//! Approvals of calls that take those of several people: each person's counts once, for the very call that they
//! were shown.

use jiff::Timestamp;
use portero::names::TaskId;
use portero::policy::Vote;
use portero::task::Task;
use rusqlite::{Connection, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// Keeps a person's yes to this task, and tells whether it is their first.
pub(crate) fn record_vote(
    connection: &Connection,
    task: &Task,
    user: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let user =
        i64::try_from(user).map_err(|_| StoreError::Refused(format!("no user has the number {user}")))?;
    let sql = "INSERT INTO votes (task, user, binding, voted) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (task, user) DO NOTHING";
    let changed = connection.prepare_cached(sql)?.execute(params![
        task.id.to_string(),
        user,
        task.binding,
        to_nanos(now)
    ])?;
    Ok(changed == 1)
}

/// Leaves only the votes of these people: by whom a task was settled.
pub(crate) fn retain_votes(
    connection: &Connection,
    task: TaskId,
    settled: &[Vote],
) -> Result<(), StoreError> {
    for vote in votes_of_task(connection, task)?.iter().filter(|vote| !settled.contains(vote)) {
        let sql = "DELETE FROM votes WHERE task = ?1 AND user = ?2";
        connection.prepare_cached(sql)?.execute(params![task.to_string(), vote.user.cast_signed()])?;
    }
    Ok(())
}

/// Who said yes to a task as it is, in the order in which they did.
pub(crate) fn votes_of_task(connection: &Connection, task: TaskId) -> Result<Vec<Vote>, rusqlite::Error> {
    let sql =
        "SELECT v.user, v.voted FROM votes AS v JOIN tasks AS t ON t.id = v.task AND t.binding = v.binding
               WHERE v.task = ?1 ORDER BY v.voted, v.user";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([task.to_string()], |row| {
        Ok(Vote { user: row.get::<_, i64>(0)?.unsigned_abs(), at: from_nanos(1, row.get(1)?)? })
    })?;
    rows.collect()
}
