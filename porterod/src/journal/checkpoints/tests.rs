use std::fs;
use std::path::Path;

use portero::audit::{self, AuditEvent, AuditWriter, RecordFilter, verify_with_checkpoints};
use portero::clock::{Clock as _, TestClock};
use portero::notice::NoticeEntry;
use tempfile::TempDir;

use super::*;
use crate::journal::outbox::{NoticesAfter, Outbox};
use crate::store::Store;

/// A daemon's journal and a session's segment beside it.
struct CheckpointFixture {
    directory: TempDir,
    clock: Arc<TestClock>,
    session: AuditWriter,
    heads: Arc<AuditCheckpoints>,
}

impl CheckpointFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let session = AuditWriter::open(&directory.path().join("audit"), "session", clock.now()).unwrap();
        let heads = open_checkpoints(directory.path(), &clock);
        Self { directory, clock, session, heads }
    }

    fn write_records(&self, records: u64) {
        let event = || AuditEvent::Process { program: "session".to_owned(), what: "works".to_owned() };
        for _ in 0..records {
            let at = self.clock.now().wall;
            self.session
                .append(&AuditRecord { at, session: None, principal: None, address: None, event: event() })
                .unwrap();
        }
    }

    fn keep_lines(&self, lines: usize) {
        let text = fs::read_to_string(self.session.path()).unwrap();
        let kept: String = text.split_inclusive('\n').take(lines).collect();
        fs::write(self.session.path(), kept).unwrap();
    }

    fn session_checkpoint(&self) -> Option<SegmentCheckpoint> {
        let name = self.session.checkpoint().segment;
        self.heads.list_checkpoints().unwrap().into_iter().find(|head| head.segment == name)
    }

    fn recorded_alarms(&self) -> Vec<String> {
        let log = audit::read_log(&self.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let alarms = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, .. } if act == "alarm" => Some(about),
            _ => None,
        });
        alarms.collect()
    }

    /// How many alarms people were told.
    fn count_notices(&self) -> usize {
        let NoticesAfter::Entries(entries) =
            Outbox::new(Arc::clone(&self.heads.journal)).entries_after(0).unwrap()
        else {
            panic!("removed")
        };
        let is_alarm =
            |entry: &NoticeEntry| matches!(entry.notice, Notice::Alarm { alarm: AlarmKind::Audit, .. });
        entries.iter().filter(|entry| is_alarm(entry)).count()
    }

    fn verifies(&self) -> bool {
        verify_with_checkpoints(&self.directory.path().join("audit"), &self.heads.list_checkpoints().unwrap())
            .unwrap()
            .is_intact()
    }
}

fn open_checkpoints(directory: &Path, clock: &Arc<TestClock>) -> Arc<AuditCheckpoints> {
    let own = Arc::new(AuditWriter::open(&directory.join("audit"), "daemon", clock.now()).unwrap());
    let barrier = own.clone();
    let store = Store::open(&directory.join("portero.db"), None, Box::new(move || barrier.sync())).unwrap();
    AuditCheckpoints::new(
        Journal::new(store, own, Arc::default(), Arc::clone(clock) as _),
        directory.join("audit"),
    )
}

#[tokio::test]
async fn every_segment_is_known_after_a_look_even_if_its_process_says_nothing() {
    let place = CheckpointFixture::new();
    place.write_records(3);
    place.heads.scan_segments().await.unwrap();
    assert_eq!(place.session_checkpoint().unwrap(), place.session.checkpoint());
    assert_eq!(place.heads.list_checkpoints().unwrap().len(), 2, "the daemon's own too");
    place.write_records(2);
    place.heads.scan_segments().await.unwrap();
    assert_eq!(place.session_checkpoint().unwrap().seq, 6);
    assert!(place.verifies() && place.recorded_alarms().is_empty());
}

#[tokio::test]
async fn a_change_keeps_the_daemons_own_head() {
    let place = CheckpointFixture::new();
    let journal = &place.heads.journal;
    let record = journal.act_record("grant", "3", true, None);
    journal.change(AuditMode::Required, move |_| Ok(((), vec![record.clone()]))).await.unwrap();
    assert_eq!(place.heads.list_checkpoints().unwrap()[0].seq, 2);
    journal.record_act("deny", "x", true, None).await.unwrap();
    journal.save_checkpoint().await.unwrap();
    assert_eq!(place.heads.list_checkpoints().unwrap()[0].seq, 3);
}

#[tokio::test]
async fn what_a_session_says_is_kept_once_its_file_shows_it() {
    let place = CheckpointFixture::new();
    place.write_records(1);
    place.heads.accept_checkpoint(place.session.checkpoint()).await.unwrap();
    assert_eq!(place.session_checkpoint().unwrap(), place.session.checkpoint());
    let before = place.session.checkpoint();
    place.write_records(1);
    place.heads.accept_checkpoint(before).await.unwrap();
    assert_eq!(place.session_checkpoint().unwrap().seq, 3, "old news does not hide what is there");
    assert!(place.recorded_alarms().is_empty());
}

#[tokio::test]
async fn a_session_whose_records_were_cut_off_before_anybody_looked_raises_the_alarm_once() {
    let place = CheckpointFixture::new();
    place.write_records(4);
    place.keep_lines(2);
    place.heads.accept_checkpoint(place.session.checkpoint()).await.unwrap();
    place.heads.accept_checkpoint(place.session.checkpoint()).await.unwrap();
    place.heads.scan_segments().await.unwrap();
    let alarms = place.recorded_alarms();
    assert!(alarms.len() == 1 && alarms[0].contains("5 records, and 2 are there"), "{alarms:?}");
    assert!(!place.verifies());
}

#[tokio::test]
async fn cutting_removing_and_writing_anew_raise_the_alarm_at_the_next_look() {
    for how in ["cut", "remove", "anew"] {
        let place = CheckpointFixture::new();
        place.write_records(4);
        place.heads.scan_segments().await.unwrap();
        let known = place.session_checkpoint().unwrap();
        match how {
            "cut" => place.keep_lines(3),
            "remove" => fs::remove_file(place.session.path()).unwrap(),
            _ => fs::write(place.session.path(), "x\n".repeat(50_000)).unwrap(),
        }
        assert!(!place.verifies(), "{how}");
        // A lie about where it stands does not help.
        place
            .heads
            .accept_checkpoint(SegmentCheckpoint { seq: 1, length: 1, ..known.clone() })
            .await
            .unwrap();
        place.heads.scan_segments().await.unwrap();
        assert_eq!(place.recorded_alarms().len(), 1, "{how}");
        assert_eq!(place.count_notices(), 1, "{how}");
        assert_eq!(place.session_checkpoint().unwrap().seq, known.seq, "{how}");
        assert!(!place.verifies(), "{how}");
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let place = CheckpointFixture::new();
    let head = SegmentCheckpoint { segment: "../portero.jsonl".to_owned(), ..place.session.checkpoint() };
    assert!(matches!(place.heads.accept_checkpoint(head).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn what_is_known_outlives_the_daemon() {
    let CheckpointFixture { directory, clock, session, heads } = CheckpointFixture::new();
    heads.scan_segments().await.unwrap();
    heads.journal.store().close();
    drop(heads);
    let place =
        CheckpointFixture { heads: open_checkpoints(directory.path(), &clock), directory, clock, session };
    assert_eq!(place.session_checkpoint().unwrap(), place.session.checkpoint());
    place.keep_lines(0);
    assert!(!place.verifies());
}

#[tokio::test]
async fn the_end_of_a_full_file_that_is_cut_before_anybody_looked_raises_the_alarm() {
    for how in ["cut", "remove"] {
        let place = CheckpointFixture::new();
        place.session.set_max_segment_bytes(1_000);
        place.heads.scan_segments().await.unwrap();
        let full = place.session.path();
        place.write_records(20);
        assert_ne!(place.session.path(), full);
        match how {
            "cut" => {
                let text = fs::read_to_string(&full).unwrap();
                let kept: String = text.split_inclusive('\n').take(2).collect();
                fs::write(&full, kept).unwrap();
            }
            _ => fs::remove_file(&full).unwrap(),
        }
        place.heads.scan_segments().await.unwrap();
        let alarms = place.recorded_alarms();
        let name = full.file_name().unwrap().to_str().unwrap();
        assert!(alarms.len() == 1 && alarms[0].contains(name), "{how}: {alarms:?}");
        assert!(!place.verifies());
    }
}

#[tokio::test]
async fn a_file_that_came_and_went_between_two_looks_is_missed_when_the_next_one_names_it() {
    let place = CheckpointFixture::new();
    place.session.set_max_segment_bytes(1_000);
    place.heads.scan_segments().await.unwrap();
    let first = place.session.path();
    while place.session.path() == first {
        place.write_records(1);
    }
    let second = place.session.path();
    while place.session.path() == second {
        place.write_records(1);
    }
    fs::remove_file(&second).unwrap();
    place.heads.scan_segments().await.unwrap();
    let alarms = place.recorded_alarms();
    assert!(alarms.len() == 1 && alarms[0].contains("missing"), "{alarms:?}");
}

#[tokio::test]
async fn files_that_go_on_after_others_raise_no_alarm() {
    let place = CheckpointFixture::new();
    place.session.set_max_segment_bytes(1_000);
    for _ in 0..5 {
        place.write_records(7);
        place.heads.scan_segments().await.unwrap();
        place.heads.accept_checkpoint(place.session.checkpoint()).await.unwrap();
    }
    assert!(place.verifies() && place.recorded_alarms().is_empty(), "{:?}", place.recorded_alarms());
    assert!(place.heads.list_checkpoints().unwrap().len() > 5);
}

fn append_intent(place: &CheckpointFixture, call: u64) {
    let tool = "mail/send".parse().unwrap();
    let event = AuditEvent::Intent { call, tool, reason: "rule".to_owned(), task: None, arguments: None };
    let at = place.clock.now().wall;
    place.session.append(&AuditRecord { at, session: None, principal: None, address: None, event }).unwrap();
}

fn interrupted_calls(directory: &Path) -> Vec<u64> {
    let log = audit::read_log(&directory.join("audit"), &RecordFilter::default()).unwrap();
    let closed = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        AuditEvent::Interrupted { call, .. } => Some(call),
        _ => None,
    });
    closed.collect()
}

#[tokio::test]
async fn calls_of_a_session_that_is_gone_are_closed_once_and_those_of_one_that_lives_are_not() {
    let place = CheckpointFixture::new();
    (1..=3).for_each(|call| append_intent(&place, call));
    place.heads.scan_segments().await.unwrap();
    place.heads.record_interrupted_calls().await.unwrap();
    assert!(interrupted_calls(place.directory.path()).is_empty(), "it may only have lost its connection");
    let CheckpointFixture { directory, session, heads, clock } = place;
    drop(session);
    for _ in 0..3 {
        heads.scan_segments().await.unwrap();
        heads.record_interrupted_calls().await.unwrap();
        assert_eq!(interrupted_calls(directory.path()), [1, 2, 3]);
    }
    drop(heads);
    let heads = open_checkpoints(directory.path(), &clock);
    heads.scan_segments().await.unwrap();
    heads.record_interrupted_calls().await.unwrap();
    assert_eq!(interrupted_calls(directory.path()), [1, 2, 3], "another daemon does not do it again");
}

#[tokio::test]
async fn what_could_not_be_committed_is_closed_once_all_the_same() {
    let place = CheckpointFixture::new();
    (1..=2).for_each(|call| append_intent(&place, call));
    let CheckpointFixture { directory, session, heads, clock: _clock } = place;
    drop(session);
    heads.scan_segments().await.unwrap();
    let store = heads.journal.store();
    let block =
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON checkpoints WHEN NEW.segment LIKE '%' AND NEW.seq > 2
                 AND OLD.settled = 0 BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    store
        .write(crate::store::Durability::StoreSynced, move |store| Ok(store.execute_batch(block)?))
        .await
        .unwrap();
    assert!(heads.record_interrupted_calls().await.is_err());
    let free = "DROP TRIGGER full";
    store
        .write(crate::store::Durability::StoreSynced, move |store| Ok(store.execute_batch(free)?))
        .await
        .unwrap();
    heads.record_interrupted_calls().await.unwrap();
    assert_eq!(interrupted_calls(directory.path()), [1, 2]);
}
