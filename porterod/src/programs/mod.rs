//! Runs programs of the system for the daemon, such as those that print a secret.
//!
//! Each has a time limit and a limit of output, runs in a process group of its own, and gets an environment that the
//! daemon's starter doesn't choose: that may be an agent. What a program is to read goes to its stdin, since every
//! process can see the arguments of another.

mod program_tree;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use portero::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use self::program_tree::ProgramTree;

/// How much of a program's stderr is read.
const MAX_STDERR_BYTES: usize = 8 << 10;

/// The surroundings in which programs run.
#[derive(Clone)]
pub struct ProgramContext {
    /// Their directory.
    pub home: PathBuf,
    /// Their environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl ProgramContext {
    /// This directory, and the environment that programs get of this one.
    #[must_use]
    pub fn new(home: PathBuf, environment: &[(OsString, OsString)]) -> Self {
        let environment = program_environment(&home, environment);
        Self { home, environment }
    }

    /// A variable of the environment.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_os_str())
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

/// Why a program gave no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramError {
    /// It can't be run, for this reason.
    NotRun(String),
    /// It took too long, and was ended.
    TimedOut,
    /// It printed more than it may.
    TooMuch,
    /// Its output can't be read.
    Unreadable,
}

/// The end of a program.
pub struct ProgramOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it printed.
    pub stdout: Zeroizing<Vec<u8>>,
    /// Its stderr, if that was wanted; nothing if it was too long.
    pub stderr: Zeroizing<Vec<u8>>,
}

/// One run of a program, without a shell.
pub struct ProgramRun<'a> {
    /// The program, and its arguments. None of them may be a secret.
    pub words: &'a [String],
    /// What it reads; none for nothing.
    pub input: Option<&'a Secret>,
    /// How long it may take.
    pub timeout: Duration,
    /// How much it may print.
    pub max_output_bytes: usize,
    /// Whether its stderr is read. Otherwise it is dropped, and may stay open after its end.
    pub reads_stderr: bool,
}

impl ProgramRun<'_> {
    /// Runs it to its end, and ends it where it takes too long.
    ///
    /// # Errors
    /// See [`ProgramError`]. A program that fails by itself is no error.
    ///
    /// # Panics
    /// Without a word.
    pub async fn output(&self, context: &ProgramContext) -> Result<ProgramOutput, ProgramError> {
        let (program, args) = self.words.split_first().expect("a command has a program");
        let not_run = |error: io::Error| ProgramError::NotRun(error.to_string());
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(context.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&context.home);
        let pipe_if = |piped: bool| if piped { Stdio::piped() } else { Stdio::null() };
        command
            .stdin(pipe_if(self.input.is_some()))
            .stdout(Stdio::piped())
            .stderr(pipe_if(self.reads_stderr));
        let mut child = ProgramTree::spawn(command).map_err(not_run)?;
        let (stdin, stdout, stderr) = child.take_pipes();
        let running = async {
            let writing = async {
                if let (Some(mut stdin), Some(input)) = (stdin, self.input) {
                    // A program that doesn't read it says why by its end.
                    let _ = stdin.write_all(input.expose().as_bytes()).await;
                }
            };
            let (stdout, stderr, ()) = tokio::join!(
                read_bounded(stdout, self.max_output_bytes),
                read_bounded(stderr, MAX_STDERR_BYTES),
                writing,
            );
            (stdout, stderr, child.wait().await)
        };
        let ended = tokio::time::timeout(self.timeout, running).await;
        let (stdout, stderr, status) = ended.map_err(|_| ProgramError::TimedOut)?;
        Ok(ProgramOutput {
            stdout: stdout?,
            // It only explains.
            stderr: stderr.unwrap_or_default(),
            status: status.map_err(not_run)?,
        })
    }
}

/// Reads to the end, up to a limit.
async fn read_bounded(
    from: Option<impl AsyncRead + Unpin>,
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, ProgramError> {
    let mut output = Zeroizing::new(Vec::with_capacity(1024));
    let Some(from) = from else { return Ok(output) };
    match from.take(most as u64 + 1).read_to_end(&mut output).await {
        Ok(length) if length <= most => Ok(output),
        Ok(_) => Err(ProgramError::TooMuch),
        Err(_) => Err(ProgramError::Unreadable),
    }
}
