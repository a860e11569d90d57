//! Handles the daemon's pushes into a running session: overrides, configuration, settled tasks.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;
use portero::anonymize::Anonymizer;
use portero::approved_config::EffectiveConfig;
use portero::config::{Config, ConfigProblems};
use portero::files;
use portero::ipc::{NotificationSink, PushMessage};
use portero::paths::Paths;
use portero::pipeline::{BoxFuture, Pipeline};
use portero::policy::Policy;
use portero::server::{ListKind, Upstreams};
use portero::session::SessionHandle;
use portero::sync::lock;

use super::config_files::{
    ATTEMPT_TIMEOUT, CONFIG_POLL_INTERVAL, ConfigDigests, ConfigInputs, ConfigPoller, log_unconfirmed,
};
use super::daemon_approvals::CallLimits;
use super::daemon_connection::{DaemonConnection, PushHandler};
use super::session_children::SessionChildren;
use super::{own_servers, shared_servers};

/// A running session.
pub(super) struct RunningSession {
    pub(super) paths: Paths,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) daemon_connection: Arc<DaemonConnection>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) children: Arc<SessionChildren>,
    pub(super) handle: SessionHandle,
    /// The digests of the applied configuration.
    pub(super) config_digests: Mutex<ConfigDigests>,
}

impl PushHandler for RunningSession {
    /// Applies the files as far as they are confirmed. An invalid configuration changes nothing.
    fn reload<'a>(&'a self, confirmed: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match ConfigInputs::load_off_thread(&self.paths).await {
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

    fn children(&self) -> Arc<SessionChildren> {
        Arc::clone(&self.children)
    }

    fn handle_push(&self, push: PushMessage) {
        match push {
            PushMessage::Settled { task, state } => {
                self.children.waiting.forget_task(task);
                self.handle.task_settled(task, state);
            }
            PushMessage::Waits(task) => self.children.waiting.note_task(&task, Timestamp::now()),
            // Overrides and configuration are handled by the connection, and notifications and progress by
            // the client's sinks. A session gets no number to show.
            PushMessage::Standing(_)
            | PushMessage::Config { .. }
            | PushMessage::Notification { .. }
            | PushMessage::Progress { .. }
            | PushMessage::CheckCall(_)
            | PushMessage::RunCall(_)
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
        self.handle.config_changed(config.skipped, config.settings.approvals.hold);
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
