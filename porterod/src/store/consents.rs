//! What terminals asked a person to confirm on Telegram: each question, how it ended, and whether its message
//! says so.
//!
//! The limits on further questions are read from here, so a restart ends none of them.

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::text::{from_nanos, nanos};

/// For how long nothing is asked after a refusal or a wrong number.
pub const HELD_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Within what time questions without an answer count together.
pub const COUNTED_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How many of those there may be.
pub const UNANSWERED_MOST: usize = 3;
/// How long questions stay known.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The right number was tapped, and it was done.
    Done,
    /// The right number was tapped, and it could not be done.
    Failed,
    /// The right number was tapped, and what had been shown was not so any more.
    Changed,
    /// The person refused.
    Refused,
    /// Another number was tapped.
    Wrong,
    /// Nobody answered in time.
    Expired,
    /// The terminal has gone.
    Gone,
    /// The daemon ended first.
    Restarted,
    /// Its message could not be delivered.
    Unsent,
}

impl End {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Changed,
        Self::Refused,
        Self::Wrong,
        Self::Expired,
        Self::Gone,
        Self::Restarted,
        Self::Unsent,
    ];

    /// As it is stored, and told to the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
            Self::Gone => "gone",
            Self::Restarted => "restarted",
            Self::Unsent => "unsent",
        }
    }
}

/// Why nothing is asked for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The last question was refused, or answered with a wrong number; until then.
    Refused(Timestamp),
    /// Too many had no answer; until then.
    Unanswered(Timestamp),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its number.
    pub(crate) id: i64,
    /// What was asked for.
    pub(crate) about: String,
    /// How it ended; none while it waits.
    pub(crate) end: Option<End>,
    /// The user who tapped, where one did.
    pub(crate) by: Option<i64>,
}

/// Adds a question.
pub(crate) fn add(
    connection: &Connection,
    (bot, chat): (i64, i64),
    about: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO telegram_consents (bot, chat, about, made) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![bot, chat, about, nanos(now)])?;
    Ok(connection.last_insert_rowid())
}

/// Why no question may be added now. What lies ahead of the clock, since it was set back, counts as just now.
pub(crate) fn hold(connection: &Connection, now: Timestamp) -> Result<Option<Hold>, StoreError> {
    let sql = "SELECT min(max(ended_at), ?1) FROM telegram_consents WHERE ended IN ('refused', 'wrong')";
    let last: Option<i64> = connection.query_row(sql, [nanos(now)], |row| row.get(0))?;
    if let Some(last) = last.map(|last| from_nanos(0, last)).transpose()? {
        let until = last + HELD_FOR;
        if now < until {
            return Ok(Some(Hold::Refused(until)));
        }
    }
    let sql = "SELECT min(made, ?1) FROM telegram_consents
               WHERE (ended IS NULL OR ended IN ('expired', 'gone', 'restarted')) AND made > ?2
               ORDER BY made DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let since = nanos(now - COUNTED_FOR);
    let made: Vec<i64> = statement
        .query_map(params![nanos(now), since, UNANSWERED_MOST], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    match made.get(UNANSWERED_MOST - 1) {
        Some(first) => Ok(Some(Hold::Unanswered(from_nanos(0, *first)? + COUNTED_FOR))),
        None => Ok(None),
    }
}

/// Whether anything lies ahead of the clock, since it was set back.
pub(crate) fn is_ahead(connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM telegram_consents WHERE made > ?1 OR ended_at > ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([nanos(now)], |row| row.get(0))?)
}

/// Brings to the present what lies ahead of it: else a clock that was set back would hold for as long as it was set.
pub(crate) fn made_by_now(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_consents SET made = min(made, ?1), ended_at = min(ended_at, ?1)
               WHERE made > ?1 OR ended_at > ?1";
    connection.prepare_cached(sql)?.execute([nanos(now)])?;
    Ok(())
}

/// Notes how a question ended, and by whose tap. False where it had ended before.
pub(crate) fn end(
    connection: &Connection,
    id: i64,
    (end, by): (End, Option<i64>),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE telegram_consents SET ended = ?2, ended_at = ?3, answered_by = ?4, drawn = 0
               WHERE id = ?1 AND ended IS NULL";
    Ok(connection.prepare_cached(sql)?.execute(params![id, end.as_str(), nanos(now), by])? == 1)
}

/// Ends what a former daemon left open: as done where the change was made, whose transaction used the button.
pub(crate) fn recover(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE telegram_consents SET ended_at = ?1, drawn = 0, ended =
             CASE WHEN EXISTS (SELECT 1 FROM telegram_buttons AS b WHERE b.bot = telegram_consents.bot
                      AND b.chat = telegram_consents.chat AND b.cause = 'terminal:' || telegram_consents.id
                      AND b.steps > 0 AND b.act LIKE '{\"answer\":%')
             THEN 'done' ELSE 'restarted' END
         WHERE ended IS NULL",
        [nanos(now)],
    )?;
    connection.execute("DELETE FROM telegram_consents WHERE made < ?1", [nanos(now - KEPT)])?;
    Ok(())
}

/// One question.
pub(crate) fn find(connection: &Connection, id: i64) -> Result<Option<Kept>, StoreError> {
    let sql = "SELECT id, about, ended, answered_by FROM telegram_consents WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], kept).optional()?)
}

/// The questions in a chat whose message does not say how they ended, the oldest first.
pub(crate) fn undrawn(connection: &Connection, (bot, chat): (i64, i64)) -> Result<Vec<Kept>, StoreError> {
    let sql = "SELECT id, about, ended, answered_by FROM telegram_consents WHERE bot = ?1 AND chat = ?2 AND drawn = 0
               ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([bot, chat], kept)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Notes whether a question's message says how it ended.
pub(crate) fn draw(connection: &Connection, id: i64, drawn: bool) -> Result<(), StoreError> {
    let sql = "UPDATE telegram_consents SET drawn = ?2 WHERE id = ?1 AND ended IS NOT NULL";
    connection.prepare_cached(sql)?.execute(params![id, drawn])?;
    Ok(())
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let ended: Option<String> = row.get(2)?;
    let known = |ended: String| {
        End::ALL.into_iter().find(|end| end.as_str() == ended).ok_or_else(|| {
            let problem = format!("`{ended}` is no end of a question");
            rusqlite::Error::FromSqlConversionFailure(2, Type::Text, problem.into())
        })
    };
    let end = ended.map(known).transpose()?;
    Ok(Kept { id: row.get(0)?, about: row.get(1)?, end, by: row.get(3)? })
}
