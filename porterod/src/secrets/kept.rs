//! Credentials that outlive the daemon's process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portero::atomic_file;
use portero::files::{self, READ_TIMEOUT};
use portero::names::{NameError, SecretName, ServerName};
use portero::secret::Secret;
use zeroize::Zeroizing;

use crate::journal::Journal;
use crate::store::credentials::{self, SealedCredential};
use crate::store::{Durability, StoreError};

/// The longest value, in bytes. A set of OAuth tokens with large JWTs has some kilobytes.
pub const MAX_CREDENTIAL_BYTES: usize = 64 << 10;
/// How many credentials are kept at most.
pub const MAX_CREDENTIALS: usize = 1000;

/// The beginning of what each seal authenticates beside the value.
const PURPOSE: &[u8] = b"portero credential 1\0";
/// The nonce of XChaCha20-Poly1305, which is long enough to be random for each value.
const NONCE_BYTES: usize = 24;

/// Under which name a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialName {
    /// What OAuth got for a server: `oauth/SERVER`.
    OAuth(ServerName),
    /// What a person set: `secret/NAME`.
    Secret(SecretName),
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OAuth(server) => write!(f, "oauth/{server}"),
            Self::Secret(name) => write!(f, "secret/{name}"),
        }
    }
}

impl FromStr for CredentialName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some(("oauth", server)) => server.parse().map(Self::OAuth),
            Some(("secret", name)) => name.parse().map(Self::Secret),
            Some(_) | None => Err(NameError::NoSlash),
        }
    }
}

/// Why a credential wasn't loaded or kept. No variant holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key beside the store can't be read or made.
    #[error("the key of the kept credentials, {path}, cannot be read or made: {problem}")]
    Key {
        /// Its file.
        path: String,
        /// The reason.
        problem: String,
    },
    /// The value was sealed under another key, or changed since.
    #[error(
        "the kept credential `{0}` is damaged, or was sealed under another key; clear it and set it again"
    )]
    Damaged(CredentialName),
    /// The value is too long.
    #[error("a credential has at most {MAX_CREDENTIAL_BYTES} bytes")]
    TooLong,
    /// Too many are kept.
    #[error("there are {MAX_CREDENTIALS} kept credentials, which is the most; clear one first")]
    TooMany,
}

/// A credential that is kept, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCredential {
    /// Its name.
    pub name: CredentialName,
    /// When its present value was kept.
    pub since: Timestamp,
}

/// Where credentials outlive the daemon's process.
pub trait KeptCredentials: Send + Sync {
    /// The value of this name, if one is kept.
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>>;

    /// Keeps a value, durably, and replaces an earlier one.
    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>>;

    /// Forgets a value. False if none was kept.
    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>>;

    /// What is kept, sorted by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>>;
}

/// Keeps credentials in the store, each sealed with XChaCha20-Poly1305 under a key in a file beside it.
///
/// A copy of the store shows no value. Another process of the same user can read both files.
pub struct SealedCredentials {
    journal: Arc<Journal>,
    key: PathBuf,
}

impl SealedCredentials {
    /// Credentials in the journal's store. `key` is the file of their key, which is made when the first one is
    /// kept.
    #[must_use]
    pub fn new(journal: Arc<Journal>, key: PathBuf) -> Self {
        Self { journal, key }
    }

    /// Reads the key, or makes it.
    async fn cipher(&self) -> Result<XChaCha20Poly1305, KeepError> {
        let path = self.key.clone();
        let read = files::read_off_thread(&self.key, READ_TIMEOUT, move || {
            atomic_file::read_or_create_key(&path).map_err(|error| error.to_string())
        });
        let key = read.await.unwrap_or_else(|error| Err(error.to_string()));
        let key = key.map_err(|problem| KeepError::Key { path: display(&self.key), problem })?;
        Ok(XChaCha20Poly1305::new(&(*key).into()))
    }
}

impl KeptCredentials for SealedCredentials {
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>> {
        Box::pin(async move {
            let text = name.to_string();
            let sealed = self.journal.store().read(move |store| credentials::load(store, &text))?;
            let Some(sealed) = sealed else { return Ok(None) };
            open(&self.cipher().await?, name, &sealed).map(Some)
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            let sealed = seal(&self.cipher().await?, name, value)?;
            let (text, now) = (name.to_string(), self.journal.now().wall);
            let saved = self.journal.store().write(Durability::StoreSynced, move |store| {
                let kept = credentials::list(store)?;
                if kept.len() >= MAX_CREDENTIALS && kept.iter().all(|(kept, _)| *kept != text) {
                    return Ok(false);
                }
                credentials::save(store, &text, &sealed, now).map(|()| true)
            });
            if saved.await? { Ok(()) } else { Err(KeepError::TooMany) }
        })
    }

    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>> {
        Box::pin(async move {
            let text = name.to_string();
            let remove = move |store: &_| credentials::remove(store, &text);
            Ok(self.journal.store().write(Durability::StoreSynced, remove).await?)
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>> {
        Box::pin(async move {
            let rows = self.journal.store().read(credentials::list)?;
            let kept = rows.into_iter().map(|(name, since)| {
                let name = name.parse().map_err(|_| StoreError::corrupt("a credential has no right name"))?;
                Ok(KeptCredential { name, since })
            });
            kept.collect()
        })
    }
}

fn seal(
    cipher: &XChaCha20Poly1305,
    name: &CredentialName,
    value: &Secret,
) -> Result<SealedCredential, KeepError> {
    if value.expose().len() > MAX_CREDENTIAL_BYTES {
        return Err(KeepError::TooLong);
    }
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let payload = Payload { msg: value.expose().as_bytes(), aad: &authenticated(name) };
    let text = cipher.encrypt(&nonce.into(), payload).map_err(|_| KeepError::TooLong)?;
    Ok(SealedCredential { nonce, text })
}

fn open(
    cipher: &XChaCha20Poly1305,
    name: &CredentialName,
    sealed: &SealedCredential,
) -> Result<Secret, KeepError> {
    let damaged = || KeepError::Damaged(name.clone());
    let payload = Payload { msg: &sealed.text, aad: &authenticated(name) };
    let plain = cipher.decrypt(&sealed.nonce.into(), payload).map(Zeroizing::new).map_err(|_| damaged())?;
    std::str::from_utf8(&plain).map(Secret::new).map_err(|_| damaged())
}

/// The name belongs to the seal, so that a value that was moved to another name doesn't open.
fn authenticated(name: &CredentialName) -> Vec<u8> {
    [PURPOSE, name.to_string().as_bytes()].concat()
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::approvals::tests::Fixture;

    fn name(text: &str) -> CredentialName {
        text.parse().unwrap()
    }

    fn open_kept() -> (Fixture, TempDir, SealedCredentials) {
        let (fixture, directory) = (Fixture::new(), tempfile::tempdir().unwrap());
        let kept = SealedCredentials::new(fixture.journal.clone(), directory.path().join("credentials.key"));
        (fixture, directory, kept)
    }

    #[test]
    fn a_name_says_whose_the_credential_is() {
        for text in ["oauth/linear", "secret/github.token"] {
            assert_eq!(name(text).to_string(), text);
        }
        for bad in ["linear", "oauth/", "secret/a b", "other/x", "oauth/a/b"] {
            assert!(bad.parse::<CredentialName>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_reads_back_until_it_is_replaced_or_forgotten() {
        let (_fixture, _directory, kept) = open_kept();
        let (linear, github) = (name("oauth/linear"), name("secret/github"));
        assert_eq!(kept.load(&linear).await, Ok(None));
        kept.save(&linear, &Secret::new("first")).await.unwrap();
        kept.save(&github, &Secret::new("other")).await.unwrap();
        kept.save(&linear, &Secret::new("second")).await.unwrap();
        assert_eq!(kept.load(&linear).await, Ok(Some(Secret::new("second"))));
        let names: Vec<_> = kept.list().await.unwrap().into_iter().map(|kept| kept.name).collect();
        assert_eq!(names, [linear.clone(), github.clone()]);

        assert_eq!(kept.forget(&linear).await, Ok(true));
        assert_eq!(kept.forget(&linear).await, Ok(false));
        assert_eq!(kept.load(&linear).await, Ok(None));
        assert_eq!(kept.load(&github).await, Ok(Some(Secret::new("other"))));
    }

    #[tokio::test]
    async fn the_store_shows_no_value_and_none_opens_under_another_name_or_key() {
        let (fixture, directory, kept) = open_kept();
        let (linear, other) = (name("oauth/linear"), name("oauth/other"));
        kept.save(&linear, &Secret::new("a very plain value")).await.unwrap();
        let row = fixture.journal.store().read(|store| credentials::load(store, "oauth/linear"));
        let row = row.unwrap().unwrap();
        assert!(!row.text.windows(5).any(|part| part == b"plain"));

        let (moved, now) = (row, fixture.journal.now().wall);
        let store = fixture.journal.store();
        let swap = move |store: &_| credentials::save(store, "oauth/other", &moved, now);
        store.write(Durability::StoreSynced, swap).await.unwrap();
        assert_eq!(kept.load(&other).await, Err(KeepError::Damaged(other)));

        fs::remove_file(directory.path().join("credentials.key")).unwrap();
        assert_eq!(kept.load(&linear).await, Err(KeepError::Damaged(linear.clone())));
        kept.save(&linear, &Secret::new("set again")).await.unwrap();
        assert_eq!(kept.load(&linear).await, Ok(Some(Secret::new("set again"))));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_key_is_readable_for_this_user_only() {
        let (_fixture, directory, kept) = open_kept();
        kept.save(&name("oauth/linear"), &Secret::new("value")).await.unwrap();
        let key = fs::metadata(directory.path().join("credentials.key")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_and_the_former_value_stays() {
        let (_fixture, _directory, kept) = open_kept();
        let linear = name("oauth/linear");
        kept.save(&linear, &Secret::new("value")).await.unwrap();
        let long = Secret::new("x".repeat(MAX_CREDENTIAL_BYTES + 1));
        assert_eq!(kept.save(&linear, &long).await, Err(KeepError::TooLong));
        assert_eq!(kept.load(&linear).await, Ok(Some(Secret::new("value"))));
    }
}
