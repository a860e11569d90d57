//! Reads the configuration again when its files change.
//!
//! A valid one is swapped in; one with errors is told by `status`, and the last valid one stays in force.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use portero::anonymize::Anonymizer;
use portero::audit::Event;
use portero::config::{self, Config, Files};
use portero::ipc::Push;
use portero::policy::Policy;
use tokio::sync::mpsc;

use crate::daemon::{Daemon, Environment};

/// Editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often to look where the system tells of changes: it does not tell of those behind symbolic links.
const LOOK_SELDOM: Duration = Duration::from_secs(30);
/// How often to look where it does not tell.
const LOOK_OFTEN: Duration = Duration::from_secs(2);

/// A configuration that can be put in force.
pub struct Valid {
    /// What the files say.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// What is worth knowing nevertheless.
    pub warnings: Vec<String>,
}

/// Checks what the files say.
///
/// # Errors
/// Every problem, one each.
pub fn check(files: &Files, environment: &Environment) -> Result<Valid, Vec<String>> {
    let lookup = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    let (config, problems) = config::read(files, &lookup);
    let problems: Vec<String> = problems.0.iter().map(told).collect();
    let Some(config) = config else { return Err(problems) };
    match Anonymizer::new(&config.replacements) {
        Ok(anonymizer) => Ok(Valid { config, anonymizer, warnings: problems }),
        Err(conflicts) => {
            Err(conflicts.iter().map(|conflict| format!("replacements.json: {conflict}")).collect())
        }
    }
}

fn told(problem: &config::Problem) -> String {
    let config::Problem { file, line, column, message, hint, .. } = problem;
    let place = if *line == 0 { (*file).to_owned() } else { format!("{file}:{line}:{column}") };
    match hint {
        Some(hint) => format!("{place}: {message} ({hint})"),
        None => format!("{place}: {message}"),
    }
}

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
                reload(&daemon, &files);
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

fn reload(daemon: &Daemon, files: &Files) {
    match check(files, &daemon.environment) {
        Ok(valid) => adopt(daemon, valid),
        Err(problems) => {
            tracing::warn!(
                problems = problems.len(),
                "the configuration has errors; the last valid one stays"
            );
            daemon.valid.store(false, Ordering::Relaxed);
            daemon.problems.store(Arc::new(problems));
            daemon.record(Event::Config { digest: daemon.config.load().digest.clone(), valid: false });
        }
    }
}

/// Puts a configuration in force, here and, when they have read it, in the sessions.
fn adopt(daemon: &Daemon, Valid { config, anonymizer, warnings }: Valid) {
    let digest = config.digest.clone();
    config.log_skipped();
    daemon.anonymizer.store(Arc::new(anonymizer));
    daemon.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.standing().clone()));
    daemon.audit.continue_after(config.settings.audit.segment_bytes);
    daemon.approvals.store(Arc::new(config.settings.approvals.clone()));
    daemon.config.store(Arc::new(config));
    daemon.valid.store(true, Ordering::Relaxed);
    daemon.problems.store(Arc::new(warnings));
    daemon.servers.reload();
    daemon.reloaded.send_replace(());
    daemon.record(Event::Config { digest, valid: true });
    daemon.sessions.tell_all(&Push::Config);
    tracing::info!("the configuration was read anew");
}
