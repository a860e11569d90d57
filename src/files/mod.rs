//! Opens and reads files: the one place that does, so that no odd file holds up a program or fills its memory.
//!
//! A name may lead to a named pipe, a device, a directory, a sparse file of 10 GB, or a network drive that hangs.
//! So a file is opened without waiting, must be a regular file, and is read up to a limit. What may hang all the
//! same is read with a timeout: [`read_with_timeout`], or [`read_off_thread`] where a runtime must go on meanwhile.
//! `tests/files.rs` keeps every other module from opening files itself.

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

/// The largest file of the configuration.
pub const MAX_CONFIG_FILE_BYTES: u64 = 8 << 20;
/// The largest file that a program keeps for the others in the state directory.
pub const MAX_STATE_FILE_BYTES: u64 = 128 << 20;
/// The largest file of a few words: a seal, a key, a lock's holder.
pub const MAX_SMALL_FILE_BYTES: u64 = 64 << 10;
/// The largest file that a person names on the command line.
pub const MAX_ARGUMENT_FILE_BYTES: u64 = 64 << 20;
/// The largest file of `/proc` that is looked at.
const MAX_PROC_FILE_BYTES: u64 = 1 << 20;
/// How often a file is read again that changed while it was read.
const MAX_READ_ATTEMPTS: usize = 4;

/// Whether a link in a file's place is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymlinkMode {
    /// A person may keep the file elsewhere.
    Follow,
    /// The file is the program's own, which makes no links.
    Refuse,
}

/// Whether a named pipe may stand in a file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeMode {
    /// Another program may serve the file, as password managers serve `.env`.
    Read,
    /// It is no file.
    Refuse,
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    path: PathBuf,
}

impl RegularFile {
    /// What the system says of it now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The file itself, to lock or to sync it.
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

/// Opens a regular file for reading, without waiting.
///
/// # Errors
/// See [`FileProblem`].
pub fn open(path: &Path, links: SymlinkMode) -> Result<RegularFile, FileError> {
    open_with(path, links, OpenOptions::new().read(true))
}

/// Opens a regular file of our own for reading and appending: not every system syncs what is open for reading only.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_for_sync(path: &Path) -> Result<RegularFile, FileError> {
    open_with(path, SymlinkMode::Refuse, OpenOptions::new().read(true).append(true))
}

/// Opens a regular file of our own to write over what it holds.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_to_overwrite(path: &Path) -> Result<RegularFile, FileError> {
    open_with(path, SymlinkMode::Refuse, OpenOptions::new().read(true).write(true))
}

/// Opens a regular file of our own that no other process has open.
///
/// # Errors
/// A system error where another process has it open; else see [`FileProblem`].
#[cfg(windows)]
pub fn open_alone(path: &Path) -> Result<RegularFile, FileError> {
    let mut options = OpenOptions::new();
    std::os::windows::fs::OpenOptionsExt::share_mode(options.read(true), 0);
    open_with(path, SymlinkMode::Refuse, &mut options)
}

/// Reads a whole file of at most `limit` bytes. One that changes meanwhile is read again.
///
/// # Errors
/// See [`FileProblem`].
pub fn read(path: &Path, limit: u64, links: SymlinkMode) -> Result<Vec<u8>, FileError> {
    read_file_or_pipe(path, limit, links, PipeMode::Refuse)
}

/// As [`read()`], for text.
///
/// # Errors
/// [`FileProblem::NotUtf8`] where it is not UTF-8; else as [`read()`].
pub fn read_text(path: &Path, limit: u64, links: SymlinkMode, pipes: PipeMode) -> Result<String, FileError> {
    let bytes = read_file_or_pipe(path, limit, links, pipes)?;
    String::from_utf8(bytes).map_err(|_| FileError::new(path, FileProblem::NotUtf8))
}

/// Reads what a person named on the command line: that may be a pipe or the terminal, which they can interrupt.
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
/// When it is gone, as with its process, or cannot be read.
pub fn read_proc(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_PROC_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file for appending, for this user alone where it is made.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_for_append(path: &Path) -> Result<File, FileError> {
    Ok(open_or_create(path, OpenOptions::new().append(true).create(true))?.file)
}

/// Opens a regular file to lock and to write, for this user alone where it is made.
///
/// # Errors
/// See [`FileProblem`].
pub fn open_lock_file(path: &Path) -> Result<File, FileError> {
    Ok(open_or_create(path, OpenOptions::new().write(true).create(true).truncate(false))?.file)
}

/// Makes a file that is not there, for this user alone.
///
/// # Errors
/// When something is there, or it cannot be made.
pub fn create_new(path: &Path) -> io::Result<File> {
    set_owner_only(OpenOptions::new().append(true).create_new(true)).open(path)
}

/// Opens a device of the system's, such as the terminal, to read and write.
///
/// # Errors
/// When the system does not open it.
pub fn open_device(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Opens a device of the system's, such as the terminal, to write.
///
/// # Errors
/// When the system does not open it.
pub fn open_device_to_write(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When the directory cannot be synced.
#[cfg(unix)]
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// There names are durable with their files.
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
        // It may grow while it is read.
        file.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(FileError::new(path, FileProblem::TooLarge(limit)));
        }
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

/// Looks before it opens: the opening of a device may do something, and that of a socket says nothing useful.
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

/// Another thing may have come into its place since it was looked at.
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
    let follow = match links {
        SymlinkMode::Follow => OFlags::empty(),
        SymlinkMode::Refuse => OFlags::NOFOLLOW,
    };
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | follow).bits();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.cast_signed())
}

/// There no pipe and no device lies among files.
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
