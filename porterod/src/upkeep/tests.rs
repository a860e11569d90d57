use std::fs::{self, File};

use portero::audit::{Filter, Segment, State as Report, Verdict};
use portero::clock::{Clock, TestClock};
use portero::config::Files;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

const DAY: Duration = Duration::from_secs(86_400);

/// A daemon's upkeep that has seen an hour of steady time.
struct Place {
    directory: TempDir,
    clock: Arc<TestClock>,
    upkeep: Arc<Upkeep>,
}

impl Place {
    async fn keeping(keep: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let upkeep = upkeep(&directory, &clock, keep);
        Self { directory, clock, upkeep }
    }

    fn audit(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    /// A segment of a process that has ended, of today.
    fn ended(&self) -> String {
        let segment = self.living();
        let (path, name) = (segment.path(), segment.head().segment);
        drop(segment);
        // The test's clock is not the machine's.
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(self.clock.now().wall.into()).unwrap();
        name
    }

    fn living(&self) -> Segment {
        Segment::open(&self.audit(), "a session", self.clock.now()).unwrap()
    }

    /// Lets so much time pass, as it does, with a look now and then.
    async fn pass(&self, time: Duration) {
        let mut left = time;
        self.upkeep.heads.look().await.unwrap();
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(6 * 3600));
            self.clock.advance(step);
            self.upkeep.look().await.unwrap();
            left -= step;
        }
    }

    fn is_there(&self, name: &str) -> bool {
        self.audit().join(name).exists()
    }

    fn head(&self, name: &str) -> Head {
        self.upkeep.heads.list().unwrap().into_iter().find(|head| head.segment == name).unwrap()
    }

    fn verdict(&self) -> Verdict {
        audit::verify_against(&self.audit(), &self.upkeep.heads.list().unwrap()).unwrap()
    }

    fn state(&self, name: &str) -> Report {
        self.verdict().segments.into_iter().find(|report| report.segment == name).unwrap().state
    }

    fn events(&self) -> Vec<Event> {
        let log = audit::read(&self.audit(), &Filter::default()).unwrap();
        log.entries.into_iter().map(|entry| entry.record.event).collect()
    }

    fn removals(&self) -> Vec<String> {
        let removed = |event| match event {
            Event::Removed { segment, .. } => Some(segment),
            _ => None,
        };
        self.events().into_iter().filter_map(removed).collect()
    }

    fn alarms(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Act { act, .. } if act == "alarm")).count()
    }
}

fn upkeep(directory: &TempDir, clock: &Arc<TestClock>, keep: &str) -> Arc<Upkeep> {
    let audit = directory.path().join("audit");
    let own = Arc::new(Segment::open(&audit, "daemon", clock.now()).unwrap());
    let barrier = own.clone();
    let path = directory.path().join("portero.db");
    let store = Store::open(&path, None, Box::new(move || barrier.sync())).unwrap();
    let journal = Journal::new(store, own, Arc::default(), Arc::clone(clock) as _);
    let text = format!(r#"{{"audit":{{"keep":"{keep}"}}}}"#);
    let files = Files { portero: Some(text), ..Files::default() };
    let config = portero::config::read(&files, &|_| None).0.unwrap();
    Upkeep::new(Heads::new(journal, audit), Arc::new(ArcSwap::from_pointee(config)))
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_is_told_as_removed() {
    let place = Place::keeping("30d").await;
    let old = place.ended();
    place.pass(20 * DAY).await;
    let young = place.ended();
    place.pass(9 * DAY).await;
    assert!(place.is_there(&old), "29 days are not 30");
    place.pass(2 * DAY).await;
    assert!(!place.is_there(&old) && place.is_there(&young));
    assert_eq!(place.removals(), std::slice::from_ref(&old));
    assert_eq!((place.state(&old), place.state(&young)), (Report::Removed, Report::Holds));
    assert!(place.verdict().holds() && place.alarms() == 0);
    assert!(place.head(&old).removed.is_some());
    place.pass(10 * DAY).await;
    assert_eq!(place.removals().len(), 1, "once");
}

#[tokio::test]
async fn what_is_kept_for_good_stays() {
    let place = Place::keeping("forever").await;
    let old = place.ended();
    place.pass(30 * DAY).await;
    place.clock.advance(4000 * DAY);
    place.pass(2 * DAY).await;
    assert!(place.is_there(&old) && place.removals().is_empty());
}

#[tokio::test]
async fn the_segment_of_a_living_process_stays_however_old() {
    let place = Place::keeping("7d").await;
    let living = place.living();
    File::options()
        .append(true)
        .open(living.path())
        .unwrap()
        .set_modified(place.clock.now().wall.into())
        .unwrap();
    let name = living.head().segment;
    place.pass(20 * DAY).await;
    assert!(place.is_there(&name) && place.removals().is_empty());
    drop(living);
    place.pass(DAY).await;
    assert!(!place.is_there(&name));
}

#[tokio::test]
async fn what_goes_on_after_a_removed_file_still_holds() {
    let place = Place::keeping("7d").await;
    let living = place.living();
    living.continue_after(1);
    let first = living.path();
    let event = Event::Process { program: "a session".to_owned(), what: "works".to_owned() };
    place.clock.advance(Duration::from_secs(1));
    let at = place.clock.now().wall;
    living.append_durable(&Record { at, session: None, principal: None, event }).unwrap();
    File::options().append(true).open(&first).unwrap().set_modified(at.into()).unwrap();
    let second = living.head().segment;
    place.pass(10 * DAY).await;
    assert!(!first.exists() && place.is_there(&second));
    assert!(place.verdict().holds() && place.alarms() == 0, "{:?}", place.verdict());
    // Without the mark it is missed.
    let heads: Vec<Head> = place.upkeep.heads.list().unwrap();
    let unmarked: Vec<Head> = heads.into_iter().map(|head| Head { removed: None, ..head }).collect();
    assert!(!audit::verify_against(&place.audit(), &unmarked).unwrap().holds());
}

#[tokio::test]
async fn a_segment_that_somebody_else_removed_is_missing_and_raises_the_alarm() {
    let place = Place::keeping("30d").await;
    let (gone, kept) = (place.ended(), place.ended());
    place.upkeep.heads.look().await.unwrap();
    fs::remove_file(place.audit().join(&gone)).unwrap();
    place.pass(40 * DAY).await;
    assert_eq!((place.state(&gone), place.state(&kept)), (Report::Missing, Report::Removed));
    assert!(!place.verdict().holds() && place.alarms() == 1);
    assert_eq!(place.removals(), [kept], "age is no excuse for what was gone before");
}

#[tokio::test]
async fn what_was_changed_stays_as_evidence() {
    let place = Place::keeping("30d").await;
    let changed = place.ended();
    place.upkeep.heads.look().await.unwrap();
    let path = place.audit().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass(40 * DAY).await;
    assert!(place.is_there(&changed) && place.removals().is_empty());
    assert_eq!((place.state(&changed), place.alarms()), (Report::Broken, 1));
}

#[tokio::test]
async fn a_change_in_the_middle_is_found_within_a_day_though_nobody_verifies() {
    let place = Place::keeping("365d").await;
    let changed = place.ended();
    place.pass(DAY).await;
    assert!(place.upkeep.verified().is_some() && place.alarms() == 0);
    let path = place.audit().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass(DAY + DAY).await;
    assert_eq!(place.alarms(), 1);
    place.pass(3 * DAY).await;
    assert_eq!(place.alarms(), 1, "once");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ahead_removes_nothing_until_it_has_gone_well_for_an_hour() {
    let place = Place::keeping("30d").await;
    let old = place.ended();
    place.pass(DAY).await;
    place.clock.set_wall("2040-01-01T00:00:00Z".parse().unwrap());
    place.upkeep.look().await.unwrap();
    assert!(place.is_there(&old));
    place.clock.set_wall("2026-11-22T08:00:00Z".parse().unwrap());
    place.pass(DAY).await;
    assert!(place.is_there(&old) && place.removals().is_empty());
}

#[tokio::test]
async fn a_daemon_that_has_just_started_removes_nothing() {
    let place = Place::keeping("7d").await;
    let old = place.ended();
    place.upkeep.heads.look().await.unwrap();
    place.clock.advance(30 * DAY);
    place.upkeep.look().await.unwrap();
    assert!(place.is_there(&old));
    place.clock.advance(STEADY_FOR);
    place.upkeep.look().await.unwrap();
    assert!(!place.is_there(&old));
}

#[tokio::test]
async fn a_file_whose_removal_was_cut_short_is_removed_later_and_told_once() {
    let place = Place::keeping("7d").await;
    let old = place.ended();
    let bytes = fs::read(place.audit().join(&old)).unwrap();
    place.pass(10 * DAY).await;
    assert!(!place.is_there(&old));
    fs::write(place.audit().join(&old), bytes).unwrap();
    assert!(place.verdict().holds());
    place.pass(DAY).await;
    assert!(!place.is_there(&old) && place.removals().len() == 1 && place.alarms() == 0);
}

#[tokio::test]
async fn what_is_put_in_the_place_of_a_removed_segment_hides_no_change_of_another() {
    let place = Place::keeping("30d").await;
    let old = place.ended();
    place.pass(20 * DAY).await;
    let changed = place.ended();
    place.pass(12 * DAY).await;
    assert!(!place.is_there(&old) && place.is_there(&changed));
    fs::write(place.audit().join(&old), "no record\n").unwrap();
    let path = place.audit().join(&changed);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("started", "begun..")).unwrap();
    place.pass(2 * DAY).await;
    assert_eq!((place.alarms(), place.state(&changed)), (1, Report::Broken));
    assert!(!place.is_there(&old), "what lay in its place goes too");
}

#[tokio::test]
async fn a_session_that_speaks_of_a_removed_segment_changes_nothing() {
    let place = Place::keeping("7d").await;
    let old = place.ended();
    place.pass(10 * DAY).await;
    let head = place.head(&old);
    let lie = Head { seq: 9, removed: None, ..head.clone() };
    assert!(matches!(place.upkeep.heads.told(lie).await, Err(StoreError::Refused(_))));
    assert_eq!(place.head(&old), head);
    assert_eq!(place.alarms(), 0);
}
