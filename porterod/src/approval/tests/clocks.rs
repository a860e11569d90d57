//! Tasks under clocks that jump: none waits longer than it may, and none for ever.

use jiff::SignedDuration;
use portero::clock::Steady;

use super::*;

const DAY: u64 = 24 * 3600;

fn jump(bench: &Bench, hours: i64) {
    bench.clock.set_wall(bench.clock.now().wall + SignedDuration::from_hours(hours));
}

/// The desk of a daemon that began before the clock jumps, as the composition root makes it.
fn steady(bench: &Bench) -> Arc<Desk> {
    Desk::new(DeskParts {
        journal: Arc::clone(&bench.journal),
        grounds: Arc::clone(&bench.ground) as _,
        policy: Arc::clone(&bench.policy),
        settings: Arc::clone(&bench.settings),
        clock: Arc::new(Steady::new(Arc::clone(&bench.clock) as _)),
        rejections: bench.directory.path().join("rejections"),
    })
}

#[tokio::test]
async fn what_waits_is_over_once_the_wall_clock_jumps_by_days_either_way() {
    for hours in [-24 * 20_000, -72, -2, 25, 24 * 20_000] {
        let bench = Bench::new();
        let (pending, approved) = (bench.opened("pending").await, bench.approved("approved").await);
        jump(&bench, hours);
        let refused = bench.desk.approve(pending.id, Confirmed::by_test()).await;
        assert_eq!(refused.unwrap_err(), DeskError::Settled(pending.id, State::Expired), "{hours} hours");
        assert_eq!(bench.desk.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(bench.desk.task(approved.id, None).unwrap().state, State::Expired, "{hours} hours");
        let again = bench.opened("pending").await;
        assert_ne!(again.id, pending.id, "it can be asked anew at once");
        assert!(bench.desk.approve(again.id, Confirmed::by_test()).await.is_ok(), "{hours} hours");
    }
}

#[tokio::test]
async fn a_twin_from_a_time_that_is_yet_to_come_is_not_waited_with() {
    let bench = Bench::new();
    let former = bench.opened("hello").await;
    jump(&bench, -72);
    let task = bench.opened("hello").await;
    assert_ne!(task.id, former.id);
    assert_eq!(bench.desk.task(former.id, None).unwrap().state, State::Expired);
}

#[tokio::test]
async fn a_clock_that_is_set_right_by_minutes_ends_nothing() {
    let bench = Bench::new();
    let task = bench.opened("hello").await;
    bench.clock.set_wall(task.asked - SignedDuration::from_mins(30));
    assert_eq!(bench.desk.expire_due().await.unwrap(), 0);
    assert!(bench.desk.approve(task.id, Confirmed::by_test()).await.is_ok());
}

#[tokio::test]
async fn no_task_of_a_daemon_that_goes_on_waits_longer_because_the_clock_was_set_back() {
    for hours in [-24 * 20_000, -72, -2, 0] {
        let bench = Bench::new();
        let desk = steady(&bench);
        let task = desk.submit(call("hello"), &context("/project")).await.unwrap();
        bench.clock.advance(Duration::from_secs(DAY - 60));
        jump(&bench, hours);
        assert_eq!(desk.expire_due().await.unwrap(), 0, "{hours} hours");
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!(desk.expire_due().await.unwrap(), 1, "{hours} hours");
        assert_eq!(desk.task(task.id, None).unwrap().state, State::Expired);
    }
}
