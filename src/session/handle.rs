//! Pushes events into a session: notifications of servers, settled tasks, changed rules and configuration.

use std::sync::{Arc, PoisonError, Weak};

use super::lists::ClientList;
use super::logs::Level;
use super::state::SessionState;
use crate::anonymize::{Fake, Real};
use crate::config::SkippedServer;
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::server::{ListKind, RESTARTED_METHOD, ServerChange, ServerEvent};
use crate::task::TaskState;
use crate::wire::Revision;
use crate::wire::modern::SubscriptionFilter;

/// The handshake that a client made before its session began.
#[derive(Debug, Default)]
pub struct PriorHandshake {
    /// The revision that its `initialize` agreed on.
    pub revision: Option<Revision>,
    /// Its name and version.
    pub client: Option<(String, String)>,
    /// The lowest level of log messages that it wants, if it named one.
    pub log_level: Option<Level>,
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
            ServerEvent::ResourceUpdated(server, params) => shared.resource_updated(&server, params),
            ServerEvent::Log(server, params) => shared.forward_log(&server, params),
            ServerEvent::LogsLeftOut(server, count) => shared.report_left_out_logs(&server, count),
        }
    }

    /// A server's list changed.
    pub fn list_changed(&self, server: &ServerName, _: ListKind) {
        if let Some(shared) = self.0.upgrade() {
            shared.refresh_server_listing(server.clone());
        }
    }

    /// The offer of one of this process's own servers changed, or may have.
    pub fn server_changed(&self, change: ServerChange) {
        let Some(shared) = self.0.upgrade() else { return };
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                shared.refresh_server_listing(server)
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
                shared.resource_updated(server, Real::from_server(params.into_inner()));
            }
            "notifications/message" => shared.forward_log(server, Real::from_server(params.into_inner())),
            _ => tracing::debug!(%server, method, "an unknown notification of a shared server was left out"),
        }
    }

    /// The daemon is connected, perhaps a new one whose shared servers know no subscription.
    pub fn daemon_connected(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        for server in shared.pipeline.shared_names.load().iter() {
            shared.resubscribe_server(server);
        }
    }

    /// A task of this principal reached a final state.
    pub fn task_settled(&self, task: TaskId, state: TaskState) {
        if let Some(shared) = self.0.upgrade() {
            let words = format!("Task {task} is {state}. portero__check_task tells its result.");
            shared.log_own_message(Level::Notice, &words);
        }
    }

    /// Rules or grants changed, and `pipeline.policy` already has them.
    pub fn standing_changed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.notify_list_changes();
        }
    }

    /// The configuration was read again, and `pipeline` already works by it.
    pub fn config_changed(&self, skipped: Vec<SkippedServer>) {
        let Some(shared) = self.0.upgrade() else { return };
        *shared.skipped.lock().unwrap_or_else(PoisonError::into_inner) = skipped;
        shared.pipeline.listing_fetches.forget_outcomes();
        shared.listing_requests.reset();
        shared.fetch_stale_listings();
        shared.notify_list_changes();
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
            shared.protocol.initialize(revision);
        }
        if let Some(level) = resumed.log_level {
            shared.set_log_threshold(level);
        }
        shared.reported_lists.invalidate_all();
        self.repeat_instructions();
    }

    /// Makes the next result repeat the instructions of the handshake.
    pub fn repeat_instructions(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.protocol.set_owes_instructions(true);
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

    /// Ends the session. `run` returns promptly.
    pub fn shutdown(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.stop.cancel();
        }
    }
}

impl SessionState {
    /// Fetches a server's listing again after it reported a change. The client is notified if a list differs.
    fn refresh_server_listing(self: &Arc<Self>, server: ServerName) {
        let shared = Arc::clone(self);
        self.spawn_background(async move {
            if shared.pipeline.refresh_listing(&server).await.is_err() {
                shared.retry_fetch(&server).await;
            }
        });
    }

    /// Notifies the client that these lists differ from those it got.
    pub(super) fn notify_changed_lists(&self, changed: &[ClientList]) {
        // One notification covers both lists in MCP.
        let resources = changed.contains(&ClientList::Resources) || changed.contains(&ClientList::Templates);
        let has = |list| changed.contains(&list);
        type Wants = fn(&SubscriptionFilter) -> bool;
        let lists: [(bool, Wants, _); 3] = [
            (has(ClientList::Tools), |filter| filter.tools_list_changed, "notifications/tools/list_changed"),
            (resources, |filter| filter.resources_list_changed, "notifications/resources/list_changed"),
            (
                has(ClientList::Prompts),
                |filter| filter.prompts_list_changed,
                "notifications/prompts/list_changed",
            ),
        ];
        for (_, wants, method) in lists.into_iter().filter(|(is_changed, ..)| *is_changed) {
            for target in self.targets_wanting(wants) {
                self.send_notification(target, method, None);
            }
        }
    }
}
