//! No orphans: however a parent ends, every descendant of a child ends too (guarantee R1).

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portero::config::ServerLimits;
use portero::server::guard;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::test_support::{
    Fixture, answer_text, block_on, fake_server, launch_options, myself, permitted_call, wait_for,
};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("closing_ends_every_descendant_in_time", closing),
        trial("a_parent_killed_with_9_leaves_nobody", killed_parent),
        trial("a_parent_told_to_end_leaves_nobody", || parent_dies_of(Signal::TERM)),
        trial("a_guard_tells_its_commands_status", guard_status),
        trial("a_guard_passes_stdio_through", guard_stdio),
        trial("a_guard_whose_parent_is_gone_starts_nothing", guard_too_late),
    ];
    #[cfg(target_os = "linux")]
    trials.push(trial("a_guard_waits_for_what_it_ends_without_looking", guard_sleeps));
    if cfg!(target_os = "linux") {
        // Elsewhere nothing ties a descendant in a session of its own to the guard once its parent is gone.
        trials.push(trial("a_child_that_ends_leaves_nobody", child_ends));
        trials.push(trial("a_guard_killed_with_9_takes_its_command_along", killed_guard));
    }
    trials
}

/// A descendant that leaves the session, ignores every polite signal and never reads.
pub(crate) fn run_stubborn(args: impl Iterator<Item = OsString>) -> ExitCode {
    rustix::process::setsid().expect("a child is no session leader");
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&heard)).expect("a handler");
    }
    write_pid(args, std::process::id());
    // Longer than any test; it is to be ended before.
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::FAILURE
}

/// Starts a stubborn process and ends, so that it is an orphan at once.
pub(crate) fn run_orphan_maker(args: impl Iterator<Item = OsString>) -> ExitCode {
    let file = args.last().expect("a file");
    spawn_quietly("stubborn", &file);
    ExitCode::SUCCESS
}

/// What a child's family has beside the child. Only Linux gives orphans back to the guard.
const FAMILY_ROLES: &[&str] =
    if cfg!(target_os = "linux") { &["stubborn", "orphan-maker"] } else { &["stubborn"] };

/// What a child does when it is asked for a family. Gives all pids.
pub(crate) fn spawn_family(_: &[String]) -> Vec<u32> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut family = vec![std::process::id()];
    for role in FAMILY_ROLES {
        let file = directory.path().join(role);
        spawn_quietly(role, file.as_os_str());
        wait_for("a descendant", || std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')));
        let pid = std::fs::read_to_string(&file).expect("a pid");
        family.push(pid.trim().parse().expect("a pid"));
    }
    family
}

/// A parent that starts a child with a family, tells their pids and waits for its own end.
pub(crate) fn run_parent(_: impl Iterator<Item = OsString>) -> ExitCode {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let launch = launch_options(directory.path().to_owned(), ServerLimits::default());
        let (fleet, _events) =
            portero::server::Upstreams::new(vec![fake_server("a", &["ignores-eof"])], launch);
        let family =
            fleet.call(permitted_call("a", "family", "{}"), portero::server::CallOptions::default()).await;
        writeln!(std::io::stdout(), "{}", answer_text(family)).expect("somebody listens");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

fn closing() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["ignores-eof"]), fake_server("b", &["ignores-eof"])]);
        let mut family = parse_pids(&rig.call_for_text("a", "family", "{}").await);
        family.extend(parse_pids(&rig.call_for_text("b", "family", "{}").await));
        assert!(family.iter().all(|pid| is_alive(*pid)) && family.len() == 2 + 2 * FAMILY_ROLES.len());
        let start = Instant::now();
        rig.upstreams.close().await;
        let took = start.elapsed();
        let left: Vec<&Pid> = family.iter().filter(|pid| is_alive(**pid)).collect();
        assert!(left.is_empty(), "{left:?} live on after {took:?}");
        assert!(took <= Duration::from_millis(300), "{took:?}");
    });
}

fn killed_parent() {
    parent_dies_of(Signal::KILL);
}

fn parent_dies_of(signal: Signal) {
    let (mut parent, family) = start_parent();
    kill_process(Pid::from_child(&parent), signal).expect("it lives");
    parent.wait().expect("it ends");
    wait_for("the family's end", || !family.iter().any(|pid| is_alive(*pid)));
}

fn killed_guard() {
    let (mut parent, family) = start_parent();
    let child = family[0];
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_pid())).expect("it lives");
    let guard = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
    let guard = Pid::from_raw(guard.expect("a parent").parse().expect("a pid")).expect("a pid");
    assert_ne!(guard, Pid::from_child(&parent));
    kill_process(guard, Signal::KILL).expect("it lives");
    wait_for("the child's end", || !is_alive(child));
    parent.kill().and_then(|()| parent.wait()).expect("it lives");
    for pid in &family[1..] {
        // Nobody is left to find these: the guard's documentation says so.
        let _ = kill_process(*pid, Signal::KILL);
    }
}

fn child_ends() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let family = parse_pids(&rig.call_for_text("a", "family", "{}").await);
        rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        wait_for("the family's end", || !family.iter().any(|pid| is_alive(*pid)));
        rig.upstreams.close().await;
    });
}

fn guard_status() {
    let status = |script: &str| {
        let mut guarded = guarded(&["sh", "-c", script]);
        guarded.status().expect("a guard starts").code()
    };
    assert_eq!(status("exit 0"), Some(0));
    assert_eq!(status("exit 7"), Some(7));
    assert_eq!(status("kill -9 $$"), Some(137));
    let missing = guarded(&["no-such-program-anywhere"]).output().expect("a guard starts");
    assert_eq!(missing.status.code(), Some(127));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("cannot run `no-such-program-anywhere`"), "{said}");
}

fn guard_stdio() {
    let mut command = guarded(&["cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a guard starts");
    child.stdin.take().expect("piped").write_all(b"through and through").expect("cat reads");
    let output = child.wait_with_output().expect("cat ends");
    assert_eq!(output.stdout, b"through and through");
}

/// The grace between the two signals is a hundred looks long for a guard that looks every millisecond.
#[cfg(target_os = "linux")]
fn guard_sleeps() {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    const MOST_SLEEPS: u32 = 25;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ignores");
    let script = "trap '' TERM; echo TERM > \"$0\"; sleep 600";
    let words = ["sh", "-c", script, file.to_str().expect("text")];
    let mut guard = guarded(&words).stdout(Stdio::null()).spawn().expect("a guard starts");
    wait_for("a command that ignores it", || {
        std::fs::read_to_string(&file).is_ok_and(|said| said.ends_with('\n'))
    });
    let sleeps = || -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", guard.id())).expect("it is listed");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.expect("the kernel counts").trim().parse().expect("a number")
    };
    let before = sleeps();
    let pid = Pid::from_child(&guard);
    kill_process(pid, Signal::TERM).expect("it lives");
    // Not collected yet, so that the kernel still lists it.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("it ends");
    let slept = sleeps() - before;
    guard.wait().expect("it ended");
    assert!(slept <= MOST_SLEEPS, "it slept {slept} times");
}

fn guard_too_late() {
    let mut command = Command::new(myself());
    // No process has this number here: the kernel's own limit is lower.
    let output = command.args([guard::SUBCOMMAND, "--parent=99999999", "--", "echo", "started"]).output();
    let output = output.expect("a guard starts");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}

fn guarded(command: &[&str]) -> Command {
    let mut guarded = Command::new(myself());
    guarded.arg(guard::SUBCOMMAND).arg(guard::parent_argument(std::process::id())).arg("--").args(command);
    guarded
}

/// A parent and the pids of its child's family.
fn start_parent() -> (Child, Vec<Pid>) {
    let mut parent =
        Command::new(myself()).arg("parent").stdout(Stdio::piped()).spawn().expect("a parent starts");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("it tells");
    let family = parse_pids(&line);
    assert!(family.len() == 1 + FAMILY_ROLES.len() && family.iter().all(|pid| is_alive(*pid)), "{line}");
    (parent, family)
}

fn parse_pids(json: &str) -> Vec<Pid> {
    let numbers: Vec<i32> = serde_json::from_str(json).expect("a list of numbers");
    numbers.into_iter().filter_map(Pid::from_raw).collect()
}

/// Whether a process runs; one that ended and was not collected does not.
fn is_alive(pid: Pid) -> bool {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
        return stat.is_ok_and(|stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
        });
    }
    test_kill_process(pid).is_ok()
}

fn spawn_quietly(role: &str, file: &std::ffi::OsStr) {
    // Collected by whoever inherits it.
    let child = Command::new(myself()).arg(role).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    drop(child.expect("a descendant starts"));
}

fn write_pid(args: impl Iterator<Item = OsString>, pid: u32) {
    let file = args.last().expect("a file");
    std::fs::write(file, format!("{pid}\n")).expect("it is told");
}
