//! Starts the daemon, which prints `ready` once it listens.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use portero::paths::Paths;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdin, Command};

/// How long the daemon may take until it listens.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes of a failed start's output are shown.
const MAX_STDERR_BYTES: u64 = 8 << 10;

/// Why the daemon didn't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The program is not installed.
    #[error("`porterod` is neither beside `portero` nor on PATH")]
    Missing,
    /// The system refused to run it.
    #[error("`{}` could not be run", .0.display())]
    Spawn(PathBuf, #[source] std::io::Error),
    /// It ended without `ready`.
    #[error("it ended at once: {0}")]
    Ended(String),
    /// It printed nothing in time.
    #[error("it did not say that it is ready within {} s", READY_TIMEOUT.as_secs())]
    Silent,
}

/// Starts the daemon outside of this process's terminal, process group and tree, and returns once it listens.
///
/// The started process only launches the daemon and ends. A daemon below this process would end with it when
/// an agent's program kills its server's whole tree.
///
/// If two processes start a daemon at once, one daemon prints `ready`. The other prints `running` once the
/// first one answers.
pub(crate) async fn start_daemon(paths: &Paths) -> Result<(), StartError> {
    spawn_daemon(paths, Stdio::null(), &[]).await.map(drop)
}

/// A daemon that ends when this is dropped, however this process ends.
pub(crate) struct TiedDaemon {
    _input: Option<ChildStdin>,
}

/// Starts a daemon that ends with this process, and returns once it listens.
pub(crate) async fn start_tied_daemon(paths: &Paths) -> Result<TiedDaemon, StartError> {
    spawn_daemon(paths, Stdio::piped(), &["--tied"]).await.map(|input| TiedDaemon { _input: input })
}

/// Starts the daemon with further arguments, and returns its standard input if that is a pipe.
async fn spawn_daemon(paths: &Paths, input: Stdio, words: &[&str]) -> Result<Option<ChildStdin>, StartError> {
    let program = super::find_program().ok_or(StartError::Missing)?;
    let mut command = Command::new(&program);
    command
        .arg("--config")
        .arg(&paths.config)
        .arg("--detach")
        .args(words)
        .env("PORTERO_STATE_DIR", &paths.state)
        .env("PORTERO_RUNTIME_DIR", &paths.runtime)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if paths.state.is_dir() {
        // In the agent's directory a daemon would keep that directory from being removed or unmounted.
        command.current_dir(&paths.state);
    }
    detach(&mut command);
    let mut child = command.spawn().map_err(|error| StartError::Spawn(program, error))?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("it was asked to be a pipe");
    let stderr = child.stderr.take().expect("it was asked to be a pipe");

    let ready = async {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // `running` means that another daemon was faster and answers.
            if matches!(line.trim(), "ready" | "running") {
                // The launcher ends now. Without this wait it would remain a zombie as long as this process
                // lives.
                let _ = child.wait().await;
                return Ok(());
            }
        }
        let mut complaint = String::new();
        // The output so far is all that can be shown.
        let _ = stderr.take(MAX_STDERR_BYTES).read_to_string(&mut complaint).await;
        let complaint = complaint.trim();
        let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint);
        Err(StartError::Ended(if complaint.is_empty() { "it said nothing".into() } else { complaint.into() }))
    };
    tokio::time::timeout(READY_TIMEOUT, ready).await.unwrap_or(Err(StartError::Silent))?;
    Ok(stdin)
}

#[cfg(unix)]
fn detach(_: &mut Command) {
    // The daemon starts its own session itself (setsid).
}

#[cfg(windows)]
fn detach(command: &mut Command) {
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}
