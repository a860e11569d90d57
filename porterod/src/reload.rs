//! Reads the configuration again when its files change.
//!
//! What becomes of it is decided by [`crate::configuration`]; one that cannot be read changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use portero::config::Files;
use tokio::sync::mpsc;

use crate::configuration;
use crate::daemon::Daemon;

/// Editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often to look where the system tells of changes: it does not tell of those behind symbolic links.
const LOOK_SELDOM: Duration = Duration::from_secs(30);
/// How often to look where it does not tell.
const LOOK_OFTEN: Duration = Duration::from_secs(2);

/// Follows the files until the daemon is to end. `known` is what is in force at the start.
pub async fn follow(daemon: Arc<Daemon>, mut known: Files) {
    let directory = daemon.paths.config.clone();
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = watch(&directory, changed);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "changes of the configuration are looked for every {LOOK_OFTEN:?}");
    }
    let look = if watcher.is_ok() { LOOK_SELDOM } else { LOOK_OFTEN };
    loop {
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                let _ = changes.try_recv();
            }
            () = tokio::time::sleep(look) => {}
        }
        match Files::load(&directory) {
            Ok(files) if files.digest() == known.digest() => {}
            Ok(files) => {
                configuration::refresh(&daemon, files.clone()).await;
                known = files;
            }
            Err(error) => {
                daemon.valid.store(false, Ordering::Relaxed);
                daemon
                    .problems
                    .store(Arc::new(vec![format!("could not read {}: {error}", directory.display())]));
            }
        }
    }
}

fn watch(directory: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
