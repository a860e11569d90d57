//! Whatever stands in a segment's place, the others are read and verified.

use std::fs::{self, File};
use std::time::Duration;

use super::super::{
    Age, Backwards, Event, Extent, Filter, Follower, Found, Head, HeadError, Record, Segment, State, read,
    verify, verify_against,
};
use super::*;
use crate::clock::Moment;

const AT: &str = "2026-11-20T08:00:00Z";

fn record(what: &str) -> Record {
    let event = Event::Process { program: "x".into(), what: what.into() };
    Record { at: AT.parse().unwrap(), session: None, principal: None, event }
}

/// A directory with one good segment of three records, whose process has ended, and how far that came.
fn audit() -> (tempfile::TempDir, Head) {
    let directory = tempfile::tempdir().unwrap();
    let moment = Moment { wall: AT.parse().unwrap(), boot: Duration::ZERO };
    let segment = Segment::open(directory.path(), "test", moment).unwrap();
    segment.append(&record("one")).unwrap();
    segment.append(&record("two")).unwrap();
    let head = segment.head();
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
    let (directory, head) = audit();
    let odd = put_odd_things(directory.path(), &head.segment);
    let verdict = verify(directory.path()).unwrap();
    assert!(!verdict.holds());
    for (name, problem) in &odd {
        let report = verdict.segments.iter().find(|report| report.segment == *name).unwrap();
        assert_eq!(
            (report.state, report.broken.as_ref().unwrap().problem.as_str()),
            (State::Broken, *problem)
        );
    }
    let good = verdict.segments.iter().find(|report| report.segment == head.segment).unwrap();
    assert_eq!((good.state, good.good), (State::Holds, head.seq));
    assert_eq!(verdict.segments.len(), odd.len() + 1);
}

#[cfg(unix)]
#[test]
fn a_segment_that_was_replaced_by_something_else_is_a_change_for_its_head_and_its_age() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (directory, head) = audit();
    let path = directory.path().join(&head.segment);
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let is_told = |error: HeadError| assert_eq!(error.to_string(), "it is a named pipe, not a file");
    is_told(head.advance(directory.path(), None).unwrap_err());
    is_told(Age::of(directory.path(), &head).unwrap_err());
    let verdict = verify_against(directory.path(), &[head]).unwrap();
    assert_eq!((verdict.segments.len(), verdict.segments[0].state), (1, State::Broken));
}

#[cfg(unix)]
#[test]
fn the_other_segments_are_read_forwards_backwards_and_on() {
    let (directory, head) = audit();
    let odd = put_odd_things(directory.path(), &head.segment);
    let log = read(directory.path(), &Filter::default()).unwrap();
    assert_eq!(log.entries.len() as u64, head.seq);
    let unreadable: Vec<_> = log.unreadable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unreadable, odd.iter().map(|(name, _)| *name).collect::<Vec<_>>());

    let mut backwards = Backwards::new(directory.path(), Filter::default(), None).unwrap();
    let mut found = 0;
    loop {
        match backwards.step().unwrap() {
            Found::Entry(_) => found += 1,
            Found::Enough => {}
            Found::End => break,
        }
    }
    assert_eq!(found, head.seq);

    let mut follower = Follower::new(directory.path(), Filter::default()).unwrap();
    let moment = Moment { wall: AT.parse().unwrap(), boot: Duration::ZERO };
    let later = Segment::open(directory.path(), "test", moment).unwrap();
    later.append(&record("three")).unwrap();
    assert_eq!(follower.poll().unwrap().len() as u64, later.head().seq);
    assert!(follower.poll().unwrap().is_empty());
    assert!(Extent::of(directory.path()).is_ok());
}

#[test]
fn a_line_is_read_up_to_the_limit_and_what_follows_one_that_is_longer_is_not() {
    let longest = usize::try_from(MAX_LINE_BYTES).unwrap();
    let mut text = vec![b'x'; longest];
    text.extend_from_slice(b"\ny");
    let mut lines = SegmentLines::new(&text[..]);
    assert!(matches!(lines.next().unwrap(), Some(Line::Whole(line)) if line.len() == longest));
    assert_eq!(lines.next().unwrap(), Some(Line::Torn));
    assert_eq!(lines.next().unwrap(), None);
    text.insert(0, b'x');
    let mut lines = SegmentLines::new(&text[..]);
    assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
    assert_eq!(lines.next().unwrap(), None);
}
