//! Reading on while processes write: `logs --follow`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::reader::{parse, segments};
use super::{Entry, Filter};

/// How much of one segment is read at a time.
const CHUNK: u64 = 256 << 10;

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
            let end = whole_lines(&directory.join(&name));
            if matches!(&end, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                continue;
            }
            offsets.insert(name, end?);
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
            let mut file = match File::open(self.directory.join(&name)) {
                // Removed since, by its age.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            while let Some(lines) = next_lines(&mut file, *offset)? {
                *offset += lines.len() as u64;
                let found = lines.split(|byte| *byte == b'\n').filter_map(|line| parse(&name, line));
                found.filter(|entry| self.filter.wants(&entry.record)).for_each(&mut give);
            }
        }
        Ok(())
    }
}

/// The whole lines from `offset` on, up to about a chunk.
fn next_lines(file: &mut File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut most = CHUNK;
    loop {
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        let read = file.take(most).read_to_end(&mut bytes)? as u64;
        if let Some(end) = memchr::memrchr(b'\n', &bytes) {
            bytes.truncate(end + 1);
            return Ok(Some(bytes));
        }
        if read < most {
            return Ok(None);
        }
        most *= 2;
    }
}

/// The length of a file up to and with its last `\n`.
fn whole_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut chunk = Vec::new();
    while end > 0 {
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
