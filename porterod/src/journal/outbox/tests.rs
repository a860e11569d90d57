mod histories;

use std::time::Duration;

use portero::names::TaskId;
use portero::notice::AlarmKind;
use portero::task::TaskState;

use super::*;
use crate::approvals::tests::{Fixture, principal};
use crate::auth::Authorization;

/// The states that a channel has to tell, with their tasks.
fn states(outbox: &Outbox, channel: &str) -> Vec<(TaskId, TaskState)> {
    let entries = outbox.next_entries(channel).unwrap();
    assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    entries.iter().filter_map(|entry| state(&entry.notice)).collect()
}

fn state(notice: &Notice) -> Option<(TaskId, TaskState)> {
    match notice {
        Notice::Task { task, state, .. } => Some((*task, *state)),
        _ => None,
    }
}

async fn acknowledge_all(fixture: &Fixture, channel: &str) {
    let entries = fixture.outbox.next_entries(channel).unwrap();
    fixture.outbox.acknowledge(channel, entries.last().unwrap().seq).await.unwrap();
}

#[tokio::test]
async fn a_channel_is_told_each_change_once_it_acknowledges_and_again_if_it_does_not() {
    let fixture = Fixture::new();
    assert!(fixture.outbox.register_channel("test").await.unwrap());
    let task = fixture.open_task("hello").await.id;
    assert_eq!(states(&fixture.outbox, "test"), [(task, TaskState::PendingApproval)]);
    fixture.approval_queue.cancel(task, &principal("/project")).await.unwrap();
    let after = fixture.after_crash();
    let both = [(task, TaskState::PendingApproval), (task, TaskState::Cancelled)];
    assert_eq!(states(&after.outbox, "test"), both, "what was told and not acknowledged comes again");
    let first = after.outbox.next_entries("test").unwrap()[0].seq;
    after.outbox.acknowledge("test", first).await.unwrap();
    assert_eq!(states(&after.outbox, "test"), both[1..]);
    let after = after.after_crash();
    assert!(!after.outbox.register_channel("test").await.unwrap(), "a channel stays registered");
    assert_eq!(states(&after.outbox, "test"), both[1..]);
    acknowledge_all(&after, "test").await;
    assert!(after.outbox.next_entries("test").unwrap().is_empty());
}

#[tokio::test]
async fn an_earlier_place_takes_nothing_back_and_a_later_one_skips_nothing() {
    let fixture = Fixture::new();
    fixture.outbox.register_channel("test").await.unwrap();
    fixture.open_task("1").await;
    acknowledge_all(&fixture, "test").await;
    fixture.outbox.acknowledge("test", 0).await.unwrap();
    assert!(fixture.outbox.next_entries("test").unwrap().is_empty());
    fixture.outbox.acknowledge("test", u64::MAX >> 1).await.unwrap();
    let next = fixture.open_task("2").await.id;
    assert_eq!(states(&fixture.outbox, "test"), [(next, TaskState::PendingApproval)]);
}

#[tokio::test]
async fn a_new_channel_begins_with_what_is_open_and_tells_others_nothing_twice() {
    let fixture = Fixture::new();
    fixture.outbox.register_channel("old").await.unwrap();
    let gone = fixture.open_task("gone").await.id;
    fixture.approval_queue.reject(gone, None, &"test".into()).await.unwrap();
    let open = fixture.open_task("open").await.id;
    fixture.clock.advance(Duration::from_secs(1));
    let approved = fixture.approve_task("approved").await.id;
    acknowledge_all(&fixture, "old").await;
    fixture.outbox.register_channel("new").await.unwrap();
    let begin = [(open, TaskState::PendingApproval), (approved, TaskState::Approved)];
    assert_eq!(states(&fixture.outbox, "new"), begin);
    assert!(fixture.outbox.next_entries("old").unwrap().is_empty());
    fixture.approval_queue.reject(open, None, &"test".into()).await.unwrap();
    assert_eq!(states(&fixture.outbox, "new").last(), Some(&(open, TaskState::Denied)));
    assert_eq!(states(&fixture.outbox, "old"), [(open, TaskState::Denied)]);
}

#[tokio::test]
async fn who_is_not_registered_gets_nothing() {
    let fixture = Fixture::new();
    assert!(matches!(fixture.outbox.next_entries("test"), Err(StoreError::Refused(_))));
    assert!(matches!(fixture.outbox.acknowledge("test", 1).await, Err(StoreError::Refused(_))));
    fixture.outbox.register_channel("test").await.unwrap();
    assert!(fixture.outbox.unregister_channel("test").await.unwrap());
    assert!(!fixture.outbox.unregister_channel("test").await.unwrap());
    assert!(fixture.outbox.next_entries("test").is_err());
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let fixture = Fixture::new();
    let mut changes = fixture.outbox.subscribe();
    changes.mark_unchanged();
    fixture.open_task("hello").await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    fixture.journal.raise_alarm(AlarmKind::Store, "look").await;
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn what_every_channel_told_is_removed_and_the_last_ones_stay_for_those_who_watch() {
    let fixture = Fixture::new();
    let limits = OutboxLimits { min_kept: 3, max_waiting: 100, max_age_seconds: 3600, prune_every: 1 };
    fixture.outbox.register_channel("quick").await.unwrap();
    fixture.outbox.register_channel("slow").await.unwrap();
    for text in ["1", "2", "3", "4", "5"] {
        fixture.open_task(text).await;
    }
    acknowledge_all(&fixture, "quick").await;
    prune_notices(&fixture, limits).await;
    assert_eq!(states(&fixture.outbox, "slow").len(), 5);
    acknowledge_all(&fixture, "slow").await;
    prune_notices(&fixture, limits).await;
    assert_eq!(fixture.outbox.entries_after(0).unwrap(), NoticesAfter::Removed);
    let NoticesAfter::Entries(left) = fixture.outbox.entries_after(2).unwrap() else { panic!("removed") };
    assert_eq!(left.len(), 3);
    assert_eq!(fixture.outbox.last_seq().unwrap(), 5);
}

#[tokio::test]
async fn too_many_notices_collapse_to_the_last_of_each_task_and_nothing_open_is_lost() {
    let fixture = Fixture::new();
    let limits = OutboxLimits { min_kept: 0, max_waiting: 20, max_age_seconds: 3600, prune_every: 1 };
    fixture.outbox.register_channel("away").await.unwrap();
    let open = fixture.open_task("open").await.id;
    let mut ended = Vec::new();
    for number in 0..10 {
        let task = fixture.open_task(&number.to_string()).await.id;
        fixture.approval_queue.reject(task, None, &"test".into()).await.unwrap();
        ended.push((task, TaskState::Denied));
    }
    prune_notices(&fixture, limits).await;
    let all: Vec<_> = [(open, TaskState::PendingApproval)].into_iter().chain(ended).collect();
    assert_eq!(states(&fixture.outbox, "away"), all, "only the last one of each");
    for number in 0..30 {
        fixture.journal.raise_alarm(AlarmKind::Store, &number.to_string()).await;
    }
    prune_notices(&fixture, limits).await;
    let left = fixture.outbox.next_entries("away").unwrap();
    assert!(left.len() <= 20, "{}", left.len());
    assert_eq!(state(&left[0].notice), Some((open, TaskState::PendingApproval)), "an open task stays");
    let lost = &left.last().unwrap().notice;
    assert!(matches!(lost, Notice::Alarm { alarm: AlarmKind::Lost, .. }), "what is lost is told: {lost:?}");
    assert_eq!(fixture.outbox.entries_after(40).unwrap(), NoticesAfter::Removed);
    assert_eq!(fixture.outbox.entries_after(1000).unwrap(), NoticesAfter::Removed, "there is no such place");
}

#[tokio::test]
async fn what_waits_too_long_is_removed_unless_its_task_is_open_and_a_person_is_told_so() {
    let fixture = Fixture::new();
    let limits = OutboxLimits { min_kept: 0, max_waiting: 100, max_age_seconds: 3600, prune_every: 1 };
    fixture.outbox.register_channel("away").await.unwrap();
    let open = fixture.open_task("open").await.id;
    let gone = fixture.open_task("gone").await.id;
    fixture.approval_queue.reject(gone, None, &"test".into()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3000));
    prune_notices(&fixture, limits).await;
    assert_eq!(fixture.outbox.next_entries("away").unwrap().len(), 3);
    fixture.clock.advance(Duration::from_secs(3000));
    prune_notices(&fixture, limits).await;
    let left = fixture.outbox.next_entries("away").unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(state(&left[0].notice), Some((open, TaskState::PendingApproval)));
    assert!(matches!(left[1].notice, Notice::Alarm { alarm: AlarmKind::Lost, .. }));
}

async fn prune_notices(fixture: &Fixture, limits: OutboxLimits) {
    let now = fixture.journal.now().wall;
    fixture.outbox.write_store(move |connection| kept::prune_notices(connection, now, limits)).await.unwrap();
}

#[tokio::test]
async fn putting_notices_down_removes_what_is_told_by_itself() {
    let fixture = Fixture::new();
    let rounds = OutboxLimits::PRODUCTION.min_kept + 2 * OutboxLimits::PRODUCTION.prune_every;
    for number in 0..rounds {
        fixture.journal.raise_alarm(AlarmKind::Store, &number.to_string()).await;
    }
    assert_eq!(fixture.outbox.entries_after(0).unwrap(), NoticesAfter::Removed);
    assert_eq!(fixture.outbox.last_seq().unwrap(), rounds);
}
