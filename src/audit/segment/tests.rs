use std::fs;
use std::path::Path;

use super::super::{
    AuditEvent, AuditFollower, AuditRecord, RecordFilter, RecordedOutcome, SegmentRecord, read_log, verify,
};
use super::AuditWriter;
use crate::clock::Moment;

pub(in crate::audit) fn moment(text: &str) -> Moment {
    Moment { wall: text.parse().unwrap(), boot: std::time::Duration::from_secs(1000) }
}

pub(in crate::audit) fn start_moment() -> Moment {
    moment("2026-11-20T08:00:00Z")
}

pub(in crate::audit) fn outcome_record(at: &str, tool: &str, call: u64) -> AuditRecord {
    AuditRecord {
        at: at.parse().unwrap(),
        session: None,
        principal: None,
        address: None,
        event: AuditEvent::Outcome {
            call,
            tool: tool.parse().unwrap(),
            outcome: RecordedOutcome::Done,
            micros: 7,
        },
    }
}

pub(in crate::audit) fn call_numbers(entries: &[SegmentRecord]) -> Vec<u64> {
    entries
        .iter()
        .filter_map(|entry| match entry.record.event {
            AuditEvent::Outcome { call, .. } => Some(call),
            _ => None,
        })
        .collect()
}

fn segment_with(directory: &Path, records: u64) -> AuditWriter {
    let segment = AuditWriter::open(directory, "test", start_moment()).unwrap();
    for call in 1..=records {
        segment.append(&outcome_record("2026-11-20T08:00:01Z", "github/list", call)).unwrap();
    }
    segment
}

#[test]
fn what_is_appended_reads_back_and_its_chain_holds() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 3);
    segment.append_durable(&outcome_record("2026-11-20T08:00:02Z", "github/list", 4)).unwrap();
    let log = read_log(directory.path(), &RecordFilter::default()).unwrap();
    assert_eq!(call_numbers(&log.entries), [1, 2, 3, 4]);
    assert_eq!(log.entries[0].seq, 1);
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.is_intact());
    assert_eq!(verdict.segments[0].good, 5);
}

#[cfg(unix)]
#[test]
fn nothing_is_appended_to_a_segment_that_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 1);
    fs::remove_file(segment.path()).unwrap();
    assert!(segment.append(&outcome_record("2026-11-20T08:00:02Z", "github/list", 2)).is_err());
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_a_segment() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(&directory.path().join("audit"), 0);
    assert_eq!(fs::metadata(segment.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let path = segment.path();
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn segments_are_merged_in_the_order_of_time_and_filtered() {
    let directory = tempfile::tempdir().unwrap();
    let one = AuditWriter::open(directory.path(), "one", start_moment()).unwrap();
    let two = AuditWriter::open(directory.path(), "two", start_moment()).unwrap();
    one.append(&outcome_record("2026-11-20T08:00:01Z", "github/list", 1)).unwrap();
    two.append(&outcome_record("2026-11-20T08:00:02Z", "mail/send", 2)).unwrap();
    one.append(&outcome_record("2026-11-20T08:00:03Z", "mail/read", 3)).unwrap();
    let all = read_log(directory.path(), &RecordFilter::default()).unwrap();
    assert_eq!(call_numbers(&all.entries), [1, 2, 3]);
    let mail = RecordFilter { server: Some("mail".parse().unwrap()), ..RecordFilter::default() };
    assert_eq!(call_numbers(&read_log(directory.path(), &mail).unwrap().entries), [2, 3]);
    let newest = RecordFilter { limit: Some(1), ..RecordFilter::default() };
    assert_eq!(call_numbers(&read_log(directory.path(), &newest).unwrap().entries), [3]);
    let middle = RecordFilter {
        since: Some("2026-11-20T08:00:02Z".parse().unwrap()),
        until: Some("2026-11-20T08:00:03Z".parse().unwrap()),
        ..RecordFilter::default()
    };
    assert_eq!(call_numbers(&read_log(directory.path(), &middle).unwrap().entries), [2]);
}

#[test]
fn a_torn_last_line_is_reported_and_does_not_hide_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 3);
    let bytes = fs::read(segment.path()).unwrap();
    fs::write(segment.path(), &bytes[..bytes.len() - 20]).unwrap();
    let log = read_log(directory.path(), &RecordFilter::default()).unwrap();
    assert_eq!(call_numbers(&log.entries), [1, 2]);
    assert_eq!(log.torn.len(), 1);
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.is_intact());
    assert!(verdict.segments[0].torn);
}

#[test]
fn every_changed_byte_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 2);
    let bytes = fs::read(segment.path()).unwrap();
    for place in 0..bytes.len() - 1 {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(segment.path(), &changed).unwrap();
        let verdict = verify(directory.path()).unwrap();
        assert!(!verdict.is_intact(), "the change of byte {place} was not found");
    }
}

#[test]
fn removed_and_reordered_lines_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 4);
    let text = fs::read_to_string(segment.path()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for order in [&[0, 1, 3, 4][..], &[1, 2, 3, 4], &[0, 2, 1, 3, 4], &[0, 1, 2, 2, 3, 4]] {
        let changed: String = order.iter().map(|line| lines[*line]).collect();
        fs::write(segment.path(), changed).unwrap();
        assert!(!verify(directory.path()).unwrap().is_intact(), "{order:?}");
    }
}

#[test]
fn a_renamed_segment_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 1);
    fs::rename(segment.path(), directory.path().join("20200101T000000Z-1-00000000.jsonl")).unwrap();
    assert!(!verify(directory.path()).unwrap().is_intact());
}

#[test]
fn a_follower_gives_whole_lines_once() {
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_with(directory.path(), 2);
    let mut follower = AuditFollower::new(directory.path(), RecordFilter::default()).unwrap();
    assert!(follower.poll_records().unwrap().is_empty());
    segment.append(&outcome_record("2026-11-20T08:00:05Z", "mail/read", 3)).unwrap();
    let later = segment_with(directory.path(), 0);
    later.append(&outcome_record("2026-11-20T08:00:06Z", "mail/read", 4)).unwrap();
    assert_eq!(call_numbers(&follower.poll_records().unwrap()), [3, 4]);
    let whole = fs::read(later.path()).unwrap();
    later.append(&outcome_record("2026-11-20T08:00:07Z", "mail/read", 5)).unwrap();
    let more = fs::read(later.path()).unwrap();
    fs::write(later.path(), &more[..whole.len() + 30]).unwrap();
    assert!(follower.poll_records().unwrap().is_empty());
    fs::write(later.path(), &more).unwrap();
    assert_eq!(call_numbers(&follower.poll_records().unwrap()), [5]);
}

#[test]
fn an_intent_of_an_older_release_is_read() {
    let older = r#"{"at":"2026-11-20T08:00:00Z","event":{"intent":{"call":1,"tool":"a/b","reason":"x"}}}"#;
    let record: AuditRecord = serde_json::from_str(older).unwrap();
    assert!(matches!(record.event, AuditEvent::Intent { task: None, arguments: None, .. }));
    assert_eq!(serde_json::to_string(&record).unwrap(), older);
}
