//! The prerequisites of a session: a valid configuration and a writable audit.

use std::path::Path;
use std::time::{Duration, Instant};

use portero::approved_config::EffectiveConfig;
use portero::audit::AuditWriter;
use portero::clock::{Clock as _, SystemClock};
use portero::config::{ConfigProblems, Severity};
use portero::files::{self, FileError};
use portero::paths::Paths;
use portero::printable::escape_controls;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::AUDIT_PROGRAM;
use super::config_files::{ATTEMPT_TIMEOUT, CONFIG_POLL_INTERVAL, ConfigInputs, ConfigPoller};

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
        Box::pin(files::read_off_thread(&state, ATTEMPT_TIMEOUT, attempt)).await
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
