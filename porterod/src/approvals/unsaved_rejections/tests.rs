//! Rejections while the store can't be written.

use portero::names::TaskId;

use super::*;
use crate::approvals::ListRejection;
use crate::approvals::tests::Fixture;
use crate::store::Durability;

/// Lets every change of these tasks fail, as on a full disk.
async fn break_store(fixture: &Fixture, which: &str) {
    let trigger = format!(
        "DROP TRIGGER IF EXISTS temp.full; CREATE TEMP TRIGGER full BEFORE UPDATE ON tasks WHEN OLD.id LIKE '{which}'
         BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    );
    let breaking = move |store: &rusqlite::Connection| Ok(store.execute_batch(&trigger)?);
    fixture.journal.store().write(Durability::StoreSynced, breaking).await.unwrap();
}

async fn mend_store(fixture: &Fixture) {
    let mending = |store: &rusqlite::Connection| Ok(store.execute_batch("DROP TRIGGER temp.full")?);
    fixture.journal.store().write(Durability::StoreSynced, mending).await.unwrap();
}

/// The state that the store holds.
fn stored(fixture: &Fixture, task: TaskId) -> TaskState {
    fixture.journal.store().read(move |store| tasks::task_state(store, task, None)).unwrap().unwrap()
}

async fn reject(fixture: &Fixture, task: &Task) {
    let rejected = fixture.approval_queue.reject(task.id, None, &"terminal".into()).await;
    assert!(matches!(rejected, Err(ApprovalError::Unsaved(..))), "{rejected:?}");
}

#[tokio::test]
async fn a_rejection_that_cannot_be_saved_keeps_no_other_from_it() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.approve_task("one").await, fixture.open_task("two").await);
    break_store(&fixture, "%").await;
    reject(&fixture, &one).await;
    reject(&fixture, &two).await;
    // They are saved in the order of their ids, and the first one fails.
    let (stuck, saved) = if one.id < two.id { (&one, &two) } else { (&two, &one) };
    break_store(&fixture, &stuck.id.to_string()).await;
    assert!(!fixture.approval_queue.rejections.retry_saves().await);
    assert_eq!(stored(&fixture, saved.id), TaskState::Denied);
    assert_ne!(stored(&fixture, stuck.id), TaskState::Denied);
    assert_eq!(fixture.approval_queue.rejections.list_unsaved().unwrap().1, [stuck.id]);
    assert!(
        fixture.approval_queue.rejections.announce_start(stuck.id).is_none(),
        "it is rejected all the same"
    );
    mend_store(&fixture).await;
    assert!(fixture.approval_queue.rejections.retry_saves().await);
    assert_eq!(
        (stored(&fixture, stuck.id), fixture.approval_queue.rejections.list_unsaved()),
        (TaskState::Denied, None)
    );
}

#[tokio::test]
async fn what_was_rejected_and_not_saved_does_not_start_after_a_crash() {
    let fixture = Fixture::new();
    let (approved, other) = (fixture.approve_task("one").await, fixture.approve_task("two").await);
    break_store(&fixture, "%").await;
    reject(&fixture, &approved).await;
    assert_eq!(stored(&fixture, approved.id), TaskState::Approved);

    let crashed = fixture.after_crash();
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
    let fixture = Fixture::new();
    let (approved, waiting) = (fixture.approve_task("one").await, fixture.open_task("two").await);
    std::fs::create_dir(fixture.directory.path().join("rejections")).unwrap();
    fixture.approval_queue.rejections.restore().await.unwrap();
    let denied = fixture.approval_queue.find_task(approved.id, None).unwrap();
    assert_eq!((denied.state, stored(&fixture, approved.id)), (TaskState::Denied, TaskState::Denied));
    assert!(denied.note.unwrap().get().contains("cannot read whether it was rejected"));
    assert_eq!(stored(&fixture, waiting.id), TaskState::PendingApproval);
}

#[tokio::test]
async fn a_rejection_that_can_be_kept_nowhere_says_that_it_may_be_lost() {
    let fixture = Fixture::new();
    let task = fixture.approve_task("one").await;
    break_store(&fixture, "%").await;
    std::fs::create_dir(fixture.directory.path().join("rejections")).unwrap();
    let rejected =
        fixture.approval_queue.reject(task.id, None, &"terminal".into()).await.unwrap_err().to_string();
    assert!(
        rejected.contains("does not run") && rejected.contains("lost if the daemon ends now"),
        "{rejected}"
    );
    assert!(fixture.approval_queue.rejections.announce_start(task.id).is_none(), "it is in force");
}

#[tokio::test]
async fn a_list_that_cannot_be_saved_is_denied_as_far_as_it_waits() {
    let fixture = Fixture::new();
    let (waiting, running) = (fixture.open_task("one").await, fixture.approve_task("two").await);
    let _started = fixture.approval_queue.rejections.announce_start(running.id).unwrap();
    break_store(&fixture, "%").await;
    let error = StoreError::Failed("disk full".to_owned());
    let listed = vec![waiting.id, running.id];
    let rejection =
        fixture.approval_queue.reject_list_unsaved(listed.clone(), None, &"telegram".into(), &error).await;
    let expected = ListRejection { denied: 1, expired: 0, unsaved: Some(error.to_string()) };
    assert_eq!(rejection, expected);
    let again = fixture.approval_queue.reject_list_unsaved(listed, None, &"telegram".into(), &error).await;
    assert_eq!(again, ListRejection::default(), "what is denied is not counted twice");
    let crashed = fixture.after_crash();
    crashed.approval_queue.rejections.restore().await.unwrap();
    assert_eq!(stored(&crashed, waiting.id), TaskState::Denied);
}
