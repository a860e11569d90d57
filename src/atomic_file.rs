//! Small files that one program writes and another reads: replaced whole, synced, and for this user alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::files::{self, MAX_SMALL_FILE_BYTES, SymlinkMode, faults};

/// Replaces the file, atomically and synced.
///
/// # Errors
/// When it cannot be written; then the former file stays.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory =
        path.parent().ok_or_else(|| io::Error::other(format!("`{}` has no directory", path.display())))?;
    let beside = path.with_extension("json.new");
    let written = write_new(&beside, text, path).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    files::sync_directory(directory)
}

/// Writes what is to come into its `place`. What a crash left there, or a named pipe that would hold up the writing, makes place for a file of our own.
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

/// Reads the key of 32 bytes at `path`, or makes one there (0600). Processes that do so at once get the same.
///
/// # Errors
/// When it cannot be read or made, or is no key.
pub fn read_or_create_key(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_key(path)?,
        other => return other,
    }
    // Another process's may have been first.
    read_key(path)
}

fn read_key(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(files::read(path, MAX_SMALL_FILE_BYTES, SymlinkMode::Refuse)?);
    match bytes.as_slice().try_into() {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no key of 32 bytes")),
    }
}

/// Written whole beside its place, and put there unless another is: no process reads half a key.
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
