//! All segments, read as one.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::{Line, SegmentLines, open_segment};
use super::{Event, Filter, Head, Record};

/// One record and where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The segment's file name.
    pub segment: String,
    /// Its number in the segment.
    pub seq: u64,
    /// The record.
    pub record: Record,
}

/// What [`read`] found.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The records in the order of time.
    pub entries: Vec<Entry>,
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
pub fn read(directory: &Path, filter: &Filter) -> io::Result<Log> {
    let mut log = Log::default();
    let mut keyed = Vec::new();
    let mut ends = HashMap::new();
    for name in segments(directory)? {
        if starts_after(&name, filter.until) {
            continue;
        }
        let file = match open_segment(&directory.join(&name)) {
            // Removed since, by its age.
            Err(error) if error.is_missing() => continue,
            Err(error) if error.is_no_file() => {
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
    filter: &Filter,
    log: &mut Log,
    ends: &HashMap<String, Timestamp>,
) -> io::Result<(VecDeque<(Timestamp, Entry)>, Timestamp)> {
    let mut lines = SegmentLines::new(file);
    let mut newest = VecDeque::new();
    let mut latest = Timestamp::MIN;
    let mut number = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        let entry = match line {
            Line::Torn => {
                log.torn.push(name.to_owned());
                continue;
            }
            Line::Whole(line) => parse(name, line),
            Line::TooLong => None,
        };
        if let Some(entry) = entry {
            if let Event::Continued { former, .. } = &entry.record.event {
                latest = ends.get(former).copied().unwrap_or(latest);
            }
            latest = latest.max(entry.record.at);
            if filter.wants(&entry.record) {
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
pub enum Begin {
    /// Its first record is not there yet, or is none.
    Unwritten,
    /// By itself.
    Anew,
    /// It goes on after another.
    After(Former),
}

/// What the first record of a segment says of the one that it goes on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// Its file name.
    pub name: String,
    /// The number of its last record.
    pub seq: u64,
    /// The hash of that record, in hex.
    pub hash: String,
    /// Whether some of its last records may be lost.
    pub fault: bool,
}

impl Begin {
    /// Reads the first record of a segment. What is no file goes on after no other.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(directory: &Path, segment: &str) -> io::Result<Self> {
        let file = match open_segment(&directory.join(segment)) {
            Err(error) if error.is_no_file() => return Ok(Self::Anew),
            other => other?,
        };
        let mut lines = SegmentLines::new(file);
        Ok(match lines.next()? {
            Some(Line::Whole(line)) => Self::read(line),
            Some(Line::TooLong) => Self::Anew,
            Some(Line::Torn) | None => Self::Unwritten,
        })
    }

    /// The same, from the first line of the segment.
    pub(super) fn read(line: &[u8]) -> Self {
        match serde_json::from_slice::<Record>(line).ok() {
            None => Self::Unwritten,
            Some(Record { event: Event::Continued { former: name, seq, hash, fault }, .. }) => {
                Self::After(Former { name, seq, hash, fault })
            }
            Some(_) => Self::Anew,
        }
    }
}

impl Former {
    /// Where the process that wrote it says it ended.
    #[must_use]
    pub fn head(&self) -> Head {
        let Self { name, seq, hash, fault: _ } = self.clone();
        Head { segment: name, seq, hash, length: 0, problem: None, removed: None }
    }
}

pub(super) fn parse(segment: &str, line: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Number {
        seq: u64,
    }
    let Number { seq } = serde_json::from_slice(line).ok()?;
    let record = serde_json::from_slice(line).ok()?;
    Some(Entry { segment: segment.to_owned(), seq, record })
}

/// The names of the segments, oldest first: they begin with the time. A directory that is not there holds none.
///
/// # Errors
/// When the directory cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<String>> {
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
