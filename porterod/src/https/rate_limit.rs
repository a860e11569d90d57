//! How often one may ask: a token bucket for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use portero::sync::lock;

/// The most buckets that are kept. A full bucket says nothing, and goes first.
const MAX_BUCKETS: usize = 10_000;
/// A bucket holds what comes in so many seconds, so this is how long a burst may be.
const BURST_SECONDS: f64 = 10.0;
const SECONDS_OF_A_MINUTE: f64 = 60.0;

/// A token bucket for each key. A bucket begins full.
#[derive(Debug)]
pub(super) struct RateLimit<K> {
    /// Tokens in a second.
    rate: f64,
    capacity: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl<K: Hash + Eq> RateLimit<K> {
    /// Permits so many in a minute, a sixth of them at once.
    pub(super) fn per_minute(limit: u32) -> Self {
        let rate = f64::from(limit) / SECONDS_OF_A_MINUTE;
        Self { rate, capacity: (rate * BURST_SECONDS).max(1.0), buckets: Mutex::default() }
    }

    /// Takes a token at this time of the boot clock.
    ///
    /// # Errors
    /// How long it takes until there is one, if there is none now.
    pub(super) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.capacity);
            if buckets.len() >= MAX_BUCKETS {
                return Err(Duration::from_secs_f64(BURST_SECONDS));
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.capacity, at: now });
        let tokens = self.refilled(*bucket, now);
        if tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - tokens) / self.rate));
        }
        *bucket = Bucket { tokens: tokens - 1.0, at: now };
        Ok(())
    }

    fn refilled(&self, bucket: Bucket, now: Duration) -> f64 {
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        passed.mul_add(self.rate, bucket.tokens).min(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    #[test]
    fn a_burst_is_permitted_and_then_the_rate() {
        let limit = RateLimit::per_minute(60);
        for _ in 0..10 {
            assert_eq!(limit.take("a", START), Ok(()));
        }
        assert_eq!(limit.take("a", START), Err(Duration::from_secs(1)));
        assert_eq!(limit.take("b", START), Ok(()), "each has a bucket");
        assert_eq!(limit.take("a", START + Duration::from_secs(1)), Ok(()));
        assert!(limit.take("a", START + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_full_buckets_make_room() {
        let limit = RateLimit::per_minute(60);
        for key in 0..MAX_BUCKETS {
            assert_eq!(limit.take(key, START), Ok(()));
        }
        assert!(limit.take(MAX_BUCKETS, START).is_err());
        assert_eq!(limit.take(0, START), Ok(()), "a known one is not shut out");
        assert_eq!(limit.take(MAX_BUCKETS, START + Duration::from_secs(2)), Ok(()));
        assert!(lock(&limit.buckets).len() < 3);
    }
}
