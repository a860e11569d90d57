//! The daemon's copy of what was confirmed, from which sessions know it too.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Confirmed;
use crate::{json, kept};

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    digest: Cow<'a, str>,
    #[serde(borrow)]
    confirmed: Cow<'a, RawValue>,
}

/// Reads what the daemon last wrote. Where neither the copy nor the daemon's `store` is there, no daemon ever
/// ran, so no passphrase was ever set.
#[must_use]
pub fn read(path: &Path, store: &Path) -> Confirmed {
    let told = |what: &str| Confirmed::Unknown(format!("the copy of the confirmed configuration {what}"));
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).unwrap_or_else(|| told("is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match store.try_exists() {
            Ok(false) => Confirmed::Open,
            Ok(true) | Err(_) => told("is missing"),
        },
        Err(error) if error.kind() == io::ErrorKind::InvalidData => told("is damaged"),
        Err(error) => told(&format!("cannot be read ({error})")),
    }
}

/// None when it is not as [`write`] left it.
fn parse(text: &str) -> Option<Confirmed> {
    let stored: Stored<'_> = serde_json::from_str(text).ok()?;
    let confirmed = stored.confirmed.get();
    if blake3::hash(confirmed.as_bytes()).to_hex().as_str() != stored.digest {
        return None;
    }
    serde_json::from_str(confirmed).ok()
}

/// Replaces the copy, atomically and synced. It holds all that the files hold, secrets too.
///
/// # Errors
/// When it cannot be written; then the former copy stays.
pub fn write(path: &Path, confirmed: &Confirmed) -> io::Result<()> {
    let raw = json::raw(confirmed);
    let digest = blake3::hash(raw.get().as_bytes()).to_hex();
    let stored = Stored { digest: Cow::Borrowed(digest.as_str()), confirmed: Cow::Borrowed(&raw) };
    kept::replace(path, &serde_json::to_vec(&stored)?)
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
            write(&path, &confirmed).expect("written");
            assert_eq!(read(&path, &store), confirmed);
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("confirmed.json");
        write(&path, &sealed()).expect("written");
        let good = fs::read(&path).expect("read");
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            for text in [&changed[..], &good[..place]] {
                fs::write(&path, text).expect("written");
                assert!(matches!(read(&path, directory.path()), Confirmed::Unknown(_)), "at byte {place}");
            }
        }
    }

    #[test]
    fn a_missing_copy_means_that_nobody_confirms_only_where_no_store_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, store) = (directory.path().join("confirmed.json"), directory.path().join("portero.db"));
        assert_eq!(read(&path, &store), Confirmed::Open);
        fs::write(&store, "x").expect("written");
        assert!(matches!(read(&path, &store), Confirmed::Unknown(_)));
    }
}
