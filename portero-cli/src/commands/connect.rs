//! `portero connect`: becomes `porterod connect`, which has the HTTP stack that this program leaves out.

use std::process::Command;

use crate::args::ConnectArgs;
use crate::daemon;
use crate::failure::{CommandFailure, CommandResult};

/// Runs `porterod connect` in place of this process, so that signals and the standard streams are its own. It
/// returns only if that fails.
pub(crate) fn run(args: ConnectArgs) -> CommandResult {
    let program = daemon::find_program().ok_or_else(|| {
        CommandFailure::refused("`porterod` is neither beside `portero` nor on PATH")
            .with_hint("install both programs of one release in the same directory")
    })?;
    let ConnectArgs { url, token_file, header_file, ca_file } = args;
    let mut command = Command::new(program);
    command.arg("connect");
    for (option, file) in
        [("--token-file", token_file), ("--header-file", header_file), ("--ca-file", ca_file)]
    {
        if let Some(file) = file {
            command.arg(option).arg(file);
        }
    }
    // After this nothing is an option, whatever the address looks like.
    command.arg("--").arg(url);
    replace_process(&mut command)
}

#[cfg(unix)]
fn replace_process(command: &mut Command) -> CommandResult {
    use std::os::unix::process::CommandExt as _;
    Err(CommandFailure::refused("could not start `porterod`").caused_by(&command.exec()))
}

/// Windows replaces no process, so this one waits for the other's end and passes on its exit code.
#[cfg(not(unix))]
fn replace_process(command: &mut Command) -> CommandResult {
    let failed = |error| CommandFailure::refused("could not start `porterod`").caused_by(&error);
    let status = command.status().map_err(failed)?;
    std::process::exit(status.code().unwrap_or(1))
}
