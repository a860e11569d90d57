//! The daemon's copy of the confirmed configuration, which sessions read.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{ApprovedConfig, seal};
use crate::encrypted_file;
use crate::paths::Paths;
use crate::store_identity::StoreId;
use crate::{atomic_file, files, json};

/// Binds the encryption to this file, so that no other can take its place.
const ENCRYPTION_PURPOSE: &str = "the confirmed configuration";

#[derive(Serialize, Deserialize)]
struct StoredCopy<'a> {
    digest: Cow<'a, str>,
    store: Cow<'a, str>,
    /// The store's public key; empty in a copy of an early version.
    #[serde(default)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    confirmed: Cow<'a, RawValue>,
}

/// The copy that the daemon of these directories last wrote. If another store sealed the configuration,
/// nothing is confirmed.
#[must_use]
pub fn read_approved(paths: &Paths) -> ApprovedConfig {
    let (confirmed, store) = read_copy_with_store(&paths.approved_config(), &paths.store());
    let store = store.unwrap_or_default();
    if let ApprovedConfig::Unknown(_) = confirmed {
        return confirmed;
    }
    // The seal comes last: an intact copy proves nothing if another store sealed the configuration.
    match seal::accepts_store(&paths.seal(), &store) {
        Ok(true) => confirmed,
        Ok(false) => ApprovedConfig::Unknown(
            "the configuration is sealed by a store in another state directory, or by one that is gone"
                .to_owned(),
        ),
        Err(error) => ApprovedConfig::Unknown(error.to_string()),
    }
}

/// The store that a daemon of this configuration must keep: the one that sealed it, or else the one that wrote
/// the copy. `None` before any daemon ran, when any store will do.
#[must_use]
pub fn expected_store(paths: &Paths) -> Option<StoreId> {
    // A copy that was written before its store existed names no store.
    let copy = || copy_writer(&paths.approved_config()).filter(|store| !store.name.is_empty());
    match seal::read(&paths.seal()) {
        Ok(Some(sealed)) => Some(sealed),
        Ok(None) => copy(),
        // Fall back to the copy. Otherwise a pipe in the seal's place would block every deny, and a program
        // that can put one there could also remove the seal. Without a copy no store is right, because no
        // store has the empty name.
        Err(_) => copy().or_else(|| Some(StoreId::default())),
    }
}

/// The store that wrote a copy, if it is known.
#[must_use]
pub fn copy_writer(path: &Path) -> Option<StoreId> {
    parse_copy(&read_copy_text(path).ok()?).map(|(_, store)| store)
}

/// Reads a copy. If neither the copy nor the daemon's `store` exists, no daemon ever ran, so no passphrase was
/// ever set.
#[must_use]
pub fn read_copy(path: &Path, store: &Path) -> ApprovedConfig {
    read_copy_with_store(path, store).0
}

/// The copy with its store, if that is known.
fn read_copy_with_store(path: &Path, store: &Path) -> (ApprovedConfig, Option<StoreId>) {
    classify_copy(|| read_copy_text(path), || store.try_exists())
}

fn read_copy_text(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let copy = path.to_owned();
    let read = files::read_with_timeout(path, files::READ_TIMEOUT, move || {
        encrypted_file::read(&copy, ENCRYPTION_PURPOSE)
    });
    Ok(read??)
}

/// Classifies the copy from `read`. `has_store` tells whether the daemon's store exists.
fn classify_copy(
    mut read: impl FnMut() -> io::Result<Zeroizing<Vec<u8>>>,
    has_store: impl FnOnce() -> io::Result<bool>,
) -> (ApprovedConfig, Option<StoreId>) {
    let is_missing = |copy: &io::Result<Zeroizing<Vec<u8>>>| {
        copy.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let mut copy = read();
    if is_missing(&copy) {
        if matches!(has_store(), Ok(false)) {
            return (ApprovedConfig::Open, None);
        }
        // A new daemon writes its copy before it makes its store. One that started a moment ago has written it
        // by now.
        copy = read();
    }
    let told =
        |what: &str| ApprovedConfig::Unknown(format!("the copy of the confirmed configuration {what}"));
    let confirmed = match copy {
        Ok(text) => {
            return parse_copy(&text)
                .map_or_else(|| (told("is damaged"), None), |(confirmed, store)| (confirmed, Some(store)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => told("is missing"),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => told("is damaged"),
        Err(error) => told(&format!("cannot be read ({error})")),
    };
    (confirmed, None)
}

/// `None` if it differs from what [`write_copy`] wrote.
fn parse_copy(text: &[u8]) -> Option<(ApprovedConfig, StoreId)> {
    let stored: StoredCopy<'_> = serde_json::from_slice(text).ok()?;
    let confirmed = stored.confirmed.get();
    let store = StoreId { name: stored.store.into_owned(), key: stored.key.into_owned() };
    if digest_copy(&store, confirmed) != stored.digest {
        return None;
    }
    Some((serde_json::from_str(confirmed).ok()?, store))
}

/// Replaces the copy, atomically and synced. It holds the contents of all files, secrets included, and the
/// daemon's store, so it is encrypted.
///
/// # Errors
/// If it can't be written; the former copy then stays.
/// When it cannot be written; then the former copy stays.
pub fn write_copy(path: &Path, store: &StoreId, confirmed: &ApprovedConfig) -> io::Result<()> {
    let raw = json::serialize_raw(confirmed);
    let digest = Cow::Owned(digest_copy(store, raw.get()));
    let (name, key) = (Cow::Borrowed(&*store.name), Cow::Borrowed(&*store.key));
    let stored = StoredCopy { digest, store: name, key, confirmed: Cow::Borrowed(&raw) };
    let text = Zeroizing::new(serde_json::to_vec(&stored)?);
    atomic_file::replace(path, &encrypted_file::encrypt(path, ENCRYPTION_PURPOSE, &text)?)
}

fn digest_copy(StoreId { name, key }: &StoreId, confirmed: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
    // Copies of early versions have no key in their digest.
    if !key.is_empty() {
        hasher.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
    }
    hasher.update(confirmed.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::ConfigFiles;

    fn a_store(name: &str) -> StoreId {
        StoreId { name: name.to_owned(), key: format!("the key of {name}") }
    }

    fn sealed() -> ApprovedConfig {
        let policies = Some(r#"{"defaultPolicy": "deny"}"#.to_owned());
        ApprovedConfig::Sealed(ConfigFiles { directory: "/c".into(), policies, ..ConfigFiles::default() })
    }

    #[test]
    fn what_is_written_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, store) = (directory.path().join("confirmed.json"), directory.path().join("store"));
        for confirmed in [sealed(), ApprovedConfig::Open, ApprovedConfig::Unknown("it is gone".into())] {
            write_copy(&path, &a_store("a store"), &confirmed).expect("written");
            assert_eq!(read_copy(&path, &store), confirmed);
        }
        let dotenv = Some("TOKEN=hunter2".to_owned());
        write_copy(
            &path,
            &StoreId::default(),
            &ApprovedConfig::Sealed(ConfigFiles { dotenv, ..ConfigFiles::default() }),
        )
        .expect("written");
        let text = String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned();
        assert!(!text.contains("hunter2") && !text.contains("TOKEN"), "{text}");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("confirmed.json");
        write_copy(&path, &a_store("a store"), &sealed()).expect("written");
        let good = fs::read(&path).expect("read");
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            for text in [&changed[..], &good[..place]] {
                fs::write(&path, text).expect("written");
                assert!(
                    matches!(read_copy(&path, directory.path()), ApprovedConfig::Unknown(_)),
                    "at byte {place}"
                );
            }
        }
    }

    #[test]
    fn a_missing_copy_means_that_nobody_confirms_only_where_no_store_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, store) = (directory.path().join("confirmed.json"), directory.path().join("portero.db"));
        assert_eq!(read_copy(&path, &store), ApprovedConfig::Open);
        fs::write(&store, "x").expect("written");
        assert!(matches!(read_copy(&path, &store), ApprovedConfig::Unknown(_)));
    }

    #[test]
    fn a_daemon_that_begins_between_two_looks_is_no_missing_copy() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("confirmed.json");
        let mut looks = 0;
        let look = || {
            looks += 1;
            let found = read_copy_text(&path);
            if looks == 1 {
                // The daemon's first step comes right after the first look, and its store after that.
                write_copy(&path, &StoreId::default(), &ApprovedConfig::Open).expect("written");
            }
            found
        };
        assert_eq!(classify_copy(look, || Ok(true)).0, ApprovedConfig::Open);
        fs::remove_file(&path).expect("removed");
        let (missing, _) = classify_copy(|| read_copy_text(&path), || Ok(true));
        assert!(matches!(missing, ApprovedConfig::Unknown(_)), "one that stays away is missing");
    }

    #[test]
    fn a_copy_counts_only_for_the_configuration_that_its_store_sealed() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let paths = Paths { config: at("config"), state: at("state"), runtime: at("run") };
        for made in [&paths.config, &paths.state] {
            fs::create_dir(made).expect("made");
        }
        seal::write(&paths.seal(), &a_store("a store")).expect("written");
        assert!(matches!(read_approved(&paths), ApprovedConfig::Unknown(_)), "its store is gone");
        for confirmed in [ApprovedConfig::Open, sealed()] {
            write_copy(&paths.approved_config(), &a_store("a store"), &confirmed).expect("written");
            assert_eq!(read_approved(&paths), confirmed);
            write_copy(&paths.approved_config(), &a_store("another"), &confirmed).expect("written");
            assert!(matches!(read_approved(&paths), ApprovedConfig::Unknown(_)), "another store's");
        }
        assert_eq!(expected_store(&paths), Some(a_store("a store")), "the seal says it");
        fs::remove_file(paths.seal()).expect("removed");
        fs::create_dir(paths.seal()).expect("made");
        let ApprovedConfig::Unknown(why) = read_approved(&paths) else { panic!("counts without its seal") };
        assert!(why.contains("portero.seal cannot be read"), "{why}");
        assert_eq!(expected_store(&paths), Some(a_store("another")), "the copy says it");
        fs::remove_dir(paths.seal()).expect("removed");
        assert_eq!(read_approved(&paths), sealed(), "nobody sealed the configuration");
        assert_eq!(expected_store(&paths), Some(a_store("another")), "the copy says it");
        fs::remove_file(paths.approved_config()).expect("removed");
        assert_eq!(expected_store(&paths), None);
    }
}
