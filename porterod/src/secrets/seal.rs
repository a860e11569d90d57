//! The encryption of kept credentials, and the names of the keys that the system's keyring holds.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use data_encoding::{BASE64, HEXLOWER};
use portero::atomic_file;
use portero::files::{self, READ_TIMEOUT};
use portero::secret::Secret;
use zeroize::Zeroizing;

use super::kept::{CredentialName, KeepError, MAX_CREDENTIAL_BYTES};
use crate::keyring::KeyringItem;
use crate::store::credentials::{KEY_ID_BYTES, SealedCredential};

/// The beginning of what each seal authenticates beside the value.
const PURPOSE: &[u8] = b"portero credential 1\0";
/// The nonce of XChaCha20-Poly1305, which is long enough to be random for each value.
const NONCE_BYTES: usize = 24;
/// The service of the items in which keys are.
const ITEM_SERVICE: &str = "portero";
/// The beginning of their accounts.
const ITEM_ACCOUNT: &str = "credentials-";

/// Names a key that the keyring holds. No two stores have the same one, and no key is ever written over another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyId(pub(super) [u8; KEY_ID_BYTES]);

impl KeyId {
    pub(super) fn fresh() -> Self {
        Self(rand::random())
    }

    /// The item of the keyring that holds the key.
    pub(super) fn item(&self) -> KeyringItem {
        KeyringItem { service: ITEM_SERVICE.to_owned(), account: format!("{ITEM_ACCOUNT}{self}") }
    }

    /// Whether an item is one that holds a key, of whatever store.
    pub(super) fn is_item_of_a_key(item: &KeyringItem) -> bool {
        item.service == ITEM_SERVICE && item.account.starts_with(ITEM_ACCOUNT)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A key under which credentials are sealed.
#[derive(Clone)]
pub(super) struct CredentialKey(Arc<Zeroizing<[u8; 32]>>);

impl CredentialKey {
    pub(super) fn fresh() -> Self {
        Self(Arc::new(Zeroizing::new(rand::random())))
    }

    /// Reads the key from its file, or makes it there.
    pub(super) async fn in_file(path: &Path) -> Result<Self, KeepError> {
        let file = path.to_owned();
        let read = files::read_off_thread(path, READ_TIMEOUT, move || {
            atomic_file::read_or_create_key(&file).map_err(|error| error.to_string())
        });
        let key = read.await.unwrap_or_else(|error| Err(error.to_string()));
        let failed = |problem| KeepError::Key { path: path.display().to_string(), problem };
        key.map(|key| Self(Arc::new(key))).map_err(failed)
    }

    /// The key as one line of text, as the keyring holds it.
    pub(super) fn to_text(&self) -> Secret {
        Secret::new(BASE64.encode(&**self.0))
    }

    /// Reads what [`Self::to_text`] wrote.
    pub(super) fn from_text(text: &Secret) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text.expose().trim().as_bytes()).ok()?);
        let key: [u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self(Arc::new(Zeroizing::new(key))))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(**self.0).into())
    }

    pub(super) fn seal(&self, name: &CredentialName, value: &Secret) -> Result<SealedCredential, KeepError> {
        if value.expose().len() > MAX_CREDENTIAL_BYTES {
            return Err(KeepError::TooLong);
        }
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: value.expose().as_bytes(), aad: &authenticated(name) };
        let text = self.cipher().encrypt(&nonce.into(), payload).map_err(|_| KeepError::TooLong)?;
        Ok(SealedCredential { nonce, text })
    }

    pub(super) fn open(&self, name: &CredentialName, sealed: &SealedCredential) -> Result<Secret, KeepError> {
        let damaged = || KeepError::Damaged(name.clone());
        let payload = Payload { msg: &sealed.text, aad: &authenticated(name) };
        let plain = self.cipher().decrypt(&sealed.nonce.into(), payload);
        let plain = plain.map(Zeroizing::new).map_err(|_| damaged())?;
        std::str::from_utf8(&plain).map(Secret::new).map_err(|_| damaged())
    }
}

/// The name belongs to the seal, so that a value that was moved to another name doesn't open.
fn authenticated(name: &CredentialName) -> Vec<u8> {
    [PURPOSE, name.to_string().as_bytes()].concat()
}
