use std::sync::atomic::{AtomicBool, Ordering};

use portero::audit::{self, Filter};
use portero::clock::TestClock;
use tempfile::TempDir;

use super::*;

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
        Self { journal: Journal::new(store, audit, clock), directory, full }
    }

    fn next_id(&self) -> i64 {
        self.journal
            .store()
            .read(|store| Ok(store.query_row("SELECT next_id FROM meta", [], |row| row.get(0))?))
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
        .change(Weight::Strict, |_| Err::<((), _), _>(StoreError::Refused("no".to_owned())))
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
