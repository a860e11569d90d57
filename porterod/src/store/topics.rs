//! The topics of a group on Telegram, one for each project.
//!
//! A name is reserved before its topic is created, so that no two projects get the same one.

use std::path::Path;

use jiff::Timestamp;
use portero::names::Principal;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::cards::BotChat;
use super::columns::to_nanos;

/// The most topics in a group. It must be bounded, because the starter of a session chooses its project.
const MAX_TOPICS: usize = 100;

/// The topic of a project.
pub(crate) fn find_topic(
    connection: &Connection,
    at: BotChat,
    project: &Principal,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT topic FROM telegram_topics WHERE bot = ?1 AND chat = ?2 AND project = ?3";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![at.bot, at.chat, project.as_str()], |row| row.get::<_, Option<i64>>(0));
    Ok(found.optional()?.flatten())
}

/// The topics of all projects.
pub(crate) fn list_topics(connection: &Connection, at: BotChat) -> Result<Vec<(Principal, i64)>, StoreError> {
    let sql = "SELECT project, topic FROM telegram_topics WHERE bot = ?1 AND chat = ?2 AND topic IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![at.bot, at.chat], |row| {
        let project: String = row.get(0)?;
        Ok((Principal::from_project(Path::new(&project)), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reserves a name for a project's topic, with a number appended if another project has it. None if there are
/// too many topics.
pub(crate) fn reserve_name(
    connection: &Connection,
    at: BotChat,
    project: &Principal,
    (wanted, now): (&str, Timestamp),
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT project, name FROM telegram_topics WHERE bot = ?1 AND chat = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![at.bot, at.chat], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let known = rows.collect::<Result<Vec<(String, String)>, _>>()?;
    if let Some((_, name)) = known.iter().find(|(of, _)| of == project.as_str()) {
        return Ok(Some(name.clone()));
    }
    let names =
        (1..=MAX_TOPICS).map(|nth| if nth == 1 { wanted.to_owned() } else { format!("{wanted} ({nth})") });
    let mut free = names.filter(|name| known.iter().all(|(_, other)| other != name));
    let Some(name) = free.next().filter(|_| known.len() < MAX_TOPICS) else { return Ok(None) };
    let sql = "INSERT INTO telegram_topics (bot, chat, project, name, made) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![at.bot, at.chat, project.as_str(), name, to_nanos(now)];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(Some(name))
}

/// Stores the topic that Telegram created for a project.
pub(crate) fn store_topic(
    connection: &Connection,
    at: BotChat,
    project: &Principal,
    topic: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_topics SET topic = ?4 WHERE bot = ?1 AND chat = ?2 AND project = ?3";
    connection.prepare_cached(sql)?.execute(params![at.bot, at.chat, project.as_str(), topic])?;
    Ok(())
}

/// Forgets a deleted topic. Its waiting messages and the one with `cause`, which creates the topic, are sent
/// again.
pub(crate) fn forget_topic(
    connection: &Connection,
    at: BotChat,
    project: &Principal,
    (topic, cause): (i64, &str),
) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_topics SET topic = NULL
               WHERE bot = ?1 AND chat = ?2 AND project = ?3 AND topic = ?4";
    let values = params![at.bot, at.chat, project.as_str(), topic];
    if connection.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(());
    }
    let waiting = "SELECT c.task FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
                   WHERE c.bot = ?1 AND c.chat = ?2 AND t.principal = ?3 AND t.state = 'pending-approval'";
    // A list is a message of its own, which any of its waiting calls keeps.
    let lists = "SELECT c.list FROM telegram_cards AS c JOIN tasks AS t ON t.id = c.task
                 WHERE c.bot = ?1 AND c.chat = ?2 AND t.principal = ?3 AND t.state = 'pending-approval'";
    let sql = format!(
        "DELETE FROM telegram_sent WHERE bot = ?1 AND chat = ?2 AND (cause = ?4
             OR cause IN (SELECT 'card:' || task FROM ({waiting})) OR cause IN ({lists})
             OR cause IN (SELECT 'document:' || task FROM ({waiting})))"
    );
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat, project.as_str(), cause])?;
    let sql = format!(
        "UPDATE telegram_cards SET version = version + 1
         WHERE bot = ?1 AND chat = ?2 AND drawn = version AND task IN ({waiting})"
    );
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat, project.as_str()])?;
    let sql = format!(
        "UPDATE telegram_lists SET version = version + 1
         WHERE bot = ?1 AND chat = ?2 AND drawn = version AND cause IN ({lists})"
    );
    connection.prepare_cached(&sql)?.execute(params![at.bot, at.chat, project.as_str()])?;
    Ok(())
}
