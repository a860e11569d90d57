//! Messages on Telegram that tell what ran without asking, with buttons: what each says, and whether the chat
//! shows it as it is to be.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::buttons::MessageRef;
use super::columns::to_nanos;

/// How long they stay known, as their buttons do.
const NOTICE_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TelegramNotice {
    /// What it tells, as JSON.
    pub(crate) content: String,
    /// Which page of its tools is open; none: the message itself.
    pub(crate) page: Option<usize>,
    pub(crate) version: u64,
}

/// Keeps a message that is about to be sent.
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

/// It is to be drawn anew.
pub(crate) fn mark_undrawn(connection: &Connection, spot: &MessageRef) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_notices SET version = version + 1 WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.prepare_cached(sql)?.execute(params![spot.bot, spot.chat, spot.cause])?;
    Ok(())
}

/// This page of its tools is to be open.
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

/// The chat shows this version.
pub(crate) fn mark_drawn(connection: &Connection, spot: &MessageRef, version: u64) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_notices SET drawn = max(drawn, ?4)
               WHERE bot = ?1 AND chat = ?2 AND cause = ?3 AND version >= ?4";
    connection.prepare_cached(sql)?.execute(params![spot.bot, spot.chat, spot.cause, version])?;
    Ok(())
}

/// The causes of the messages in a chat that it does not show as they are to be, with the numbers that Telegram gave
/// them.
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

/// Forgets messages of long ago.
pub(crate) fn prune_notices(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_notices WHERE made < ?1", [to_nanos(now - NOTICE_RETENTION)])?;
    Ok(())
}
