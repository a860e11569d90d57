//! Grants: made for a while, and ended.

use std::time::Duration;

use portero::ipc::{Act, describe_grant_ids};
use portero::names::Actor;
use portero::pattern::Pattern;
use portero::policy::{Grant, GrantLimits};

use super::{OverrideStore, OverridesError, check_covers, next_id};
use crate::auth::passphrase::Authorization;

/// What a person wants to grant.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// What it is about.
    pub pattern: Pattern,
    /// How long.
    pub duration: Duration,
    /// For whom, and how often.
    pub limits: GrantLimits,
}

impl GrantRequest {
    /// What a person confirms.
    #[must_use]
    pub fn act(&self) -> Act {
        Act::grant(&self.pattern, self.duration, &self.limits)
    }
}

impl OverrideStore {
    /// Grants for a while, `most` at the most, from now on; by a tap, from when that was first taken up, also where a
    /// crash came in between. Widens.
    ///
    /// # Errors
    /// [`OverridesError::InvalidDuration`], [`OverridesError::GrantOver`], or when it could not be recorded and stored.
    pub async fn make_grant(
        &self,
        wanted: GrantRequest,
        most: Duration,
        confirmed: Authorization,
    ) -> Result<Grant, OverridesError> {
        let GrantRequest { pattern, duration: lasts, limits } = wanted;
        if lasts > most || lasts < Duration::from_secs(1) {
            return Err(OverridesError::InvalidDuration(most));
        }
        check_covers(&confirmed, &Act::grant(&pattern, lasts, &limits))?;
        let widening = self.elevating.lock().await;
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let grant = Grant {
            id: next_id(&mut next),
            pattern,
            made: confirmed.pressed_at().unwrap_or_else(|| self.deps.clock.now()),
            boot_id: self.deps.boot_id.clone(),
            millis: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            limits,
            used: 0,
        };
        if !grant.is_within_time(&self.deps.boot_id, self.deps.clock.now()) {
            return Err(OverridesError::GrantOver);
        }
        next.overrides.grants.push(grant.clone());
        let record =
            self.deps.journal.act_record("grant", &describe_grant(&grant), true, Some(confirmed.by()));
        self.apply_elevation(widening, state, next, record, confirmed.consumes()).await?;
        Ok(grant)
    }

    /// Ends grants, all where `ids` is none, and tells how many it ended. One that was over a moment before keeps
    /// no other in force. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotFound`] when none of them is there, or [`OverridesError::NotSaved`] when it is in force but not
    /// on disk.
    pub async fn revoke_grants(&self, ids: Option<&[u64]>, process: &Actor) -> Result<u64, OverridesError> {
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let grants = &mut next.overrides.grants;
        let before = grants.len();
        let about = match ids {
            None => {
                grants.clear();
                "every grant".to_owned()
            }
            Some(ids) => {
                grants.retain(|grant| !ids.contains(&grant.id));
                if let (Some(id), true) = (ids.first(), grants.len() == before) {
                    return Err(OverridesError::NotFound { what: "grant", id: *id });
                }
                describe_grant_ids(ids)
            }
        };
        let ended = (before - grants.len()) as u64;
        let record = self.deps.journal.act_record("revoke", &about, true, Some(process));
        self.apply_narrowing(state, next, record).await?;
        Ok(ended)
    }

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

/// A grant in the words of the audit.
fn describe_grant(grant: &Grant) -> String {
    let limits = match grant.limits.to_string() {
        none if none.is_empty() => none,
        limits => format!(", {limits}"),
    };
    format!("grant {}: {} for {} s{limits}", grant.id, grant.pattern, grant.duration().as_secs())
}
