//! How a change comes into force: what narrows at once, and then on the disk; what widens only once it is there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::audit::Record;
use portero::clock::Moment;
use portero::notice::Alarm;
use portero::policy::{Action, Grant, Policy, Rule, Standing, denies};
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;

use super::{Rules, RulesError, State, Stored, notices, take_id};
use crate::journal::{Account, Journal, Weight};
use crate::store::standing::{self, Kept};
use crate::store::{SAVE_TIMEOUT, StoreError};
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
        let state = self.state.lock().await;
        if self.is_saved(&state) {
            return true;
        }
        if !self.saving.is_empty() {
            // One that was not waited for is still under way.
            return false;
        }
        let stored = self.lock_stored().standing.epoch;
        if stored >= state.kept.standing.epoch {
            drop(state);
            return self.write_denies(Former::Stays).await.is_ok();
        }
        let next = self.next(&state);
        let record = self.parts.journal.act("save", "rules and grants that could not be saved", true, None);
        self.narrow(state, next, record).await.is_ok()
    }

    /// Puts a narrowing in force, then saves it if that is possible.
    pub(super) async fn narrow(
        &self,
        state: MutexGuard<'_, State>,
        next: Kept,
        record: Record,
    ) -> Result<(), RulesError> {
        self.narrow_by(state, next, record, None, Former::Goes).await
    }

    /// As [`Rules::narrow`], by a step of a button that is used up in the same transaction.
    pub(super) async fn narrow_by(
        &self,
        mut state: MutexGuard<'_, State>,
        mut next: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
        former: Former,
    ) -> Result<(), RulesError> {
        if self.is_widening() {
            // That one may be written with the epoch between, and this one has to count for more.
            next.standing.epoch += 1;
        }
        let epoch = next.standing.epoch;
        self.put(&next);
        state.kept = next.clone();
        // The next deny is in force at once too, however long this one takes to be saved.
        drop(state);
        let saving = self.saving.spawn(self.saver().save(Weight::Lenient, next, record, spends, None));
        let saved = tokio::select! {
            saved = saving => saved.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // It goes on all the same, and `save_again` sees what came of it.
            stuck = self.parts.journal.store().stuck() => Err(stuck),
        };
        let saved = saved.map_err(|error| error.to_string());
        // The file comes after the store: one that is ahead says at the next start that the store lost something.
        let written = self.write_denies(former).await;
        let Err(problem) = saved.and(written) else { return Ok(()) };
        let is_first = {
            let mut stored = self.lock_stored();
            if stored.holds(epoch) {
                // It came to its end just now, or with a later one.
                return Ok(());
            }
            std::mem::replace(&mut stored.problem, problem.clone()).is_empty()
        };
        tracing::error!(problem, "rules and grants are in force but could not be saved");
        self.unsaved.notify_one();
        if is_first {
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

    /// Saves a widening, together with the second step of the button that confirmed it, then puts it in force. It is
    /// refused where anything was narrowed while it was being saved: then what narrows counts.
    pub(super) async fn widen(
        &self,
        widening: MutexGuard<'_, ()>,
        mut state: MutexGuard<'_, State>,
        next: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
    ) -> Result<(), RulesError> {
        let base = state.kept.standing.epoch;
        // What narrows meanwhile takes ids of its own.
        state.kept.next_id = next.next_id;
        drop(state);
        let unless = (Arc::clone(&self.parts.policy), base);
        self.saver().save(Weight::Strict, next.clone(), record, spends, Some(unless)).await?;
        let mut state = self.state.lock().await;
        if state.kept.standing.epoch != base {
            // What narrowed is saved after this, in its place.
            return Err(overtaken().into());
        }
        self.put(&next);
        state.kept = next;
        drop((state, widening));
        if let Err(problem) = self.write_denies(Former::Stays).await {
            // The former file denies more.
            tracing::error!(problem, "the file of denies could not be written");
            self.unsaved.notify_one();
        }
        Ok(())
    }

    fn lock_stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Writes what is denied now to the file. A disk that hangs is not waited for: the writing goes on all the same.
    pub(super) async fn write_denies(&self, former: Former) -> Result<(), String> {
        let (file, policy) = (Arc::clone(&self.file), Arc::clone(&self.parts.policy));
        let (path, stored) = (self.parts.denies.clone(), Arc::clone(&self.stored));
        let writing = self.saving.spawn(async move {
            let in_order = file.lock_owned().await;
            let writing = tokio::task::spawn_blocking(move || {
                let _in_order = in_order;
                let standing = policy.load().standing().denies_only();
                let written = denies::write(&path, &standing).inspect_err(|_| {
                    if former == Former::Goes {
                        let _ = std::fs::remove_file(&path);
                    }
                });
                written.map(|()| standing.epoch)
            });
            let epoch = writing.await.map_err(|error| error.to_string())?;
            let epoch = epoch.map_err(|error| error.to_string())?;
            let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
            stored.file = stored.file.max(epoch);
            if stored.holds(epoch) {
                stored.problem.clear();
            }
            drop(stored);
            Ok::<_, String>(())
        });
        let written = match tokio::time::timeout(SAVE_TIMEOUT, writing).await {
            Ok(written) => written.map_err(|error| error.to_string()).flatten(),
            Err(_) => Err("the disk does not answer".to_owned()),
        };
        written.map_err(|problem| format!("the file of denies could not be written: {problem}"))
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
        // The file there is the only one that holds all of this.
        self.narrow_by(self.state.lock().await, next, record, None, Former::Stays).await
    }
}

/// What becomes of the former file of denies where it cannot be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// It lacks what narrows: rather no file, by which nothing is allowed without the daemon.
    Goes,
    /// It denies as much as what is to be written, or more.
    Stays,
}

fn overtaken() -> StoreError {
    StoreError::Refused(
        "rules or grants were narrowed while this was being saved, so it is not in force; look at them and ask again"
            .to_owned(),
    )
}

/// Saves rules and grants as they are at one moment.
struct Saver {
    journal: Arc<Journal>,
    boot: String,
    now: Moment,
    stored: Arc<Mutex<Stored>>,
}

impl Saver {
    /// People are told how what is saved differs from what was saved before. `unless` refuses it where that policy is
    /// no longer of that epoch.
    async fn save(
        self,
        weight: Weight,
        kept: Kept,
        record: Record,
        spends: Option<(Ticket, u8)>,
        unless: Option<(Arc<ArcSwap<Policy>>, u64)>,
    ) -> Result<(), StoreError> {
        let Self { journal, boot, now, stored } = self;
        let (telling, saved) = (Arc::clone(&journal), kept.standing.clone());
        let saving = journal.change_and_tell(weight, move |connection| {
            // What cannot be read is replaced as a whole; nobody knows what it was.
            let before = standing::load(connection).unwrap_or_else(|_| kept.clone());
            if unless.as_ref().is_some_and(|(policy, base)| policy.load().standing().epoch != *base) {
                return Err(overtaken());
            }
            if let Some((ticket, step)) = &spends {
                ticket.spend(connection, *step)?;
                #[cfg(test)]
                crate::crash::reached("button used");
            }
            if before.standing.epoch > kept.standing.epoch {
                // A later one was saved before, and holds all of it.
                return Ok(((), Account::from(vec![record.clone()])));
            }
            standing::save(connection, &kept)?;
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
        if stored.holds(stored.standing.epoch) {
            stored.problem.clear();
        }
        Ok(())
    }
}
