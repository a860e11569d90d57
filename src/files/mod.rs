//! Opens and reads files. Only this module does, so that no odd file blocks a program or fills its memory.
//!
//! A name may lead to a named pipe, a device, a directory, a sparse file of 10 GB, or a network drive that
//! hangs. So files are opened without blocking, must be regular, and are read up to a limit. Reads that may
//! hang all the same have a timeout: [`read_with_timeout`], or [`read_off_thread`] where a runtime must go on.
//! `tests/files.rs` keeps all other modules from opening files themselves.

mod error;
pub mod faults;
mod pipe;
mod read_timeout;
mod watch_targets;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use error::{FileError, FileProblem};
pub use read_timeout::{READ_TIMEOUT, read_off_thread, read_with_timeout};
pub use watch_targets::{WatchTarget, watch_targets};

/// The largest configuration file.
pub const MAX_CONFIG_FILE_BYTES: u64 = 8 << 20;
/// The largest file that programs share in the state directory.
pub const MAX_STATE_FILE_BYTES: u64 = 128 << 20;
/// The largest small file: a seal, a key, a lock's holder.
pub const MAX_SMALL_FILE_BYTES: u64 = 64 << 10;
/// The largest file named on the command line.
pub const MAX_ARGUMENT_FILE_BYTES: u64 = 64 << 20;
/// The largest file of `/proc`.
const MAX_PROC_FILE_BYTES: u64 = 1 << 20;
/// How often a file that changes during the read is read again.
const MAX_READ_ATTEMPTS: usize = 4;

/// Whether a link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymlinkMode {
    /// A person may keep the file elsewhere.
    Follow,
    /// The file is the program's own, and the program makes no links.
    Refuse,
}

/// Whether a named pipe is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeMode {
    /// Another program may serve the file, as password managers do with `.env`.
    Read,
    /// A pipe counts as no file.
    Refuse,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    path: PathBuf,
}

impl RegularFile {
    /// The file's present metadata.
    ///
    /// # Errors
    /// If the system doesn't tell.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads it to its end, up to `limit` bytes, as it was opened: no other file can have taken its place since.
    ///
    /// # Errors
    /// See [`FileProblem`].
    pub fn read_text(mut self, limit: u64) -> Result<String, FileError> {
        let mut bytes = Vec::new();
        let read = self.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| FileError::from_io(&self.path, error))?;
        if bytes.len() as u64 > limit {
            return Err(FileError::new(&self.path, FileProblem::TooLarge(limit)));
        }
        String::from_utf8(bytes).map_err(|_| FileError::new(&self.path, FileProblem::NotUtf8))
    }

    /// The file, for locking or syncing it.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

impl Read for RegularFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        faults::before_read(&self.path)?;
        self.file.read(buffer)
    }
}

impl Seek for RegularFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Opens a regular file for reading, without blocking.
///
/// # Errors
/// See [`FileProblem`].
pub fn open(path: &Path, links: SymlinkMode) -> Result<RegularFile, FileError> {
    open_with(path, links, OpenOptions::new().read(true))
}

/// Opens one of our own files for reading and appending, because not every system syncs a file that is open
/// for reading only.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_for_sync(path: &Path) -> Result<RegularFile, FileError> {
    open_with(path, SymlinkMode::Refuse, OpenOptions::new().read(true).append(true))
}

/// Opens one of our own files for overwriting.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_to_overwrite(path: &Path) -> Result<RegularFile, FileError> {
    open_with(path, SymlinkMode::Refuse, OpenOptions::new().read(true).write(true))
}

/// Opens one of our own files that no other process has open.
///
/// # Errors
/// A system error if another process has it open; otherwise see [`FileProblem`].
#[cfg(windows)]
pub fn open_alone(path: &Path) -> Result<RegularFile, FileError> {
    let mut options = OpenOptions::new();
    std::os::windows::fs::OpenOptionsExt::share_mode(options.read(true), 0);
    open_with(path, SymlinkMode::Refuse, &mut options)
}

/// Reads a whole file of at most `limit` bytes. A file that changes during the read is read again.
///
/// # Errors
/// See [`FileProblem`].
pub fn read(path: &Path, limit: u64, links: SymlinkMode) -> Result<Vec<u8>, FileError> {
    read_file_or_pipe(path, limit, links, PipeMode::Refuse)
}

/// Like [`read()`], for text.
///
/// # Errors
/// [`FileProblem::NotUtf8`] if it isn't UTF-8; otherwise as [`read()`].
pub fn read_text(path: &Path, limit: u64, links: SymlinkMode, pipes: PipeMode) -> Result<String, FileError> {
    let bytes = read_file_or_pipe(path, limit, links, pipes)?;
    String::from_utf8(bytes).map_err(|_| FileError::new(path, FileProblem::NotUtf8))
}

/// Reads a file named on the command line. It may be a pipe or the terminal, which the person can interrupt.
///
/// # Errors
/// See [`FileProblem`].
pub fn read_argument_file(path: &Path) -> Result<String, FileError> {
    let failed = |error| FileError::from_io(path, error);
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(MAX_ARGUMENT_FILE_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_ARGUMENT_FILE_BYTES {
        return Err(FileError::new(path, FileProblem::TooLarge(MAX_ARGUMENT_FILE_BYTES)));
    }
    String::from_utf8(bytes).map_err(|_| FileError::new(path, FileProblem::NotUtf8))
}

/// Reads a file of `/proc`, which the kernel serves at once.
///
/// # Errors
/// If it is gone with its process, or can't be read.
pub fn read_proc(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_PROC_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file for appending. A new one is private to this user.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_for_append(path: &Path) -> Result<File, FileError> {
    Ok(open_or_create(path, OpenOptions::new().append(true).create(true))?.file)
}

/// Opens a regular file for locking and writing. A new one is private to this user.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_lock_file(path: &Path) -> Result<File, FileError> {
    Ok(open_or_create(path, OpenOptions::new().write(true).create(true).truncate(false))?.file)
}

/// Creates a new file, private to this user.
///
/// # Errors
/// If something is there, or it can't be created.
pub fn create_new(path: &Path) -> io::Result<File> {
    set_owner_only(OpenOptions::new().append(true).create_new(true)).open(path)
}

/// Opens a device of the system, such as the terminal, for reading and writing.
///
/// # Errors
/// If the system doesn't open it.
pub fn open_device(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Opens a device of the system, such as the terminal, for writing.
///
/// # Errors
/// If the system doesn't open it.
pub fn open_device_to_write(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Syncs a directory, so that the names in it survive a crash.
///
/// # Errors
/// If it can't be synced.
#[cfg(unix)]
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// On these systems names are durable with their files.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn read_file_or_pipe(
    path: &Path,
    limit: u64,
    links: SymlinkMode,
    pipes: PipeMode,
) -> Result<Vec<u8>, FileError> {
    for _ in 0..MAX_READ_ATTEMPTS {
        let mut file = match open(path, links) {
            Err(error) if pipes == PipeMode::Read && error.is_pipe() => return pipe::read(path, limit),
            other => other?,
        };
        let failed = |error| FileError::from_io(path, error);
        let before = file.metadata().map_err(failed)?;
        if before.len() > limit {
            return Err(FileError::new(path, FileProblem::TooLarge(limit)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
        // One byte more than the limit, because the file may grow during the read.
        file.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(FileError::new(path, FileProblem::TooLarge(limit)));
        }
        // Same size and time before and after, and all bytes read: no write fell in between. Otherwise the
        // bytes may mix two versions.
        let after = file.metadata().map_err(failed)?;
        let unchanged = before.modified().ok() == after.modified().ok() && before.len() == after.len();
        if unchanged && bytes.len() as u64 == after.len() {
            return Ok(bytes);
        }
    }
    Err(FileError::new(path, FileProblem::KeepsChanging))
}

fn open_or_create(path: &Path, options: &mut OpenOptions) -> Result<RegularFile, FileError> {
    match open_with(path, SymlinkMode::Follow, set_owner_only(options)) {
        Err(error) if error.is_missing() => {
            let file = without_waiting(options, SymlinkMode::Follow).open(path);
            let file = file.map_err(|error| FileError::from_io(path, error))?;
            verify_opened(path, file)
        }
        other => other,
    }
}

/// Checks the kind before opening: opening a device may have effects, and opening a socket gives a useless
/// error.
fn open_with(path: &Path, links: SymlinkMode, options: &mut OpenOptions) -> Result<RegularFile, FileError> {
    let failed = |error| FileError::from_io(path, error);
    faults::before_open(path).map_err(failed)?;
    let found = match links {
        SymlinkMode::Follow => fs::metadata(path),
        SymlinkMode::Refuse => fs::symlink_metadata(path),
    };
    let found = found.map_err(|error| error::classify_not_found(path, error))?;
    refuse_non_file(path, &found)?;
    verify_opened(path, without_waiting(options, links).open(path).map_err(failed)?)
}

/// Checks the open file again, because another thing may have been put in its place.
fn verify_opened(path: &Path, file: File) -> Result<RegularFile, FileError> {
    let found = file.metadata().map_err(|error| FileError::from_io(path, error))?;
    refuse_non_file(path, &found)?;
    Ok(RegularFile { file, path: path.to_owned() })
}

fn refuse_non_file(path: &Path, found: &Metadata) -> Result<(), FileError> {
    match error::non_file_kind(found.file_type()) {
        None => Ok(()),
        Some(kind) => Err(FileError::new(path, FileProblem::NotAFile(kind))),
    }
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions, links: SymlinkMode) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    // `NONBLOCK` keeps a pipe or device from blocking the open, and `NOCTTY` keeps a terminal from becoming
    // ours.
    let follow = match links {
        SymlinkMode::Follow => OFlags::empty(),
        SymlinkMode::Refuse => OFlags::NOFOLLOW,
    };
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | follow).bits();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.cast_signed())
}

/// Windows has no pipes or devices among files.
#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions, _: SymlinkMode) -> &mut OpenOptions {
    options
}

fn set_owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests;
