//! Looks up one reference: a file's first line, what a program prints, an entry of the system's keyring.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portero::files::{self, FileError, READ_TIMEOUT, SymlinkMode};
use portero::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::kept::MAX_CREDENTIAL_BYTES;
use super::program_tree::ProgramTree;

/// How long a program may take.
const EXEC_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a reference gave no value. Only a file's path or a program's name shows, never its output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The file can't be read.
    #[error("the file `{path}` with its secret can't be read: {problem}")]
    File {
        /// The path.
        path: String,
        /// The reason.
        problem: String,
    },
    /// Other users may read or change the file.
    #[error("the file `{0}` with its secret may be read or changed by other users; run `chmod 600` on it")]
    OpenToOthers(String),
    /// The file's first line is empty.
    #[error("the first line of the file `{0}`, which should be its secret, is empty")]
    EmptyFile(String),
    /// The program can't be run.
    #[error("`{program}`, which should print its secret, can't be run: {problem}")]
    NotRun {
        /// Its name.
        program: String,
        /// The reason.
        problem: String,
    },
    /// The program failed.
    #[error(
        "`{program}`, which should print its secret, failed ({how}); run the command yourself to see why"
    )]
    ExecFailed {
        /// Its name.
        program: String,
        /// Its end.
        how: String,
    },
    /// The program took too long.
    #[error("`{0}`, which should print its secret, took longer than 10 s")]
    TimedOut(String),
    /// The program printed nothing, too much, or no text.
    #[error("`{program}`, which should print its secret, printed {what}")]
    Unusable {
        /// Its name.
        program: String,
        /// What was wrong.
        what: &'static str,
    },
    /// This system has no keyring that can be asked.
    #[error("the system's keyring can't be asked here: {0}")]
    NoKeyring(&'static str),
}

/// The surroundings in which files are found and programs run.
#[derive(Clone)]
pub struct LookupContext {
    /// Where relative paths start.
    pub config_directory: PathBuf,
    /// What `~/` stands for, and the directory of programs.
    pub home: PathBuf,
    /// The environment of programs.
    pub environment: Vec<(OsString, OsString)>,
}

impl LookupContext {
    /// These directories, and the environment that programs get of this one.
    #[must_use]
    pub fn new(config_directory: PathBuf, home: PathBuf, environment: &[(OsString, OsString)]) -> Self {
        let environment = program_environment(&home, environment);
        Self { config_directory, home, environment }
    }
}

/// Where programs are found. The system's directories come first, because another one may be the user's to write.
#[cfg(unix)]
const PROGRAM_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/run/current-system/sw/bin:/snap/bin:\
                            /opt/homebrew/bin:/home/linuxbrew/.linuxbrew/bin:/opt/local/bin";

/// What a program may need of the daemon's environment. None of it chooses another program.
#[cfg(unix)]
const PASSED_VARIABLES: &[&str] = &["USER", "LOGNAME", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY"];

/// The environment of programs. The process that starts the daemon may be an agent's, so it chooses neither where programs
/// are found nor what they load, nor whose keyring they ask.
#[cfg(unix)]
fn program_environment(home: &Path, environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let mut fixed: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), PROGRAM_PATH.into()),
        ("HOME".into(), home.into()),
        ("LANG".into(), "C.UTF-8".into()),
    ];
    let is_passed = |name: &OsStr| PASSED_VARIABLES.iter().any(|passed| name == *passed);
    fixed.extend(environment.iter().filter(|(name, _)| is_passed(name)).cloned());
    let runtime = PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw()));
    if runtime.is_dir() {
        let bus = runtime.join("bus");
        if bus.exists() {
            let mut address = OsString::from("unix:path=");
            address.push(&bus);
            fixed.push(("DBUS_SESSION_BUS_ADDRESS".into(), address));
        }
        fixed.push(("XDG_RUNTIME_DIR".into(), runtime.into()));
    }
    fixed
}

/// On Windows that of the daemon, without Portero's own settings: where programs are installed differs too much.
#[cfg(not(unix))]
fn program_environment(_: &Path, environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let is_own = |name: &OsStr| name.to_string_lossy().to_ascii_uppercase().starts_with("PORTERO_");
    environment.iter().filter(|(name, _)| !is_own(name)).cloned().collect()
}

/// Reads the first line of a file, without white space around it.
pub(super) async fn read_file(context: &LookupContext, path: &str) -> Result<Secret, LookupError> {
    let shown = path.to_owned();
    let place = match path.strip_prefix("~/") {
        Some(rest) => context.home.join(rest),
        None => context.config_directory.join(path),
    };
    let there = place.clone();
    let read = files::read_off_thread(&place, READ_TIMEOUT, move || read_private_text(&there));
    let failed = |error: FileError| LookupError::File { path: shown.clone(), problem: error.to_string() };
    let text = read.await.map_err(failed)?.map_err(failed)?;
    let text = Zeroizing::new(text.ok_or_else(|| LookupError::OpenToOthers(shown.clone()))?);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(LookupError::EmptyFile(shown)) } else { Ok(Secret::new(line)) }
}

/// The text of a file; none if it isn't this user's alone. Looked at and read as it was opened, so that no other file comes
/// in between. Of a link, its target counts.
fn read_private_text(path: &Path) -> Result<Option<String>, FileError> {
    let opened = files::open(path, SymlinkMode::Follow)?;
    let metadata = opened.metadata().map_err(|error| FileError::from_io(path, error))?;
    if is_open_to_others(&metadata) {
        return Ok(None);
    }
    opened.read_text(MAX_CREDENTIAL_BYTES as u64).map(Some)
}

/// Whether group or others may do anything with a file. Who may write it chooses the secret.
#[cfg(unix)]
fn is_open_to_others(file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.mode() & 0o077 != 0
}

/// On Windows the files below a user's profile are closed to others.
#[cfg(not(unix))]
const fn is_open_to_others(_: &Metadata) -> bool {
    false
}

/// Runs a program without a shell, and returns what it printed, without one line end. Its stderr is dropped.
pub(super) async fn run_program(
    context: &LookupContext,
    words: &[String],
    timeout: Duration,
) -> Result<Secret, LookupError> {
    let (program, args) = words.split_first().expect("a parsed command has a program");
    let shown = program_name(program);
    let not_run = |problem: String| LookupError::NotRun { program: shown.clone(), problem };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(context.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&context.home);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = ProgramTree::spawn(command).map_err(|error| not_run(error.to_string()))?;
    let stdout = child.take_stdout().ok_or_else(|| not_run("it has no output".to_owned()))?;
    let running = async {
        let output = read_bounded(stdout).await;
        (output, child.wait().await)
    };
    let (output, ended) =
        tokio::time::timeout(timeout, running).await.map_err(|_| LookupError::TimedOut(shown.clone()))?;
    let unusable = |what| LookupError::Unusable { program: shown.clone(), what };
    let output = output.map_err(unusable)?;
    let ended = ended.map_err(|error| not_run(error.to_string()))?;
    if !ended.success() {
        return Err(LookupError::ExecFailed { program: shown, how: ended.to_string() });
    }
    let text = std::str::from_utf8(&output).map_err(|_| unusable("what is no text in UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.trim().is_empty() {
        return Err(unusable("nothing"));
    }
    if text.contains('\0') {
        return Err(unusable("a NUL character"));
    }
    Ok(Secret::new(text))
}

/// [`run_program`] with the time that a command of the configuration has.
pub(super) async fn run_command(context: &LookupContext, words: &[String]) -> Result<Secret, LookupError> {
    run_program(context, words, EXEC_TIMEOUT).await
}

/// Reads to the end, up to the limit of a credential.
async fn read_bounded(from: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let most = MAX_CREDENTIAL_BYTES + 2;
    let mut output = Zeroizing::new(Vec::with_capacity(1024));
    let read = from.take(most as u64).read_to_end(&mut output).await;
    match read {
        Ok(length) if length < most => Ok(output),
        Ok(_) => Err("more than a secret can have"),
        Err(_) => Err("what could not be read"),
    }
}

/// Asks the system's keyring, by the program that the system has for it.
pub(super) async fn read_keyring(
    context: &LookupContext,
    service: &str,
    account: &str,
) -> Result<Secret, LookupError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let command = if cfg!(target_os = "macos") {
        words(&["/usr/bin/security", "find-generic-password", "-w", "-s", service, "-a", account])
    } else if cfg!(unix) {
        // The attributes of libsecret's `secret-tool store service … username …`, which other tools use too.
        words(&["secret-tool", "lookup", "service", service, "username", account])
    } else {
        return Err(LookupError::NoKeyring("this system isn't supported yet; use `${exec:…}`"));
    };
    run_program(context, &command, EXEC_TIMEOUT).await
}

/// The file name of a program, which may show where its path may not.
fn program_name(program: &str) -> String {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    name.unwrap_or("the command").to_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn context(home: &Path, environment: &[(&str, &str)]) -> LookupContext {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        LookupContext::new(home.to_owned(), home.to_owned(), &environment)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn whoever_starts_the_daemon_chooses_neither_the_program_nor_what_it_loads() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let other = home.path().join("cat");
        std::fs::write(&other, "#!/bin/sh\necho of an agent\n").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(home.path().join("key"), "the right one\n").unwrap();
        let context = context(
            home.path(),
            &[
                ("PATH", home.path().to_str().unwrap()),
                ("LD_PRELOAD", "/x.so"),
                ("BASH_ENV", "/x.sh"),
                ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x"),
                ("USER", "maria"),
                ("PORTERO_LOG", "trace"),
            ],
        );
        let read = run_command(&context, &words(&["cat", "key"])).await;
        assert_eq!(read, Ok(Secret::new("the right one")));
        let shown = run_command(&context, &words(&["env"])).await.unwrap();
        let names: Vec<&str> =
            shown.expose().lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        let known = ["PATH", "HOME", "LANG", "USER", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];
        assert!(names.iter().all(|name| known.contains(name)) && names.contains(&"USER"), "{names:?}");
        assert!(!shown.expose().contains("unix:path=/x\n"));
    }

    /// Waits until the process is gone, or only its parent's to reap.
    #[cfg(target_os = "linux")]
    async fn wait_for_end(pid: &str) {
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
        };
        let waiting = async {
            while is_alive() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is ended");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn at_its_time_limit_a_program_ends_with_all_that_it_started() {
        let home = tempfile::tempdir().unwrap();
        let context = context(home.path(), &[]);
        // The shell ends at once, and what it started keeps its output open.
        for script in ["sleep 600 & echo $! >pid; wait", "sleep 600 & echo $! >pid"] {
            let ended = run_program(&context, &words(&["sh", "-c", script]), Duration::from_secs(2)).await;
            assert_eq!(ended, Err(LookupError::TimedOut("sh".to_owned())));
            let pid = std::fs::read_to_string(home.path().join("pid")).unwrap();
            wait_for_end(pid.trim()).await;
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_program_leaves_running_apart_from_its_output_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let script = "sleep 600 >/dev/null 2>&1 & echo $! >pid; echo value";
        let read = run_command(&context(home.path(), &[]), &words(&["sh", "-c", script])).await;
        assert_eq!(read, Ok(Secret::new("value")));
        let pid: i32 = std::fs::read_to_string(home.path().join("pid")).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        assert_eq!(
            rustix::process::kill_process(pid, rustix::process::Signal::KILL),
            Ok(()),
            "it still runs"
        );
    }
}
