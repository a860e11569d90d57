//! Ending a daemon that no question reaches, because it speaks another protocol.

use portero::ipc;
use portero::paths::Paths;

use crate::failure::CommandResult;
#[cfg(not(unix))]
use crate::failure::Failure;

/// Ends the daemon that refused with `refusal` as `kill` does, and returns once it is gone. `peer` is the process
/// that listens, and must be known to be the daemon's.
#[cfg(unix)]
pub(crate) async fn terminate_daemon(
    paths: &Paths,
    peer: Option<u32>,
    refusal: ipc::DaemonFailure,
) -> CommandResult {
    use rustix::process::{Pid, Signal, kill_process};

    let Some(pid) = peer.and_then(|peer| i32::try_from(peer).ok()).and_then(Pid::from_raw) else {
        return Err(refusal.into());
    };
    match kill_process(pid, Signal::TERM) {
        // It may have ended by itself.
        Ok(()) | Err(rustix::io::Errno::SRCH) => super::wait_until_gone(paths).await,
        Err(_) => Err(refusal.into()),
    }
}

/// No signal is known there.
#[cfg(not(unix))]
pub(crate) async fn terminate_daemon(_: &Paths, peer: Option<u32>, refusal: ipc::Failure) -> CommandResult {
    let failure = Failure::from(refusal);
    Err(match peer {
        Some(process) => failure.hint(format!("end process {process}, then run this again")),
        None => failure,
    })
}
