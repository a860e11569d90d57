//! Where segments are written: the seam at which tests let a disk fail.
//!
//! [`SystemDisk`] is what the programs use. One indirect call is nothing beside the system call behind it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::files::{self, FileError, FileProblem, SymlinkMode};

/// Makes and removes the files that segments are.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a new file for one segment.
    ///
    /// # Errors
    /// When it is there already, or cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Removes a file that [`Disk::create`] made and that is no segment after all.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the name of a file durable.
    ///
    /// # Errors
    /// When the directory cannot be synced.
    fn sync_name(&self, path: &Path) -> io::Result<()>;
}

/// The file of one segment, which is only appended to. Syncing takes long on a slow disk, and others append
/// meanwhile.
pub trait SegmentFile: Send + Sync + fmt::Debug {
    /// Appends in one write, and tells how many bytes were written.
    ///
    /// # Errors
    /// When nothing was.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns once everything that was written is on the disk.
    ///
    /// # Errors
    /// When what the disk holds is unknown.
    fn sync(&self) -> io::Result<()>;

    /// Cuts off what is behind `length`.
    ///
    /// # Errors
    /// When it is still there.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Whether nobody could ever read what is written: the file was removed.
    ///
    /// # Errors
    /// When the system does not tell.
    fn is_gone(&self) -> io::Result<bool>;
}

/// The machine's own.
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

    /// A file that is open cannot be removed there.
    #[cfg(not(unix))]
    fn is_gone(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// How long a new segment waits for its lock.
#[cfg(unix)]
const HOLD_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(100);

/// Says to [`is_held`] that a process writes here, for as long as it does. Where that is impossible `is_held`
/// fails too, and the segment stays.
#[cfg(unix)]
pub(super) fn hold(path: &Path, file: &File) {
    match file.try_lock() {
        Ok(()) => {}
        // The daemon may just look whether it is held, and holds it for that moment itself.
        Err(fs::TryLockError::WouldBlock) => {
            // A copy of the handle is the same open file, so its lock is this one's.
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

/// There a file that is open for writing is known as such anyway.
#[cfg(not(unix))]
pub(super) fn hold(_: &Path, _: &File) {}

/// Whether a process still writes to a segment.
///
/// # Errors
/// When the file cannot be opened, or the system does not tell.
#[cfg(unix)]
pub(super) fn is_held(path: &Path) -> Result<bool, FileError> {
    match files::open(path, SymlinkMode::Refuse)?.file().try_lock() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(error)) => Err(FileError::new(path, FileProblem::System(error))),
    }
}

/// Whoever opens a file for nobody else fails while somebody has it open.
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
/// As when it is read, and when the system does not tell.
pub fn is_open(directory: &Path, segment: &str) -> Result<bool, FileError> {
    is_held(&directory.join(segment))
}

/// Makes a file's name durable.
pub(super) fn sync_parent_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), files::sync_directory)
}
