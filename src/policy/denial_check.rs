//! Whether a denial of exactly one call still holds, or a person allowed that call later (guarantee A9).

use jiff::Timestamp;

use super::entry_index::ArgumentsView;
use super::{Action, CallDenial, CallIdentity, CallerIdentity, Grant, Policy, PolicyRule};
use crate::clock::Moment;

impl Policy {
    /// The denial of exactly this call that holds now; none if a person allowed the call later. With
    /// `approved_at`, the person approved this very call then, so only a later denial counts.
    pub(super) fn denial_in_force(
        &self,
        call: CallIdentity<'_>,
        asker: CallerIdentity<'_>,
        now: Moment,
        approved_at: Option<Timestamp>,
    ) -> Option<&CallDenial> {
        let live = |denial: &&CallDenial| {
            denial.principal == *asker.principal
                && denial.is_live(now)
                && approved_at.is_none_or(|approved| denial.made.wall > approved)
                && !self.allows_since(denial.made.wall, call, asker, now)
        };
        let denials = &self.overrides.denials;
        let mut live = denials.list.iter().filter(live).peekable();
        // The digest is computed only where a denial could be of this call: no other call pays for it.
        live.peek()?;
        // A call without a digest can't be one that was denied, because each of those had one.
        let fingerprint = call.fingerprint(&denials.key).ok()?;
        live.find(|denial| denial.call == fingerprint)
    }

    /// Whether a person made a grant or an allowing rule for this call and caller after `since`, so that an
    /// earlier denial no longer counts. A time in the future comes from a clock that was set back. Its order is
    /// unknown, so it counts as earlier.
    #[must_use]
    pub fn allows_since(
        &self,
        since: Timestamp,
        call: CallIdentity<'_>,
        asker: CallerIdentity<'_>,
        now: Moment,
    ) -> bool {
        let is_later = |made: Timestamp| since < made && made <= now.wall;
        let by_rule = |rule: &PolicyRule| {
            rule.action == Action::Allow && is_later(rule.made) && rule.pattern.matches(call.tool)
        };
        let by_grant = |grant: &Grant| {
            is_later(grant.made.wall)
                && grant.pattern.matches(call.tool)
                && grant.limits.admits(Some(asker))
                && self.grant_covers(grant, call.tool, ArgumentsView::Call(call))
                && grant.is_live(&self.overrides.boot_id, now)
        };
        self.overrides.rules.iter().any(by_rule) || self.overrides.grants.iter().any(by_grant)
    }
}
