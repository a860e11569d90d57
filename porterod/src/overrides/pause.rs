//! Pausing everything, and going on.

use jiff::Timestamp;

use super::{OverrideStore, OverridesError, check_covers};
use crate::auth::passphrase::{Act, Authorization};

impl OverrideStore {
    /// Pauses everything, and tells since when that is so: now, or since it was paused before. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] when it is in force but not on disk.
    pub async fn pause_all(&self, process: &str) -> Result<Timestamp, OverridesError> {
        let state = self.state.lock().await;
        let before = state.kept.overrides.paused;
        if let (Some(since), true) = (before, self.is_saved(&state) && !self.is_elevating()) {
            return Ok(since);
        }
        let mut next = self.begin_change(&state);
        let since = before.unwrap_or_else(|| self.deps.clock.now().wall);
        next.overrides.paused = Some(since);
        let record = self.deps.journal.act_record("pause", "everything", true, Some(process));
        self.apply_narrowing(state, next, record).await?;
        Ok(since)
    }

    /// Ends a pause, and tells since when everything was paused; none where nothing was. Widens.
    ///
    /// # Errors
    /// When it could not be recorded and stored; then everything stays paused.
    pub async fn resume_all(&self, confirmed: Authorization) -> Result<Option<Timestamp>, OverridesError> {
        check_covers(&confirmed, &Act::Resume)?;
        let widening = self.elevating.lock().await;
        let state = self.state.lock().await;
        let Some(since) = state.kept.overrides.paused else { return Ok(None) };
        let mut next = self.begin_change(&state);
        next.overrides.paused = None;
        let about = format!("everything, paused since {since}");
        let record = self.deps.journal.act_record("resume", &about, true, Some(confirmed.by()));
        self.apply_elevation(widening, state, next, record, confirmed.consumes()).await?;
        Ok(Some(since))
    }
}
