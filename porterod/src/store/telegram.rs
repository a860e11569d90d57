//! Telegram: who is paired, which updates were dealt with, which messages were sent, where the menu stands.
//!
//! Chats, users, messages and bots are their numbers here.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::columns::to_nanos;

/// How long the numbers of updates are kept; Telegram itself keeps what is not confirmed for a day.
const HANDLED_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 14);
/// How long it is known which messages were sent.
const SENT_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How often a group is followed from one number to the next.
const MAX_MOVES: usize = 8;

/// Which bot, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BotKey {
    pub(crate) bot: i64,
    pub(crate) address: String,
}

/// The person that is paired with this bot at this address: user and chat.
pub(crate) fn paired_person(
    connection: &Connection,
    place: &BotKey,
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT user, chat FROM telegram_pairing WHERE bot = ?1 AND address = ?2";
    let found =
        connection.query_row(sql, params![place.bot, place.address], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// Pairs a person, unless one is paired with this bot already. A pairing with another bot, or at another
/// address, makes room.
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

/// Ends a pairing, with whatever bot. Whether there was one.
pub(crate) fn delete_pairing(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM telegram_pairing", [])? == 1)
}

/// The number that a group has now, as far as is known.
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

/// Notes that a group became a supergroup. What a terminal asks there, and how that ended, is shown in the new chat.
pub(crate) fn store_move(
    connection: &Connection,
    bot: i64,
    (chat, became): (i64, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    // Nothing leads back, so no numbers go round in a circle.
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

/// Notes that an update is dealt with. False when it was before.
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

/// Whether an update was dealt with.
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

/// Notes what was sent, and for which cause.
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

/// What was sent for this cause is in the chat no more.
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

/// The menu is about to stand in this chat.
pub(crate) fn add_menu(connection: &Connection, bot: i64, chat: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO telegram_menus (bot, chat) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.execute(sql, params![bot, chat])?;
    Ok(())
}

/// The chats in which the menu may stand.
pub(crate) fn menu_chats(connection: &Connection, bot: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare("SELECT chat FROM telegram_menus WHERE bot = ?1 ORDER BY chat")?;
    let chats = statement.query_map([bot], |row| row.get(0))?;
    Ok(chats.collect::<Result<_, _>>()?)
}

/// The menu stands in this chat no more.
pub(crate) fn remove_menu(connection: &Connection, bot: i64, chat: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_menus WHERE bot = ?1 AND chat = ?2", params![bot, chat])?;
    Ok(())
}

/// Forgets updates that were dealt with too long ago to come again.
pub(crate) fn prune_handled(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_updates WHERE at < ?1", [to_nanos(now - HANDLED_RETENTION)])?;
    Ok(())
}

/// Forgets what was sent too long ago to matter.
pub(crate) fn prune_sent(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM telegram_sent WHERE at < ?1", [to_nanos(now - SENT_RETENTION)])?;
    Ok(())
}
