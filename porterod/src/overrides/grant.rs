//! Grants: made for a while, and ended.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::{Act, describe_grant_ids};
use portero::names::Actor;
use portero::pattern::Pattern;
use portero::policy::{Grant, GrantLimits};
use tokio_util::sync::CancellationToken;

use super::{OverrideStore, OverridesError, check_covers, next_id};
use crate::auth::Authorization;

/// The longest sleep before expired grants are looked for, since a clock may be set meanwhile.
const MAX_GRANT_SLEEP: Duration = Duration::from_secs(30);
/// The shortest.
const MIN_GRANT_SLEEP: Duration = Duration::from_millis(50);

/// A person's request for a grant.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// The tools that it covers.
    pub pattern: Pattern,
    /// How long it lasts.
    pub duration: Duration,
    /// Sessions, projects or uses that limit it.
    pub limits: GrantLimits,
}

impl GrantRequest {
    /// The act that a person confirms.
    #[must_use]
    pub fn act(&self) -> Act {
        Act::grant(&self.pattern, self.duration, &self.limits)
    }
}

impl OverrideStore {
    /// Makes a grant that lasts at most `most`. A grant by a button starts when the button was first pressed,
    /// even if a crash came in between. Widens.
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
        self.apply_elevation(widening, state, next, &describe_grant(&grant), confirmed).await?;
        Ok(grant)
    }

    /// Ends these grants, or all if `ids` is none, and returns their number. An id that is no longer there
    /// doesn't block the others. Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotFound`] if none of them exists, or [`OverridesError::NotSaved`] if the change
    /// applies but isn't on disk.
    pub async fn revoke_grants(&self, ids: Option<&[u64]>, process: &Actor) -> Result<u64, OverridesError> {
        let state = self.state.lock().await;
        let mut next = self.begin_change(&state);
        let grants = &mut next.overrides.grants;
        let before = grants.len();
        match ids {
            None => grants.clear(),
            Some(ids) => {
                grants.retain(|grant| !ids.contains(&grant.id));
                if let (Some(id), true) = (ids.first(), grants.len() == before) {
                    return Err(OverridesError::NotFound { what: "grant", id: *id });
                }
            }
        }
        let ended = (before - grants.len()) as u64;
        let act = Act::Revoke(ids.map(<[u64]>::to_vec));
        let record = self.deps.journal.act_record(act.word(), &act.about(), true, Some(process));
        self.apply_narrowing(state, next, record).await?;
        Ok(ended)
    }

    /// Removes expired grants, and returns whether there were any.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if that could not be written yet.
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

    /// Removes grants as they expire, until `stop`. The composition root spawns and joins it.
    pub async fn run_expiry(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.subscribe_epoch();
        loop {
            let sleep = self
                .next_expiry()
                .map_or(MAX_GRANT_SLEEP, |left| left.clamp(MIN_GRANT_SLEEP, MAX_GRANT_SLEEP));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
                // The sender lives as long as this store.
                _ = changes.changed() => continue,
            }
            if let Err(error) = self.expire_grants().await {
                tracing::warn!(%error, "a grant expired");
            }
        }
    }

    /// The longest time until the next grant expires; none if there is no grant.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Duration> {
        let now = self.deps.clock.now();
        let left = |grant: &Grant| {
            // Whichever clock advanced further counts, so setting the wall clock back can't prolong a grant.
            let passed =
                Duration::try_from(now.wall.duration_since(grant.made.wall)).unwrap_or(Duration::MAX);
            let passed = passed.max(now.boot.saturating_sub(grant.made.boot));
            Duration::from_millis(grant.millis).saturating_sub(passed)
        };
        self.deps.policy.load().overrides().grants.iter().map(left).min()
    }
}

/// A grant as the audit describes it.
fn describe_grant(grant: &Grant) -> String {
    let limits = match grant.limits.to_string() {
        none if none.is_empty() => none,
        limits => format!(", {limits}"),
    };
    format!("grant {}: {} for {} s{limits}", grant.id, grant.pattern, grant.duration().as_secs())
}
