//! How a change is applied. A narrowing change applies at once and is saved after; a widening one is saved
//! first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Fake;
use portero::audit::AuditRecord;
use portero::clock::Moment;
use portero::notice::{AlarmKind, Notice, OverrideChange};
use portero::pattern::Pattern;
use portero::policy::definition_pins::DefinitionItem;
use portero::policy::{Action, Grant, Overrides, Policy, PolicyRule, offline_denies};
use portero::sync::lock;
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;

use super::{OverrideState, OverrideStore, OverridesError, SavedOverrides, next_id};
use crate::auth::Authorization;
use crate::journal::{AuditMode, ChangeReport, Journal};
use crate::sessions::OverridesSpread;
use crate::store::buttons::ButtonUse;
use crate::store::overrides::{self, OverridesRecord};
use crate::store::{SAVE_TIMEOUT, StoreError};

/// How long to wait before retrying a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl OverrideStore {
    /// Retries failed saves until `stop`. The composition root spawns and joins it.
    pub async fn run_saver(self: Arc<Self>, stop: CancellationToken) {
        let kept = async {
            loop {
                self.save_needed.notified().await;
                while !self.retry_save().await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        };
        stop.run_until_cancelled(kept).await;
        self.saving.close();
        self.saving.wait().await;
    }

    /// Saves the current overrides to store and file if needed, and returns whether they are saved.
    pub async fn retry_save(&self) -> bool {
        let state = self.state.lock().await;
        if self.is_saved(&state) {
            return true;
        }
        if !self.saving.is_empty() {
            // A save that wasn't waited for is still running.
            return false;
        }
        let stored = self.lock_saved().overrides.epoch;
        // The store is up to date, so only the file is missing. Without this branch each retry would raise
        // the epoch.
        if stored >= state.kept.overrides.epoch {
            drop(state);
            return self.write_offline_denies(FormerFile::Keep).await.is_ok();
        }
        let next = self.begin_change(&state);
        let record =
            self.deps.journal.act_record("save", "rules and grants that could not be saved", true, None);
        self.apply_narrowing(state, next, record).await.is_ok()
    }

    /// Applies a narrowing change, then saves it if possible.
    pub(super) async fn apply_narrowing(
        &self,
        state: MutexGuard<'_, OverrideState>,
        next: OverridesRecord,
        record: AuditRecord,
    ) -> Result<(), OverridesError> {
        self.apply_narrowing_with(state, next, Some(record), None, FormerFile::Remove).await
    }

    /// As `apply_narrowing`; a button is used up in the same transaction. Without a record, the change was
    /// recorded elsewhere.
    pub(super) async fn apply_narrowing_with(
        &self,
        mut state: MutexGuard<'_, OverrideState>,
        mut next: OverridesRecord,
        record: Option<AuditRecord>,
        consumes: Option<ButtonUse>,
        former: FormerFile,
    ) -> Result<(), OverridesError> {
        if self.is_elevating() {
            // A widening change that is being saved already has the next epoch. This change skips that one,
            // so it stays the later of the two in whichever order they reach the store.
            next.overrides.epoch += 1;
        }
        self.put_in_force(&next);
        state.kept = next.clone();
        // Sent before saving, so that sessions don't wait for the disk either.
        let spread = self.begin_spread(&state);
        // Released before saving: the next deny must apply at once, however long this save takes.
        drop(state);
        let saved = self.save_narrowing(next, record, consumes, former).await;
        spread.wait_for_sessions().await;
        saved
    }

    /// Saves a narrowing change that applies already. Saving is retried later where it fails.
    async fn save_narrowing(
        &self,
        next: OverridesRecord,
        record: Option<AuditRecord>,
        consumes: Option<ButtonUse>,
        former: FormerFile,
    ) -> Result<(), OverridesError> {
        let epoch = next.overrides.epoch;
        let saving = self.saving.spawn(self.make_saver().save_change(
            AuditMode::BestEffort,
            next,
            record,
            consumes,
            None,
        ));
        let saved = tokio::select! {
            saved = saving => saved.map_err(|error| StoreError::Failed(error.to_string())).flatten(),
            // The save continues in the background, and `retry_save` finds its result.
            stuck = self.deps.journal.store().wait_until_stuck() => Err(stuck),
        };
        let saved = saved.map_err(|error| error.to_string());
        // The file is written after the store. A file that is ahead therefore shows at the next start that
        // the store lost a write.
        let written = self.write_offline_denies(former).await;
        let Err(problem) = saved.and(written) else { return Ok(()) };
        let is_first = {
            let mut stored = self.lock_saved();
            if stored.has_epoch(epoch) {
                // The save finished just now, or a later one contained this change.
                return Ok(());
            }
            std::mem::replace(&mut stored.problem, problem.clone()).is_empty()
        };
        tracing::error!(problem, "rules and grants are in force but could not be saved");
        self.save_needed.notify_one();
        if is_first {
            let about = format!(
                "what a person just forbade or ended is in force, but could not be saved ({problem}); it is \
                 lost if the daemon ends now, so look at the disk first"
            );
            let journal = Arc::clone(&self.deps.journal);
            // The alarm waits for the same disk, so the person's answer doesn't wait for it.
            self.saving.spawn(async move { journal.raise_alarm(AlarmKind::Store, &about).await });
        }
        Err(OverridesError::NotSaved(problem))
    }

    /// Saves a widening change together with the use of its button, then applies it. It is refused if a
    /// narrowing change came during the save: the restriction wins.
    /// Locks: `elevating` is held throughout and was taken before `state`. `state` is released during the
    /// write, so that a deny never waits for it.
    pub(super) async fn apply_elevation(
        &self,
        widening: MutexGuard<'_, ()>,
        mut state: MutexGuard<'_, OverrideState>,
        next: OverridesRecord,
        about: &str,
        confirmed: Authorization,
    ) -> Result<(), OverridesError> {
        let (word, actor) = (confirmed.act().word(), confirmed.actor());
        let record = self.deps.journal.act_record(word, about, true, Some(actor));
        let consumes = confirmed.button().cloned();
        let base = state.kept.overrides.epoch;
        // A rule made during the save must not get the same id.
        state.kept.next_id = next.next_id;
        drop(state);
        let unless = (Arc::clone(&self.deps.policy), base);
        self.make_saver()
            .save_change(AuditMode::Required, next.clone(), Some(record), consumes, Some(unless))
            .await?;
        let mut state = self.state.lock().await;
        if state.kept.overrides.epoch != base {
            // The narrowing change has a later epoch, and its save replaces this one.
            return Err(overtaken_error().into());
        }
        self.put_in_force(&next);
        state.kept = next;
        let spread = self.begin_spread(&state);
        drop((state, widening));
        if let Err(problem) = self.write_offline_denies(FormerFile::Keep).await {
            // The former file denies as much or more, so sessions without a daemon stay safe meanwhile.
            tracing::error!(problem, "the file of denies could not be written");
            self.save_needed.notify_one();
        }
        spread.wait_for_sessions().await;
        Ok(())
    }

    /// Sends the present rules and grants to every session. The lock of `state` keeps changes in their order: it is
    /// held from a change's application to its sending.
    fn begin_spread(&self, state: &OverrideState) -> OverridesSpread {
        self.deps.sessions.spread_overrides(&state.kept.overrides)
    }

    /// Returns once every session follows what applies already: another request may have changed it a moment ago.
    pub(super) async fn spread_unchanged(&self, state: MutexGuard<'_, OverrideState>) {
        let spread = self.begin_spread(&state);
        drop(state);
        spread.wait_for_sessions().await;
    }

    fn lock_saved(&self) -> std::sync::MutexGuard<'_, SavedOverrides> {
        lock(&self.saved)
    }

    fn make_saver(&self) -> OverrideSaver {
        OverrideSaver {
            journal: Arc::clone(&self.deps.journal),
            boot: self.deps.boot_id.clone(),
            now: self.deps.clock.now(),
            stored: Arc::clone(&self.saved),
        }
    }

    /// A copy of the present state with the next epoch, without expired grants and denials that are over: the
    /// start of every change.
    pub(super) fn begin_change(&self, state: &OverrideState) -> OverridesRecord {
        let mut next = state.kept.clone();
        next.overrides.epoch += 1;
        let now = self.deps.clock.now();
        next.overrides.grants.retain(|grant| grant.is_within_time(&self.deps.boot_id, now));
        next.overrides.denials.list.retain(|denial| denial.is_live(now));
        next
    }

    /// Applies rules and grants in this process, and wakes the task that ends grants.
    pub(super) fn put_in_force(&self, kept: &OverridesRecord) {
        let Overrides { rules, grants, .. } = &kept.overrides;
        let ids = rules.iter().map(|rule| rule.id).chain(grants.iter().map(|grant| grant.id));
        // Before the policy changes, because a session may then use the rule and cite it.
        lock(&self.ever_in_force).extend(ids);
        self.deps.policy.rcu(|policy| policy.with_overrides(kept.overrides.clone()));
        self.epoch.send_replace(kept.overrides.epoch);
    }

    /// Writes the current denies to the file. A hanging disk isn't waited for; the write continues in the
    /// background.
    pub(super) async fn write_offline_denies(&self, former: FormerFile) -> Result<(), String> {
        let (file, policy) = (Arc::clone(&self.denies_file_order), Arc::clone(&self.deps.policy));
        let (path, stored) = (self.deps.offline_denies.clone(), Arc::clone(&self.saved));
        let writing = self.saving.spawn(async move {
            let in_order = file.lock_owned().await;
            let writing = tokio::task::spawn_blocking(move || {
                // The lock moves into the blocking thread: it stays held while the disk hangs, even if this
                // task is dropped.
                // The policy is read under the lock, so the last write always has the newest denies.
                let _in_order = in_order;
                let standing = policy.load().overrides().restrictive_only();
                let written = offline_denies::write(&path, &standing).inspect_err(|_| {
                    if former == FormerFile::Remove {
                        let _ = std::fs::remove_file(&path);
                    }
                });
                written.map(|()| standing.epoch)
            });
            let epoch = writing.await.map_err(|error| error.to_string())?;
            let epoch = epoch.map_err(|error| error.to_string())?;
            let mut stored = lock(&stored);
            stored.file_epoch = stored.file_epoch.max(epoch);
            if stored.has_epoch(epoch) {
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

    /// Recovers from a store that is behind the file of denies: of both, only what narrows is kept.
    pub(super) async fn recover_from_file(
        &self,
        store: OverridesRecord,
        file: Overrides,
    ) -> Result<(), OverridesError> {
        let mut next = store;
        next.overrides.epoch = file.epoch + 1;
        next.overrides.grants.clear();
        next.overrides.rules.retain(|rule| rule.action != Action::Allow);
        next.overrides.paused = next.overrides.paused.or(file.paused);
        next.overrides.definition_pins = next.overrides.definition_pins.intersection(&file.definition_pins);
        for rule in file.restrictive_only().rules {
            let known = |known: &PolicyRule| known.pattern == rule.pattern && known.action == rule.action;
            if !next.overrides.rules.iter().any(known) {
                let id = next_id(&mut next);
                next.overrides.rules.push(PolicyRule { id, ..rule });
            }
        }
        let record = self.deps.journal.act_record(
            "recover",
            "the store was older than the file of denies: grants and allowing rules were dropped",
            true,
            None,
        );
        // The present file is the only copy of all of this, so a failed write must not remove it.
        self.apply_narrowing_with(self.state.lock().await, next, Some(record), None, FormerFile::Keep).await
    }
}

/// What happens to the former file of denies if it can't be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormerFile {
    /// It lacks a narrowing change, so it is removed: without a file and without the daemon nothing is
    /// allowed.
    Remove,
    /// It denies as much as the new content, or more.
    Keep,
}

fn overtaken_error() -> StoreError {
    StoreError::Refused(
        "rules or grants were narrowed while this was being saved, so it is not in force; look at them and ask again"
            .to_owned(),
    )
}

/// Saves rules and grants as they are at one moment.
struct OverrideSaver {
    journal: Arc<Journal>,
    boot: String,
    now: Moment,
    stored: Arc<Mutex<SavedOverrides>>,
}

impl OverrideSaver {
    /// Saves the overrides with notices about the differences from the last saved ones. `unless` refuses the
    /// change if that policy's epoch has changed. The check is inside the transaction, so no change can come
    /// between check and save.
    async fn save_change(
        self,
        weight: AuditMode,
        kept: OverridesRecord,
        record: Option<AuditRecord>,
        consumes: Option<ButtonUse>,
        unless: Option<(Arc<ArcSwap<Policy>>, u64)>,
    ) -> Result<(), StoreError> {
        let Self { journal, boot, now, stored } = self;
        let (telling, saved) = (Arc::clone(&journal), kept.overrides.clone());
        let saving = journal.change_and_notify(weight, move |connection| {
            // Unreadable rules are replaced as a whole, because there is nothing to compare with.
            let before = overrides::load_overrides(connection).unwrap_or_else(|_| kept.clone());
            if unless.as_ref().is_some_and(|(policy, base)| policy.load().overrides().epoch != *base) {
                return Err(overtaken_error());
            }
            if let Some(button) = &consumes {
                button.consume(connection)?;
                #[cfg(test)]
                crate::crash::crash_at("button used");
            }
            if before.overrides.epoch > kept.overrides.epoch {
                // A later change was saved first, and contains this one.
                return Ok(((), ChangeReport::from(Vec::from_iter(record.clone()))));
            }
            overrides::save_overrides(connection, &kept)?;
            let live = |grant: &Grant| grant.is_live(&boot, now);
            let notices = notices_between(&before.overrides, &kept.overrides, &live, &|pattern| {
                telling.conceal_text(&pattern.to_string())
            });
            Ok(((), ChangeReport::from(Vec::from_iter(record.clone())).with_notices(notices)))
        });
        saving.await?;
        let mut stored = lock(&stored);
        if saved.epoch >= stored.overrides.epoch {
            stored.overrides = saved;
        }
        if stored.has_epoch(stored.overrides.epoch) {
            stored.problem.clear();
        }
        Ok(())
    }
}

/// The notices of a change: one for each difference, endings first. A missing grant has expired unless it is
/// still `live`; a used-up grant was already reported with its last use.
fn notices_between(
    before: &Overrides,
    after: &Overrides,
    live: &dyn Fn(&Grant) -> bool,
    words: &dyn Fn(&Pattern) -> Fake<String>,
) -> Vec<Notice> {
    let grant =
        |grant: &Grant, became| Notice::Grant { id: grant.id, became, pattern: words(&grant.pattern) };
    let rule = |rule: &PolicyRule, became| Notice::Rule {
        id: rule.id,
        became,
        action: rule.action,
        pattern: words(&rule.pattern),
    };
    let mut notices = Vec::new();
    let used_up = |grant: &Grant| grant.uses_left() == Some(0);
    let is_gone = |grant: &&Grant| after.grants.iter().all(|kept| kept.id != grant.id);
    for gone in before.grants.iter().filter(is_gone).filter(|grant| !used_up(grant)) {
        notices.push(grant(gone, if live(gone) { OverrideChange::Ended } else { OverrideChange::Expired }));
    }
    for gone in before.rules.iter().filter(|rule| after.rules.iter().all(|kept| kept.id != rule.id)) {
        notices.push(rule(gone, OverrideChange::Ended));
    }
    for new in after.grants.iter().filter(|grant| before.grants.iter().all(|old| old.id != grant.id)) {
        notices.push(grant(new, OverrideChange::Made));
    }
    for new in after.rules.iter().filter(|rule| before.rules.iter().all(|old| old.id != rule.id)) {
        notices.push(rule(new, OverrideChange::Made));
    }
    match (before.paused, after.paused) {
        (None, Some(_)) => notices.push(Notice::Paused),
        (Some(_), None) => notices.push(Notice::Resumed),
        (None, None) | (Some(_), Some(_)) => {}
    }
    notices.extend(definition_notices(before, after));
    notices
}

/// One notice for each server of which more waits or is gone. An item that waits already makes no other notice, so that
/// a server that keeps changing can't flood a person.
fn definition_notices(before: &Overrides, after: &Overrides) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (server, pins) in after.definition_pins.servers() {
        // At its first sight nothing waits.
        let Some(former) = before.definition_pins.server(server) else { continue };
        let waits = || pins.waiting.keys().filter(|item| !former.waiting.contains_key(*item));
        let is_known = |item: &&DefinitionItem| pins.accepted.contains_key(*item);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let changed = count(waits().filter(is_known).count());
        let added = count(waits().count()) - changed;
        let gone = count(pins.gone.difference(&former.gone).count());
        if changed + added + gone > 0 {
            notices.push(Notice::Definitions { server: server.clone(), changed, added, gone });
        }
    }
    notices
}
