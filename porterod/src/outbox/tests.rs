mod histories;

use std::time::Duration;

use portero::names::TaskId;
use portero::notice::Alarm;
use portero::task::State;

use super::*;
use crate::approval::tests::{Bench, principal};
use crate::passphrase::Confirmed;

/// The states that a channel has to tell, with their tasks.
fn states(outbox: &Outbox, channel: &str) -> Vec<(TaskId, State)> {
    let entries = outbox.next(channel).unwrap();
    assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    entries.iter().filter_map(|entry| state(&entry.notice)).collect()
}

fn state(notice: &Notice) -> Option<(TaskId, State)> {
    match notice {
        Notice::Task { task, state, .. } => Some((*task, *state)),
        _ => None,
    }
}

async fn told(bench: &Bench, channel: &str) {
    let entries = bench.outbox.next(channel).unwrap();
    bench.outbox.acknowledge(channel, entries.last().unwrap().seq).await.unwrap();
}

#[tokio::test]
async fn a_channel_is_told_each_change_once_it_acknowledges_and_again_if_it_does_not() {
    let bench = Bench::new();
    assert!(bench.outbox.register("test").await.unwrap());
    let task = bench.opened("hello").await.id;
    assert_eq!(states(&bench.outbox, "test"), [(task, State::PendingApproval)]);
    bench.desk.cancel(task, &principal("/project")).await.unwrap();
    let after = bench.after_crash();
    let both = [(task, State::PendingApproval), (task, State::Cancelled)];
    assert_eq!(states(&after.outbox, "test"), both, "what was told and not acknowledged comes again");
    let first = after.outbox.next("test").unwrap()[0].seq;
    after.outbox.acknowledge("test", first).await.unwrap();
    assert_eq!(states(&after.outbox, "test"), both[1..]);
    let after = after.after_crash();
    assert!(!after.outbox.register("test").await.unwrap(), "a channel stays registered");
    assert_eq!(states(&after.outbox, "test"), both[1..]);
    told(&after, "test").await;
    assert!(after.outbox.next("test").unwrap().is_empty());
}

#[tokio::test]
async fn an_earlier_place_takes_nothing_back_and_a_later_one_skips_nothing() {
    let bench = Bench::new();
    bench.outbox.register("test").await.unwrap();
    bench.opened("1").await;
    told(&bench, "test").await;
    bench.outbox.acknowledge("test", 0).await.unwrap();
    assert!(bench.outbox.next("test").unwrap().is_empty());
    bench.outbox.acknowledge("test", u64::MAX >> 1).await.unwrap();
    let next = bench.opened("2").await.id;
    assert_eq!(states(&bench.outbox, "test"), [(next, State::PendingApproval)]);
}

#[tokio::test]
async fn a_new_channel_begins_with_what_is_open_and_tells_others_nothing_twice() {
    let bench = Bench::new();
    bench.outbox.register("old").await.unwrap();
    let gone = bench.opened("gone").await.id;
    bench.desk.reject(gone, None, "test").await.unwrap();
    let open = bench.opened("open").await.id;
    bench.clock.advance(Duration::from_secs(1));
    let approved = bench.approved("approved").await.id;
    told(&bench, "old").await;
    bench.outbox.register("new").await.unwrap();
    let begin = [(open, State::PendingApproval), (approved, State::Approved)];
    assert_eq!(states(&bench.outbox, "new"), begin);
    assert!(bench.outbox.next("old").unwrap().is_empty());
    bench.desk.reject(open, None, "test").await.unwrap();
    assert_eq!(states(&bench.outbox, "new").last(), Some(&(open, State::Denied)));
    assert_eq!(states(&bench.outbox, "old"), [(open, State::Denied)]);
}

#[tokio::test]
async fn who_is_not_registered_gets_nothing() {
    let bench = Bench::new();
    assert!(matches!(bench.outbox.next("test"), Err(StoreError::Refused(_))));
    assert!(matches!(bench.outbox.acknowledge("test", 1).await, Err(StoreError::Refused(_))));
    bench.outbox.register("test").await.unwrap();
    assert!(bench.outbox.unregister("test").await.unwrap());
    assert!(!bench.outbox.unregister("test").await.unwrap());
    assert!(bench.outbox.next("test").is_err());
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let bench = Bench::new();
    let mut changes = bench.outbox.changes();
    changes.mark_unchanged();
    bench.opened("hello").await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    bench.journal.alarm(Alarm::Store, "look").await;
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn what_every_channel_told_is_removed_and_the_last_ones_stay_for_those_who_watch() {
    let bench = Bench::new();
    let limits = Limits { latest: 3, most: 100, seconds: 3600, every: 1 };
    bench.outbox.register("quick").await.unwrap();
    bench.outbox.register("slow").await.unwrap();
    for text in ["1", "2", "3", "4", "5"] {
        bench.opened(text).await;
    }
    told(&bench, "quick").await;
    tidy(&bench, limits).await;
    assert_eq!(states(&bench.outbox, "slow").len(), 5);
    told(&bench, "slow").await;
    tidy(&bench, limits).await;
    assert_eq!(bench.outbox.after(0).unwrap(), After::Removed);
    let After::Entries(left) = bench.outbox.after(2).unwrap() else { panic!("removed") };
    assert_eq!(left.len(), 3);
    assert_eq!(bench.outbox.last().unwrap(), 5);
}

#[tokio::test]
async fn too_many_notices_collapse_to_the_last_of_each_task_and_nothing_open_is_lost() {
    let bench = Bench::new();
    let limits = Limits { latest: 0, most: 20, seconds: 3600, every: 1 };
    bench.outbox.register("away").await.unwrap();
    let open = bench.opened("open").await.id;
    let mut ended = Vec::new();
    for number in 0..10 {
        let task = bench.opened(&number.to_string()).await.id;
        bench.desk.reject(task, None, "test").await.unwrap();
        ended.push((task, State::Denied));
    }
    tidy(&bench, limits).await;
    let all: Vec<_> = [(open, State::PendingApproval)].into_iter().chain(ended).collect();
    assert_eq!(states(&bench.outbox, "away"), all, "only the last one of each");
    for number in 0..30 {
        bench.journal.alarm(Alarm::Store, &number.to_string()).await;
    }
    tidy(&bench, limits).await;
    let left = bench.outbox.next("away").unwrap();
    assert!(left.len() <= 20, "{}", left.len());
    assert_eq!(state(&left[0].notice), Some((open, State::PendingApproval)), "an open task stays");
    let lost = &left.last().unwrap().notice;
    assert!(matches!(lost, Notice::Alarm { alarm: Alarm::Lost, .. }), "what is lost is told: {lost:?}");
    assert_eq!(bench.outbox.after(40).unwrap(), After::Removed);
    assert_eq!(bench.outbox.after(1000).unwrap(), After::Removed, "there is no such place");
}

#[tokio::test]
async fn what_waits_too_long_is_removed_unless_its_task_is_open_and_a_person_is_told_so() {
    let bench = Bench::new();
    let limits = Limits { latest: 0, most: 100, seconds: 3600, every: 1 };
    bench.outbox.register("away").await.unwrap();
    let open = bench.opened("open").await.id;
    let gone = bench.opened("gone").await.id;
    bench.desk.reject(gone, None, "test").await.unwrap();
    bench.clock.advance(Duration::from_secs(3000));
    tidy(&bench, limits).await;
    assert_eq!(bench.outbox.next("away").unwrap().len(), 3);
    bench.clock.advance(Duration::from_secs(3000));
    tidy(&bench, limits).await;
    let left = bench.outbox.next("away").unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(state(&left[0].notice), Some((open, State::PendingApproval)));
    assert!(matches!(left[1].notice, Notice::Alarm { alarm: Alarm::Lost, .. }));
}

async fn tidy(bench: &Bench, limits: Limits) {
    let now = bench.journal.now().wall;
    bench.outbox.write(move |connection| kept::tidy(connection, now, limits)).await.unwrap();
}

#[tokio::test]
async fn putting_notices_down_removes_what_is_told_by_itself() {
    let bench = Bench::new();
    let rounds = Limits::REAL.latest + 2 * Limits::REAL.every;
    for number in 0..rounds {
        bench.journal.alarm(Alarm::Store, &number.to_string()).await;
    }
    assert_eq!(bench.outbox.after(0).unwrap(), After::Removed);
    assert_eq!(bench.outbox.last().unwrap(), rounds);
}
