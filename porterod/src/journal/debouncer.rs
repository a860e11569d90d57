//! Passes the first item of each kind and gathers those that follow within a window. So repeated events don't
//! flood a person and none is lost: the gathered ones come later as one.

use std::collections::BTreeMap;
use std::time::Duration;

/// Gathers items `T` of kinds `K`. Times are since boot, so setting the wall clock has no effect.
#[derive(Debug)]
pub struct Debouncer<K, T> {
    window: Duration,
    kinds: BTreeMap<K, DebouncedKind<T>>,
}

#[derive(Debug)]
struct DebouncedKind<T> {
    /// When the last item passed, which is when the window began.
    since: Duration,
    gathered: Option<T>,
}

impl<K: Ord + Clone, T> Debouncer<K, T> {
    /// A debouncer with this window.
    #[must_use]
    pub const fn new(lasts: Duration) -> Self {
        Self { window: lasts, kinds: BTreeMap::new() }
    }

    /// Adds an item. Returns it, joined with the gathered ones, if the window is over; otherwise gathers it.
    pub fn admit(&mut self, kind: K, thing: T, now: Duration, join: impl FnOnce(&mut T, T)) -> Option<T> {
        let lasts = self.window;
        let Some(known) = self.kinds.get_mut(&kind) else {
            self.kinds.insert(kind, DebouncedKind { since: now, gathered: None });
            return Some(thing);
        };
        let gathered = match known.gathered.take() {
            Some(mut gathered) => {
                join(&mut gathered, thing);
                gathered
            }
            None => thing,
        };
        // The window is measured from the last item that passed, not from the last one gathered: a steady
        // stream therefore passes once per window, and can't hold itself back for ever.
        if now.saturating_sub(known.since) < lasts {
            known.gathered = Some(gathered);
            return None;
        }
        known.since = now;
        Some(gathered)
    }

    /// Removes and returns everything whose window is over. A new window begins for it.
    pub fn take_due(&mut self, now: Duration) -> Vec<(K, T)> {
        let lasts = self.window;
        // A kind that had no repetition within its window is forgotten, so the map stays as small as the
        // recent kinds.
        self.kinds.retain(|_, kind| kind.gathered.is_some() || now.saturating_sub(kind.since) < lasts);
        self.take_where(now, |since| now.saturating_sub(since) >= lasts)
    }

    /// Removes and returns everything that was gathered.
    pub fn take_all(&mut self, now: Duration) -> Vec<(K, T)> {
        self.take_where(now, |_| true)
    }

    /// Whether anything is gathered.
    #[must_use]
    pub fn has_gathered(&self) -> bool {
        self.kinds.values().any(|kind| kind.gathered.is_some())
    }

    /// The number of recent kinds.
    #[must_use]
    pub fn kind_count(&self) -> usize {
        self.kinds.len()
    }

    fn take_where(&mut self, now: Duration, which: impl Fn(Duration) -> bool) -> Vec<(K, T)> {
        let mut taken = Vec::new();
        for (key, kind) in &mut self.kinds {
            if which(kind.since)
                && let Some(gathered) = kind.gathered.take()
            {
                kind.since = now;
                taken.push((key.clone(), gathered));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn add(to: &mut u64, more: u64) {
        *to += more;
    }

    #[test]
    fn the_first_goes_through_and_the_others_come_together() {
        let mut debouncer = Debouncer::new(5 * MINUTE);
        assert_eq!(debouncer.admit("a", 1, MINUTE, add), Some(1));
        for second in 0..100 {
            assert_eq!(debouncer.admit("a", 1, MINUTE + Duration::from_secs(second), add), None);
        }
        assert_eq!(debouncer.admit("b", 7, 2 * MINUTE, add), Some(7), "another kind is another matter");
        assert_eq!(debouncer.take_due(5 * MINUTE), []);
        assert_eq!(debouncer.take_due(6 * MINUTE), [("a", 100)]);
        assert_eq!(debouncer.take_due(6 * MINUTE), [], "once");
        assert_eq!(debouncer.admit("a", 1, 7 * MINUTE, add), None, "another while began");
        assert_eq!(
            debouncer.admit("a", 1, 20 * MINUTE, add),
            Some(2),
            "nothing is lost, whoever looks first"
        );
    }

    #[test]
    fn who_wants_all_of_it_gets_it_and_what_is_long_ago_is_forgotten() {
        let mut debouncer = Debouncer::new(MINUTE);
        for kind in ["a", "b"] {
            debouncer.admit(kind, 1, MINUTE, add);
            debouncer.admit(kind, 1, MINUTE, add);
        }
        assert_eq!(debouncer.take_all(MINUTE), [("a", 1), ("b", 1)]);
        assert_eq!((debouncer.take_all(MINUTE), debouncer.kind_count()), (vec![], 2));
        assert_eq!((debouncer.take_due(3 * MINUTE), debouncer.kind_count()), (vec![], 0));
        assert_eq!(debouncer.admit("a", 1, 3 * MINUTE, add), Some(1));
    }
}
