//! Small files that one program writes and another reads: replaced whole, synced, and for this user alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces the file, atomically and synced.
///
/// # Errors
/// When it cannot be written; then the former file stays.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory =
        path.parent().ok_or_else(|| io::Error::other(format!("`{}` has no directory", path.display())))?;
    let beside = path.with_extension("json.new");
    let written = write_new(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync_directory(directory)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
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
}
