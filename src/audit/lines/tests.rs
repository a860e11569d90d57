//! Whatever is in a segment's place, the others are read and verified.

use std::fs::{self, File};
use std::time::Duration;

use super::super::{
    AuditEvent, AuditExtent, AuditFollower, AuditRecord, AuditWriter, CheckpointError, RecordFilter,
    ReverseRead, ReverseReader, SegmentAge, SegmentCheckpoint, SegmentState, read_log, verify,
    verify_with_checkpoints,
};
use super::*;
use crate::clock::Moment;

const RECORD_TIME: &str = "2026-11-20T08:00:00Z";

fn record(what: &str) -> AuditRecord {
    let event = AuditEvent::Process { program: "x".into(), what: what.into() };
    AuditRecord { at: RECORD_TIME.parse().unwrap(), session: None, principal: None, address: None, event }
}

/// A directory with one good segment of three records, whose process has ended, and how far that came.
fn audit_with_segment() -> (tempfile::TempDir, SegmentCheckpoint) {
    let directory = tempfile::tempdir().unwrap();
    let moment = Moment { wall: RECORD_TIME.parse().unwrap(), boot: Duration::ZERO };
    let segment = AuditWriter::open(directory.path(), "test", moment).unwrap();
    segment.append(&record("one")).unwrap();
    segment.append(&record("two")).unwrap();
    let head = segment.checkpoint();
    (directory, head)
}

/// Names of segments in whose place something else stands, with what is said of each.
#[cfg(unix)]
fn put_odd_things(directory: &Path, good: &str) -> Vec<(&'static str, &'static str)> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let at = |name: &str| directory.join(name);
    mknodat(CWD, at("0pipe.jsonl"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(at("1directory.jsonl")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("2socket.jsonl")).unwrap());
    std::os::unix::fs::symlink("/dev/zero", at("3device.jsonl")).unwrap();
    std::os::unix::fs::symlink(at(good), at("4link.jsonl")).unwrap();
    File::create(at("5sparse.jsonl")).and_then(|file| file.set_len(10 << 30)).unwrap();
    vec![
        ("0pipe.jsonl", "it is a named pipe, not a file"),
        ("1directory.jsonl", "it is a directory, not a file"),
        ("2socket.jsonl", "it is a socket, not a file"),
        ("3device.jsonl", "it is a link, not a file"),
        ("4link.jsonl", "it is a link, not a file"),
        ("5sparse.jsonl", "it is too long for a record"),
    ]
}

#[cfg(unix)]
#[test]
fn what_is_no_segment_is_broken_for_its_name_and_the_rest_is_verified() {
    let (directory, head) = audit_with_segment();
    let odd = put_odd_things(directory.path(), &head.segment);
    let verdict = verify(directory.path()).unwrap();
    assert!(!verdict.is_intact());
    for (name, problem) in &odd {
        let report = verdict.segments.iter().find(|report| report.segment == *name).unwrap();
        assert_eq!(
            (report.state, report.broken.as_ref().unwrap().problem.as_str()),
            (SegmentState::Broken, *problem)
        );
    }
    let good = verdict.segments.iter().find(|report| report.segment == head.segment).unwrap();
    assert_eq!((good.state, good.good), (SegmentState::Holds, head.seq));
    assert_eq!(verdict.segments.len(), odd.len() + 1);
}

#[cfg(unix)]
#[test]
fn a_segment_that_was_replaced_by_something_else_is_a_change_for_its_head_and_its_age() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (directory, head) = audit_with_segment();
    let path = directory.path().join(&head.segment);
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let is_told = |error: CheckpointError| assert_eq!(error.to_string(), "it is a named pipe, not a file");
    is_told(head.advance(directory.path(), None).unwrap_err());
    is_told(SegmentAge::from_segment(directory.path(), &head).unwrap_err());
    let verdict = verify_with_checkpoints(directory.path(), &[head]).unwrap();
    assert_eq!((verdict.segments.len(), verdict.segments[0].state), (1, SegmentState::Broken));
}

#[cfg(unix)]
#[test]
fn the_other_segments_are_read_forwards_backwards_and_on() {
    let (directory, head) = audit_with_segment();
    let odd = put_odd_things(directory.path(), &head.segment);
    let log = read_log(directory.path(), &RecordFilter::default()).unwrap();
    assert_eq!(log.entries.len() as u64, head.seq);
    let unreadable: Vec<_> = log.unreadable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unreadable, odd.iter().map(|(name, _)| *name).collect::<Vec<_>>());

    let mut backwards = ReverseReader::new(directory.path(), RecordFilter::default(), None).unwrap();
    let mut found = 0;
    loop {
        match backwards.read_next().unwrap() {
            ReverseRead::Record(_) => found += 1,
            ReverseRead::BudgetSpent => {}
            ReverseRead::End => break,
        }
    }
    assert_eq!(found, head.seq);

    let mut follower = AuditFollower::new(directory.path(), RecordFilter::default()).unwrap();
    let moment = Moment { wall: RECORD_TIME.parse().unwrap(), boot: Duration::ZERO };
    let later = AuditWriter::open(directory.path(), "test", moment).unwrap();
    later.append(&record("three")).unwrap();
    assert_eq!(follower.poll_records().unwrap().len() as u64, later.checkpoint().seq);
    assert!(follower.poll_records().unwrap().is_empty());
    assert!(AuditExtent::measure(directory.path()).is_ok());
}

#[test]
fn a_line_is_read_up_to_the_limit_and_what_follows_one_that_is_longer_is_not() {
    let longest = usize::try_from(MAX_LINE_BYTES).unwrap();
    let mut text = vec![b'x'; longest];
    text.extend_from_slice(b"\ny");
    let mut lines = SegmentLines::new(&text[..]);
    assert!(matches!(lines.next().unwrap(), Some(SegmentLine::Whole(line)) if line.len() == longest));
    assert_eq!(lines.next().unwrap(), Some(SegmentLine::Torn));
    assert_eq!(lines.next().unwrap(), None);
    text.insert(0, b'x');
    let mut lines = SegmentLines::new(&text[..]);
    assert_eq!(lines.next().unwrap(), Some(SegmentLine::TooLong));
    assert_eq!(lines.next().unwrap(), None);
}
