//! Follows segments while processes write to them, for `logs --follow`.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::lines::{MAX_LINE_BYTES, open_segment};
use super::reader::{list_segments, parse_record};
use super::{RecordFilter, SegmentRecord};
use crate::files::RegularFile;

/// How much of a segment is read at once.
const CHUNK_BYTES: u64 = 256 << 10;
/// The offset of a file with a line too long for a record. It isn't read any further.
const UNREADABLE_OFFSET: u64 = u64::MAX;

/// Remembers how far each segment was read.
#[derive(Debug)]
pub struct AuditFollower {
    directory: PathBuf,
    filter: RecordFilter,
    offsets: HashMap<String, u64>,
}

impl AuditFollower {
    /// Starts at the present end of every segment, so [`AuditFollower::poll_records`] returns what is written
    /// from now on. Create it before calling [`read_log`](super::read_log), so that nothing falls between the
    /// two.
    ///
    /// # Errors
    /// If the directory can't be read.
    /// When the directory cannot be read.
    pub fn new(directory: &Path, filter: RecordFilter) -> io::Result<Self> {
        let mut offsets = HashMap::new();
        for name in list_segments(directory)? {
            let file = match open_segment(&directory.join(&name)) {
                Err(error) if error.is_missing() || error.is_not_a_file() => continue,
                other => other?,
            };
            offsets.insert(name, whole_lines_length(file)?);
        }
        Ok(Self { directory: directory.to_owned(), filter, offsets })
    }

    /// Returns the records written since the last call, in order of time and without the filter's limit. An
    /// unfinished line is returned once it is whole. All records are in memory at once, so long-running
    /// callers that may not grow use [`AuditFollower::visit_new`].
    ///
    /// # Errors
    /// If a segment can't be read.
    pub fn poll_records(&mut self) -> io::Result<Vec<SegmentRecord>> {
        let mut entries = Vec::new();
        self.visit_new(|entry| entries.push(entry))?;
        entries.sort_by_key(|entry| entry.record.at);
        Ok(entries)
    }

    /// Passes each record written since the last call to `give`, segment after segment, each in the order of
    /// writing.
    ///
    /// # Errors
    /// If a segment can't be read. Records passed before the error aren't passed again.
    pub fn visit_new(&mut self, mut give: impl FnMut(SegmentRecord)) -> io::Result<()> {
        let names = list_segments(&self.directory)?;
        let is_there: HashSet<&String> = names.iter().collect();
        // Removed segments would otherwise stay in the map as long as the follower runs.
        self.offsets.retain(|name, _| is_there.contains(name));
        for name in names {
            let offset = self.offsets.entry(name.clone()).or_default();
            if *offset == UNREADABLE_OFFSET {
                continue;
            }
            let mut file = match open_segment(&self.directory.join(&name)) {
                // Removed since, for its age, or a thing that verification reports.
                Err(error) if error.is_missing() || error.is_not_a_file() => continue,
                other => other?,
            };
            while let Some(lines) = read_whole_lines(&mut file, offset)? {
                let found = lines.split(|byte| *byte == b'\n').filter_map(|line| parse_record(&name, line));
                found.filter(|entry| self.filter.matches(&entry.record)).for_each(&mut give);
            }
        }
        Ok(())
    }
}

/// Returns whole lines from `offset` on, about a chunk at most, and moves `offset` behind them.
fn read_whole_lines(file: &mut RegularFile, offset: &mut u64) -> io::Result<Option<Vec<u8>>> {
    // Ends with a whole line, with the end of the file, or with a line that is longer than any record. Until
    // then the chunk doubles.
    let mut most = CHUNK_BYTES;
    loop {
        file.seek(SeekFrom::Start(*offset))?;
        let mut bytes = Vec::new();
        let read = file.take(most).read_to_end(&mut bytes)? as u64;
        if let Some(end) = memchr::memrchr(b'\n', &bytes) {
            bytes.truncate(end + 1);
            *offset += bytes.len() as u64;
            return Ok(Some(bytes));
        }
        if read < most {
            return Ok(None);
        }
        if most > MAX_LINE_BYTES {
            *offset = UNREADABLE_OFFSET;
            return Ok(None);
        }
        most *= 2;
    }
}

/// The length of a file up to and including its last `\n`.
fn whole_lines_length(mut file: RegularFile) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = Vec::new();
    // Backward in chunks: usually the last one has a line's end, and the rest of a large file isn't read.
    while end > 0 {
        if length - end > MAX_LINE_BYTES {
            return Ok(UNREADABLE_OFFSET);
        }
        let start = end.saturating_sub(64 << 10);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.by_ref().take(end - start).read_to_end(&mut chunk)?;
        if let Some(last) = memchr::memrchr(b'\n', &chunk) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
