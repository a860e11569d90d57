//! Which finished tasks an agent has heard of: it fetched what came of them.

use portero::names::{Principal, TaskId};
use portero::task::{FinishedTask, UnseenTasks};
use rusqlite::{Connection, params};

use super::StoreError;
use super::columns::from_plain;

/// The finished tasks of a principal that no agent has heard of. What the agent took back itself is no news.
const FROM_UNSEEN: &str = "FROM tasks WHERE principal = ?1
    AND state IN ('completed', 'failed', 'denied', 'expired', 'interrupted')
    AND NOT EXISTS (SELECT 1 FROM heard WHERE heard.task = tasks.id)";

/// How many there are, and the last of them.
pub(crate) fn unseen_tasks(
    connection: &Connection,
    principal: &Principal,
) -> Result<UnseenTasks, StoreError> {
    let count = connection
        .prepare_cached(&format!("SELECT count(*) {FROM_UNSEEN}"))?
        .query_row([principal.as_str()], |row| row.get(0))?;
    let sql = format!("SELECT id, tool, state {FROM_UNSEEN} ORDER BY changed DESC, id DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![principal.as_str(), UnseenTasks::MAX_LISTED], |row| {
        Ok(FinishedTask {
            task: from_plain(0, row.get_ref(0)?.as_str()?)?,
            tool: from_plain(1, row.get_ref(1)?.as_str()?)?,
            state: from_plain(2, row.get_ref(2)?.as_str()?)?,
        })
    })?;
    Ok(UnseenTasks { count, last: rows.collect::<Result<_, _>>()? })
}

/// Whether an agent has heard of a task.
pub(crate) fn is_seen(connection: &Connection, task: TaskId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM heard WHERE task = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([task.to_string()], |row| row.get(0))?)
}

/// Notes that an agent heard of a task.
pub(crate) fn mark_seen(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO heard (task) VALUES (?1)")?
        .execute([task.to_string()])?;
    Ok(())
}

/// Forgets tasks that are gone.
pub(crate) fn prune_seen(connection: &Connection) -> Result<(), StoreError> {
    let sql = "DELETE FROM heard WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = heard.task)";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
