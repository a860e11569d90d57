//! The end of grants whose time is over: they hold for nothing from that moment on by themselves; here they are
//! put away, and people are told.

use std::time::Duration;

use portero::policy::Grant;

use super::grant::in_words;
use super::{Rules, RulesError};

impl Rules {
    /// Puts grants away that hold no more, and tells whether there were any.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when that could not be written yet.
    pub async fn expire(&self) -> Result<bool, RulesError> {
        let state = self.state.lock().await;
        let now = self.parts.clock.now();
        let over = |grant: &&Grant| !grant.holds(&self.parts.boot_id, now);
        let ids: Vec<u64> = state.kept.standing.grants.iter().filter(over).map(|grant| grant.id).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let next = self.next(&state);
        let record = self.parts.journal.act("expire", &in_words(&ids), true, None);
        self.narrow(state, next, record).await?;
        Ok(true)
    }

    /// How long the grant that ends first still holds, at most; none where there is no grant.
    #[must_use]
    pub fn first_end(&self) -> Option<Duration> {
        let now = self.parts.clock.now();
        let left = |grant: &Grant| {
            let passed =
                Duration::try_from(now.wall.duration_since(grant.made.wall)).unwrap_or(Duration::MAX);
            let passed = passed.max(now.boot.saturating_sub(grant.made.boot));
            Duration::from_millis(grant.millis).saturating_sub(passed)
        };
        self.parts.policy.load().standing().grants.iter().map(left).min()
    }
}
