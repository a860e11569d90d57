//! Keeps credentials in the store, each sealed under a key that the system's keyring holds, or else a file beside the
//! store.
//!
//! The store says under which key each credential is sealed, and one transaction of it moves them all to another. A key
//! goes away only once nothing is sealed under it, and no key takes another one's place. So a crash at any point loses
//! nothing, and a keyring that is locked, away or emptied changes nothing: what is sealed under its key opens again
//! once the key is back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use portero::config::KeyringUse;
use portero::files::{self, READ_TIMEOUT};
use portero::ipc::{CredentialPlace, CredentialsStatus, UnreadableCredential};
use portero::secret::Secret;
use portero::sync::lock;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::kept::{CredentialName, KeepError, KeptCredential, KeptCredentials, MAX_CREDENTIALS};
use super::keyring_keys::{ANSWER_TIMEOUT, KeyProblem, KeyringKeys};
use super::seal::{CredentialKey, KeyId};
use crate::journal::Journal;
use crate::keyring::{Keyring, KeyringError};
use crate::store::credentials::{self, CredentialRow, StoredKeyId};
use crate::store::{Durability, StoreError};

/// How long until what isn't settled is looked at again, at least and where nothing else says when.
const MIN_SETTLE_PAUSE: Duration = Duration::from_secs(1);
const SETTLE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Says how the keyring is to be used, at each moment.
pub type KeyringSetting = Arc<dyn Fn() -> KeyringUse + Send + Sync>;

/// The credentials in the store.
///
/// A copy of the store shows no value, nor does a copy of the whole state directory where the keyring holds the key.
/// Another process of the same user can read the file, and ask an unlocked keyring.
pub struct SealedCredentials {
    journal: Arc<Journal>,
    key_file: PathBuf,
    keyring: Arc<dyn Keyring>,
    keys: Arc<KeyringKeys>,
    setting: KeyringSetting,
    /// Held while anything is sealed, or opened by the key in the file: that file goes away with the last use of it.
    sealing: tokio::sync::Mutex<()>,
    /// Held while a key of the keyring is chosen or made.
    choosing: tokio::sync::Mutex<()>,
    /// The keys that are about to be removed, under which nothing is sealed any more.
    retired: Mutex<BTreeSet<KeyId>>,
    /// Told when something may be sealed under another key than it should.
    unsettled: Notify,
}

/// A key and its place; without an id, that of the file.
#[derive(Clone)]
struct SealingKey {
    id: Option<KeyId>,
    key: CredentialKey,
}

impl SealingKey {
    fn stored_id(&self) -> StoredKeyId {
        self.id.map(|id| id.0)
    }
}

impl SealedCredentials {
    /// Credentials in the journal's store. `key_file` is made when a credential is kept without the keyring.
    #[must_use]
    pub fn new(
        journal: Arc<Journal>,
        key_file: PathBuf,
        keyring: Arc<dyn Keyring>,
        setting: KeyringSetting,
    ) -> Self {
        Self {
            keys: KeyringKeys::new(Arc::clone(&keyring), Arc::clone(&journal)),
            journal,
            key_file,
            keyring,
            setting,
            sealing: tokio::sync::Mutex::default(),
            choosing: tokio::sync::Mutex::default(),
            retired: Mutex::default(),
            unsettled: Notify::new(),
        }
    }

    /// Seals everything under the key that the setting wants, whenever that is possible, until `stop`.
    pub async fn run(self: Arc<Self>, mut reloaded: watch::Receiver<()>, stop: CancellationToken) {
        let settling = async {
            loop {
                let pause = match self.settle().await {
                    Ok(true) => None,
                    Ok(false) => Some(self.keys.next_attempt_in().unwrap_or(SETTLE_PAUSE)),
                    Err(error) => {
                        tracing::warn!(%error, "kept credentials are not sealed as they should be");
                        Some(SETTLE_PAUSE)
                    }
                };
                let retry = async {
                    match pause {
                        Some(pause) => tokio::time::sleep(pause.max(MIN_SETTLE_PAUSE)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = retry => {}
                    () = self.unsettled.notified() => {}
                    changed = reloaded.changed() => if changed.is_err() { return },
                }
            }
        };
        stop.run_until_cancelled(settling).await;
    }

    /// Where credentials are kept, and what is wrong with that. It asks nobody.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn status(&self) -> Result<CredentialsStatus, StoreError> {
        let (rows, keys) = self
            .journal
            .store()
            .read(|store| Ok((credentials::list(store)?, credentials::list_keys(store)?)))?;
        let in_keyring = rows.iter().filter(|row| row.key.is_some()).count();
        let in_store = rows.len() - in_keyring;
        let unreadable: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                Some(UnreadableCredential { name: row.name.clone(), trouble: self.trouble(row)? })
            })
            .collect();
        let failed = keys.first().and_then(|newest| match self.keys.problem(KeyId(newest.id))? {
            KeyProblem::Keyring(error) => Some(error),
            KeyProblem::Missing => None,
        });
        let obstacle = self.keyring.find_obstacle().map(KeyringError::Away);
        let setting = (self.setting)();
        let (place, reason) = match (setting, obstacle.as_ref().or(failed.as_ref())) {
            (KeyringUse::Off, _) => {
                (CredentialPlace::Store, Some("`credentials.keyring` is false".to_owned()))
            }
            (KeyringUse::Auto, Some(error)) => (CredentialPlace::Store, Some(error.to_string())),
            (KeyringUse::Required, _) | (KeyringUse::Auto, None) => (CredentialPlace::Keyring, None),
        };
        let problem = match (setting, &obstacle, &failed) {
            // Nothing is missed then.
            (KeyringUse::Off, ..) | (KeyringUse::Auto, Some(_), _) if in_keyring == 0 => None,
            (KeyringUse::Off, _, None) => None,
            (_, Some(error), _) | (_, None, Some(error)) => Some(error),
            (_, None, None) => None,
        };
        Ok(CredentialsStatus {
            place,
            reason,
            problem: problem.map(ToString::to_string),
            hint: problem.map(|problem| problem.hint().to_owned()),
            in_keyring,
            in_store,
            unreadable,
        })
    }

    /// Moves what is sealed under another key than the setting wants, and removes the keys that are needed no more. False
    /// if something is left for later.
    async fn settle(&self) -> Result<bool, KeepError> {
        let (rows, keys) = self
            .journal
            .store()
            .read(|store| Ok((credentials::list(store)?, credentials::list_keys(store)?)))?;
        for key in keys.iter().filter(|key| key.is_used) {
            // What fails is remembered with the key.
            let _ = self.keys.fetch(KeyId(key.id)).await;
        }
        let is_off = (self.setting)() == KeyringUse::Off;
        let target = match self.choose_key(is_off || rows.is_empty()).await? {
            Ok(chosen) => chosen,
            Err(_) => return Ok(false),
        };
        let is_settled = self.reseal(target.clone()).await?;
        if target.is_some() {
            self.remove_unused_key_file().await?;
        }
        let kept = target.and_then(|target| target.id);
        let newest = if is_off { None } else { kept.or_else(|| keys.first().map(|key| KeyId(key.id))) };
        Ok(self.retire_keys_but(newest).await? && is_settled)
    }

    /// The key for what is sealed from now on: none for that of the file. If the setting wants the keyring, and that gives none,
    /// its problem.
    async fn choose_key(
        &self,
        wants_file: bool,
    ) -> Result<Result<Option<SealingKey>, KeyringError>, StoreError> {
        if wants_file {
            return Ok(Ok(None));
        }
        let Ok(_choosing) = timeout(ANSWER_TIMEOUT, self.choosing.lock()).await else {
            return Ok(Err(KeyringError::TimedOut));
        };
        let newest = self.journal.store().read(credentials::list_keys)?.into_iter().next();
        if let Some(known) =
            newest.and_then(|newest| self.keys.known(KeyId(newest.id)).map(|key| (newest.id, key)))
        {
            return Ok(Ok(Some(SealingKey { id: Some(KeyId(known.0)), key: known.1 })));
        }
        if let Some(obstacle) = self.keyring.find_obstacle() {
            return Ok(Err(KeyringError::Away(obstacle)));
        }
        let id = match newest {
            None => self.plan_key().await?,
            Some(newest) => match self.keys.fetch(KeyId(newest.id)).await {
                Ok(key) => return Ok(Ok(Some(SealingKey { id: Some(KeyId(newest.id)), key }))),
                // What is sealed under it opens again if the key comes back. So another one is made beside it.
                Err(KeyProblem::Missing) if newest.is_used => self.plan_key().await?,
                Err(KeyProblem::Missing) => KeyId(newest.id),
                Err(KeyProblem::Keyring(error)) => return Ok(Err(error)),
            },
        };
        Ok(match self.keys.create(id).await {
            Ok(key) => Ok(Some(SealingKey { id: Some(id), key })),
            Err(KeyProblem::Keyring(error)) => Err(error),
            Err(KeyProblem::Missing) => {
                Err(KeyringError::Failed("it did not keep what it was given".to_owned()))
            }
        })
    }

    /// Notes a new key in the store, before the keyring gets it.
    async fn plan_key(&self) -> Result<KeyId, StoreError> {
        let (id, now) = (KeyId::fresh(), self.journal.now().wall);
        let add = move |store: &_| credentials::add_key(store, id.0, now);
        self.journal.store().write(Durability::StoreSynced, add).await?;
        #[cfg(test)]
        crate::crash::crash_at("credential key planned");
        Ok(id)
    }

    /// Seals all that can be opened under one key, in one transaction. False if something can't be opened.
    async fn reseal(&self, target: Option<SealingKey>) -> Result<bool, KeepError> {
        let _sealing = self.sealing.lock().await;
        let wanted = target.as_ref().and_then(SealingKey::stored_id);
        let rows = self.journal.store().read(credentials::list)?;
        if rows.iter().all(|row| row.key == wanted) {
            return Ok(true);
        }
        let mut sources: BTreeMap<StoredKeyId, CredentialKey> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.key != wanted) {
            let source = match row.key {
                Some(id) => self.keys.known(KeyId(id)),
                None => Some(CredentialKey::in_file(&self.key_file).await?),
            };
            sources.extend(source.map(|key| (row.key, key)));
        }
        if sources.is_empty() {
            return Ok(false);
        }
        let target = match target {
            Some(target) => target.key,
            None => CredentialKey::in_file(&self.key_file).await?,
        };
        let change = move |store: &_| {
            let mut is_complete = true;
            for row in rows.iter().filter(|row| row.key != wanted) {
                let (Some(source), Ok(name)) = (sources.get(&row.key), row.name.parse::<CredentialName>())
                else {
                    is_complete = false;
                    continue;
                };
                let Some((sealed, _)) = credentials::load(store, &row.name)? else { continue };
                // What is damaged stays as it is. To look at it again would change nothing.
                let Ok(value) = source.open(&name, &sealed) else { continue };
                let sealed =
                    target.seal(&name, &value).map_err(|error| StoreError::Failed(error.to_string()))?;
                credentials::reseal(store, &row.name, (&sealed, wanted))?;
            }
            #[cfg(test)]
            crate::crash::crash_at("credentials resealed");
            Ok(is_complete)
        };
        let is_complete = self.journal.store().write(Durability::StoreSynced, change).await?;
        #[cfg(test)]
        crate::crash::crash_at("credentials reseal committed");
        tracing::info!(in_keyring = wanted.is_some(), "kept credentials are sealed under another key");
        Ok(is_complete)
    }

    /// Removes the key beside the store, if nothing is sealed under it. With it goes the last way to read what the disk may
    /// still hold of former seals.
    async fn remove_unused_key_file(&self) -> Result<(), KeepError> {
        let _sealing = self.sealing.lock().await;
        if self.journal.store().read(credentials::list)?.iter().any(|row| row.key.is_none()) {
            return Ok(());
        }
        let file = self.key_file.clone();
        let removed =
            files::read_off_thread(&self.key_file, READ_TIMEOUT, move || match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
                Ok(()) | Err(_) => Ok(()),
            });
        let removed = removed.await.unwrap_or_else(|error| Err(error.to_string()));
        #[cfg(test)]
        crate::crash::crash_at("credentials key file removed");
        removed.map_err(|problem| KeepError::Key { path: self.key_file.display().to_string(), problem })
    }

    /// Removes the keys of the keyring under which nothing is sealed, but for one. False if the keyring still has one.
    async fn retire_keys_but(&self, kept: Option<KeyId>) -> Result<bool, KeepError> {
        let mut is_complete = true;
        for id in self.journal.store().read(credentials::list_keys)?.into_iter().map(|key| KeyId(key.id)) {
            if Some(id) == kept || !self.retire(id).await? {
                continue;
            }
            let deleted = if self.keyring.find_obstacle().is_some() {
                false
            } else {
                self.keys.delete(id).await.is_ok()
            };
            #[cfg(test)]
            crate::crash::crash_at("credential key deleted");
            if deleted {
                let remove = move |store: &_| credentials::remove_key(store, id.0);
                self.journal.store().write(Durability::StoreSynced, remove).await?;
            }
            is_complete &= deleted;
            lock(&self.retired).remove(&id);
        }
        Ok(is_complete)
    }

    /// Nothing is sealed under this key any more. False if something is already.
    async fn retire(&self, id: KeyId) -> Result<bool, StoreError> {
        let _sealing = self.sealing.lock().await;
        let keys = self.journal.store().read(credentials::list_keys)?;
        let is_unused = keys.iter().any(|key| key.id == id.0 && !key.is_used);
        if is_unused {
            lock(&self.retired).insert(id);
        }
        Ok(is_unused)
    }

    /// Why a credential can't be opened, as far as is known.
    fn trouble(&self, row: &CredentialRow) -> Option<String> {
        let name: CredentialName = row.name.parse().ok()?;
        Some(unreadable(&name, self.keys.problem(KeyId(row.key?))?).to_string())
    }
}

fn unreadable(name: &CredentialName, problem: KeyProblem) -> KeepError {
    let name = name.clone();
    match problem {
        KeyProblem::Keyring(problem) => KeepError::Locked { name, problem },
        KeyProblem::Missing => KeepError::KeyMissing { name },
    }
}

impl KeptCredentials for SealedCredentials {
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>> {
        Box::pin(async move {
            let mut failed: Option<(KeyId, KeyProblem)> = None;
            loop {
                let text = name.to_string();
                let sealing = self.sealing.lock().await;
                let found = self.journal.store().read(move |store| credentials::load(store, &text))?;
                let Some((sealed, key)) = found else { return Ok(None) };
                let Some(id) = key.map(KeyId) else {
                    return CredentialKey::in_file(&self.key_file).await?.open(name, &sealed).map(Some);
                };
                drop(sealing);
                // Meanwhile it may have been sealed under another key. If it is the same one still, it failed for good.
                if let Some((_, problem)) = failed.filter(|(failed, _)| *failed == id) {
                    return Err(unreadable(name, problem));
                }
                match self.keys.fetch(id).await {
                    Ok(key) => return key.open(name, &sealed).map(Some),
                    Err(problem) => failed = Some((id, problem)),
                }
            }
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            let setting = (self.setting)();
            let chosen = match (self.choose_key(setting == KeyringUse::Off).await?, setting) {
                (Ok(chosen), _) => chosen,
                (Err(problem), KeyringUse::Required) => return Err(KeepError::NoKeyring { problem }),
                (Err(_), KeyringUse::Auto | KeyringUse::Off) => None,
            };
            let sealing = self.sealing.lock().await;
            let retired = |key: &SealingKey| key.id.is_some_and(|id| lock(&self.retired).contains(&id));
            let key = match chosen.filter(|key| !retired(key)) {
                Some(key) => key,
                None => SealingKey { id: None, key: CredentialKey::in_file(&self.key_file).await? },
            };
            let (sealed, id) = (key.key.seal(name, value)?, key.stored_id());
            let (text, now) = (name.to_string(), self.journal.now().wall);
            let saved = self.journal.store().write(Durability::StoreSynced, move |store| {
                let kept = credentials::list(store)?;
                if kept.len() >= MAX_CREDENTIALS && kept.iter().all(|row| row.name != text) {
                    return Ok(false);
                }
                credentials::save(store, &text, (&sealed, id), now).map(|()| true)
            });
            let saved = saved.await?;
            drop(sealing);
            self.unsettled.notify_one();
            if saved { Ok(()) } else { Err(KeepError::TooMany) }
        })
    }

    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>> {
        Box::pin(async move {
            let text = name.to_string();
            let remove = move |store: &_| credentials::remove(store, &text);
            let removed = self.journal.store().write(Durability::StoreSynced, remove).await?;
            self.unsettled.notify_one();
            Ok(removed)
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>> {
        Box::pin(async move {
            let rows = self.journal.store().read(credentials::list)?;
            let kept = rows.into_iter().map(|row| {
                let trouble = self.trouble(&row);
                let name = row.name.parse();
                let name = name.map_err(|_| StoreError::corrupt("a credential has no right name"))?;
                let place = if row.key.is_some() { CredentialPlace::Keyring } else { CredentialPlace::Store };
                Ok(KeptCredential { name, since: row.kept, place, trouble })
            });
            kept.collect()
        })
    }
}

#[cfg(test)]
mod tests;
