//! Small files that one program writes and another reads: replaced as a whole, synced, and private to this
//! user.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::files::{self, MAX_SMALL_FILE_BYTES, SymlinkMode, faults};

/// Replaces the file, atomically and synced.
///
/// # Errors
/// If it can't be written; the former file then stays.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory =
        path.parent().ok_or_else(|| io::Error::other(format!("`{}` has no directory", path.display())))?;
    let beside = path.with_extension("json.new");
    let written = write_new(&beside, text, path).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // Only now does the new name survive a crash.
    files::sync_directory(directory)
}

/// Writes the new content to `path`, for its later `place`. A file left by a crash, or a named pipe that would
/// block, is removed first.
fn write_new(path: &Path, text: &[u8], place: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = files::create_new(path)?;
    file.write_all(text)?;
    faults::before_sync(place)?;
    file.sync_all()
}

/// Reads the 32-byte key at `path`, or creates one there (0600). Concurrent processes get the same key.
///
/// # Errors
/// If it can't be read or created, or is no key.
pub fn read_or_create_key(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_key(path)?,
        other => return other,
    }
    // Read again, because another process may have been first.
    read_key(path)
}

fn read_key(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(files::read(path, MAX_SMALL_FILE_BYTES, SymlinkMode::Refuse)?);
    match bytes.as_slice().try_into() {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no key of 32 bytes")),
    }
}

/// Writes the key elsewhere, then puts it in place unless one is there. So no process ever reads half a key.
fn create_key(path: &Path) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::other("a key needs a directory"))?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(rand::random::<[u8; 32]>().as_slice())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kept.json");
        for text in ["one", "another, which is longer", ""] {
            replace(&path, text.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
            assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
        }
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).expect("there")) & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn neither_a_leftover_nor_a_pipe_beside_it_holds_up_the_writing() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kept.json");
        let beside = path.with_extension("json.new");
        fs::write(&beside, "half").expect("a crash left it");
        replace(&path, b"one").expect("written");
        mknodat(CWD, &beside, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        replace(&path, b"two").expect("written");
        mknodat(CWD, path.with_file_name("pipe"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        replace(&path.with_file_name("pipe"), b"three").expect("written in the place of the pipe");
        assert_eq!(fs::read_to_string(path.with_file_name("pipe")).expect("read"), "three");
        fs::create_dir(&beside).expect("made");
        assert!(replace(&path, b"four").is_err(), "a directory is told, and stays");
    }
}
