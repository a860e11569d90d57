//! The composition root: everything that the daemon is made of, put together and taken apart.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use portero::clock::Clock;
use portero::ipc::Failure;

/// What the daemon takes from the process that it runs in; a test gives its own.
pub struct Parts {
    /// The configuration directory.
    pub config: PathBuf,
    /// Where state is kept; 0700.
    pub state: PathBuf,
    /// Where the socket is; 0700.
    pub runtime: PathBuf,
    /// The user's home: the directory that shared servers are started in.
    pub home: PathBuf,
    /// This process's environment: what `${VAR}` reads, and what children get after the allow-list.
    pub environment: Vec<(OsString, OsString)>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The machine's boot, as [`crate::app::boot_id`] tells it; grants are void after another.
    pub boot_id: String,
    /// The program and leading arguments that children run under, on unix.
    pub guard: Option<(PathBuf, Vec<OsString>)>,
    /// The version, for people.
    pub build: String,
}

/// A daemon that runs in this process, on the current `LocalSet`-free current-thread runtime.
pub struct App {}

impl App {
    /// Starts it: it listens when this returns.
    ///
    /// # Errors
    /// [`portero::ipc::FailureKind::Configuration`] when the files have errors and nothing valid is known,
    /// [`portero::ipc::FailureKind::Refused`] when another daemon is running, otherwise `Internal`.
    pub async fn start(_parts: Parts) -> Result<Self, Failure> {
        todo!()
    }

    /// Returns once a person asked the daemon to stop over the socket.
    pub async fn stopped(&self) {
        todo!()
    }

    /// Ends it: accepts nothing new, lets executing tasks finish for a while, ends every child, flushes the
    /// audit and removes the socket.
    pub async fn shutdown(self) {
        todo!()
    }
}

/// The id of the machine's present boot. Where the system has none, a new one for each process, which only
/// ever shortens what is limited in time.
#[must_use]
pub fn boot_id() -> String {
    todo!()
}
