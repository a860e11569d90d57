//! The disk of the audit fails at each of its operations, in every way, while a person approves, denies, grants
//! and revokes, and approved calls run (guarantee D2).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use portero::audit::{self, Disk, Event, Filter, Lines, RealDisk};
use portero::names::ToolId;
use portero::pipeline::Desk as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::approval::tests::{Bench, call, context, params};
use crate::heads::Heads;
use crate::passphrase::Confirmed;
use crate::rules::{Rules, RulesParts, Wanted};

#[path = "../../../src/audit/segment/faulty.rs"]
mod faulty;
use faulty::{Fault, FaultyDisk};

/// How many runs go side by side.
const AT_ONCE: usize = 96;

/// Stands in for the pipeline: keeps what ran.
#[derive(Default)]
struct Ran(Mutex<Vec<TaskId>>);

impl Runner for Ran {
    fn run<'a>(&'a self, _: Permitted, context: &'a Context, _: Follow) -> BoxFuture<'a, Reply> {
        self.0.lock().unwrap().extend(context.task);
        Box::pin(async { Reply::Result(params("{\"ok\":true}")) })
    }
}

struct Run {
    how: String,
    bench: Bench,
    rules: Arc<Rules>,
    executor: Arc<Executor>,
    ran: Arc<Ran>,
    disk: FaultyDisk,
    /// What the person was told is done.
    approved: Vec<TaskId>,
    rejected: Vec<TaskId>,
}

impl Run {
    async fn new(fault: Fault, which: Range<u64>) -> Self {
        let how = format!("{fault:?} at {which:?}");
        let disk = FaultyDisk::default();
        let bench = Bench::on_disk(tempfile::tempdir().unwrap(), Arc::new(disk.clone()));
        let rules = Rules::open(RulesParts {
            journal: bench.journal.clone(),
            policy: bench.policy.clone(),
            denies: bench.directory.path().join("denies.json"),
            boot_id: "boot".to_owned(),
            clock: bench.clock.clone(),
        });
        let rules = rules.await.unwrap();
        let ran = Arc::new(Ran::default());
        let executor = tests::executor(&bench, ran.clone());
        disk.fail(fault, which);
        Self { how, bench, rules, executor, ran, disk, approved: Vec::new(), rejected: Vec::new() }
    }

    /// An afternoon: two calls are approved and run, one is rejected, something is denied, granted, revoked.
    async fn live(&mut self) {
        self.call("one").await;
        if let Ok(task) = self.bench.desk.submit(call("no"), &context("/project")).await {
            let rejected = self.bench.desk.reject(task.id, None, "terminal").await;
            assert!(rejected.is_ok(), "{}: a no needs no record: {rejected:?}", self.how);
            self.rejected.push(task.id);
        }
        let denied = self.rules.deny("files/*".parse().unwrap(), "terminal").await;
        assert!(denied.is_ok(), "{}: a deny needs no record: {denied:?}", self.how);
        assert_eq!(self.decide("files/write"), Action::Deny, "{}", self.how);
        let hour = Duration::from_secs(3600);
        let wanted = Wanted {
            pattern: "mail/read".parse().unwrap(),
            lasts: hour,
            limits: portero::policy::Limits::default(),
        };
        let _ = self.rules.grant(wanted, hour, Confirmed::by_test()).await;
        let revoked = self.rules.revoke(None, "terminal").await;
        assert!(revoked.is_ok(), "{}: a revocation needs no record: {revoked:?}", self.how);
        assert_eq!(self.decide("mail/read"), Action::RequireApproval, "{}", self.how);
        self.call("two").await;
    }

    async fn call(&mut self, text: &str) {
        let Ok(task) = self.bench.desk.submit(call(text), &context("/project")).await else { return };
        match self.bench.desk.approve(task.id, Confirmed::by_test()).await {
            Ok(_) => self.approved.push(task.id),
            Err(_) => {
                let state = self.bench.desk.task(task.id, None).unwrap().state;
                assert_eq!(state, State::PendingApproval, "{}: no record, no approval", self.how);
            }
        }
        // What was not approved is not run either.
        self.executor.execute(task.id, CancellationToken::new()).await;
    }

    fn decide(&self, tool: &str) -> Action {
        let tool: ToolId = tool.parse().unwrap();
        self.bench.policy.load().decide(&tool, None, None, self.bench.clock.now()).action
    }

    fn directory(&self) -> std::path::PathBuf {
        self.bench.directory.path().join("audit")
    }

    /// The disk works again: what was approved before runs now, and everything is written down.
    async fn recover(&mut self) {
        self.disk.heal();
        for id in self.approved.clone() {
            self.executor.execute(id, CancellationToken::new()).await;
        }
        self.call("three").await;
        assert_eq!(self.bench.journal.record_act("after", "", true, None).await, Ok(()), "{}", self.how);
    }

    async fn check(&self) {
        let how = &self.how;
        let ran = self.ran.0.lock().unwrap().clone();
        for id in &self.approved {
            assert_eq!(ran.iter().filter(|ran| *ran == id).count(), 1, "{how}: what was approved ran once");
            assert_eq!(self.bench.desk.task(*id, None).unwrap().state, State::Completed, "{how}");
        }
        assert_eq!(ran.len(), self.approved.len(), "{how}: nothing else ran");
        let log = audit::read(&self.directory(), &Filter::default()).unwrap();
        let (states, acts) = written(&log);
        let once = |id: &TaskId, state: State| {
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
            for state in [State::PendingApproval, State::Approved, State::Executing, State::Completed] {
                once(id, state);
            }
        }
        self.rejected.iter().for_each(|id| once(id, State::Denied));
        for act in ["deny", "revoke", "after"] {
            assert_eq!(acts.iter().filter(|(name, _)| name == act).count(), 1, "{how}: {act}");
        }
        self.holds().await;
    }

    async fn holds(&self) {
        let heads = Heads::new(self.bench.journal.clone(), self.directory());
        heads.look().await.unwrap();
        let verdict = audit::verify_against(&self.directory(), &heads.list().unwrap()).unwrap();
        assert!(verdict.holds(), "{}: {verdict:?}", self.how);
    }
}

type Written = (BTreeMap<(TaskId, &'static str), usize>, Vec<(String, String)>);

/// How often each state of each task is recorded, and every act.
fn written(log: &audit::Log) -> Written {
    let (mut states, mut acts) = (BTreeMap::new(), Vec::new());
    for entry in &log.entries {
        match &entry.record.event {
            Event::Task { task, state, .. } => *states.entry((*task, state.as_str())).or_default() += 1,
            Event::Act { act, about, .. } => acts.push((act.clone(), about.clone())),
            _ => {}
        }
    }
    (states, acts)
}

async fn run(fault: Fault, which: Range<u64>) -> u64 {
    let mut run = Run::new(fault, which).await;
    run.live().await;
    let asked = run.disk.asked();
    run.recover().await;
    run.check().await;
    asked
}

#[tokio::test]
async fn wherever_the_audits_disk_fails_nothing_happens_without_its_record_and_a_no_holds() {
    let whole = run(Fault::Broken, u64::MAX..u64::MAX).await;
    assert!(whole > 20, "{whole} operations are no afternoon");
    let faults = Fault::ALL.into_iter().flat_map(|fault| {
        let spans = (2..whole).flat_map(|first| [first..first + 1, first..u64::MAX]);
        spans.map(move |which| (fault, which))
    });
    let all: Vec<_> = faults.collect();
    for some in all.chunks(AT_ONCE) {
        futures_util::future::join_all(some.iter().map(|(fault, which)| run(*fault, which.clone()))).await;
    }
}

#[tokio::test]
async fn a_daemon_that_ends_while_the_disk_fails_begins_again_with_what_was_said() {
    for fault in Fault::ALL {
        let mut first = Run::new(fault, u64::MAX..u64::MAX).await;
        first.call("one").await;
        first.disk.fail_from_now(fault);
        let denied = first.rules.deny("files/*".parse().unwrap(), "terminal").await;
        assert!(denied.is_ok(), "{fault:?}");
        first.call("two").await;
        assert_eq!(first.approved.len(), 1, "{fault:?}");
        let Run { bench, rules, executor, ran, .. } = first;
        let before = ran.0.lock().unwrap().len();
        drop((rules, executor));
        let again = Bench::on(bench.into_directory());
        let rules = Rules::open(RulesParts {
            journal: again.journal.clone(),
            policy: again.policy.clone(),
            denies: again.directory.path().join("denies.json"),
            boot_id: "boot".to_owned(),
            clock: again.clock.clone(),
        });
        let kept = rules.await.unwrap().standing();
        assert!(kept.rules.iter().any(|rule| rule.action == Action::Deny), "{fault:?}");
        let executor = tests::executor(&again, ran.clone());
        let found = executor.recover().await.unwrap();
        assert_eq!((found.interrupted, found.resumed), (0, 0), "{fault:?}: nothing was approved");
        assert_eq!(ran.0.lock().unwrap().len(), before, "{fault:?}");
    }
}
