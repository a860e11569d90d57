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

/// How often the guard looks whether its descendants are gone, beside hearing of each end: not at all, since each of
/// them ends as its child (a subreaper's), of which the kernel tells it.
pub(super) const LOOK_INTERVAL: Duration = Duration::MAX;

/// This program, even when its file was replaced since it started.
const SELF_EXE: &str = "/proc/self/exe";

/// Ties the guard's life to its parent's and makes every orphan below it its own.
pub(super) fn tie_to_parent(parent: Option<i32>) -> io::Result<()> {
    // `killall portero` shall not hit the guards at the same time. The name is only that: ignore a refusal.
    let _ = rustix::thread::set_name(c"guard");
    set_child_subreaper(Some(getpid()))?;
    set_parent_death_signal(parent, Signal::TERM)
}

/// The command for the second stage, which ties the command's life to the guard's.
pub(super) fn command(command: &OsStr, args: &[OsString]) -> Command {
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

/// The second stage. Returns only if it fails.
pub(super) fn become_command(guard: i32, command: &mut Command) -> io::Error {
    match set_parent_death_signal(Some(guard), Signal::KILL) {
        Ok(()) => command.exec(),
        Err(failed) => failed,
    }
}

/// The kernel sends the signal when the parent dies (prctl(2), `PR_SET_PDEATHSIG`); a parent that died
/// before we asked is noticed by its number.
fn set_parent_death_signal(parent: Option<i32>, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    match parent {
        Some(parent) if getppid().map(Pid::as_raw_pid) != Some(parent) => {
            Err(io::Error::other("the process that started it is gone"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Everything below the guard.
pub(super) struct Descendants {
    main: Option<Pid>,
    /// Whether the kernel lists the children of a thread (`CONFIG_PROC_CHILDREN`).
    listed: bool,
}

impl Descendants {
    pub(super) fn of(main: Pid) -> Self {
        Self { main: Some(main), listed: Path::new("/proc/thread-self/children").exists() }
    }

    /// The command was collected; its number may belong to somebody else now.
    pub(super) const fn main_ended(&mut self) {
        self.main = None;
    }

    /// Sends the signal to every descendant, parents first.
    pub(super) fn signal(&self, signal: Signal) {
        let found = if self.listed { walk_children() } else { scan_processes() };
        if let (true, Some(main)) = (found.is_empty(), self.main) {
            // No `/proc` to look at: the group is all that can be reached at once. The rest becomes ours
            // as its parents die.
            let _ = kill_process_group(main, signal);
        }
        for pid in found {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether no process is left: as a subreaper, the guard is the parent of whatever has no other.
    pub(super) fn are_gone(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::All, look), Err(rustix::io::Errno::CHILD))
    }
}

/// Walks the lists of children that the kernel keeps for each thread.
fn walk_children() -> Vec<Pid> {
    let mut found: Vec<Pid> = Vec::new();
    let mut next = 0;
    collect_children(getpid(), &mut found);
    while let Some(pid) = found.get(next).copied() {
        collect_children(pid, &mut found);
        next += 1;
    }
    found
}

fn collect_children(of: Pid, found: &mut Vec<Pid>) {
    // A process that ended meanwhile has no directory any more, and no children either.
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

/// Reads every process's parent, where the kernel keeps no lists.
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

/// The parent in a line of `/proc/PID/stat`; the name before it may hold anything, parentheses too
/// (proc_pid_stat(5)).
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
