//! Detaches the daemon from its terminal, and opens its log.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use portero::files;
use portero::printable::OneLineWriter;
use tracing_subscriber::EnvFilter;

const LOG_FILE: &str = "porterod.log";
/// Above this size the log is renamed to `.log.old` at the next start, replacing the former one.
const MAX_LOG_BYTES: u64 = 5 << 20;

/// Starts `daemon` and returns the word that it prints once it listens. If it ends without one, this returns
/// its exit code, or none if it was killed.
pub(crate) fn start_daemon(daemon: &mut Command) -> io::Result<Result<String, Option<u8>>> {
    #[cfg(windows)]
    {
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        std::os::windows::process::CommandExt::creation_flags(
            daemon,
            DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP,
        );
    }
    let mut daemon = daemon.stdout(Stdio::piped()).spawn()?;
    let stdout = daemon.stdout.take().expect("it was asked to be a pipe");
    let mut word = String::new();
    if BufReader::new(stdout).read_line(&mut word)? > 0 {
        return Ok(Ok(word.trim_end().to_owned()));
    }
    Ok(Err(daemon.wait()?.code().and_then(|code| u8::try_from(code).ok())))
}

/// Leaves the session and process group of the starting process, so that its end doesn't end this one.
#[cfg(unix)]
pub(crate) fn leave_terminal() {
    // This fails only for a group leader, which has already left.
    let _ = rustix::process::setsid();
}

/// On Windows the starting process detaches this one (`DETACHED_PROCESS`).
#[cfg(not(unix))]
pub(crate) fn leave_terminal() {}

/// Closes the standard streams, so that no reader waits for their end. Standard input stays open if this
/// process itself waits for its end.
#[cfg(unix)]
pub(crate) fn let_go(but_input: bool) {
    let Ok(null) = files::open_device("/dev/null") else { return };
    if !but_input {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}

/// On Windows the starting process closes its own end.
#[cfg(not(unix))]
pub(crate) fn let_go(_: bool) {}

/// Logs into `directory`, or to stderr. `PORTERO_LOG` sets the level, in the syntax of `tracing` filters.
pub(crate) fn init_logging(directory: Option<&Path>) -> io::Result<()> {
    let filter = EnvFilter::try_from_env("PORTERO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match directory {
        Some(directory) => builder.with_writer(Mutex::new(OneLineWriter(open_log(directory)?))).init(),
        None => builder.with_writer(|| OneLineWriter(io::stderr())).init(),
    }
    Ok(())
}

fn open_log(directory: &Path) -> io::Result<fs::File> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    let path = directory.join(LOG_FILE);
    if fs::metadata(&path).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
        fs::rename(&path, path.with_extension("log.old"))?;
    }
    Ok(files::open_for_append(&path)?)
}
