//! Tasks under clocks that jump: none waits longer than it may, and none for ever.

use jiff::SignedDuration;
use portero::clock::MonotonicWallClock;

use super::*;

const DAY: u64 = 24 * 3600;

fn jump_wall_clock(fixture: &Fixture, hours: i64) {
    fixture.clock.set_wall(fixture.clock.now().wall + SignedDuration::from_hours(hours));
}

/// The queue of a daemon that began before the clock jumps, as the composition root makes it.
fn queue_on_steady_clock(fixture: &Fixture) -> Arc<ApprovalQueue> {
    ApprovalQueue::new(ApprovalQueueDeps {
        journal: Arc::clone(&fixture.journal),
        binding_source: Arc::clone(&fixture.binding_source) as _,
        children: Arc::clone(&fixture.children) as _,
        server_settings: Arc::clone(&fixture.children) as _,
        policy: Arc::clone(&fixture.policy),
        grant_uses: Arc::clone(&fixture.uses) as _,
        settings: Arc::clone(&fixture.settings),
        clock: Arc::new(MonotonicWallClock::new(Arc::clone(&fixture.clock) as _)),
        rejections: fixture.directory.path().join("rejections"),
    })
}

#[tokio::test]
async fn what_waits_is_over_once_the_wall_clock_jumps_by_days_either_way() {
    for hours in [-24 * 20_000, -72, -2, 25, 24 * 20_000] {
        let fixture = Fixture::new();
        let (pending, approved) =
            (fixture.open_task("pending").await, fixture.approve_task("approved").await);
        jump_wall_clock(&fixture, hours);
        let refused = fixture
            .approval_queue
            .approve(pending.id, Authorization::for_test(Act::Approve(pending.id)))
            .await;
        assert_eq!(
            refused.unwrap_err(),
            ApprovalError::WrongState(pending.id, TaskState::Expired),
            "{hours} hours"
        );
        assert_eq!(fixture.approval_queue.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(
            fixture.approval_queue.find_task(approved.id, None).unwrap().state,
            TaskState::Expired,
            "{hours} hours"
        );
        let again = fixture.open_task("pending").await;
        assert_ne!(again.id, pending.id, "it can be asked anew at once");
        assert!(
            fixture
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
    let fixture = Fixture::new();
    let former = fixture.open_task("hello").await;
    jump_wall_clock(&fixture, -72);
    let task = fixture.open_task("hello").await;
    assert_ne!(task.id, former.id);
    assert_eq!(fixture.approval_queue.find_task(former.id, None).unwrap().state, TaskState::Expired);
}

#[tokio::test]
async fn a_clock_that_is_set_right_by_minutes_ends_nothing() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    fixture.clock.set_wall(task.asked - SignedDuration::from_mins(30));
    assert_eq!(fixture.approval_queue.expire_due().await.unwrap(), 0);
    assert!(
        fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.is_ok()
    );
}

#[tokio::test]
async fn no_task_of_a_daemon_that_goes_on_waits_longer_because_the_clock_was_set_back() {
    for hours in [-24 * 20_000, -72, -2, 0] {
        let fixture = Fixture::new();
        let queue = queue_on_steady_clock(&fixture);
        let task = queue.submit_call(call("hello"), &context("/project")).await.unwrap();
        fixture.clock.advance(Duration::from_secs(DAY - 60));
        jump_wall_clock(&fixture, hours);
        assert_eq!(queue.expire_due().await.unwrap(), 0, "{hours} hours");
        fixture.clock.advance(Duration::from_secs(60));
        assert_eq!(queue.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(queue.find_task(task.id, None).unwrap().state, TaskState::Expired);
    }
}
