//! Errors of the store.

use std::path::Path;

use portero::approved_config::seal::SealError;
use portero::files::FileError;
use rusqlite::ErrorCode;

/// Why the store could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file is not one that Portero wrote, or it is damaged.
    #[error("the store {path} is damaged or not Portero's: {problem}")]
    Corrupt {
        /// The file.
        path: String,
        /// The damage.
        problem: String,
    },
    /// A newer Portero wrote it.
    #[error("the store {path} was written by a newer Portero (version {found}; this one knows {known})")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Another process holds the store; the text is its file, if known. Nothing was changed.
    #[error("the store is busy: another program holds it{}", path_suffix(.0))]
    Busy(String),
    /// It could not be opened at all.
    #[error("the store {path} could not be opened: {problem}")]
    Unopened {
        /// The file.
        path: String,
        /// The reason.
        problem: String,
    },
    /// SQLite or the disk failed; nothing was changed.
    #[error("the store could not be read or written: {0}")]
    Failed(String),
    /// The audit record could not be written, so nothing was changed (guarantee D2).
    #[error("the audit record could not be written, so nothing was changed: {0}")]
    Audit(String),
    /// A limit or a precondition refused the change; the text says which.
    #[error("{0}")]
    Refused(String),
    /// The configuration's seal doesn't confirm that this is its store.
    #[error("{problem}")]
    Seal {
        /// The problem.
        problem: String,
        /// The next step for a person.
        hint: &'static str,
    },
}

impl StoreError {
    /// The next step for a person; none if the error states it or only waiting helps.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Corrupt { .. } => Some(
                "put back a copy of it; to start over without the rules that people made, move it, what is beside \
                 it and the file of denies away",
            ),
            Self::Newer { .. } => Some("run the newer Portero that wrote it"),
            Self::Busy(_) => {
                Some("close the program that holds it, such as a database browser, and try again")
            }
            Self::Unopened { .. } => Some("look whose it is, and whether the disk is full or read-only"),
            Self::Failed(_) | Self::Audit(_) => Some("look at the disk: it may be full or failing"),
            Self::Refused(_) => None,
            Self::Seal { hint, .. } => Some(hint),
        }
    }

    pub(crate) fn corrupt(problem: impl Into<String>) -> Self {
        Self::Corrupt { path: String::new(), problem: problem.into() }
    }

    /// Adds the file's path.
    pub(super) fn with_path(self, file: &Path) -> Self {
        let path = file.display().to_string();
        match self {
            Self::Corrupt { problem, .. } => Self::Corrupt { path, problem },
            Self::Newer { found, known, .. } => Self::Newer { path, found, known },
            Self::Busy(_) => Self::Busy(path),
            Self::Failed(problem) | Self::Unopened { problem, .. } => Self::Unopened { path, problem },
            Self::Audit(_) | Self::Refused(_) | Self::Seal { .. } => self,
        }
    }
}

fn path_suffix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" ({path})") }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        Self::Seal { problem: error.to_string(), hint: error.hint() }
    }
}

/// A companion file that can't be read in time fails like the store, because callers need both.
impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // SQLite reports a schema that it can't read as `Unknown`. Our own SQL is tested, so the file
            // must be damaged.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
                Self::corrupt(error.to_string())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(String::new()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
