mod again;
mod clocks;
mod histories;
mod limits;
mod void;
pub(crate) mod votes;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Fake;
use portero::audit::{self, Disk, Event, Filter, RealDisk, Segment};
use portero::call::{Call, Method};
use portero::clock::{Clock as _, TestClock};
use portero::config::Approvals;
use portero::names::{Principal, SessionId};
use portero::notice::Notice;
use portero::pipeline::{BoxFuture, Context, Desk as _, Refusal};
use portero::policy::{ConfigPolicy, Policy, Standing};
use portero::task::{Origin, State, Task};
use tempfile::TempDir;

use super::{Configured, Desk, DeskError, DeskParts, Ground, Grounds, Which};
use crate::journal::Journal;
use crate::outbox::{After, Outbox};
use crate::passphrase::Confirmed;
use crate::store::Store;

/// Everything below the desk, in a directory of its own.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) settings: Arc<ArcSwap<Approvals>>,
    pub(crate) ground: Arc<Standpoint>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) outbox: Arc<Outbox>,
}

/// A ground that a test can move.
pub(crate) struct Standpoint(pub(crate) Mutex<Result<Ground, Refusal>>);

impl Grounds for Standpoint {
    fn configured(&self, _: &Call) -> Result<Configured, Refusal> {
        match self.0.lock().unwrap().clone() {
            Ok(ground) => Ok(ground.configured),
            // One that does not start is configured all the same.
            Err(Refusal::Server(_)) => Ok(ground("").configured),
            Err(refusal) => Err(refusal),
        }
    }

    fn ground<'a>(&'a self, _: &'a Call, _: &'a Path) -> BoxFuture<'a, Result<Ground, Refusal>> {
        let ground = self.0.lock().unwrap().clone();
        Box::pin(async move { ground })
    }
}

pub(crate) fn ground(definition: &str) -> Ground {
    let configured = Configured {
        server: "server".to_owned(),
        environment: "environment".to_owned(),
        values: "values".to_owned(),
    };
    Ground { configured, definition: Some(definition.to_owned()) }
}

impl Bench {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// On what another bench left in its directory.
    #[must_use]
    pub(crate) fn on(directory: TempDir) -> Self {
        Self::on_disk(directory, Arc::new(RealDisk))
    }

    /// The same, whose audit is on a disk that may fail.
    #[must_use]
    pub(crate) fn on_disk(directory: TempDir, disk: Arc<dyn Disk>) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let journal = journal(directory.path(), disk, &clock);
        let policy =
            Arc::new(ArcSwap::from_pointee(Policy::new(ConfigPolicy::default(), Standing::default())));
        let settings = Arc::new(ArcSwap::from_pointee(Approvals::default()));
        let ground = Arc::new(Standpoint(Mutex::new(Ok(ground("definition")))));
        let desk = Desk::new(DeskParts {
            journal: journal.clone(),
            grounds: ground.clone(),
            policy: policy.clone(),
            settings: settings.clone(),
            clock: clock.clone(),
            rejections: directory.path().join("rejections"),
        });
        let outbox = Outbox::new(journal.clone());
        Self { directory, clock, journal, policy, settings, ground, desk, outbox }
    }

    /// Ends everything, and leaves the files.
    pub(crate) fn into_directory(self) -> TempDir {
        self.journal.store().close();
        self.directory
    }

    /// What the disk holds at this moment, as if the machine had stopped: opened anew.
    #[must_use]
    pub(crate) fn after_crash(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_files(self.directory.path(), copy.path());
        Self::on(copy)
    }

    pub(crate) fn audited(&self) -> Vec<(State, String)> {
        let log = audit::read(&self.directory.path().join("audit"), &Filter::default()).unwrap();
        let states = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Task { state, by, .. } => Some((state, by)),
            _ => None,
        });
        states.collect()
    }

    /// What the outbox holds for everyone.
    pub(crate) fn told(&self) -> Vec<String> {
        let After::Entries(entries) = self.outbox.after(0).unwrap() else { panic!("removed") };
        let told = entries.into_iter().map(|entry| match entry.notice {
            Notice::Task { state, by, note, .. } => {
                let note = note.map_or(String::new(), |note| format!(": {}", note.get()));
                format!("{state} by {by}{note}")
            }
            other => format!("{other:?}"),
        });
        told.collect()
    }

    pub(crate) async fn opened(&self, text: &str) -> Task {
        self.desk.submit(call(text), &context("/project")).await.unwrap()
    }

    pub(crate) async fn approved(&self, text: &str) -> Task {
        let task = self.opened(text).await;
        self.desk.approve(task.id, Confirmed::by_test()).await.unwrap()
    }
}

/// Waits for a condition, for ten seconds at most.
pub(crate) async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

pub(crate) fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

pub(crate) fn journal(directory: &Path, disk: Arc<dyn Disk>, clock: &Arc<TestClock>) -> Arc<Journal> {
    let audit = Segment::open_on(disk, &directory.join("audit"), "test", clock.now()).unwrap();
    let audit = Arc::new(audit);
    let synced = audit.clone();
    let store = Store::open(&directory.join("portero.db"), None, Box::new(move || synced.sync())).unwrap();
    Journal::new(store, audit, Arc::default(), clock.clone())
}

pub(crate) fn call(text: &str) -> Call {
    Call {
        tool: "mail/send".parse().unwrap(),
        method: Method::CallTool,
        params: params(&format!(r#"{{"name":"send","arguments":{{"text":{text:?}}}}}"#)),
        meta: None,
    }
}

pub(crate) fn params(json: &str) -> Fake<portero::json::RawJson> {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn context(project: &str) -> Context {
    let origin = Origin {
        principal: principal(project),
        session: SessionId::fresh(),
        agent_session: None,
        client: serde_json::from_str("\"claude-code 2\"").unwrap(),
        directory: PathBuf::from(project),
    };
    Context { origin, task: None }
}

pub(crate) fn principal(project: &str) -> Principal {
    Principal::of_project(Path::new(project))
}

#[tokio::test]
async fn a_task_is_on_disk_and_in_the_audit_before_its_id_is_known() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    let after = bench.after_crash();
    let found = after.desk.task(task.id, Some(&principal("/project"))).unwrap();
    assert_eq!(found.state, State::PendingApproval);
    assert_eq!(found.call.params.get().get(), r#"{"name":"send","arguments":{"text":"hello"}}"#);
    assert_eq!(found.asked, task.asked);
    assert_eq!(found.binding, task.binding);
    assert_eq!(bench.audited(), [(State::PendingApproval, "agent".to_owned())]);
}

#[tokio::test]
async fn the_identical_call_of_one_principal_waits_once() {
    let bench = Bench::new();
    let first = bench.opened("hello").await;
    assert_eq!(bench.opened("hello").await.id, first.id);
    assert_ne!(bench.opened("other").await.id, first.id);
    let elsewhere = bench.desk.submit(call("hello"), &context("/other")).await.unwrap();
    assert_ne!(elsewhere.id, first.id);
    bench.desk.reject_for_now(first.id, None, "test").await.unwrap();
    assert_ne!(bench.opened("hello").await.id, first.id);
}

#[tokio::test]
async fn an_expired_twin_makes_room_for_a_new_task() {
    let bench = Bench::new();
    let first = bench.opened("hello").await;
    bench.clock.advance(Duration::from_secs(25 * 3600));
    let second = bench.opened("hello").await;
    assert_ne!(first.id, second.id);
    assert_eq!(bench.desk.task(first.id, None).unwrap().state, State::Expired);
}

#[tokio::test]
async fn what_the_daemon_denies_is_no_task() {
    let bench = Bench::new();
    let config = ConfigPolicy { default: portero::policy::Action::Deny, ..ConfigPolicy::default() };
    bench.policy.store(Arc::new(Policy::new(config, Standing::default())));
    let refused = bench.desk.submit(call("hello"), &context("/project")).await;
    assert!(matches!(refused, Err(Refusal::Denied(_))));
    assert!(bench.desk.list(&Which { limit: 10, ..Which::default() }).unwrap().is_empty());
}

#[tokio::test]
async fn a_task_is_settled_only_once() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    let approvals = (0..100).map(|_| bench.desk.approve(task.id, Confirmed::by_test()));
    let outcomes = futures_util::future::join_all(approvals).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let late = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(late, DeskError::Settled(task.id, State::Approved));
    assert_eq!(bench.audited().len(), 2);
}

#[tokio::test]
async fn an_expired_task_cannot_be_approved_even_before_the_timer_saw_it() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    bench.clock.advance(Duration::from_secs(24 * 3600));
    let refused = bench.desk.approve(task.id, Confirmed::by_test()).await;
    assert_eq!(refused.unwrap_err(), DeskError::Settled(task.id, State::Expired));
    assert_eq!(bench.audited().last().unwrap(), &(State::Expired, "expiry".to_owned()));
}

#[tokio::test]
async fn what_is_due_expires_and_nothing_else() {
    let bench = Bench::new();
    let pending = bench.opened("pending").await;
    let approved = bench.approved("approved").await;
    bench.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(bench.desk.expire_due().await.unwrap(), 1);
    assert_eq!(bench.desk.task(approved.id, None).unwrap().state, State::Expired);
    assert_eq!(bench.desk.task(pending.id, None).unwrap().state, State::PendingApproval);
}

#[tokio::test]
async fn the_timer_expires_by_itself() {
    let bench = Bench::new();
    bench.settings.store(Arc::new(Approvals { pending: Duration::from_millis(1), ..Approvals::default() }));
    let task = bench.opened("hello").await;
    bench.clock.advance(Duration::from_millis(2));
    let stop = tokio_util::sync::CancellationToken::new();
    let timer = tokio::spawn(bench.desk.clone().run_timer(stop.clone()));
    let ended = bench.desk.wait_final(task.id, None, Duration::from_secs(10)).await.unwrap();
    assert_eq!(ended.state, State::Expired);
    stop.cancel();
    timer.await.unwrap();
}

#[tokio::test]
async fn another_principal_sees_no_task_and_cannot_take_it_back() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    let other = principal("/other");
    assert_eq!(bench.desk.task(task.id, Some(&other)).unwrap_err(), DeskError::NotFound(task.id));
    assert_eq!(bench.desk.cancel(task.id, &other).await.unwrap_err(), DeskError::NotFound(task.id));
    let waited = bench.desk.wait_final(task.id, Some(&other), Duration::ZERO).await;
    assert_eq!(waited.unwrap_err(), DeskError::NotFound(task.id));
    let which = Which { principal: Some(other), limit: 10, ..Which::default() };
    assert!(bench.desk.list(&which).unwrap().is_empty());
    let cancelled = bench.desk.cancel(task.id, &principal("/project")).await.unwrap();
    assert_eq!(cancelled.state, State::Cancelled);
}

#[tokio::test]
async fn who_waits_is_woken_by_the_final_state() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    let waiting = bench.desk.wait_final(task.id, None, Duration::from_secs(10));
    let deciding = async {
        tokio::task::yield_now().await;
        bench.desk.reject(task.id, None, "test").await.unwrap();
    };
    let (ended, ()) = tokio::join!(waiting, deciding);
    assert_eq!(ended.unwrap().state, State::Denied);
    let still = bench.opened("other").await;
    let waited = bench.desk.wait_final(still.id, None, Duration::from_millis(1)).await.unwrap();
    assert_eq!(waited.state, State::PendingApproval);
}

#[tokio::test]
async fn people_are_told_of_each_change_in_order_and_of_no_twin() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    bench.opened("hello").await;
    bench.desk.approve(task.id, Confirmed::by_test()).await.unwrap();
    bench.desk.reject(task.id, Some(serde_json::from_str("\"no\"").unwrap()), "test").await.unwrap();
    assert_eq!(bench.told(), ["pending-approval by agent", "approved by test", "denied by test: no"]);
    assert_eq!(bench.desk.task(task.id, None).unwrap().note.unwrap().get(), "no");
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_and_nothing_else() {
    let bench = Bench::new();
    let day = Duration::from_secs(24 * 3600);
    let open = Approvals { pending: 30 * day, start: 30 * day, ..Approvals::default() };
    bench.settings.store(Arc::new(open));
    let (old, waits, approved) =
        (bench.opened("old").await, bench.opened("waits").await, bench.approved("approved").await);
    bench.desk.reject(old.id, None, "test").await.unwrap();
    bench.clock.advance(6 * day);
    let young = bench.opened("young").await;
    bench.desk.reject(young.id, None, "test").await.unwrap();
    assert_eq!(bench.desk.prune().await.unwrap(), 0);
    bench.clock.advance(2 * day);
    assert_eq!(bench.desk.prune().await.unwrap(), 1);
    assert!(matches!(bench.desk.task(old.id, None), Err(DeskError::NotFound(_))));
    for task in [&young, &waits, &approved] {
        assert!(bench.desk.task(task.id, None).is_ok());
    }
}

#[tokio::test]
async fn lists_are_the_newest_first() {
    let bench = Bench::new();
    let first = bench.opened("1").await;
    bench.clock.advance(Duration::from_secs(1));
    let second = bench.approved("2").await;
    let ids = |which: &Which| bench.desk.list(which).unwrap().iter().map(|task| task.id).collect::<Vec<_>>();
    assert_eq!(ids(&Which { limit: 10, ..Which::default() }), [second.id, first.id]);
    assert_eq!(ids(&Which { limit: 1, ..Which::default() }), [second.id]);
    let pending = Which { state: Some(State::PendingApproval), limit: 10, ..Which::default() };
    assert_eq!(ids(&pending), [first.id]);
}

#[tokio::test]
async fn a_task_is_found_by_either_end_of_its_id() {
    let bench = Bench::new();
    let (task, other) = (bench.opened("1").await, bench.approved("2").await);
    let find = |part: &str, state| bench.desk.find(part, state).unwrap();
    let id = task.id.to_string();
    assert_eq!(find(&id[..35], None), [task.id]);
    assert_eq!(find(&id[28..].to_uppercase(), None), [task.id]);
    assert_eq!(find(&id[28..], Some(State::Approved)), []);
    assert_eq!(find(&other.id.to_string()[28..], Some(State::Approved)), [other.id]);
    assert_eq!(find("0", None).len(), 2, "ids of one time begin alike");
    for none in ["", "%", "_", "x", &id[9..20]] {
        assert_eq!(find(none, None), [], "{none:?}");
    }
}
