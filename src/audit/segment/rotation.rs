//! What is full goes on, also on a disk that fails.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::{
    AuditEvent, AuditWriter, Disk, PreviousSegment, RecordFilter, SegmentFile, SegmentStart, SegmentState,
    SystemDisk, list_segments, read_log, verify,
};
use super::tests::{call_numbers, moment, outcome_record, start_moment};

#[path = "faulty.rs"]
mod faulty;
use faulty::{DiskFault, FaultyDisk};

/// Room for a few records in each file.
const SMALL_SEGMENT_BYTES: u64 = 1_000;

fn open_on_faulty_disk(directory: &Path) -> (AuditWriter, FaultyDisk) {
    let disk = FaultyDisk::default();
    let segment = AuditWriter::open_on(Arc::new(disk.clone()), directory, "test", start_moment()).unwrap();
    segment.set_max_segment_bytes(SMALL_SEGMENT_BYTES);
    (segment, disk)
}

fn call_record(number: u64) -> super::super::AuditRecord {
    outcome_record("2026-11-20T08:00:01Z", "github/list", number)
}

fn append_calls(segment: &AuditWriter, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| segment.append(&call_record(number)).unwrap());
}

fn read_calls(directory: &Path) -> Vec<u64> {
    let log = read_log(directory, &RecordFilter::default()).unwrap();
    assert!(log.unreadable.is_empty(), "{:?}", log.unreadable);
    call_numbers(&log.entries)
}

/// What verifying says, one line each that does not hold.
fn verify_problems(directory: &Path) -> Vec<String> {
    let reports = verify(directory).unwrap().segments;
    reports.into_iter().filter_map(|report| report.broken.map(|broken| broken.problem)).collect()
}

#[test]
fn what_is_full_goes_on_in_another_file_and_nothing_is_lost_or_reordered() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open_on_faulty_disk(directory.path());
    append_calls(&segment, 1..=100);
    let names = list_segments(directory.path()).unwrap();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(read_calls(directory.path()), (1..=100).collect::<Vec<_>>());
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.is_intact(), "{verdict:?}");
    for (former, next) in verdict.segments.iter().zip(&verdict.segments[1..]) {
        assert_eq!(next.continues.as_ref(), Some(&former.segment));
        let said = PreviousSegment {
            name: former.segment.clone(),
            seq: former.good,
            hash: former.head.clone(),
            fault: false,
        };
        assert_eq!(
            SegmentStart::read_start(directory.path(), &next.segment).unwrap(),
            SegmentStart::Continues(said)
        );
    }
    assert_eq!(segment.checkpoint().segment, *names.last().unwrap());
    let longest = names.iter().map(|name| fs::metadata(directory.path().join(name)).unwrap().len()).max();
    assert!(longest.unwrap() < SMALL_SEGMENT_BYTES + 500, "{longest:?}");
}

#[test]
fn many_threads_write_on_across_files() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open_on_faulty_disk(directory.path());
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let segment = &segment;
            scope.spawn(move || append_calls(segment, (0..100).map(|number| thread * 1000 + number)));
        }
    });
    let found = read_calls(directory.path());
    assert_eq!(found.len(), 800);
    for thread in 0..8_u64 {
        let own: Vec<_> = found.iter().filter(|number| **number / 1000 == thread).collect();
        assert!(own.is_sorted(), "{thread}: {own:?}");
    }
    assert_eq!(verify_problems(directory.path()), [] as [&str; 0]);
}

#[test]
fn the_order_of_writing_stays_across_files_even_where_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open_on_faulty_disk(directory.path());
    for number in 1..=40 {
        let at = format!("2026-11-{:02}T08:00:00Z", 41 - number.max(12));
        segment.append(&outcome_record(&at, "github/list", number)).unwrap();
    }
    assert_eq!(read_calls(directory.path()), (1..=40).collect::<Vec<_>>());
    let server = Some("github".parse().unwrap());
    let newest = RecordFilter { limit: Some(3), server, ..RecordFilter::default() };
    assert_eq!(call_numbers(&read_log(directory.path(), &newest).unwrap().entries), [38, 39, 40]);
}

#[test]
fn a_file_that_is_gone_from_the_middle_or_the_beginning_is_missed_without_any_head() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open_on_faulty_disk(directory.path());
    append_calls(&segment, 1..=20);
    let names = list_segments(directory.path()).unwrap();
    for gone in &names[..names.len() - 1] {
        let path = directory.path().join(gone);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let verdict = verify(directory.path()).unwrap();
        let report = verdict.segments.iter().find(|report| report.segment == *gone).unwrap();
        assert_eq!(report.state, SegmentState::Missing);
        assert!(report.broken.as_ref().unwrap().problem.contains("records were in it"));
        fs::write(path, bytes).unwrap();
        assert!(verify(directory.path()).unwrap().is_intact());
    }
}

#[test]
fn a_full_file_that_is_cut_or_goes_on_or_is_another_is_found_without_any_head() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open_on_faulty_disk(directory.path());
    let path = segment.path();
    append_calls(&segment, [1]);
    let short = fs::read_to_string(&path).unwrap();
    append_calls(&segment, 2..=20);
    let whole = fs::read_to_string(&path).unwrap();
    assert!(list_segments(directory.path()).unwrap().len() > 1);

    fs::write(&path, &short).unwrap();
    assert!(verify_problems(directory.path())[0].contains("it was cut off here"));

    // Whoever knows the format can add a line whose hash is right.
    let mut link = super::super::chain::ChainLink::before_first(path.file_name().unwrap().to_str().unwrap());
    for line in whole.lines() {
        link = super::super::chain::verify_line(line.as_bytes(), &link).unwrap();
    }
    let mut longer = whole.clone().into_bytes();
    super::super::chain::write_chained_line(&mut longer, &link, &call_record(99)).unwrap();
    fs::write(&path, &longer).unwrap();
    assert!(verify_problems(directory.path())[0].contains("added after it was full"));

    let mut other = short.into_bytes();
    let mut link = super::super::chain::ChainLink::before_first(path.file_name().unwrap().to_str().unwrap());
    for line in other.clone().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        link = super::super::chain::verify_line(line, &link).unwrap();
    }
    while link.seq < whole.lines().count() as u64 {
        link = super::super::chain::write_chained_line(&mut other, &link, &call_record(99)).unwrap();
    }
    fs::write(&path, &other).unwrap();
    assert!(verify_problems(directory.path())[0].contains("rewritten"));
}

#[test]
fn where_no_other_file_can_be_begun_the_full_one_grows_until_one_can() {
    let (directory, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let blocked = BlockedDisk(aside.path().join("stop"));
    let segment =
        AuditWriter::open_on(Arc::new(blocked.clone()), directory.path(), "test", start_moment()).unwrap();
    segment.set_max_segment_bytes(SMALL_SEGMENT_BYTES);
    let first = segment.path();
    blocked.block();
    append_calls(&segment, 1..=50);
    assert_eq!(segment.path(), first, "no other could be made");
    blocked.unblock();
    let mut number = 50;
    while segment.path() == first {
        number += 1;
        append_calls(&segment, [number]);
        assert!(number < 2_000, "it never tried again");
    }
    assert_eq!(read_calls(directory.path()), (1..=number).collect::<Vec<_>>());
    assert_eq!(verify_problems(directory.path()), [] as [&str; 0]);
}

/// A disk that makes no new file while there is one in its way.
#[derive(Debug, Clone)]
struct BlockedDisk(std::path::PathBuf);

impl BlockedDisk {
    fn block(&self) {
        fs::write(&self.0, "").unwrap();
    }

    fn unblock(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

impl Disk for BlockedDisk {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn SegmentFile>> {
        match self.0.exists() {
            true => Err(std::io::ErrorKind::PermissionDenied.into()),
            false => SystemDisk.create(path),
        }
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_name(&self, path: &Path) -> std::io::Result<()> {
        SystemDisk.sync_name(path)
    }
}

/// Every operation fails once, and then several in a row, in every way: what was said to be written is there,
/// once and in order, what was said to fail is not, and the chain holds.
#[test]
fn on_a_disk_that_fails_anywhere_what_is_said_is_true() {
    for fault in DiskFault::ALL {
        for length in [1, 2, 5] {
            let whole = FaultRun::new(fault, u64::MAX..u64::MAX).operation_count;
            assert!(whole > 40, "{whole} operations are no run");
            for first in 2..whole {
                let run = FaultRun::new(fault, first..first + length);
                run.assert_consistent(&format!("{fault:?} at {first} for {length}"));
            }
        }
    }
}

struct FaultRun {
    directory: tempfile::TempDir,
    written: Vec<u64>,
    /// Said to be on the disk.
    durable: Vec<u64>,
    /// Appended, and then not synced: they may be there or not.
    unknown: Vec<u64>,
    operation_count: u64,
}

impl FaultRun {
    fn new(fault: DiskFault, which: std::ops::Range<u64>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (segment, disk) = open_on_faulty_disk(directory.path());
        disk.fail_range(fault, which);
        let mut run = Self {
            directory,
            written: Vec::new(),
            durable: Vec::new(),
            unknown: Vec::new(),
            operation_count: 0,
        };
        for number in 1..=24 {
            if number % 3 != 0 {
                run.written.extend(segment.append(&call_record(number)).is_ok().then_some(number));
                continue;
            }
            let before = segment.checkpoint();
            match segment.append_durable(&call_record(number)) {
                Ok(()) => run.durable.push(number),
                Err(_) if segment.checkpoint() == before => {}
                Err(_) => run.unknown.push(number),
            }
        }
        disk.heal();
        segment.append_durable(&call_record(25)).unwrap();
        run.durable.push(25);
        run.operation_count = disk.operation_count();
        run
    }

    fn assert_consistent(&self, how: &str) {
        let found = read_calls(self.directory.path());
        let mut said: Vec<u64> = [&self.written[..], &self.durable].concat();
        said.sort_unstable();
        let certain: Vec<u64> =
            found.iter().copied().filter(|number| !self.unknown.contains(number)).collect();
        assert_eq!(certain, said, "{how}");
        assert!(found.is_sorted(), "{how}");
        assert_eq!(verify_problems(self.directory.path()), [] as [&str; 0], "{how}");
    }
}

#[test]
fn whoever_syncs_learns_that_an_earlier_record_may_be_lost_though_others_went_on() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open_on_faulty_disk(directory.path());
    segment.sync().unwrap();
    append_calls(&segment, [1]);
    disk.fail_from_now(DiskFault::Unsynced);
    assert!(segment.append_durable(&call_record(2)).is_err());
    disk.heal();
    segment.append_durable(&call_record(3)).unwrap();
    assert!(segment.sync().is_err(), "record 1 was in the file that could not be synced");
    segment.sync().unwrap();
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.is_intact());
    let went_on = &verdict.segments[1];
    let begin = SegmentStart::read_start(directory.path(), &went_on.segment).unwrap();
    assert!(matches!(begin, SegmentStart::Continues(PreviousSegment { fault: true, .. })), "{begin:?}");
}

#[test]
fn what_the_disk_lost_where_it_failed_is_told_as_lost_and_not_as_an_attack() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open_on_faulty_disk(directory.path());
    append_calls(&segment, [1]);
    let (path, on_disk) = (segment.path(), segment.checkpoint());
    disk.fail_from_now(DiskFault::Unsynced);
    assert!(segment.append_durable(&call_record(2)).is_err());
    disk.heal();
    append_calls(&segment, [3]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..usize::try_from(on_disk.length).unwrap()]).unwrap();
    let verdict =
        super::super::verify_with_checkpoints(directory.path(), std::slice::from_ref(&on_disk)).unwrap();
    assert!(verdict.is_intact() && verdict.segments[0].state == SegmentState::Torn, "{verdict:?}");
    // What was known to be on the disk cannot have been lost so.
    fs::write(&path, "").unwrap();
    let verdict = super::super::verify_with_checkpoints(directory.path(), &[on_disk]).unwrap();
    assert!(!verdict.is_intact());
}

#[test]
fn records_that_belong_together_are_all_written_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open_on_faulty_disk(directory.path());
    let before = segment.checkpoint();
    disk.fail_range(DiskFault::Broken, disk.operation_count()..disk.operation_count() + 1);
    assert!(segment.append_all(&[call_record(1), call_record(2), call_record(3)]).is_err());
    assert_eq!(segment.checkpoint(), before);
    segment.append_all(&[call_record(4), call_record(5)]).unwrap();
    segment.append_all(&[]).unwrap();
    assert_eq!(read_calls(directory.path()), [4, 5]);
    assert_eq!(verify_problems(directory.path()), [] as [&str; 0]);
}

#[test]
fn a_full_segment_costs_a_record_nothing_until_then() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let segment =
        AuditWriter::open_on(Arc::new(disk.clone()), directory.path(), "test", start_moment()).unwrap();
    let before = disk.operation_count();
    append_calls(&segment, 1..=1_000);
    assert_eq!(disk.operation_count() - before, 1_000, "one write a record, and nothing else");
    assert_eq!(list_segments(directory.path()).unwrap().len(), 1);
    let later = moment("2026-11-21T08:00:00Z");
    assert!(matches!(
        read_log(directory.path(), &RecordFilter { since: Some(later.wall), ..RecordFilter::default() })
            .unwrap()
            .entries[..],
        []
    ));
    assert!(matches!(
        read_log(directory.path(), &RecordFilter { limit: Some(1), ..RecordFilter::default() })
            .unwrap()
            .entries[0]
            .record
            .event,
        AuditEvent::Outcome { call: 1_000, .. }
    ));
}
