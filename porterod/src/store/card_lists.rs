//! The lists on Telegram: messages that show several calls of one session.
//!
//! A list is stored under the cause of its message, which is the card of its first task. So the first card
//! becomes the list in place, and that card's `view` keeps the list's open view.

use jiff::Timestamp;
use portero::names::TaskId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::cards::{BotChat, mark_list_changed, query_task_ids};
use super::columns::{from_nanos, from_plain, to_nanos};

/// The wanted content of a list.
#[derive(Debug, Clone)]
pub(crate) struct ListRow {
    /// The open view, as its drawer wrote it; empty before the first turn.
    pub(crate) view: String,
    pub(crate) version: i64,
    pub(crate) drawn_version: i64,
}

/// The latest message with a call of one session.
#[derive(Debug, Clone)]
pub(crate) struct LatestMessage {
    /// The list, or none for a task's own card.
    pub(crate) list: Option<String>,
    /// The task whose card it began as.
    pub(crate) task: TaskId,
    /// When the first and the last of its calls arrived.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// How many calls it shows.
    pub(crate) count: u64,
    /// Whether all of them wait, and no button of an own card was used.
    pub(crate) is_untouched: bool,
    /// The list's open view; empty for an own card.
    pub(crate) view: String,
}

/// The list with this cause.
pub(crate) fn find_list(
    connection: &Connection,
    at: BotChat,
    cause: &str,
) -> Result<Option<ListRow>, StoreError> {
    let sql = "SELECT coalesce((SELECT view FROM telegram_cards AS c WHERE c.bot = l.bot AND c.chat = l.chat
                       AND l.cause = 'card:' || c.task), ''), version, drawn
               FROM telegram_lists AS l WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    let found = connection.prepare_cached(sql)?.query_row(params![at.bot, at.chat, cause], |row| {
        Ok(ListRow { view: row.get(0)?, version: row.get(1)?, drawn_version: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// The list of a task; none if it has a message of its own.
pub(crate) fn list_of_task(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
) -> Result<Option<String>, StoreError> {
    let sql =
        "SELECT list FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND task = ?3 AND own_message = 0";
    let found: Option<Option<String>> = connection
        .prepare_cached(sql)?
        .query_row(params![at.bot, at.chat, task.to_string()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// The latest message with a call of the session that asked for `task`; none if there is none.
pub(crate) fn latest_message(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
) -> Result<Option<LatestMessage>, StoreError> {
    let sql = "SELECT c.task, c.list FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               JOIN tasks AS n ON n.session = t.session AND n.principal = t.principal
               WHERE n.id = ?3 AND c.bot = ?1 AND c.chat = ?2 ORDER BY c.made DESC, c.task DESC LIMIT 1";
    let found =
        connection.prepare_cached(sql)?.query_row(params![at.bot, at.chat, task.to_string()], |row| {
            Ok((from_plain::<TaskId>(0, row.get_ref(0)?.as_str()?)?, row.get::<_, Option<String>>(1)?))
        });
    match found.optional()? {
        None => Ok(None),
        Some((_, Some(list))) => read_list_message(connection, at, list),
        Some((card, None)) => read_own_message(connection, at, card),
    }
}

fn read_list_message(
    connection: &Connection,
    at: BotChat,
    list: String,
) -> Result<Option<LatestMessage>, StoreError> {
    let sql = "SELECT min(c.made), max(c.made), count(*), min(t.state = 'pending-approval')
               FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND c.list = ?3";
    // A list of an earlier version has a message that is no card, so no call joins it.
    let Some(Ok(task)) = list.strip_prefix("card:").map(str::parse) else { return Ok(None) };
    let Some(row) = find_list(connection, at, &list)? else { return Ok(None) };
    let message = connection.prepare_cached(sql)?.query_row(params![at.bot, at.chat, list], |found| {
        Ok(LatestMessage {
            list: Some(list.clone()),
            task,
            first: from_nanos(0, found.get(0)?)?,
            last: from_nanos(1, found.get(1)?)?,
            count: found.get(2)?,
            is_untouched: found.get(3)?,
            view: row.view,
        })
    });
    Ok(message.optional()?)
}

fn read_own_message(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
) -> Result<Option<LatestMessage>, StoreError> {
    // A used button means that a person is deciding, also where the card shows its first view again.
    let sql = "SELECT c.made, t.state = 'pending-approval' AND NOT EXISTS
                   (SELECT 1 FROM telegram_buttons AS b WHERE b.bot = c.bot AND b.chat = c.chat
                       AND b.cause = 'card:' || c.task AND b.steps > 0)
               FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND c.task = ?3";
    let message =
        connection.prepare_cached(sql)?.query_row(params![at.bot, at.chat, task.to_string()], |found| {
            let made = from_nanos(0, found.get(0)?)?;
            Ok(LatestMessage {
                list: None,
                task,
                first: made,
                last: made,
                count: 1,
                is_untouched: found.get(1)?,
                view: String::new(),
            })
        });
    Ok(message.optional()?)
}

/// Makes a task's own card a list in the same message, and returns the list's cause.
pub(crate) fn begin_list(connection: &Connection, at: BotChat, task: TaskId) -> Result<String, StoreError> {
    let cause = format!("card:{task}");
    let sql = "INSERT INTO telegram_lists (bot, chat, cause, made)
               SELECT bot, chat, ?4, made FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string(), cause])?;
    let sql = "UPDATE telegram_cards SET list = ?4, own_message = 0, view = '', page = 0
               WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string(), cause])?;
    Ok(cause)
}

/// Opens another view of a list.
pub(crate) fn set_list_view(
    connection: &Connection,
    at: BotChat,
    cause: &str,
    view: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET view = ?4 WHERE bot = ?1 AND chat = ?2 AND 'card:' || task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause, view])?;
    mark_list_changed(connection, at, cause)
}

/// The tasks of a list, in the order in which they arrived.
pub(crate) fn listed_tasks(
    connection: &Connection,
    at: BotChat,
    cause: &str,
) -> Result<Vec<TaskId>, StoreError> {
    let sql =
        "SELECT task FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND list = ?3 ORDER BY made, task";
    query_task_ids(connection, sql, params![at.bot, at.chat, cause])
}

/// How many waiting calls of a list's session came since its first, and are not in it.
pub(crate) fn count_later_calls(
    connection: &Connection,
    at: BotChat,
    (cause, first): (&str, TaskId),
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               JOIN tasks AS f ON f.session = t.session AND f.principal = t.principal
               JOIN telegram_cards AS m ON m.bot = c.bot AND m.chat = c.chat AND m.task = f.id
               WHERE c.bot = ?1 AND c.chat = ?2 AND f.id = ?4 AND c.made >= m.made
                   AND c.list IS NOT ?3 AND t.state = 'pending-approval'";
    let count = params![at.bot, at.chat, cause, first.to_string()];
    Ok(connection.prepare_cached(sql)?.query_row(count, |row| row.get(0))?)
}

/// The lists whose message is outdated.
pub(crate) fn undrawn_lists(connection: &Connection, at: BotChat) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT cause FROM telegram_lists WHERE bot = ?1 AND chat = ?2 AND drawn < version
               ORDER BY made, cause";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![at.bot, at.chat], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Marks a list whose message differs from its stored content. A list that is being drawn needs no mark.
pub(crate) fn mark_list_undrawn(connection: &Connection, at: BotChat, cause: &str) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_lists SET version = version + 1
               WHERE bot = ?1 AND chat = ?2 AND cause = ?3 AND drawn = version";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause])?;
    Ok(())
}

/// Notes that the chat shows this version of a list.
pub(crate) fn mark_list_drawn(
    connection: &Connection,
    at: BotChat,
    cause: &str,
    version: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_lists SET drawn = max(drawn, ?4) WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause, version])?;
    Ok(())
}

/// Removes the lists that began before then and whose calls have all ended.
pub(crate) fn prune_lists(connection: &Connection, before: Timestamp) -> Result<(), StoreError> {
    let sql = "DELETE FROM telegram_lists WHERE made < ?1 AND NOT EXISTS
                   (SELECT 1 FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
                    WHERE c.bot = telegram_lists.bot AND c.chat = telegram_lists.chat
                        AND c.list = telegram_lists.cause
                        AND t.state IN ('pending-approval', 'approved', 'executing'))";
    connection.execute(sql, [to_nanos(before)])?;
    let sql = "DELETE FROM telegram_cards WHERE own_message = 0 AND NOT EXISTS
                   (SELECT 1 FROM telegram_lists AS l WHERE l.bot = telegram_cards.bot
                    AND l.chat = telegram_cards.chat AND l.cause = telegram_cards.list)";
    connection.execute(sql, [])?;
    Ok(())
}

/// Removes a list with its calls, unless it has changed since this version.
pub(crate) fn forget_list(
    connection: &Connection,
    at: BotChat,
    cause: &str,
    version: i64,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM telegram_lists WHERE bot = ?1 AND chat = ?2 AND cause = ?3 AND version = ?4";
    if connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause, version])? == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND list = ?3 AND own_message = 0";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause])?;
    let sql = "UPDATE telegram_cards SET list = NULL WHERE bot = ?1 AND chat = ?2 AND list = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause])?;
    Ok(())
}
