//! Leaving the terminal, and where the log goes.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

const LOG: &str = "porterod.log";
/// The log of earlier daemons is kept up to this size, once.
const LOG_BYTES: u64 = 5 << 20;

/// Leaves the session and process group of whoever started this, so that their end is not ours.
#[cfg(unix)]
pub(crate) fn leave_terminal() {
    // Fails only for the leader of a group, which has left already.
    let _ = rustix::process::setsid();
}

/// Whoever starts this on Windows detaches it (`DETACHED_PROCESS`).
#[cfg(not(unix))]
pub(crate) fn leave_terminal() {}

/// Lets go of the standard streams, so that nobody waits for their end.
#[cfg(unix)]
pub(crate) fn let_go() {
    let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}

/// Whoever starts this on Windows closes its own end.
#[cfg(not(unix))]
pub(crate) fn let_go() {}

/// Logs into `directory`, or to stderr. `PORTERO_LOG` says how much, as `tracing` filters read it.
pub(crate) fn log(directory: Option<&Path>) -> io::Result<()> {
    let filter = EnvFilter::try_from_env("PORTERO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match directory {
        Some(directory) => builder.with_writer(Mutex::new(open(directory)?)).init(),
        None => builder.with_writer(io::stderr).init(),
    }
    Ok(())
}

fn open(directory: &Path) -> io::Result<fs::File> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    let path = directory.join(LOG);
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES) {
        fs::rename(&path, path.with_extension("log.old"))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
