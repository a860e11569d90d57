//! Unix: the child runs in a process group of its own, under a guard or bare.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::{SpawnedChild, bare_command, expect_pipes};
use crate::server::{GuardCommand, guard};

/// The capacity of a pipe from a child. Large results then take fewer rounds. More would use up the kernel's
/// quota for one user (pipe(7), `pipe-user-pages-soft`).
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 256 << 10;

/// A running child, or its guard.
#[derive(Debug)]
pub(in crate::server) struct ChildProcess {
    child: Child,
    guarded: bool,
}

impl ChildProcess {
    /// The command that runs the program, under the guard if there is one.
    pub(super) fn command(guarded: Option<&GuardCommand>, program: &OsStr, args: &[OsString]) -> Command {
        let Some(GuardCommand { program: guarding, args: leading }) = guarded else {
            return bare_command(program, args);
        };
        let mut command = Command::new(guarding);
        command.args(leading).arg(guard::parent_argument(std::process::id()));
        command.arg("--").arg(program).args(args);
        command
    }

    /// Starts it. The calling thread must live as long as the process, because the kernel signals the guard at
    /// the end of that thread.
    pub(super) fn start(mut command: Command, guarded: bool) -> io::Result<SpawnedChild> {
        let mut child = command.process_group(0).spawn()?;
        let (stdin, stdout, stderr) =
            expect_pipes(child.stdin.take(), child.stdout.take(), child.stderr.take());
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsFd as _;
            // A smaller pipe works too.
            let _ = stdout
                .as_fd()
                .try_clone_to_owned()
                .map(|fd| rustix::pipe::fcntl_setpipe_size(fd, PIPE_BYTES));
        }
        Ok(SpawnedChild { process: Self { child, guarded }, stdin, stdout, stderr })
    }

    /// The process id while it runs.
    pub(in crate::server) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end and describes it. Dropping the future loses nothing.
    pub(in crate::server) async fn wait_for_exit(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe_exit(status),
            Err(error) => format!("ended, with an unknown status: {error}"),
        }
    }

    /// Asks it to end. A guard ends its descendants too.
    pub(in crate::server) fn terminate(&self) {
        self.send_signal(Signal::TERM);
    }

    /// Kills it at once, as the last resort.
    pub(in crate::server) fn kill(&mut self) {
        self.send_signal(Signal::KILL);
    }

    fn send_signal(&self, signal: Signal) {
        // No id means that it was reaped. Until then the number can't belong to another process.
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(id) = id {
            // It may end just now.
            let _ = if self.guarded { kill_process(id, signal) } else { kill_process_group(id, signal) };
        }
    }
}

/// Describes an exit. A guard reports a signal as a shell does: 128 plus its number.
fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) => format!("was ended by signal {}", code - 128),
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
