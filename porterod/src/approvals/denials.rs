//! Denials of single calls: which ones hold, for the sessions, and for a call that would ask again.
//!
//! The store has each denial from the transaction that denied its task. [`ApprovalQueue::call_denials`] turns
//! them into the form in which policy decides by them, everywhere.

use std::time::Duration;

use jiff::Timestamp;
use portero::binding::{fingerprint, fingerprint_key};
use portero::call::Call;
use portero::clock::Moment;
use portero::names::Principal;
use portero::pipeline::Refusal;
use portero::policy::{CallDenial, CallDenials};
use portero::task::Task;

use super::queue::{ApprovalQueue, store_refusal};
use crate::store::denials::{self, Denial};
use crate::store::{StoreError, overrides};

impl ApprovalQueue {
    /// The denials of single calls whose cool-down runs, with those that the store could not take yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn call_denials(&self) -> Result<CallDenials, StoreError> {
        let (now, lasts) = (self.deps.clock.now(), self.deps.settings.load().deny_cooldown);
        let since = now.wall.checked_sub(lasts).unwrap_or(Timestamp::MIN);
        let (key, found) =
            self.deps.journal.store().read(move |store| {
                Ok((overrides::binding_key(store)?, denials::list_denials(store, since)?))
            })?;
        let mut list: Vec<CallDenial> = found
            .into_iter()
            .map(|(principal, call, denial)| timed_denial(principal, call, denial, now, lasts))
            .collect();
        for unsaved in self.rejections.list_cooling() {
            // The task may be gone, or its call unreadable by now; then there is no call to refuse.
            if let Ok(Task { call, origin, .. }) = self.find_task(unsaved.task, None)
                && let Ok(call) = fingerprint(&key, &call)
            {
                list.push(timed_denial(origin.principal, call, unsaved, now, lasts));
            }
        }
        list.retain(|denial| denial.is_live(now));
        Ok(CallDenials { key: fingerprint_key(&key), list })
    }

    /// The end of the cool-down of this call after a denial; none if the call may ask now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deny_cooldown(&self, ended: &Task, call: &Call) -> Result<Option<Timestamp>, Refusal> {
        let store = self.deps.journal.store();
        let key = store.read(overrides::binding_key).map_err(store_refusal)?;
        let (fingerprint, principal) = (fingerprint(&key, call)?, ended.origin.principal.clone());
        let found = store.read(move |store| denials::find_denial(store, &principal, &fingerprint));
        let (now, lasts) = (self.deps.clock.now(), self.deps.settings.load().deny_cooldown);
        let (asker, policy) = (ended.origin.asker(), self.deps.policy.load());
        let held = found.map_err(store_refusal)?.filter(|denial| {
            // A grant or rule that was made since is the later word.
            !policy.allows_since(denial.at, call.identity(), asker, now)
        });
        let denial = held
            .map(|denial| timed_denial(ended.origin.principal.clone(), String::new(), denial, now, lasts));
        Ok(denial.filter(|denial| denial.is_live(now)).map(|denial| denial.until()))
    }
}

/// A denial with its cool-down of `lasts`. The store knows the wall clock only, so the boot clock's time is
/// computed back from now.
pub(super) fn timed_denial(
    principal: Principal,
    call: String,
    denial: Denial,
    now: Moment,
    lasts: Duration,
) -> CallDenial {
    let Denial { task, at, reason } = denial;
    // A denial in the future was made before the clock was set back. When is not known, so it counts as over.
    let passed = Duration::try_from(now.wall.duration_since(at)).unwrap_or(lasts);
    let made = Moment { wall: at, boot: now.boot.saturating_sub(passed) };
    let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    CallDenial { principal, call, task, made, millis, reason }
}
