//! Pausing everything, and going on.

use jiff::Timestamp;

use super::{Rules, RulesError, covered};
use crate::passphrase::{Confirmed, What};

impl Rules {
    /// Pauses everything, and tells since when that is so: now, or since it was paused before. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn pause(&self, process: &str) -> Result<Timestamp, RulesError> {
        let state = self.state.lock().await;
        let before = state.kept.standing.paused;
        if let (Some(since), true) = (before, self.is_saved(&state) && !self.is_widening()) {
            return Ok(since);
        }
        let mut next = self.next(&state);
        let since = before.unwrap_or_else(|| self.parts.clock.now().wall);
        next.standing.paused = Some(since);
        let record = self.parts.journal.act("pause", "everything", true, Some(process));
        self.narrow(state, next, record).await?;
        Ok(since)
    }

    /// Ends a pause, and tells since when everything was paused; none where nothing was. Widens.
    ///
    /// # Errors
    /// When it could not be recorded and stored; then everything stays paused.
    pub async fn resume(&self, confirmed: Confirmed) -> Result<Option<Timestamp>, RulesError> {
        covered(&confirmed, &What::Resume)?;
        let widening = self.widening.lock().await;
        let state = self.state.lock().await;
        let Some(since) = state.kept.standing.paused else { return Ok(None) };
        let mut next = self.next(&state);
        next.standing.paused = None;
        let about = format!("everything, paused since {since}");
        let record = self.parts.journal.act("resume", &about, true, Some(confirmed.by()));
        self.widen(widening, state, next, record, confirmed.spends()).await?;
        Ok(Some(since))
    }
}
