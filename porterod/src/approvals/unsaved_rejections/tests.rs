//! Rejections while the store can't be written.

use portero::names::TaskId;

use super::*;
use crate::approvals::ListRejection;
use crate::approvals::tests::Fixture;
use crate::store::Durability;

/// Lets every change of these tasks fail, as on a full disk.
async fn break_store(bench: &Fixture, which: &str) {
    let trigger = format!(
        "DROP TRIGGER IF EXISTS temp.full; CREATE TEMP TRIGGER full BEFORE UPDATE ON tasks WHEN OLD.id LIKE '{which}'
         BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    );
    let breaking = move |store: &rusqlite::Connection| Ok(store.execute_batch(&trigger)?);
    bench.journal.store().write(Durability::StoreSynced, breaking).await.unwrap();
}

async fn mend_store(bench: &Fixture) {
    let mending = |store: &rusqlite::Connection| Ok(store.execute_batch("DROP TRIGGER temp.full")?);
    bench.journal.store().write(Durability::StoreSynced, mending).await.unwrap();
}

/// The state that the store holds.
fn stored(bench: &Fixture, task: TaskId) -> TaskState {
    bench.journal.store().read(move |store| tasks::task_state(store, task, None)).unwrap().unwrap()
}

async fn reject(bench: &Fixture, task: &Task) {
    let rejected = bench.approval_queue.reject(task.id, None, &"terminal".into()).await;
    assert!(matches!(rejected, Err(ApprovalError::Unsaved(..))), "{rejected:?}");
}

#[tokio::test]
async fn a_rejection_that_cannot_be_saved_keeps_no_other_from_it() {
    let bench = Fixture::new();
    let (one, two) = (bench.approve_task("one").await, bench.open_task("two").await);
    break_store(&bench, "%").await;
    reject(&bench, &one).await;
    reject(&bench, &two).await;
    // They are saved in the order of their ids, and the first one fails.
    let (stuck, saved) = if one.id < two.id { (&one, &two) } else { (&two, &one) };
    break_store(&bench, &stuck.id.to_string()).await;
    assert!(!bench.approval_queue.rejections.retry_saves().await);
    assert_eq!(stored(&bench, saved.id), TaskState::Denied);
    assert_ne!(stored(&bench, stuck.id), TaskState::Denied);
    assert_eq!(bench.approval_queue.rejections.list_unsaved().unwrap().1, [stuck.id]);
    assert!(
        bench.approval_queue.rejections.announce_start(stuck.id).is_none(),
        "it is rejected all the same"
    );
    mend_store(&bench).await;
    assert!(bench.approval_queue.rejections.retry_saves().await);
    assert_eq!(
        (stored(&bench, stuck.id), bench.approval_queue.rejections.list_unsaved()),
        (TaskState::Denied, None)
    );
}

#[tokio::test]
async fn what_was_rejected_and_not_saved_does_not_start_after_a_crash() {
    let bench = Fixture::new();
    let (approved, other) = (bench.approve_task("one").await, bench.approve_task("two").await);
    break_store(&bench, "%").await;
    reject(&bench, &approved).await;
    assert_eq!(stored(&bench, approved.id), TaskState::Approved);

    let crashed = bench.after_crash();
    // Also where the disk is as full as before.
    break_store(&crashed, "%").await;
    crashed.approval_queue.rejections.restore().await.unwrap();
    assert!(crashed.approval_queue.rejections.announce_start(approved.id).is_none());
    assert_eq!(crashed.approval_queue.find_task(approved.id, None).unwrap().state, TaskState::Denied);
    let again = crashed.after_crash();
    again.approval_queue.rejections.restore().await.unwrap();
    assert_eq!(
        (stored(&again, approved.id), stored(&again, other.id)),
        (TaskState::Denied, TaskState::Approved)
    );
    assert!(again.approval_queue.rejections.announce_start(other.id).is_some());
    assert_eq!(again.approval_queue.rejections.list_unsaved(), None);
    assert!(again.approval_queue.rejections.reserves().await.unwrap().is_empty(), "the store holds it now");
}

#[tokio::test]
async fn where_it_cannot_be_told_what_was_rejected_nothing_that_was_approved_starts() {
    let bench = Fixture::new();
    let (approved, waiting) = (bench.approve_task("one").await, bench.open_task("two").await);
    std::fs::create_dir(bench.directory.path().join("rejections")).unwrap();
    bench.approval_queue.rejections.restore().await.unwrap();
    let denied = bench.approval_queue.find_task(approved.id, None).unwrap();
    assert_eq!((denied.state, stored(&bench, approved.id)), (TaskState::Denied, TaskState::Denied));
    assert!(denied.note.unwrap().get().contains("cannot read whether it was rejected"));
    assert_eq!(stored(&bench, waiting.id), TaskState::PendingApproval);
}

#[tokio::test]
async fn a_rejection_that_can_be_kept_nowhere_says_that_it_may_be_lost() {
    let bench = Fixture::new();
    let task = bench.approve_task("one").await;
    break_store(&bench, "%").await;
    std::fs::create_dir(bench.directory.path().join("rejections")).unwrap();
    let rejected =
        bench.approval_queue.reject(task.id, None, &"terminal".into()).await.unwrap_err().to_string();
    assert!(
        rejected.contains("does not run") && rejected.contains("lost if the daemon ends now"),
        "{rejected}"
    );
    assert!(bench.approval_queue.rejections.announce_start(task.id).is_none(), "it is in force");
}

#[tokio::test]
async fn a_list_that_cannot_be_saved_is_denied_as_far_as_it_waits() {
    let bench = Fixture::new();
    let (waiting, running) = (bench.open_task("one").await, bench.approve_task("two").await);
    let _started = bench.approval_queue.rejections.announce_start(running.id).unwrap();
    break_store(&bench, "%").await;
    let error = StoreError::Failed("disk full".to_owned());
    let listed = vec![waiting.id, running.id];
    let rejection =
        bench.approval_queue.reject_list_unsaved(listed.clone(), &"telegram".into(), &error).await;
    let expected = ListRejection { denied: 1, expired: 0, unsaved: Some(error.to_string()) };
    assert_eq!(rejection, expected);
    let again = bench.approval_queue.reject_list_unsaved(listed, &"telegram".into(), &error).await;
    assert_eq!(again, ListRejection::default(), "what is denied is not counted twice");
    let crashed = bench.after_crash();
    crashed.approval_queue.rejections.restore().await.unwrap();
    assert_eq!(stored(&crashed, waiting.id), TaskState::Denied);
}
