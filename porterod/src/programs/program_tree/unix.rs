//! Unix: the program leads a process group of its own.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A program in a process group of its own.
pub(in crate::programs) struct ProgramTree {
    program: Child,
    /// The group as long as the program wasn't waited for, so that its number can't belong to another one.
    group: Option<Pid>,
}

impl ProgramTree {
    pub(in crate::programs) fn spawn(mut command: Command) -> io::Result<Self> {
        let program = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = program.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { program, group })
    }

    /// Its stdin, stdout and stderr, as far as they are pipes.
    pub(in crate::programs) const fn take_pipes(
        &mut self,
    ) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.program.stdin.take(), self.program.stdout.take(), self.program.stderr.take())
    }

    /// Waits for the program's end.
    pub(in crate::programs) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = self.program.wait().await;
        self.group = None;
        ended
    }
}

impl Drop for ProgramTree {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended in the meantime.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
