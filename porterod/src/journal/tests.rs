use std::sync::atomic::{AtomicBool, Ordering};

use portero::audit::{self, RecordFilter};
use portero::clock::TestClock;
use portero::notice::NoticeEntry;
use tempfile::TempDir;

use super::*;
use crate::store::outbox::{self, NoticesAfter};

/// A journal whose audit can be made to fail when it is synced.
struct JournalFixture {
    directory: TempDir,
    journal: Arc<Journal>,
    full: Arc<AtomicBool>,
}

impl JournalFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let audit =
            Arc::new(AuditWriter::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
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

    fn recorded_acts(&self) -> Vec<String> {
        let log = audit::read_log(&self.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, .. } => Some(act),
            _ => None,
        });
        acts.collect()
    }

    async fn change_and_record(&self, weight: AuditMode, act: &str) -> Result<(), StoreError> {
        let record = self.journal.act_record(act, "", true, None);
        let change = move |store: &Connection| {
            store.execute("UPDATE meta SET next_id = next_id + 1", [])?;
            Ok(((), vec![record.clone()]))
        };
        self.journal.change(weight, change).await
    }
}

#[tokio::test]
async fn what_widens_is_undone_without_its_record_and_what_narrows_stands() {
    let failing = JournalFixture::new();
    failing.change_and_record(AuditMode::Required, "first").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    assert!(matches!(
        failing.change_and_record(AuditMode::Required, "widen").await,
        Err(StoreError::Audit(_))
    ));
    assert_eq!(failing.next_id(), 2);
    failing.change_and_record(AuditMode::BestEffort, "narrow").await.unwrap();
    assert_eq!(failing.next_id(), 3);
    assert_eq!(
        failing.recorded_acts(),
        ["first", "widen", "undo", "narrow"],
        "an undone change is said to be undone"
    );
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_no_record() {
    let failing = JournalFixture::new();
    let refused = failing
        .journal
        .change(AuditMode::Required, |_| {
            Err::<((), Vec<AuditRecord>), _>(StoreError::Refused("no".to_owned()))
        })
        .await;
    assert_eq!(refused, Err(StoreError::Refused("no".to_owned())));
    assert!(failing.recorded_acts().is_empty());
}

#[tokio::test]
async fn a_record_that_could_not_be_written_comes_before_the_next() {
    let failing = JournalFixture::new();
    failing.journal.records.keep_late([failing.journal.act_record("late", "", true, None)]);
    failing.change_and_record(AuditMode::Required, "next").await.unwrap();
    assert_eq!(failing.recorded_acts(), ["late", "next"]);
}

#[tokio::test]
async fn changes_made_at_once_all_have_their_records() {
    let failing = JournalFixture::new();
    let changes = (0..200).map(|_| failing.change_and_record(AuditMode::Required, "count"));
    let made = futures_util::future::join_all(changes).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(failing.next_id(), 201);
    assert_eq!(failing.recorded_acts().len(), 200);
}

impl JournalFixture {
    fn notice_texts(&self) -> Vec<String> {
        let NoticesAfter::Entries(entries) =
            self.journal.store().read(move |store| outbox::entries_after(store, 0, 100)).unwrap()
        else {
            panic!("removed")
        };
        let about = |entry: NoticeEntry| match entry.notice {
            Notice::Alarm { alarm: AlarmKind::Audit, .. } => "the audit fails".to_owned(),
            Notice::Alarm { about, .. } => about.into_inner(),
            other => format!("{other:?}"),
        };
        entries.into_iter().map(about).collect()
    }

    async fn change_and_notify(&self, weight: AuditMode, about: &str) -> Result<(), StoreError> {
        let record = self.journal.act_record(about, "", true, None);
        let notice = Notice::Alarm { alarm: AlarmKind::Store, about: self.journal.conceal_text(about) };
        let change = move |store: &Connection| {
            store.execute("UPDATE meta SET next_id = next_id + 1", [])?;
            Ok(((), ChangeReport::from(vec![record.clone()]).with_notices([notice.clone()])))
        };
        self.journal.change_and_notify(weight, change).await
    }

    /// Lets the store refuse every notice, or no longer.
    async fn set_notices_blocked(&self, on: bool) {
        let sql = if on {
            "CREATE TEMP TRIGGER full BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'full'); END"
        } else {
            "DROP TRIGGER full"
        };
        self.journal
            .store()
            .write(Durability::StoreSynced, move |store| Ok(store.execute_batch(sql)?))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn people_are_told_of_what_stands_and_of_nothing_that_was_undone() {
    let failing = JournalFixture::new();
    failing.change_and_notify(AuditMode::Required, "first").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    failing.change_and_notify(AuditMode::Required, "widen").await.unwrap_err();
    failing.change_and_notify(AuditMode::BestEffort, "narrow").await.unwrap();
    failing.change_and_notify(AuditMode::BestEffort, "narrow again").await.unwrap();
    assert_eq!(failing.notice_texts(), ["first", "the audit fails", "narrow", "narrow again"]);
    failing.full.store(false, Ordering::SeqCst);
    failing.change_and_notify(AuditMode::Required, "works").await.unwrap();
    failing.full.store(true, Ordering::SeqCst);
    failing.change_and_notify(AuditMode::Required, "widen").await.unwrap_err();
    assert_eq!(
        failing.notice_texts()[4..],
        ["works", "the audit fails"],
        "the alarm is raised once each time"
    );
}

#[tokio::test]
async fn what_narrows_stands_without_its_notice_which_follows_and_what_widens_does_not() {
    let failing = JournalFixture::new();
    failing.set_notices_blocked(true).await;
    failing.change_and_notify(AuditMode::BestEffort, "narrow").await.unwrap();
    failing.journal.raise_alarm(AlarmKind::Store, "alarm").await;
    failing.change_and_notify(AuditMode::Required, "widen").await.unwrap_err();
    assert_eq!(failing.next_id(), 2);
    assert!(failing.notice_texts().is_empty());
    failing.set_notices_blocked(false).await;
    failing.change_and_notify(AuditMode::Required, "next").await.unwrap();
    assert_eq!(failing.notice_texts(), ["narrow", "alarm", "next"], "in their order, and each once");
}

#[tokio::test]
async fn a_change_of_which_nobody_is_told_loses_no_notice_that_waits() {
    let failing = JournalFixture::new();
    failing.set_notices_blocked(true).await;
    failing.journal.raise_alarm(AlarmKind::Store, "alarm").await;
    failing.change_and_record(AuditMode::BestEffort, "narrow").await.unwrap();
    assert!(failing.notice_texts().is_empty());
    failing.set_notices_blocked(false).await;
    failing.change_and_record(AuditMode::BestEffort, "next").await.unwrap();
    assert_eq!(failing.notice_texts(), ["alarm"]);
}

#[tokio::test]
async fn a_late_notice_wakes_whoever_writes_it_down() {
    let failing = JournalFixture::new();
    let outbox = crate::journal::outbox::Outbox::new(Arc::clone(&failing.journal));
    failing.set_notices_blocked(true).await;
    failing.journal.raise_alarm(AlarmKind::Store, "alarm").await;
    failing.set_notices_blocked(false).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut changes = outbox.subscribe();
    let keeping = tokio::spawn(outbox.run(stop.clone()));
    let told = async {
        while failing.notice_texts().is_empty() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("told in time");
    assert_eq!(failing.notice_texts(), ["alarm"]);
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn what_people_are_told_is_concealed() {
    let failing = JournalFixture::new();
    let rule = portero::anonymize::ReplacementRule {
        fake: "Jane Roe".to_owned(),
        real: portero::secret::Secret::new("Ada Lovelace".to_owned()),
        direction: portero::anonymize::Direction::Both,
        case_sensitive: true,
        matching: None,
        label: None,
        servers: None,
    };
    failing.journal.anonymizer.store(Arc::new(Anonymizer::new(&[rule]).unwrap()));
    failing.journal.raise_alarm(AlarmKind::Store, "the file of Ada Lovelace is gone").await;
    assert_eq!(failing.notice_texts(), ["the file of Jane Roe is gone"]);
}
