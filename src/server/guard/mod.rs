//! The supervisor that a child server runs under: `guard --parent=PID -- COMMAND ARGS…`.
//!
//! It is one of Portero's own programs, started a second time with the word `guard`, and it does one thing:
//! when its parent dies, when it is told to (SIGTERM, SIGINT, SIGHUP), or when the command ends, every
//! descendant of the command ends too: first SIGTERM, after [`KILL_GRACE`] SIGKILL. The command inherits stdin,
//! stdout, stderr, the environment and the directory; its exit status becomes the guard's.
//!
//! On Linux the guard is a child subreaper, so a descendant that calls `setsid` and loses its own parent
//! still belongs to it, and the kernel tells it of its parent's death, whatever the parent died of. The
//! command itself is started in a second stage (`guard --exec=PID`), which asks the kernel for SIGKILL at the
//! guard's death and then becomes the command.
//!
//! What is *not* covered: when the guard itself is killed with SIGKILL, its direct child ends with it, but
//! grandchildren only see their pipes close; a set-user-ID command loses the second stage's request; and
//! outside Linux a descendant that left both its process group and its parent, before the guard looked, is
//! not found.

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

/// The word that makes one of Portero's programs a guard.
pub const SUBCOMMAND: &str = "guard";

/// How long descendants have between SIGTERM and SIGKILL.
pub const KILL_GRACE: Duration = Duration::from_millis(100);

/// What a shell says of a command that it cannot find, and the guard with it.
#[cfg(unix)]
const EXIT_NOT_FOUND: u8 = 127;
/// What a shell says of a command that it cannot run, and the guard with it.
#[cfg(unix)]
const EXIT_NOT_RUN: u8 = 126;
/// What the guard says when it was called wrongly.
const EXIT_USAGE: u8 = 2;

/// Runs as the supervisor; `args` are what follows the word `guard`.
///
/// Call it from `main` before anything else: it wants a process with one thread.
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

/// Windows has job objects; nothing there runs under a guard.
#[cfg(not(unix))]
fn run_order(_: GuardOrder) -> ExitCode {
    fail_with("a guard is of no use on this system", EXIT_USAGE)
}

/// What the guard was told to do.
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has guards"))]
#[derive(Debug, PartialEq, Eq)]
struct GuardOrder {
    stage: GuardStage,
    command: OsString,
    args: Vec<OsString>,
}

/// Which part of the work.
#[derive(Debug, PartialEq, Eq)]
enum GuardStage {
    /// Watch over the command. The number is the parent to live with, when it said so.
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

/// The argument that tells a guard whose death is its own.
#[must_use]
pub fn parent_argument(process: u32) -> OsString {
    format!("--parent={process}").into()
}

/// Says on stderr why it does not work. The Fleet keeps the last line of stderr for its own message.
fn fail_with(what: &str, code: u8) -> ExitCode {
    // There is nowhere to report that stderr is closed.
    let _ = writeln!(std::io::stderr(), "portero guard: {what}");
    ExitCode::from(code)
}

/// The command's name for a message, without its directory and its arguments.
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
