//! Reads records from the newest back, and no further than wanted.
//!
//! Every segment is read from its end, and the segments are merged by time. Within a segment the order of
//! writing is kept, even if the wall clock was set back. A [`ReadPosition`] marks where reading stopped.
//! Reading on from there repeats no record and skips none, even if segments grew or appeared since.

use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::lines::{MAX_LINE_BYTES, open_segment};
use super::reader::{list_segments, parse_record};
use super::{RecordFilter, SegmentRecord, segment_start_time};

/// How much of a segment is read at first: a few records.
const FIRST_CHUNK_BYTES: u64 = 4 << 10;
/// How much of it is read at once later.
const CHUNK_BYTES: u64 = 64 << 10;
/// How many bytes are read of all segments before [`ReverseRead::BudgetSpent`].
const READ_BUDGET_BYTES: u64 = 32 << 20;
/// The margin for clocks that were set, when reading ends because all that follows is too old.
const CLOCK_SKEW_MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// The place between two records where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    /// The time of the last record read, or of one written after it in its segment if that is earlier.
    pub at: Timestamp,
    /// The segment of that record.
    segment: String,
    /// Segments that were partly read, and others whose names don't show that they weren't; with the bytes
    /// left of each.
    left: Vec<(String, u64)>,
}

/// The result of one step.
#[derive(Debug)]
pub enum ReverseRead {
    /// A record that matches.
    Record(Box<SegmentRecord>),
    /// The read budget is spent. The caller should show its progress, and can continue.
    BudgetSpent,
    /// No older record matches.
    End,
}

/// Reads records backward.
#[derive(Debug)]
pub struct ReverseReader {
    filter: RecordFilter,
    directory: PathBuf,
    cursors: Vec<SegmentCursor>,
    /// The cursors that have a record, by its time and the segment's name.
    queue: BinaryHeap<(Timestamp, String, usize)>,
    /// The last record that was returned: its time and its segment.
    last: Option<(Timestamp, String)>,
    /// The bytes read since the last `BudgetSpent`, and the budget.
    read: u64,
    read_budget: u64,
    unreadable: u64,
}

/// One segment, read from its end.
#[derive(Debug)]
struct SegmentCursor {
    name: String,
    /// How much of the file wasn't returned yet, up to and including the next record.
    left: u64,
    /// The bytes before the last line that was looked at, as far as they were read.
    chunk: Vec<u8>,
    /// Where the chunk ends in the file.
    end: u64,
    /// The time of the next record, or of a later one if that is earlier.
    sort_time: Timestamp,
    next_record: Option<SegmentRecord>,
    /// Whether a part of it was returned, now or before.
    started: bool,
}

impl ReverseReader {
    /// Starts with the newest record in `directory`, or after a position. The filter's limit doesn't count. A
    /// missing directory holds nothing.
    ///
    /// # Errors
    /// If the directory or a segment can't be read.
    pub fn new(directory: &Path, filter: RecordFilter, after: Option<&ReadPosition>) -> io::Result<Self> {
        let mut left: HashMap<_, _> =
            after.map(|place| place.left.iter().cloned().collect()).unwrap_or_default();
        let last = after.map(|place| (place.at, place.segment.clone()));
        let (directory, walks) = (directory.to_owned(), Vec::new());
        let next = BinaryHeap::new();
        let mut all = Self {
            filter,
            directory,
            cursors: walks,
            queue: next,
            last,
            read: 0,
            read_budget: READ_BUDGET_BYTES,
            unreadable: 0,
        };
        for name in list_segments(&all.directory)? {
            let known = left.remove(&name);
            if known.is_none() && all.last.as_ref().is_some_and(|(at, _)| !began_before(&name, *at)) {
                // It was returned completely, or appeared since.
                continue;
            }
            all.open_cursor(name, known)?;
        }
        Ok(all)
    }

    /// Takes one step back.
    ///
    /// # Errors
    /// If a segment can't be read.
    pub fn read_next(&mut self) -> io::Result<ReverseRead> {
        let from =
            self.filter.since.map(|since| since.checked_sub(CLOCK_SKEW_MARGIN).unwrap_or(Timestamp::MIN));
        while let Some((at, _, index)) = self.queue.pop() {
            // The heap gives the newest record of all segments, so once it is too old all others are too.
            if from.is_some_and(|from| at < from) {
                self.queue.clear();
                break;
            }
            let walk = &mut self.cursors[index];
            let Some(entry) = walk.next_record.take() else { continue };
            self.last = Some((at, walk.name.clone()));
            walk.started = true;
            // Refilled at once, because the heap must always hold the next record of each segment.
            self.advance_cursor(index)?;
            self.enqueue_cursor(index);
            if self.filter.matches(&entry.record) {
                return Ok(ReverseRead::Record(Box::new(entry)));
            }
            if self.read > self.read_budget {
                self.read = 0;
                return Ok(ReverseRead::BudgetSpent);
            }
        }
        Ok(ReverseRead::End)
    }

    /// The position after the last record; `None` before the first.
    #[must_use]
    pub fn position(&self) -> Option<ReadPosition> {
        let (at, segment) = self.last.clone()?;
        let told = |walk: &&SegmentCursor| match walk.left {
            // Its name already says that nothing is left: it began no earlier than the last record.
            0 => began_before(&walk.name, at),
            _ => walk.started || !began_before(&walk.name, at),
        };
        let left = self.cursors.iter().filter(told).map(|walk| (walk.name.clone(), walk.left)).collect();
        Some(ReadPosition { at, segment, left })
    }

    /// How many lines were no records.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Opens a segment with this many bytes left. Without a number, it is read from its end down to the
    /// position.
    fn open_cursor(&mut self, name: String, left: Option<u64>) -> io::Result<()> {
        let length = match open_segment(&self.directory.join(&name)) {
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) if error.is_not_a_file() => {
                self.unreadable += 1;
                return Ok(());
            }
            other => other?.metadata()?.len(),
        };
        let end = left.unwrap_or(length).min(length);
        // A clock that was set back must move nothing above the position.
        let key = self.last.as_ref().filter(|_| left.is_some()).map_or(Timestamp::MAX, |(at, _)| *at);
        let chunk = Vec::new();
        let index = self.cursors.len();
        self.cursors.push(SegmentCursor {
            name,
            left: end,
            chunk,
            end,
            sort_time: key,
            next_record: None,
            started: left.is_some(),
        });
        self.advance_cursor(index)?;
        // Records written since the last time are above the position.
        while left.is_none() && self.is_above_position(index) {
            self.advance_cursor(index)?;
        }
        self.enqueue_cursor(index);
        Ok(())
    }

    fn is_above_position(&self, index: usize) -> bool {
        let walk = &self.cursors[index];
        let place = self.last.as_ref();
        walk.next_record.is_some()
            && place.is_some_and(|(at, segment)| (walk.sort_time, &walk.name) > (*at, segment))
    }

    /// Puts a segment's next record into the heap.
    fn enqueue_cursor(&mut self, index: usize) {
        let walk = &self.cursors[index];
        if walk.next_record.is_some() {
            self.queue.push((walk.sort_time, walk.name.clone(), index));
        }
    }

    /// Finds a segment's next record.
    fn advance_cursor(&mut self, index: usize) -> io::Result<()> {
        let walk = &mut self.cursors[index];
        walk.next_record = None;
        loop {
            walk.left = walk.end;
            let Some(line) = walk.previous_line(&self.directory, &mut self.read)? else {
                walk.left = 0;
                return Ok(());
            };
            // The end of a file may be part of a line: its process is writing just now, or crashed.
            let whole = line.last() == Some(&b'\n');
            match parse_record(&walk.name, &line).filter(|_| whole) {
                None => self.unreadable += u64::from(whole),
                Some(entry) => {
                    // The key never rises on the way back. That keeps the order of writing where the clock was
                    // set back.
                    walk.sort_time = walk.sort_time.min(entry.record.at);
                    walk.next_record = Some(entry);
                    return Ok(());
                }
            }
        }
    }
}

impl SegmentCursor {
    /// The line before the last one that was looked at.
    fn previous_line(&mut self, directory: &Path, read: &mut u64) -> io::Result<Option<Vec<u8>>> {
        let mut size = if self.chunk.is_empty() && !self.started { FIRST_CHUNK_BYTES } else { CHUNK_BYTES };
        loop {
            // Without its last byte, which ends the wanted line itself.
            let within = self.chunk.len().saturating_sub(1);
            let start = memchr::memrchr(b'\n', &self.chunk[..within]).map(|at| at + 1);
            let whole = self.chunk.len() as u64 == self.end;
            if let Some(start) = start.or(whole.then_some(0)) {
                let line = self.chunk.split_off(start);
                self.end -= line.len() as u64;
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.chunk.len() as u64 > MAX_LINE_BYTES {
                // Perhaps the zeros of a sparse file. Verification reports it.
                self.chunk = Vec::new();
                return Ok(None);
            }
            match self.read_before_chunk(directory, size)? {
                0 => return Ok(None),
                more => *read += more,
            }
            // A long line needs several reads; doubling keeps the whole cost linear.
            size *= 2;
        }
    }

    /// Reads what is before the chunk, and returns how much. A segment that was removed for its age holds
    /// nothing.
    fn read_before_chunk(&mut self, directory: &Path, size: u64) -> io::Result<u64> {
        let until = self.end - self.chunk.len() as u64;
        let from = until.saturating_sub(size);
        let mut file = match open_segment(&directory.join(&self.name)) {
            Err(error) if error.is_missing() || error.is_not_a_file() => return Ok(0),
            other => other?,
        };
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(until - from).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != until - from {
            // It is shorter than before. Verification reports it.
            return Ok(0);
        }
        bytes.append(&mut self.chunk);
        self.chunk = bytes;
        Ok(until - from)
    }
}

/// Whether a segment began before this time, by its name. A name without a time says no.
fn began_before(name: &str, at: Timestamp) -> bool {
    segment_start_time(name).is_some_and(|began| began < at)
}

#[cfg(test)]
mod tests;
