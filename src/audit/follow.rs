//! Reading on while processes write: `logs --follow`.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::lines::{MAX_LINE_BYTES, open_segment};
use super::reader::{parse, segments};
use super::{Entry, Filter};
use crate::files::RegularFile;

/// How much of one segment is read at a time.
const CHUNK: u64 = 256 << 10;
/// The offset of a file with a line that is too long for a record: it is not read any more.
const NO_SEGMENT: u64 = u64::MAX;

/// Remembers how far each segment was read.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    filter: Filter,
    offsets: HashMap<String, u64>,
}

impl Follower {
    /// Begins at the present end of every segment: [`Follower::poll`] gives what is written from now on.
    /// Make it before [`read`](super::read), so that nothing is missed between the two.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(directory: &Path, filter: Filter) -> io::Result<Self> {
        let mut offsets = HashMap::new();
        for name in segments(directory)? {
            let file = match open_segment(&directory.join(&name)) {
                Err(error) if error.is_missing() || error.is_no_file() => continue,
                other => other?,
            };
            offsets.insert(name, whole_lines(file)?);
        }
        Ok(Self { directory: directory.to_owned(), filter, offsets })
    }

    /// What was written since the last time, in the order of time; the filter's limit does not count here.
    /// A line that is not whole yet is given once it is. It is all in memory at once: what follows for long, and may
    /// not grow with what is written, uses [`Follower::visit`].
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(|entry| entries.push(entry))?;
        entries.sort_by_key(|entry| entry.record.at);
        Ok(entries)
    }

    /// Gives what was written since the last time one by one, segment after segment; in each the order of writing
    /// stays.
    ///
    /// # Errors
    /// When a segment cannot be read. What was given before that is not given again.
    pub fn visit(&mut self, mut give: impl FnMut(Entry)) -> io::Result<()> {
        let names = segments(&self.directory)?;
        let is_there: HashSet<&String> = names.iter().collect();
        self.offsets.retain(|name, _| is_there.contains(name));
        for name in names {
            let offset = self.offsets.entry(name.clone()).or_default();
            if *offset == NO_SEGMENT {
                continue;
            }
            let mut file = match open_segment(&self.directory.join(&name)) {
                // Removed since, by its age, or something that the verification tells of.
                Err(error) if error.is_missing() || error.is_no_file() => continue,
                other => other?,
            };
            while let Some(lines) = next_lines(&mut file, offset)? {
                let found = lines.split(|byte| *byte == b'\n').filter_map(|line| parse(&name, line));
                found.filter(|entry| self.filter.wants(&entry.record)).for_each(&mut give);
            }
        }
        Ok(())
    }
}

/// The whole lines from `offset` on, up to about a chunk; it stands behind them afterwards.
fn next_lines(file: &mut RegularFile, offset: &mut u64) -> io::Result<Option<Vec<u8>>> {
    let mut most = CHUNK;
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
            *offset = NO_SEGMENT;
            return Ok(None);
        }
        most *= 2;
    }
}

/// The length of a file up to and with its last `\n`.
fn whole_lines(mut file: RegularFile) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        if length - end > MAX_LINE_BYTES {
            return Ok(NO_SEGMENT);
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
