//! Time as an argument.
//!
//! Two clocks matter. People read the wall clock, and anyone can set it. The boot clock only moves forward and
//! counts suspended time too. A time limit holds only while both clocks agree.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Time since boot, suspended time included.
    pub boot: Duration,
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { wall: Timestamp::now(), boot: since_boot() }
    }
}

#[cfg(unix)]
fn since_boot() -> Duration {
    // macOS counts suspended time on its monotonic clock; Linux only on the boot-time one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

    let time = rustix::time::clock_gettime(CLOCK);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Windows has no such clock here, so this counts from the process's first use. A grant is then live only in
/// the process that made it. Sessions ask the daemon instead, so no more is permitted than was granted.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// A clock for expiry. Its wall clock never falls behind the time that has really passed since it was made,
/// even if the system's is set back. It follows a clock that is set ahead.
pub struct MonotonicWallClock {
    clock: Arc<dyn Clock>,
    started_at: Moment,
}

impl MonotonicWallClock {
    /// Starts at the present moment.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started_at: clock.now(), clock }
    }
}

impl Clock for MonotonicWallClock {
    fn now(&self) -> Moment {
        let now = self.clock.now();
        let passed = now.boot.saturating_sub(self.started_at.boot);
        let least = self.started_at.wall.checked_add(passed).unwrap_or(self.started_at.wall);
        Moment { wall: now.wall.max(least), boot: now.boot }
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct TestClock(Mutex<Moment>);

impl TestClock {
    /// A clock that shows `wall`, a day after boot.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self(Mutex::new(Moment { wall, boot: Duration::from_secs(86_400) }))
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut moment = self.0.lock().expect("no test panics while it holds the clock");
        moment.wall += by;
        moment.boot += by;
    }

    /// Sets only the wall clock, as a person or an attacker can.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.lock().expect("no test panics while it holds the clock").wall = wall;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        *self.0.lock().expect("no test panics while it holds the clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_is_not_set_back_and_follows_one_that_is_set_ahead() {
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time")));
        let steady = MonotonicWallClock::new(Arc::clone(&clock) as _);
        let began = clock.now().wall;
        let hour = Duration::from_secs(3600);
        for days in [-20_000_i64, -3, 0, 3] {
            clock.set_wall(began + jiff::SignedDuration::from_hours(24 * days));
            let ahead = Duration::from_secs(86_400) * u32::try_from(days.max(0)).expect("few");
            assert_eq!(steady.now(), Moment { wall: began + ahead, boot: clock.now().boot }, "{days} days");
        }
        clock.set_wall(began);
        clock.advance(hour);
        assert_eq!(steady.now().wall, began + hour);
        clock.set_wall(began);
        assert_eq!(steady.now().wall, began + hour, "what has passed has passed");
    }
}
