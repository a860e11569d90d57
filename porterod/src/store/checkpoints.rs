//! The checkpoints of the audit's segments. A trigger ensures that a checkpoint only grows and that a problem
//! stays.

use std::collections::HashSet;

use jiff::Timestamp;
use portero::audit::SegmentCheckpoint;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::columns::{from_nanos, to_nanos};

/// All checkpoints, by the names of their segments.
pub(crate) fn list_checkpoints(connection: &Connection) -> Result<Vec<SegmentCheckpoint>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, seq, hash, length, problem, removed FROM checkpoints ORDER BY segment",
    )?;
    Ok(statement.query_map([], checkpoint_from_row)?.collect::<Result<_, _>>()?)
}

/// The checkpoint of one segment.
pub(crate) fn get_checkpoint(
    connection: &Connection,
    segment: &str,
) -> Result<Option<SegmentCheckpoint>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, seq, hash, length, problem, removed FROM checkpoints WHERE segment = ?1",
    )?;
    Ok(statement.query_row([segment], checkpoint_from_row).optional()?)
}

/// Stores a checkpoint, unless a later one is stored or the segment was removed by retention.
pub(crate) fn save_checkpoint(connection: &Connection, head: &SegmentCheckpoint) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO checkpoints (segment, seq, hash, length) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (segment) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
             length = excluded.length WHERE excluded.seq > seq AND removed IS NULL",
    )?;
    statement.execute(params![head.segment, head.seq, head.hash, head.length])?;
    Ok(())
}

/// Stores a problem of a segment, and returns whether it is new. Only the first problem is kept. A segment
/// that retention removed has none, whatever file has its name since.
pub(crate) fn record_problem(
    connection: &Connection,
    head: &SegmentCheckpoint,
    problem: &str,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO checkpoints (segment, seq, hash, length, problem) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (segment) DO UPDATE SET problem = excluded.problem
         WHERE problem IS NULL AND removed IS NULL",
    )?;
    Ok(statement.execute(params![head.segment, head.seq, head.hash, head.length, problem])? == 1)
}

/// The segments in which every call has an outcome or a record of its interruption.
pub(crate) fn settled_segments(connection: &Connection) -> Result<HashSet<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT segment FROM checkpoints WHERE settled = 1")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Marks a segment as settled; other names are ignored.
pub(crate) fn mark_settled(connection: &Connection, segment: &str) -> Result<(), StoreError> {
    let Some(first) = SegmentCheckpoint::before_first(segment) else { return Ok(()) };
    save_checkpoint(connection, &first)?;
    connection.prepare_cached("UPDATE checkpoints SET settled = 1 WHERE segment = ?1")?.execute([segment])?;
    Ok(())
}

/// Marks a segment as removed by retention, and returns whether that is new. Its checkpoint is set to its
/// end.
pub(crate) fn mark_removed(
    connection: &Connection,
    head: &SegmentCheckpoint,
    at: Timestamp,
) -> Result<bool, StoreError> {
    save_checkpoint(connection, head)?;
    let mut statement = connection.prepare_cached(
        "UPDATE checkpoints SET removed = ?2 WHERE segment = ?1 AND seq = ?3 AND removed IS NULL AND problem IS NULL",
    )?;
    Ok(statement.execute(params![head.segment, to_nanos(at), head.seq])? == 1)
}

fn checkpoint_from_row(row: &Row<'_>) -> rusqlite::Result<SegmentCheckpoint> {
    Ok(SegmentCheckpoint {
        segment: row.get(0)?,
        seq: row.get(1)?,
        hash: row.get(2)?,
        length: row.get(3)?,
        problem: row.get(4)?,
        removed: row.get::<_, Option<i64>>(5)?.map(|at| from_nanos(5, at)).transpose()?,
    })
}
