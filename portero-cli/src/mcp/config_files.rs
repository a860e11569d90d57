//! The files that a session works by: the configuration, and the copy of what a person confirmed.
//!
//! A push of the daemon says when to read them again. Where none can come, [`ConfigPoller`] tells by their stamps.

use std::time::{Duration, Instant, SystemTime};

use portero::approved_config::{self, ApprovedConfig, ConfigChanges, EffectiveConfig};
use portero::config::{CONFIG_FILES, ConfigFiles, ConfigProblems};
use portero::files::{self, FileError};
use portero::paths::Paths;

/// How often the files are checked while they have a problem.
pub(super) const CONFIG_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause before an unreadable file is read again although it looks unchanged.
const MAX_REREAD_INTERVAL: Duration = Duration::from_secs(30);
/// The time limit of one attempt. Reading the configuration has a shorter one and a better error.
pub(super) const ATTEMPT_TIMEOUT: Duration = files::READ_TIMEOUT.saturating_add(Duration::from_secs(1));

/// Identifies the content of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigDigests {
    files: String,
    confirmed: String,
}

/// The files, and the approved configuration.
pub(super) struct ConfigInputs {
    files: ConfigFiles,
    confirmed: ApprovedConfig,
}

impl ConfigInputs {
    /// Loads both, the latter from the copy that the daemon wrote.
    ///
    /// # Errors
    /// A problem for each file that cannot be read.
    pub(super) fn load(paths: &Paths) -> Result<Self, ConfigProblems> {
        let files = ConfigFiles::load(&paths.config)?;
        Ok(Self { files, confirmed: approved_config::read_approved(paths) })
    }

    /// As [`ConfigInputs::load`], without blocking the runtime.
    ///
    /// # Errors
    /// If a drive doesn't answer in time.
    pub(super) async fn load_off_thread(paths: &Paths) -> Result<Result<Self, ConfigProblems>, FileError> {
        let there = paths.clone();
        // Reading a file has a shorter time limit of its own, so this one is rarely reached.
        files::read_off_thread(&paths.state, 2 * files::READ_TIMEOUT, move || Self::load(&there)).await
    }

    /// Compares the copy with the daemon's digest. If they differ, nothing counts as confirmed.
    pub(super) fn checked_against(self, by_the_daemon: &str) -> Self {
        if self.confirmed.digest() == by_the_daemon {
            return self;
        }
        let reason = "the copy of the confirmed configuration is not what the daemon goes by";
        Self { confirmed: ApprovedConfig::Unknown(reason.to_owned()), ..self }
    }

    /// The effective configuration.
    pub(super) fn in_force(&self) -> Result<EffectiveConfig, ConfigProblems> {
        approved_config::effective_config(&self.confirmed, &self.files, &|name| std::env::var(name).ok())
    }

    pub(super) fn digests(&self) -> ConfigDigests {
        ConfigDigests { files: self.files.digest(), confirmed: self.confirmed.digest() }
    }
}

/// Logs the changes that wait for a confirmation.
pub(super) fn log_unconfirmed(changes: &ConfigChanges) {
    if changes.has_pending() {
        let waiting = changes.widens.len();
        tracing::warn!(waiting, "changes of the configuration wait for `portero config confirm`");
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Condvar, Mutex};

    use portero::files::faults::{FileFault, inject_fault};
    use tokio::sync::Notify;

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

    /// A drive that hangs until it is let go, or for longer than a test may take.
    #[derive(Default)]
    struct Hangs {
        asked: Notify,
        gone: Mutex<bool>,
        let_go: Condvar,
    }

    impl FileFault for Hangs {
        fn before_open(&self, _: &Path) -> io::Result<()> {
            self.asked.notify_one();
            let gone = self.gone.lock().unwrap();
            drop(self.let_go.wait_timeout_while(gone, Duration::from_secs(20), |gone| !*gone).unwrap());
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_runtime_goes_on_while_what_was_confirmed_is_on_a_drive_that_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let paths = Paths { config: at("config"), state: at("state"), runtime: at("run") };
        let hangs = Arc::new(Hangs::default());
        let _fault = inject_fault(&paths.state, Arc::clone(&hangs) as _);
        let reading = ConfigInputs::load_off_thread(&paths);
        tokio::pin!(reading);
        tokio::select! {
            biased;
            _ = &mut reading => panic!("it held up the thread of the runtime"),
            () = hangs.asked.notified() => {}
        }
        *hangs.gone.lock().unwrap() = true;
        hangs.let_go.notify_all();
        assert!(reading.await.unwrap().is_ok());
    }
}
