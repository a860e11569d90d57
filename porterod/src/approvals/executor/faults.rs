//! The disk of the audit fails at each of its operations, in every way, while a person approves, denies, grants
//! and revokes, and approved calls run (guarantee D2).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use portero::audit::{self, AuditEvent, Disk, RecordFilter, SegmentFile, SystemDisk};
use portero::ipc::Act;
use portero::names::ToolId;
use portero::pipeline::Approvals as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::approvals::tests::{Fixture, call, context, params};
use crate::auth::Authorization;
use crate::journal::checkpoints::AuditCheckpoints;
use crate::overrides::{GrantRequest, OverrideStore, OverrideStoreDeps};

#[path = "../../../../src/audit/segment/faulty.rs"]
mod faulty;
use faulty::{DiskFault, FaultyDisk};

/// How many runs go side by side.
const MAX_CONCURRENT_RUNS: usize = 96;

/// Stands in for the pipeline: keeps what ran.
#[derive(Default)]
struct RecordingRunner(Mutex<Vec<TaskId>>);

impl CallRunner for RecordingRunner {
    fn run_call<'a>(
        &'a self,
        _: Permitted,
        context: &'a CallContext,
        _: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        self.0.lock().unwrap().extend(context.task);
        Box::pin(async { CallReply::Result(params("{\"ok\":true}")) })
    }
}

struct FaultRun {
    how: String,
    fixture: Fixture,
    rules: Arc<OverrideStore>,
    executor: Arc<Executor>,
    ran: Arc<RecordingRunner>,
    disk: FaultyDisk,
    /// What the person was told is done.
    approved: Vec<TaskId>,
    rejected: Vec<TaskId>,
}

impl FaultRun {
    async fn new(fault: DiskFault, which: Range<u64>) -> Self {
        let how = format!("{fault:?} at {which:?}");
        let disk = FaultyDisk::default();
        let fixture = Fixture::with_disk(tempfile::tempdir().unwrap(), Arc::new(disk.clone()));
        let rules = OverrideStore::open(OverrideStoreDeps {
            journal: fixture.journal.clone(),
            policy: fixture.policy.clone(),
            offline_denies: fixture.directory.path().join("denies.json"),
            boot_id: "boot".to_owned(),
            clock: fixture.clock.clone(),
            sessions: Arc::default(),
        });
        let rules = rules.await.unwrap();
        let ran = Arc::new(RecordingRunner::default());
        let executor = tests::executor(&fixture, ran.clone());
        disk.fail_range(fault, which);
        Self { how, fixture, rules, executor, ran, disk, approved: Vec::new(), rejected: Vec::new() }
    }

    /// An afternoon: two calls are approved and run, one is rejected, something is denied, granted, revoked.
    async fn act_as_person(&mut self) {
        self.approve_and_run("one").await;
        if let Ok(task) = self.fixture.approval_queue.submit_call(call("no"), &context("/project")).await {
            let rejected = self.fixture.approval_queue.reject(task.id, None, &"terminal".into()).await;
            assert!(rejected.is_ok(), "{}: a no needs no record: {rejected:?}", self.how);
            self.rejected.push(task.id);
        }
        let denied = self.rules.add_deny_rule("files/*".parse().unwrap(), &"terminal".into()).await;
        assert!(denied.is_ok(), "{}: a deny needs no record: {denied:?}", self.how);
        assert_eq!(self.decided_action("files/write"), Action::Deny, "{}", self.how);
        let hour = Duration::from_secs(3600);
        let wanted = GrantRequest {
            pattern: "mail/read".parse().unwrap(),
            duration: hour,
            limits: portero::policy::GrantLimits::default(),
        };
        let _ = self.rules.make_grant(wanted.clone(), hour, Authorization::for_test(wanted.act())).await;
        let revoked = self.rules.revoke_grants(None, &"terminal".into()).await;
        assert!(revoked.is_ok(), "{}: a revocation needs no record: {revoked:?}", self.how);
        assert_eq!(self.decided_action("mail/read"), Action::RequireApproval, "{}", self.how);
        self.approve_and_run("two").await;
    }

    async fn approve_and_run(&mut self, text: &str) {
        let Ok(task) = self.fixture.approval_queue.submit_call(call(text), &context("/project")).await else {
            return;
        };
        match self
            .fixture
            .approval_queue
            .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
            .await
        {
            Ok(_) => self.approved.push(task.id),
            Err(_) => {
                let state = self.fixture.approval_queue.find_task(task.id, None).unwrap().state;
                assert_eq!(state, TaskState::PendingApproval, "{}: no record, no approval", self.how);
            }
        }
        // What was not approved is not run either.
        self.executor.execute_task(task.id, CancellationToken::new()).await;
    }

    fn decided_action(&self, tool: &str) -> Action {
        let tool: ToolId = tool.parse().unwrap();
        self.fixture.policy.load().decide(&tool, None, None, self.fixture.clock.now()).action
    }

    fn audit_directory(&self) -> std::path::PathBuf {
        self.fixture.directory.path().join("audit")
    }

    /// The disk works again: what was approved before runs now, and everything is written down.
    async fn heal_and_finish(&mut self) {
        self.disk.heal();
        for id in self.approved.clone() {
            self.executor.execute_task(id, CancellationToken::new()).await;
        }
        self.approve_and_run("three").await;
        assert_eq!(self.fixture.journal.record_act("after", "", true, None).await, Ok(()), "{}", self.how);
    }

    async fn check_invariants(&self) {
        let how = &self.how;
        let ran = self.ran.0.lock().unwrap().clone();
        for id in &self.approved {
            assert_eq!(ran.iter().filter(|ran| *ran == id).count(), 1, "{how}: what was approved ran once");
            assert_eq!(
                self.fixture.approval_queue.find_task(*id, None).unwrap().state,
                TaskState::Completed,
                "{how}"
            );
        }
        assert_eq!(ran.len(), self.approved.len(), "{how}: nothing else ran");
        let log = audit::read_log(&self.audit_directory(), &RecordFilter::default()).unwrap();
        let (states, acts) = recorded_events(&log);
        let once = |id: &TaskId, state: TaskState| {
            let undone = acts
                .iter()
                .filter(|(_, about)| about.starts_with(&format!("task {id} is not {state}")))
                .count();
            let count = states.get(&(*id, state.as_str())).copied().unwrap_or_default();
            // What was taken back may be said so twice, where nobody knows whether the first word is on the disk.
            let fits = (1..=undone + 1).contains(&count);
            assert!(fits, "{how}: {state} of {id} stands {count} times and is taken back {undone} times");
        };
        for id in &self.approved {
            for state in
                [TaskState::PendingApproval, TaskState::Approved, TaskState::Executing, TaskState::Completed]
            {
                once(id, state);
            }
        }
        self.rejected.iter().for_each(|id| once(id, TaskState::Denied));
        for act in ["deny", "revoke", "after"] {
            assert_eq!(acts.iter().filter(|(name, _)| name == act).count(), 1, "{how}: {act}");
        }
        self.verify_audit().await;
    }

    async fn verify_audit(&self) {
        let heads = AuditCheckpoints::new(self.fixture.journal.clone(), self.audit_directory());
        heads.scan_segments().await.unwrap();
        let verdict =
            audit::verify_with_checkpoints(&self.audit_directory(), &heads.list_checkpoints().unwrap())
                .unwrap();
        assert!(verdict.is_intact(), "{}: {verdict:?}", self.how);
    }
}

type RecordedEvents = (BTreeMap<(TaskId, &'static str), usize>, Vec<(String, String)>);

/// How often each state of each task is recorded, and every act.
fn recorded_events(log: &audit::AuditLog) -> RecordedEvents {
    let (mut states, mut acts) = (BTreeMap::new(), Vec::new());
    for entry in &log.entries {
        match &entry.record.event {
            AuditEvent::Task { task, state, .. } => *states.entry((*task, state.as_str())).or_default() += 1,
            AuditEvent::Act { act, about, .. } => acts.push((act.clone(), about.clone())),
            _ => {}
        }
    }
    (states, acts)
}

async fn run_with_fault(fault: DiskFault, which: Range<u64>) -> u64 {
    let mut run = FaultRun::new(fault, which).await;
    run.act_as_person().await;
    let asked = run.disk.operation_count();
    run.heal_and_finish().await;
    run.check_invariants().await;
    asked
}

#[tokio::test]
async fn wherever_the_audits_disk_fails_nothing_happens_without_its_record_and_a_no_holds() {
    let whole = run_with_fault(DiskFault::Broken, u64::MAX..u64::MAX).await;
    assert!(whole > 20, "{whole} operations are no afternoon");
    let faults = DiskFault::ALL.into_iter().flat_map(|fault| {
        let spans = (2..whole).flat_map(|first| [first..first + 1, first..u64::MAX]);
        spans.map(move |which| (fault, which))
    });
    let all: Vec<_> = faults.collect();
    for some in all.chunks(MAX_CONCURRENT_RUNS) {
        futures_util::future::join_all(
            some.iter().map(|(fault, which)| run_with_fault(*fault, which.clone())),
        )
        .await;
    }
}

#[tokio::test]
async fn a_daemon_that_ends_while_the_disk_fails_begins_again_with_what_was_said() {
    for fault in DiskFault::ALL {
        let mut first = FaultRun::new(fault, u64::MAX..u64::MAX).await;
        first.approve_and_run("one").await;
        first.disk.fail_from_now(fault);
        let denied = first.rules.add_deny_rule("files/*".parse().unwrap(), &"terminal".into()).await;
        assert!(denied.is_ok(), "{fault:?}");
        first.approve_and_run("two").await;
        assert_eq!(first.approved.len(), 1, "{fault:?}");
        let FaultRun { fixture, rules, executor, ran, .. } = first;
        let before = ran.0.lock().unwrap().len();
        drop((rules, executor));
        let again = Fixture::in_directory(fixture.into_directory());
        let rules = OverrideStore::open(OverrideStoreDeps {
            journal: again.journal.clone(),
            policy: again.policy.clone(),
            offline_denies: again.directory.path().join("denies.json"),
            boot_id: "boot".to_owned(),
            clock: again.clock.clone(),
            sessions: Arc::default(),
        });
        let kept = rules.await.unwrap().overrides();
        assert!(kept.rules.iter().any(|rule| rule.action == Action::Deny), "{fault:?}");
        let executor = tests::executor(&again, ran.clone());
        let found = executor.recover_tasks().await.unwrap();
        assert_eq!((found.interrupted, found.resumed), (0, 0), "{fault:?}: nothing was approved");
        assert_eq!(ran.0.lock().unwrap().len(), before, "{fault:?}");
    }
}
