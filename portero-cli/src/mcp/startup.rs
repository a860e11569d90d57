//! The prerequisites of a session: a valid configuration and a writable audit.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use portero::approved_config::EffectiveConfig;
use portero::audit::AuditWriter;
use portero::clock::{Clock as _, SystemClock};
use portero::config::{CONFIG_FILES, ConfigProblems, Severity};
use portero::files::{self, FileError};
use portero::paths::Paths;
use portero::printable::escape_controls;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::AUDIT_PROGRAM;
use super::running_session::ConfigInputs;

/// How often the files are checked while they have a problem.
pub(super) const CONFIG_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause before an unreadable file is read again although it looks unchanged.
const MAX_REREAD_INTERVAL: Duration = Duration::from_secs(30);
/// The time limit of one attempt. Reading the configuration has a shorter one and a better error.
pub(super) const ATTEMPT_TIMEOUT: Duration = files::READ_TIMEOUT.saturating_add(Duration::from_secs(1));
/// How long the client's handshake waits for the first attempt. That usually takes milliseconds, but with a
/// hanging folder the client must not wait.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(500);
/// How many problems the agent gets; `portero check` prints all.
const MAX_TOLD_PROBLEMS: usize = 3;

/// Everything that a session needs to begin.
pub(super) struct SessionSetup {
    pub(super) inputs: ConfigInputs,
    pub(super) in_force: EffectiveConfig,
    pub(super) audit: AuditWriter,
    pub(super) poller: ConfigPoller,
}

/// The attempts to begin a session.
pub(super) struct SessionStarter {
    paths: Paths,
    earlier: EarlierAttempts,
    /// An attempt whose caller stopped waiting. It is continued, because a new one would read the files once
    /// more.
    under_way: Option<JoinHandle<Attempted>>,
}

/// The earlier attempts with the result of this one.
type Attempted = Result<(EarlierAttempts, Result<SessionSetup, String>), FileError>;

/// The results of earlier attempts.
#[derive(Default)]
struct EarlierAttempts {
    poller: ConfigPoller,
    /// None before the first read.
    inputs: Option<Result<(ConfigInputs, EffectiveConfig), String>>,
}

/// Decides when the files are read again. Unchanged files aren't read, because a password manager may serve
/// one and ask its person each time.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigPoller {
    stamp: Option<ConfigStamp>,
    /// The next read of unchanged files, with the pause before it. None if the stamp shows every change.
    next_read: Option<(Instant, Duration)>,
}

impl ConfigPoller {
    /// Reads the files if that is due. It may block, so it must run outside of the runtime's threads.
    pub(super) fn read_if_due(
        &mut self,
        paths: &Paths,
        now: Instant,
    ) -> Option<Result<ConfigInputs, ConfigProblems>> {
        let stamp = ConfigStamp::current(paths);
        let is_as_before = self.stamp.as_ref() == Some(&stamp);
        if is_as_before && self.next_read.is_none_or(|(at, _)| now < at) {
            return None;
        }
        let former = self.next_read.filter(|_| is_as_before);
        let pause = former
            .map_or(CONFIG_POLL_INTERVAL, |(_, pause)| pause.saturating_mul(2).min(MAX_REREAD_INTERVAL));
        let read = ConfigInputs::load(paths);
        // A drive that returns, or a password manager that is unlocked, doesn't change the file's stamp. So
        // failed reads and pipes are retried with a growing pause.
        self.next_read = (read.is_err() || stamp.has_pipe()).then(|| (now + pause, pause));
        self.stamp = Some(stamp);
        Some(read)
    }
}

/// The state of the files as far as it is visible without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConfigStamp(Vec<Option<ConfigFileStamp>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ConfigFileStamp {
    /// A pipe, whose times change with each read.
    Pipe,
    Other {
        modified: Option<SystemTime>,
        length: u64,
        identity: (u64, i64, i64),
    },
}

impl ConfigStamp {
    /// The stamp of the configuration's files and of the directory with the approved configuration.
    fn current(paths: &Paths) -> Self {
        let files = CONFIG_FILES.iter().map(|name| paths.config.join(name)).chain([paths.state.clone()]);
        Self(files.map(|path| Some(ConfigFileStamp::from_metadata(&std::fs::metadata(path).ok()?))).collect())
    }

    fn has_pipe(&self) -> bool {
        self.0.contains(&Some(ConfigFileStamp::Pipe))
    }
}

impl ConfigFileStamp {
    fn from_metadata(metadata: &std::fs::Metadata) -> Self {
        if is_pipe(metadata) {
            return Self::Pipe;
        }
        Self::Other {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            identity: file_identity(metadata),
        }
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

/// Other systems have no such pipes.
#[cfg(not(unix))]
const fn is_pipe(_: &std::fs::Metadata) -> bool {
    false
}

/// The file's inode, and the time of the last change of its content or permissions.
#[cfg(unix)]
fn file_identity(metadata: &std::fs::Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// Other systems don't have this.
#[cfg(not(unix))]
const fn file_identity(_: &std::fs::Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

impl SessionStarter {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { paths: paths.clone(), earlier: EarlierAttempts::default(), under_way: None }
    }

    /// As [`SessionStarter::try_start`], for the client's handshake. A slow attempt continues in the
    /// background, and [`SessionStarter::wait_until_ready`] gets its result.
    ///
    /// # Errors
    /// The problem, or that it isn't known yet.
    pub(super) async fn first_attempt(&mut self) -> Result<SessionSetup, String> {
        match tokio::time::timeout(HANDSHAKE_GRACE, self.try_start()).await {
            Ok(attempted) => attempted,
            Err(_) => Err(self.still_reads()),
        }
    }

    /// Everything that a session needs. The runtime isn't blocked, even if a folder hangs. If the future is
    /// dropped, the attempt continues and the next call waits for it.
    ///
    /// # Errors
    /// The problem in words for the agent; another attempt may have another result.
    pub(super) async fn try_start(&mut self) -> Result<SessionSetup, String> {
        let (paths, known) = (&self.paths, &mut self.earlier);
        let under_way =
            self.under_way.get_or_insert_with(|| begin_attempt(paths.clone(), std::mem::take(known)));
        let attempted = under_way.await;
        self.under_way = None;
        let error = match attempted {
            Ok(Ok((known, ready))) => {
                self.earlier = known;
                return ready;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(refusal_text(&format!(
            "Portero's folders `{}` and `{}` cannot be read, so no server is offered and nothing runs: {}",
            self.paths.config.display(),
            self.paths.state.display(),
            escape_controls(&error),
        )))
    }

    /// Repeats attempts until one succeeds. Until then `why` has the present problem.
    pub(super) async fn wait_until_ready(&mut self, why: &watch::Sender<String>) -> SessionSetup {
        loop {
            if self.under_way.is_none() {
                tokio::time::sleep(CONFIG_POLL_INTERVAL).await;
            }
            match self.try_start().await {
                Ok(ready) => return ready,
                Err(still) => drop(why.send_replace(still)),
            }
        }
    }

    fn still_reads(&self) -> String {
        format!(
            "Portero still reads its configuration in `{}`, so no server is offered and nothing runs yet. Call again in a \
             moment: this session goes on by itself once it is read. If it stays like this, tell the person that the \
             folder does not answer; `portero check` in a terminal tells more. Do not look for another way to do it.",
            self.paths.config.display()
        )
    }
}

fn begin_attempt(paths: Paths, mut known: EarlierAttempts) -> JoinHandle<Attempted> {
    tokio::spawn(async move {
        let state = paths.state.clone();
        let attempt = move || {
            let ready = known.try_start(&paths, Instant::now());
            (known, ready)
        };
        // The limit covers both directories: reading the configuration's folder has a shorter one within it.
        files::read_off_thread(&state, ATTEMPT_TIMEOUT, attempt).await
    })
}

impl EarlierAttempts {
    fn try_start(&mut self, paths: &Paths, now: Instant) -> Result<SessionSetup, String> {
        if let Some(read) = self.poller.read_if_due(paths, now) {
            let valid = read.and_then(|read| read.in_force().map(|in_force| (read, in_force)));
            self.inputs = Some(valid.map_err(|problems| describe_problems(&problems)));
        }
        if let Some(Err(why)) = &self.inputs {
            return Err(why.clone());
        }
        let audit = open_audit_segment(paths)?;
        let Some(read) = self.inputs.take() else { return Err(String::new()) };
        let (read, in_force) = read?;
        Ok(SessionSetup { inputs: read, in_force, audit, poller: std::mem::take(&mut self.poller) })
    }
}

fn open_audit_segment(paths: &Paths) -> Result<AuditWriter, String> {
    let cannot = |what: &Path, error: std::io::Error| {
        refusal_text(&format!(
            "Portero can record nothing, so nothing runs: `{}` cannot be written ({error}). The disk may be full or \
             read-only",
            what.display()
        ))
    };
    paths.create_directories().map_err(|error| cannot(&paths.state, error))?;
    let audit = paths.audit();
    AuditWriter::open(&audit, AUDIT_PROGRAM, SystemClock.now()).map_err(|error| cannot(&audit, error))
}

/// The first problems with their places. A problem's message never contains a value.
fn describe_problems(problems: &ConfigProblems) -> String {
    let errors = || problems.0.iter().filter(|problem| problem.severity == Severity::Error);
    let place = |line: u32| if line == 0 { String::new() } else { format!(":{line}") };
    let told: Vec<String> = errors()
        .take(MAX_TOLD_PROBLEMS)
        .map(|problem| {
            format!("{}{}: {}", problem.file, place(problem.line), escape_controls(&problem.message))
        })
        .collect();
    let more = match errors().count().saturating_sub(MAX_TOLD_PROBLEMS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    refusal_text(&format!(
        "Portero's configuration is not valid, so no server is offered and nothing runs: {}{more}",
        told.join("; ")
    ))
}

fn refusal_text(what: &str) -> String {
    format!(
        "{what}. Ask the person to fix that; `portero check` in a terminal lists the problems. This session then \
         continues by itself. Do not look for another way to do it."
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};

    use portero::files::faults::{FileFault, inject_fault};

    use super::*;

    fn sample_paths(directory: &Path) -> Paths {
        let paths = Paths {
            config: directory.join("config"),
            state: directory.join("state"),
            runtime: directory.join("run"),
        };
        fs::create_dir(&paths.config).unwrap();
        fs::create_dir(&paths.state).unwrap();
        fs::write(paths.config.join("mcps.json"), r#"{"mcps": []}"#).unwrap();
        paths
    }

    /// A drive that fails.
    struct FailingDrive;

    impl FileFault for FailingDrive {
        fn before_open(&self, _: &Path) -> io::Result<()> {
            Err(io::Error::other("input/output error"))
        }
    }

    #[test]
    fn files_that_could_not_be_read_are_read_again_though_they_look_as_before() {
        let directory = tempfile::tempdir().unwrap();
        let paths = sample_paths(directory.path());
        let (mut look, mut now) = (ConfigPoller::default(), Instant::now());
        let fault = inject_fault(&paths.config, Arc::new(FailingDrive));
        assert!(look.read_if_due(&paths, now).is_some_and(|read| read.is_err()));
        for pause in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            assert!(look.read_if_due(&paths, now + pause - Duration::from_millis(1)).is_none(), "{pause:?}");
            now += pause;
            assert!(look.read_if_due(&paths, now).is_some_and(|read| read.is_err()), "{pause:?}");
        }
        drop(fault);
        now += MAX_REREAD_INTERVAL;
        assert!(look.read_if_due(&paths, now).is_some_and(|read| read.is_ok()));
        assert!(look.read_if_due(&paths, now + MAX_REREAD_INTERVAL).is_none(), "what was read is left alone");
    }

    #[cfg(unix)]
    #[test]
    fn another_file_with_the_same_time_and_length_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let paths = sample_paths(directory.path());
        let (mut look, now) = (ConfigPoller::default(), Instant::now());
        let (file, other) = (paths.config.join("mcps.json"), directory.path().join("other"));
        assert!(look.read_if_due(&paths, now).is_some());
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::copy(&file, &other).unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(look.read_if_due(&paths, now).is_some());
    }

    /// A drive that hangs until the test lets it go.
    #[derive(Default)]
    struct HangingDrive(Mutex<bool>, Condvar);

    impl FileFault for HangingDrive {
        fn before_open(&self, _: &Path) -> io::Result<()> {
            drop(self.1.wait_while(self.0.lock().unwrap(), |gone| !*gone).unwrap());
            Ok(())
        }
    }

    impl HangingDrive {
        fn let_go(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }
    }

    #[tokio::test]
    async fn the_runtime_goes_on_while_a_folder_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let paths = sample_paths(directory.path());
        let hangs = Arc::new(HangingDrive::default());
        let _fault = inject_fault(&paths.config, Arc::clone(&hangs) as _);
        let mut beginning = SessionStarter::new(&paths);
        {
            let mut attempt = std::pin::pin!(beginning.try_start());
            tokio::select! {
                biased;
                _ = &mut attempt => panic!("it hangs"),
                () = tokio::task::yield_now() => {}
            }
            hangs.let_go();
            assert!(attempt.await.is_ok());
        }
    }

    /// Counts how often the files are read, and hangs meanwhile.
    #[derive(Default)]
    struct Counted(HangingDrive, AtomicUsize);

    impl FileFault for Counted {
        fn before_open(&self, path: &Path) -> io::Result<()> {
            if path.ends_with("mcps.json") {
                self.1.fetch_add(1, Ordering::SeqCst);
            }
            self.0.before_open(path)
        }
    }

    #[tokio::test]
    async fn a_handshake_waits_for_no_folder_that_hangs_and_its_files_are_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let paths = sample_paths(directory.path());
        let hangs = Arc::new(Counted::default());
        let _fault = inject_fault(&paths.config, Arc::clone(&hangs) as _);
        let mut beginning = SessionStarter::new(&paths);
        let begin = Instant::now();
        let why = beginning.first_attempt().await.err().expect("it hangs");
        assert!(begin.elapsed() < files::READ_TIMEOUT, "{:?}", begin.elapsed());
        assert!(why.contains("still reads") && why.contains(&paths.config.display().to_string()), "{why}");
        let (tell, told) = watch::channel(why.clone());
        let mut ready = std::pin::pin!(beginning.wait_until_ready(&tell));
        tokio::select! {
            biased;
            _ = &mut ready => panic!("it hangs"),
            () = tokio::task::yield_now() => {}
        }
        hangs.0.let_go();
        let _ = ready.await;
        assert_eq!(*told.borrow(), why, "the first attempt went on");
        assert_eq!(hangs.1.load(Ordering::SeqCst), 1);
    }
}
