//! Handles the daemon's pushes into a running session: overrides, configuration, settled tasks.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use portero::anonymize::Anonymizer;
use portero::approved_config::{self, ApprovedConfig, ConfigChanges, EffectiveConfig};
use portero::config::{Config, ConfigFiles, ConfigProblems};
use portero::files::{self, FileError};
use portero::ipc::{NotificationSink, PushMessage};
use portero::paths::Paths;
use portero::pipeline::{BoxFuture, Pipeline};
use portero::policy::Policy;
use portero::server::{ListKind, Upstreams};
use portero::session::SessionHandle;
use portero::sync::lock;

use super::daemon_approvals::CallLimits;
use super::daemon_connection::{DaemonConnection, PushHandler};
use super::startup::{ATTEMPT_TIMEOUT, CONFIG_POLL_INTERVAL, ConfigPoller};
use super::{own_servers, shared_servers};

/// A running session.
pub(super) struct RunningSession {
    pub(super) paths: Paths,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) daemon_connection: Arc<DaemonConnection>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) handle: SessionHandle,
    /// The digests of the applied configuration.
    pub(super) config_digests: Mutex<ConfigDigests>,
}

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
    async fn off_thread(paths: &Paths) -> Result<Result<Self, ConfigProblems>, FileError> {
        let there = paths.clone();
        // Reading a file has a shorter time limit of its own, so this one is rarely reached.
        files::read_off_thread(&paths.state, 2 * files::READ_TIMEOUT, move || Self::load(&there)).await
    }

    /// Compares the copy with the daemon's digest. If they differ, nothing counts as confirmed.
    fn checked_against(self, by_the_daemon: &str) -> Self {
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

impl PushHandler for RunningSession {
    /// Applies the files as far as they are confirmed. An invalid configuration changes nothing.
    fn reload<'a>(&'a self, confirmed: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match ConfigInputs::off_thread(&self.paths).await {
                Ok(read) => {
                    self.apply_config(read.map(|read| read.checked_against(confirmed)));
                    true
                }
                Err(error) => {
                    tracing::warn!(%error, "the configuration cannot be read now; the former one holds");
                    false
                }
            }
        })
    }

    fn on_connected(&self) {
        self.handle.daemon_connected();
    }

    fn on_overrides_changed(&self) {
        self.handle.standing_changed();
    }

    fn notification_sink(&self) -> NotificationSink {
        let handle = self.handle.clone();
        Arc::new(move |server, method, params| match changed_list(method) {
            Some(list) => handle.list_changed(&server, list),
            None => handle.push_notification(&server, method, params),
        })
    }

    fn handle_push(&self, push: PushMessage) {
        match push {
            PushMessage::Settled { task, state } => self.handle.task_settled(task, state),
            // Overrides and configuration are handled by the connection, and notifications and progress by
            // the client's sinks. A session gets no number to show.
            PushMessage::Standing(_)
            | PushMessage::Config { .. }
            | PushMessage::Notification { .. }
            | PushMessage::Progress { .. }
            | PushMessage::Number { .. } => {}
        }
    }
}

impl RunningSession {
    fn apply_config(&self, read: Result<ConfigInputs, ConfigProblems>) {
        let read = match read {
            Ok(read) => read,
            Err(problems) => {
                tracing::warn!(%problems, "the configuration cannot be read; the former one holds");
                return;
            }
        };
        let seen = read.digests();
        if seen == *lock(&self.config_digests) {
            return;
        }
        match read.in_force() {
            Ok(EffectiveConfig { config, anonymizer, changes, problems: _ }) => {
                log_unconfirmed(&changes);
                self.adopt_config(config, anonymizer);
                *lock(&self.config_digests) = seen;
            }
            Err(problems) => tracing::warn!(
                problems = problems.0.len(),
                "the configuration is not valid; the former one holds"
            ),
        }
    }

    /// Polls the files until there is a server. Without any server the daemon may not be running, so no push
    /// announces a change; and nothing runs that a change could disturb.
    pub(super) async fn poll_while_empty(&self, mut look: ConfigPoller) {
        while self.pipeline.catalog.servers().is_empty() {
            tokio::time::sleep(CONFIG_POLL_INTERVAL).await;
            if self.daemon_connection.current_client().is_some() {
                continue;
            }
            let (paths, mut looking) = (self.paths.clone(), look.clone());
            let looked = files::read_off_thread(&self.paths.state, ATTEMPT_TIMEOUT, move || {
                // As at the start, the daemon's copy says what is confirmed.
                let read = looking.read_if_due(&paths, Instant::now());
                (looking, read)
            });
            // While the folder hangs, it isn't asked again.
            let Ok((looked, read)) = looked.await else { continue };
            look = looked;
            if let Some(read) = read {
                self.apply_config(read);
            }
        }
    }

    fn adopt_config(&self, config: Config, anonymizer: Anonymizer) {
        let was_empty = self.pipeline.catalog.servers().is_empty();
        // Concealing and refusing come first, the reachable servers last, so that no moment is looser than
        // either configuration.
        self.pipeline.anonymizer.store(Arc::new(anonymizer));
        self.pipeline.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.overrides().clone()));
        self.pipeline.shared_names.store(Arc::new(shared_servers(&config)));
        self.limits.replace(&config);
        self.upstreams.replace_servers(own_servers(&config));
        self.pipeline.catalog.replace_servers(&config.servers);
        self.pipeline.audit.set_max_segment_bytes(config.settings.audit.max_segment_bytes);
        tracing::info!(digest = config.digest, "another configuration is in force");
        config.log_skipped();
        self.handle.config_changed(config.skipped);
        if was_empty && !config.servers.is_empty() {
            self.handle.repeat_instructions();
        }
    }
}

/// The list that a `list_changed` notification names.
fn changed_list(method: &str) -> Option<ListKind> {
    match method {
        "notifications/tools/list_changed" => Some(ListKind::Tools),
        "notifications/resources/list_changed" => Some(ListKind::Resources),
        "notifications/prompts/list_changed" => Some(ListKind::Prompts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Condvar;
    use std::time::Duration;

    use portero::files::faults::{FileFault, inject_fault};
    use tokio::sync::Notify;

    use super::*;

    /// A drive that hangs until it is let go, or for longer than a test may take.
    #[derive(Default)]
    struct Hangs {
        asked: Notify,
        gone: Mutex<bool>,
        let_go: Condvar,
    }

    impl FileFault for Hangs {
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
        let _fault = inject_fault(&paths.state, Arc::clone(&hangs) as _);
        let reading = ConfigInputs::off_thread(&paths);
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
