//! Errors of reading a file: what, where, and the next step.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file wasn't read.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    problem: FileProblem,
}

/// The problem with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It doesn't exist.
    #[error("is missing")]
    Missing,
    /// A link to something that doesn't exist.
    #[error("is a link that leads nowhere: `{}` is missing", .0.display())]
    DanglingLink(PathBuf),
    /// Something that is not a regular file.
    #[error("is {0}, not a file")]
    NotAFile(NonFileKind),
    /// It is larger than the limit in bytes.
    #[error("is larger than {0} bytes, which is the limit")]
    TooLarge(u64),
    /// It isn't UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// It changed during every attempt to read it.
    #[error("changed each time while it was read")]
    KeepsChanging,
    /// A named pipe without a writer.
    #[error("is a named pipe, and no program wrote to it within {} ms", .0.as_millis())]
    SilentPipe(Duration),
    /// Reading it took too long.
    #[error("could not be read within {} ms: its drive does not answer", .0.as_millis())]
    TimedOut(Duration),
    /// An earlier read of it still hangs.
    #[error("was not read, because an earlier read of it still waits: its drive does not answer")]
    StillHangs,
    /// Too many earlier reads of other files hang.
    #[error("was not read, because {0} earlier reads still wait for a drive that does not answer")]
    TooManyHang(usize),
    /// An error of the system.
    #[error("could not be read: {0}")]
    System(#[source] io::Error),
}

/// What is in a file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonFileKind {
    /// A directory.
    Directory,
    /// A link, where links aren't followed.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl std::fmt::Display for NonFileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Link => "a link",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

impl FileError {
    /// The error for the file at `path`.
    #[must_use]
    pub fn new(path: &Path, problem: FileProblem) -> Self {
        Self { path: path.to_owned(), problem }
    }

    /// The problem that an error of the system stands for.
    #[must_use]
    pub fn from_io(path: &Path, error: io::Error) -> Self {
        Self::new(path, FileProblem::System(error))
    }

    /// The problem.
    #[must_use]
    pub const fn problem(&self) -> &FileProblem {
        &self.problem
    }

    /// Whether nothing is there. A dangling link is something.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self.problem, FileProblem::Missing)
    }

    /// Whether it is no regular file. Then it is no copy, no segment and no key, whatever it contains.
    #[must_use]
    pub const fn is_not_a_file(&self) -> bool {
        matches!(self.problem, FileProblem::NotAFile(_))
    }

    pub(super) const fn is_pipe(&self) -> bool {
        matches!(self.problem, FileProblem::NotAFile(NonFileKind::Pipe))
    }

    /// The next step for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match &self.problem {
            FileProblem::Missing => "put the file there",
            FileProblem::DanglingLink(_) => "mount what it leads to, or remove the link",
            FileProblem::NotAFile(_) => "move it away, and put a file in its place",
            FileProblem::TooLarge(_) => "look whether this is the right file",
            FileProblem::NotUtf8 => "save it as UTF-8",
            FileProblem::KeepsChanging => "end the program that keeps writing it",
            FileProblem::SilentPipe(_) => {
                "unlock the program that serves it (such as 1Password), or put a file in its place"
            }
            FileProblem::TimedOut(_) | FileProblem::StillHangs | FileProblem::TooManyHang(_) => {
                "look whether its network drive is connected, or move the file to this machine's disk"
            }
            FileProblem::System(_) => "look at its permissions and at the disk",
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match &error.problem {
            FileProblem::Missing => io::ErrorKind::NotFound,
            FileProblem::NotUtf8 => io::ErrorKind::InvalidData,
            FileProblem::TooLarge(_) => io::ErrorKind::FileTooLarge,
            FileProblem::TimedOut(_) | FileProblem::StillHangs | FileProblem::SilentPipe(_) => {
                io::ErrorKind::TimedOut
            }
            FileProblem::System(error) => error.kind(),
            FileProblem::DanglingLink(_)
            | FileProblem::NotAFile(_)
            | FileProblem::KeepsChanging
            | FileProblem::TooManyHang(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Distinguishes a missing file from a dangling link, for which the system reports the same error. The link
/// may also be one of the directories above.
pub(super) fn classify_not_found(path: &Path, error: io::Error) -> FileError {
    if error.kind() != io::ErrorKind::NotFound {
        return FileError::from_io(path, error);
    }
    // The nearest existing ancestor. If it can't be followed, it is the dangling link.
    let there = path.ancestors().find(|above| fs::symlink_metadata(above).is_ok());
    match there
        .filter(|there| fs::metadata(there).is_err())
        .and_then(|link| Some((link, fs::read_link(link).ok()?)))
    {
        Some((link, target)) => FileError::new(link, FileProblem::DanglingLink(target)),
        None => FileError::new(path, FileProblem::Missing),
    }
}

/// The kind of a thing that is no regular file.
pub(super) fn non_file_kind(kind: FileType) -> Option<NonFileKind> {
    if kind.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return Some(NonFileKind::Pipe);
        }
        if kind.is_socket() {
            return Some(NonFileKind::Socket);
        }
    }
    Some(match kind {
        kind if kind.is_dir() => NonFileKind::Directory,
        kind if kind.is_symlink() => NonFileKind::Link,
        _ => NonFileKind::Device,
    })
}
