//! How a change comes into force: what narrows at once, and then on the disk; what widens only once it is there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portero::audit::Record;
use portero::clock::Moment;
use portero::notice::Alarm;
use portero::policy::{Action, Grant, Rule, Standing, denies};
use tokio_util::sync::CancellationToken;

use super::{Rules, RulesError, State, Stored, notices, take_id};
use crate::journal::{Account, Journal, Weight};
use crate::store::StoreError;
use crate::store::standing::{self, Kept};
use crate::taps::Ticket;

/// How long to wait before writing again what could not be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Rules {
    /// Writes again what could not be written, until `stop`. The composition root spawns and joins it.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let kept = async {
            loop {
                self.unsaved.notified().await;
                while !self.save_again().await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        };
        stop.run_until_cancelled(kept).await;
        self.saving.close();
        self.saving.wait().await;
    }

    /// Writes what is in force to store and file if that is still to be done, and tells whether it is done.
    pub async fn save_again(&self) -> bool {
        let mut state = self.state.lock().await;
        if state.saved {
            return true;
        }
        if !self.saving.is_empty() {
            // One that was not waited for is still under way.
            return false;
        }
        if self.unsaved().is_none() {
            state.saved = self.write_denies().await.is_ok();
            return state.saved;
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
        let saving = self.saving.spawn(self.saver().save(Weight::Lenient, next, record, spends));
        let saved = tokio::select! {
            saved = saving => saved.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // It goes on all the same, and `save_again` sees what came of it.
            stuck = self.parts.journal.store().stuck() => Err(stuck),
        };
        let saved = saved.map_err(|error| error.to_string());
        // The file comes after the store: one that is ahead says at the next start that the store lost something.
        let written = self.write_denies().await;
        let both = saved.and(written);
        let was_saved = std::mem::replace(&mut state.saved, both.is_ok());
        let Err(problem) = both else { return Ok(()) };
        tracing::error!(problem, "rules and grants are in force but could not be saved");
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).problem.clone_from(&problem);
        self.unsaved.notify_one();
        if was_saved {
            let about = format!(
                "what a person just forbade or ended is in force, but could not be saved ({problem}); it is \
                 lost if the daemon ends now, so look at the disk first"
            );
            let journal = Arc::clone(&self.parts.journal);
            // It waits for the same disk, and the person's answer does not.
            self.saving.spawn(async move { journal.alarm(Alarm::Store, &about).await });
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
        self.saver().save(Weight::Strict, next.clone(), record, spends).await?;
        self.put(&next);
        state.kept = next;
        state.saved = true;
        if let Err(problem) = self.write_denies().await {
            // The former file denies more.
            tracing::error!(problem, "the file of denies could not be written");
            state.saved = false;
            self.unsaved.notify_one();
        }
        Ok(())
    }

    fn saver(&self) -> Saver {
        Saver {
            journal: Arc::clone(&self.parts.journal),
            boot: self.parts.boot_id.clone(),
            now: self.parts.clock.now(),
            stored: Arc::clone(&self.stored),
        }
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
        let Standing { rules, grants, .. } = &kept.standing;
        let ids = rules.iter().map(|rule| rule.id).chain(grants.iter().map(|grant| grant.id));
        // Before a session can go by it, and so cite it.
        self.ever.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.parts.policy.rcu(|policy| policy.with_standing(kept.standing.clone()));
        self.epoch.send_replace(kept.standing.epoch);
    }

    /// Writes what is denied now to the file; where that fails, there is none.
    pub(super) async fn write_denies(&self) -> Result<(), String> {
        let (file, policy) = (Arc::clone(&self.file), Arc::clone(&self.parts.policy));
        let path = self.parts.denies.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let _in_order = file.lock().unwrap_or_else(PoisonError::into_inner);
            let standing = policy.load().standing().denies_only();
            denies::write(&path, &standing).inspect_err(|_| {
                // Rather no file, by which nothing is allowed without the daemon, than one without a deny.
                let _ = std::fs::remove_file(&path);
            })
        });
        let written = writing.await.map_err(|error| error.to_string())?;
        written.map_err(|error| format!("the file of denies could not be written: {error}"))
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

/// Saves rules and grants as they are at one moment.
struct Saver {
    journal: Arc<Journal>,
    boot: String,
    now: Moment,
    stored: Arc<Mutex<Stored>>,
}

impl Saver {
    /// People are told how what is saved differs from what was saved before.
    async fn save(
        self,
        weight: Weight,
        kept: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
    ) -> Result<(), StoreError> {
        let Self { journal, boot, now, stored } = self;
        let (telling, saved) = (Arc::clone(&journal), kept.standing.clone());
        let saving = journal.change_and_tell(weight, move |connection| {
            // What cannot be read is replaced as a whole; nobody knows what it was.
            let before = standing::load(connection).unwrap_or_else(|_| kept.clone());
            if before.standing.epoch > kept.standing.epoch {
                // This one was not waited for, and a later one holds all of it.
                return Ok(((), Account::default()));
            }
            standing::save(connection, &kept)?;
            if let Some((ticket, step)) = &spends {
                ticket.spend(connection, *step)?;
                #[cfg(test)]
                crate::crash::reached("button used");
            }
            let live = |grant: &Grant| grant.is_live(&boot, now);
            let notices = notices::between(&before.standing, &kept.standing, &live, &|pattern| {
                telling.words(&pattern.to_string())
            });
            Ok(((), Account::from(vec![record.clone()]).and(notices)))
        });
        saving.await?;
        let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.epoch >= stored.standing.epoch {
            stored.standing = saved;
        }
        Ok(())
    }
}
