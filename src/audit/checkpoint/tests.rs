use std::fs;

use super::super::{AuditEvent, AuditRecord, AuditWriter, verify, verify_with_checkpoints};
use super::*;
use crate::clock::Moment;

fn record(what: &str) -> AuditRecord {
    let event = AuditEvent::Process { program: "test".to_owned(), what: what.to_owned() };
    AuditRecord {
        at: "2026-11-20T08:00:01Z".parse().unwrap(),
        session: None,
        principal: None,
        address: None,
        event,
    }
}

/// A segment with this many records in it.
fn writer_with(directory: &Path, records: u64) -> AuditWriter {
    let wall = "2026-11-20T08:00:00Z".parse().unwrap();
    let segment =
        AuditWriter::open(directory, "test", Moment { wall, boot: std::time::Duration::ZERO }).unwrap();
    for number in 1..records {
        segment.append(&record(&format!("step {number}"))).unwrap();
    }
    segment
}

fn initial_checkpoint(segment: &AuditWriter) -> SegmentCheckpoint {
    SegmentCheckpoint::before_first(&segment.checkpoint().segment).unwrap()
}

/// What verifying says of the one segment: the line and the problem.
fn verify_problem(directory: &Path, heads: &[SegmentCheckpoint]) -> Option<(u64, String)> {
    let verdict = verify_with_checkpoints(directory, heads).unwrap();
    assert_eq!(verdict.segments.len(), 1);
    let broken = verdict.segments[0].broken.clone();
    assert_eq!(broken.is_none(), verdict.is_intact());
    broken.map(|broken| (broken.line, broken.problem))
}

fn keep_lines(segment: &AuditWriter, lines: usize) {
    let text = fs::read_to_string(segment.path()).unwrap();
    let kept: String = text.split_inclusive('\n').take(lines).collect();
    fs::write(segment.path(), kept).unwrap();
}

#[test]
fn a_head_follows_its_segment_step_by_step() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 3);
    let three = initial_checkpoint(&segment).advance(directory.path(), None).unwrap();
    assert_eq!(three, segment.checkpoint());
    assert_eq!(three.advance(directory.path(), None).unwrap(), three);
    segment.append(&record("more")).unwrap();
    let four = three.advance(directory.path(), Some(&segment.checkpoint())).unwrap();
    assert_eq!((four.seq, &four), (4, &segment.checkpoint()));
    assert_eq!(
        verify_problem(directory.path(), std::slice::from_ref(&three)),
        None,
        "a segment may be longer"
    );
    assert_eq!(verify_problem(directory.path(), &[four]), None);
}

#[test]
fn lines_cut_off_whole_at_the_end_are_found_by_the_head_alone() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 5);
    let head = segment.checkpoint();
    for left in (0..5).rev() {
        keep_lines(&segment, left);
        assert!(verify(directory.path()).unwrap().is_intact(), "the chain alone does not tell");
        let (line, problem) = verify_problem(directory.path(), std::slice::from_ref(&head)).unwrap();
        assert_eq!(line, left as u64 + 1);
        assert!(problem.contains(&format!("{} more records", 5 - left)), "{problem}");
        let cut = head.advance(directory.path(), None);
        assert!(matches!(cut, Err(CheckpointError::Changed(_))));
    }
}

#[test]
fn a_missing_segment_is_found_by_its_head() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 2);
    let head = segment.checkpoint();
    fs::remove_file(segment.path()).unwrap();
    assert_eq!(
        verify_problem(directory.path(), std::slice::from_ref(&head)),
        Some((1, "the file is missing; 2 records were in it".to_owned()))
    );
    let gone = head.advance(directory.path(), None);
    assert!(matches!(gone, Err(CheckpointError::Changed(problem)) if problem.contains("missing")));
}

/// Writes a chain of its own into the file: every hash in it is right.
fn rewrite_chain(segment: &AuditWriter, records: u64) {
    use super::super::chain::write_chained_line;
    let mut link = ChainLink::before_first(&segment.checkpoint().segment);
    let (mut text, mut line) = (Vec::new(), Vec::new());
    for number in 0..records {
        line.clear();
        link = write_chained_line(&mut line, &link, &record(&format!("forged {number}"))).unwrap();
        text.extend_from_slice(&line);
    }
    fs::write(segment.path(), text).unwrap();
}

#[test]
fn a_chain_written_anew_is_found_and_never_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 3);
    let head = segment.checkpoint();
    for records in [3, 4, 9] {
        rewrite_chain(&segment, records);
        assert!(verify(directory.path()).unwrap().is_intact(), "the chain alone does not tell");
        let (line, problem) = verify_problem(directory.path(), std::slice::from_ref(&head)).unwrap();
        assert_eq!(line, 3);
        assert!(problem.contains("rewritten"), "{problem}");
    }
    let adopted = head.advance(directory.path(), None);
    assert!(matches!(adopted, Err(CheckpointError::Changed(_))), "{adopted:?}");
}

#[test]
fn what_its_process_says_must_be_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 4);
    let before = initial_checkpoint(&segment).advance(directory.path(), None).unwrap();
    segment.append(&record("more")).unwrap();
    let says = segment.checkpoint();
    keep_lines(&segment, 4);
    let cut = before.advance(directory.path(), Some(&says));
    assert!(
        matches!(&cut, Err(CheckpointError::Changed(problem)) if problem.contains("5 records")),
        "{cut:?}"
    );

    let other = SegmentCheckpoint { seq: 4, hash: "0".repeat(64), ..says };
    let forged = initial_checkpoint(&segment).advance(directory.path(), Some(&other));
    assert!(
        matches!(&forged, Err(CheckpointError::Changed(problem)) if problem.contains("record 4")),
        "{forged:?}"
    );
}

#[test]
fn a_line_that_is_being_written_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 3);
    let (two, text) = (initial_checkpoint(&segment), fs::read(segment.path()).unwrap());
    fs::write(segment.path(), &text[..text.len() - 1]).unwrap();
    let head = two.advance(directory.path(), None).unwrap();
    assert_eq!(head.seq, 2);
    fs::write(segment.path(), &text).unwrap();
    assert_eq!(head.advance(directory.path(), None).unwrap(), segment.checkpoint());
}

#[test]
fn once_a_problem_was_found_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let segment = writer_with(directory.path(), 3);
    let head = SegmentCheckpoint { problem: Some("it was cut".to_owned()), ..segment.checkpoint() };
    assert_eq!(verify_problem(directory.path(), &[head]), Some((4, "it was cut".to_owned())));
}

#[test]
fn only_a_segments_name_has_a_head() {
    for name in ["../a.jsonl", "a/b.jsonl", ".jsonl", "a.json", "", "a\\b.jsonl", "C:a.jsonl"] {
        assert_eq!(SegmentCheckpoint::before_first(name), None, "{name}");
    }
    assert!(SegmentCheckpoint::before_first(&format!("{}.jsonl", "a".repeat(100))).is_none());
    assert_eq!(SegmentCheckpoint::before_first("20261120T080000.000000Z-7-00000000.jsonl").unwrap().seq, 0);
}
