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
    /// From now on the card counts as read, until another document belongs to it.
    pub(crate) read: bool,
}

/// Adds a card: a message of its own, or a call of a list.
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
    // An earlier version made the lists `list:…`, whose buttons mean nothing any more.
    let sql = format!(
        "UPDATE telegram_lists SET version = version + 1 WHERE bot = ?1 AND chat = ?2
             AND (cause LIKE 'list:%' OR cause IN (SELECT list FROM telegram_cards WHERE {ended}))"
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
    match list.flatten() {
        Some(list) => mark_list_changed(connection, at, &list),
        None => Ok(()),
    }
}

/// Marks the message of a task as changed: its own, or its list.
pub(crate) fn mark_changed(connection: &Connection, at: BotChat, task: TaskId) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND task = ?3
               RETURNING list";
    let list: Option<Option<String>> = connection
        .prepare_cached(sql)?
        .query_row(params![at.bot, at.chat, task.to_string()], |row| row.get(0))
        .optional()?;
    match list.flatten() {
        Some(list) => mark_list_changed(connection, at, &list),
        None => Ok(()),
    }
}

/// Marks a list as changed.
pub(crate) fn mark_list_changed(connection: &Connection, at: BotChat, cause: &str) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_lists SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, cause])?;
    Ok(())
}

/// Turns a card to another view, and returns whether it could: a listed task's card has no view.
pub(crate) fn turn_card(
    connection: &Connection,
    at: BotChat,
    task: TaskId,
    turn: &CardTurn,
) -> Result<bool, StoreError> {
    let sql =
        "UPDATE telegram_cards SET version = version + 1, view = ?4, page = ?5, was_read = max(was_read, ?6)
               WHERE bot = ?1 AND chat = ?2 AND task = ?3 AND own_message = 1";
    let CardTurn { view, page, read } = turn;
    let task = task.to_string();
    let turned = connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task, view, page, read])?;
    Ok(turned > 0)
}

/// Notes that the person read the document of a task. It never becomes unread.
pub(crate) fn mark_read(connection: &Connection, at: BotChat, task: TaskId) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET was_read = 1 WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string()])?;
    Ok(())
}

/// Marks a card as unread, because another document belongs to it.
pub(crate) fn mark_unread(connection: &Connection, at: BotChat, task: TaskId) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_cards SET was_read = 0 WHERE bot = ?1 AND chat = ?2 AND task = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, task.to_string()])?;
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
    let sql =
        "SELECT own_message, view, page, was_read, decided_by, decided, version, drawn FROM telegram_cards
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

/// The waiting tasks that have a card.
pub(crate) fn waiting_cards(connection: &Connection, at: BotChat) -> Result<Vec<TaskId>, StoreError> {
    let sql = "SELECT c.task FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
               WHERE c.bot = ?1 AND c.chat = ?2 AND t.state = 'pending-approval'
               ORDER BY c.made, c.task";
    query_task_ids(connection, sql, params![at.bot, at.chat])
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

pub(super) fn query_task_ids(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| from_plain(0, row.get_ref(0)?.as_str()?))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn card_from_row(row: &Row<'_>) -> rusqlite::Result<CardRow> {
    let (by, at): (Option<String>, Option<i64>) = (row.get(4)?, row.get(5)?);
    let at = at.map(|at| from_nanos(5, at)).transpose()?;
    Ok(CardRow {
        has_own_message: row.get(0)?,
        view: row.get(1)?,
        page: row.get(2)?,
        was_read: row.get(3)?,
        decided: by.map(Actor::from).zip(at),
        version: row.get(6)?,
        drawn_version: row.get(7)?,
    })
}
