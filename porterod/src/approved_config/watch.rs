//! Reads the configuration again when its files change.
//!
//! Unreadable files change nothing: `status` shows the problem, and they are soon read again. The files and
//! their directory may be links, so their targets are watched too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use portero::config::{CONFIG_FILES, ConfigFiles};
use portero::files::{self, FileError, WatchTarget};
use portero::sync::lock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::LiveConfig;

/// The wait after an event, because editors write a file in several steps.
const WRITE_SETTLE_GRACE: Duration = Duration::from_millis(100);
/// The time between two checks while the system reports changes; it reports none above the directory's own
/// name.
const WATCHED_INTERVAL: Duration = Duration::from_secs(30);
/// The time between two checks while the system reports none.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(2);
/// The time until unreadable files are read again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl LiveConfig {
    /// Follows the files until `stop`. The files of `known` are applied already.
    pub async fn follow_files(self: Arc<Self>, known: ConfigFiles, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(follow_config_files(&self, known))).await;
    }
}

async fn follow_config_files(config: &LiveConfig, mut known: ConfigFiles) {
    let directory = config.directory();
    let (changed, mut changes) = mpsc::channel(1);
    let watch = FileWatch::new(directory, changed);
    let mut unread = false;
    loop {
        // The watch comes first, so no change falls between it and the reading.
        let watched = watch.renew().await;
        match ConfigFiles::load_off_thread(directory).await {
            Ok(files) if files.digest() != known.digest() => {
                unread = false;
                config.apply_files(files.clone()).await;
                known = files;
            }
            Ok(files) if unread || files.directory_problems != known.directory_problems => {
                unread = false;
                config.note_unchanged(&files).await;
                known = files;
            }
            Ok(_) => {}
            Err(problems) => {
                if !unread {
                    tracing::warn!(%problems, "the configuration cannot be read; the last valid one stays");
                }
                unread = true;
                config.note_unreadable(&problems);
            }
        }
        let interval = match (unread, watched) {
            (true, _) => RETRY_INTERVAL,
            (false, true) => WATCHED_INTERVAL,
            (false, false) => UNWATCHED_INTERVAL,
        };
        tokio::select! {
            Some(()) = changes.recv() => {
                tokio::time::sleep(WRITE_SETTLE_GRACE).await;
                let _ = changes.try_recv();
            }
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// The system's watch over the files and the links on the way to them.
struct FileWatch {
    directory: PathBuf,
    inner: Arc<Mutex<FileWatchState>>,
}

struct FileWatchState {
    /// `None` if the system reports no changes.
    watcher: Option<RecommendedWatcher>,
    places: Arc<Mutex<BTreeSet<WatchTarget>>>,
    directories: BTreeSet<PathBuf>,
}

impl FileWatch {
    fn new(directory: &Path, changed: mpsc::Sender<()>) -> Self {
        let places = Arc::new(Mutex::new(BTreeSet::new()));
        let known = Arc::clone(&places);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let places = lock(&known);
            if event.is_ok_and(|event| is_relevant(&event, &places)) {
                let _ = changed.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "changes of the configuration are looked for every {UNWATCHED_INTERVAL:?}");
        });
        let inner = FileWatchState { watcher: watcher.ok(), places, directories: BTreeSet::new() };
        Self { directory: directory.to_owned(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Watches the present targets of the links; returns whether the system reports changes of all of them.
    async fn renew(&self) -> bool {
        let (inner, directory) = (Arc::clone(&self.inner), self.directory.clone());
        // Both the links and the watches may be on a drive that hangs.
        let renewed = files::read_off_thread(&self.directory, files::READ_TIMEOUT, move || {
            lock(&inner).renew(&directory)
        });
        renewed.await.unwrap_or_else(|error: FileError| {
            tracing::debug!(%error, "the configuration cannot be watched");
            false
        })
    }
}

impl FileWatchState {
    fn renew(&mut self, directory: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let places = files::watch_targets(directory, &CONFIG_FILES);
        let directories: BTreeSet<_> = places.iter().map(|place| place.directory.clone()).collect();
        *lock(&self.places) = places;
        // All are watched again, because another directory may have taken the place and the name of one.
        for old in &self.directories {
            let _ = watcher.unwatch(old);
        }
        let watched = directories
            .iter()
            .filter(|directory| watcher.watch(directory, RecursiveMode::NonRecursive).is_ok());
        let all = watched.count() == directories.len();
        self.directories = directories;
        all
    }
}

/// Whether an event changes a file that is read, or the way to it.
fn is_relevant(event: &notify::Event, places: &BTreeSet<WatchTarget>) -> bool {
    // Reading the files causes events too.
    if event.kind.is_access() {
        return false;
    }
    event.paths.is_empty()
        || event.paths.iter().any(|path| {
            let is_place = match (path.parent(), path.file_name()) {
                (Some(directory), Some(name)) => {
                    places.contains(&WatchTarget { directory: directory.to_owned(), name: name.into() })
                }
                (None, _) | (_, None) => false,
            };
            let is_directory = || places.iter().any(|place| place.directory == *path);
            (is_place && !is_served(event.kind, path)) || is_directory()
        })
}

/// Whether a program served a named pipe: that happens at every reading, so it is no change.
#[cfg(unix)]
fn is_served(kind: EventKind, path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;

    use notify::event::ModifyKind;

    let written =
        matches!(kind, EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_) | ModifyKind::Any));
    written && std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Other systems have no named pipes among files.
#[cfg(not(unix))]
fn is_served(_: EventKind, _: &Path) -> bool {
    false
}
