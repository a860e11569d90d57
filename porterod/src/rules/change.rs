//! How a change comes into force: what narrows at once, and then on the disk; what widens only once it is there.

use std::sync::Arc;
use std::time::Duration;

use portero::audit::Record;
use portero::notice::Alarm;
use portero::policy::{Action, Grant, Rule, Standing, denies};
use tokio_util::sync::CancellationToken;

use super::{Rules, RulesError, State, notices, take_id};
use crate::journal::{Account, Weight};
use crate::store::StoreError;
use crate::store::standing::{self, Kept};
use crate::taps::Ticket;

/// How long to wait before writing again what could not be written.
const AGAIN: Duration = Duration::from_secs(5);

impl Rules {
    /// Writes again what could not be written, until `stop`. The composition root spawns and joins it.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let kept = async {
            loop {
                self.unsaved.notified().await;
                while !self.save_again().await {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        stop.run_until_cancelled(kept).await;
    }

    /// Writes what is in force to store and file if that is still to be done, and tells whether it is done.
    pub async fn save_again(&self) -> bool {
        let mut state = self.state.lock().await;
        if state.saved {
            return true;
        }
        let next = self.next(&state);
        let record = self.parts.journal.act("save", "rules and grants that could not be saved", true, None);
        self.narrow(&mut state, next, record).await.is_ok()
    }

    /// Puts a narrowing in force, then saves it if that is possible.
    pub(super) async fn narrow(
        &self,
        state: &mut State,
        next: Kept,
        record: Record,
    ) -> Result<(), RulesError> {
        self.narrow_by(state, next, record, None).await
    }

    /// As [`Rules::narrow`], by a step of a button that is used up in the same transaction.
    pub(super) async fn narrow_by(
        &self,
        state: &mut State,
        next: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
    ) -> Result<(), RulesError> {
        self.put(&next);
        state.kept = next.clone();
        let saved = self.save(Weight::Lenient, next, record, spends).await.map_err(|error| error.to_string());
        let written = self.write_denies();
        if written.is_err() {
            // Rather no file, by which nothing is allowed without the daemon, than one without this deny.
            let _ = std::fs::remove_file(&self.parts.denies);
        }
        let both = saved.and(written);
        let was_saved = std::mem::replace(&mut state.saved, both.is_ok());
        let Err(problem) = both else { return Ok(()) };
        tracing::error!(problem, "rules and grants are in force but could not be saved");
        self.unsaved.notify_one();
        if was_saved {
            let about = format!(
                "what a person just forbade or ended is in force, but could not be saved ({problem}); it is \
                 lost if the daemon ends now, so look at the disk first"
            );
            self.parts.journal.alarm(Alarm::Store, &about).await;
        }
        Err(RulesError::NotKept(problem))
    }

    /// Saves a widening, together with the second step of the button that confirmed it, then puts it in force.
    pub(super) async fn widen(
        &self,
        state: &mut State,
        next: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
    ) -> Result<(), RulesError> {
        self.save(Weight::Strict, next.clone(), record, spends).await?;
        self.put(&next);
        state.kept = next;
        state.saved = true;
        if let Err(problem) = self.write_denies() {
            // The former file denies more.
            tracing::error!(problem, "the file of denies could not be written");
            state.saved = false;
            self.unsaved.notify_one();
        }
        Ok(())
    }

    /// People are told how what is saved differs from what was saved before.
    async fn save(
        &self,
        weight: Weight,
        kept: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
    ) -> Result<(), StoreError> {
        let (journal, boot) = (Arc::clone(&self.parts.journal), self.parts.boot_id.clone());
        let now = self.parts.clock.now();
        self.parts
            .journal
            .change_and_tell(weight, move |connection| {
                // What cannot be read is replaced as a whole; nobody knows what it was.
                let before = standing::load(connection).unwrap_or_else(|_| kept.clone());
                standing::save(connection, &kept)?;
                if let Some((ticket, step)) = &spends {
                    ticket.spend(connection, *step)?;
                    #[cfg(test)]
                    crate::crash::reached("button used");
                }
                let live = |grant: &Grant| grant.is_live(&boot, now);
                let notices = notices::between(&before.standing, &kept.standing, &live, &|pattern| {
                    journal.words(&pattern.to_string())
                });
                Ok(((), Account::from(vec![record.clone()]).and(notices)))
            })
            .await
    }

    /// The present state, one epoch on and without expired grants: what a change begins with.
    pub(super) fn next(&self, state: &State) -> Kept {
        let mut next = state.kept.clone();
        next.standing.epoch += 1;
        let now = self.parts.clock.now();
        next.standing.grants.retain(|grant| grant.holds(&self.parts.boot_id, now));
        next
    }

    /// Puts rules and grants in force in this process, and wakes those who tell the sessions.
    pub(super) fn put(&self, kept: &Kept) {
        self.parts.policy.rcu(|policy| policy.with_standing(kept.standing.clone()));
        self.epoch.send_replace(kept.standing.epoch);
    }

    pub(super) fn write_denies(&self) -> Result<(), String> {
        let standing = self.parts.policy.load().standing().denies_only();
        denies::write(&self.parts.denies, &standing).map_err(|error| error.to_string())
    }

    /// The store is behind the file of denies: only what narrows stays, of both.
    pub(super) async fn narrow_to(&self, store: Kept, file: Standing) -> Result<(), RulesError> {
        let mut next = store;
        next.standing.epoch = file.epoch + 1;
        next.standing.grants.clear();
        next.standing.rules.retain(|rule| rule.action != Action::Allow);
        next.standing.paused = next.standing.paused.or(file.paused);
        for rule in file.denies_only().rules {
            let known = |known: &Rule| known.pattern == rule.pattern && known.action == rule.action;
            if !next.standing.rules.iter().any(known) {
                let id = take_id(&mut next);
                next.standing.rules.push(Rule { id, ..rule });
            }
        }
        let record = self.parts.journal.act(
            "recover",
            "the store was older than the file of denies: grants and allowing rules were dropped",
            true,
            None,
        );
        self.narrow(&mut *self.state.lock().await, next, record).await
    }
}
