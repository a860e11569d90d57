//! Messages with buttons on Telegram about calls that ran without a question: the content of each, and
//! whether the chat shows it.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::buttons::MessageRef;
use super::columns::to_nanos;

/// How long they are kept; their buttons have the same time.
const NOTICE_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TelegramNotice {
    /// Its content as JSON.
    pub(crate) content: String,
    /// The open page of its tools; none for the message itself.
    pub(crate) page: Option<usize>,
    pub(crate) version: u64,
}

/// Stores a message before it is sent.
pub(crate) fn insert_notice(
    connection: &Connection,
    spot: &MessageRef,
    told: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO telegram_notices (bot, chat, cause, made, content) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![spot.bot, spot.chat, spot.cause, to_nanos(now), told],
    )?;
    Ok(())
}

/// The message for a cause.
pub(crate) fn find_notice(
    connection: &Connection,
    spot: &MessageRef,
) -> Result<Option<TelegramNotice>, StoreError> {
    let sql =
        "SELECT content, page, version FROM telegram_notices WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    let found = connection.prepare_cached(sql)?.query_row(params![spot.bot, spot.chat, spot.cause], |row| {
        Ok(TelegramNotice { content: row.get(0)?, page: row.get(1)?, version: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// Marks it as changed, so that it is drawn again.
pub(crate) fn mark_undrawn(connection: &Connection, spot: &MessageRef) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_notices SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.prepare_cached(sql)?.execute(params![spot.bot, spot.chat, spot.cause])?;
    Ok(())
}

/// Sets the open page of its tools.
pub(crate) fn set_page(
    connection: &Connection,
    spot: &MessageRef,
    page: Option<usize>,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_notices SET version = version + 1, page = ?4
               WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.prepare_cached(sql)?.execute(params![spot.bot, spot.chat, spot.cause, page])?;
    Ok(())
}

/// Notes that the chat shows this version.
pub(crate) fn mark_drawn(connection: &Connection, spot: &MessageRef, version: u64) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_notices SET drawn = max(drawn, ?4)
               WHERE bot = ?1 AND chat = ?2 AND cause = ?3 AND version >= ?4";
    connection.prepare_cached(sql)?.execute(params![spot.bot, spot.chat, spot.cause, version])?;
    Ok(())
}

/// The causes and numbers of a chat's outdated messages.
pub(crate) fn undrawn_notices(
    connection: &Connection,
    bot: i64,
    chat: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT n.cause, s.message FROM telegram_notices AS n JOIN telegram_sent AS s
                   ON s.bot = n.bot AND s.chat = n.chat AND s.cause = n.cause
               WHERE n.bot = ?1 AND n.chat = ?2 AND n.drawn < n.version ORDER BY n.made";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![bot, chat], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Removes old messages.
pub(crate) fn prune_notices(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_notices WHERE made < ?1", [to_nanos(now - NOTICE_RETENTION)])?;
    Ok(())
}
