//! The uses of grants: consumed one by one, each on the disk before its call goes out.
//!
//! A use is no change of the epoch: sessions need not know what is left, since they come here for each. Where it
//! is not known whether one was kept, it is lost: none is ever had twice.

use portero::audit::Record;
use portero::call::Call;
use portero::notice::{Became, Notice};
use portero::pipeline::{BoxFuture, Context, Uses};
use portero::policy::{Grant, Source};
use portero::task::Origin;

use super::{Rules, RulesError, State};
use crate::journal::{Account, Weight};
use crate::store::StoreError;
use crate::store::standing;

impl Rules {
    /// Consumes one use of a grant for a call that runs by it and, were it not there, would ask. It is on disk
    /// when this returns.
    ///
    /// # Errors
    /// [`RulesError::NotCovered`], or when it could not be recorded and stored.
    pub async fn consume(&self, id: u64, call: &Call, origin: &Origin) -> Result<Grant, RulesError> {
        let _one = self.widening.lock().await;
        let mut state = self.state.lock().await;
        let now = self.parts.clock.now();
        let policy = self.parts.policy.load().with_only_grant(id);
        let decision = policy.decide(&call.tool, call.arguments(), Some(origin.asker()), now);
        let live = |grant: &Grant| grant.id == id && grant.is_live(&self.parts.boot_id, now);
        let place = state.kept.standing.grants.iter().position(live);
        let (Some(place), Source::Grant(_)) = (place, decision.source) else {
            return Err(RulesError::NotCovered(id));
        };
        let mut grant = state.kept.standing.grants[place].clone();
        grant.used += 1;
        let (Some(left), Some(uses)) = (grant.uses_left(), grant.limits.uses) else {
            return Err(RulesError::NotCovered(id));
        };
        let about = format!("grant {id} for {}, {left} of {uses} uses left", call.tool);
        let record = Record {
            session: Some(origin.session),
            principal: Some(origin.principal.clone()),
            ..self.parts.journal.act("use", &about, true, None)
        };
        // Counted before it is written, so that a change that is saved meanwhile holds it too.
        self.count(&mut state, id, grant.used);
        drop(state);
        let consumed = self.write_use(&grant, record).await;
        if matches!(consumed, Err(StoreError::Audit(_) | StoreError::Refused(_))) {
            self.count(&mut *self.state.lock().await, id, grant.used - 1);
        }
        consumed?;
        Ok(grant)
    }

    /// Puts in force how many uses of a grant are gone, unless it ended meanwhile.
    fn count(&self, state: &mut State, id: u64, used: u32) {
        if let Some(grant) = state.kept.standing.grants.iter_mut().find(|grant| grant.id == id) {
            grant.used = used;
            self.parts.policy.rcu(|policy| policy.with_standing(state.kept.standing.clone()));
        }
    }

    /// Writes down how many uses of a grant are gone; people are told when it was the last.
    async fn write_use(&self, grant: &Grant, record: Record) -> Result<(), StoreError> {
        let (id, used) = (grant.id, grant.used);
        let ended = Notice::Grant {
            id,
            became: Became::Ended,
            pattern: self.parts.journal.words(&grant.pattern.to_string()),
        };
        let notices = if grant.uses_left() == Some(0) { vec![ended] } else { Vec::new() };
        let written = self.parts.journal.change_and_tell(Weight::Strict, move |connection| {
            standing::consume(connection, id, used)?;
            Ok(((), Account::from(vec![record.clone()]).and(notices.clone())))
        });
        written.await
    }
}

impl Uses for Rules {
    fn consume<'a>(&'a self, grant: u64, call: &'a Call, context: &'a Context) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let consumed = self.consume(grant, call, &context.origin).await;
            if let Err(error) = &consumed {
                tracing::info!(grant, %error, "no use of a grant was consumed");
            }
            consumed.is_ok()
        })
    }
}
