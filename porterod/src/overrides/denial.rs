//! Denials of single calls, as policy decides by them.

use portero::policy::{CallDenial, CallDenials};

use super::change::FormerFile;
use super::{OverrideStore, OverridesError};

impl OverrideStore {
    /// Adds denials of single calls; of two about the same call the later one holds. Narrows.
    ///
    /// Nothing is recorded, because each denial is recorded with its task. The store has them with the tasks
    /// too.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if they apply, but the file for sessions without a daemon isn't written.
    pub async fn add_call_denials(&self, denials: CallDenials) -> Result<(), OverridesError> {
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let known = &mut next.overrides.denials;
        let mut is_new = false;
        for denial in denials.list {
            let is_same_call =
                |other: &CallDenial| other.principal == denial.principal && other.call == denial.call;
            match known.list.iter_mut().find(|other| is_same_call(other)) {
                // Two readings of one denial may differ by the drift of the clocks.
                Some(other) if denial.made.wall <= other.made.wall => {}
                Some(other) => (*other, is_new) = (denial, true),
                None => {
                    known.list.push(denial);
                    is_new = true;
                }
            }
        }
        if !is_new {
            self.spread_unchanged(state).await;
            return Ok(());
        }
        known.key = denials.key;
        self.apply_narrowing_with(state, next, None, None, FormerFile::Remove).await
    }
}
