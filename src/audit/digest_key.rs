//! Keyed digests: equal values are recognizable in the audit, but no value can be guessed from it.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::atomic_file;

/// The length of a digest in hex: 128 bits are enough to tell values apart.
const DIGEST_HEX_LENGTH: usize = 32;

/// The key of one installation's digests. It is kept beside the audit, not in it, so that a copy of the audit
/// can be given away.
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Reads the key at `path`, or creates one there (0600). Concurrent callers get the same key.
    ///
    /// # Errors
    /// If it can't be read or created, or is no key.
    pub fn open(path: &Path) -> io::Result<Self> {
        atomic_file::read_or_create_key(path).map(Self)
    }

    /// The digest of a value.
    #[must_use]
    pub fn digest(&self, value: &[u8]) -> String {
        let mut hex = blake3::keyed_hash(&self.0, value).to_hex().to_string();
        hex.truncate(DIGEST_HEX_LENGTH);
        hex
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn equal_values_have_equal_digests_under_one_key_only() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = DigestKey::open(&one.path().join("key")).unwrap();
        let again = DigestKey::open(&one.path().join("key")).unwrap();
        let other = DigestKey::open(&two.path().join("key")).unwrap();
        assert_eq!(key.digest(b"{}"), again.digest(b"{}"));
        assert_eq!(key.digest(b"{}").len(), DIGEST_HEX_LENGTH);
        assert_ne!(key.digest(b"{}"), key.digest(b"{ }"));
        assert_ne!(key.digest(b"{}"), other.digest(b"{}"), "it cannot be guessed without the key");
        assert!(!blake3::hash(b"{}").to_hex().starts_with(&key.digest(b"{}")));
    }

    #[test]
    fn processes_that_begin_at_once_share_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let digest = || DigestKey::open(&path).unwrap().digest(b"x");
        let digests: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(digest)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "short").unwrap();
        assert!(DigestKey::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        DigestKey::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{:?}", DigestKey::open(&path).unwrap()).contains('['));
    }
}
