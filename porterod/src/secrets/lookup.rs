//! Looks up one reference: a file's first line, what a program prints, an entry of the system's keyring.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portero::files::{self, FileError, READ_TIMEOUT, SymlinkMode};
use portero::secret::Secret;
use zeroize::Zeroizing;

use super::kept::MAX_CREDENTIAL_BYTES;
use super::seal::KeyId;
use crate::keyring::{Keyring, KeyringError, KeyringItem};
use crate::programs::{ProgramContext, ProgramError, ProgramOutput, ProgramRun};

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
    /// The system's keyring can't be asked.
    #[error("{0}; {hint}", hint = .0.hint())]
    Keyring(#[from] KeyringError),
    /// The keyring has no such item, or an empty one.
    #[error(
        "the system's keyring has no such item for its secret, or the keyring with it is locked; see how its \
         `${{keyring:…}}` is written in mcps.json"
    )]
    NoItem,
    /// The item is one of Portero's own.
    #[error("its `${{keyring:…}}` names a key of Portero's own, which no server gets")]
    OwnItem,
}

/// The surroundings in which files are found and programs run.
#[derive(Clone)]
pub struct LookupContext {
    /// Where relative paths start.
    pub config_directory: PathBuf,
    /// What programs get. Its `home` is also what `~/` stands for.
    pub programs: ProgramContext,
}

/// Reads the first line of a file, without white space around it.
pub(super) async fn read_file(context: &LookupContext, path: &str) -> Result<Secret, LookupError> {
    let shown = path.to_owned();
    let place = match path.strip_prefix("~/") {
        Some(rest) => context.programs.home.join(rest),
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
    let shown = program_name(words.first().map(String::as_str).unwrap_or_default());
    let unusable = |what| LookupError::Unusable { program: shown.clone(), what };
    // With room for a line end.
    let max_output_bytes = MAX_CREDENTIAL_BYTES + 2;
    let run = ProgramRun { words, input: None, timeout, max_output_bytes, reads_stderr: false };
    let ProgramOutput { status, stdout, .. } =
        run.output(&context.programs).await.map_err(|error| match error {
            ProgramError::NotRun(problem) => LookupError::NotRun { program: shown.clone(), problem },
            ProgramError::TimedOut => LookupError::TimedOut(shown.clone()),
            ProgramError::TooMuch => unusable("more than a secret can have"),
            ProgramError::Unreadable => unusable("what could not be read"),
        })?;
    if !status.success() {
        return Err(LookupError::ExecFailed { program: shown, how: status.to_string() });
    }
    let text = std::str::from_utf8(&stdout).map_err(|_| unusable("what is no text in UTF-8"))?;
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

/// Asks the system's keyring for an item.
pub(super) async fn read_keyring(
    keyring: &dyn Keyring,
    service: &str,
    account: &str,
) -> Result<Secret, LookupError> {
    let item = KeyringItem { service: service.to_owned(), account: account.to_owned() };
    // What an agent writes into the configuration must not reach it, even once a person has confirmed the edit.
    if KeyId::is_item_of_a_key(&item) {
        return Err(LookupError::OwnItem);
    }
    match keyring.get(&item).await? {
        Some(value) if value.expose().trim().is_empty() => Err(LookupError::NoItem),
        Some(value) => Ok(value),
        None => Err(LookupError::NoItem),
    }
}

/// The file name of a program, which may show where its path may not.
fn program_name(program: &str) -> String {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    name.unwrap_or("the command").to_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn context(home: &Path, environment: &[(&str, &str)]) -> LookupContext {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let programs = ProgramContext::new(home.to_owned(), &environment);
        LookupContext { config_directory: home.to_owned(), programs }
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
