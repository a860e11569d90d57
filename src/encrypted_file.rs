//! Files of the state directory that hold real values, encrypted with a key beside them.
//!
//! A copy of one file, a search through the disk, or a glance at the screen shows no value. Another process of
//! the same user can read the key, just as it can read the configuration.

use std::io;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::atomic_file;
use crate::files::{self, FileError, MAX_SMALL_FILE_BYTES, MAX_STATE_FILE_BYTES, SymlinkMode};

/// The beginning of every such file. Another format would begin differently.
const FILE_MAGIC: &[u8] = b"portero encrypted 1\n";
/// The nonce of XChaCha20-Poly1305, which is long enough to be random for each file.
const NONCE_BYTES: usize = 24;
/// The name of the key in each directory that holds such files.
const KEY_FILE_NAME: &str = "files.key";

/// Why a file wasn't read.
#[derive(Debug, thiserror::Error)]
pub enum EncryptedFileError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key beside it can't be read.
    #[error("its key cannot be read: {0}")]
    Key(FileError),
    /// It wasn't written with this key and purpose, or was changed since.
    #[error("is damaged, or was written under another key")]
    Damaged,
}

impl From<EncryptedFileError> for io::Error {
    fn from(error: EncryptedFileError) -> Self {
        match error {
            EncryptedFileError::File(error) => error.into(),
            EncryptedFileError::Key(_) => Self::other(error),
            EncryptedFileError::Damaged => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// Reads what [`encrypt`] made for this purpose.
///
/// # Errors
/// See [`EncryptedFileError`].
pub fn read(path: &Path, purpose: &str) -> Result<Zeroizing<Vec<u8>>, EncryptedFileError> {
    decrypt(path, purpose, &files::read(path, MAX_STATE_FILE_BYTES, SymlinkMode::Refuse)?)
}

/// Like [`read()`], for bytes that were read from the file at `path`.
///
/// # Errors
/// See [`EncryptedFileError`].
pub fn decrypt(path: &Path, purpose: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncryptedFileError> {
    // Everything before the decryption only takes the file apart. Whether it is genuine is decided by the
    // cipher's tag.
    let rest = bytes.strip_prefix(FILE_MAGIC).ok_or(EncryptedFileError::Damaged)?;
    let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(EncryptedFileError::Damaged)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| EncryptedFileError::Damaged)?;
    let key = files::read(&key_path(path), MAX_SMALL_FILE_BYTES, SymlinkMode::Refuse)
        .map_err(EncryptedFileError::Key)?;
    let key: Zeroizing<[u8; 32]> =
        Zeroizing::new(Zeroizing::new(key).as_slice().try_into().map_err(|_| EncryptedFileError::Damaged)?);
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: text, aad: purpose.as_bytes() };
    cipher.decrypt(&nonce.into(), payload).map(Zeroizing::new).map_err(|_| EncryptedFileError::Damaged)
}

/// The content for the file at `path` from which [`read`] returns `text`. Creates the key if there is none.
///
/// # Errors
/// If the key can't be read or created.
pub fn encrypt(path: &Path, purpose: &str, text: &[u8]) -> io::Result<Vec<u8>> {
    let key = atomic_file::read_or_create_key(&key_path(path))?;
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: text, aad: purpose.as_bytes() };
    let sealed = cipher.encrypt(&nonce.into(), payload).map_err(|_| io::Error::other("it is too long"))?;
    Ok([FILE_MAGIC, &nonce, &sealed].concat())
}

fn key_path(path: &Path) -> PathBuf {
    path.with_file_name(KEY_FILE_NAME)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, purpose: &str, text: &[u8]) -> io::Result<()> {
        fs::write(path, encrypt(path, purpose, text)?)
    }

    #[test]
    fn what_is_written_reads_back_under_its_key_and_for_its_purpose_only() {
        let (directory, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        let path = directory.path().join("file");
        write(&path, "this", b"a real value").expect("written");
        assert_eq!(read(&path, "this").expect("read").as_slice(), b"a real value");
        assert!(matches!(read(&path, "that"), Err(EncryptedFileError::Damaged)));
        let text = fs::read(&path).expect("the file");
        assert!(!text.windows(4).any(|part| part == b"real"));
        write(&path, "this", b"a real value").expect("written again");
        assert_ne!(fs::read(&path).expect("the file"), text, "equal texts cannot be recognised");
        let moved = other.path().join("file");
        fs::write(&moved, &text).expect("copied");
        assert!(matches!(read(&moved, "this"), Err(EncryptedFileError::Key(_))));
        write(&other.path().join("x"), "this", b"").expect("another key");
        assert!(matches!(read(&moved, "this"), Err(EncryptedFileError::Damaged)));
        fs::write(path.with_file_name(KEY_FILE_NAME), "short").expect("damaged");
        assert!(matches!(read(&path, "this"), Err(EncryptedFileError::Damaged)));
        assert!(write(&path, "this", b"x").is_err(), "what is no key is left alone");
    }
}
