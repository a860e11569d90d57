//! What is pushed into a session: events of servers, settled tasks, changed rules and configuration.

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

/// What a client said and was told before its session could begin.
#[derive(Debug, Default)]
pub struct PriorHandshake {
    /// What its `initialize` agreed on.
    pub revision: Option<Revision>,
    /// Its name and version.
    pub client: Option<(String, String)>,
    /// From which level on it wants log messages, where it said so.
    pub log_level: Option<Level>,
}

/// The way to push things into a running session. Cheap to clone; it outlives the session harmlessly.
#[derive(Clone)]
pub struct SessionHandle(Weak<SessionState>);

impl SessionHandle {
    pub(super) fn new(shared: &Arc<SessionState>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// A notification of one of this process's own servers. One that came before an answer reaches the client
    /// before that answer.
    pub fn push_event(&self, event: ServerEvent) {
        let Some(shared) = self.0.upgrade() else { return };
        match event {
            ServerEvent::ResourceUpdated(server, params) => shared.resource_updated(&server, params),
            ServerEvent::Log(server, params) => shared.forward_log(&server, params),
            ServerEvent::LogsLeftOut(server, count) => shared.report_left_out_logs(&server, count),
        }
    }

    /// A list of a server changed.
    pub fn list_changed(&self, server: &ServerName, _: ListKind) {
        if let Some(shared) = self.0.upgrade() {
            shared.refresh_server_listing(server.clone());
        }
    }

    /// What one of this process's own servers offers changed, or may have.
    pub fn server_changed(&self, change: ServerChange) {
        let Some(shared) = self.0.upgrade() else { return };
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                shared.refresh_server_listing(server)
            }
            ServerChange::Restarted(server) => shared.resubscribe_server(&server),
        }
    }

    /// A shared server sent another notification (`notifications/resources/updated`,
    /// `notifications/message`), concealed.
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

    /// There is a connection to the daemon, perhaps to another one: its shared servers may know of no
    /// subscription.
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

    /// Rules or grants changed, and `pipeline.policy` holds them already.
    pub fn standing_changed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.notify_list_changes();
        }
    }

    /// The configuration was read anew and `pipeline` works by it already.
    pub fn config_changed(&self, skipped: Vec<SkippedServer>) {
        let Some(shared) = self.0.upgrade() else { return };
        *shared.skipped.lock().unwrap_or_else(PoisonError::into_inner) = skipped;
        shared.pipeline.listing_fetches.forget_outcomes();
        shared.listing_requests.reset();
        shared.fetch_stale_listings();
        shared.notify_list_changes();
    }

    /// The client shook hands before, and was told that nothing works: once it runs, the session tells it that its
    /// lists changed, and with the next result what a new client would be told. Call it before
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

    /// With its next result the client is told what a new one would be told at the handshake.
    pub fn repeat_instructions(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.protocol.set_owes_instructions(true);
        }
    }

    /// Resolves once the session answered its first request, or ended: the time to start what need not be
    /// there before, such as the daemon.
    pub async fn wait_for_first_answer(&self) {
        let Some(mut answered) = self.0.upgrade().map(|shared| shared.has_answered.subscribe()) else {
            return;
        };
        // An error means that the session is gone.
        let _: Result<_, tokio::sync::watch::error::RecvError> =
            answered.wait_for(|answered| *answered).await;
    }

    /// Ends the session: `run` returns promptly.
    pub fn shutdown(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.stop.cancel();
        }
    }
}

impl SessionState {
    /// A server said that something changed: it is asked anew, and the client is told if a list differs.
    fn refresh_server_listing(self: &Arc<Self>, server: ServerName) {
        let shared = Arc::clone(self);
        self.spawn_background(async move {
            if shared.pipeline.refresh_listing(&server).await.is_err() {
                shared.retry_fetch(&server).await;
            }
        });
    }

    /// Tells the client that these lists are not what it was told.
    pub(super) fn notify_changed_lists(&self, changed: &[ClientList]) {
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
