//! A rejection that the store could not take, and a daemon that is killed before it could.

use portero::ipc::FailureKind;
use portero::ipc::requests::approvals::{ApproveTask, RejectTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::requests::overrides::{CreateRule, Pause, Resume};
use portero::policy::Action;

use super::*;

/// How many rules are made until the disk is full.
const MAX_RULES: usize = 2_000;

/// An approved call, which does not start since everything is paused.
async fn approve_while_paused(person: &IpcClient, session: &IpcClient) -> Task {
    person.request(SetPassphrase { old: None, new: challenge() }).await.unwrap();
    let Ok(task) = session.request(submit_request()).await else { panic!("no task") };
    person.request(Pause).await.unwrap();
    person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await.unwrap();
    *task
}

async fn reject(person: &IpcClient, task: &Task) {
    let rejected = person.request(RejectTask { task: task.id, reason: None, for_now: false }).await;
    let Err(RequestError::Refused(failure)) = rejected else { panic!("{rejected:?}") };
    assert_eq!(failure.kind, FailureKind::Unsaved, "{failure}");
    assert!(!failure.message.contains("lost if the daemon ends"), "{failure}");
}

/// The next daemon runs what was approved, if it believes that it is.
async fn starts_nothing(home: &Home, task: &Task) {
    let _daemon = home.start_daemon(None);
    let person = home.connect(PeerRole::Terminal).await;
    person.request(Resume { challenge: challenge() }).await.unwrap();
    let rest = wait_until_at_rest(&person).await.unwrap();
    assert_eq!((rest.id, rest.state, home.count_runs()), (task.id, TaskState::Denied, 0));
    check_audit("rejected", home, &person).await;
}

#[tokio::test]
async fn what_was_rejected_while_another_program_held_the_store_does_not_run_after_a_crash() {
    let home = Home::new();
    let mut daemon = home.start_daemon(None);
    let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
    let task = approve_while_paused(&person, &session).await;
    let holder = rusqlite::Connection::open(paths(home.0.path()).store()).unwrap();
    holder.busy_timeout(TEST_TIMEOUT).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    reject(&person, &task).await;
    daemon.0.kill().unwrap();
    assert!(daemon.was_killed());
    holder.execute_batch("ROLLBACK").unwrap();
    starts_nothing(&home, &task).await;
}

#[tokio::test]
async fn what_was_rejected_on_a_full_disk_does_not_run_after_a_crash() {
    let home = Home::new();
    let mut first = home.start_daemon(None);
    let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
    let task = approve_while_paused(&person, &session).await;
    person.request(StopDaemon).await.unwrap();
    assert!(first.wait_for_exit().success());

    let mut daemon = home.start_limited(512);
    let person = home.connect_or_exit(&mut daemon).await.expect("it starts");
    let mut is_full = false;
    for number in 0..MAX_RULES {
        let pattern = format!("notes/filler-{number}").parse().unwrap();
        let filling = person
            .request(CreateRule { pattern, action: Action::Deny, run_waiting: Vec::new(), challenge: None })
            .await;
        if filling.is_err() {
            is_full = true;
            break;
        }
    }
    assert!(is_full, "the disk does not fill up");
    reject(&person, &task).await;
    daemon.0.kill().unwrap();
    assert!(daemon.was_killed());
    starts_nothing(&home, &task).await;
}
