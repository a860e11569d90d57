mod allowed;
mod clocks;
mod denials;
mod histories;
mod joining;
mod limits;
mod repeat;
mod runnable_check;
pub(crate) mod votes;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Fake;
use portero::audit::{self, AuditEvent, AuditWriter, Disk, RecordFilter, SystemDisk};
use portero::binding::{BindingInputs, ConfiguredInputs};
use portero::call::{Call, Method};
use portero::clock::{Clock as _, TestClock};
use portero::config::ApprovalSettings;
use portero::ipc::Act;
use portero::names::{ChildGeneration, Principal, ServerName, SessionId};
use portero::notice::Notice;
use portero::permit::{CallPermit, PermitProblem};
use portero::pipeline::{Approvals as _, BoxFuture, CallContext, GrantUses, Refusal};
use portero::policy::{ConfigPolicy, Overrides, Policy};
use portero::task::{CallOrigin, ChildGround, ChildLoss, SessionChild, Task, TaskState};
use tempfile::TempDir;

use super::{ApprovalError, ApprovalQueue, ApprovalQueueDeps, BindingSource, ServerSettings, TaskFilter};
use crate::auth::Authorization;
use crate::journal::Journal;
use crate::journal::outbox::{NoticesAfter, Outbox};
use crate::sessions::handover::{HandoverEnd, SessionChildren};
use crate::store::Store;

/// Everything below the queue, in a directory of its own.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) settings: Arc<ArcSwap<ApprovalSettings>>,
    pub(crate) binding_source: Arc<FakeBindingSource>,
    pub(crate) children: Arc<FakeChildren>,
    pub(crate) uses: Arc<FakeUses>,
    pub(crate) approval_queue: Arc<ApprovalQueue>,
    pub(crate) outbox: Arc<Outbox>,
}

/// A ground that a test can move.
pub(crate) struct FakeBindingSource(pub(crate) Mutex<Result<BindingInputs, Refusal>>);

impl FakeBindingSource {
    /// The server defines its tools in this version.
    pub(crate) fn define(&self, version: usize) {
        *self.0.lock().unwrap() = Ok(binding_inputs(&format!("definition {version}")));
    }
}

impl BindingSource for FakeBindingSource {
    fn configured_inputs(&self, _: &Call) -> Result<ConfiguredInputs, Refusal> {
        match self.0.lock().unwrap().clone() {
            Ok(ground) => Ok(ground.configured),
            // One that does not start is configured all the same.
            Err(Refusal::ServerUnavailable(_)) => Ok(binding_inputs("").configured),
            Err(refusal) => Err(refusal),
        }
    }

    fn binding_inputs<'a>(
        &'a self,
        _: &'a Call,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<BindingInputs, Refusal>> {
        let ground = self.0.lock().unwrap().clone();
        Box::pin(async move { ground })
    }
}

pub(crate) fn binding_inputs(definition: &str) -> BindingInputs {
    let configured = ConfiguredInputs {
        server: "server".to_owned(),
        environment: "environment".to_owned(),
        values: "values".to_owned(),
    };
    BindingInputs { configured, definition: Some(definition.to_owned()), child: None }
}

/// The processes of sessions, as a test says them.
#[derive(Default)]
pub(crate) struct FakeChildren {
    /// Why none is found; none where each is.
    pub(crate) loss: Mutex<Option<ChildLoss>>,
    pub(crate) problem: Mutex<Option<PermitProblem>>,
    pub(crate) is_stateless: std::sync::atomic::AtomicBool,
    /// How the next handovers end.
    pub(crate) ends: Mutex<std::collections::VecDeque<HandoverEnd>>,
    pub(crate) handed: Mutex<Vec<CallPermit>>,
}

impl SessionChildren for FakeChildren {
    fn find_child(&self, _: &ServerName, _: &SessionChild) -> Result<(), ChildLoss> {
        self.loss.lock().unwrap().map_or(Ok(()), Err)
    }

    fn check_call<'a>(
        &'a self,
        _: &'a Task,
        _: &'a SessionChild,
    ) -> BoxFuture<'a, Result<(), PermitProblem>> {
        let problem = self.problem.lock().unwrap().clone();
        Box::pin(async move { problem.map_or(Ok(()), Err) })
    }

    fn hand_over<'a>(&'a self, _: &'a SessionChild, permit: CallPermit) -> BoxFuture<'a, HandoverEnd> {
        self.handed.lock().unwrap().push(permit);
        let end = self.ends.lock().unwrap().pop_front();
        Box::pin(async move {
            match end {
                Some(end) => end,
                None => std::future::pending().await,
            }
        })
    }
}

impl ServerSettings for FakeChildren {
    fn is_stateless(&self, _: &ServerName) -> bool {
        self.is_stateless.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn handover_timeout(&self, _: &ServerName) -> Duration {
        Duration::from_secs(600)
    }
}

/// The uses of grants.
#[derive(Default)]
pub(crate) struct FakeUses {
    /// How many are left, of any grant.
    pub(crate) left: std::sync::atomic::AtomicUsize,
}

impl GrantUses for FakeUses {
    fn consume_use<'a>(&'a self, _: u64, _: &'a Call, _: &'a CallContext) -> BoxFuture<'a, bool> {
        use std::sync::atomic::Ordering::SeqCst;
        let consumed = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        Box::pin(std::future::ready(consumed))
    }
}

pub(crate) fn session_child() -> SessionChild {
    let generation = ChildGeneration::fresh();
    let ground =
        ChildGround { generation, definition: Some("definition".to_owned()), binding: "b".to_owned() };
    SessionChild { holder: "holder".to_owned(), ground }
}

impl Fixture {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    /// On what another fixture left in its directory.
    #[must_use]
    pub(crate) fn in_directory(directory: TempDir) -> Self {
        Self::with_disk(directory, Arc::new(SystemDisk))
    }

    /// The same, whose audit is on a disk that may fail.
    #[must_use]
    pub(crate) fn with_disk(directory: TempDir, disk: Arc<dyn Disk>) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()));
        let journal = open_journal(directory.path(), disk, &clock);
        let policy =
            Arc::new(ArcSwap::from_pointee(Policy::new(ConfigPolicy::default(), Overrides::default())));
        let settings = Arc::new(ArcSwap::from_pointee(ApprovalSettings::default()));
        let ground = Arc::new(FakeBindingSource(Mutex::new(Ok(binding_inputs("definition")))));
        let children = Arc::new(FakeChildren::default());
        let uses = Arc::new(FakeUses::default());
        let queue = ApprovalQueue::new(ApprovalQueueDeps {
            journal: journal.clone(),
            binding_source: ground.clone(),
            children: children.clone(),
            server_settings: children.clone(),
            policy: policy.clone(),
            grant_uses: uses.clone(),
            settings: settings.clone(),
            clock: clock.clone(),
            rejections: directory.path().join("rejections"),
        });
        let outbox = Outbox::new(journal.clone());
        Self {
            directory,
            clock,
            journal,
            policy,
            settings,
            binding_source: ground,
            children,
            uses,
            approval_queue: queue,
            outbox,
        }
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
        Self::in_directory(copy)
    }

    pub(crate) fn audited_states(&self) -> Vec<(TaskState, String)> {
        let log = audit::read_log(&self.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let states = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Task { state, by, .. } => Some((state, by.to_string())),
            _ => None,
        });
        states.collect()
    }

    /// What the outbox holds for everyone.
    pub(crate) fn notice_texts(&self) -> Vec<String> {
        let NoticesAfter::Entries(entries) = self.outbox.entries_after(0).unwrap() else { panic!("removed") };
        let told = entries.into_iter().map(|entry| match entry.notice {
            Notice::Task { state, by, note, .. } => {
                let note = note.map_or(String::new(), |note| format!(": {}", note.get()));
                format!("{state} by {by}{note}")
            }
            other => format!("{other:?}"),
        });
        told.collect()
    }

    pub(crate) async fn open_task(&self, text: &str) -> Task {
        self.approval_queue.submit_call(call(text), &context("/project")).await.unwrap()
    }

    pub(crate) async fn approve_task(&self, text: &str) -> Task {
        let task = self.open_task(text).await;
        self.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.unwrap()
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

pub(crate) fn open_journal(directory: &Path, disk: Arc<dyn Disk>, clock: &Arc<TestClock>) -> Arc<Journal> {
    let audit = AuditWriter::open_on(disk, &directory.join("audit"), "test", clock.now()).unwrap();
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

pub(crate) fn context(project: &str) -> CallContext {
    let origin = CallOrigin {
        principal: principal(project),
        session: SessionId::fresh(),
        agent_session: None,
        client: serde_json::from_str("\"claude-code 2\"").unwrap(),
        directory: PathBuf::from(project),
    };
    CallContext { origin, task: None }
}

pub(crate) fn principal(project: &str) -> Principal {
    Principal::from_project(Path::new(project))
}

#[tokio::test]
async fn a_task_is_on_disk_and_in_the_audit_before_its_id_is_known() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let after = fixture.after_crash();
    let found = after.approval_queue.find_task(task.id, Some(&principal("/project"))).unwrap();
    assert_eq!(found.state, TaskState::PendingApproval);
    assert_eq!(found.call.params.get().get(), r#"{"name":"send","arguments":{"text":"hello"}}"#);
    assert_eq!(found.asked, task.asked);
    assert_eq!(found.binding, task.binding);
    assert_eq!(fixture.audited_states(), [(TaskState::PendingApproval, "agent".to_owned())]);
}

#[tokio::test]
async fn the_identical_call_of_one_principal_waits_once() {
    let fixture = Fixture::new();
    let first = fixture.open_task("hello").await;
    assert_eq!(fixture.open_task("hello").await.id, first.id);
    assert_ne!(fixture.open_task("other").await.id, first.id);
    let elsewhere = fixture.approval_queue.submit_call(call("hello"), &context("/other")).await.unwrap();
    assert_ne!(elsewhere.id, first.id);
    fixture.approval_queue.reject_without_cooldown(first.id, None, &"test".into()).await.unwrap();
    assert_ne!(fixture.open_task("hello").await.id, first.id);
}

#[tokio::test]
async fn an_expired_twin_makes_room_for_a_new_task() {
    let fixture = Fixture::new();
    let first = fixture.open_task("hello").await;
    fixture.clock.advance(Duration::from_secs(25 * 3600));
    let second = fixture.open_task("hello").await;
    assert_ne!(first.id, second.id);
    assert_eq!(fixture.approval_queue.find_task(first.id, None).unwrap().state, TaskState::Expired);
}

#[tokio::test]
async fn what_the_daemon_denies_is_no_task() {
    let fixture = Fixture::new();
    let config = ConfigPolicy { default: portero::policy::Action::Deny, ..ConfigPolicy::default() };
    fixture.policy.store(Arc::new(Policy::new(config, Overrides::default())));
    let refused = fixture.approval_queue.submit_call(call("hello"), &context("/project")).await;
    assert!(matches!(refused, Err(Refusal::Denied(_))));
    assert!(
        fixture
            .approval_queue
            .list_tasks(&TaskFilter { limit: 10, ..TaskFilter::default() })
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_task_is_settled_only_once() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let approvals = (0..100)
        .map(|_| fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))));
    let outcomes = futures_util::future::join_all(approvals).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let late = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(late, ApprovalError::WrongState(task.id, TaskState::Approved));
    assert_eq!(fixture.audited_states().len(), 2);
}

#[tokio::test]
async fn an_expired_task_cannot_be_approved_even_before_the_timer_saw_it() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    let refused =
        fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await;
    assert_eq!(refused.unwrap_err(), ApprovalError::WrongState(task.id, TaskState::Expired));
    assert_eq!(fixture.audited_states().last().unwrap(), &(TaskState::Expired, "expiry".to_owned()));
}

#[tokio::test]
async fn what_is_due_expires_and_nothing_else() {
    let fixture = Fixture::new();
    let pending = fixture.open_task("pending").await;
    let approved = fixture.approve_task("approved").await;
    fixture.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(fixture.approval_queue.expire_due().await.unwrap(), 1);
    assert_eq!(fixture.approval_queue.find_task(approved.id, None).unwrap().state, TaskState::Expired);
    assert_eq!(fixture.approval_queue.find_task(pending.id, None).unwrap().state, TaskState::PendingApproval);
}

#[tokio::test]
async fn the_timer_expires_by_itself() {
    let fixture = Fixture::new();
    fixture.settings.store(Arc::new(ApprovalSettings {
        decision_timeout: Duration::from_millis(1),
        ..ApprovalSettings::default()
    }));
    let task = fixture.open_task("hello").await;
    fixture.clock.advance(Duration::from_millis(2));
    let stop = tokio_util::sync::CancellationToken::new();
    let timer = tokio::spawn(fixture.approval_queue.clone().run_expiry(stop.clone()));
    let ended =
        fixture.approval_queue.wait_until_final(task.id, None, Duration::from_secs(10)).await.unwrap();
    assert_eq!(ended.state, TaskState::Expired);
    stop.cancel();
    timer.await.unwrap();
}

#[tokio::test]
async fn another_principal_sees_no_task_and_cannot_take_it_back() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let other = principal("/other");
    assert_eq!(
        fixture.approval_queue.find_task(task.id, Some(&other)).unwrap_err(),
        ApprovalError::NotFound(task.id)
    );
    assert_eq!(
        fixture.approval_queue.cancel(task.id, &other).await.unwrap_err(),
        ApprovalError::NotFound(task.id)
    );
    let waited = fixture.approval_queue.wait_until_final(task.id, Some(&other), Duration::ZERO).await;
    assert_eq!(waited.unwrap_err(), ApprovalError::NotFound(task.id));
    let which = TaskFilter { principal: Some(other), limit: 10, ..TaskFilter::default() };
    assert!(fixture.approval_queue.list_tasks(&which).unwrap().is_empty());
    let cancelled = fixture.approval_queue.cancel(task.id, &principal("/project")).await.unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);
}

#[tokio::test]
async fn who_waits_is_woken_by_the_final_state() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let waiting = fixture.approval_queue.wait_until_final(task.id, None, Duration::from_secs(10));
    let deciding = async {
        tokio::task::yield_now().await;
        fixture.approval_queue.reject(task.id, None, &"test".into()).await.unwrap();
    };
    let (ended, ()) = tokio::join!(waiting, deciding);
    assert_eq!(ended.unwrap().state, TaskState::Denied);
    let still = fixture.open_task("other").await;
    let waited =
        fixture.approval_queue.wait_until_final(still.id, None, Duration::from_millis(1)).await.unwrap();
    assert_eq!(waited.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn people_are_told_of_each_change_in_order_and_of_no_twin() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    fixture.open_task("hello").await;
    fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.unwrap();
    fixture
        .approval_queue
        .reject(task.id, Some(serde_json::from_str("\"no\"").unwrap()), &"test".into())
        .await
        .unwrap();
    assert_eq!(
        fixture.notice_texts(),
        ["pending-approval by agent", "approved by test", "denied by test: no"]
    );
    assert_eq!(fixture.approval_queue.find_task(task.id, None).unwrap().note.unwrap().get(), "no");
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_and_nothing_else() {
    let fixture = Fixture::new();
    let day = Duration::from_secs(24 * 3600);
    let open = ApprovalSettings {
        decision_timeout: 30 * day,
        start_timeout: 30 * day,
        ..ApprovalSettings::default()
    };
    fixture.settings.store(Arc::new(open));
    let (old, waits, approved) = (
        fixture.open_task("old").await,
        fixture.open_task("waits").await,
        fixture.approve_task("approved").await,
    );
    fixture.approval_queue.reject(old.id, None, &"test".into()).await.unwrap();
    fixture.clock.advance(6 * day);
    let young = fixture.open_task("young").await;
    fixture.approval_queue.reject(young.id, None, &"test".into()).await.unwrap();
    assert_eq!(fixture.approval_queue.prune_ended_tasks().await.unwrap(), 0);
    fixture.clock.advance(2 * day);
    assert_eq!(fixture.approval_queue.prune_ended_tasks().await.unwrap(), 1);
    assert!(matches!(fixture.approval_queue.find_task(old.id, None), Err(ApprovalError::NotFound(_))));
    for task in [&young, &waits, &approved] {
        assert!(fixture.approval_queue.find_task(task.id, None).is_ok());
    }
}

#[tokio::test]
async fn lists_are_the_newest_first() {
    let fixture = Fixture::new();
    let first = fixture.open_task("1").await;
    fixture.clock.advance(Duration::from_secs(1));
    let second = fixture.approve_task("2").await;
    let ids = |which: &TaskFilter| {
        fixture.approval_queue.list_tasks(which).unwrap().iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&TaskFilter { limit: 10, ..TaskFilter::default() }), [second.id, first.id]);
    assert_eq!(ids(&TaskFilter { limit: 1, ..TaskFilter::default() }), [second.id]);
    let pending = TaskFilter { state: Some(TaskState::PendingApproval), limit: 10, ..TaskFilter::default() };
    assert_eq!(ids(&pending), [first.id]);
}

#[tokio::test]
async fn a_task_is_found_by_either_end_of_its_id() {
    let fixture = Fixture::new();
    let (task, other) = (fixture.open_task("1").await, fixture.approve_task("2").await);
    let find = |part: &str, state| fixture.approval_queue.find_task_ids(part, state).unwrap();
    let id = task.id.to_string();
    assert_eq!(find(&id[..35], None), [task.id]);
    assert_eq!(find(&id[28..].to_uppercase(), None), [task.id]);
    assert_eq!(find(&id[28..], Some(TaskState::Approved)), []);
    assert_eq!(find(&other.id.to_string()[28..], Some(TaskState::Approved)), [other.id]);
    assert_eq!(find("0", None).len(), 2, "ids of one time begin alike");
    for none in ["", "%", "_", "x", &id[9..20]] {
        assert_eq!(find(none, None), [], "{none:?}");
    }
}
