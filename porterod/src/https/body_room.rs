//! The room of all request bodies together. Each takes what it may grow to, and, once it was read, what it holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use portero::sync::lock;

/// A principal's share of the whole. The largest body that can be configured fits into it.
const SHARES: u64 = 4;

/// The room that is taken, in all and by each principal.
#[derive(Debug)]
pub(super) struct BodyRoom {
    bytes: u64,
    taken: Mutex<TakenRoom>,
}

#[derive(Debug, Default)]
struct TakenRoom {
    all: u64,
    by_principal: HashMap<String, u64>,
}

/// The room of one body; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct BodyPermit {
    room: Arc<BodyRoom>,
    principal: String,
    bytes: u64,
}

impl BodyRoom {
    /// So many bytes for all.
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { bytes, taken: Mutex::default() })
    }

    /// Takes room for a body of this principal; none if its share or the whole is taken.
    pub(super) fn take(self: &Arc<Self>, principal: &str, bytes: u64) -> Option<BodyPermit> {
        let mut taken = lock(&self.taken);
        let of_principal = taken.by_principal.get(principal).copied().unwrap_or(0);
        if of_principal + bytes > self.bytes / SHARES || taken.all + bytes > self.bytes {
            return None;
        }
        taken.all += bytes;
        taken.by_principal.insert(principal.to_owned(), of_principal + bytes);
        Some(BodyPermit { room: Arc::clone(self), principal: principal.to_owned(), bytes })
    }
}

impl BodyPermit {
    /// The body was read, and is this long.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        self.free(freed);
    }

    fn free(&self, bytes: u64) {
        let mut taken = lock(&self.room.taken);
        taken.all -= bytes;
        match taken.by_principal.get_mut(&self.principal) {
            Some(of_principal) if *of_principal > bytes => *of_principal -= bytes,
            _ => {
                taken.by_principal.remove(&self.principal);
            }
        }
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.free(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_room_of_the_others() {
        let room = BodyRoom::new(100);
        let first = room.take("a", 20).expect("room");
        assert!(room.take("a", 6).is_none(), "its share is taken");
        let others: Vec<_> = ["b", "c", "d"].map(|name| room.take(name, 25).expect("room")).into();
        assert!(room.take("e", 6).is_none(), "all is taken");
        assert!(room.take("e", 5).is_some());
        drop((first, others));
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_principal.is_empty());
    }

    #[test]
    fn a_body_that_was_read_takes_what_it_holds() {
        let room = BodyRoom::new(100);
        let mut large = room.take("a", 25).expect("room");
        large.shrink_to(2);
        let mut small = room.take("a", 23).expect("room");
        assert!(room.take("a", 1).is_none());
        small.shrink_to(0);
        assert!(room.take("a", 23).is_some());
        drop(large);
        assert!(room.take("a", 25).is_some());
        drop(small);
        assert!(lock(&room.taken).by_principal.is_empty());
    }
}
