//! Rules, grants and the pause: what people decided since the configuration was written.
//!
//! A widening change needs an [`Authorization`] and applies once it is on disk. A narrowing change applies at
//! once, even if it can't be written ([`OverridesError::NotSaved`]).
//! Each change raises the epoch by one in the same transaction, updates the daemon's policy, and rewrites the
//! file of denies that sessions read while no daemon runs ([`portero::policy::offline_denies`]).

mod carry_over;
mod change;
mod definitions;
mod denial;
mod grant;
mod rule;
mod uses;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::binding::fingerprint_key;
use portero::clock::Clock;
use portero::files;
use portero::ipc::{Act, UnsavedChanges};
use portero::names::{Actor, ServerName};
use portero::policy::{DefinitionPins, Overrides, Policy, offline_denies};
use portero::sync::lock;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::task::TaskTracker;

pub use self::carry_over::ChangedReplacements;
use self::change::FormerFile;
pub use self::definitions::OwnDefinitions;
pub use self::grant::GrantRequest;
pub use self::rule::RestrictionOutcome;
use crate::auth::Authorization;
use crate::journal::Journal;
use crate::sessions::Sessions;
use crate::store::overrides::{self, OverridesRecord};
use crate::store::{Durability, StoreError, definitions as definitions_store};

/// Why rules or grants were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverridesError {
    /// There is no such rule or grant.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `rule` or `grant`.
        what: &'static str,
        /// The id that was asked for.
        id: u64,
    },
    /// The call doesn't run by a use of this grant.
    #[error("grant {0} does not cover this call, or has no uses left")]
    NotCovered(u64),
    /// The change widens and was not confirmed.
    #[error("removing this rule widens what is allowed, so it needs the approval passphrase")]
    NeedsConfirmation,
    /// Another act was confirmed.
    #[error("this is not what was confirmed")]
    OtherConfirmed,
    /// Other definitions wait than the person saw, or none.
    #[error("what the server `{0}` defines changed since it was shown, or nothing waits")]
    DefinitionsChanged(ServerName),
    /// The confirmation is so old that the granted time is over.
    #[error("the time that was confirmed is over already")]
    GrantOver,
    /// The grant would last too long, or no time at all.
    #[error("a grant lasts at most {} s and at least 1 s", .0.as_secs())]
    InvalidDuration(Duration),
    /// The change applies in this daemon and its sessions but could not be written. Saving is retried; if the
    /// daemon ends before that succeeds, the change is lost.
    #[error("it is in force, but could not be saved yet, and is lost if the daemon ends now: {0}")]
    NotSaved(String),
    /// The change did not apply.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The parts of an override store.
pub struct OverrideStoreDeps {
    /// Store and audit.
    pub journal: Arc<Journal>,
    /// The daemon's policy; only this store updates its `overrides`.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The file of denies.
    pub offline_denies: PathBuf,
    /// The machine's present boot.
    pub boot_id: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The sessions, which follow each change before its method returns.
    pub sessions: Arc<Sessions>,
}

/// The current rules, grants and pause.
pub struct OverrideStore {
    deps: OverrideStoreDeps,
    /// Held briefly and never during a write, so that a narrowing change applies without waiting for a disk.
    state: Mutex<OverrideState>,
    /// Held during the write by changes that widen or use a grant, one after the other. Lock order: before
    /// `state`.
    elevating: Mutex<()>,
    epoch: watch::Sender<u64>,
    save_needed: Notify,
    saved: Arc<std::sync::Mutex<SavedOverrides>>,
    /// Saves that are still running; a slow one isn't waited for.
    saving: TaskTracker,
    /// Held while the file of denies is written, so that a hanging disk blocks one thread only.
    denies_file_order: Arc<Mutex<()>>,
    /// The ids of all rules and grants that have applied since this daemon started.
    ever_in_force: std::sync::Mutex<HashSet<u64>>,
}

struct OverrideState {
    kept: OverridesRecord,
}

/// The last known content of store and file.
#[derive(Debug)]
struct SavedOverrides {
    overrides: Overrides,
    /// The epoch that the file of denies holds.
    file_epoch: u64,
    /// Why the current overrides aren't saved; empty if nothing failed or is slow.
    problem: String,
}

impl SavedOverrides {
    const fn has_epoch(&self, epoch: u64) -> bool {
        self.overrides.epoch >= epoch && self.file_epoch >= epoch
    }
}

impl OverrideStore {
    /// Reads the overrides from the store and writes the file of denies. The file can be ahead of a store
    /// that was restored or lost its last writes. Then the file's denies are added, and all grants and
    /// allowing rules are dropped, so that nothing gets weaker.
    ///
    /// # Errors
    /// If the store can't be read or written, or the file can't be written.
    pub async fn open(parts: OverrideStoreDeps) -> Result<Arc<Self>, OverridesError> {
        // Before any registration of this process, whose texts come before their pins.
        parts.journal.store().write(Durability::Unsynced, definitions_store::prune_texts).await?;
        let mut kept = parts.journal.store().read(overrides::load_overrides)?;
        kept.overrides.boot_id.clone_from(&parts.boot_id);
        let file = parts.offline_denies.clone();
        let read = move || offline_denies::read(&file, &file);
        let read = files::read_off_thread(&parts.offline_denies, 2 * files::READ_TIMEOUT, read);
        // A missing or damaged file says nothing about the store.
        let file = read.await.map_err(StoreError::from)?.ok();
        if let Some(file) = &file {
            // The store has them with their tasks, and they are added once the tasks are read. Until then
            // those of the file hold.
            kept.overrides.denials.clone_from(&file.denials);
        }
        // A grant for exactly one call is known by this key too, so every session gets it at once.
        let binding_key = parts.journal.store().read(overrides::binding_key)?;
        kept.overrides.denials.key = fingerprint_key(&binding_key);
        let behind = file.filter(|file| file.epoch > kept.overrides.epoch);
        let (epoch, _) = watch::channel(kept.overrides.epoch);
        let rules = Self {
            state: Mutex::new(OverrideState { kept: kept.clone() }),
            elevating: Mutex::default(),
            deps: parts,
            epoch,
            save_needed: Notify::new(),
            saved: Arc::new(std::sync::Mutex::new(SavedOverrides {
                overrides: kept.overrides.clone(),
                file_epoch: 0,
                problem: String::new(),
            })),
            saving: TaskTracker::new(),
            denies_file_order: Arc::default(),
            ever_in_force: std::sync::Mutex::default(),
        };
        if let Some(file) = behind {
            rules.recover_from_file(kept, file).await?;
        } else {
            rules.put_in_force(&kept);
        }
        // If this start fails, sessions may still decide by the former file, so a failed write keeps it.
        rules.write_offline_denies(FormerFile::Keep).await.map_err(StoreError::Failed)?;
        Ok(Arc::new(rules))
    }

    /// The pins of all definitions.
    #[must_use]
    pub fn definition_pins(&self) -> DefinitionPins {
        self.deps.policy.load().overrides().definition_pins.clone()
    }

    /// The current overrides, without the definition pins. Expired grants are left out; grants without uses left are
    /// not.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let mut standing = self.deps.policy.load().overrides().clone();
        standing.definition_pins = DefinitionPins::default();
        let now = self.deps.clock.now();
        standing.grants.retain(|grant| grant.is_within_time(&self.deps.boot_id, now));
        standing
    }

    /// The current changes that could not be saved; none if all are saved or about to be.
    #[must_use]
    pub fn unsaved_changes(&self) -> Option<UnsavedChanges> {
        let stored = lock(&self.saved);
        let policy = self.deps.policy.load();
        let (before, now) = (&stored.overrides, policy.overrides());
        if before.epoch >= now.epoch || stored.problem.is_empty() {
            return None;
        }
        let is_new = |id: &u64| !before.rules.iter().any(|rule| rule.id == *id);
        let rules_ended = before.rules.iter().map(|rule| rule.id);
        let rules_ended = rules_ended.filter(|id| !now.rules.iter().any(|rule| rule.id == *id));
        let grants_ended = before.grants.iter().map(|grant| grant.id);
        let grants_ended = grants_ended.filter(|id| !now.grants.iter().any(|grant| grant.id == *id));
        Some(UnsavedChanges {
            problem: stored.problem.clone(),
            rules: now.rules.iter().map(|rule| rule.id).filter(is_new).collect(),
            ended: rules_ended.chain(grants_ended).collect(),
            paused: now.paused.is_some() && before.paused.is_none(),
            tasks: Vec::new(),
        })
    }

    /// Pauses everything, and returns when the pause began: now, or earlier if it was already paused.
    /// Narrows.
    ///
    /// # Errors
    /// [`OverridesError::NotSaved`] if it applies but isn't on disk.
    pub async fn pause_all(&self, process: &Actor) -> Result<Timestamp, OverridesError> {
        let state = self.state.lock().await;
        let before = state.kept.overrides.paused;
        // A resume that is being saved would end the pause, so the pause is then set again with a later
        // epoch.
        if let (Some(since), true) = (before, self.is_saved(&state) && !self.is_elevating()) {
            self.spread_unchanged(state).await;
            return Ok(since);
        }
        let mut next = self.begin_change(&state);
        let since = before.unwrap_or_else(|| self.deps.clock.now().wall);
        next.overrides.paused = Some(since);
        let act = Act::Pause;
        let record = self.deps.journal.act_record(act.word(), &act.about(), true, Some(process));
        self.apply_narrowing(state, next, record).await?;
        Ok(since)
    }

    /// Ends a pause, and returns when it began; none if nothing was paused. Widens.
    ///
    /// # Errors
    /// If it could not be recorded and stored; then the pause stays.
    pub async fn resume_all(&self, confirmed: Authorization) -> Result<Option<Timestamp>, OverridesError> {
        let act = Act::Resume;
        check_covers(&confirmed, &act)?;
        let widening = self.elevating.lock().await;
        let state = self.state.lock().await;
        let Some(since) = state.kept.overrides.paused else {
            drop(widening);
            self.spread_unchanged(state).await;
            return Ok(None);
        };
        let mut next = self.begin_change(&state);
        next.overrides.paused = None;
        let about = format!("{}, paused since {since}", act.about());
        self.apply_elevation(widening, state, next, &about, confirmed).await?;
        Ok(Some(since))
    }

    /// Whether a rule or grant with this id has applied since this daemon started.
    #[must_use]
    pub fn was_in_force(&self, id: u64) -> bool {
        lock(&self.ever_in_force).contains(&id)
    }

    /// Whether store and file hold the current overrides.
    fn is_saved(&self, state: &OverrideState) -> bool {
        lock(&self.saved).has_epoch(state.kept.overrides.epoch)
    }

    /// Whether a widening change is being saved.
    fn is_elevating(&self) -> bool {
        self.elevating.try_lock().is_err()
    }

    /// Watches for changes; the value is the epoch.
    #[must_use]
    pub fn subscribe_epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }
}

/// Fails unless the authorization covers the act.
fn check_covers(confirmed: &Authorization, act: &Act) -> Result<(), OverridesError> {
    if confirmed.covers(act) { Ok(()) } else { Err(OverridesError::OtherConfirmed) }
}

fn next_id(kept: &mut OverridesRecord) -> u64 {
    let id = kept.next_id;
    kept.next_id += 1;
    id
}

impl std::fmt::Debug for OverrideStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("epoch", &*self.epoch.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
