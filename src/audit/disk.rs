//! The disk that segments are written to, as a seam for tests in which it fails.
//!
//! The programs use [`SystemDisk`]. One indirect call costs nothing beside the system call behind it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::files::{self, FileError, FileProblem};

/// Creates and removes the files of segments.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a new file for a segment.
    ///
    /// # Errors
    /// If it exists, or can't be created.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Removes a file that [`Disk::create`] made and that didn't become a segment.
    ///
    /// # Errors
    /// If it can't be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the name of a file durable.
    ///
    /// # Errors
    /// If the directory can't be synced.
    fn sync_name(&self, path: &Path) -> io::Result<()>;
}

/// The file of one segment, which is only appended to. A sync may take long on a slow disk, and appends go on
/// meanwhile.
pub trait SegmentFile: Send + Sync + fmt::Debug {
    /// Appends in one write. Returns how many bytes were written.
    ///
    /// # Errors
    /// If nothing was written.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns once all that was written is on the disk.
    ///
    /// # Errors
    /// If it is unknown what the disk holds.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to `length`.
    ///
    /// # Errors
    /// If it still has its former length.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Whether the file was removed, so that nothing written to it could be read again.
    ///
    /// # Errors
    /// If the system doesn't tell.
    fn is_gone(&self) -> io::Result<bool>;
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = files::create_new(path)?;
        hold(path, &file);
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_name(&self, path: &Path) -> io::Result<()> {
        sync_parent_directory(path)
    }
}

impl SegmentFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    #[cfg(unix)]
    fn is_gone(&self) -> io::Result<bool> {
        Ok(std::os::unix::fs::MetadataExt::nlink(&self.metadata()?) == 0)
    }

    /// Windows doesn't remove an open file.
    #[cfg(not(unix))]
    fn is_gone(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// How long a new segment waits for its lock.
#[cfg(unix)]
const HOLD_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(100);

/// Locks the segment while this process writes to it, which [`is_held`] sees. If that fails, `is_held` fails
/// too, and the segment is kept.
#[cfg(unix)]
pub(super) fn hold(path: &Path, file: &File) {
    match file.try_lock() {
        Ok(()) => {}
        // The daemon may be checking just now whether it is held, and holds it for that moment itself.
        Err(fs::TryLockError::WouldBlock) => {
            // A clone of the handle is the same open file, so its lock is this one's.
            let waited = file
                .try_clone()
                .map(|copy| files::read_with_timeout(path, HOLD_TIMEOUT, move || copy.lock()));
            if !matches!(waited, Ok(Ok(Ok(())))) {
                tracing::warn!("another process keeps this segment locked");
            }
        }
        Err(fs::TryLockError::Error(error)) => {
            tracing::debug!(%error, "this segment cannot be locked, so it is never removed by its age");
        }
    }
}

/// These systems know which files are open for writing, so no lock is needed.
#[cfg(not(unix))]
pub(super) fn hold(_: &Path, _: &File) {}

/// Whether a process still writes to a segment.
///
/// # Errors
/// If the file can't be opened, or the system doesn't tell.
#[cfg(unix)]
pub(super) fn is_held(path: &Path) -> Result<bool, FileError> {
    match files::open(path, files::SymlinkMode::Refuse)?.file().try_lock() {
        // The lock is released with the handle, so this check doesn't hold the segment itself.
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(error)) => Err(FileError::new(path, FileProblem::System(error))),
    }
}

/// Opening a file without sharing fails while any process has it open.
#[cfg(windows)]
pub(super) fn is_held(path: &Path) -> Result<bool, FileError> {
    const SHARING_VIOLATION: i32 = 32;
    match files::open_alone(path) {
        Ok(_) => Ok(false),
        Err(error) => match error.problem() {
            FileProblem::System(system) if system.raw_os_error() == Some(SHARING_VIOLATION) => Ok(true),
            _ => Err(error),
        },
    }
}

/// Whether a process still writes to this segment of a directory.
///
/// # Errors
/// If it can't be opened, or the system doesn't tell.
pub fn is_open(directory: &Path, segment: &str) -> Result<bool, FileError> {
    is_held(&directory.join(segment))
}

/// Syncs the directory, so that the file's name survives a crash.
pub(super) fn sync_parent_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), files::sync_directory)
}
