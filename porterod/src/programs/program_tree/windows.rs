//! Windows: the program and all that it starts are one job.

use std::io;
use std::process::ExitStatus;

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// A program in a job of its own.
pub(in crate::programs) struct ProgramTree {
    program: Box<dyn ChildWrapper>,
    has_ended: bool,
}

impl ProgramTree {
    /// Starts it suspended, puts it into a job and lets it run. The job doesn't end with its last handle, because what the
    /// program leaves behind goes on.
    pub(in crate::programs) fn spawn(command: Command) -> io::Result<Self> {
        let program = CommandWrap::from(command).wrap(JobObject).spawn()?;
        Ok(Self { program, has_ended: false })
    }

    /// Its stdin, stdout and stderr, as far as they are pipes.
    pub(in crate::programs) fn take_pipes(
        &mut self,
    ) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.program.stdin().take(), self.program.stdout().take(), self.program.stderr().take())
    }

    /// Waits for the program's end, not for that of the others in its job.
    pub(in crate::programs) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = self.program.inner_mut().wait().await;
        self.has_ended = true;
        ended
    }
}

impl Drop for ProgramTree {
    fn drop(&mut self) {
        if !self.has_ended {
            // The whole job. It may have ended in the meantime.
            let _ = self.program.start_kill();
        }
    }
}
