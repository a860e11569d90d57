//! Windows: the child and all its descendants are one job, which ends with this process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Mutex;

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject, KillOnDrop};
use tokio::process::Command;

use super::{SpawnedChild, bare_command, expect_pipes};
use crate::server::GuardCommand;

/// A running child in its job. [`KillOnDrop`] makes the system end the job with its last handle, so it needs
/// no guard: however this process ends, its handles close.
#[derive(Debug)]
pub(in crate::server) struct ChildProcess {
    /// This lock is never contended, because there is one owner. It allows `terminate` to take `&self`.
    child: Mutex<Box<dyn ChildWrapper>>,
}

impl ChildProcess {
    /// The command that runs the program. A job needs no guard.
    pub(super) fn command(_: Option<&GuardCommand>, program: &OsStr, args: &[OsString]) -> Command {
        bare_command(program, args)
    }

    /// Starts it suspended, puts it into a job and lets it run.
    pub(super) fn start(command: Command, _: bool) -> io::Result<SpawnedChild> {
        let mut wrapped = CommandWrap::from(command);
        wrapped.wrap(KillOnDrop).wrap(JobObject);
        let mut child = wrapped.spawn()?;
        let (stdin, stdout, stderr) =
            expect_pipes(child.stdin().take(), child.stdout().take(), child.stderr().take());
        Ok(SpawnedChild { process: Self { child: Mutex::new(child) }, stdin, stdout, stderr })
    }

    /// The process id, while it runs.
    pub(in crate::server) fn id(&self) -> Option<u32> {
        self.child.lock().ok()?.id()
    }

    /// Waits for its end and describes it. Dropping the future loses nothing.
    pub(in crate::server) async fn wait_for_exit(&mut self) -> String {
        let Ok(child) = self.child.get_mut() else { return "ended".to_owned() };
        match child.wait().await {
            Ok(status) => match status.code() {
                Some(code) => format!("exited with status {code}"),
                None => "ended".to_owned(),
            },
            Err(error) => format!("ended, for an unknown reason: {error}"),
        }
    }

    /// Ends the whole job. Windows has no gentler request that every console program gets.
    pub(in crate::server) fn terminate(&self) {
        if let Ok(mut child) = self.child.lock() {
            // It may end just now.
            let _ = child.start_kill();
        }
    }

    /// Ends the whole job.
    pub(in crate::server) fn kill(&mut self) {
        self.terminate();
    }
}
