//! The seal, which ties a configuration to the store in which a person set its passphrase.
//!
//! Without it, an agent could name a state directory of its own without a passphrase, and the files would
//! apply unconfirmed. The seal is a file beside the configuration that names the store. If the store is
//! another one or gone, nothing counts as confirmed and no daemon starts. A program that can write into the
//! configuration directory can remove the seal. It protects from a changed `PORTERO_STATE_DIR`, not from an
//! editor.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::files::{self, FileError, MAX_SMALL_FILE_BYTES, SymlinkMode};
use crate::store_identity::StoreId;

#[derive(Serialize, Deserialize)]
struct StoredSeal {
    store: String,
    /// The store's public key; empty in a seal of an early version.
    #[serde(default)]
    key: String,
}

/// Why an existing seal names no store. Nothing counts as confirmed then.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It can't be read.
    #[error("portero.seal cannot be read: {0}")]
    Unreadable(#[source] FileError),
    /// It differs from what [`write`](fn@write) wrote.
    #[error("portero.seal is damaged: `{}`", .0.display())]
    Damaged(PathBuf),
}

impl SealError {
    /// The next step for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.hint(),
            Self::Damaged(_) => {
                "put back a copy of it, or remove it: the daemon that has the former state directory writes it again, \
                 and one without it starts over"
            }
        }
    }
}

/// Returns the store that sealed the configuration. `None` if there is no seal.
///
/// # Errors
/// If there is a seal that can't be read or is damaged, because any store may have made it.
pub fn read(path: &Path) -> Result<Option<StoreId>, SealError> {
    let file = path.to_owned();
    let read = files::read_with_timeout(path, files::READ_TIMEOUT, move || {
        // It lies beside the configuration, which a person may keep behind links.
        files::read(&file, MAX_SMALL_FILE_BYTES, SymlinkMode::Follow)
    });
    let text = match read.and_then(|read| read) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(SealError::Unreadable(error)),
    };
    let stored = serde_json::from_slice(&text).ok().filter(|seal: &StoredSeal| !seal.store.is_empty());
    let StoredSeal { store: name, key } = stored.ok_or_else(|| SealError::Damaged(path.to_owned()))?;
    Ok(Some(StoreId { name, key }))
}

/// Whether the configuration isn't sealed, or is sealed by this store. The daemon later completes a seal
/// without a key.
///
/// # Errors
/// As [`read`].
pub fn accepts_store(path: &Path, store: &StoreId) -> Result<bool, SealError> {
    Ok(read(path)?.is_none_or(|sealed| {
        let same_key = sealed.key.is_empty() || sealed.key == store.key;
        !store.name.is_empty() && sealed.name == store.name && same_key
    }))
}

/// Seals the configuration for a store.
///
/// # Errors
/// If it can't be written. Then nothing changes.
pub fn write(path: &Path, store: &StoreId) -> io::Result<()> {
    let StoreId { name, key } = store.clone();
    atomic_file::replace(path, &serde_json::to_vec(&StoredSeal { store: name, key })?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn store(name: &str, key: &str) -> StoreId {
        StoreId { name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn only_the_store_that_sealed_it_opens_a_configuration() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("portero.seal");
        let (one, none) = (store("one", "k1"), store("", ""));
        let accepts = |store: &StoreId| accepts_store(&path, store).expect("read");
        assert!(accepts(&one) && accepts(&none), "nobody sealed it");
        write(&path, &one).expect("written");
        assert_eq!(read(&path).expect("read"), Some(one.clone()));
        assert!(accepts(&one));
        for other in [store("another", "k1"), store("one", "k2"), none] {
            assert!(!accepts(&other), "{other:?}");
        }
        fs::write(&path, "{\"store\":\"one\"}").expect("written");
        assert!(accepts(&one) && !accepts(&store("another", "k1")), "of an early version");
    }

    #[test]
    fn a_seal_that_names_no_store_is_an_error_that_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("portero.seal");
        for damaged in ["", "{}", "{\"store\":", "{\"store\":\"\"}"] {
            fs::write(&path, damaged).expect("written");
            for store in [store("one", "k1"), store("", "")] {
                let error = accepts_store(&path, &store).expect_err(damaged);
                assert!(matches!(error, SealError::Damaged(_)), "{damaged}: {error}");
            }
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        let error = read(&path).expect_err("something else in its place").to_string();
        assert!(
            error.starts_with("portero.seal cannot be read: ") && error.contains("is a directory"),
            "{error}"
        );
    }
}
