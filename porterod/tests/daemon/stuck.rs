//! A store that another program holds, and a disk that takes its time.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portero::audit::{Disk, SegmentFile, SystemDisk};
use portero::ipc::requests::approvals::{GetTask, RejectTask};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{GetUnsaved, Pause, Resume};
use portero::ipc::requests::sessions::ForwardCall;
use portero::ipc::{FailureKind, PeerRole, UnsavedChanges};
use portero::policy::Action;
use portero::task::TaskState;
use porterod::app::{App, AppDeps};

use crate::support::{Home, TEST_TIMEOUT, Terminal, call, is_kind, wait_until};

/// Within what is answered at once, on a busy machine. A wait for the store would be far longer than it is given.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(5);

/// Another program that holds the store until this is dropped.
struct StoreHolder(rusqlite::Connection);

impl StoreHolder {
    fn new(home: &Home) -> Self {
        let connection = rusqlite::Connection::open(home.paths().store()).unwrap();
        connection.busy_timeout(TEST_TIMEOUT).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for StoreHolder {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

async fn get_unsaved(person: &Terminal) -> Option<UnsavedChanges> {
    person.request(GetUnsaved).await.unwrap()
}

#[tokio::test]
async fn what_narrows_is_answered_at_once_while_another_program_holds_the_store_and_is_saved_after() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let session = home.session("project").await;
    let task = session.submit("notes/send", "one").await.unwrap();
    assert_eq!(get_unsaved(&person).await, None);

    let holder = StoreHolder::new(&home);
    let since = Instant::now();
    let denied = person.rule("common/read", Action::Deny).await.unwrap_err();
    assert_eq!(denied.kind, FailureKind::Unsaved);
    assert!(
        denied.message.contains("in force") && denied.message.contains("another program holds it"),
        "{denied}"
    );
    assert!(person.request(Pause).await.is_err_and(|failure| failure.kind == FailureKind::Unsaved));
    let reject = RejectTask { task: task.id, reason: None, for_now: false };
    let rejected = person.request(reject).await.unwrap_err();
    assert_eq!(rejected.kind, FailureKind::Unsaved, "{rejected}");
    assert!(since.elapsed() < MAX_ANSWER_TIME, "{:?}", since.elapsed());

    assert_eq!(person.why("common/read").await.decision.action, Action::Deny);
    let left = get_unsaved(&person).await.unwrap();
    assert!(left.rules == [1] && left.paused && left.tasks == [task.id], "{left:?}");
    let status = person.request(GetStatus).await.unwrap();
    assert_eq!(status.unsaved, Some(left));
    assert_eq!(session.finished(&task).await.state, TaskState::Denied);
    let approved = person.approve(&task).await;
    assert!(approved.is_err(), "what was rejected is not approved: {approved:?}");
    assert!(std::fs::read_to_string(home.paths().offline_denies()).unwrap().contains("common/read"));

    drop(holder);
    wait_until("it is saved by itself", async || get_unsaved(&person).await.is_none()).await;
    // A session that lacked the last epoch would decide by the file of denies alone.
    let saved = person.request(GetStatus).await.unwrap().standing.epoch;
    session.wait_for_overrides(|overrides| overrides.epoch == saved).await;
    app.shutdown().await;
    let app = home.start().await;
    let person = home.terminal().await;
    let status = person.request(GetStatus).await.unwrap();
    assert!(status.standing.rules.len() == 1 && status.standing.paused.is_some() && status.pending == 0);
    let kept = person.request(GetTask { task: task.id }).await.unwrap();
    assert_eq!(kept.state, TaskState::Denied);
    assert!(home.record("notes").is_empty(), "it never ran");
    app.shutdown().await;
}

#[tokio::test]
async fn what_needs_the_store_says_that_another_program_holds_it() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let session = home.session("project").await;
    let holder = StoreHolder::new(&home);
    let submitted = session.submit("notes/send", "one").await.unwrap_err();
    assert!(submitted.message.contains("the store is busy: another program holds it"), "{submitted}");
    let granted = person.grant("notes/*", Duration::from_secs(60)).await;
    assert!(is_kind(&granted, FailureKind::Busy), "{granted:?}");
    assert!(granted.unwrap_err().hint.is_some_and(|hint| hint.contains("close the program")));
    drop(holder);
    person.grant("notes/*", Duration::from_secs(60)).await.unwrap();
    app.shutdown().await;
}

/// A disk whose syncs wait at a gate. It opens by itself after a while, so that a test that would hang fails.
#[derive(Debug, Clone, Default)]
struct GatedDisk(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: usize,
}

impl GatedDisk {
    fn close(&self) {
        self.0.0.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().closed = false;
        self.0.1.notify_all();
    }

    fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().waiting
    }

    fn wait_at_gate(&self) {
        let (gate, opened) = &*self.0;
        let mut gate = gate.lock().unwrap();
        gate.waiting += 1;
        let (mut gate, _) = opened.wait_timeout_while(gate, TEST_TIMEOUT, |gate| gate.closed).unwrap();
        gate.waiting -= 1;
    }
}

impl Disk for GatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(GatedLines(self.clone(), SystemDisk.create(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_name(&self, path: &Path) -> io::Result<()> {
        self.wait_at_gate();
        SystemDisk.sync_name(path)
    }
}

#[derive(Debug)]
struct GatedLines(GatedDisk, Box<dyn SegmentFile>);

impl SegmentFile for GatedLines {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.wait_at_gate();
        self.1.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.1.truncate(length)
    }

    fn is_gone(&self) -> io::Result<bool> {
        self.1.is_gone()
    }
}

#[tokio::test]
async fn a_disk_that_takes_its_time_delays_only_those_who_wait_for_it() {
    let home = Home::new();
    let disk = GatedDisk::default();
    let app = App::start(AppDeps { disk: Arc::new(disk.clone()), ..home.app_deps() }).await.unwrap();
    let person = home.terminal_with_passphrase().await;
    let session = home.session("project").await;
    let forward = || {
        let (call, client) = call("common/read", "hello");
        ForwardCall { call, client, progress: false, log_level: None }
    };
    session.request(forward()).await.unwrap();

    disk.close();
    let since = Instant::now();
    let denying = home.terminal().await;
    let denying = tokio::spawn(async move { denying.rule("notes/erase", Action::Deny).await });
    // A refused attempt is recorded, synced, by itself.
    let refused = home.terminal().await;
    let refused = tokio::spawn(async move {
        refused.request(Resume { challenge: portero::ipc::Challenge::new("a wrong passphrase") }).await
    });
    wait_until("a sync is under way", async || disk.waiting() > 0).await;
    for _ in 0..5 {
        session.request(forward()).await.unwrap();
        person.request(GetStatus).await.unwrap();
    }
    home.connect(PeerRole::Terminal).await;
    assert_eq!(person.why("notes/erase").await.decision.action, Action::Deny, "in force before it is saved");
    session.wait_for_overrides(|overrides| !overrides.rules.is_empty()).await;
    assert_eq!(get_unsaved(&person).await, None, "it is being saved, and nothing failed");
    let pausing = home.terminal().await;
    let pausing = tokio::spawn(async move { pausing.request(Pause).await });
    wait_until("a pause is in force while the deny waits", async || {
        person.why("common/read").await.decision.action == Action::Deny
    })
    .await;
    assert!(!denying.is_finished(), "it is answered once it is on the disk");
    assert!(since.elapsed() < MAX_ANSWER_TIME, "{:?}", since.elapsed());

    disk.open();
    denying.await.unwrap().unwrap();
    pausing.await.unwrap().unwrap();
    assert!(refused.await.unwrap().is_err());
    app.shutdown().await;
}

#[tokio::test]
async fn a_file_of_denies_that_cannot_be_written_on_keeps_no_deny_from_being_in_force() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    // A named pipe in the place of the file that is written.
    let beside = home.paths().offline_denies().with_extension("json.new");
    assert!(std::process::Command::new("mkfifo").arg(&beside).status().unwrap().success());
    let since = Instant::now();
    let mut denying = Vec::new();
    for tool in ["notes/erase", "common/read"] {
        let terminal = home.terminal().await;
        denying.push(tokio::spawn(async move { terminal.rule(tool, Action::Deny).await }));
        wait_until("it is in force", async || person.why(tool).await.decision.action == Action::Deny).await;
    }
    assert!(since.elapsed() < MAX_ANSWER_TIME, "{:?}", since.elapsed());

    // It may be gone already: what is in the way is replaced where that can be done.
    let _ = std::fs::remove_file(&beside);
    for denied in denying {
        let denied = denied.await.unwrap();
        assert!(denied.is_ok() || is_kind(&denied, FailureKind::Unsaved), "{denied:?}");
    }
    wait_until("both are in the file", async || {
        let file = std::fs::read_to_string(home.paths().offline_denies()).unwrap_or_default();
        file.contains("notes/erase") && file.contains("common/read")
    })
    .await;
    app.shutdown().await;
}
