//! Buttons on Telegram: the act and the message of each, and the press that used it.
//!
//! A button is stored under the hash of its callback data, so a reader of the store can't press it. It is
//! used once, in the transaction of its act ([`ButtonUse::consume`]).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portero::clock::Moment;
use portero::names::{TaskId, ToolId};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::StoreError;
use super::columns::{from_nanos, from_plain, to_nanos, unreadable_column};

/// How long buttons of ended tasks are kept.
const BUTTON_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The user number of a button for everyone; no Telegram user has it.
const EVERYONE_USER: i64 = 0;

/// The hash of a button's callback data.
pub(crate) type ButtonKey = [u8; 32];

/// A message, and the user who may press its buttons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRef {
    /// The bot's number.
    pub bot: i64,
    /// The chat's number.
    pub chat: i64,
    /// The only user who may press; none if every authorized user of that chat may.
    pub user: Option<i64>,
    /// The reason for which the message is sent, which identifies it.
    pub cause: String,
}

/// A new button.
#[derive(Debug)]
pub(crate) struct NewButton {
    pub(crate) key: ButtonKey,
    pub(crate) task: Option<TaskId>,
    pub(crate) act: String,
}

/// A stored button.
#[derive(Debug)]
pub(crate) struct ButtonRow {
    pub(crate) key: ButtonKey,
    pub(crate) message_ref: MessageRef,
    /// Its message's number, once Telegram confirmed it.
    pub(crate) message: Option<i64>,
    pub(crate) task: Option<TaskId>,
    /// The task's tool; none if the task is gone.
    pub(crate) tool: Option<ToolId>,
    pub(crate) act: String,
    pub(crate) made: Timestamp,
    pub(crate) steps_done: u8,
    pub(crate) pressed_by: Option<i64>,
    /// When the press that used it was first received.
    pub(crate) pressed_at: Option<Moment>,
}

/// The right of one press to use one button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ButtonTicket {
    pub(crate) key: ButtonKey,
    /// The number of the press's update.
    pub(crate) update: i64,
    /// When it was first received; unchanged if it is delivered again after a crash.
    pub(crate) at: Moment,
}

impl ButtonTicket {
    #[cfg(test)]
    pub(crate) const fn test() -> Self {
        let at = Moment { wall: Timestamp::UNIX_EPOCH, boot: Duration::ZERO };
        Self { key: [7; 32], update: 1, at }
    }

    /// The use of the button for one step of its act, counted from one.
    pub(crate) fn step(&self, step: u8) -> ButtonUse {
        ButtonUse { ticket: self.clone(), step }
    }
}

/// One step of a button's act, consumed in the transaction of that step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ButtonUse {
    ticket: ButtonTicket,
    step: u8,
}

impl ButtonUse {
    /// The step after this one.
    pub(crate) fn following_step(&self) -> Self {
        Self { ticket: self.ticket.clone(), step: self.step + 1 }
    }

    /// When the press was first taken up.
    pub(crate) const fn pressed_at(&self) -> Moment {
        self.ticket.at
    }

    /// Marks the step as done. Fails if it was done before or another press used the button; then the whole
    /// transaction must be rolled back.
    pub(crate) fn consume(&self, connection: &Connection) -> Result<(), StoreError> {
        let Self { ticket: ButtonTicket { key, update, at }, step } = self;
        // A compare-and-swap: of two concurrent presses, the second finds `steps` or `pressed_by` changed.
        // The first step stores the time of the press, so that a redelivery after a crash counts from the
        // same moment.
        let sql = "UPDATE telegram_buttons SET steps = :step, pressed_by = :update,
                       pressed = iif(steps = 0, :wall, pressed),
                       pressed_boot = iif(steps = 0, :boot, pressed_boot)
                   WHERE key = :key AND steps = :step - 1 AND (pressed_by IS NULL OR pressed_by = :update)";
        let changed = connection.prepare_cached(sql)?.execute(named_params! {
            ":key": key,
            ":update": update,
            ":step": step,
            ":wall": to_nanos(at.wall),
            ":boot": i64::try_from(at.boot.as_nanos()).unwrap_or(i64::MAX),
        })?;
        if changed == 1 {
            Ok(())
        } else {
            Err(StoreError::Refused("this button was used already".to_owned()))
        }
    }
}

/// Whether a button was used; true also for a button that no longer exists.
pub(crate) fn is_used(connection: &Connection, key: &ButtonKey) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM telegram_buttons WHERE key = ?1 AND steps = 0)";
    Ok(connection.prepare_cached(sql)?.query_row([key], |row| row.get(0))?)
}

/// Adds buttons to those of a message.
pub(crate) fn add_buttons(
    connection: &Connection,
    spot: &MessageRef,
    buttons: &[NewButton],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO telegram_buttons (key, bot, chat, user, cause, task, act, made)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = connection.prepare_cached(sql)?;
    let MessageRef { bot, chat, user, cause } = spot;
    for NewButton { key, task, act } in buttons {
        let task = task.map(|task| task.to_string());
        insert.execute(params![
            key,
            bot,
            chat,
            user.unwrap_or(EVERYONE_USER),
            cause,
            task,
            act,
            to_nanos(now)
        ])?;
    }
    Ok(())
}

/// The unused buttons of a message, except those with this act.
pub(crate) fn unused_keys(
    connection: &Connection,
    spot: &MessageRef,
    but: Option<&str>,
) -> Result<Vec<ButtonKey>, StoreError> {
    let sql = "SELECT key FROM telegram_buttons
               WHERE bot = ?1 AND chat = ?2 AND cause = ?3 AND steps = 0 AND act IS NOT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![spot.bot, spot.chat, spot.cause, but], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Deletes buttons that were not used.
pub(crate) fn delete_unused(connection: &Connection, keys: &[ButtonKey]) -> Result<(), StoreError> {
    let sql = "DELETE FROM telegram_buttons WHERE key = ?1 AND steps = 0";
    let mut statement = connection.prepare_cached(sql)?;
    for key in keys {
        statement.execute([key])?;
    }
    Ok(())
}

const SELECT_BUTTON: &str =
    "SELECT b.key, b.bot, b.chat, b.user, b.cause, s.message, b.task, t.tool, b.act, b.made, \
                    b.steps, b.pressed_by, b.pressed, b.pressed_boot
                    FROM telegram_buttons AS b LEFT JOIN tasks AS t ON t.id = b.task
                    LEFT JOIN telegram_sent AS s ON s.bot = b.bot AND s.chat = b.chat AND s.cause = b.cause";

/// The button with this hash.
pub(crate) fn find_button(connection: &Connection, key: &ButtonKey) -> Result<Option<ButtonRow>, StoreError> {
    let sql = format!("{SELECT_BUTTON} WHERE b.key = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([key], button_from_row).optional()?)
}

/// The button under a message of this kind, which has one.
pub(crate) fn find_under_message(
    connection: &Connection,
    (bot, chat, message): (i64, i64, i64),
    kind: &str,
) -> Result<Option<ButtonRow>, StoreError> {
    let sql = format!(
        "{SELECT_BUTTON} WHERE b.bot = ?1 AND b.chat = ?2 AND s.message = ?3 AND b.cause LIKE ?4 || ':%'"
    );
    let found =
        connection.prepare_cached(&sql)?.query_row(params![bot, chat, message, kind], button_from_row);
    Ok(found.optional()?)
}

/// The acts of a message's used buttons, each with the moment of its press; the latest press first.
pub(crate) fn used_acts(
    connection: &Connection,
    message: &MessageRef,
) -> Result<Vec<(String, Moment)>, StoreError> {
    let sql = format!(
        "{SELECT_BUTTON} WHERE b.bot = ?1 AND b.chat = ?2 AND b.cause = ?3 AND b.steps > 0 ORDER BY b.pressed DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![message.bot, message.chat, message.cause], button_from_row)?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().filter_map(|row| Some((row.act, row.pressed_at?))).collect())
}

/// Whether a chat has an unused button under a message of this kind that isn't confirmed yet.
pub(crate) fn is_message_unconfirmed(
    connection: &Connection,
    bot: i64,
    chat: i64,
    kind: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM telegram_buttons AS b
                   WHERE b.bot = ?1 AND b.chat = ?2 AND b.cause LIKE ?3 || ':%' AND b.steps = 0 AND NOT EXISTS
                       (SELECT 1 FROM telegram_sent AS s
                        WHERE s.bot = b.bot AND s.chat = b.chat AND s.cause = b.cause))";
    Ok(connection.prepare_cached(sql)?.query_row(params![bot, chat, kind], |row| row.get(0))?)
}

/// Deletes old buttons whose task has ended or is gone.
pub(crate) fn prune_buttons(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM telegram_buttons WHERE made < ?1 AND NOT EXISTS
             (SELECT 1 FROM tasks WHERE tasks.id = telegram_buttons.task
                 AND tasks.state IN ('pending-approval', 'approved', 'executing'))",
        params![to_nanos(now - BUTTON_RETENTION)],
    )?;
    Ok(())
}

fn button_from_row(row: &Row<'_>) -> rusqlite::Result<ButtonRow> {
    let user = Some(row.get(3)?).filter(|user| *user != EVERYONE_USER);
    let (task, tool) = (row.get_ref(6)?.as_str_or_null()?, row.get_ref(7)?.as_str_or_null()?);
    Ok(ButtonRow {
        key: row.get(0)?,
        message_ref: MessageRef { bot: row.get(1)?, chat: row.get(2)?, user, cause: row.get(4)? },
        message: row.get(5)?,
        task: task.map(|text| from_plain(6, text)).transpose()?,
        tool: tool.map(|text| from_plain(7, text)).transpose()?,
        act: row.get(8)?,
        made: from_nanos(9, row.get(9)?)?,
        steps_done: row.get(10)?,
        pressed_by: row.get(11)?,
        pressed_at: pressed_at_from_row(row)?,
    })
}

fn pressed_at_from_row(row: &Row<'_>) -> rusqlite::Result<Option<Moment>> {
    let (Some(wall), Some(boot)) = (row.get::<_, Option<i64>>(12)?, row.get::<_, Option<i64>>(13)?) else {
        return Ok(None);
    };
    let boot = u64::try_from(boot).map_err(|error| unreadable_column(13, error))?;
    Ok(Some(Moment { wall: from_nanos(12, wall)?, boot: Duration::from_nanos(boot) }))
}
