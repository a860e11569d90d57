//! The file of denies, by which a session decides while no daemon runs (guarantee D4).
//!
//! The daemon writes `Overrides::restrictive_only()` after every change, atomically and synced. A session
//! reads it before it decides. If the file is damaged, or missing although a store exists, nothing may be
//! allowed without the daemon.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Overrides;
use crate::atomic_file;
use crate::files::{self, FileError, FileProblem, MAX_STATE_FILE_BYTES, PipeMode, SymlinkMode};

/// Why the denies are unknown.
#[derive(Debug, thiserror::Error)]
pub enum OfflineDeniesError {
    /// A daemon ran here before, and the file is missing.
    #[error("the file of denies {0} is missing")]
    Missing(PathBuf),
    /// The file differs from what the daemon wrote.
    #[error("the file of denies {0} is damaged")]
    Corrupt(PathBuf),
    /// The file can't be read.
    #[error("the file of denies {0} cannot be read")]
    Unreadable(PathBuf, #[source] FileError),
}

#[derive(Deserialize)]
struct StoredDenies<'a> {
    digest: String,
    #[serde(borrow)]
    standing: &'a RawValue,
}

/// Reads the denies that the daemon last wrote. If neither the file nor the daemon's `store` exists, no daemon
/// ever ran and nothing was denied.
///
/// # Errors
/// See [`OfflineDeniesError`]; the caller must then allow nothing.
pub fn read(path: &Path, store: &Path) -> Result<Overrides, OfflineDeniesError> {
    let (file, store) = (path.to_owned(), store.to_owned());
    let read = files::read_with_timeout(path, files::READ_TIMEOUT, move || {
        let read = files::read_text(&file, MAX_STATE_FILE_BYTES, SymlinkMode::Refuse, PipeMode::Refuse);
        // Both look-ups share one timeout. An error on the store counts as a store, which is the strict
        // answer.
        let began = read.is_err() && store.try_exists().unwrap_or(true);
        read.map_err(|error| (error, began))
    });
    let text = match read.unwrap_or_else(|error| Err((error, true))) {
        Ok(text) => text,
        Err((error, false)) if error.is_missing() => return Ok(Overrides::default()),
        Err((error, true)) if error.is_missing() => return Err(OfflineDeniesError::Missing(path.to_owned())),
        Err((error, _)) if matches!(error.problem(), FileProblem::NotUtf8) => {
            return Err(OfflineDeniesError::Corrupt(path.to_owned()));
        }
        Err((error, _)) => return Err(OfflineDeniesError::Unreadable(path.to_owned(), error)),
    };
    parse_denies(&text).ok_or_else(|| OfflineDeniesError::Corrupt(path.to_owned()))
}

fn parse_denies(text: &str) -> Option<Overrides> {
    let stored: StoredDenies<'_> = serde_json::from_str(text).ok()?;
    // The digest covers the raw bytes, so an edit by hand shows even if it is valid JSON.
    if blake3::hash(stored.standing.get().as_bytes()).to_hex().as_str() != stored.digest {
        return None;
    }
    serde_json::from_str(stored.standing.get()).ok()
}

/// Replaces the file, atomically and synced. `standing` is exactly what [`read`] gives back, so the caller
/// leaves out everything that widens.
///
/// # Errors
/// If it can't be written; the former file then stays.
pub fn write(path: &Path, standing: &Overrides) -> io::Result<()> {
    #[derive(Serialize)]
    struct DeniesToStore<'a> {
        digest: &'a str,
        standing: &'a RawValue,
    }
    let standing = crate::json::serialize_raw(standing);
    let digest = blake3::hash(standing.get().as_bytes()).to_hex();
    let text = serde_json::to_vec(&DeniesToStore { digest: digest.as_str(), standing: &standing })?;
    atomic_file::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sample_overrides() -> Overrides {
        Overrides { epoch: 7, boot_id: "boot".to_owned(), ..Overrides::default() }
    }

    #[test]
    fn what_is_written_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("denies.json");
        write(&path, &sample_overrides()).unwrap();
        assert_eq!(read(&path, &directory.path().join("store")).unwrap(), sample_overrides());
        write(&path, &Overrides::default()).unwrap();
        assert_eq!(read(&path, &directory.path().join("store")).unwrap(), Overrides::default());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("denies.json");
        write(&path, &sample_overrides()).unwrap();
        let good = fs::read(&path).unwrap();
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(read(&path, directory.path()).is_err(), "changed byte {place}");
            fs::write(&path, &good[..place]).unwrap();
            assert!(read(&path, directory.path()).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_missing_file_means_no_denies_only_where_no_store_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("denies.json");
        let store = directory.path().join("portero.db");
        assert_eq!(read(&path, &store).unwrap(), Overrides::default());
        fs::write(&store, "x").unwrap();
        assert!(matches!(read(&path, &store), Err(OfflineDeniesError::Missing(_))));
    }
}
