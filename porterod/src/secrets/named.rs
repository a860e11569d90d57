//! The secrets that a person set by name: in the memory of this process, or kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portero::clock::Clock;
use portero::ipc::CredentialPlace;
use portero::names::SecretName;
use portero::secret::Secret;
use portero::sync::lock;

use super::kept::{CredentialName, KeepError, KeptCredentials, MAX_CREDENTIAL_BYTES, MAX_CREDENTIALS};

/// How long a secret is to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretLifetime {
    /// As long as the daemon's process, and no longer than this.
    InMemory(Option<Duration>),
    /// Until it is cleared.
    Kept,
}

/// A secret that is set, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// Its name.
    pub name: SecretName,
    /// Where it is kept beyond the daemon's process; none if it isn't.
    pub kept: Option<KeptPlace>,
    /// When it was set.
    pub since: Timestamp,
    /// When it is forgotten; none if it stays.
    pub expires: Option<Timestamp>,
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPlace {
    /// Where its key is.
    pub place: CredentialPlace,
    /// Why it can't be opened now, with the next step.
    pub trouble: Option<String>,
}

/// The secrets that `portero secret` manages.
pub struct NamedSecrets {
    kept: Arc<dyn KeptCredentials>,
    clock: Arc<dyn Clock>,
    memory: Mutex<BTreeMap<SecretName, InMemory>>,
}

struct InMemory {
    value: Secret,
    since: Timestamp,
    /// By the boot clock, which no one can set back.
    until: Option<(Duration, Timestamp)>,
}

impl NamedSecrets {
    /// The kept secrets, and none in memory.
    #[must_use]
    pub fn new(kept: Arc<dyn KeptCredentials>, clock: Arc<dyn Clock>) -> Self {
        Self { kept, clock, memory: Mutex::default() }
    }

    /// The value of a name; none if it isn't set. One in memory hides a kept one.
    ///
    /// # Errors
    /// If the kept one can't be read.
    pub async fn load(&self, name: &SecretName) -> Result<Option<Secret>, KeepError> {
        self.forget_expired();
        if let Some(found) = lock(&self.memory).get(name) {
            return Ok(Some(found.value.clone()));
        }
        self.kept.load(&CredentialName::Secret(name.clone())).await
    }

    /// Sets a value, and replaces an earlier one, wherever that was.
    ///
    /// # Errors
    /// If it is too long, if there are too many, or if it can't be kept.
    pub async fn set(
        &self,
        name: SecretName,
        value: Secret,
        lifetime: SecretLifetime,
    ) -> Result<(), KeepError> {
        let as_credential = CredentialName::Secret(name.clone());
        match lifetime {
            SecretLifetime::Kept => {
                self.kept.save(&as_credential, &value).await?;
                lock(&self.memory).remove(&name);
            }
            SecretLifetime::InMemory(limit) => {
                if value.expose().len() > MAX_CREDENTIAL_BYTES {
                    return Err(KeepError::TooLong);
                }
                self.forget_expired();
                let now = self.clock.now();
                let end = |limit: Duration| {
                    let wall = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
                    (now.boot.saturating_add(limit), now.wall.saturating_add(wall).unwrap_or(Timestamp::MAX))
                };
                let entry = InMemory { value, since: now.wall, until: limit.map(end) };
                {
                    let memory = lock(&self.memory);
                    if memory.len() >= MAX_CREDENTIALS && !memory.contains_key(&name) {
                        return Err(KeepError::TooMany);
                    }
                }
                // First, because otherwise the former value would come back when this one ends. If it fails, nothing
                // has changed.
                self.kept.forget(&as_credential).await?;
                lock(&self.memory).insert(name, entry);
            }
        }
        Ok(())
    }

    /// Clears names, and returns how many were set. Each is told to `cleared`, because its servers must end: also where
    /// it stays kept, since another one in memory may have hidden that.
    ///
    /// # Errors
    /// The first kept one that can't be removed. All others are cleared by then.
    pub async fn clear(
        &self,
        names: Vec<SecretName>,
        mut cleared: impl FnMut(SecretName),
    ) -> (u64, Result<(), KeepError>) {
        self.forget_expired();
        let (mut count, mut failed) = (0, Ok(()));
        for name in names {
            let was_in_memory = lock(&self.memory).remove(&name).is_some();
            let was_kept = self.kept.forget(&CredentialName::Secret(name.clone())).await;
            count += u64::from(was_in_memory || matches!(was_kept, Ok(true)));
            if failed.is_ok() {
                failed = was_kept.map(|_| ());
            }
            cleared(name);
        }
        (count, failed)
    }

    /// The names that are set. If the kept ones can't be listed, those in memory, with the reason.
    pub async fn names(&self) -> (BTreeSet<SecretName>, Result<(), KeepError>) {
        self.forget_expired();
        let mut names: BTreeSet<SecretName> = lock(&self.memory).keys().cloned().collect();
        let listed = self.kept.list().await.map(|kept| {
            names.extend(kept.into_iter().filter_map(|kept| match kept.name {
                CredentialName::Secret(name) => Some(name),
                CredentialName::OAuth(_) => None,
            }));
        });
        (names, listed)
    }

    /// Everything that is set, sorted by name.
    ///
    /// # Errors
    /// If the kept ones can't be listed.
    pub async fn list(&self) -> Result<Vec<NamedSecret>, KeepError> {
        self.forget_expired();
        let kept = self.kept.list().await?.into_iter().filter_map(|kept| match kept.name {
            CredentialName::Secret(name) => {
                let place = KeptPlace { place: kept.place, trouble: kept.trouble };
                Some(NamedSecret { name, kept: Some(place), since: kept.since, expires: None })
            }
            CredentialName::OAuth(_) => None,
        });
        let mut all: BTreeMap<SecretName, NamedSecret> =
            kept.map(|secret| (secret.name.clone(), secret)).collect();
        for (name, InMemory { since, until, .. }) in lock(&self.memory).iter() {
            let (name, expires) = (name.clone(), until.map(|(_, wall)| wall));
            all.insert(name.clone(), NamedSecret { name, kept: None, since: *since, expires });
        }
        Ok(all.into_values().collect())
    }

    /// Forgets what is over.
    fn forget_expired(&self) {
        let now = self.clock.now().boot;
        lock(&self.memory).retain(|_, entry| entry.until.is_none_or(|(boot, _)| boot > now));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use portero::clock::TestClock;

    use super::*;
    use crate::oauth::tests::MemoryKept;

    fn name(text: &str) -> SecretName {
        text.parse().expect("a name")
    }

    fn open() -> (Arc<MemoryKept>, NamedSecrets) {
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time")));
        let kept = Arc::<MemoryKept>::default();
        (Arc::clone(&kept), NamedSecrets::new(kept, clock))
    }

    async fn is_set(secrets: &NamedSecrets, of: &str) -> bool {
        secrets.load(&name(of)).await.expect("readable").is_some()
    }

    #[tokio::test]
    async fn a_secret_that_could_not_be_set_is_not_in_force() {
        let (kept, secrets) = open();
        secrets.set(name("key"), Secret::new("former"), SecretLifetime::Kept).await.expect("kept");
        kept.is_stuck.store(true, Ordering::Relaxed);
        let failed = secrets.set(name("key"), Secret::new("new"), SecretLifetime::InMemory(None)).await;
        assert_eq!(failed, Err(KeepError::TooMany));
        let value = secrets.load(&name("key")).await.expect("readable").expect("set");
        assert_eq!(value.expose(), "former");
    }

    #[tokio::test]
    async fn where_kept_secrets_cannot_be_listed_those_in_memory_still_can() {
        let (kept, secrets) = open();
        secrets.set(name("a"), Secret::new("x"), SecretLifetime::InMemory(None)).await.expect("set");
        secrets.set(name("b"), Secret::new("x"), SecretLifetime::Kept).await.expect("kept");
        assert_eq!(secrets.names().await, (BTreeSet::from([name("a"), name("b")]), Ok(())));
        kept.is_unlisted.store(true, Ordering::Relaxed);
        assert_eq!(secrets.names().await, (BTreeSet::from([name("a")]), Err(KeepError::TooMany)));
    }

    #[tokio::test]
    async fn clearing_goes_on_where_one_stays_kept_and_tells_of_each() {
        let (kept, secrets) = open();
        for of in ["a", "b"] {
            secrets.set(name(of), Secret::new("x"), SecretLifetime::InMemory(None)).await.expect("set");
        }
        kept.is_stuck.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        let (count, failed) =
            secrets.clear(vec![name("a"), name("b"), name("c")], |name| told.push(name)).await;
        assert_eq!((count, failed), (2, Err(KeepError::TooMany)));
        assert_eq!(told, [name("a"), name("b"), name("c")]);
        assert!(!is_set(&secrets, "a").await && !is_set(&secrets, "b").await);
    }
}
