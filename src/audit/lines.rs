//! Reads the lines of a segment one by one, in bounded memory whatever the file holds.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::files::{self, FileError, RegularFile, SymlinkMode};

/// The longest line of a record. Anything longer is none, such as the zeros of a sparse file.
pub(super) const MAX_LINE_BYTES: u64 = 16 << 20;

/// Opens a segment for reading. Only a regular file can be one, so links are refused.
pub(super) fn open_segment(path: &Path) -> Result<RegularFile, FileError> {
    files::open(path, SymlinkMode::Refuse)
}

/// Describes the problem with a file in a segment's place.
pub(super) fn describe_error(error: &FileError) -> String {
    format!("it {}", error.problem())
}

/// Reads line by line.
pub(super) struct SegmentLines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    ended: bool,
}

/// The next line, or the reason why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SegmentLine<'a> {
    /// A line, without its `\n`.
    Whole(&'a [u8]),
    /// The file ends within a line: its process crashed, or is writing just now.
    Torn,
    /// More bytes than a record can have. The rest isn't read.
    TooLong,
}

impl<R: Read> SegmentLines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, from), line: Vec::new(), ended: false }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<SegmentLine<'_>>> {
        self.line.clear();
        if self.ended {
            return Ok(None);
        }
        // One byte more than allowed, so that a line of exactly the limit can still be told from a longer one.
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES + 1);
        let count = limited.read_until(b'\n', &mut self.line)? as u64;
        Ok(match self.line.strip_suffix(b"\n") {
            Some(whole) => Some(SegmentLine::Whole(whole)),
            None => {
                self.ended = true;
                match count {
                    0 => None,
                    count if count > MAX_LINE_BYTES => Some(SegmentLine::TooLong),
                    _ => Some(SegmentLine::Torn),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
