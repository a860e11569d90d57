//! The one place that changes the store and writes the audit, together.
//!
//! The change is made, then recorded, then committed: a change without its record is undone. What narrows
//! (deny, revoke, reject, cancel) goes on without a record if it must; the record follows when it can.

use std::sync::Arc;

use portero::audit::Segment;
use portero::clock::Clock;

use crate::store::Store;

/// Store and audit, written together.
pub struct Journal {}

impl Journal {
    /// Brings them together.
    #[must_use]
    pub fn new(store: Store, audit: Arc<Segment>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let _ = (store, audit, clock);
        todo!()
    }

    /// Records a person's act that changed nothing here, and refused attempts.
    pub fn record_act(&self, act: &str, about: &str, done: bool, process: Option<&str>) {
        let _ = (act, about, done, process);
        todo!()
    }
}
