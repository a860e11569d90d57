//! The locks that allow only one daemon. They belong to the system and end with their process, however it
//! ends.
//!
//! There are two, because socket and state may lie apart: one for each runtime directory, one for each state
//! directory. Both are held before anything is bound or opened.

use std::fs::{File, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::files::{self, PipeMode, SymlinkMode};
use crate::printable::escape_controls;

/// The longest note of a lock's holder that is read.
const MAX_HOLDER_BYTES: u64 = 4 << 10;

/// The right to listen and to use the state, until dropped.
#[derive(Debug)]
pub struct DaemonLock {
    // Drop order: the next daemon that gets the runtime lock then finds the state free.
    state: Option<File>,
    _runtime: File,
}

/// Why the socket couldn't be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon holds the lock or answers on the socket.
    #[error("another daemon is already running")]
    Running,
    /// Another daemon uses the same state and listens elsewhere; with its note.
    #[error("another daemon already uses this state directory: {0}")]
    StateInUse(String),
    /// Something else is at the socket's path. It stays there.
    #[error("what lies at {0} is no socket, and the daemon's must be there")]
    Occupied(PathBuf),
    /// An error of the system.
    #[error("could not {0}")]
    System(String, #[source] io::Error),
}

impl BindError {
    /// The next step for a person; none if the error itself names it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Running | Self::System(..) => None,
            Self::StateInUse(_) => Some(
                "use that one with its PORTERO_RUNTIME_DIR, or end it; a daemon of its own needs a \
                 PORTERO_STATE_DIR of its own",
            ),
            Self::Occupied(_) => Some("see how it came there, and move it away"),
        }
    }
}

impl DaemonLock {
    /// Takes the lock of a runtime directory. Creates its file if needed.
    ///
    /// # Errors
    /// [`BindError::Running`] if another daemon holds it.
    pub fn acquire(path: &Path) -> Result<Self, BindError> {
        let runtime = try_lock_file(path)?.ok_or(BindError::Running)?;
        Ok(Self { state: None, _runtime: runtime })
    }

    /// Takes the lock of a state directory too, and leaves a note there with this process and its runtime
    /// directory.
    ///
    /// # Errors
    /// [`BindError::StateInUse`] if another daemon holds it.
    pub fn with_state(mut self, path: &Path, runtime: &Path) -> Result<Self, BindError> {
        let Some(mut file) = try_lock_file(path)? else {
            return Err(BindError::StateInUse(describe_holder(path)));
        };
        let word =
            format!("process {}, with the runtime directory {}", std::process::id(), runtime.display());
        // The note is only for people. The lock holds without it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(word.as_bytes()));
        self.state = Some(file);
        Ok(self)
    }
}

/// The locked file; `None` if another process holds the lock.
fn try_lock_file(path: &Path) -> Result<Option<File>, BindError> {
    let failed = |error: io::Error| BindError::System(format!("lock {}", path.display()), error);
    // The file stays after the lock is released: removing it would let two daemons lock two files of one
    // name.
    let file = files::open_lock_file(path).map_err(|error| failed(error.into()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The note of the lock's holder. The system may keep others from reading it.
fn describe_holder(path: &Path) -> String {
    match files::read_text(path, MAX_HOLDER_BYTES, SymlinkMode::Refuse, PipeMode::Refuse) {
        Ok(word) if !word.trim().is_empty() => escape_controls(word.trim()).into_owned(),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}
