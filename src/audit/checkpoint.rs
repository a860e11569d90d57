//! How far a segment had come, kept apart from its file. Without it, whole lines cut off at the end leave no
//! trace.
//!
//! A checkpoint only advances along the chain of the file itself, from its own position. So a rewritten chain
//! is never adopted, because it doesn't continue from there.

use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::{ChainLink, verify_line};
use super::disk::sync_parent_directory;
use super::lines::{SegmentLine, SegmentLines, describe_error};
use crate::files;

/// A segment's name is about 40 bytes.
const MAX_SEGMENT_NAME_BYTES: usize = 100;

/// The position of a segment's last known record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCheckpoint {
    /// The segment's file name.
    pub segment: String,
    /// The number of its last known record; zero before the first.
    pub seq: u64,
    /// The hash of that record, in hex.
    pub hash: String,
    /// Where that record ends in the file, in bytes.
    pub length: u64,
    /// The problem that was found in the segment, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When the segment was removed for its age, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// Why a checkpoint can't advance.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file differs from what the checkpoint records, so it was changed.
    #[error("{0}")]
    Changed(String),
    /// The file can't be read or synced.
    #[error("the segment cannot be read")]
    Io(#[from] io::Error),
}

impl SegmentCheckpoint {
    /// The checkpoint before the first record. `None` if `segment` is no segment's name.
    #[must_use]
    pub fn before_first(segment: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let named = segment.len() <= MAX_SEGMENT_NAME_BYTES
            && segment.ends_with(".jsonl")
            && !segment.starts_with('.')
            && segment.chars().all(plain);
        named.then(|| Self::new(segment.to_owned(), &ChainLink::before_first(segment), 0))
    }

    pub(super) fn new(segment: String, link: &ChainLink, length: u64) -> Self {
        let hash = link.hash.to_hex().to_string();
        Self { segment, seq: link.seq, hash, length, problem: None, removed: None }
    }

    /// Follows the file in `directory` from here to its last whole record, and returns once that is on the
    /// disk. `told` is the position that the writing process reports: the file must come through it.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn advance(&self, directory: &Path, told: Option<&Self>) -> Result<Self, CheckpointError> {
        let changed = |problem: String| Err(CheckpointError::Changed(problem));
        let path = directory.join(&self.segment);
        // Opened for appending, because not every system syncs a file that is open for reading only.
        let mut file = match files::open_for_sync(&path) {
            Err(error) if error.is_missing() => {
                return changed(format!(
                    "the file is missing; {} records were in it",
                    self.expected_seq(told)
                ));
            }
            Err(error) if error.is_not_a_file() => return changed(describe_error(&error)),
            other => other.map_err(io::Error::from)?,
        };
        let long = file.metadata()?.len();
        if long < self.length {
            return changed(format!("it was cut: record {} and maybe others are missing", self.seq));
        }
        let mut head = Self { problem: None, ..self.clone() };
        if long > self.length {
            file.seek(SeekFrom::Start(self.length))?;
            self.follow_chain(&mut file, told, &mut head)?;
            // Synced before it is returned: a checkpoint must never be ahead of the disk, or a power cut would
            // look like an attack.
            file.file().sync_data()?;
            if self.seq == 0 {
                sync_parent_directory(&path)?;
            }
        }
        let most = self.expected_seq(told);
        // Also when the file didn't grow: its process may have reported more than it holds.
        if head.seq < most {
            return changed(format!("its process wrote {most} records, and {} are there", head.seq));
        }
        Ok(head)
    }

    fn expected_seq(&self, told: Option<&Self>) -> u64 {
        told.map_or(self.seq, |told| told.seq.max(self.seq))
    }

    fn follow_chain(
        &self,
        file: impl io::Read,
        told: Option<&Self>,
        head: &mut Self,
    ) -> Result<(), CheckpointError> {
        let mut link = ChainLink::from_hex(self.seq, &self.hash)
            .ok_or_else(|| CheckpointError::Changed("what is known of it is no hash".to_owned()))?;
        let mut lines = SegmentLines::new(file);
        while let Some(line) = lines.next()? {
            let whole = match line {
                SegmentLine::Whole(whole) => whole,
                // It is being written, or its process crashed.
                SegmentLine::Torn => break,
                SegmentLine::TooLong => {
                    let problem = format!("record {}: it is too long for a record", link.seq + 1);
                    return Err(CheckpointError::Changed(problem));
                }
            };
            link = verify_line(whole, &link)
                .map_err(|problem| CheckpointError::Changed(format!("record {}: {problem}", link.seq + 1)))?;
            let next = Self::new(self.segment.clone(), &link, head.length + whole.len() as u64 + 1);
            // Same number, other hash: the chain was rewritten between the process's write and this look.
            if told.is_some_and(|told| told.seq == next.seq && told.hash != next.hash) {
                let problem = format!("record {} is not what its process wrote", next.seq);
                return Err(CheckpointError::Changed(problem));
            }
            *head = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
