use std::fs::{self, OpenOptions};
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::audit::{AuditEvent, AuditRecord, AuditWriter, RecordedOutcome, read_log};
use crate::clock::Moment;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn open_writer(directory: &Path, second: i64) -> AuditWriter {
    let now = Moment { wall: at(second), boot: std::time::Duration::from_secs(1000) };
    AuditWriter::open(directory, "test", now).unwrap()
}

fn record(second: i64, tool: &str, call: u64) -> AuditRecord {
    let tool = tool.parse().unwrap();
    let event = AuditEvent::Outcome { call, tool, outcome: RecordedOutcome::Done, micros: 1 };
    AuditRecord { at: at(second), session: None, principal: None, address: None, event }
}

/// Up to so many that are wanted, and where one stands then.
fn read_page(
    directory: &Path,
    filter: &RecordFilter,
    after: Option<&ReadPosition>,
    most: usize,
) -> (Vec<SegmentRecord>, Option<ReadPosition>) {
    let mut back = ReverseReader::new(directory, filter.clone(), after).unwrap();
    let mut entries = Vec::new();
    while entries.len() < most {
        match back.read_next().unwrap() {
            ReverseRead::Record(entry) => entries.push(*entry),
            ReverseRead::BudgetSpent => {}
            ReverseRead::End => return (entries, None),
        }
    }
    // It is kept with a button, as text.
    let place = serde_json::to_string(&back.position()).unwrap();
    (entries, serde_json::from_str(&place).unwrap())
}

/// Everything, in pages of so many; `between` is done after each.
fn read_in_pages(directory: &Path, most: usize, mut between: impl FnMut()) -> Vec<SegmentRecord> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (entries, place) = read_page(directory, &RecordFilter::default(), after.as_ref(), most);
        all.extend(entries);
        let Some(place) = place else { return all };
        after = Some(place);
        between();
    }
}

fn record_places(entries: &[SegmentRecord]) -> Vec<(String, u64)> {
    entries.iter().map(|entry| (entry.segment.clone(), entry.seq)).collect()
}

#[test]
fn pages_hold_what_reading_the_whole_does_the_newest_first() {
    let directory = tempfile::tempdir().unwrap();
    let segments: Vec<_> = (0..5).map(|number| open_writer(directory.path(), number * 300)).collect();
    for second in 0..1500 {
        let segment = &segments[usize::try_from(second / 300).unwrap()];
        segment.append(&record(second, "a/b", 1)).unwrap();
        segments[0].append(&record(second, "a/c", 2)).unwrap();
    }
    let whole = read_log(directory.path(), &RecordFilter::default()).unwrap().entries;
    for most in [1, 7, 40, 5000] {
        let mut all = read_in_pages(directory.path(), most, || {});
        assert!(all.windows(2).all(|two| two[0].record.at >= two[1].record.at));
        all.reverse();
        let (mut all, mut whole) = (record_places(&all), record_places(&whole));
        all.sort_unstable();
        whole.sort_unstable();
        assert_eq!(all, whole, "{most}");
    }
}

#[test]
fn what_is_full_and_goes_on_elsewhere_is_read_back_through_all_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let segment = open_writer(directory.path(), 0);
    segment.set_max_segment_bytes(1000);
    for call in 1..=100 {
        segment.append(&record(1, "a/b", call)).unwrap();
    }
    let calls: Vec<_> = read_in_pages(directory.path(), 9, || {})
        .iter()
        .filter_map(|entry| match entry.record.event {
            AuditEvent::Outcome { call, .. } => Some(call),
            _ => None,
        })
        .collect();
    assert_eq!(calls, (1..=100).rev().collect::<Vec<_>>());
}

#[test]
fn one_page_of_very_many_records_reads_little() {
    let directory = tempfile::tempdir().unwrap();
    let segment = open_writer(directory.path(), 0);
    let records: Vec<_> = (0..20_000).map(|call| record(1, "a/b", call)).collect();
    segment.append_all(&records).unwrap();
    let (_, place) = read_page(directory.path(), &RecordFilter::default(), None, 5000);
    for after in [None, place.as_ref()] {
        let mut back = ReverseReader::new(directory.path(), RecordFilter::default(), after).unwrap();
        for _ in 0..50 {
            assert!(matches!(back.read_next().unwrap(), ReverseRead::Record(_)));
        }
        assert!(back.read <= 2 * CHUNK_BYTES, "{}", back.read);
    }
}

#[test]
fn only_what_is_wanted_is_given_and_what_is_older_is_not_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let segment = open_writer(directory.path(), 0);
    let records: Vec<_> =
        (0..20_000).map(|second| record(second, if second % 100 == 0 { "a/x" } else { "a/b" }, 1)).collect();
    segment.append_all(&records).unwrap();
    let filter = RecordFilter {
        tool: Some("a/x".parse().unwrap()),
        since: Some(at(19_500)),
        ..RecordFilter::default()
    };
    let mut back = ReverseReader::new(directory.path(), filter.clone(), None).unwrap();
    let mut found = 0;
    while let ReverseRead::Record(_) = back.read_next().unwrap() {
        found += 1;
    }
    assert_eq!(found, 5);
    assert!(back.read <= 5 * CHUNK_BYTES, "{}", back.read);
    let (entries, place) = read_page(directory.path(), &filter, None, 9);
    assert_eq!((entries.len(), place), (5, None));
}

#[test]
fn who_looks_for_what_is_rare_is_told_how_far_that_came_and_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let segment = open_writer(directory.path(), 0);
    let mut records: Vec<_> = (0..5000).map(|second| record(second, "a/b", 1)).collect();
    records[10] = record(10, "a/x", 1);
    segment.append_all(&records).unwrap();
    let filter = RecordFilter { tool: Some("a/x".parse().unwrap()), ..RecordFilter::default() };
    let (mut after, mut stops) = (None, 0);
    let found = loop {
        let mut back = ReverseReader::new(directory.path(), filter.clone(), after.as_ref()).unwrap();
        back.read_budget = 100_000;
        match back.read_next().unwrap() {
            ReverseRead::Record(entry) => break entry,
            ReverseRead::BudgetSpent => stops += 1,
            ReverseRead::End => panic!("it is there"),
        }
        let place = back.position().unwrap();
        assert!(after.is_none_or(|after: ReadPosition| place.at < after.at));
        after = Some(place);
    };
    assert_eq!(found.record.at, at(10));
    assert!(stops > 2, "{stops}");
}

#[test]
fn lines_that_are_no_records_are_counted_and_a_torn_end_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let segment = open_writer(directory.path(), 0);
    segment.append(&record(1, "a/b", 1)).unwrap();
    let mut file = OpenOptions::new().append(true).open(segment.path()).unwrap();
    file.write_all(b"no record\n").unwrap();
    let whole = fs::read_to_string(segment.path()).unwrap();
    let line = whole.lines().nth(1).unwrap();
    file.write_all(format!("{line}\n{line}").as_bytes()).unwrap();
    let mut back = ReverseReader::new(directory.path(), RecordFilter::default(), None).unwrap();
    let mut found = 0;
    while let ReverseRead::Record(_) = back.read_next().unwrap() {
        found += 1;
    }
    assert_eq!((found, back.unreadable()), (3, 1), "the first, and the same line twice");
}

#[test]
fn a_segment_that_was_removed_or_cut_meanwhile_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let segments: Vec<_> = (0..3).map(|number| open_writer(directory.path(), number)).collect();
    for call in 0..200 {
        segments.iter().for_each(|segment| segment.append(&record(10, "a/b", call)).unwrap());
    }
    let (first, place) = read_page(directory.path(), &RecordFilter::default(), None, 100);
    fs::remove_file(segments[0].path()).unwrap();
    fs::write(segments[1].path(), b"").unwrap();
    let (rest, _) = read_page(directory.path(), &RecordFilter::default(), place.as_ref(), 5000);
    let of = |entries: &[SegmentRecord], segment: &AuditWriter| {
        let name = segment.path().file_name().unwrap().to_string_lossy().into_owned();
        entries.iter().filter(|entry| entry.segment == name).count()
    };
    assert_eq!(of(&first, &segments[2]) + of(&rest, &segments[2]), 201);
    assert_eq!(of(&rest, &segments[0]) + of(&rest, &segments[1]), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the clocks did, and whatever is written meanwhile.
    #[test]
    fn nothing_is_left_out_and_nothing_comes_twice(
        written in proptest::collection::vec((0_usize..6, -50_i64..50), 0..120),
        meanwhile in proptest::collection::vec((0_usize..8, -50_i64..50), 0..60),
        most in 1_usize..12,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut segments: Vec<_> = (0..6).map(|number| open_writer(directory.path(), number * 7 - 20)).collect();
        segments[3].set_max_segment_bytes(900);
        for (call, (segment, second)) in written.iter().enumerate() {
            segments[*segment].append(&record(*second, "a/b", call as u64)).unwrap();
        }
        let before = record_places(&read_log(directory.path(), &RecordFilter::default()).unwrap().entries);
        let mut meanwhile = meanwhile.into_iter();
        let all = read_in_pages(directory.path(), most, || {
            if let Some((segment, second)) = meanwhile.next() {
                if segment >= segments.len() {
                    segments.push(open_writer(directory.path(), second));
                }
                segments[segment.min(6)].append(&record(second, "a/b", 999)).unwrap();
            }
        });
        let mut found = record_places(&all);
        // In the order of writing, the last first.
        let mut lowest = HashMap::new();
        for (segment, seq) in &found {
            let former = lowest.insert(segment.clone(), *seq);
            prop_assert!(former.is_none_or(|former| former > *seq), "{segment} {seq} after {former:?}");
        }
        found.sort_unstable();
        for name in &before {
            prop_assert!(found.binary_search(name).is_ok(), "{name:?} is left out");
        }
    }
}
