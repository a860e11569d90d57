use std::sync::atomic::{AtomicBool, Ordering};

use portero::audit::{self, Filter};
use portero::clock::TestClock;
use portero::notice::Entry;
use tempfile::TempDir;

use super::*;
use crate::store::outbox::{self, After};

/// A journal whose audit can be made to fail when it is synced.
struct Failing {
    directory: TempDir,
    journal: Arc<Journal>,
    full: Arc<AtomicBool>,
}

impl Failing {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let audit = Arc::new(Segment::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
        let full = Arc::new(AtomicBool::new(false));
        let says = full.clone();
        let barrier = move || match says.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("disk full")),
            false => Ok(()),
        };
        let store = Store::open(&directory.path().join("portero.db"), None, Box::new(barrier)).unwrap();
        Self { journal: Journal::new(store, audit, Arc::default(), clock), directory, full }
    }

    fn next_id(&self) -> i64 {
        self.journal
            .store()
            .read(move |store| Ok(store.query_row("SELECT next_id FROM meta", [], |row| row.get(0))?))
            .unwrap()
    }

    fn acts(&self) -> Vec<String> {
        let log = audit::read(&self.directory.path().join("audit"), &Filter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Act { act, .. } => Some(act),
            _ => None,
        });
        acts.collect()
    }

    async fn count(&self, weight: Weight, act: &str) -> Result<(), StoreError> {
        let record = self.journal.act(act, "", true, None);
        let change = move |store: &Connection| {
            store.execute("UPDATE meta SET next_id = next_id + 1", [])?;
            Ok(((), vec![record.clone()]))
        };
        self.journal.change(weight, change).await
    }
}

#[tokio::test]
async fn what_widens_is_undone_without_its_record_and_what_narrows_stands() {
    let failing = Failing::new();
    failing.count(Weight::Strict, "first").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    assert!(matches!(failing.count(Weight::Strict, "widen").await, Err(StoreError::Audit(_))));
    assert_eq!(failing.next_id(), 2);
    failing.count(Weight::Lenient, "narrow").await.unwrap();
    assert_eq!(failing.next_id(), 3);
    assert_eq!(failing.acts(), ["first", "widen", "undo", "narrow"], "an undone change is said to be undone");
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_no_record() {
    let failing = Failing::new();
    let refused = failing
        .journal
        .change(Weight::Strict, |_| Err::<((), Vec<Record>), _>(StoreError::Refused("no".to_owned())))
        .await;
    assert_eq!(refused, Err(StoreError::Refused("no".to_owned())));
    assert!(failing.acts().is_empty());
}

#[tokio::test]
async fn a_record_that_could_not_be_written_comes_before_the_next() {
    let failing = Failing::new();
    failing.journal.records.keep([failing.journal.act("late", "", true, None)]);
    failing.count(Weight::Strict, "next").await.unwrap();
    assert_eq!(failing.acts(), ["late", "next"]);
}

#[tokio::test]
async fn changes_made_at_once_all_have_their_records() {
    let failing = Failing::new();
    let changes = (0..200).map(|_| failing.count(Weight::Strict, "count"));
    let made = futures_util::future::join_all(changes).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(failing.next_id(), 201);
    assert_eq!(failing.acts().len(), 200);
}

impl Failing {
    fn told(&self) -> Vec<String> {
        let After::Entries(entries) =
            self.journal.store().read(move |store| outbox::after(store, 0, 100)).unwrap()
        else {
            panic!("removed")
        };
        let about = |entry: Entry| match entry.notice {
            Notice::Alarm { alarm: Alarm::Audit, .. } => "the audit fails".to_owned(),
            Notice::Alarm { about, .. } => about.into_inner(),
            other => format!("{other:?}"),
        };
        entries.into_iter().map(about).collect()
    }

    async fn count_and_tell(&self, weight: Weight, about: &str) -> Result<(), StoreError> {
        let record = self.journal.act(about, "", true, None);
        let notice = Notice::Alarm { alarm: Alarm::Store, about: self.journal.words(about) };
        let change = move |store: &Connection| {
            store.execute("UPDATE meta SET next_id = next_id + 1", [])?;
            Ok(((), Account::from(vec![record.clone()]).and([notice.clone()])))
        };
        self.journal.change_and_tell(weight, change).await
    }

    /// Lets the store refuse every notice, or no longer.
    async fn block_notices(&self, on: bool) {
        let sql = if on {
            "CREATE TEMP TRIGGER full BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'full'); END"
        } else {
            "DROP TRIGGER full"
        };
        self.journal.store().write(Records::None, move |store| Ok(store.execute_batch(sql)?)).await.unwrap();
    }
}

#[tokio::test]
async fn people_are_told_of_what_stands_and_of_nothing_that_was_undone() {
    let failing = Failing::new();
    failing.count_and_tell(Weight::Strict, "first").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    failing.count_and_tell(Weight::Strict, "widen").await.unwrap_err();
    failing.count_and_tell(Weight::Lenient, "narrow").await.unwrap();
    failing.count_and_tell(Weight::Lenient, "narrow again").await.unwrap();
    assert_eq!(failing.told(), ["first", "the audit fails", "narrow", "narrow again"]);
    failing.full.store(false, Ordering::SeqCst);
    failing.count_and_tell(Weight::Strict, "works").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    failing.count_and_tell(Weight::Strict, "widen").await.unwrap_err();
    assert_eq!(failing.told()[4..], ["works", "the audit fails"], "the alarm is raised once each time");
}

#[tokio::test]
async fn what_narrows_stands_without_its_notice_which_follows_and_what_widens_does_not() {
    let failing = Failing::new();
    failing.block_notices(true).await;
    failing.count_and_tell(Weight::Lenient, "narrow").await.unwrap();
    failing.journal.alarm(Alarm::Store, "alarm").await;
    failing.count_and_tell(Weight::Strict, "widen").await.unwrap_err();
    assert_eq!(failing.next_id(), 2);
    assert!(failing.told().is_empty());
    failing.block_notices(false).await;
    failing.count_and_tell(Weight::Strict, "next").await.unwrap();
    assert_eq!(failing.told(), ["narrow", "alarm", "next"], "in their order, and each once");
}

#[tokio::test]
async fn a_change_of_which_nobody_is_told_loses_no_notice_that_waits() {
    let failing = Failing::new();
    failing.block_notices(true).await;
    failing.journal.alarm(Alarm::Store, "alarm").await;
    failing.count(Weight::Lenient, "narrow").await.unwrap();
    assert!(failing.told().is_empty());
    failing.block_notices(false).await;
    failing.count(Weight::Lenient, "next").await.unwrap();
    assert_eq!(failing.told(), ["alarm"]);
}

#[tokio::test]
async fn a_late_notice_wakes_whoever_writes_it_down() {
    let failing = Failing::new();
    let outbox = crate::outbox::Outbox::new(Arc::clone(&failing.journal));
    failing.block_notices(true).await;
    failing.journal.alarm(Alarm::Store, "alarm").await;
    failing.block_notices(false).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut changes = outbox.changes();
    let keeping = tokio::spawn(outbox.run(stop.clone()));
    let told = async {
        while failing.told().is_empty() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("told in time");
    assert_eq!(failing.told(), ["alarm"]);
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn what_people_are_told_is_concealed() {
    let failing = Failing::new();
    let rule = portero::anonymize::Rule {
        fake: "Jane Roe".to_owned(),
        real: portero::secret::Secret::new("Ada Lovelace".to_owned()),
        direction: portero::anonymize::Direction::Both,
        case_sensitive: true,
        label: None,
        servers: None,
    };
    failing.journal.anonymizer.store(Arc::new(Anonymizer::new(&[rule]).unwrap()));
    failing.journal.alarm(Alarm::Store, "the file of Ada Lovelace is gone").await;
    assert_eq!(failing.told(), ["the file of Jane Roe is gone"]);
}
