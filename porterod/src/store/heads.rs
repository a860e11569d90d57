//! How far each segment of the audit had come. A head only grows, and a problem that was found stays: a
//! trigger sees to both.

use std::collections::HashSet;

use jiff::Timestamp;
use portero::audit::Head;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreError;
use super::text::{from_nanos, nanos};

/// Every head, by the segments' names.
pub(crate) fn list(connection: &Connection) -> Result<Vec<Head>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT segment, seq, hash, length, problem, removed FROM heads ORDER BY segment")?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// One segment's head.
pub(crate) fn get(connection: &Connection, segment: &str) -> Result<Option<Head>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, seq, hash, length, problem, removed FROM heads WHERE segment = ?1",
    )?;
    Ok(statement.query_row([segment], read).optional()?)
}

/// Keeps a head, unless a later one is kept already, or it was removed because it is old.
pub(crate) fn keep(connection: &Connection, head: &Head) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO heads (segment, seq, hash, length) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (segment) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
             length = excluded.length WHERE excluded.seq > seq AND removed IS NULL",
    )?;
    statement.execute(params![head.segment, head.seq, head.hash, head.length])?;
    Ok(())
}

/// Keeps what is wrong with a segment, and tells whether that is new. The first problem found stays; and what was
/// removed because it is old has none, whatever lies in its place since.
pub(crate) fn fault(connection: &Connection, head: &Head, problem: &str) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO heads (segment, seq, hash, length, problem) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (segment) DO UPDATE SET problem = excluded.problem
         WHERE problem IS NULL AND removed IS NULL",
    )?;
    Ok(statement.execute(params![head.segment, head.seq, head.hash, head.length, problem])? == 1)
}

/// The segments in which every call has its outcome, or a record that its process was gone.
pub(crate) fn settled(connection: &Connection) -> Result<HashSet<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT segment FROM heads WHERE settled = 1")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Marks a segment as such a one; what is no segment's name is left out.
pub(crate) fn settle(connection: &Connection, segment: &str) -> Result<(), StoreError> {
    let Some(first) = Head::first(segment) else { return Ok(()) };
    keep(connection, &first)?;
    connection.prepare_cached("UPDATE heads SET settled = 1 WHERE segment = ?1")?.execute([segment])?;
    Ok(())
}

/// Marks a segment as removed because it is old, and tells whether that is new. Its head goes to its end.
pub(crate) fn remove(connection: &Connection, head: &Head, at: Timestamp) -> Result<bool, StoreError> {
    keep(connection, head)?;
    let mut statement = connection.prepare_cached(
        "UPDATE heads SET removed = ?2 WHERE segment = ?1 AND seq = ?3 AND removed IS NULL AND problem IS NULL",
    )?;
    Ok(statement.execute(params![head.segment, nanos(at), head.seq])? == 1)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        segment: row.get(0)?,
        seq: row.get(1)?,
        hash: row.get(2)?,
        length: row.get(3)?,
        problem: row.get(4)?,
        removed: row.get::<_, Option<i64>>(5)?.map(|at| from_nanos(5, at)).transpose()?,
    })
}
