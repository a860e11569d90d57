//! Telegram: the pairing, handled updates, sent messages, and the chats with a menu.
//!
//! Chats, users, messages and bots are stored by number.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::to_nanos;

/// How long the numbers of updates are kept. Telegram keeps unconfirmed updates for a day.
const HANDLED_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 14);
/// How long sent messages are kept.
const SENT_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How many moves of a group are followed.
const MAX_MOVES: usize = 8;

/// A bot with its API address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BotKey {
    pub(crate) bot: i64,
    pub(crate) address: String,
}

/// The user and chat that are paired with this bot at this address.
pub(crate) fn paired_person(
    connection: &Connection,
    place: &BotKey,
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT user, chat FROM telegram_pairing WHERE bot = ?1 AND address = ?2";
    let found =
        connection.query_row(sql, params![place.bot, place.address], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// Pairs a person, unless this bot already has a pairing. A pairing with another bot or address is replaced.
pub(crate) fn store_pairing(
    connection: &Connection,
    place: &BotKey,
    (user, chat): (i64, i64),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = connection.execute(
        "INSERT INTO telegram_pairing (only, bot, address, user, chat, made) VALUES (1, ?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET bot = ?1, address = ?2, user = ?3, chat = ?4, made = ?5
         WHERE bot IS NOT ?1 OR address IS NOT ?2",
        params![place.bot, place.address, user, chat, to_nanos(now)],
    )?;
    Ok(changed == 1)
}

/// Removes the pairing, and returns whether there was one.
pub(crate) fn delete_pairing(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM telegram_pairing", [])? == 1)
}

/// The present number of a group, as far as it is known.
pub(crate) fn current_chat(connection: &Connection, bot: i64, chat: i64) -> Result<i64, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT became FROM telegram_moves WHERE bot = ?1 AND chat = ?2")?;
    let mut current = chat;
    for _ in 0..MAX_MOVES {
        match statement.query_row([bot, current], |row| row.get(0)).optional()? {
            Some(became) => current = became,
            None => break,
        }
    }
    Ok(current)
}

/// Notes that a group became a supergroup. Open questions of terminals move to the new chat.
pub(crate) fn store_move(
    connection: &Connection,
    bot: i64,
    (chat, became): (i64, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    // Removing the reverse direction keeps the moves free of circles.
    connection.execute("DELETE FROM telegram_moves WHERE bot = ?1 AND chat = ?2", [bot, became])?;
    connection.execute(
        "INSERT INTO telegram_moves (bot, chat, became, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET became = ?3, at = ?4",
        params![bot, chat, became, to_nanos(now)],
    )?;
    let sql = "UPDATE remote_confirmations SET chat = ?3 WHERE bot = ?1 AND chat = ?2 AND drawn = 0";
    connection.execute(sql, [bot, chat, became])?;
    Ok(())
}

/// Marks an update as handled. False if it already was.
pub(crate) fn mark_handled(
    connection: &Connection,
    bot: i64,
    number: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = connection.execute(
        "INSERT INTO telegram_updates (bot, number, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![bot, number, to_nanos(now)],
    )?;
    Ok(changed == 1)
}

/// Whether an update was handled.
pub(crate) fn is_handled(connection: &Connection, bot: i64, number: i64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM telegram_updates WHERE bot = ?1 AND number = ?2)";
    Ok(connection.query_row(sql, params![bot, number], |row| row.get(0))?)
}

/// The message that was sent to a chat for this cause.
pub(crate) fn sent_message(
    connection: &Connection,
    bot: i64,
    chat: i64,
    cause: &str,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT message FROM telegram_sent WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    Ok(connection.query_row(sql, params![bot, chat, cause], |row| row.get(0)).optional()?)
}

/// Stores the message that was sent for a cause.
pub(crate) fn store_sent(
    connection: &Connection,
    bot: i64,
    (chat, message): (i64, i64),
    cause: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO telegram_sent (bot, chat, cause, message, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET message = ?4, at = ?5",
        params![bot, chat, cause, message, to_nanos(now)],
    )?;
    Ok(())
}

/// Forgets the message of a cause, because the chat no longer has it.
pub(crate) fn forget_message(
    connection: &Connection,
    bot: i64,
    chat: i64,
    cause: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM telegram_sent WHERE bot = ?1 AND chat = ?2 AND cause = ?3";
    connection.execute(sql, params![bot, chat, cause])?;
    Ok(())
}

/// Notes that a menu is about to be set in this chat. It is noted first, so that a crash can't leave an
/// unknown menu.
pub(crate) fn add_menu(connection: &Connection, bot: i64, chat: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO telegram_menus (bot, chat) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.execute(sql, params![bot, chat])?;
    Ok(())
}

/// The chats that may have a menu.
pub(crate) fn menu_chats(connection: &Connection, bot: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare("SELECT chat FROM telegram_menus WHERE bot = ?1 ORDER BY chat")?;
    let chats = statement.query_map([bot], |row| row.get(0))?;
    Ok(chats.collect::<Result<_, _>>()?)
}

/// Notes that this chat has no menu any more.
pub(crate) fn remove_menu(connection: &Connection, bot: i64, chat: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_menus WHERE bot = ?1 AND chat = ?2", params![bot, chat])?;
    Ok(())
}

/// Removes updates that are too old to be delivered again.
pub(crate) fn prune_handled(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_updates WHERE at < ?1", [to_nanos(now - HANDLED_RETENTION)])?;
    Ok(())
}

/// Removes sent messages that are too old to matter.
pub(crate) fn prune_sent(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_sent WHERE at < ?1", [to_nanos(now - SENT_RETENTION)])?;
    Ok(())
}
