//! What ties a configuration to the store in which a person set the passphrase for it.
//!
//! Without it, a state directory of one's own would be one without a passphrase, in which the files count as they
//! stand. The seal is a file beside the configuration that names the store; where the store is another, or is
//! gone, nothing counts as confirmed and no daemon starts. Whoever may write into the configuration directory can
//! remove it: it closes the door that a variable would open, not that of an editor.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::files::{self, MAX_SMALL_FILE_BYTES, SymlinkMode};
use crate::store_identity::StoreId;

#[derive(Serialize, Deserialize)]
struct StoredSeal {
    store: String,
    /// The store's public key; a seal of an early version has none.
    #[serde(default)]
    key: String,
}

/// Which store sealed the configuration; none where no seal is there. A seal that cannot be read names no store: its
/// name and key are empty, and no store has such.
#[must_use]
pub fn read(path: &Path) -> Option<StoreId> {
    let unreadable = || StoreId { name: String::new(), key: String::new() };
    let file = path.to_owned();
    let read = files::read_with_timeout(path, files::READ_TIMEOUT, move || {
        // It lies among the configuration, which a person may keep behind links.
        files::read(&file, MAX_SMALL_FILE_BYTES, SymlinkMode::Follow)
    });
    match read.and_then(|read| read) {
        Ok(text) => {
            let stored: Option<StoredSeal> = serde_json::from_slice(&text).ok();
            Some(stored.map_or_else(unreadable, |StoredSeal { store: name, key }| StoreId { name, key }))
        }
        Err(error) if error.is_missing() => None,
        Err(_) => Some(unreadable()),
    }
}

/// Whether the configuration is not sealed, or by this store. Its daemon completes a seal that names no key.
#[must_use]
pub fn accepts_store(path: &Path, store: &StoreId) -> bool {
    read(path).is_none_or(|sealed| {
        let same_key = sealed.key.is_empty() || sealed.key == store.key;
        !store.name.is_empty() && sealed.name == store.name && same_key
    })
}

/// Seals the configuration for a store.
///
/// # Errors
/// When it cannot be written; then nothing is.
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
        assert!(accepts_store(&path, &one) && accepts_store(&path, &none), "nobody sealed it");
        write(&path, &one).expect("written");
        assert_eq!(read(&path), Some(one.clone()));
        assert!(accepts_store(&path, &one));
        for other in [store("another", "k1"), store("one", "k2"), none.clone()] {
            assert!(!accepts_store(&path, &other), "{other:?}");
        }
        fs::write(&path, "{\"store\":\"one\"}").expect("written");
        assert!(
            accepts_store(&path, &one) && !accepts_store(&path, &store("another", "k1")),
            "of an early version"
        );
        for damaged in ["", "{}", "{\"store\":", "{\"store\":\"\"}"] {
            fs::write(&path, damaged).expect("written");
            assert!(!accepts_store(&path, &one) && !accepts_store(&path, &none), "{damaged}");
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(!accepts_store(&path, &one), "something else in its place");
    }
}
