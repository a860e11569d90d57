//! The questions of terminals that a person answers on Telegram: each with its result, and whether its
//! message shows that.
//!
//! The limits on further questions are computed from these rows, so a restart doesn't reset them.

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// How long no question may be asked after a refusal or a wrong number.
pub const REFUSAL_COOLDOWN: SignedDuration = SignedDuration::from_mins(10);
/// The time in which unanswered questions are counted.
pub const UNANSWERED_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// How many unanswered questions are permitted in that time.
pub const MAX_UNANSWERED: usize = 3;
/// How long questions are kept.
const CONFIRMATION_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The result of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationEnd {
    /// The right number was tapped and the act was done.
    Done,
    /// The right number was tapped but the act failed.
    Failed,
    /// The right number was tapped, but the shown values had changed.
    Changed,
    /// The person refused.
    Refused,
    /// Another number was tapped.
    Wrong,
    /// The time ran out without an answer.
    Expired,
    /// The terminal disconnected.
    Gone,
    /// The daemon ended first.
    Restarted,
    /// Its message could not be delivered.
    Unsent,
}

impl ConfirmationEnd {
    /// All results.
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

    /// The stored word, also used in the audit.
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

/// Why no question may be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationHold {
    /// The last question was refused or answered wrongly; the time is the end of the hold.
    Refused(Timestamp),
    /// Too many questions were not answered; the time is the end of the hold.
    Unanswered(Timestamp),
}

/// A stored question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfirmationRow {
    /// Its number.
    pub(crate) id: i64,
    /// The requested act.
    pub(crate) about: String,
    /// Its result; none while it waits.
    pub(crate) end: Option<ConfirmationEnd>,
    /// The user who tapped, if any.
    pub(crate) by: Option<i64>,
}

/// Adds a question.
pub(crate) fn add_question(
    connection: &Connection,
    (bot, chat): (i64, i64),
    about: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO remote_confirmations (bot, chat, about, made) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![bot, chat, about, to_nanos(now)])?;
    Ok(connection.last_insert_rowid())
}

/// The present hold on questions, if any. Times in the future, left by a clock that was set back, count as
/// now.
pub(crate) fn current_hold(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<ConfirmationHold>, StoreError> {
    let sql = "SELECT min(max(ended_at), ?1) FROM remote_confirmations WHERE ended IN ('refused', 'wrong')";
    let last: Option<i64> = connection.query_row(sql, [to_nanos(now)], |row| row.get(0))?;
    if let Some(last) = last.map(|last| from_nanos(0, last)).transpose()? {
        let until = last + REFUSAL_COOLDOWN;
        if now < until {
            return Ok(Some(ConfirmationHold::Refused(until)));
        }
    }
    // The hold lasts until the oldest of the last few unanswered questions leaves the window.
    let sql = "SELECT min(made, ?1) FROM remote_confirmations
               WHERE (ended IS NULL OR ended IN ('expired', 'gone', 'restarted')) AND made > ?2
               ORDER BY made DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let since = to_nanos(now - UNANSWERED_WINDOW);
    let made: Vec<i64> = statement
        .query_map(params![to_nanos(now), since, MAX_UNANSWERED], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    match made.get(MAX_UNANSWERED - 1) {
        Some(first) => Ok(Some(ConfirmationHold::Unanswered(from_nanos(0, *first)? + UNANSWERED_WINDOW))),
        None => Ok(None),
    }
}

/// Whether any time lies in the future, because the clock was set back.
pub(crate) fn is_ahead_of_clock(connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM remote_confirmations WHERE made > ?1 OR ended_at > ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([to_nanos(now)], |row| row.get(0))?)
}

/// Moves times in the future to now. Otherwise a hold would last as long as the clock was set back.
pub(crate) fn clamp_to_now(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE remote_confirmations SET made = min(made, ?1), ended_at = min(ended_at, ?1)
               WHERE made > ?1 OR ended_at > ?1";
    connection.prepare_cached(sql)?.execute([to_nanos(now)])?;
    Ok(())
}

/// Stores the result of a question and the user who tapped. False if it had ended before.
pub(crate) fn end_question(
    connection: &Connection,
    id: i64,
    (end, by): (ConfirmationEnd, Option<i64>),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE remote_confirmations SET ended = ?2, ended_at = ?3, answered_by = ?4, drawn = 0
               WHERE id = ?1 AND ended IS NULL";
    Ok(connection.prepare_cached(sql)?.execute(params![id, end.as_str(), to_nanos(now), by])? == 1)
}

/// Ends questions of a former daemon: as done if their act was committed, whose transaction used the button.
pub(crate) fn end_leftover(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE remote_confirmations SET ended_at = ?1, drawn = 0, ended =
             CASE WHEN EXISTS (SELECT 1 FROM telegram_buttons AS b WHERE b.bot = remote_confirmations.bot
                      AND b.chat = remote_confirmations.chat AND b.cause = 'terminal:' || remote_confirmations.id
                      AND b.steps > 0 AND b.act LIKE '{\"answer\":%')
             THEN 'done' ELSE 'restarted' END
         WHERE ended IS NULL",
        [to_nanos(now)],
    )?;
    connection.execute(
        "DELETE FROM remote_confirmations WHERE made < ?1",
        [to_nanos(now - CONFIRMATION_RETENTION)],
    )?;
    Ok(())
}

/// One question.
pub(crate) fn find_question(connection: &Connection, id: i64) -> Result<Option<ConfirmationRow>, StoreError> {
    let sql = "SELECT id, about, ended, answered_by FROM remote_confirmations WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], question_from_row).optional()?)
}

/// The questions of a chat whose message doesn't show the result, the oldest first.
pub(crate) fn undrawn_questions(
    connection: &Connection,
    (bot, chat): (i64, i64),
) -> Result<Vec<ConfirmationRow>, StoreError> {
    let sql = "SELECT id, about, ended, answered_by FROM remote_confirmations WHERE bot = ?1 AND chat = ?2 AND drawn = 0
               ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([bot, chat], question_from_row)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Notes whether a question's message shows its result.
pub(crate) fn set_drawn(connection: &Connection, id: i64, drawn: bool) -> Result<(), StoreError> {
    let sql = "UPDATE remote_confirmations SET drawn = ?2 WHERE id = ?1 AND ended IS NOT NULL";
    connection.prepare_cached(sql)?.execute(params![id, drawn])?;
    Ok(())
}

fn question_from_row(row: &Row<'_>) -> rusqlite::Result<ConfirmationRow> {
    let ended: Option<String> = row.get(2)?;
    let known = |ended: String| {
        ConfirmationEnd::ALL.into_iter().find(|end| end.as_str() == ended).ok_or_else(|| {
            let problem = format!("`{ended}` is no end of a question");
            rusqlite::Error::FromSqlConversionFailure(2, Type::Text, problem.into())
        })
    };
    let end = ended.map(known).transpose()?;
    Ok(ConfirmationRow { id: row.get(0)?, about: row.get(1)?, end, by: row.get(3)? })
}
