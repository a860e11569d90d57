//! The supervisor that a child server runs under: `guard -- COMMAND ARGS`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs as the supervisor; `args` are what follows the word `guard`.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    todo!()
}
