//! The notices in order, and each channel's position among them.
//!
//! A notice is removed once every channel has delivered it. The latest ones stay, because a watching terminal
//! may still read them. Notices that are too old or too many are removed as well, but never one about an open
//! task.

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::json::serialize_raw;
use portero::names::Actor;
use portero::notice::{AlarmKind, Notice, NoticeEntry};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::StoreError;
use super::columns::{from_json, from_nanos, from_plain, to_nanos};

/// The limits of the outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    /// The minimum number of notices kept for watchers.
    pub(crate) min_kept: u64,
    /// How many notices may wait; beyond that only the last one of each task is kept.
    pub(crate) max_waiting: u64,
    /// How long a notice waits for a channel, in seconds.
    pub(crate) max_age_seconds: i64,
    /// After how many notices the limits are checked.
    pub(crate) prune_every: u64,
}

impl OutboxLimits {
    /// The limits of a daemon.
    pub(crate) const PRODUCTION: Self =
        Self { min_kept: 1024, max_waiting: 100_000, max_age_seconds: 30 * 24 * 3600, prune_every: 256 };
}

/// The most bytes of notices in one read, unless a single one is longer.
const MAX_READ_BYTES: usize = 1 << 20;
/// The states of tasks whose notices are never removed.
const OPEN_STATES: &str = "('pending-approval', 'approved', 'executing')";

/// The notice that replaces removed ones.
const LOST_NOTICES_TEXT: &str = "notices were removed before they were told, because too many waited, or for too long; \
                    `portero logs` shows what happened";

/// The notices after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticesAfter {
    /// The next ones in order, possibly not all.
    Entries(Vec<NoticeEntry>),
    /// Some of them were removed, or the position doesn't exist.
    Removed,
}

/// Adds notices.
pub(crate) fn put_notices(
    connection: &Connection,
    notices: &[Notice],
    now: Timestamp,
    limits: OutboxLimits,
) -> Result<(), StoreError> {
    // Pruning reads the whole table, so it runs only once per many notices.
    let mut due = false;
    for notice in notices {
        due |= insert_notice(connection, notice, None, now)? % limits.prune_every == 0;
    }
    if due { prune_notices(connection, now, limits) } else { Ok(()) }
}

/// The number of the last notice.
pub(crate) fn last_seq(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT max(coalesce((SELECT max(seq) FROM notices), 0), removed) FROM outbox";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Registers a channel, and returns whether it is new. A new one gets the open tasks and nothing older.
pub(crate) fn register_channel(
    connection: &Connection,
    name: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let last = last_seq(connection)?;
    let sql = "INSERT INTO channels (name, acknowledged) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if connection.execute(sql, params![name, last])? == 0 {
        return Ok(false);
    }
    let sql =
        format!("SELECT id, tool, state, note FROM tasks WHERE state IN {OPEN_STATES} ORDER BY asked, id");
    let mut statement = connection.prepare_cached(&sql)?;
    let open = statement.query_map([], open_task_notice)?.collect::<Result<Vec<_>, _>>()?;
    for notice in open {
        insert_notice(connection, &notice, Some(name), now)?;
    }
    Ok(true)
}

/// Removes a channel with its position. Returns whether it existed.
pub(crate) fn unregister_channel(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    connection.execute("DELETE FROM notices WHERE channel = ?1", [name])?;
    Ok(connection.execute("DELETE FROM channels WHERE name = ?1", [name])? == 1)
}

/// The next notices of a channel, at most `most`; none if there is no such channel.
pub(crate) fn next_entries(
    connection: &Connection,
    name: &str,
    most: u32,
) -> Result<Option<Vec<NoticeEntry>>, StoreError> {
    let sql = "SELECT acknowledged FROM channels WHERE name = ?1";
    let told: Option<u64> = connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
    told.map(|told| read_entries(connection, Some(name), told, most)).transpose()
}

/// Acknowledges up to `upto`. Returns whether the channel exists.
pub(crate) fn acknowledge_upto(connection: &Connection, name: &str, upto: u64) -> Result<bool, StoreError> {
    let upto = upto.min(last_seq(connection)?);
    let sql = "UPDATE channels SET acknowledged = max(acknowledged, ?2) WHERE name = ?1";
    Ok(connection.prepare_cached(sql)?.execute(params![name, upto])? == 1)
}

/// The notices after `place` for all channels, at most `most`.
pub(crate) fn entries_after(
    connection: &Connection,
    place: u64,
    most: u32,
) -> Result<NoticesAfter, StoreError> {
    let removed: u64 =
        connection.prepare_cached("SELECT removed FROM outbox")?.query_row([], |row| row.get(0))?;
    // A position beyond the last one belongs to an earlier store.
    if place < removed || place > last_seq(connection)? {
        return Ok(NoticesAfter::Removed);
    }
    Ok(NoticesAfter::Entries(read_entries(connection, None, place, most)?))
}

/// The latest alarms among the last notices, the newest first, delivered or not.
pub(crate) fn alarms(
    connection: &Connection,
    since: Timestamp,
    most: u32,
) -> Result<Vec<NoticeEntry>, StoreError> {
    /// How many notices are searched.
    const LATEST: u64 = 5_000;

    // A notice's text begins with the name of its kind. The limit by number keeps the scan short, since
    // `LIKE` uses no index.
    let sql = r#"SELECT seq, at, notice FROM notices
                 WHERE seq > ?1 AND at >= ?2 AND channel IS NULL AND notice LIKE '{"alarm":%'
                 ORDER BY seq DESC LIMIT ?3"#;
    let after = last_seq(connection)?.saturating_sub(LATEST);
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![after, to_nanos(since), most], entry_from_row)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Removes delivered, old and excess notices.
pub(crate) fn prune_notices(
    connection: &Connection,
    now: Timestamp,
    limits: OutboxLimits,
) -> Result<(), StoreError> {
    let last = last_seq(connection)?;
    let told: Option<u64> =
        connection.query_row("SELECT min(acknowledged) FROM channels", [], |row| row.get(0))?;
    // Without a channel everything counts as delivered; the minimum for watchers is kept in any case.
    let done = told.unwrap_or(last).min(last.saturating_sub(limits.min_kept));
    connection.execute("DELETE FROM notices WHERE seq <= ?1", [done])?;
    mark_removed(connection, done)?;

    let mut lost = prune_old(connection, now, limits)?;
    if count_notices(connection)? > limits.max_waiting {
        keep_last_per_task(connection)?;
        mark_removed(connection, last)?;
        // A tenth more than needed, so that the next notice doesn't prune again.
        let room = limits.max_waiting - limits.max_waiting / 10;
        let excess = count_notices(connection)?.saturating_sub(room);
        lost += prune_oldest(connection, excess)?;
    }
    if lost > 0 {
        mark_removed(connection, last)?;
        let lost =
            Notice::Alarm { alarm: AlarmKind::Lost, about: Fake::from_static(LOST_NOTICES_TEXT).into() };
        insert_notice(connection, &lost, None, now)?;
    }
    Ok(())
}

fn insert_notice(
    connection: &Connection,
    notice: &Notice,
    channel: Option<&str>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "INSERT INTO notices (at, task, channel, notice) VALUES (?1, ?2, ?3, ?4) RETURNING seq";
    let task = notice.task_id().map(|task| task.to_string());
    let text = serialize_raw(notice);
    let seq = connection
        .prepare_cached(sql)?
        .query_row(params![to_nanos(now), task, channel, text.get()], |row| row.get(0))?;
    Ok(seq)
}

fn read_entries(
    connection: &Connection,
    channel: Option<&str>,
    place: u64,
    most: u32,
) -> Result<Vec<NoticeEntry>, StoreError> {
    let sql = "SELECT seq, at, notice FROM notices WHERE seq > ?1 AND (channel IS NULL OR channel = ?2)
               ORDER BY seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![place, channel, most])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(2)?.as_str().map_or(0, str::len);
        // The first one is returned at any length, because it would otherwise block its channel for ever.
        if bytes > MAX_READ_BYTES && !entries.is_empty() {
            break;
        }
        entries.push(entry_from_row(row)?);
    }
    Ok(entries)
}

fn entry_from_row(row: &Row<'_>) -> rusqlite::Result<NoticeEntry> {
    Ok(NoticeEntry {
        seq: row.get(0)?,
        at: from_nanos(1, row.get(1)?)?,
        notice: from_json(2, row.get_ref(2)?.as_str()?)?,
    })
}

fn open_task_notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice::Task {
        task: from_plain(0, row.get_ref(0)?.as_str()?)?,
        tool: from_plain(1, row.get_ref(1)?.as_str()?)?,
        state: from_plain(2, row.get_ref(2)?.as_str()?)?,
        by: Actor::Daemon,
        note: row.get_ref(3)?.as_str_or_null()?.map(|note| from_plain(3, note)).transpose()?,
    })
}

fn count_notices(connection: &Connection) -> Result<u64, StoreError> {
    Ok(connection.query_row("SELECT count(*) FROM notices", [], |row| row.get(0))?)
}

/// Notes that notices up to `seq` may be missing.
fn mark_removed(connection: &Connection, seq: u64) -> Result<(), StoreError> {
    connection.execute("UPDATE outbox SET removed = max(removed, ?1)", [seq])?;
    Ok(())
}

/// Removes notices that waited too long, unless their task is open. Returns how many a channel had not
/// delivered.
fn prune_old(connection: &Connection, now: Timestamp, limits: OutboxLimits) -> Result<u64, StoreError> {
    let kept = jiff::SignedDuration::from_secs(limits.max_age_seconds);
    let before = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    let sql = format!(
        "DELETE FROM notices WHERE at < :before AND NOT EXISTS
             (SELECT 1 FROM tasks WHERE tasks.id = notices.task AND tasks.state IN {OPEN_STATES})
         RETURNING seq > (SELECT coalesce(min(acknowledged), :none) FROM channels)"
    );
    let mut statement = connection.prepare(&sql)?;
    let params = named_params! { ":before": to_nanos(before), ":none": i64::MAX };
    let mut lost = 0;
    for untold in statement.query_map(params, |row| row.get::<_, bool>(0))? {
        lost += u64::from(untold?);
    }
    Ok(lost)
}

/// Keeps only the last notice of each task. A channel shows the task's present state, so the earlier ones add
/// nothing.
fn keep_last_per_task(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM notices WHERE task IS NOT NULL AND EXISTS
             (SELECT 1 FROM notices AS later WHERE later.task = notices.task AND later.seq > notices.seq
                 AND (later.channel IS NULL OR later.channel IS notices.channel))",
        [],
    )?;
    Ok(())
}

/// Removes the first `excess` notices that aren't about an open task, and returns their number.
fn prune_oldest(connection: &Connection, excess: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM notices WHERE seq IN
             (SELECT seq FROM notices WHERE NOT EXISTS
                  (SELECT 1 FROM tasks WHERE tasks.id = notices.task AND tasks.state IN {OPEN_STATES})
              ORDER BY seq LIMIT ?1)"
    );
    Ok(connection.execute(&sql, [excess])? as u64)
}
