//! The newest records first, as far back as somebody wants to see: what is older is not read.
//!
//! Every segment is read from its end, and they are merged by their times; within a segment the order of writing
//! stays, even where the wall clock was set back. Where one stopped is a [`ReadPosition`], and reading on from there gives
//! no record twice and leaves none out, also when segments grew or came since.

use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::lines::{MAX_LINE_BYTES, open_segment};
use super::reader::{list_segments, parse_record};
use super::{RecordFilter, SegmentRecord, segment_start_time};

/// How much of a segment is read at first: few records.
const FIRST_CHUNK_BYTES: u64 = 4 << 10;
/// How much of one is read at once later.
const CHUNK_BYTES: u64 = 64 << 10;
/// How much is read of all before [`ReverseRead::BudgetSpent`], in bytes.
const READ_BUDGET_BYTES: u64 = 32 << 20;
/// What is left for clocks that were set, where reading ends because all that follows is older than is wanted.
const CLOCK_SKEW_MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// Between which records one stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    /// The time of the last record that was read, or of one written after it in its segment if that is earlier.
    pub at: Timestamp,
    /// The segment that it stands in.
    segment: String,
    /// Segments of which a part was read, and others that do not tell by their name that nothing was: how much of
    /// each is left, in bytes.
    left: Vec<(String, u64)>,
}

/// What came next.
#[derive(Debug)]
pub enum ReverseRead {
    /// A record that is wanted.
    Record(Box<SegmentRecord>),
    /// So much was read that the caller should show how far it came; it can go on.
    BudgetSpent,
    /// There is nothing older that is wanted.
    End,
}

/// Reads backwards.
#[derive(Debug)]
pub struct ReverseReader {
    filter: RecordFilter,
    directory: PathBuf,
    cursors: Vec<SegmentCursor>,
    /// The walks that have a record to give, by its time and their name.
    queue: BinaryHeap<(Timestamp, String, usize)>,
    /// The last record that was taken: its time, and its segment.
    last: Option<(Timestamp, String)>,
    /// How much was read since it was last said to be enough, and how much is.
    read: u64,
    read_budget: u64,
    unreadable: u64,
}

/// One segment, read from its end.
#[derive(Debug)]
struct SegmentCursor {
    name: String,
    /// How much of the file was not given yet, up to and with the record that comes next.
    left: u64,
    /// The bytes before what was looked at last, as far as they were read.
    chunk: Vec<u8>,
    /// Where the chunk ends in the file.
    end: u64,
    /// The time of the record that comes next, or of a later one where that is earlier.
    sort_time: Timestamp,
    next_record: Option<SegmentRecord>,
    /// Whether some of it was given, now or before.
    started: bool,
}

impl ReverseReader {
    /// Begins with the newest record in `directory`, or after a place. The filter's limit does not count. A directory
    /// that is not there holds nothing.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read.
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
                // All of it was given, or it came since.
                continue;
            }
            all.open_cursor(name, known)?;
        }
        Ok(all)
    }

    /// What comes next.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn read_next(&mut self) -> io::Result<ReverseRead> {
        let from =
            self.filter.since.map(|since| since.checked_sub(CLOCK_SKEW_MARGIN).unwrap_or(Timestamp::MIN));
        while let Some((at, _, index)) = self.queue.pop() {
            if from.is_some_and(|from| at < from) {
                self.queue.clear();
                break;
            }
            let walk = &mut self.cursors[index];
            let Some(entry) = walk.next_record.take() else { continue };
            self.last = Some((at, walk.name.clone()));
            walk.started = true;
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

    /// After what was given last; none before the first.
    #[must_use]
    pub fn position(&self) -> Option<ReadPosition> {
        let (at, segment) = self.last.clone()?;
        let told = |walk: &&SegmentCursor| match walk.left {
            // That nothing is left of it is told by its name: it began no earlier than what was given last.
            0 => began_before(&walk.name, at),
            _ => walk.started || !began_before(&walk.name, at),
        };
        let left = self.cursors.iter().filter(told).map(|walk| (walk.name.clone(), walk.left)).collect();
        Some(ReadPosition { at, segment, left })
    }

    /// How many lines were met that are no record.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Begins with a segment, of which so many bytes are left; without a number all of what is older than what was
    /// given last.
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
        // A clock that was set back moves nothing above the place.
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
        // What was written since the last time stands above the place.
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

    /// Has a segment's next record stand for being given.
    fn enqueue_cursor(&mut self, index: usize) {
        let walk = &self.cursors[index];
        if walk.next_record.is_some() {
            self.queue.push((walk.sort_time, walk.name.clone(), index));
        }
    }

    /// Finds the next record of a segment.
    fn advance_cursor(&mut self, index: usize) -> io::Result<()> {
        let walk = &mut self.cursors[index];
        walk.next_record = None;
        loop {
            walk.left = walk.end;
            let Some(line) = walk.previous_line(&self.directory, &mut self.read)? else {
                walk.left = 0;
                return Ok(());
            };
            // The end of a file may be a part of a line: its process is writing just now, or crashed.
            let whole = line.last() == Some(&b'\n');
            match parse_record(&walk.name, &line).filter(|_| whole) {
                None => self.unreadable += u64::from(whole),
                Some(entry) => {
                    walk.sort_time = walk.sort_time.min(entry.record.at);
                    walk.next_record = Some(entry);
                    return Ok(());
                }
            }
        }
    }
}

impl SegmentCursor {
    /// The line before what was looked at last.
    fn previous_line(&mut self, directory: &Path, read: &mut u64) -> io::Result<Option<Vec<u8>>> {
        let mut size = if self.chunk.is_empty() && !self.started { FIRST_CHUNK_BYTES } else { CHUNK_BYTES };
        loop {
            let within = self.chunk.len().saturating_sub(1);
            let start = memchr::memrchr(b'\n', &self.chunk[..within]).map(|at| at + 1);
            let whole = self.chunk.len() as u64 == self.end;
            if let Some(start) = start.or(whole.then_some(0)) {
                let line = self.chunk.split_off(start);
                self.end -= line.len() as u64;
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.chunk.len() as u64 > MAX_LINE_BYTES {
                // The zeros of a sparse file, perhaps. That is for the verification to tell.
                self.chunk = Vec::new();
                return Ok(None);
            }
            match self.read_before_chunk(directory, size)? {
                0 => return Ok(None),
                more => *read += more,
            }
            size *= 2;
        }
    }

    /// Reads what stands before the chunk, and tells how much it was. A segment that was removed since, by its age,
    /// holds nothing.
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
            // It is shorter than it was. That is for the verification to tell.
            return Ok(0);
        }
        bytes.append(&mut self.chunk);
        self.chunk = bytes;
        Ok(until - from)
    }
}

/// Whether a segment began before this, by its name; one whose name does not tell did not.
fn began_before(name: &str, at: Timestamp) -> bool {
    segment_start_time(name).is_some_and(|began| began < at)
}

#[cfg(test)]
mod tests;
