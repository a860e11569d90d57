//! The supervisor that a child server runs under: `guard --parent=PID -- COMMAND ARGS…`.
//!
//! It is one of Portero's own programs, started again with the word `guard`, and it does one thing. When its
//! parent dies, when it is signalled (SIGTERM, SIGINT, SIGHUP), or when the command ends, it ends every
//! descendant of the command: first with SIGTERM, after [`KILL_GRACE`] with SIGKILL. The command inherits
//! stdin, stdout, stderr, the environment and the directory. Its exit status becomes the guard's.
//!
//! On Linux the guard is a child subreaper, so a descendant that calls `setsid` and loses its own parent still
//! belongs to it. The kernel signals the guard when its parent dies, whatever the cause. The command is
//! started in a second stage (`guard --exec=PID`), which asks the kernel for SIGKILL at the guard's death and
//! then becomes the command.
//!
//! Not covered:
//! - If the guard itself is killed with SIGKILL, its direct child ends too, but grandchildren only see their
//!   pipes close.
//! - A set-user-ID command loses the second stage's request.
//! - Outside Linux, a descendant that left both its process group and its parent before the guard looked isn't
//!   found.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod platform;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos.rs"]
mod platform;
#[cfg(unix)]
mod supervise;

/// The argument that makes one of Portero's programs a guard.
pub const SUBCOMMAND: &str = "guard";

/// The time between SIGTERM and SIGKILL for descendants.
pub const KILL_GRACE: Duration = Duration::from_millis(100);

/// A shell's exit code for a command that it can't find.
#[cfg(unix)]
const EXIT_NOT_FOUND: u8 = 127;
/// A shell's exit code for a command that it can't run.
#[cfg(unix)]
const EXIT_NOT_RUN: u8 = 126;
/// The exit code for wrong arguments.
const EXIT_USAGE: u8 = 2;

/// Runs as the supervisor. `args` follow the word `guard`.
///
/// Call it from `main` before anything else, because it needs a process with one thread.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match GuardOrder::parse(args) {
        Some(order) => run_order(order),
        None => fail_with("expected `guard -- COMMAND ARGS`", EXIT_USAGE),
    }
}

#[cfg(unix)]
fn run_order(order: GuardOrder) -> ExitCode {
    supervise::run_stage(order)
}

/// Windows has job objects and needs no guard.
#[cfg(not(unix))]
fn run_order(_: GuardOrder) -> ExitCode {
    fail_with("a guard is of no use on this system", EXIT_USAGE)
}

/// The arguments of a guard.
#[derive(Debug, PartialEq, Eq)]
struct GuardOrder {
    stage: GuardStage,
    command: OsString,
    args: Vec<OsString>,
}

/// The stage to run.
#[derive(Debug, PartialEq, Eq)]
enum GuardStage {
    /// Watch over the command. The number is the parent to live with, if one was given.
    Watch(Option<i32>),
    /// Become the command, as the child of the guard with this number.
    Become(i32),
}

impl GuardOrder {
    fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut stage = GuardStage::Watch(None);
        loop {
            let arg = args.next()?;
            if arg == "--" {
                break;
            }
            let (key, number) = arg.to_str()?.split_once('=')?;
            let number = number.parse().ok()?;
            stage = match key {
                "--parent" => GuardStage::Watch(Some(number)),
                "--exec" => GuardStage::Become(number),
                _ => return None,
            };
        }
        Some(Self { stage, command: args.next()?, args: args.collect() })
    }
}

/// The argument with the number of the process whose death ends the guard.
#[must_use]
pub fn parent_argument(process: u32) -> OsString {
    format!("--parent={process}").into()
}

/// Reports on stderr why the guard fails. [`Upstreams`](super::Upstreams) uses the last line of stderr as its
/// reason.
fn fail_with(what: &str, code: u8) -> ExitCode {
    // If stderr is closed, there is no other place to report to.
    let _ = writeln!(std::io::stderr(), "portero guard: {what}");
    ExitCode::from(code)
}

/// The command's name for a message, without its directory and arguments.
pub(super) fn program_name(command: &OsStr) -> std::borrow::Cow<'_, str> {
    std::path::Path::new(command).file_name().unwrap_or(command).to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Option<GuardOrder> {
        GuardOrder::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn everything_after_the_dashes_belongs_to_the_command() {
        assert_eq!(
            read(&["--parent=12", "--", "npx", "--parent=3", "--"]),
            Some(GuardOrder {
                stage: GuardStage::Watch(Some(12)),
                command: "npx".into(),
                args: vec!["--parent=3".into(), "--".into()],
            })
        );
        assert_eq!(read(&["--exec=7", "--", "x"]).map(|order| order.stage), Some(GuardStage::Become(7)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for args in [&[][..], &["--"], &["npx"], &["--parent=x", "--", "npx"], &["--other=1", "--", "npx"]] {
            assert_eq!(read(args), None, "{args:?}");
        }
    }
}
