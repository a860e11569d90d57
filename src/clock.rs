//! Time as an argument.
//!
//! Two clocks matter: the wall clock, which people read and anyone can set, and the boot clock, which only
//! moves forward and counts suspended time too. What is limited in time is valid only while both agree.

use std::sync::Mutex;
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

/// On Windows the time since the process first asked stands in. A grant is then live only in the process
/// that made it, so a session asks the daemon instead: never more than was granted.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// A clock that stands still until a test moves it.
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
