//! A child server's process: how it is started and how it is ended, whatever it left behind.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::{Launch, environment};
use crate::config::Server;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::Process;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::Process;

/// A process that was started.
pub(super) struct Spawned {
    pub(super) process: Process,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts a server's program.
///
/// # Errors
/// In words, when it cannot: ``` `npx` is not on PATH ```.
pub(super) fn spawn(server: &Server, launch: &Launch) -> Result<Spawned, String> {
    let environment = environment::of_child(&launch.environment, server);
    let directory = server.cwd.as_deref().unwrap_or(&launch.directory);
    if !directory.is_dir() {
        return Err("its working directory does not exist".to_owned());
    }
    let program = find(&server.command, &environment, directory)?;
    let args: Vec<OsString> = server.args.iter().map(|arg| arg.expose().into()).collect();
    let mut command = Process::command(launch.guard.as_ref(), &program, &args);
    command.env_clear().envs(environment).current_dir(directory);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let started = Process::start(command, launch.guard.is_some());
    started.map_err(|error| format!("`{}` cannot be run: {error}", short(&server.command)))
}

/// Finds the program as a shell would, so that a missing one is named before anything is started.
fn find(command: &str, environment: &[(OsString, OsString)], directory: &Path) -> Result<OsString, String> {
    let is_path = Path::new(command).components().count() > 1 || Path::new(command).is_absolute();
    if is_path {
        let found = candidates(directory.join(command), environment).into_iter().find(|path| runs(path));
        return found
            .map(PathBuf::into_os_string)
            .ok_or_else(|| format!("there is no program `{}` at the path given", short(command)));
    }
    let path = environment::value(environment, "PATH").unwrap_or(OsStr::new(""));
    std::env::split_paths(path)
        .flat_map(|place| candidates(directory.join(place).join(command), environment))
        .find(|path| runs(path))
        .map(|path| as_called(command, path))
        .ok_or_else(|| format!("`{command}` is not on PATH"))
}

/// On Unix a program is called as it was written, since some look at the name they are called by. Windows
/// needs the file: a `.cmd` is not found by its bare name.
fn as_called(command: &str, path: PathBuf) -> OsString {
    if cfg!(windows) { path.into() } else { command.into() }
}

fn candidates(path: PathBuf, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
    if !cfg!(windows) || path.extension().is_some() {
        return vec![path];
    }
    let endings = environment::value(environment, "PATHEXT").and_then(OsStr::to_str);
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
fn runs(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn runs(path: &Path) -> bool {
    path.is_file()
}

/// The program's name without its directory, which may tell more than a message should.
fn short(command: &str) -> std::borrow::Cow<'_, str> {
    Path::new(command).file_name().unwrap_or(OsStr::new(command)).to_string_lossy()
}

/// The three pipes of a child that was started with all three.
fn pipes(
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> (ChildStdin, ChildStdout, ChildStderr) {
    const PIPED: &str = "the command asks for all three pipes";
    (stdin.expect(PIPED), stdout.expect(PIPED), stderr.expect(PIPED))
}

/// A command with its arguments, bare.
fn bare(program: &OsStr, args: &[OsString]) -> Command {
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
        let find = |command: &str| find(command, &environment, directory.path());
        assert_eq!(find("sh"), Ok("sh".into()));
        assert_eq!(find("/bin/sh"), Ok("/bin/sh".into()));
        assert_eq!(find("no-such-program"), Err("`no-such-program` is not on PATH".to_owned()));
        assert!(find("/secret/place/x").is_err_and(|reason| !reason.contains("secret")));
        // A file that cannot be executed is not the program.
        std::fs::write(directory.path().join("data"), "x").expect("write");
        assert!(find("./data").is_err());
    }
}
