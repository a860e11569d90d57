//! The guard's work, in order: get ready, start the command, wait, end all descendants.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::pipe;

use super::platform::{self, Descendants};
use super::{EXIT_NOT_FOUND, EXIT_NOT_RUN, GuardOrder, GuardStage, KILL_GRACE, fail_with, program_name};

/// How long the guard keeps killing a process that doesn't die, such as one that waits for a dead disk.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs one stage of the guard.
pub(super) fn run_stage(order: GuardOrder) -> ExitCode {
    let GuardOrder { stage, command, args } = order;
    let failed = match stage {
        GuardStage::Become(guard) => platform::become_command(guard, Command::new(&command).args(args)),
        GuardStage::Watch(parent) => match supervise_command(parent, platform::command(&command, &args)) {
            Ok(code) => return code,
            Err(failed) => failed,
        },
    };
    let code = if failed.kind() == io::ErrorKind::NotFound { EXIT_NOT_FOUND } else { EXIT_NOT_RUN };
    fail_with(&format!("cannot run `{}`: {failed}", program_name(&command)), code)
}

fn supervise_command(parent: Option<i32>, mut command: Command) -> io::Result<ExitCode> {
    // Before any of these signals can arrive. A signal between here and the wait is kept.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])?;
    let ends = Ends::new()?;
    // Before the spawn: if the parent is already gone, the command never starts.
    platform::tie_to_parent(parent)?;
    // A group of its own, which can be signalled as a whole where descendants can't be listed.
    let child = command.process_group(0).spawn()?;
    let mut tree = ProcessTree::new(Pid::from_child(&child), ends);
    // Now only the command holds the pipes, so they close when it closes them. Stderr stays open for messages.
    redirect_stdio_to_null()?;
    // The command's end is no reason to stop: its descendants may live on, and end here either way.
    let code = match tree.wait_for_end(&mut signals) {
        WaitEnd::ByItself(status) => exit_code(status),
        WaitEnd::BySignal => ExitCode::from(signal_code(SIGTERM)),
    };
    tree.end_descendants();
    Ok(code)
}

/// Why the guard stopped waiting.
enum WaitEnd {
    ByItself(WaitStatus),
    BySignal,
}

/// The command and its descendants.
struct ProcessTree {
    main: Pid,
    descendants: Descendants,
    ends: Ends,
}

/// Becomes readable when a child of the guard ends.
struct Ends(UnixStream);

impl Ends {
    fn new() -> io::Result<Self> {
        // A pipe besides `Signals`: it can be waited for with a timeout, and an end between look and wait
        // stays readable.
        let (told, tell) = UnixStream::pair()?;
        told.set_nonblocking(true)?;
        pipe::register(SIGCHLD, tell)?;
        Ok(Self(told))
    }

    /// Waits until a child ends, for at most `most`. An end since the last wait counts.
    fn wait(&mut self, most: Duration) {
        let timeout = Timespec::try_from(most).ok();
        // A signal may interrupt the wait. The caller checks the time itself.
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref());
        // Emptied before the caller looks, so that an end after its look wakes the next wait.
        let mut bytes = [0; 64];
        while matches!(self.0.read(&mut bytes), Ok(1..)) {}
    }
}

impl ProcessTree {
    fn new(main: Pid, ends: Ends) -> Self {
        Self { main, descendants: Descendants::of(main), ends }
    }

    /// Waits until the command ends or a signal asks for its end.
    fn wait_for_end(&mut self, signals: &mut Signals) -> WaitEnd {
        // SIGCHLD may be merged and may come from orphans, so each one only starts another round of reaping.
        // The loop ends with the command or with any other signal.
        loop {
            for signal in signals.wait() {
                if signal != SIGCHLD {
                    return WaitEnd::BySignal;
                }
            }
            if let Reaped::Main(status) = self.reap_children() {
                return WaitEnd::ByItself(status);
            }
        }
    }

    /// Reaps every process that has ended, orphans included.
    fn reap_children(&mut self) -> Reaped {
        // The command's status is returned at once. Other ended children are reaped by the next call, which
        // is always made before the guard exits.
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => {
                    self.descendants.main_ended();
                    return Reaped::Main(status);
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Reaped::SomeRemain,
                Err(_) => return Reaped::NoneRemain,
            }
        }
    }

    /// Ends every descendant: SIGTERM first, SIGKILL after the grace period.
    fn end_descendants(&mut self) {
        self.descendants.signal(Signal::TERM);
        let start = Instant::now();
        while !self.are_gone() {
            let Some(left) = left_of(KILL_GRACE, start) else { return self.kill() };
            self.ends.wait(left);
        }
    }

    fn kill(&mut self) {
        let start = Instant::now();
        // Signals again after each end: a process that forks while it is killed has a child with a new parent,
        // which only the next round finds.
        while let Some(left) = left_of(KILL_TIMEOUT, start) {
            self.descendants.signal(Signal::KILL);
            if self.are_gone() {
                return;
            }
            self.ends.wait(left);
        }
    }

    fn are_gone(&mut self) -> bool {
        // Each round may find the command's status first and stop there, so it repeats until only the rest is
        // left.
        while let Reaped::Main(_) = self.reap_children() {}
        self.descendants.are_gone()
    }
}

/// How long to wait now, if time is left. Never longer than the platform's own interval for checking.
fn left_of(time: Duration, start: Instant) -> Option<Duration> {
    let left = time.saturating_sub(start.elapsed());
    (!left.is_zero()).then(|| left.min(platform::LOOK_INTERVAL))
}

/// The result of one round of reaping.
enum Reaped {
    Main(WaitStatus),
    SomeRemain,
    NoneRemain,
}

/// All processes below `root`, parents before their children, from pairs of parent and child.
pub(super) fn descendants_of(root: Pid, family: &[(Pid, Pid)]) -> Vec<Pid> {
    let mut found: Vec<Pid> = Vec::new();
    let mut next = 0;
    let mut parent = root;
    loop {
        for (_, child) in family.iter().filter(|(of, _)| *of == parent) {
            // A table that is read while processes come and go may contain a cycle. Each number is taken once,
            // so the walk ends.
            if *child != root && !found.contains(child) {
                found.push(*child);
            }
        }
        match found.get(next) {
            Some(pid) => parent = *pid,
            None => return found,
        }
        next += 1;
    }
}

fn redirect_stdio_to_null() -> io::Result<()> {
    let nothing = crate::files::open_device("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

/// The status as a shell reports it: a signal is its number plus 128.
fn exit_code(status: WaitStatus) -> ExitCode {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => u8::MAX,
    };
    ExitCode::from(code)
}

fn signal_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
