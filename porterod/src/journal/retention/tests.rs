use std::fs::{self, File};

use portero::audit::{AuditVerification, AuditWriter, RecordFilter, SegmentState as Report};
use portero::clock::{Clock, TestClock};
use portero::config::ConfigFiles;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

const DAY: Duration = Duration::from_secs(86_400);

/// A daemon's upkeep that has seen an hour of steady time.
struct RetentionFixture {
    directory: TempDir,
    clock: Arc<TestClock>,
    upkeep: Arc<AuditRetention>,
}

impl RetentionFixture {
    async fn with_retention(keep: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let upkeep = open_retention(&directory, &clock, keep);
        Self { directory, clock, upkeep }
    }

    fn audit_directory(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    /// A segment of a process that has ended, of today.
    fn ended_segment(&self) -> String {
        let segment = self.open_segment();
        let (path, name) = (segment.path(), segment.checkpoint().segment);
        drop(segment);
        // The test's clock is not the machine's.
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(self.clock.now().wall.into()).unwrap();
        name
    }

    fn open_segment(&self) -> AuditWriter {
        AuditWriter::open(&self.audit_directory(), "a session", self.clock.now()).unwrap()
    }

    /// Lets so much time pass, as it does, with a look now and then.
    async fn pass_time(&self, time: Duration) {
        let mut left = time;
        self.upkeep.heads.scan_segments().await.unwrap();
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(6 * 3600));
            self.clock.advance(step);
            self.upkeep.run_due().await.unwrap();
            left -= step;
        }
    }

    fn is_there(&self, name: &str) -> bool {
        self.audit_directory().join(name).exists()
    }

    fn head(&self, name: &str) -> SegmentCheckpoint {
        self.upkeep.heads.list_checkpoints().unwrap().into_iter().find(|head| head.segment == name).unwrap()
    }

    fn verdict(&self) -> AuditVerification {
        audit::verify_with_checkpoints(
            &self.audit_directory(),
            &self.upkeep.heads.list_checkpoints().unwrap(),
        )
        .unwrap()
    }

    fn segment_report(&self, name: &str) -> Report {
        self.verdict().segments.into_iter().find(|report| report.segment == name).unwrap().state
    }

    fn events(&self) -> Vec<AuditEvent> {
        let log = audit::read_log(&self.audit_directory(), &RecordFilter::default()).unwrap();
        log.entries.into_iter().map(|entry| entry.record.event).collect()
    }

    fn removals(&self) -> Vec<String> {
        let removed = |event| match event {
            AuditEvent::Removed { segment, .. } => Some(segment),
            _ => None,
        };
        self.events().into_iter().filter_map(removed).collect()
    }

    fn alarms(&self) -> usize {
        self.events()
            .iter()
            .filter(|event| matches!(event, AuditEvent::Act { act, .. } if act == "alarm"))
            .count()
    }
}

fn open_retention(directory: &TempDir, clock: &Arc<TestClock>, keep: &str) -> Arc<AuditRetention> {
    let audit = directory.path().join("audit");
    let own = Arc::new(AuditWriter::open(&audit, "daemon", clock.now()).unwrap());
    let barrier = own.clone();
    let path = directory.path().join("portero.db");
    let store = Store::open(&path, None, Box::new(move || barrier.sync())).unwrap();
    let journal = Journal::new(store, own, Arc::default(), Arc::clone(clock) as _);
    let text = format!(r#"{{"audit":{{"keep":"{keep}"}}}}"#);
    let files = ConfigFiles { portero: Some(text), ..ConfigFiles::default() };
    let config = portero::config::read_config(&files, &|_| None).0.unwrap();
    AuditRetention::new(AuditCheckpoints::new(journal, audit), Arc::new(ArcSwap::from_pointee(config)))
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_is_told_as_removed() {
    let place = RetentionFixture::with_retention("30d").await;
    let old = place.ended_segment();
    place.pass_time(20 * DAY).await;
    let young = place.ended_segment();
    place.pass_time(9 * DAY).await;
    assert!(place.is_there(&old), "29 days are not 30");
    place.pass_time(2 * DAY).await;
    assert!(!place.is_there(&old) && place.is_there(&young));
    assert_eq!(place.removals(), std::slice::from_ref(&old));
    assert_eq!((place.segment_report(&old), place.segment_report(&young)), (Report::Removed, Report::Holds));
    assert!(place.verdict().is_intact() && place.alarms() == 0);
    assert!(place.head(&old).removed.is_some());
    place.pass_time(10 * DAY).await;
    assert_eq!(place.removals().len(), 1, "once");
}

#[tokio::test]
async fn what_is_kept_for_good_stays() {
    let place = RetentionFixture::with_retention("forever").await;
    let old = place.ended_segment();
    place.pass_time(30 * DAY).await;
    place.clock.advance(4000 * DAY);
    place.pass_time(2 * DAY).await;
    assert!(place.is_there(&old) && place.removals().is_empty());
}

#[tokio::test]
async fn the_segment_of_a_living_process_stays_however_old() {
    let place = RetentionFixture::with_retention("7d").await;
    let living = place.open_segment();
    File::options()
        .append(true)
        .open(living.path())
        .unwrap()
        .set_modified(place.clock.now().wall.into())
        .unwrap();
    let name = living.checkpoint().segment;
    place.pass_time(20 * DAY).await;
    assert!(place.is_there(&name) && place.removals().is_empty());
    drop(living);
    place.pass_time(DAY).await;
    assert!(!place.is_there(&name));
}

#[tokio::test]
async fn what_goes_on_after_a_removed_file_still_holds() {
    let place = RetentionFixture::with_retention("7d").await;
    let living = place.open_segment();
    living.set_max_segment_bytes(1);
    let first = living.path();
    let event = AuditEvent::Process { program: "a session".to_owned(), what: "works".to_owned() };
    place.clock.advance(Duration::from_secs(1));
    let at = place.clock.now().wall;
    living.append_durable(&AuditRecord { at, session: None, principal: None, address: None, event }).unwrap();
    File::options().append(true).open(&first).unwrap().set_modified(at.into()).unwrap();
    let second = living.checkpoint().segment;
    place.pass_time(10 * DAY).await;
    assert!(!first.exists() && place.is_there(&second));
    assert!(place.verdict().is_intact() && place.alarms() == 0, "{:?}", place.verdict());
    // Without the mark it is missed.
    let heads: Vec<SegmentCheckpoint> = place.upkeep.heads.list_checkpoints().unwrap();
    let unmarked: Vec<SegmentCheckpoint> =
        heads.into_iter().map(|head| SegmentCheckpoint { removed: None, ..head }).collect();
    assert!(!audit::verify_with_checkpoints(&place.audit_directory(), &unmarked).unwrap().is_intact());
}

#[tokio::test]
async fn a_segment_that_somebody_else_removed_is_missing_and_raises_the_alarm() {
    let place = RetentionFixture::with_retention("30d").await;
    let (gone, kept) = (place.ended_segment(), place.ended_segment());
    place.upkeep.heads.scan_segments().await.unwrap();
    fs::remove_file(place.audit_directory().join(&gone)).unwrap();
    place.pass_time(40 * DAY).await;
    assert_eq!(
        (place.segment_report(&gone), place.segment_report(&kept)),
        (Report::Missing, Report::Removed)
    );
    assert!(!place.verdict().is_intact() && place.alarms() == 1);
    assert_eq!(place.removals(), [kept], "age is no excuse for what was gone before");
}

#[tokio::test]
async fn what_was_changed_stays_as_evidence() {
    let place = RetentionFixture::with_retention("30d").await;
    let changed = place.ended_segment();
    place.upkeep.heads.scan_segments().await.unwrap();
    let path = place.audit_directory().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass_time(40 * DAY).await;
    assert!(place.is_there(&changed) && place.removals().is_empty());
    assert_eq!((place.segment_report(&changed), place.alarms()), (Report::Broken, 1));
}

#[tokio::test]
async fn a_change_in_the_middle_is_found_within_a_day_though_nobody_verifies() {
    let place = RetentionFixture::with_retention("365d").await;
    let changed = place.ended_segment();
    place.pass_time(DAY).await;
    assert!(place.upkeep.last_verified().is_some() && place.alarms() == 0);
    let path = place.audit_directory().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass_time(DAY + DAY).await;
    assert_eq!(place.alarms(), 1);
    place.pass_time(3 * DAY).await;
    assert_eq!(place.alarms(), 1, "once");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ahead_removes_nothing_until_it_has_gone_well_for_an_hour() {
    let place = RetentionFixture::with_retention("30d").await;
    let old = place.ended_segment();
    place.pass_time(DAY).await;
    place.clock.set_wall("2040-01-01T00:00:00Z".parse().unwrap());
    place.upkeep.run_due().await.unwrap();
    assert!(place.is_there(&old));
    place.clock.set_wall("2026-11-22T08:00:00Z".parse().unwrap());
    place.pass_time(DAY).await;
    assert!(place.is_there(&old) && place.removals().is_empty());
}

#[tokio::test]
async fn a_daemon_that_has_just_started_removes_nothing() {
    let place = RetentionFixture::with_retention("7d").await;
    let old = place.ended_segment();
    place.upkeep.heads.scan_segments().await.unwrap();
    place.clock.advance(30 * DAY);
    place.upkeep.run_due().await.unwrap();
    assert!(place.is_there(&old));
    place.clock.advance(MIN_CLOCK_AGREEMENT);
    place.upkeep.run_due().await.unwrap();
    assert!(!place.is_there(&old));
}

#[tokio::test]
async fn a_file_whose_removal_was_cut_short_is_removed_later_and_told_once() {
    let place = RetentionFixture::with_retention("7d").await;
    let old = place.ended_segment();
    let bytes = fs::read(place.audit_directory().join(&old)).unwrap();
    place.pass_time(10 * DAY).await;
    assert!(!place.is_there(&old));
    fs::write(place.audit_directory().join(&old), bytes).unwrap();
    assert!(place.verdict().is_intact());
    place.pass_time(DAY).await;
    assert!(!place.is_there(&old) && place.removals().len() == 1 && place.alarms() == 0);
}

#[tokio::test]
async fn what_is_put_in_the_place_of_a_removed_segment_hides_no_change_of_another() {
    let place = RetentionFixture::with_retention("30d").await;
    let old = place.ended_segment();
    place.pass_time(20 * DAY).await;
    let changed = place.ended_segment();
    place.pass_time(12 * DAY).await;
    assert!(!place.is_there(&old) && place.is_there(&changed));
    fs::write(place.audit_directory().join(&old), "no record\n").unwrap();
    let path = place.audit_directory().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass_time(2 * DAY).await;
    assert_eq!((place.alarms(), place.segment_report(&changed)), (1, Report::Broken));
    assert!(!place.is_there(&old), "what lay in its place goes too");
}

#[tokio::test]
async fn a_session_that_speaks_of_a_removed_segment_changes_nothing() {
    let place = RetentionFixture::with_retention("7d").await;
    let old = place.ended_segment();
    place.pass_time(10 * DAY).await;
    let head = place.head(&old);
    let lie = SegmentCheckpoint { seq: 9, removed: None, ..head.clone() };
    assert!(matches!(place.upkeep.heads.accept_checkpoint(lie).await, Err(StoreError::Refused(_))));
    assert_eq!(place.head(&old), head);
    assert_eq!(place.alarms(), 0);
}
