//! A child server's process: how it is started and ended, with everything that it leaves behind.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::guard::program_name;
use super::{LaunchOptions, environment};
use crate::config::StdioServer;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::ChildProcess;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::ChildProcess;

/// A process that was started.
pub(super) struct SpawnedChild {
    pub(super) process: ChildProcess,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts a server's program.
///
/// # Errors
/// In words, if it can't be started: ``` `npx` is not on PATH ```.
pub(super) fn spawn_server(server: &StdioServer, launch: &LaunchOptions) -> Result<SpawnedChild, String> {
    let environment = environment::child_environment(&launch.environment, server);
    let directory = server.cwd.as_deref().unwrap_or(&launch.directory);
    if !directory.is_dir() {
        return Err("its working directory does not exist".to_owned());
    }
    let program = find_program(&server.command, &environment, directory)?;
    let args: Vec<OsString> = server.args.iter().map(|arg| arg.expose().into()).collect();
    let mut command = ChildProcess::command(launch.guard.as_ref(), &program, &args);
    command.env_clear().envs(environment).current_dir(directory);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let started = ChildProcess::start(command, launch.guard.is_some());
    started.map_err(|error| format!("`{}` cannot be run: {error}", program_name(OsStr::new(&server.command))))
}

/// Finds the program as a shell would, so that a missing one is named before anything starts.
fn find_program(
    command: &str,
    environment: &[(OsString, OsString)],
    directory: &Path,
) -> Result<OsString, String> {
    let is_path = Path::new(command).components().count() > 1 || Path::new(command).is_absolute();
    if is_path {
        let found = program_candidates(directory.join(command), environment)
            .into_iter()
            .find(|path| is_executable(path));
        return found.map(PathBuf::into_os_string).ok_or_else(|| {
            format!("there is no program `{}` at the path given", program_name(OsStr::new(command)))
        });
    }
    let path = environment::find_variable(environment, "PATH").unwrap_or(OsStr::new(""));
    std::env::split_paths(path)
        .flat_map(|place| program_candidates(directory.join(place).join(command), environment))
        .find(|path| is_executable(path))
        .map(|path| spell_program(command, path))
        .ok_or_else(|| format!("`{command}` is not on PATH"))
}

/// The program as the system needs it. Unix gets it as it was written, because some programs look at the name
/// they are called by. Windows gets the file, because a `.cmd` isn't found by its bare name.
fn spell_program(command: &str, path: PathBuf) -> OsString {
    if cfg!(windows) { path.into() } else { command.into() }
}

fn program_candidates(path: PathBuf, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
    if !cfg!(windows) || path.extension().is_some() {
        return vec![path];
    }
    let endings = environment::find_variable(environment, "PATHEXT").and_then(OsStr::to_str);
    endings
        .unwrap_or(".COM;.EXE;.BAT;.CMD")
        .split(';')
        .map(|ending| {
            let mut whole = path.clone().into_os_string();
            whole.push(ending);
            whole.into()
        })
        .collect()
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// The three pipes of a child that was started with all three.
fn expect_pipes(
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> (ChildStdin, ChildStdout, ChildStderr) {
    const PIPED: &str = "the command asks for all three pipes";
    (stdin.expect(PIPED), stdout.expect(PIPED), stderr.expect(PIPED))
}

/// A command with its arguments, bare.
fn bare_command(program: &OsStr, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_program_is_looked_for_where_the_child_would_look() {
        let directory = tempfile::tempdir().expect("a directory");
        let environment = vec![(OsString::from("PATH"), OsString::from("/usr/bin:/bin"))];
        let find = |command: &str| find_program(command, &environment, directory.path());
        assert_eq!(find("sh"), Ok("sh".into()));
        assert_eq!(find("/bin/sh"), Ok("/bin/sh".into()));
        assert_eq!(find("no-such-program"), Err("`no-such-program` is not on PATH".to_owned()));
        assert!(find("/secret/place/x").is_err_and(|reason| !reason.contains("secret")));
        // A file that cannot be executed is not the program.
        std::fs::write(directory.path().join("data"), "x").expect("write");
        assert!(find("./data").is_err());
    }
}
