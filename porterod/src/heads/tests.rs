use std::fs;
use std::path::Path;

use portero::audit::{self, Event, Filter, Segment, verify_against};
use portero::clock::{Clock as _, TestClock};
use portero::notice::Entry;
use tempfile::TempDir;

use super::*;
use crate::outbox::{After, Outbox};
use crate::store::Store;

/// A daemon's journal and a session's segment beside it.
struct Place {
    directory: TempDir,
    clock: Arc<TestClock>,
    session: Segment,
    heads: Arc<Heads>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let session = Segment::open(&directory.path().join("audit"), "session", clock.now()).unwrap();
        let heads = open(directory.path(), &clock);
        Self { directory, clock, session, heads }
    }

    fn write(&self, records: u64) {
        let event = || Event::Process { program: "session".to_owned(), what: "works".to_owned() };
        for _ in 0..records {
            let at = self.clock.now().wall;
            self.session.append(&Record { at, session: None, principal: None, event: event() }).unwrap();
        }
    }

    fn cut(&self, lines: usize) {
        let text = fs::read_to_string(self.session.path()).unwrap();
        let kept: String = text.split_inclusive('\n').take(lines).collect();
        fs::write(self.session.path(), kept).unwrap();
    }

    fn known(&self) -> Option<Head> {
        let name = self.session.head().segment;
        self.heads.list().unwrap().into_iter().find(|head| head.segment == name)
    }

    fn alarms(&self) -> Vec<String> {
        let log = audit::read(&self.directory.path().join("audit"), &Filter::default()).unwrap();
        let alarms = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Act { act, about, .. } if act == "alarm" => Some(about),
            _ => None,
        });
        alarms.collect()
    }

    /// How many alarms people were told.
    fn told(&self) -> usize {
        let After::Entries(entries) = Outbox::new(Arc::clone(&self.heads.journal)).after(0).unwrap() else {
            panic!("removed")
        };
        let is_alarm = |entry: &Entry| matches!(entry.notice, Notice::Alarm { alarm: Alarm::Audit, .. });
        entries.iter().filter(|entry| is_alarm(entry)).count()
    }

    fn holds(&self) -> bool {
        verify_against(&self.directory.path().join("audit"), &self.heads.list().unwrap()).unwrap().holds()
    }
}

fn open(directory: &Path, clock: &Arc<TestClock>) -> Arc<Heads> {
    let own = Arc::new(Segment::open(&directory.join("audit"), "daemon", clock.now()).unwrap());
    let barrier = own.clone();
    let store = Store::open(&directory.join("portero.db"), None, Box::new(move || barrier.sync())).unwrap();
    Heads::new(Journal::new(store, own, Arc::default(), Arc::clone(clock) as _), directory.join("audit"))
}

#[tokio::test]
async fn every_segment_is_known_after_a_look_even_if_its_process_says_nothing() {
    let place = Place::new();
    place.write(3);
    place.heads.look().await.unwrap();
    assert_eq!(place.known().unwrap(), place.session.head());
    assert_eq!(place.heads.list().unwrap().len(), 2, "the daemon's own too");
    place.write(2);
    place.heads.look().await.unwrap();
    assert_eq!(place.known().unwrap().seq, 6);
    assert!(place.holds() && place.alarms().is_empty());
}

#[tokio::test]
async fn a_change_keeps_the_daemons_own_head() {
    let place = Place::new();
    let journal = &place.heads.journal;
    let record = journal.act("grant", "3", true, None);
    journal.change(Weight::Strict, move |_| Ok(((), vec![record.clone()]))).await.unwrap();
    assert_eq!(place.heads.list().unwrap()[0].seq, 2);
    journal.record_act("deny", "x", true, None).await.unwrap();
    journal.keep_head().await.unwrap();
    assert_eq!(place.heads.list().unwrap()[0].seq, 3);
}

#[tokio::test]
async fn what_a_session_says_is_kept_once_its_file_shows_it() {
    let place = Place::new();
    place.write(1);
    place.heads.told(place.session.head()).await.unwrap();
    assert_eq!(place.known().unwrap(), place.session.head());
    let before = place.session.head();
    place.write(1);
    place.heads.told(before).await.unwrap();
    assert_eq!(place.known().unwrap().seq, 3, "old news does not hide what is there");
    assert!(place.alarms().is_empty());
}

#[tokio::test]
async fn a_session_whose_records_were_cut_off_before_anybody_looked_raises_the_alarm_once() {
    let place = Place::new();
    place.write(4);
    place.cut(2);
    place.heads.told(place.session.head()).await.unwrap();
    place.heads.told(place.session.head()).await.unwrap();
    place.heads.look().await.unwrap();
    let alarms = place.alarms();
    assert!(alarms.len() == 1 && alarms[0].contains("5 records, and 2 are there"), "{alarms:?}");
    assert!(!place.holds());
}

#[tokio::test]
async fn cutting_removing_and_writing_anew_raise_the_alarm_at_the_next_look() {
    for how in ["cut", "remove", "anew"] {
        let place = Place::new();
        place.write(4);
        place.heads.look().await.unwrap();
        let known = place.known().unwrap();
        match how {
            "cut" => place.cut(3),
            "remove" => fs::remove_file(place.session.path()).unwrap(),
            _ => fs::write(place.session.path(), "x\n".repeat(50_000)).unwrap(),
        }
        assert!(!place.holds(), "{how}");
        // A lie about where it stands does not help.
        place.heads.told(Head { seq: 1, length: 1, ..known.clone() }).await.unwrap();
        place.heads.look().await.unwrap();
        assert_eq!(place.alarms().len(), 1, "{how}");
        assert_eq!(place.told(), 1, "{how}");
        assert_eq!(place.known().unwrap().seq, known.seq, "{how}");
        assert!(!place.holds(), "{how}");
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let place = Place::new();
    let head = Head { segment: "../portero.jsonl".to_owned(), ..place.session.head() };
    assert!(matches!(place.heads.told(head).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn what_is_known_outlives_the_daemon() {
    let Place { directory, clock, session, heads } = Place::new();
    heads.look().await.unwrap();
    heads.journal.store().close();
    drop(heads);
    let place = Place { heads: open(directory.path(), &clock), directory, clock, session };
    assert_eq!(place.known().unwrap(), place.session.head());
    place.cut(0);
    assert!(!place.holds());
}

#[tokio::test]
async fn the_end_of_a_full_file_that_is_cut_before_anybody_looked_raises_the_alarm() {
    for how in ["cut", "remove"] {
        let place = Place::new();
        place.session.continue_after(1_000);
        place.heads.look().await.unwrap();
        let full = place.session.path();
        place.write(20);
        assert_ne!(place.session.path(), full);
        match how {
            "cut" => {
                let text = fs::read_to_string(&full).unwrap();
                let kept: String = text.split_inclusive('\n').take(2).collect();
                fs::write(&full, kept).unwrap();
            }
            _ => fs::remove_file(&full).unwrap(),
        }
        place.heads.look().await.unwrap();
        let alarms = place.alarms();
        let name = full.file_name().unwrap().to_str().unwrap();
        assert!(alarms.len() == 1 && alarms[0].contains(name), "{how}: {alarms:?}");
        assert!(!place.holds());
    }
}

#[tokio::test]
async fn a_file_that_came_and_went_between_two_looks_is_missed_when_the_next_one_names_it() {
    let place = Place::new();
    place.session.continue_after(1_000);
    place.heads.look().await.unwrap();
    let first = place.session.path();
    while place.session.path() == first {
        place.write(1);
    }
    let second = place.session.path();
    while place.session.path() == second {
        place.write(1);
    }
    fs::remove_file(&second).unwrap();
    place.heads.look().await.unwrap();
    let alarms = place.alarms();
    assert!(alarms.len() == 1 && alarms[0].contains("missing"), "{alarms:?}");
}

#[tokio::test]
async fn files_that_go_on_after_others_raise_no_alarm() {
    let place = Place::new();
    place.session.continue_after(1_000);
    for _ in 0..5 {
        place.write(7);
        place.heads.look().await.unwrap();
        place.heads.told(place.session.head()).await.unwrap();
    }
    assert!(place.holds() && place.alarms().is_empty(), "{:?}", place.alarms());
    assert!(place.heads.list().unwrap().len() > 5);
}

fn intent(place: &Place, call: u64) {
    let tool = "mail/send".parse().unwrap();
    let event = Event::Intent { call, tool, reason: "rule".to_owned(), task: None, arguments: None };
    let at = place.clock.now().wall;
    place.session.append(&Record { at, session: None, principal: None, event }).unwrap();
}

fn closed(directory: &Path) -> Vec<u64> {
    let log = audit::read(&directory.join("audit"), &Filter::default()).unwrap();
    let closed = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        Event::Interrupted { call, .. } => Some(call),
        _ => None,
    });
    closed.collect()
}

#[tokio::test]
async fn calls_of_a_session_that_is_gone_are_closed_once_and_those_of_one_that_lives_are_not() {
    let place = Place::new();
    (1..=3).for_each(|call| intent(&place, call));
    place.heads.look().await.unwrap();
    place.heads.close_interrupted().await.unwrap();
    assert!(closed(place.directory.path()).is_empty(), "it may only have lost its connection");
    let Place { directory, session, heads, clock } = place;
    drop(session);
    for _ in 0..3 {
        heads.look().await.unwrap();
        heads.close_interrupted().await.unwrap();
        assert_eq!(closed(directory.path()), [1, 2, 3]);
    }
    drop(heads);
    let heads = open(directory.path(), &clock);
    heads.look().await.unwrap();
    heads.close_interrupted().await.unwrap();
    assert_eq!(closed(directory.path()), [1, 2, 3], "another daemon does not do it again");
}

#[tokio::test]
async fn what_could_not_be_committed_is_closed_once_all_the_same() {
    let place = Place::new();
    (1..=2).for_each(|call| intent(&place, call));
    let Place { directory, session, heads, clock: _clock } = place;
    drop(session);
    heads.look().await.unwrap();
    let store = heads.journal.store();
    let block = "CREATE TEMP TRIGGER full BEFORE UPDATE ON heads WHEN NEW.segment LIKE '%' AND NEW.seq > 2
                 AND OLD.settled = 0 BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    store.write(crate::store::Records::None, move |store| Ok(store.execute_batch(block)?)).await.unwrap();
    assert!(heads.close_interrupted().await.is_err());
    let free = "DROP TRIGGER full";
    store.write(crate::store::Records::None, move |store| Ok(store.execute_batch(free)?)).await.unwrap();
    heads.close_interrupted().await.unwrap();
    assert_eq!(closed(directory.path()), [1, 2]);
}
