//! All segments, read as one.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::{SegmentLine, SegmentLines, open_segment};
use super::{AuditEvent, AuditRecord, RecordFilter, SegmentCheckpoint};

/// One record and where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The segment's file name.
    pub segment: String,
    /// Its number in the segment.
    pub seq: u64,
    /// The record.
    pub record: AuditRecord,
}

/// What [`read_log`] found.
#[derive(Debug, Clone, Default)]
pub struct AuditLog {
    /// The records in the order of time.
    pub entries: Vec<SegmentRecord>,
    /// Segments that end in the middle of a line: their process crashed, or is writing just now.
    pub torn: Vec<String>,
    /// Lines that are no record: segment and one-based line.
    pub unreadable: Vec<(String, u64)>,
}

/// Reads every segment in `directory`, merged in the order of time; within a segment the order of writing
/// stays, even where the wall clock was set back, and so it does in one that goes on after another. A directory that is not there holds nothing.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub fn read_log(directory: &Path, filter: &RecordFilter) -> io::Result<AuditLog> {
    let mut log = AuditLog::default();
    let mut keyed = Vec::new();
    let mut ends = HashMap::new();
    for name in list_segments(directory)? {
        if starts_after(&name, filter.until) {
            continue;
        }
        let file = match open_segment(&directory.join(&name)) {
            // Removed since, by its age.
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
    keyed.sort_by_key(|(at, _)| *at);
    let from = filter.limit.map_or(0, |limit| keyed.len().saturating_sub(limit));
    log.entries = keyed.drain(from..).map(|(_, entry)| entry).collect();
    Ok(log)
}

/// Gives what is wanted with the time to sort it by, and the latest such time. `ends` are those of the segments
/// before.
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
                latest = ends.get(former).copied().unwrap_or(latest);
            }
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
    /// Its first record is not there yet, or is none.
    Unwritten,
    /// By itself.
    Standalone,
    /// It goes on after another.
    Continues(PreviousSegment),
}

/// What the first record of a segment says of the one that it goes on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSegment {
    /// Its file name.
    pub name: String,
    /// The number of its last record.
    pub seq: u64,
    /// The hash of that record, in hex.
    pub hash: String,
    /// Whether some of its last records may be lost.
    pub fault: bool,
}

impl SegmentStart {
    /// Reads the first record of a segment. What is no file goes on after no other.
    ///
    /// # Errors
    /// When the file cannot be read.
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

    /// The same, from the first line of the segment.
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
    /// Where the process that wrote it says it ended.
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

/// The names of the segments, oldest first: they begin with the time. A directory that is not there holds none.
///
/// # Errors
/// When the directory cannot be read.
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

/// Whether a segment began only after everything that is wanted. A minute is left for clocks that were set.
fn starts_after(name: &str, until: Option<Timestamp>) -> bool {
    until.is_some_and(|until| {
        let edge = until.checked_add(jiff::SignedDuration::from_mins(1)).unwrap_or(Timestamp::MAX);
        name > edge.strftime("%Y%m%dT%H%M%S").to_string().as_str()
    })
}
