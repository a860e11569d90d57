//! Reads all segments as one log.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::{SegmentLine, SegmentLines, open_segment};
use super::{AuditEvent, AuditRecord, RecordFilter, SegmentCheckpoint};

/// A record with its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The segment's file name.
    pub segment: String,
    /// Its number in the segment.
    pub seq: u64,
    /// The record.
    pub record: AuditRecord,
}

/// The result of [`read_log`].
#[derive(Debug, Clone, Default)]
pub struct AuditLog {
    /// The records in order of time.
    pub entries: Vec<SegmentRecord>,
    /// Segments that end within a line: their process crashed, or is writing just now.
    pub torn: Vec<String>,
    /// Lines that are no records: segment and one-based line.
    pub unreadable: Vec<(String, u64)>,
}

/// Reads every segment in `directory`, merged in order of time. Within a segment, and in one that continues
/// another, the order of writing is kept even if the wall clock was set back. A missing directory holds
/// nothing.
///
/// # Errors
/// If the directory or a segment can't be read.
pub fn read_log(directory: &Path, filter: &RecordFilter) -> io::Result<AuditLog> {
    let mut log = AuditLog::default();
    let mut keyed = Vec::new();
    let mut ends = HashMap::new();
    for name in list_segments(directory)? {
        if starts_after(&name, filter.until) {
            continue;
        }
        let file = match open_segment(&directory.join(&name)) {
            // Removed since, for its age.
            Err(error) if error.is_missing() => continue,
            Err(error) if error.is_not_a_file() => {
                log.unreadable.push((name, 1));
                continue;
            }
            other => other?,
        };
        let (newest, latest) = read_segment(file, &name, filter, &mut log, &ends)?;
        keyed.extend(newest);
        ends.insert(name, latest);
    }
    // The sort is stable, so records of one segment with equal keys keep their order.
    keyed.sort_by_key(|(at, _)| *at);
    let from = filter.limit.map_or(0, |limit| keyed.len().saturating_sub(limit));
    log.entries = keyed.drain(from..).map(|(_, entry)| entry).collect();
    Ok(log)
}

/// Returns the matching records with their sort keys, and the latest key. `ends` holds the latest keys of
/// earlier segments.
fn read_segment(
    file: impl io::Read,
    name: &str,
    filter: &RecordFilter,
    log: &mut AuditLog,
    ends: &HashMap<String, Timestamp>,
) -> io::Result<(VecDeque<(Timestamp, SegmentRecord)>, Timestamp)> {
    let mut lines = SegmentLines::new(file);
    let mut newest = VecDeque::new();
    let mut latest = Timestamp::MIN;
    let mut number = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        let entry = match line {
            SegmentLine::Torn => {
                log.torn.push(name.to_owned());
                continue;
            }
            SegmentLine::Whole(line) => parse_record(name, line),
            SegmentLine::TooLong => None,
        };
        if let Some(entry) = entry {
            if let AuditEvent::Continued { former, .. } = &entry.record.event {
                // A continued segment starts no earlier than the one before it ended, even if the clock was
                // set back in between.
                latest = ends.get(former).copied().unwrap_or(latest);
            }
            // The key never falls within a segment. That keeps the order of writing.
            latest = latest.max(entry.record.at);
            if filter.matches(&entry.record) {
                newest.push_back((latest, entry));
                if filter.limit.is_some_and(|limit| newest.len() > limit) {
                    newest.pop_front();
                }
            }
        } else {
            log.unreadable.push((name.to_owned(), number));
        }
    }
    Ok((newest, latest))
}

/// How a segment begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentStart {
    /// Its first record isn't written yet, or is none.
    Unwritten,
    /// On its own.
    Standalone,
    /// As the continuation of another.
    Continues(PreviousSegment),
}

/// What the first record of a segment says of the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSegment {
    /// Its file name.
    pub name: String,
    /// The number of its last record.
    pub seq: u64,
    /// The hash of that record, in hex.
    pub hash: String,
    /// Whether its last records may be lost.
    pub fault: bool,
}

impl SegmentStart {
    /// Reads the first record of a segment. A thing that is no file counts as standalone.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read_start(directory: &Path, segment: &str) -> io::Result<Self> {
        let file = match open_segment(&directory.join(segment)) {
            Err(error) if error.is_not_a_file() => return Ok(Self::Standalone),
            other => other?,
        };
        let mut lines = SegmentLines::new(file);
        Ok(match lines.next()? {
            Some(SegmentLine::Whole(line)) => Self::from_first_line(line),
            Some(SegmentLine::TooLong) => Self::Standalone,
            Some(SegmentLine::Torn) | None => Self::Unwritten,
        })
    }

    /// Reads it from the first line of the segment.
    pub(super) fn from_first_line(line: &[u8]) -> Self {
        match serde_json::from_slice::<AuditRecord>(line).ok() {
            None => Self::Unwritten,
            Some(AuditRecord { event: AuditEvent::Continued { former: name, seq, hash, fault }, .. }) => {
                Self::Continues(PreviousSegment { name, seq, hash, fault })
            }
            Some(_) => Self::Standalone,
        }
    }
}

impl PreviousSegment {
    /// Where the process that wrote it says that it ended.
    #[must_use]
    pub fn checkpoint(&self) -> SegmentCheckpoint {
        let Self { name, seq, hash, fault: _ } = self.clone();
        SegmentCheckpoint { segment: name, seq, hash, length: 0, problem: None, removed: None }
    }
}

pub(super) fn parse_record(segment: &str, line: &[u8]) -> Option<SegmentRecord> {
    #[derive(Deserialize)]
    struct SeqField {
        seq: u64,
    }
    let SeqField { seq } = serde_json::from_slice(line).ok()?;
    let record = serde_json::from_slice(line).ok()?;
    Some(SegmentRecord { segment: segment.to_owned(), seq, record })
}

/// The names of the segments, oldest first, because names begin with the time. A missing directory holds none.
///
/// # Errors
/// If the directory can't be read.
pub fn list_segments(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jsonl") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a segment began after everything that is wanted, with a minute's margin for clocks that were set.
fn starts_after(name: &str, until: Option<Timestamp>) -> bool {
    until.is_some_and(|until| {
        let edge = until.checked_add(jiff::SignedDuration::from_mins(1)).unwrap_or(Timestamp::MAX);
        name > edge.strftime("%Y%m%dT%H%M%S").to_string().as_str()
    })
}
