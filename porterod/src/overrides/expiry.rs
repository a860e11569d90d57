//! The end of grants whose time is over: they hold for nothing from that moment on by themselves; here they are
//! put away, and people are told.

use std::time::Duration;

use portero::policy::Grant;

use super::grant::describe_grant_ids;
use super::{OverrideStore, OverridesError};

impl OverrideStore {
    /// Puts grants away that hold no more, and tells whether there were any.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] when that could not be written yet.
    pub async fn expire_grants(&self) -> Result<bool, OverridesError> {
        let state = self.state.lock().await;
        let now = self.deps.clock.now();
        let over = |grant: &&Grant| !grant.is_within_time(&self.deps.boot_id, now);
        let ids: Vec<u64> = state.kept.overrides.grants.iter().filter(over).map(|grant| grant.id).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let next = self.begin_change(&state);
        let record = self.deps.journal.act_record("expire", &describe_grant_ids(&ids), true, None);
        self.apply_narrowing(state, next, record).await?;
        Ok(true)
    }

    /// How long the grant that ends first still holds, at most; none where there is no grant.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Duration> {
        let now = self.deps.clock.now();
        let left = |grant: &Grant| {
            let passed =
                Duration::try_from(now.wall.duration_since(grant.made.wall)).unwrap_or(Duration::MAX);
            let passed = passed.max(now.boot.saturating_sub(grant.made.boot));
            Duration::from_millis(grant.millis).saturating_sub(passed)
        };
        self.deps.policy.load().overrides().grants.iter().map(left).min()
    }
}
