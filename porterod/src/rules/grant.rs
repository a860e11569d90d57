//! Grants: made for a while, and ended.

use std::time::Duration;

use portero::pattern::Pattern;
use portero::policy::{Grant, Limits};

use super::{Rules, RulesError, covered, take_id};
use crate::passphrase::{Confirmed, What};

/// What a person wants to grant.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is about.
    pub pattern: Pattern,
    /// How long.
    pub lasts: Duration,
    /// For whom, and how often.
    pub limits: Limits,
}

impl Rules {
    /// Grants for a while, `most` at the most, from now on; by a tap, from when that was first taken up, also where a
    /// crash came in between. Widens.
    ///
    /// # Errors
    /// [`RulesError::Duration`], [`RulesError::Over`], or when it could not be recorded and stored.
    pub async fn grant(
        &self,
        wanted: Wanted,
        most: Duration,
        confirmed: Confirmed,
    ) -> Result<Grant, RulesError> {
        let Wanted { pattern, lasts, limits } = wanted;
        if lasts > most || lasts < Duration::from_secs(1) {
            return Err(RulesError::Duration(most));
        }
        covered(&confirmed, &What::Grant(&pattern, lasts, &limits))?;
        let widening = self.widening.lock().await;
        let state = self.state.lock().await;
        let mut next = self.next(&state);
        let grant = Grant {
            id: take_id(&mut next),
            pattern,
            made: confirmed.since().unwrap_or_else(|| self.parts.clock.now()),
            boot_id: self.parts.boot_id.clone(),
            millis: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            limits,
            used: 0,
        };
        if !grant.holds(&self.parts.boot_id, self.parts.clock.now()) {
            return Err(RulesError::Over);
        }
        next.standing.grants.push(grant.clone());
        let record = self.parts.journal.act("grant", &described(&grant), true, Some(confirmed.by()));
        self.widen(widening, state, next, record, confirmed.spends()).await?;
        Ok(grant)
    }

    /// Ends grants, all where `ids` is none, and tells how many it ended. One that was over a moment before keeps
    /// no other in force. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] when none of them is there, or [`RulesError::NotKept`] when it is in force but not
    /// on disk.
    pub async fn revoke(&self, ids: Option<&[u64]>, process: &str) -> Result<u64, RulesError> {
        let state = self.state.lock().await;
        let mut next = self.next(&state);
        let grants = &mut next.standing.grants;
        let before = grants.len();
        let about = match ids {
            None => {
                grants.clear();
                "every grant".to_owned()
            }
            Some(ids) => {
                grants.retain(|grant| !ids.contains(&grant.id));
                if let (Some(id), true) = (ids.first(), grants.len() == before) {
                    return Err(RulesError::NotFound { what: "grant", id: *id });
                }
                in_words(ids)
            }
        };
        let ended = (before - grants.len()) as u64;
        let record = self.parts.journal.act("revoke", &about, true, Some(process));
        self.narrow(state, next, record).await?;
        Ok(ended)
    }
}

/// These grants in the words of the audit.
pub(crate) fn in_words(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("grants {}", ids.join(", "))
}

/// A grant in the words of the audit.
fn described(grant: &Grant) -> String {
    let limits = match grant.limits.to_string() {
        none if none.is_empty() => none,
        limits => format!(", {limits}"),
    };
    format!("grant {}: {} for {} s{limits}", grant.id, grant.pattern, grant.lasts().as_secs())
}
