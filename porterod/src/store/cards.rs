//! Cards on Telegram: the wanted content of each task's message, and the content that the chat shows.
//!
//! A change is stored before it is sent, and marked as drawn after. So a change that a crash interrupts is
//! drawn again.

use jiff::Timestamp;
use portero::names::{Actor, TaskId};
use portero::task::TaskState;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::columns::{from_nanos, from_plain, to_nanos};

/// A chat of one bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BotChat {
    pub(crate) bot: i64,
    pub(crate) chat: i64,
}

/// The wanted content of a task's card.
#[derive(Debug, Clone)]
pub(crate) struct CardRow {
    pub(crate) list: Option<String>,
    pub(crate) has_own_message: bool,
    pub(crate) view: String,
    pub(crate) page: usize,
    pub(crate) was_read: bool,
    pub(crate) decided: Option<(Actor, Timestamp)>,
    pub(crate) version: i64,
    pub(crate) drawn_version: i64,
}

/// A change to another view of a card.
#[derive(Debug, Clone)]
pub(crate) struct CardTurn {
    pub(crate) view: String,
    pub(crate) page: usize,
    /// From now on the card counts as read; it never becomes unread.
    pub(crate) read: bool,
}

/// Adds a card: a message of its own, or an entry of a list.
pub(crate) fn insert_card(
    connection: &Connection,
    at: BotChat,
    (task, made): (TaskId, Timestamp),
    list: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO telegram_cards (bot, chat, task, made, list, own_message) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        at.bot,
        at.chat,
        task.to_string(),
        to_nanos(made),
        list,
        list.is_none()
    ])?;
    Ok(())
}

/// All waiting tasks, the longest waiting first.
pub(crate) fn waiting_tasks(connection: &Connection) -> Result<Vec<TaskId>, StoreError> {
    query_task_ids(connection, "SELECT id FROM tasks WHERE state = 'pending-approval' ORDER BY asked, id", [])
}

/// Marks cards and lists of tasks that ended while no channel was running, so that they are drawn again.
pub(crate) fn mark_ended_undrawn(connection: &Connection, at: BotChat) -> Result<(), StoreError> {
    let ended = "bot = ?1 AND chat = ?2 AND NOT EXISTS (SELECT 1 FROM tasks AS t
                     WHERE t.id = task AND t.state IN ('pending-approval', 'approved', 'executing'))";
    let sql = format!(
        "UPDATE telegram_lists SET version = version + 1 WHERE bot = ?1 AND chat = ?2
             AND cause IN (SELECT list FROM telegram_cards WHERE {ended})"
    );
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat])?;
    let sql = format!("UPDATE telegram_cards SET version = version + 1 WHERE {ended}");
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat])?;
    Ok(())
}

/// Notes a task's new state, so that its card and its list are drawn again.
pub(crate) fn record_state_change(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
    (state, by, when): (TaskState, &Actor, Timestamp),
) -> Result<(), StoreError> {
    let decides = match state {
        TaskState::Approved | TaskState::Denied | TaskState::Expired | TaskState::Cancelled => true,
        TaskState::PendingApproval
        | TaskState::Executing
        | TaskState::Completed
        | TaskState::Failed
        | TaskState::Interrupted => false,
    };
    let sql = "UPDATE telegram_cards SET version = version + 1,
                   decided_by = iif(?4, ?5, decided_by), decided = iif(?4, ?6, decided)
               WHERE bot = ?1 AND chat = ?2 AND task = ?3 RETURNING list";
    let list: Option<Option<String>> = connection
        .prepare_cached(sql)?
        .query_row(
            params![at.bot, at.chat, task.to_string(), decides, by.to_string(), to_nanos(when)],
            |row| row.get(0),
        )
        .optional()?;
    if let (Some(Some(list)), true) = (list, decides) {
        mark_list_changed(connection, at, &list)?;
    }
    Ok(())
}

/// Marks a card as changed.
pub(crate) fn mark_changed(connection: &Connection, at: BotChat, task: TaskId) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string()])?;
    Ok(())
}

/// Turns a card to another view; a card without a message of its own gets one.
pub(crate) fn turn_card(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
    turn: &CardTurn,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET version = version + 1, own_message = 1, view = ?4, page = ?5,
                   was_read = max(was_read, ?6)
               WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    let CardTurn { view, page, read } = turn;
    let task = task.to_string();
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task, view, page, read])?;
    Ok(())
}

/// Marks a card whose message differs from its stored content. A card that is being drawn needs no mark.
pub(crate) fn mark_undrawn(connection: &Connection, at: BotChat, task: TaskId) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET version = version + 1
               WHERE bot = ?1 AND chat = ?2 AND task = ?3 AND drawn = version";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string()])?;
    Ok(())
}

/// The card of a task.
pub(crate) fn find_card(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
) -> Result<Option<CardRow>, StoreError> {
    let sql = "SELECT list, own_message, view, page, was_read, decided_by, decided, version, drawn FROM telegram_cards
               WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    let found =
        connection.prepare_cached(sql)?.query_row(params![at.bot, at.chat, task.to_string()], card_from_row);
    Ok(found.optional()?)
}

/// Notes that the chat shows this version of a card.
pub(crate) fn mark_drawn(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
    version: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET drawn = max(drawn, ?4) WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string(), version])?;
    Ok(())
}

/// Removes a card, unless it has changed since this version.
pub(crate) fn forget_card(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
    version: i64,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND task = ?3 AND version = ?4";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string(), version])?;
    Ok(())
}

/// The tasks whose own message is outdated.
pub(crate) fn undrawn_cards(connection: &Connection, at: BotChat) -> Result<Vec<TaskId>, StoreError> {
    let sql =
        "SELECT task FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND drawn < version AND own_message = 1
               ORDER BY made, task";
    query_task_ids(connection, sql, params![at.bot, at.chat])
}

/// The lists whose message is outdated.
pub(crate) fn undrawn_lists(connection: &Connection, at: BotChat) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT cause FROM telegram_lists WHERE bot = ?1 AND chat = ?2 AND drawn < version
               ORDER BY made, cause";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![at.bot, at.chat], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The waiting tasks with a message of their own.
pub(crate) fn waiting_cards(connection: &Connection, at: BotChat) -> Result<Vec<TaskId>, StoreError> {
    let sql = "SELECT c.task FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND c.own_message = 1 AND t.state = 'pending-approval'
               ORDER BY c.made, c.task";
    query_task_ids(connection, sql, params![at.bot, at.chat])
}

/// The lists with a waiting task that has no message of its own.
pub(crate) fn waiting_lists(connection: &Connection, at: BotChat) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT DISTINCT c.list FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND c.own_message = 0 AND c.list IS NOT NULL
                   AND t.state = 'pending-approval'
               ORDER BY c.list";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![at.bot, at.chat], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A list's wanted version and its drawn one.
pub(crate) fn list_version(
    connection: &Connection,
    at: BotChat,
    cause: &str,
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT version, drawn FROM telegram_lists WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![at.bot, at.chat, cause], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// The tasks of a list.
pub(crate) fn listed_tasks(
    connection: &Connection,
    at: BotChat,
    cause: &str,
) -> Result<Vec<TaskId>, StoreError> {
    let sql =
        "SELECT task FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND list = ?3 ORDER BY made, task";
    query_task_ids(connection, sql, params![at.bot, at.chat, cause])
}

/// Marks a list as changed.
pub(crate) fn mark_list_changed(connection: &Connection, at: BotChat, cause: &str) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_lists SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
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

/// Removes a list whose tasks have all been decided, unless it has changed since this version. Its entries
/// are removed with it, or with their own messages.
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
    let open = "('pending-approval', 'approved', 'executing')";
    let sql = format!(
        "DELETE FROM telegram_cards WHERE bot = ?1 AND chat = ?2 AND list = ?3 AND (own_message = 0 OR drawn = version
             AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.id = task AND t.state IN {open}))"
    );
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat, cause])?;
    let sql = "UPDATE telegram_cards SET list = NULL WHERE bot = ?1 AND chat = ?2 AND list = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause])?;
    Ok(())
}

/// The cause of a message.
pub(crate) fn message_cause(
    connection: &Connection,
    at: BotChat,
    message: i64,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT cause FROM telegram_sent WHERE bot = ?1 AND chat = ?2 AND message = ?3";
    let found = connection.query_row(sql, params![at.bot, at.chat, message], |row| row.get(0));
    Ok(found.optional()?)
}

/// How many cards since then still wait.
pub(crate) fn count_recent_cards(
    connection: &Connection,
    at: BotChat,
    since: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND c.made > ?3 AND t.state = 'pending-approval'";
    let count = params![at.bot, at.chat, to_nanos(since)];
    Ok(connection.prepare_cached(sql)?.query_row(count, |row| row.get(0))?)
}

/// The lists since then, the newest first, each with its number of tasks.
pub(crate) fn recent_lists(
    connection: &Connection,
    at: BotChat,
    since: Timestamp,
) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT cause, (SELECT count(*) FROM telegram_cards AS c WHERE c.bot = telegram_lists.bot
                       AND c.chat = telegram_lists.chat AND c.list = telegram_lists.cause)
               FROM telegram_lists WHERE bot = ?1 AND chat = ?2 AND made > ?3
               ORDER BY made DESC, cause DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map(params![at.bot, at.chat, to_nanos(since)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a list that begins with this task.
pub(crate) fn insert_list(
    connection: &Connection,
    at: BotChat,
    (task, made): (TaskId, Timestamp),
) -> Result<String, StoreError> {
    let cause = format!("list:{task}");
    let sql = "INSERT INTO telegram_lists (bot, chat, cause, made) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause, to_nanos(made)])?;
    Ok(cause)
}

fn query_task_ids(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| from_plain(0, row.get_ref(0)?.as_str()?))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn card_from_row(row: &Row<'_>) -> rusqlite::Result<CardRow> {
    let (by, at): (Option<String>, Option<i64>) = (row.get(5)?, row.get(6)?);
    let at = at.map(|at| from_nanos(6, at)).transpose()?;
    Ok(CardRow {
        list: row.get(0)?,
        has_own_message: row.get(1)?,
        view: row.get(2)?,
        page: row.get(3)?,
        was_read: row.get(4)?,
        decided: by.map(Actor::from).zip(at),
        version: row.get(7)?,
        drawn_version: row.get(8)?,
    })
}
