//! Rules, grants and pauses: what people said since the configuration was written.
//!
//! What widens takes a [`Confirmed`], and is in force once it is on disk. What narrows is in force at once,
//! even where it cannot be written ([`RulesError::NotKept`]). Each change raises the epoch by one in the
//! same transaction, puts the standing into the daemon's policy, and rewrites the file of denies that
//! sessions read while no daemon runs ([`portero::policy::denies`]).

mod expiry;
mod notices;
mod pause;
mod uses;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::audit::Record;
use portero::clock::{Clock, Moment};
use portero::notice::Alarm;
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, Limits, Policy, Rule, Standing, denies};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::journal::{Account, Journal, Weight};
use crate::passphrase::{Confirmed, What};
use crate::store::StoreError;
use crate::store::standing::{self, Kept};
use crate::taps::Ticket;

/// How long to wait before writing again what could not be written.
const AGAIN: Duration = Duration::from_secs(5);

/// Why rules or grants did not change as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// There is no such rule or grant.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `rule` or `grant`.
        what: &'static str,
        /// The id that was asked for.
        id: u64,
    },
    /// A call does not run by a use of this grant.
    #[error("grant {0} does not cover this call, or has no uses left")]
    NotCovered(u64),
    /// It would widen, and nobody confirmed.
    #[error("removing this rule widens what is allowed, so it needs the approval passphrase")]
    NeedsConfirmation,
    /// It was confirmed as one thing that is not wide, and it is wide.
    #[error("this is wide, and was not confirmed as such")]
    TooWide,
    /// The grant would last too long, or no time at all.
    #[error("a grant lasts at most {} s and at least 1 s", .0.as_secs())]
    Duration(Duration),
    /// It is in force in this daemon and its sessions, but could not be written; it is tried again, and
    /// lost if the daemon ends before that succeeds.
    #[error("it is in force, but could not be saved yet, and is lost if the daemon ends now: {0}")]
    NotKept(String),
    /// It did not take effect.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

/// Where rules and grants are kept and put.
pub struct RulesParts {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// The daemon's own policy; its `standing` is kept up to date here, and only here.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The file of denies.
    pub denies: PathBuf,
    /// The machine's present boot.
    pub boot_id: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// The rules and grants in force.
pub struct Rules {
    parts: RulesParts,
    state: Mutex<State>,
    epoch: watch::Sender<u64>,
    unsaved: Notify,
}

struct State {
    kept: Kept,
    /// Whether store and file hold what is in force.
    saved: bool,
}

impl Rules {
    /// Reads them from the store and writes the file of denies. Where that file is ahead of the store (a
    /// store that was put back, or lost its last writes), its denies are taken over, and grants and all
    /// other rules are dropped: nothing gets weaker.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the file not be written.
    pub async fn open(parts: RulesParts) -> Result<Arc<Self>, RulesError> {
        let mut kept = parts.journal.store().read(standing::load)?;
        kept.standing.boot_id.clone_from(&parts.boot_id);
        let behind = match denies::read(&parts.denies, &parts.denies) {
            Ok(file) if file.epoch > kept.standing.epoch => Some(file),
            Ok(_) | Err(_) => None,
        };
        let (epoch, _) = watch::channel(kept.standing.epoch);
        let rules = Self {
            state: Mutex::new(State { kept: kept.clone(), saved: true }),
            parts,
            epoch,
            unsaved: Notify::new(),
        };
        if let Some(file) = behind {
            rules.narrow_to(kept, file).await?;
        } else {
            rules.put(&kept);
        }
        rules.write_denies().map_err(StoreError::Failed)?;
        Ok(Arc::new(rules))
    }

    /// What is in force now; expired grants are left out, and those whose uses are gone are not.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut standing = self.parts.policy.load().standing().clone();
        let now = self.parts.clock.now();
        standing.grants.retain(|grant| grant.holds(&self.parts.boot_id, now));
        standing
    }

    /// Watches for changes: the value is the epoch.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Adds a deny. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotKept`] when it is in force but not on disk.
    pub async fn deny(&self, pattern: Pattern, process: &str) -> Result<Rule, RulesError> {
        let mut state = self.state.lock().await;
        let mut next = self.next(&state);
        let rule = add_rule(&mut next, pattern, Action::Deny, self.parts.clock.now());
        let record = self.parts.journal.act("deny", &rule.pattern.to_string(), true, Some(process));
        self.narrow(&mut state, next, record).await?;
        Ok(rule)
    }

    /// Adds an allow. Widens.
    ///
    /// # Errors
    /// When it could not be recorded and stored; then it is not in force.
    pub async fn allow(&self, pattern: Pattern, confirmed: Confirmed) -> Result<Rule, RulesError> {
        covered(&confirmed, &What::Allow(&pattern))?;
        let mut state = self.state.lock().await;
        let mut next = self.next(&state);
        let rule = add_rule(&mut next, pattern, Action::Allow, self.parts.clock.now());
        let record = self.parts.journal.act("allow", &rule.pattern.to_string(), true, Some(confirmed.by()));
        self.widen(&mut state, next, record, confirmed.spends()).await?;
        Ok(rule)
    }

    /// Removes a rule. Removing anything but an allow widens.
    ///
    /// # Errors
    /// [`RulesError::NeedsConfirmation`], and as for the others.
    pub async fn unrule(
        &self,
        id: u64,
        confirmed: Option<Confirmed>,
        process: &str,
    ) -> Result<Rule, RulesError> {
        let mut state = self.state.lock().await;
        let mut next = self.next(&state);
        let rules = &mut next.standing.rules;
        let place = rules.iter().position(|rule| rule.id == id);
        let rule = rules.remove(place.ok_or(RulesError::NotFound { what: "rule", id })?);
        let about = format!("{} {}", action_word(rule.action), rule.pattern);
        let act = |by: &str| self.parts.journal.act("unrule", &about, true, Some(by));
        match (rule.action, confirmed) {
            (Action::Allow, _) => self.narrow(&mut state, next, act(process)).await?,
            (Action::Deny | Action::RequireApproval, Some(confirmed)) => {
                covered(&confirmed, &What::Unrule(rule.id, &rule.pattern))?;
                self.widen(&mut state, next, act(confirmed.by()), confirmed.spends()).await?;
            }
            (Action::Deny | Action::RequireApproval, None) => return Err(RulesError::NeedsConfirmation),
        }
        Ok(rule)
    }

    /// Grants for a while, `most` at the most. Widens.
    ///
    /// # Errors
    /// [`RulesError::Duration`], or when it could not be recorded and stored.
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
        covered(&confirmed, &What::Grant(&pattern, lasts))?;
        let mut state = self.state.lock().await;
        let mut next = self.next(&state);
        let grant = Grant {
            id: take_id(&mut next),
            pattern,
            made: self.parts.clock.now(),
            boot_id: self.parts.boot_id.clone(),
            millis: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            limits,
            used: 0,
        };
        next.standing.grants.push(grant.clone());
        let record = self.parts.journal.act("grant", &described(&grant), true, Some(confirmed.by()));
        self.widen(&mut state, next, record, confirmed.spends()).await?;
        Ok(grant)
    }

    /// Ends grants, all where `ids` is none, and tells how many it ended. One that was over a moment before keeps
    /// no other in force. Narrows.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] when none of them is there, or [`RulesError::NotKept`] when it is in force but not
    /// on disk.
    pub async fn revoke(&self, ids: Option<&[u64]>, process: &str) -> Result<u64, RulesError> {
        let mut state = self.state.lock().await;
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
                format!("grants {ids:?}")
            }
        };
        let ended = (before - grants.len()) as u64;
        let record = self.parts.journal.act("revoke", &about, true, Some(process));
        self.narrow(&mut state, next, record).await?;
        Ok(ended)
    }

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
    async fn narrow(&self, state: &mut State, next: Kept, record: Record) -> Result<(), RulesError> {
        self.put(&next);
        state.kept = next.clone();
        let saved = self.save(Weight::Lenient, next, record, None).await.map_err(|error| error.to_string());
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
    async fn widen(
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
    fn next(&self, state: &State) -> Kept {
        let mut next = state.kept.clone();
        next.standing.epoch += 1;
        let now = self.parts.clock.now();
        next.standing.grants.retain(|grant| grant.holds(&self.parts.boot_id, now));
        next
    }

    /// Puts rules and grants in force in this process, and wakes those who tell the sessions.
    fn put(&self, kept: &Kept) {
        self.parts.policy.rcu(|policy| policy.with_standing(kept.standing.clone()));
        self.epoch.send_replace(kept.standing.epoch);
    }

    fn write_denies(&self) -> Result<(), String> {
        let standing = self.parts.policy.load().standing().denies_only();
        denies::write(&self.parts.denies, &standing).map_err(|error| error.to_string())
    }

    /// The store is behind the file of denies: only what narrows stays, of both.
    async fn narrow_to(&self, store: Kept, file: Standing) -> Result<(), RulesError> {
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

/// A grant in the words of the audit.
fn described(grant: &Grant) -> String {
    let limits = match grant.limits.to_string() {
        none if none.is_empty() => none,
        limits => format!(", {limits}"),
    };
    format!("grant {}: {} for {} s{limits}", grant.id, grant.pattern, grant.lasts().as_secs())
}

/// Refuses what was confirmed for less.
fn covered(confirmed: &Confirmed, what: &What<'_>) -> Result<(), RulesError> {
    if confirmed.covers(what) { Ok(()) } else { Err(RulesError::TooWide) }
}

fn take_id(kept: &mut Kept) -> u64 {
    let id = kept.next_id;
    kept.next_id += 1;
    id
}

fn add_rule(kept: &mut Kept, pattern: Pattern, action: Action, now: Moment) -> Rule {
    let rule = Rule { id: take_id(kept), pattern, action, made: now.wall };
    kept.standing.rules.push(rule.clone());
    rule
}

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::RequireApproval => "require-approval",
        Action::Deny => "deny",
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("epoch", &*self.epoch.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
