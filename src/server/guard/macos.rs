//! macOS and other Unixes. They have no subreaper and no signal for the parent's death, so the guard polls its
//! parent's number and reads the process table.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, kill_process_group, test_kill_process,
    test_kill_process_group,
};

/// How often the guard checks whether its parent still lives.
const PARENT_INTERVAL: Duration = Duration::from_millis(50);
/// How often it checks for remaining descendants while it ends them. The kernel reports the end of its own
/// child only.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Ends the guard, through its own SIGTERM, once its parent is another process than before.
pub(super) fn tie_to_parent(parent: Option<i32>) -> io::Result<()> {
    let parent = parent.and_then(Pid::from_raw).or_else(getppid);
    if getppid() != parent {
        return Err(io::Error::other("the process that started it is gone"));
    }
    std::thread::Builder::new().name("parent".to_owned()).stack_size(64 << 10).spawn(move || {
        while getppid() == parent {
            std::thread::sleep(PARENT_INTERVAL);
        }
        // The loop that waits for signals does the rest. The signal can't fail, because it goes to this
        // process.
        let _ = kill_process(getpid(), Signal::TERM);
    })?;
    Ok(())
}

/// The command itself, since there is no second stage here.
pub(super) fn command(command: &OsStr, args: &[OsString]) -> Command {
    let mut bare = Command::new(command);
    bare.args(args);
    bare
}

/// The second stage, which only Linux uses.
pub(super) fn become_command(_guard: i32, command: &mut Command) -> io::Error {
    command.exec()
}

/// All descendants of the command that were ever seen.
pub(super) struct Descendants {
    main: Pid,
    main_lives: bool,
    seen: BTreeSet<i32>,
}

impl Descendants {
    pub(super) const fn of(main: Pid) -> Self {
        Self { main, main_lives: true, seen: BTreeSet::new() }
    }

    /// Records that the command was reaped. Its number may belong to another process now, but not its group's.
    pub(super) const fn main_ended(&mut self) {
        self.main_lives = false;
    }

    /// Signals the command's group and every descendant.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.look();
        // Either may be gone already.
        let _ = kill_process_group(self.main, signal);
        for pid in self.seen.iter().copied().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether no process that was seen, and none of the group, is left.
    pub(super) fn are_gone(&mut self) -> bool {
        self.seen.retain(|pid| Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid).is_ok()));
        !self.main_lives && self.seen.is_empty() && test_kill_process_group(self.main).is_err()
    }

    /// Reads the process table: descendants by parent, and members of the command's group.
    fn look(&mut self) {
        // No shell and no PATH: every such system has it in this one place.
        let table = Command::new("/bin/ps")
            .args(["-axo", "pid=,ppid=,pgid="])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let Ok(table) = table else { return };
        let table = String::from_utf8_lossy(&table.stdout);
        let rows: Vec<[Pid; 3]> = table.lines().filter_map(row).collect();
        let family: Vec<(Pid, Pid)> = rows.iter().map(|[pid, parent, _]| (*parent, *pid)).collect();
        let group = rows.iter().filter(|[_, _, group]| *group == self.main).map(|[pid, _, _]| *pid);
        let mut found: Vec<Pid> = super::supervise::descendants_of(self.main, &family);
        found.extend(group);
        // A descendant whose parent ended is below another process now. So each one seen earlier is a root of
        // its own.
        for seen in self.seen.iter().copied().filter_map(Pid::from_raw).collect::<Vec<_>>() {
            found.extend(super::supervise::descendants_of(seen, &family));
        }
        self.seen.extend(found.into_iter().filter(|pid| *pid != getpid()).map(Pid::as_raw_pid));
        if self.main_lives {
            self.seen.insert(self.main.as_raw_pid());
        } else {
            self.seen.remove(&self.main.as_raw_pid());
        }
    }
}

fn row(line: &str) -> Option<[Pid; 3]> {
    let mut columns = line.split_ascii_whitespace().map(|number| Pid::from_raw(number.parse().ok()?));
    Some([columns.next()??, columns.next()??, columns.next()??])
}
