//! What ties a configuration to the store in which a person set the passphrase for it.
//!
//! Without it, a state directory of one's own would be one without a passphrase, in which the files count as they
//! stand. The seal is a file beside the configuration that names the store; where the store is another, or is
//! gone, nothing counts as confirmed and no daemon starts. Whoever may write into the configuration directory can
//! remove it: it closes the door that a variable would open, not that of an editor.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::kept;

/// What a seal says that cannot be read: no store's name.
const UNREADABLE: &str = "";

#[derive(Serialize, Deserialize)]
struct Stored {
    store: String,
}

/// Which store sealed the configuration; none where nobody did. One that cannot be read is no store's.
#[must_use]
pub fn read(path: &Path) -> Option<String> {
    match fs::read(path) {
        Ok(text) => {
            let stored: Option<Stored> = serde_json::from_slice(&text).ok();
            Some(stored.map_or_else(|| UNREADABLE.to_owned(), |stored| stored.store))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(UNREADABLE.to_owned()),
    }
}

/// Whether the configuration is not sealed, or by this store.
#[must_use]
pub fn opens(path: &Path, store: &str) -> bool {
    read(path).is_none_or(|sealed| !store.is_empty() && sealed == store)
}

/// Seals the configuration for a store.
///
/// # Errors
/// When it cannot be written; then nothing is.
pub fn write(path: &Path, store: &str) -> io::Result<()> {
    kept::replace(path, &serde_json::to_vec(&Stored { store: store.to_owned() })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_store_that_sealed_it_opens_a_configuration() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("portero.seal");
        assert!(opens(&path, "one") && opens(&path, ""), "nobody sealed it");
        write(&path, "one").expect("written");
        assert!(opens(&path, "one"));
        assert!(!opens(&path, "another") && !opens(&path, ""));
        for damaged in ["", "{}", "{\"store\":", "{\"store\":\"\"}"] {
            fs::write(&path, damaged).expect("written");
            assert!(!opens(&path, "one") && !opens(&path, ""), "{damaged}");
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(!opens(&path, "one"), "something else in its place");
    }
}
