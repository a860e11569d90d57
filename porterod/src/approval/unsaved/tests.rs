//! Rejections while the store can't be written.

use portero::names::TaskId;

use super::*;
use crate::approval::tests::Bench;
use crate::store::Records;

/// Lets every change of these tasks fail, as on a full disk.
async fn break_store(bench: &Bench, which: &str) {
    let trigger = format!(
        "DROP TRIGGER IF EXISTS temp.full; CREATE TEMP TRIGGER full BEFORE UPDATE ON tasks WHEN OLD.id LIKE '{which}'
         BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    );
    let breaking = move |store: &rusqlite::Connection| Ok(store.execute_batch(&trigger)?);
    bench.journal.store().write(Records::None, breaking).await.unwrap();
}

async fn mend_store(bench: &Bench) {
    let mending = |store: &rusqlite::Connection| Ok(store.execute_batch("DROP TRIGGER temp.full")?);
    bench.journal.store().write(Records::None, mending).await.unwrap();
}

/// The state that the store holds.
fn stored(bench: &Bench, task: TaskId) -> State {
    bench.journal.store().read(move |store| tasks::state(store, task, None)).unwrap().unwrap()
}

async fn reject(bench: &Bench, task: &Task) {
    let rejected = bench.desk.reject(task.id, None, "terminal").await;
    assert!(matches!(rejected, Err(DeskError::Unsaved(..))), "{rejected:?}");
}

#[tokio::test]
async fn a_rejection_that_cannot_be_saved_keeps_no_other_from_it() {
    let bench = Bench::new();
    let (one, two) = (bench.approved("one").await, bench.opened("two").await);
    break_store(&bench, "%").await;
    reject(&bench, &one).await;
    reject(&bench, &two).await;
    // They are saved in the order of their ids, and the first one fails.
    let (stuck, saved) = if one.id < two.id { (&one, &two) } else { (&two, &one) };
    break_store(&bench, &stuck.id.to_string()).await;
    assert!(!bench.desk.save_rejections_again().await);
    assert_eq!(stored(&bench, saved.id), State::Denied);
    assert_ne!(stored(&bench, stuck.id), State::Denied);
    assert_eq!(bench.desk.unsaved().unwrap().1, [stuck.id]);
    assert!(bench.desk.starting(stuck.id).is_none(), "it is rejected all the same");
    mend_store(&bench).await;
    assert!(bench.desk.save_rejections_again().await);
    assert_eq!((stored(&bench, stuck.id), bench.desk.unsaved()), (State::Denied, None));
}

#[tokio::test]
async fn what_was_rejected_and_not_saved_does_not_start_after_a_crash() {
    let bench = Bench::new();
    let (approved, other) = (bench.approved("one").await, bench.approved("two").await);
    break_store(&bench, "%").await;
    reject(&bench, &approved).await;
    assert_eq!(stored(&bench, approved.id), State::Approved);

    let crashed = bench.after_crash();
    // Also where the disk is as full as before.
    break_store(&crashed, "%").await;
    crashed.desk.restore_rejections().await.unwrap();
    assert!(crashed.desk.starting(approved.id).is_none());
    assert_eq!(crashed.desk.task(approved.id, None).unwrap().state, State::Denied);
    let again = crashed.after_crash();
    again.desk.restore_rejections().await.unwrap();
    assert_eq!((stored(&again, approved.id), stored(&again, other.id)), (State::Denied, State::Approved));
    assert!(again.desk.starting(other.id).is_some());
    assert_eq!(again.desk.unsaved(), None);
    assert!(again.desk.rejections.reserves().await.unwrap().is_empty(), "the store holds it now");
}

#[tokio::test]
async fn where_it_cannot_be_told_what_was_rejected_nothing_that_was_approved_starts() {
    let bench = Bench::new();
    let (approved, waiting) = (bench.approved("one").await, bench.opened("two").await);
    std::fs::create_dir(bench.directory.path().join("rejections")).unwrap();
    bench.desk.restore_rejections().await.unwrap();
    let denied = bench.desk.task(approved.id, None).unwrap();
    assert_eq!((denied.state, stored(&bench, approved.id)), (State::Denied, State::Denied));
    assert!(denied.note.unwrap().get().contains("cannot read whether it was rejected"));
    assert_eq!(stored(&bench, waiting.id), State::PendingApproval);
}

#[tokio::test]
async fn a_rejection_that_can_be_kept_nowhere_says_that_it_may_be_lost() {
    let bench = Bench::new();
    let task = bench.approved("one").await;
    break_store(&bench, "%").await;
    std::fs::create_dir(bench.directory.path().join("rejections")).unwrap();
    let rejected = bench.desk.reject(task.id, None, "terminal").await.unwrap_err().to_string();
    assert!(
        rejected.contains("does not run") && rejected.contains("lost if the daemon ends now"),
        "{rejected}"
    );
    assert!(bench.desk.starting(task.id).is_none(), "it is in force");
}

#[tokio::test]
async fn a_list_that_cannot_be_saved_is_denied_as_far_as_it_waits() {
    let bench = Bench::new();
    let (waiting, running) = (bench.opened("one").await, bench.approved("two").await);
    let _started = bench.desk.starting(running.id).unwrap();
    break_store(&bench, "%").await;
    let error = StoreError::Failed("disk full".to_owned());
    let listed = vec![waiting.id, running.id];
    let rejection = bench.desk.reject_list_unsaved(listed.clone(), "telegram", &error).await;
    let expected = ListRejection { denied: 1, expired: 0, unsaved: Some(error.to_string()) };
    assert_eq!(rejection, expected);
    let again = bench.desk.reject_list_unsaved(listed, "telegram", &error).await;
    assert_eq!(again, ListRejection::default(), "what is denied is not counted twice");
    let crashed = bench.after_crash();
    crashed.desk.restore_rejections().await.unwrap();
    assert_eq!(stored(&crashed, waiting.id), State::Denied);
}
