//! The uses of grants: consumed one by one, each stored on disk before its call goes out.
//!
//! A use doesn't change the epoch. Sessions need not know the remaining uses, because they ask here for each
//! one. If it is unknown whether a use was stored, it counts as consumed, so no use is ever spent twice.

use portero::audit::AuditRecord;
use portero::call::Call;
use portero::notice::{Notice, OverrideChange};
use portero::pipeline::{BoxFuture, CallContext, GrantUses};
use portero::policy::{DecisionSource, Grant};
use portero::task::CallOrigin;

use super::{OverrideState, OverrideStore, OverridesError};
use crate::journal::{AuditMode, ChangeReport};
use crate::store::StoreError;
use crate::store::overrides;

impl OverrideStore {
    /// Consumes one use of a grant, for a call that runs by it and would otherwise ask. The use is on disk
    /// when this returns.
    ///
    /// # Errors
    /// [`OverridesError::NotCovered`], or when it could not be recorded and stored.
    pub async fn consume_use(
        &self,
        id: u64,
        call: &Call,
        origin: &CallOrigin,
    ) -> Result<Grant, OverridesError> {
        let _one = self.elevating.lock().await;
        let mut state = self.state.lock().await;
        let now = self.deps.clock.now();
        // The policy with only this grant shows whether the grant covers the call. With all grants another
        // one could hide it.
        let policy = self.deps.policy.load().with_only_grant(id);
        let decision = call.decide(&policy, Some(origin.asker()), now);
        let live = |grant: &Grant| grant.id == id && grant.is_live(&self.deps.boot_id, now);
        let place = state.kept.overrides.grants.iter().position(live);
        let (Some(place), DecisionSource::Grant(_)) = (place, decision.source) else {
            return Err(OverridesError::NotCovered(id));
        };
        let mut grant = state.kept.overrides.grants[place].clone();
        grant.used += 1;
        let (Some(left), Some(uses)) = (grant.uses_left(), grant.limits.uses) else {
            return Err(OverridesError::NotCovered(id));
        };
        let about = format!("grant {id} for {}, {left} of {uses} uses left", call.tool);
        let record = AuditRecord {
            session: Some(origin.session),
            principal: Some(origin.principal.clone()),
            address: origin.remote_address(),
            ..self.deps.journal.act_record("use", &about, true, None)
        };
        // Counted before the write, so that another change that is saved meanwhile includes it.
        self.set_used(&mut state, id, grant.used);
        drop(state);
        let consumed = self.store_use(&grant, record).await;
        // In both cases the store surely doesn't hold the use. After any other error that is unknown, and the
        // use is lost.
        if matches!(consumed, Err(StoreError::Audit(_) | StoreError::Refused(_))) {
            self.set_used(&mut *self.state.lock().await, id, grant.used - 1);
        }
        consumed?;
        Ok(grant)
    }

    /// Applies the number of consumed uses, unless the grant has ended meanwhile.
    fn set_used(&self, state: &mut OverrideState, id: u64, used: u32) {
        if let Some(grant) = state.kept.overrides.grants.iter_mut().find(|grant| grant.id == id) {
            grant.used = used;
            self.deps.policy.rcu(|policy| policy.with_overrides(state.kept.overrides.clone()));
        }
    }

    /// Stores the number of consumed uses; the last use is reported to people.
    async fn store_use(&self, grant: &Grant, record: AuditRecord) -> Result<(), StoreError> {
        let (id, used) = (grant.id, grant.used);
        let ended = Notice::Grant {
            id,
            became: OverrideChange::Ended,
            pattern: self.deps.journal.conceal_text(&grant.pattern.to_string()),
        };
        let notices = if grant.uses_left() == Some(0) { vec![ended] } else { Vec::new() };
        let written = self.deps.journal.change_and_notify(AuditMode::Required, move |connection| {
            overrides::set_grant_used(connection, id, used)?;
            Ok(((), ChangeReport::from(vec![record.clone()]).with_notices(notices.clone())))
        });
        written.await
    }
}

impl GrantUses for OverrideStore {
    fn consume_use<'a>(
        &'a self,
        grant: u64,
        call: &'a Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let consumed = self.consume_use(grant, call, &context.origin).await;
            if let Err(error) = &consumed {
                tracing::info!(grant, %error, "no use of a grant was consumed");
            }
            consumed.is_ok()
        })
    }
}
