//! Telegram: which messages were sent, and for which cause.
//!
//! Chats, messages and bots are their numbers here.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::text::nanos;

/// How long it is known which messages were sent.
const SENT_KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The message that was sent to a chat for this cause.
pub(crate) fn sent(
    connection: &Connection,
    bot: i64,
    chat: i64,
    cause: &str,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT message FROM telegram_sent WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    Ok(connection.query_row(sql, params![bot, chat, cause], |row| row.get(0)).optional()?)
}

/// Notes what was sent, and for which cause.
pub(crate) fn keep_sent(
    connection: &Connection,
    bot: i64,
    (chat, message): (i64, i64),
    cause: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO telegram_sent (bot, chat, cause, message, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET message = ?4, at = ?5",
        params![bot, chat, cause, message, nanos(now)],
    )?;
    Ok(())
}

/// Forgets what was sent too long ago to matter.
pub(crate) fn forget_sent(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_sent WHERE at < ?1", [nanos(now - SENT_KEPT)])?;
    Ok(())
}
