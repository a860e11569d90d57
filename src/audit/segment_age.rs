//! The age of a segment, which decides when it is removed.
//!
//! Only times in the chain count. The file's own time can make a segment younger, but never older, so nothing
//! vanishes because a file's time was set.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::disk::{is_held, sync_parent_directory};
use super::lines::{SegmentLine, SegmentLines, open_segment};
use super::reader::parse_record;
use super::{CheckpointError, SegmentCheckpoint};

/// The age of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentAge {
    /// A process writes to it.
    InUse,
    /// It is complete.
    Ended {
        /// Its last record.
        head: SegmentCheckpoint,
        /// The time of its last write.
        newest: Timestamp,
    },
}

impl SegmentAge {
    /// Follows the whole chain of the segment in `directory`, which must come through `known`.
    ///
    /// # Errors
    /// [`CheckpointError::Changed`] if the chain doesn't hold, [`CheckpointError::Io`] if the file can't be
    /// read.
    pub fn from_segment(directory: &Path, known: &SegmentCheckpoint) -> Result<Self, CheckpointError> {
        let path = directory.join(&known.segment);
        let first = SegmentCheckpoint::before_first(&known.segment)
            .ok_or_else(|| CheckpointError::Changed("that is no name of a segment".to_owned()))?;
        match is_held(&path) {
            Ok(true) => return Ok(Self::InUse),
            Ok(false) => {}
            // A file that is gone, or is none, is a change and no failure. Following its chain reports it.
            Err(error) if error.is_missing() || error.is_not_a_file() => {}
            Err(error) => return Err(CheckpointError::Io(error.into())),
        }
        let head = first.advance(directory, Some(known))?;
        Ok(Self::Ended { head, newest: newest_time(&path)? })
    }
}

/// The latest time in the file, or of the file.
fn newest_time(path: &Path) -> io::Result<Timestamp> {
    let file = open_segment(path)?;
    let written = file.metadata()?.modified()?;
    let mut newest = Timestamp::try_from(written).map_err(io::Error::other)?;
    let mut lines = SegmentLines::new(file);
    while let Some(line) = lines.next()? {
        if let SegmentLine::Whole(line) = line
            && let Some(entry) = parse_record("", line)
        {
            newest = newest.max(entry.record.at);
        }
    }
    Ok(newest)
}

/// When a segment began, by its name. `None` if the name has no time.
#[must_use]
pub fn segment_start_time(segment: &str) -> Option<Timestamp> {
    let (time, _) = segment.split_once('Z')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%S.%f", time).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Removes the files of these segments, durably. Missing ones are ignored.
///
/// # Errors
/// If one can't be removed.
pub fn remove_segments(directory: &Path, segments: &[String]) -> io::Result<()> {
    for segment in segments {
        match fs::remove_file(directory.join(segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Any segment's path names the directory that is synced.
    segments.first().map_or(Ok(()), |segment| sync_parent_directory(&directory.join(segment)))
}

/// The size of the audit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditExtent {
    /// The number of segments.
    pub segments: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// When the oldest began.
    pub oldest: Option<Timestamp>,
}

impl AuditExtent {
    /// Measures the segments in `directory`.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn measure(directory: &Path) -> io::Result<Self> {
        let mut extent = Self::default();
        for name in super::list_segments(directory)? {
            let Ok(file) = fs::symlink_metadata(directory.join(&name)) else { continue };
            extent.segments += 1;
            extent.bytes += file.len();
            extent.oldest = extent.oldest.into_iter().chain(segment_start_time(&name)).min();
        }
        Ok(extent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AuditRecord, AuditWriter};
    use super::*;
    use crate::clock::Moment;

    fn segment(directory: &Path, at: &str) -> AuditWriter {
        let wall = at.parse().unwrap();
        AuditWriter::open(directory, "test", Moment { wall, boot: std::time::Duration::ZERO }).unwrap()
    }

    fn set_time(path: &Path, at: &str) {
        let at: Timestamp = at.parse().unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(at.into()).unwrap();
    }

    #[test]
    fn the_name_tells_when_a_segment_began() {
        let directory = tempfile::tempdir().unwrap();
        let head = segment(directory.path(), "2026-11-20T08:00:00.123456Z").checkpoint();
        assert_eq!(segment_start_time(&head.segment), "2026-11-20T08:00:00.123456Z".parse().ok());
        assert_eq!((segment_start_time("x.jsonl"), segment_start_time("2026Z.jsonl")), (None, None));
    }

    #[test]
    fn a_segment_that_is_written_to_has_no_age_yet() {
        let directory = tempfile::tempdir().unwrap();
        let open = segment(directory.path(), "2020-01-01T00:00:00Z");
        let head = open.checkpoint();
        assert_eq!(SegmentAge::from_segment(directory.path(), &head).unwrap(), SegmentAge::InUse);
        drop(open);
        assert!(matches!(
            SegmentAge::from_segment(directory.path(), &head).unwrap(),
            SegmentAge::Ended { .. }
        ));
    }

    #[test]
    fn neither_the_files_time_nor_a_record_that_claims_to_be_old_makes_a_segment_older() {
        let directory = tempfile::tempdir().unwrap();
        let open = segment(directory.path(), "2026-11-20T08:00:00Z");
        let event = super::super::AuditEvent::Process { program: "x".into(), what: "y".into() };
        let at = "2019-01-01T00:00:00Z".parse().unwrap();
        open.append(&AuditRecord { at, session: None, principal: None, address: None, event }).unwrap();
        let (path, head) = (open.path(), open.checkpoint());
        drop(open);
        set_time(&path, "2019-01-01T00:00:00Z");
        let age = SegmentAge::from_segment(directory.path(), &head).unwrap();
        let newest = "2026-11-20T08:00:00Z".parse().unwrap();
        assert_eq!(age, SegmentAge::Ended { head, newest });
        set_time(&path, "2026-12-01T00:00:00Z");
        let SegmentAge::Ended { newest, .. } =
            SegmentAge::from_segment(directory.path(), &open_head(&path)).unwrap()
        else {
            panic!()
        };
        assert_eq!(newest, "2026-12-01T00:00:00Z".parse().unwrap());
    }

    fn open_head(path: &Path) -> SegmentCheckpoint {
        SegmentCheckpoint::before_first(path.file_name().unwrap().to_str().unwrap()).unwrap()
    }

    #[test]
    fn what_was_changed_anywhere_or_is_gone_has_no_age() {
        let directory = tempfile::tempdir().unwrap();
        let open = segment(directory.path(), "2026-11-20T08:00:00Z");
        let (path, head) = (open.path(), open.checkpoint());
        drop(open);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("started", "begun..")).unwrap();
        assert!(matches!(
            SegmentAge::from_segment(directory.path(), &head),
            Err(CheckpointError::Changed(_))
        ));
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            SegmentAge::from_segment(directory.path(), &head),
            Err(CheckpointError::Changed(_))
        ));
    }

    #[test]
    fn the_extent_counts_every_segment() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(AuditExtent::measure(&directory.path().join("none")).unwrap(), AuditExtent::default());
        let one = segment(directory.path(), "2026-11-20T08:00:00Z");
        let two = segment(directory.path(), "2026-11-19T08:00:00Z");
        let extent = AuditExtent::measure(directory.path()).unwrap();
        assert_eq!(extent.bytes, one.checkpoint().length + two.checkpoint().length);
        assert_eq!((extent.segments, extent.oldest), (2, "2026-11-19T08:00:00Z".parse().ok()));
        let names = [one.checkpoint().segment, two.checkpoint().segment];
        drop((one, two));
        remove_segments(directory.path(), &names).unwrap();
        remove_segments(directory.path(), &names).unwrap();
        assert_eq!(AuditExtent::measure(directory.path()).unwrap(), AuditExtent::default());
    }
}
