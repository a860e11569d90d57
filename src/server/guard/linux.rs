//! Linux: a child subreaper that walks `/proc`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, waitid,
};

use crate::files;

/// How often the guard checks whether its descendants are gone, apart from each SIGCHLD. Never: as a subreaper
/// it is the parent of every orphan, so the kernel signals each end.
pub(super) const LOOK_INTERVAL: Duration = Duration::MAX;

/// This program, even if its file was replaced since it started.
const SELF_EXE: &str = "/proc/self/exe";

/// Ties the guard's life to its parent's, and makes it the subreaper of every orphan below it.
pub(super) fn tie_to_parent(parent: Option<i32>) -> io::Result<()> {
    // `killall portero` must not hit the guards at the same moment. It is only a name, so a refusal doesn't
    // matter.
    let _ = rustix::thread::set_name(c"guard");
    set_child_subreaper(Some(getpid()))?;
    set_parent_death_signal(parent, Signal::TERM)
}

/// The command for the second stage, which ties the command's life to the guard's.
pub(super) fn command(command: &OsStr, args: &[OsString]) -> Command {
    // Without `/proc` there is no second stage. The command then outlives a guard that is killed with SIGKILL.
    if !Path::new(SELF_EXE).exists() {
        let mut bare = Command::new(command);
        bare.args(args);
        return bare;
    }
    let mut second = Command::new(SELF_EXE);
    second.arg(super::SUBCOMMAND).arg(format!("--exec={}", getpid().as_raw_nonzero())).arg("--");
    second.arg(command).args(args);
    second
}

/// The second stage. Returns only on failure.
pub(super) fn become_command(guard: i32, command: &mut Command) -> io::Error {
    match set_parent_death_signal(Some(guard), Signal::KILL) {
        Ok(()) => command.exec(),
        Err(failed) => failed,
    }
}

/// Asks the kernel for a signal when the parent dies (prctl(2), `PR_SET_PDEATHSIG`). The parent may have died
/// before that call, so its number is compared afterwards.
fn set_parent_death_signal(parent: Option<i32>, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    match parent {
        Some(parent) if getppid().map(Pid::as_raw_pid) != Some(parent) => {
            Err(io::Error::other("the process that started it is gone"))
        }
        Some(_) | None => Ok(()),
    }
}

/// All descendants of the guard.
pub(super) struct Descendants {
    main: Option<Pid>,
    /// Whether the kernel lists the children of a thread (`CONFIG_PROC_CHILDREN`).
    listed: bool,
}

impl Descendants {
    pub(super) fn of(main: Pid) -> Self {
        Self { main: Some(main), listed: Path::new("/proc/thread-self/children").exists() }
    }

    /// Records that the command was reaped. Its number may belong to another process now.
    pub(super) const fn main_ended(&mut self) {
        self.main = None;
    }

    /// Signals every descendant, parents first.
    pub(super) fn signal(&self, signal: Signal) {
        let found = if self.listed { walk_children() } else { scan_processes() };
        if let (true, Some(main)) = (found.is_empty(), self.main) {
            // Without `/proc` only the process group can be reached at once. The rest becomes ours as its
            // parents die.
            let _ = kill_process_group(main, signal);
        }
        for pid in found {
            // It may have ended in the meantime.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether no process is left. As the subreaper, the guard is the parent of every orphan.
    pub(super) fn are_gone(&self) -> bool {
        // `NOWAIT` leaves the status in place: only `reap_children` may take it, because it must see the
        // command's.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::All, look), Err(rustix::io::Errno::CHILD))
    }
}

/// Walks the lists of children that the kernel keeps for each thread.
fn walk_children() -> Vec<Pid> {
    let mut found: Vec<Pid> = Vec::new();
    let mut next = 0;
    collect_children(getpid(), &mut found);
    // Breadth first: the list grows while it is walked, so parents come before their children.
    while let Some(pid) = found.get(next).copied() {
        collect_children(pid, &mut found);
        next += 1;
    }
    found
}

fn collect_children(of: Pid, found: &mut Vec<Pid>) {
    // A process that ended in the meantime has no directory and no children.
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero())) else { return };
    for thread in threads.flatten() {
        let Ok(children) = files::read_proc(thread.path().join("children")) else { continue };
        let pids = children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        for pid in pids {
            if !found.contains(&pid) {
                found.push(pid);
            }
        }
    }
}

/// Reads every process's parent, for kernels without these lists.
fn scan_processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let family: Vec<(Pid, Pid)> = entries
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = files::read_proc(entry.path().join("stat")).ok()?;
            Some((parse_parent(&stat)?, pid))
        })
        .collect();
    super::supervise::descendants_of(getpid(), &family)
}

/// The parent in a line of `/proc/PID/stat`. The name before it may hold anything, even parentheses, so the
/// last one counts (proc_pid_stat(5)).
fn parse_parent(stat: &str) -> Option<Pid> {
    let after_name = stat.rsplit_once(')')?.1;
    Pid::from_raw(after_name.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        let line = "4242 (a) S 7 (b) S 17 4242 4242 0 -1";
        assert_eq!(parse_parent(line).map(Pid::as_raw_pid), Some(17));
    }

    #[test]
    fn both_ways_to_look_find_a_child_and_its_child() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("sh starts");
        let pid = Pid::from_child(&child);
        let both = |found: Vec<Pid>| {
            let mut below = Vec::new();
            collect_children(pid, &mut below);
            below.len() == 1 && found.contains(&pid) && found.contains(&below[0])
        };
        let start = std::time::Instant::now();
        while !(both(walk_children()) && both(scan_processes())) {
            assert!(start.elapsed().as_secs() < 10, "the walk does not find the children");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut grandchild = Vec::new();
        collect_children(pid, &mut grandchild);
        for pid in grandchild {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = child.wait();
    }
}
