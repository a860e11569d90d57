//! Tasks under clocks that jump: none waits longer than it may, and none for ever.

use jiff::SignedDuration;
use portero::clock::MonotonicWallClock;

use super::*;

const DAY: u64 = 24 * 3600;

fn jump_wall_clock(bench: &Fixture, hours: i64) {
    bench.clock.set_wall(bench.clock.now().wall + SignedDuration::from_hours(hours));
}

/// The desk of a daemon that began before the clock jumps, as the composition root makes it.
fn queue_on_steady_clock(bench: &Fixture) -> Arc<ApprovalQueue> {
    ApprovalQueue::new(ApprovalQueueDeps {
        journal: Arc::clone(&bench.journal),
        binding_source: Arc::clone(&bench.binding_source) as _,
        policy: Arc::clone(&bench.policy),
        settings: Arc::clone(&bench.settings),
        clock: Arc::new(MonotonicWallClock::new(Arc::clone(&bench.clock) as _)),
        rejections: bench.directory.path().join("rejections"),
    })
}

#[tokio::test]
async fn what_waits_is_over_once_the_wall_clock_jumps_by_days_either_way() {
    for hours in [-24 * 20_000, -72, -2, 25, 24 * 20_000] {
        let bench = Fixture::new();
        let (pending, approved) = (bench.open_task("pending").await, bench.approve_task("approved").await);
        jump_wall_clock(&bench, hours);
        let refused =
            bench.approval_queue.approve(pending.id, Authorization::for_test(Act::Approve(pending.id))).await;
        assert_eq!(
            refused.unwrap_err(),
            ApprovalError::WrongState(pending.id, TaskState::Expired),
            "{hours} hours"
        );
        assert_eq!(bench.approval_queue.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(
            bench.approval_queue.find_task(approved.id, None).unwrap().state,
            TaskState::Expired,
            "{hours} hours"
        );
        let again = bench.open_task("pending").await;
        assert_ne!(again.id, pending.id, "it can be asked anew at once");
        assert!(
            bench
                .approval_queue
                .approve(again.id, Authorization::for_test(Act::Approve(again.id)))
                .await
                .is_ok(),
            "{hours} hours"
        );
    }
}

#[tokio::test]
async fn a_twin_from_a_time_that_is_yet_to_come_is_not_waited_with() {
    let bench = Fixture::new();
    let former = bench.open_task("hello").await;
    jump_wall_clock(&bench, -72);
    let task = bench.open_task("hello").await;
    assert_ne!(task.id, former.id);
    assert_eq!(bench.approval_queue.find_task(former.id, None).unwrap().state, TaskState::Expired);
}

#[tokio::test]
async fn a_clock_that_is_set_right_by_minutes_ends_nothing() {
    let bench = Fixture::new();
    let task = bench.open_task("hello").await;
    bench.clock.set_wall(task.asked - SignedDuration::from_mins(30));
    assert_eq!(bench.approval_queue.expire_due().await.unwrap(), 0);
    assert!(
        bench.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.is_ok()
    );
}

#[tokio::test]
async fn no_task_of_a_daemon_that_goes_on_waits_longer_because_the_clock_was_set_back() {
    for hours in [-24 * 20_000, -72, -2, 0] {
        let bench = Fixture::new();
        let desk = queue_on_steady_clock(&bench);
        let task = desk.submit_call(call("hello"), &context("/project")).await.unwrap();
        bench.clock.advance(Duration::from_secs(DAY - 60));
        jump_wall_clock(&bench, hours);
        assert_eq!(desk.expire_due().await.unwrap(), 0, "{hours} hours");
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!(desk.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(desk.find_task(task.id, None).unwrap().state, TaskState::Expired);
    }
}
