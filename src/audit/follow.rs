//! Reading on while processes write: `logs --follow`.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::lines::{MAX_LINE_BYTES, open_segment};
use super::reader::{list_segments, parse_record};
use super::{RecordFilter, SegmentRecord};
use crate::files::RegularFile;

/// How much of one segment is read at a time.
const CHUNK_BYTES: u64 = 256 << 10;
/// The offset of a file with a line that is too long for a record: it is not read any more.
const UNREADABLE_OFFSET: u64 = u64::MAX;

/// Remembers how far each segment was read.
#[derive(Debug)]
pub struct AuditFollower {
    directory: PathBuf,
    filter: RecordFilter,
    offsets: HashMap<String, u64>,
}

impl AuditFollower {
    /// Begins at the present end of every segment: [`AuditFollower::poll_records`] gives what is written from now on.
    /// Make it before [`read_log`](super::read_log), so that nothing is missed between the two.
    ///
    /// # Errors
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

    /// What was written since the last time, in the order of time; the filter's limit does not count here.
    /// A line that is not whole yet is given once it is. It is all in memory at once: what follows for long, and may
    /// not grow with what is written, uses [`AuditFollower::visit_new`].
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn poll_records(&mut self) -> io::Result<Vec<SegmentRecord>> {
        let mut entries = Vec::new();
        self.visit_new(|entry| entries.push(entry))?;
        entries.sort_by_key(|entry| entry.record.at);
        Ok(entries)
    }

    /// Gives what was written since the last time one by one, segment after segment; in each the order of writing
    /// stays.
    ///
    /// # Errors
    /// When a segment cannot be read. What was given before that is not given again.
    pub fn visit_new(&mut self, mut give: impl FnMut(SegmentRecord)) -> io::Result<()> {
        let names = list_segments(&self.directory)?;
        let is_there: HashSet<&String> = names.iter().collect();
        self.offsets.retain(|name, _| is_there.contains(name));
        for name in names {
            let offset = self.offsets.entry(name.clone()).or_default();
            if *offset == UNREADABLE_OFFSET {
                continue;
            }
            let mut file = match open_segment(&self.directory.join(&name)) {
                // Removed since, by its age, or something that the verification tells of.
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

/// The whole lines from `offset` on, up to about a chunk; it stands behind them afterwards.
fn read_whole_lines(file: &mut RegularFile, offset: &mut u64) -> io::Result<Option<Vec<u8>>> {
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

/// The length of a file up to and with its last `\n`.
fn whole_lines_length(mut file: RegularFile) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = Vec::new();
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
