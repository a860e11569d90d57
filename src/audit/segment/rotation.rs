//! What is full goes on, also on a disk that fails.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::{
    Begin, Disk, Event, Filter, Former, Lines, RealDisk, Segment, State, read, segments, verify,
};
use super::tests::{calls, moment, outcome, start};

#[path = "faulty.rs"]
mod faulty;
use faulty::{Fault, FaultyDisk};

/// Room for a few records in each file.
const LITTLE: u64 = 1_000;

fn open(directory: &Path) -> (Segment, FaultyDisk) {
    let disk = FaultyDisk::default();
    let segment = Segment::open_on(Arc::new(disk.clone()), directory, "test", start()).unwrap();
    segment.continue_after(LITTLE);
    (segment, disk)
}

fn call(number: u64) -> super::super::Record {
    outcome("2026-11-20T08:00:01Z", "github/list", number)
}

fn write(segment: &Segment, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| segment.append(&call(number)).unwrap());
}

fn read_calls(directory: &Path) -> Vec<u64> {
    let log = read(directory, &Filter::default()).unwrap();
    assert!(log.unreadable.is_empty(), "{:?}", log.unreadable);
    calls(&log.entries)
}

/// What verifying says, one line each that does not hold.
fn problems(directory: &Path) -> Vec<String> {
    let reports = verify(directory).unwrap().segments;
    reports.into_iter().filter_map(|report| report.broken.map(|broken| broken.problem)).collect()
}

#[test]
fn what_is_full_goes_on_in_another_file_and_nothing_is_lost_or_reordered() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open(directory.path());
    write(&segment, 1..=100);
    let names = segments(directory.path()).unwrap();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(read_calls(directory.path()), (1..=100).collect::<Vec<_>>());
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    for (former, next) in verdict.segments.iter().zip(&verdict.segments[1..]) {
        assert_eq!(next.continues.as_ref(), Some(&former.segment));
        let said = Former {
            name: former.segment.clone(),
            seq: former.good,
            hash: former.head.clone(),
            fault: false,
        };
        assert_eq!(Begin::of(directory.path(), &next.segment).unwrap(), Begin::After(said));
    }
    assert_eq!(segment.head().segment, *names.last().unwrap());
    let longest = names.iter().map(|name| fs::metadata(directory.path().join(name)).unwrap().len()).max();
    assert!(longest.unwrap() < LITTLE + 500, "{longest:?}");
}

#[test]
fn many_threads_write_on_across_files() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open(directory.path());
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let segment = &segment;
            scope.spawn(move || write(segment, (0..100).map(|number| thread * 1000 + number)));
        }
    });
    let found = read_calls(directory.path());
    assert_eq!(found.len(), 800);
    for thread in 0..8_u64 {
        let own: Vec<_> = found.iter().filter(|number| **number / 1000 == thread).collect();
        assert!(own.is_sorted(), "{thread}: {own:?}");
    }
    assert_eq!(problems(directory.path()), [] as [&str; 0]);
}

#[test]
fn the_order_of_writing_stays_across_files_even_where_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open(directory.path());
    for number in 1..=40 {
        let at = format!("2026-11-{:02}T08:00:00Z", 41 - number.max(12));
        segment.append(&outcome(&at, "github/list", number)).unwrap();
    }
    assert_eq!(read_calls(directory.path()), (1..=40).collect::<Vec<_>>());
    let server = Some("github".parse().unwrap());
    let newest = Filter { limit: Some(3), server, ..Filter::default() };
    assert_eq!(calls(&read(directory.path(), &newest).unwrap().entries), [38, 39, 40]);
}

#[test]
fn a_file_that_is_gone_from_the_middle_or_the_beginning_is_missed_without_any_head() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open(directory.path());
    write(&segment, 1..=20);
    let names = segments(directory.path()).unwrap();
    for gone in &names[..names.len() - 1] {
        let path = directory.path().join(gone);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let verdict = verify(directory.path()).unwrap();
        let report = verdict.segments.iter().find(|report| report.segment == *gone).unwrap();
        assert_eq!(report.state, State::Missing);
        assert!(report.broken.as_ref().unwrap().problem.contains("records were in it"));
        fs::write(path, bytes).unwrap();
        assert!(verify(directory.path()).unwrap().holds());
    }
}

#[test]
fn a_full_file_that_is_cut_or_goes_on_or_is_another_is_found_without_any_head() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = open(directory.path());
    let path = segment.path();
    write(&segment, [1]);
    let short = fs::read_to_string(&path).unwrap();
    write(&segment, 2..=20);
    let whole = fs::read_to_string(&path).unwrap();
    assert!(segments(directory.path()).unwrap().len() > 1);

    fs::write(&path, &short).unwrap();
    assert!(problems(directory.path())[0].contains("it was cut off here"));

    // Whoever knows the format can add a line whose hash is right.
    let mut link = super::super::chain::Link::first(path.file_name().unwrap().to_str().unwrap());
    for line in whole.lines() {
        link = super::super::chain::follow_line(line.as_bytes(), &link).unwrap();
    }
    let mut longer = whole.clone().into_bytes();
    super::super::chain::write_line(&mut longer, &link, &call(99)).unwrap();
    fs::write(&path, &longer).unwrap();
    assert!(problems(directory.path())[0].contains("added after it was full"));

    let mut other = short.into_bytes();
    let mut link = super::super::chain::Link::first(path.file_name().unwrap().to_str().unwrap());
    for line in other.clone().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        link = super::super::chain::follow_line(line, &link).unwrap();
    }
    while link.seq < whole.lines().count() as u64 {
        link = super::super::chain::write_line(&mut other, &link, &call(99)).unwrap();
    }
    fs::write(&path, &other).unwrap();
    assert!(problems(directory.path())[0].contains("written anew"));
}

#[test]
fn where_no_other_file_can_be_begun_the_full_one_grows_until_one_can() {
    let (directory, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let blocked = Blocked(aside.path().join("stop"));
    let segment = Segment::open_on(Arc::new(blocked.clone()), directory.path(), "test", start()).unwrap();
    segment.continue_after(LITTLE);
    let first = segment.path();
    blocked.stop();
    write(&segment, 1..=50);
    assert_eq!(segment.path(), first, "no other could be made");
    blocked.go();
    let mut number = 50;
    while segment.path() == first {
        number += 1;
        write(&segment, [number]);
        assert!(number < 2_000, "it never tried again");
    }
    assert_eq!(read_calls(directory.path()), (1..=number).collect::<Vec<_>>());
    assert_eq!(problems(directory.path()), [] as [&str; 0]);
}

/// A disk that makes no new file while there is one in its way.
#[derive(Debug, Clone)]
struct Blocked(std::path::PathBuf);

impl Blocked {
    fn stop(&self) {
        fs::write(&self.0, "").unwrap();
    }

    fn go(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

impl Disk for Blocked {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn Lines>> {
        match self.0.exists() {
            true => Err(std::io::ErrorKind::PermissionDenied.into()),
            false => RealDisk.create(path),
        }
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_name(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.sync_name(path)
    }
}

/// Every operation fails once, and then several in a row, in every way: what was said to be written is there,
/// once and in order, what was said to fail is not, and the chain holds.
#[test]
fn on_a_disk_that_fails_anywhere_what_is_said_is_true() {
    for fault in Fault::ALL {
        for length in [1, 2, 5] {
            let whole = TempRun::new(fault, u64::MAX..u64::MAX).asked;
            assert!(whole > 40, "{whole} operations are no run");
            for first in 2..whole {
                let run = TempRun::new(fault, first..first + length);
                run.is_true(&format!("{fault:?} at {first} for {length}"));
            }
        }
    }
}

struct TempRun {
    directory: tempfile::TempDir,
    written: Vec<u64>,
    /// Said to be on the disk.
    durable: Vec<u64>,
    /// Appended, and then not synced: they may be there or not.
    unknown: Vec<u64>,
    asked: u64,
}

impl TempRun {
    fn new(fault: Fault, which: std::ops::Range<u64>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (segment, disk) = open(directory.path());
        disk.fail(fault, which);
        let mut run =
            Self { directory, written: Vec::new(), durable: Vec::new(), unknown: Vec::new(), asked: 0 };
        for number in 1..=24 {
            if number % 3 != 0 {
                run.written.extend(segment.append(&call(number)).is_ok().then_some(number));
                continue;
            }
            let before = segment.head();
            match segment.append_durable(&call(number)) {
                Ok(()) => run.durable.push(number),
                Err(_) if segment.head() == before => {}
                Err(_) => run.unknown.push(number),
            }
        }
        disk.heal();
        segment.append_durable(&call(25)).unwrap();
        run.durable.push(25);
        run.asked = disk.asked();
        run
    }

    fn is_true(&self, how: &str) {
        let found = read_calls(self.directory.path());
        let mut said: Vec<u64> = [&self.written[..], &self.durable].concat();
        said.sort_unstable();
        let certain: Vec<u64> =
            found.iter().copied().filter(|number| !self.unknown.contains(number)).collect();
        assert_eq!(certain, said, "{how}");
        assert!(found.is_sorted(), "{how}");
        assert_eq!(problems(self.directory.path()), [] as [&str; 0], "{how}");
    }
}

#[test]
fn whoever_syncs_learns_that_an_earlier_record_may_be_lost_though_others_went_on() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open(directory.path());
    segment.sync().unwrap();
    write(&segment, [1]);
    disk.fail_from_now(Fault::Unsynced);
    assert!(segment.append_durable(&call(2)).is_err());
    disk.heal();
    segment.append_durable(&call(3)).unwrap();
    assert!(segment.sync().is_err(), "record 1 was in the file that could not be synced");
    segment.sync().unwrap();
    let verdict = verify(directory.path()).unwrap();
    assert!(verdict.holds());
    let went_on = &verdict.segments[1];
    let begin = Begin::of(directory.path(), &went_on.segment).unwrap();
    assert!(matches!(begin, Begin::After(Former { fault: true, .. })), "{begin:?}");
}

#[test]
fn what_the_disk_lost_where_it_failed_is_told_as_lost_and_not_as_an_attack() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open(directory.path());
    write(&segment, [1]);
    let (path, on_disk) = (segment.path(), segment.head());
    disk.fail_from_now(Fault::Unsynced);
    assert!(segment.append_durable(&call(2)).is_err());
    disk.heal();
    write(&segment, [3]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..usize::try_from(on_disk.length).unwrap()]).unwrap();
    let verdict = super::super::verify_against(directory.path(), std::slice::from_ref(&on_disk)).unwrap();
    assert!(verdict.holds() && verdict.segments[0].state == State::Torn, "{verdict:?}");
    // What was known to be on the disk cannot have been lost so.
    fs::write(&path, "").unwrap();
    let verdict = super::super::verify_against(directory.path(), &[on_disk]).unwrap();
    assert!(!verdict.holds());
}

#[test]
fn records_that_belong_together_are_all_written_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, disk) = open(directory.path());
    let before = segment.head();
    disk.fail(Fault::Broken, disk.asked()..disk.asked() + 1);
    assert!(segment.append_all(&[call(1), call(2), call(3)]).is_err());
    assert_eq!(segment.head(), before);
    segment.append_all(&[call(4), call(5)]).unwrap();
    segment.append_all(&[]).unwrap();
    assert_eq!(read_calls(directory.path()), [4, 5]);
    assert_eq!(problems(directory.path()), [] as [&str; 0]);
}

#[test]
fn a_full_segment_costs_a_record_nothing_until_then() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let segment = Segment::open_on(Arc::new(disk.clone()), directory.path(), "test", start()).unwrap();
    let before = disk.asked();
    write(&segment, 1..=1_000);
    assert_eq!(disk.asked() - before, 1_000, "one write a record, and nothing else");
    assert_eq!(segments(directory.path()).unwrap().len(), 1);
    let later = moment("2026-11-21T08:00:00Z");
    assert!(matches!(
        read(directory.path(), &Filter { since: Some(later.wall), ..Filter::default() }).unwrap().entries[..],
        []
    ));
    assert!(matches!(
        read(directory.path(), &Filter { limit: Some(1), ..Filter::default() }).unwrap().entries[0]
            .record
            .event,
        Event::Outcome { call: 1_000, .. }
    ));
}
