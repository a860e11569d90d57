//! The daemon's process: its program, its identity and its end.
//!
//! Checking the program is a hurdle and not a wall. The person types the passphrase to this process, and a
//! session trusts its pushes. But a process of the same user could also run the real program and read its
//! memory (`docs/security.md`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use portero::ipc;
use portero::paths::Paths;

#[cfg(not(unix))]
use crate::failure::CommandFailure;
use crate::failure::CommandResult;
#[cfg(target_os = "linux")]
pub(super) use linux::Ending;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Ending;

/// The program's file name.
const DAEMON_PROGRAM: &str = if cfg!(windows) { "porterod.exe" } else { "porterod" };

/// Finds `porterod` beside this executable, otherwise on `PATH`. The program beside it comes first, because
/// both are of one release.
pub(crate) fn find_program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_program_in(beside.as_deref().and_then(Path::parent), &path)
}

/// All places where the program may be.
#[cfg(target_os = "linux")]
pub(super) fn all_program_paths() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidate_paths(beside.as_deref().and_then(Path::parent), &path).collect()
}

fn find_program_in(beside: Option<&Path>, path: &OsStr) -> Option<PathBuf> {
    candidate_paths(beside, path).find(|file| file.is_file())
}

fn candidate_paths(beside: Option<&Path>, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    // An empty entry of PATH means the working directory, which an agent can fill, so relative entries are
    // ignored.
    let on_path = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    let places: Vec<_> = beside.map(Path::to_owned).into_iter().chain(on_path).collect();
    places.into_iter().map(|dir| dir.join(DAEMON_PROGRAM))
}

/// Whether that process runs a `porterod` from one of these places.
#[cfg(target_os = "linux")]
pub(super) fn runs_daemon(pid: Option<u32>) -> bool {
    pid.is_some_and(|pid| runs_one_of(pid, &all_program_paths()))
}

/// Other systems don't reveal another process's program. The caller has already checked that it is this
/// user's process.
#[cfg(not(target_os = "linux"))]
pub(super) const fn runs_daemon(_: Option<u32>) -> bool {
    true
}

/// Whether it runs the same file, or one that an upgrade has since replaced at the same path.
#[cfg(target_os = "linux")]
fn runs_one_of(pid: u32, programs: &[PathBuf]) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let link = format!("/proc/{pid}/exe");
    let (Ok(place), Ok(running)) = (std::fs::read_link(&link), std::fs::metadata(&link)) else {
        return false;
    };
    let replaced = place.to_str().and_then(|place| place.strip_suffix(" (deleted)"));
    programs.iter().any(|program| {
        let same = std::fs::metadata(program)
            .is_ok_and(|file| (file.dev(), file.ino()) == (running.dev(), running.ino()));
        let was = program.canonicalize().ok();
        same || was.as_deref().and_then(Path::to_str).is_some_and(|was| replaced == Some(was))
    })
}

/// Ends the daemon that refused with `refusal` by a signal, and returns once it is gone. The caller must know
/// that `peer` is the daemon's process.
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
        // It may already have ended.
        Ok(()) | Err(rustix::io::Errno::SRCH) => super::wait_until_gone(paths).await,
        Err(_) => Err(refusal.into()),
    }
}

/// Windows has no such signal, so the person must end the process.
#[cfg(not(unix))]
pub(crate) async fn terminate_daemon(
    _: &Paths,
    peer: Option<u32>,
    refusal: ipc::DaemonFailure,
) -> CommandResult {
    let failure = CommandFailure::from(refusal);
    Err(match peer {
        Some(process) => failure.with_hint(format!("end process {process}, then run this again")),
        None => failure,
    })
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    /// A process that is about to end; none if it has ended already.
    pub(in crate::daemon) struct Ending(Option<OwnedFd>);

    impl Ending {
        pub(in crate::daemon) fn watch(pid: u32) -> Self {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            Self(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
        }

        /// Returns once it has ended, even if its parent hasn't reaped it, and after `limit` at the latest.
        pub(in crate::daemon) async fn wait(self, limit: Duration) {
            let Some(handle) = self.0 else { return };
            let wait = move || {
                let timeout = Timespec::try_from(limit).ok();
                poll(&mut [PollFd::new(&handle, PollFlags::IN)], timeout.as_ref())
            };
            // A failed wait is no reason to wait longer.
            let _ = tokio::task::spawn_blocking(wait).await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::time::Duration;

    /// Other systems report the end of a process to its parent only. Nothing depends on this wait, because
    /// the daemon releases its lock earlier.
    pub(in crate::daemon) struct Ending;

    impl Ending {
        pub(in crate::daemon) const fn watch(_: u32) -> Self {
            Self
        }

        pub(in crate::daemon) async fn wait(self, _: Duration) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_wins_over_the_one_on_the_path() {
        let (beside, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join(DAEMON_PROGRAM), "").unwrap();
        let path = std::env::join_paths([Path::new("."), other.path()]).unwrap();
        assert_eq!(find_program_in(Some(beside.path()), &path), Some(other.path().join(DAEMON_PROGRAM)));
        std::fs::write(beside.path().join(DAEMON_PROGRAM), "").unwrap();
        assert_eq!(find_program_in(Some(beside.path()), &path), Some(beside.path().join(DAEMON_PROGRAM)));
        assert_eq!(find_program_in(None, OsStr::new("")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_known_by_its_program_also_after_that_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().canonicalize().unwrap().join("porterod");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        let link = format!("/proc/{}/exe", child.id());
        while std::fs::read_link(&link).is_ok_and(|place| place != program) {
            std::thread::yield_now();
        }
        let programs = [directory.path().join("none"), program.clone()];
        assert!(runs_one_of(child.id(), &programs));
        assert!(!runs_one_of(std::process::id(), &programs), "this test is no daemon");
        std::fs::remove_file(&program).unwrap();
        assert!(!runs_one_of(child.id(), &programs), "nothing is there in its place");
        std::fs::copy("/bin/true", &program).unwrap();
        assert!(runs_one_of(child.id(), &programs));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!runs_one_of(child.id(), &programs) && !runs_daemon(None));
    }
}
