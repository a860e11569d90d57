//! The session's own log: a file, since stdout is the protocol's and nobody reads stderr.

use std::fs;
use std::sync::Mutex;

use portero::files;
use portero::paths::Paths;
use portero::printable::OneLineWriter;
use tracing_subscriber::EnvFilter;

/// A log beyond this is set aside when a session begins.
const MAX_LOG_BYTES: u64 = 10 << 20;

/// Logs to `logs/portero.log` from now on. A log that cannot be written is no reason not to serve.
pub(super) fn init_logging(paths: &Paths, level: Option<&str>) {
    let directory = paths.server_logs();
    let path = directory.join("portero.log");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        let _ = fs::rename(&path, directory.join("portero.log.1"));
    }
    let Ok(()) = fs::create_dir_all(&directory) else { return };
    let Ok(file) = files::open_for_append(&path) else { return };
    let filter = EnvFilter::try_new(level.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(OneLineWriter(file)))
        .try_init();
}
