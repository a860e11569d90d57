//! What the daemon pushes into a running session: other rules, another configuration, settled tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portero::anonymize::Anonymizer;
use portero::config::{Config, Files, Problems};
use portero::confirmed::{self, Changes, Confirmed, InForce};
use portero::files::{self, FileError};
use portero::ipc::{NotificationSink, Push};
use portero::paths::Paths;
use portero::pipeline::{BoxFuture, Pipeline};
use portero::policy::Policy;
use portero::server::{Fleet, List};
use portero::session::Handle;

use super::begin::{ATTEMPT_TIMEOUT, LOOK_INTERVAL, Look};
use super::desk::CallLimits;
use super::link::{Link, Pushed};
use super::{own_servers, shared_servers};

/// A session that is under way.
pub(super) struct Running {
    pub(super) paths: Paths,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) link: Arc<Link>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) handle: Handle,
    /// Which configuration is in force.
    pub(super) seen: Mutex<Seen>,
}

/// Tells what was read from anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    files: String,
    confirmed: String,
}

/// The files, and what a person confirmed.
pub(super) struct Read {
    files: Files,
    confirmed: Confirmed,
}

impl Read {
    /// As both are now, by the copy that the daemon left.
    ///
    /// # Errors
    /// A problem for each file that cannot be read.
    pub(super) fn now(paths: &Paths) -> Result<Self, Problems> {
        let files = Files::load(&paths.config)?;
        Ok(Self { files, confirmed: confirmed::read(paths) })
    }

    /// The same, while the runtime goes on.
    ///
    /// # Errors
    /// Where a drive does not answer in time.
    async fn off_thread(paths: &Paths) -> Result<Result<Self, Problems>, FileError> {
        let there = paths.clone();
        // The files give up by themselves before.
        files::off_thread(&paths.state, 2 * files::READ_TIMEOUT, move || Self::now(&there)).await
    }

    /// What the daemon goes by counts: where the copy is not that, nothing counts as confirmed.
    fn checked(self, by_the_daemon: &str) -> Self {
        if self.confirmed.digest() == by_the_daemon {
            return self;
        }
        let reason = "the copy of the confirmed configuration is not what the daemon goes by";
        Self { confirmed: Confirmed::Unknown(reason.to_owned()), ..self }
    }

    /// What holds.
    pub(super) fn in_force(&self) -> Result<InForce, Problems> {
        confirmed::in_force(&self.confirmed, &self.files, &|name| std::env::var(name).ok())
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { files: self.files.digest(), confirmed: self.confirmed.digest() }
    }
}

/// Notes in the session's log what is not in force.
pub(super) fn log_waiting(changes: &Changes) {
    if changes.waits() {
        let waiting = changes.widens.len();
        tracing::warn!(waiting, "changes of the configuration wait for `portero config confirm`");
    }
}

impl Pushed for Running {
    /// As far as the files may hold; an invalid configuration changes nothing.
    fn reload<'a>(&'a self, confirmed: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match Read::off_thread(&self.paths).await {
                Ok(read) => {
                    self.reload_as(read.map(|read| read.checked(confirmed)));
                    true
                }
                Err(error) => {
                    tracing::warn!(%error, "the configuration cannot be read now; the former one holds");
                    false
                }
            }
        })
    }

    fn connected(&self) {
        self.handle.daemon_connected();
    }

    fn standing_changed(&self) {
        self.handle.standing_changed();
    }

    fn notifications(&self) -> NotificationSink {
        let handle = self.handle.clone();
        Arc::new(move |server, method, params| match list(method) {
            Some(list) => handle.list_changed(&server, list),
            None => handle.notification(&server, method, params),
        })
    }

    fn push(&self, push: Push) {
        match push {
            Push::Settled { task, state } => self.handle.settled(task, state),
            // The link adopts standings and has the configuration reloaded itself, and the client gives progress to the call that it is of and
            // notifications to their sink. A session is shown no number.
            Push::Standing(_)
            | Push::Config { .. }
            | Push::Notification { .. }
            | Push::Progress { .. }
            | Push::Number { .. } => {}
        }
    }
}

impl Running {
    fn reload_as(&self, read: Result<Read, Problems>) {
        let read = match read {
            Ok(read) => read,
            Err(problems) => {
                tracing::warn!(%problems, "the configuration cannot be read; the former one holds");
                return;
            }
        };
        let seen = read.seen();
        if seen == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        match read.in_force() {
            Ok(InForce { config, anonymizer, changes, problems: _ }) => {
                log_waiting(&changes);
                self.adopt(config, anonymizer);
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            }
            Err(problems) => tracing::warn!(
                problems = problems.0.len(),
                "the configuration is not valid; the former one holds"
            ),
        }
    }

    /// Where no server is configured, nothing runs that a change of the files could disturb, and the daemon may not be
    /// there to tell of one: the files are looked at until there is a server.
    pub(super) async fn fill_when_empty(&self, mut look: Look) {
        while self.pipeline.catalog.servers().is_empty() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.link.connected().is_some() {
                continue;
            }
            let (paths, mut looking) = (self.paths.clone(), look.clone());
            let looked = files::off_thread(&self.paths.state, ATTEMPT_TIMEOUT, move || {
                // As at the beginning, by the copy that the daemon left.
                let read = looking.read(&paths, Instant::now());
                (looking, read)
            });
            // Where the folder hangs, it is not asked again before it answers.
            let Ok((looked, read)) = looked.await else { continue };
            look = looked;
            if let Some(read) = read {
                self.reload_as(read);
            }
        }
    }

    fn adopt(&self, config: Config, anonymizer: Anonymizer) {
        let was_empty = self.pipeline.catalog.servers().is_empty();
        // First what hides and what refuses, then what can be reached.
        self.pipeline.anonymizer.store(Arc::new(anonymizer));
        self.pipeline.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.standing().clone()));
        self.pipeline.shared.store(Arc::new(shared_servers(&config)));
        self.limits.replace(&config);
        self.fleet.replace(own_servers(&config));
        self.pipeline.catalog.replace(&config.servers);
        self.pipeline.audit.continue_after(config.settings.audit.segment_bytes);
        tracing::info!(digest = config.digest, "another configuration is in force");
        config.log_skipped();
        self.handle.config_changed(config.skipped);
        if was_empty && !config.servers.is_empty() {
            self.handle.introduce_anew();
        }
    }
}

/// The list that a notification of a shared server says has changed.
fn list(method: &str) -> Option<List> {
    match method {
        "notifications/tools/list_changed" => Some(List::Tools),
        "notifications/resources/list_changed" => Some(List::Resources),
        "notifications/prompts/list_changed" => Some(List::Prompts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Condvar;
    use std::time::Duration;

    use portero::files::faults::{Fault, inject};
    use tokio::sync::Notify;

    use super::*;

    /// A drive that hangs until it is let go, or for longer than a test may take.
    #[derive(Default)]
    struct Hangs {
        asked: Notify,
        gone: Mutex<bool>,
        let_go: Condvar,
    }

    impl Fault for Hangs {
        fn before_open(&self, _: &Path) -> std::io::Result<()> {
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
        let _fault = inject(&paths.state, Arc::clone(&hangs) as _);
        let reading = Read::off_thread(&paths);
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
