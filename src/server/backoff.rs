//! How long a server that failed is left alone.

use std::time::Duration;

/// The pause after the first failure.
const FIRST_RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// The longest pause.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// A server that ran this long starts with a clean slate.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a failure of a server that was ready for `ran`, or never.
    pub(super) fn next_pause(&mut self, ran: Duration) -> Duration {
        if ran >= STABLE_AFTER {
            self.failures = 0;
        }
        let pause = FIRST_RETRY_INTERVAL.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_INTERVAL);
        self.failures += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_a_stable_run_forgives() {
        let mut backoff = Backoff::default();
        let millis: Vec<u128> = (0..9).map(|_| backoff.next_pause(Duration::ZERO).as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.next_pause(Duration::from_secs(59)), MAX_RETRY_INTERVAL);
        assert_eq!(backoff.next_pause(Duration::from_secs(60)), FIRST_RETRY_INTERVAL);
    }
}
