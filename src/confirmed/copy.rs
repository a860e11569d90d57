//! The daemon's copy of what was confirmed, from which sessions know it too.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Confirmed, seal};
use crate::paths::Paths;
use crate::{json, kept};

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    digest: Cow<'a, str>,
    store: Cow<'a, str>,
    #[serde(borrow)]
    confirmed: Cow<'a, RawValue>,
}

/// What the daemon of these directories last wrote; nothing counts where another store sealed the configuration.
#[must_use]
pub fn read(paths: &Paths) -> Confirmed {
    let (confirmed, store) = read_from(&paths.confirmed(), &paths.store());
    match confirmed {
        Confirmed::Open | Confirmed::Sealed(_) if !seal::opens(&paths.seal(), &store) => Confirmed::Unknown(
            "the configuration is sealed by a store in another state directory, or by one that is gone"
                .to_owned(),
        ),
        confirmed => confirmed,
    }
}

/// Reads one copy. Where neither the copy nor the daemon's `store` is there, no daemon ever ran, so no passphrase
/// was ever set.
#[must_use]
pub fn read_copy(path: &Path, store: &Path) -> Confirmed {
    read_from(path, store).0
}

/// With the name of the store, where it is known.
fn read_from(path: &Path, store: &Path) -> (Confirmed, String) {
    read_beside(|| fs::read_to_string(path), || store.try_exists())
}

/// Reads a copy with `read`; `has_store` tells whether the daemon's store is there.
fn read_beside(
    mut read: impl FnMut() -> io::Result<String>,
    has_store: impl FnOnce() -> io::Result<bool>,
) -> (Confirmed, String) {
    let is_missing =
        |copy: &io::Result<String>| copy.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let mut copy = read();
    if is_missing(&copy) {
        if matches!(has_store(), Ok(false)) {
            return (Confirmed::Open, String::new());
        }
        // A new daemon writes its copy before it makes its store: one that began a moment ago has one by now.
        copy = read();
    }
    let told = |what: &str| Confirmed::Unknown(format!("the copy of the confirmed configuration {what}"));
    let confirmed = match copy {
        Ok(text) => return parse(&text).unwrap_or_else(|| (told("is damaged"), String::new())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => told("is missing"),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => told("is damaged"),
        Err(error) => told(&format!("cannot be read ({error})")),
    };
    (confirmed, String::new())
}

/// None when it is not as [`write`] left it.
fn parse(text: &str) -> Option<(Confirmed, String)> {
    let stored: Stored<'_> = serde_json::from_str(text).ok()?;
    let confirmed = stored.confirmed.get();
    if digest(&stored.store, confirmed) != stored.digest {
        return None;
    }
    Some((serde_json::from_str(confirmed).ok()?, stored.store.into_owned()))
}

/// Replaces the copy, atomically and synced. It holds all that the files hold, secrets too, and the name of the
/// daemon's store.
///
/// # Errors
/// When it cannot be written; then the former copy stays.
pub fn write(path: &Path, store: &str, confirmed: &Confirmed) -> io::Result<()> {
    let raw = json::raw(confirmed);
    let digest = Cow::Owned(digest(store, raw.get()));
    let stored = Stored { digest, store: Cow::Borrowed(store), confirmed: Cow::Borrowed(&raw) };
    kept::replace(path, &serde_json::to_vec(&stored)?)
}

fn digest(store: &str, confirmed: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(store.len() as u64).to_le_bytes());
    hasher.update(store.as_bytes()).update(confirmed.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Files;

    fn sealed() -> Confirmed {
        let policies = Some(r#"{"defaultPolicy": "deny"}"#.to_owned());
        Confirmed::Sealed(Files { directory: "/c".into(), policies, ..Files::default() })
    }

    #[test]
    fn what_is_written_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, store) = (directory.path().join("confirmed.json"), directory.path().join("store"));
        for confirmed in [sealed(), Confirmed::Open, Confirmed::Unknown("it is gone".into())] {
            write(&path, "a store", &confirmed).expect("written");
            assert_eq!(read_copy(&path, &store), confirmed);
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("confirmed.json");
        write(&path, "a store", &sealed()).expect("written");
        let good = fs::read(&path).expect("read");
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            for text in [&changed[..], &good[..place]] {
                fs::write(&path, text).expect("written");
                assert!(
                    matches!(read_copy(&path, directory.path()), Confirmed::Unknown(_)),
                    "at byte {place}"
                );
            }
        }
    }

    #[test]
    fn a_missing_copy_means_that_nobody_confirms_only_where_no_store_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, store) = (directory.path().join("confirmed.json"), directory.path().join("portero.db"));
        assert_eq!(read_copy(&path, &store), Confirmed::Open);
        fs::write(&store, "x").expect("written");
        assert!(matches!(read_copy(&path, &store), Confirmed::Unknown(_)));
    }

    #[test]
    fn a_daemon_that_begins_between_two_looks_is_no_missing_copy() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("confirmed.json");
        let mut looks = 0;
        let look = || {
            looks += 1;
            let found = fs::read_to_string(&path);
            if looks == 1 {
                // The daemon's first step comes right after the first look, and its store after that.
                write(&path, "", &Confirmed::Open).expect("written");
            }
            found
        };
        assert_eq!(read_beside(look, || Ok(true)).0, Confirmed::Open);
        fs::remove_file(&path).expect("removed");
        let (missing, _) = read_beside(|| fs::read_to_string(&path), || Ok(true));
        assert!(matches!(missing, Confirmed::Unknown(_)), "one that stays away is missing");
    }

    #[test]
    fn a_copy_counts_only_for_the_configuration_that_its_store_sealed() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let paths = Paths { config: at("config"), state: at("state"), runtime: at("run") };
        for made in [&paths.config, &paths.state] {
            fs::create_dir(made).expect("made");
        }
        seal::write(&paths.seal(), "a store").expect("written");
        assert!(matches!(read(&paths), Confirmed::Unknown(_)), "its store is gone");
        for confirmed in [Confirmed::Open, sealed()] {
            write(&paths.confirmed(), "a store", &confirmed).expect("written");
            assert_eq!(read(&paths), confirmed);
            write(&paths.confirmed(), "another", &confirmed).expect("written");
            assert!(matches!(read(&paths), Confirmed::Unknown(_)), "another store's");
        }
        fs::remove_file(paths.seal()).expect("removed");
        assert_eq!(read(&paths), sealed(), "nobody sealed the configuration");
    }
}
