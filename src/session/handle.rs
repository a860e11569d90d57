//! Pushes events into a session: notifications of servers, settled tasks, changed rules and configuration.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::state::SessionState;
use crate::anonymize::{Fake, Real};
use crate::config::SkippedServer;
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::server::{ListKind, LogLevel, RESTARTED_METHOD, ServerChange, ServerEvent};
use crate::task::TaskState;
use crate::wire::Revision;

/// The handshake that a client made before its session began.
#[derive(Debug, Default)]
pub struct PriorHandshake {
    /// The revision that its `initialize` agreed on.
    pub revision: Option<Revision>,
    /// Its name and version.
    pub client: Option<(String, String)>,
    /// The lowest level of log messages that it wants, if it named one.
    pub log_level: Option<LogLevel>,
}

/// Pushes events into a running session. Cheap to clone, and harmless after the session ended.
#[derive(Clone)]
pub struct SessionHandle(Weak<SessionState>);

impl SessionHandle {
    pub(super) fn new(shared: &Arc<SessionState>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Passes on a notification of one of this process's own servers. If it came before an answer, it reaches
    /// the client before that answer.
    pub fn push_event(&self, event: ServerEvent) {
        let Some(shared) = self.0.upgrade() else { return };
        match event {
            ServerEvent::ResourceUpdated(server, params) => {
                shared.notifications.resource_updated(&server, params)
            }
            ServerEvent::Log(server, params) => shared.notifications.forward_log(&server, params),
            ServerEvent::LogsLeftOut(server, count) => {
                shared.notifications.report_left_out_logs(&server, count)
            }
        }
    }

    /// A server's list changed.
    pub fn list_changed(&self, server: &ServerName, _: ListKind) {
        if let Some(shared) = self.0.upgrade() {
            shared.listings.refresh_server(server.clone());
        }
    }

    /// The offer of one of this process's own servers changed, or may have.
    pub fn server_changed(&self, change: ServerChange) {
        let Some(shared) = self.0.upgrade() else { return };
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                shared.listings.refresh_server(server)
            }
            ServerChange::Restarted(server) => shared.resubscribe_server(&server),
        }
    }

    /// Passes on a concealed notification of a shared server (`notifications/resources/updated`,
    /// `notifications/message`).
    pub fn push_notification(&self, server: &ServerName, method: &str, params: Option<Fake<RawJson>>) {
        let Some(shared) = self.0.upgrade() else { return };
        if method == RESTARTED_METHOD {
            return shared.resubscribe_server(server);
        }
        let Some(params) = params else { return };
        match method {
            "notifications/resources/updated" => {
                shared.notifications.resource_updated(server, Real::from_server(params.into_inner()));
            }
            "notifications/message" => {
                shared.notifications.forward_log(server, Real::from_server(params.into_inner()))
            }
            _ => tracing::debug!(%server, method, "an unknown notification of a shared server was left out"),
        }
    }

    /// The daemon is connected, perhaps a new one whose shared servers know no subscription.
    pub fn daemon_connected(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.news.forget_reported();
        for server in shared.agent.pipeline.shared_names.load().iter() {
            shared.resubscribe_server(server);
        }
    }

    /// A task of this principal reached a final state.
    pub fn task_settled(&self, task: TaskId, state: TaskState) {
        if let Some(shared) = self.0.upgrade() {
            let words = format!("Task {task} is {state}. portero__check_task tells its result.");
            shared.notifications.log_own_message(LogLevel::Notice, &words);
            shared.news.task_ended(task);
        }
    }

    /// Rules or grants changed, and `pipeline.policy` already has them.
    pub fn standing_changed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lists.notify_changes();
        }
    }

    /// The configuration was read again, and `pipeline` already works by it.
    /// From now on, calls that need a person are held for `hold`.
    pub fn config_changed(&self, skipped: Vec<SkippedServer>, hold: Duration) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.held.set_hold(hold);
        shared.instructions.set_skipped(skipped);
        shared.agent.pipeline.listing_fetches.forget_outcomes();
        shared.listings.reset();
        shared.listings.fetch_stale_listings();
        shared.lists.notify_changes();
    }

    /// Resumes a client that shook hands before, while nothing worked. Once the session runs, it notifies the
    /// client of changed lists, and its next result repeats the instructions. Call this before
    /// [`super::Session::run`].
    pub fn resume_client(&self, resumed: &PriorHandshake) {
        let Some(shared) = self.0.upgrade() else { return };
        if let Some((name, version)) = &resumed.client {
            shared.set_client(name, version);
        }
        if let Some(revision) = resumed.revision {
            shared.client.protocol.initialize(revision);
        }
        if let Some(level) = resumed.log_level {
            shared.client.set_log_threshold(level);
        }
        shared.lists.reported.invalidate_all();
        self.repeat_instructions();
    }

    /// The client got the present lists elsewhere, so it is notified of their changes from now on.
    pub fn assume_listed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lists.record_present();
        }
    }

    /// Makes the next result repeat the instructions of the handshake.
    pub fn repeat_instructions(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.instructions.set_due(true);
        }
    }

    /// Resolves once the session has answered its first request, or ended. Whatever isn't needed before that,
    /// such as the daemon, starts then.
    pub async fn wait_for_first_answer(&self) {
        let Some(mut answered) = self.0.upgrade().map(|shared| shared.has_answered.subscribe()) else {
            return;
        };
        // An error means that the session ended.
        let _: Result<_, tokio::sync::watch::error::RecvError> =
            answered.wait_for(|answered| *answered).await;
    }

    /// The name and version that the client gave itself, concealed; none once the session has ended.
    #[must_use]
    pub fn client_name(&self) -> Option<String> {
        Some(self.0.upgrade()?.agent.call_context().origin.client_name().to_owned())
    }

    /// Ends the session. `run` returns promptly.
    pub fn shutdown(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.background.stop.cancel();
        }
    }
}
