//! What is pushed into a session: events of servers, settled tasks, changed rules and configuration.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use super::lists::Listed;
use super::logs::Level;
use super::state::Shared;
use crate::anonymize::{Fake, Real};
use crate::config::Skipped;
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::server::{Event, List, RESTARTED, ServerChange};
use crate::task::State;
use crate::wire::Revision;

/// What a client said and was told before its session could begin.
#[derive(Debug, Default)]
pub struct Resumed {
    /// What its `initialize` agreed on.
    pub revision: Option<Revision>,
    /// Its name and version.
    pub client: Option<(String, String)>,
    /// From which level on it wants log messages, where it said so.
    pub log_level: Option<Level>,
}

/// The way to push things into a running session. Cheap to clone; it outlives the session harmlessly.
#[derive(Clone)]
pub struct Handle(Weak<Shared>);

impl Handle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Something that one of this process's own servers said unasked. Said before an answer, it reaches the client
    /// before that answer.
    pub fn event(&self, event: Event) {
        let Some(shared) = self.0.upgrade() else { return };
        match event {
            Event::ResourceUpdated(server, params) => shared.resource_updated(&server, params),
            Event::Log(server, params) => shared.log(&server, params),
            Event::LogsLeftOut(server, count) => shared.tell_left_out(&server, count),
        }
    }

    /// A list of a server changed.
    pub fn list_changed(&self, server: &ServerName, _: List) {
        if let Some(shared) = self.0.upgrade() {
            shared.ask_again(server.clone());
        }
    }

    /// What one of this process's own servers offers changed, or may have.
    pub fn server_changed(&self, change: ServerChange) {
        let Some(shared) = self.0.upgrade() else { return };
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => shared.ask_again(server),
            ServerChange::Restarted(server) => shared.subscribe_again(&server),
        }
    }

    /// A shared server sent another notification (`notifications/resources/updated`,
    /// `notifications/message`), concealed.
    pub fn notification(&self, server: &ServerName, method: &str, params: Option<Fake<RawJson>>) {
        let Some(shared) = self.0.upgrade() else { return };
        if method == RESTARTED {
            return shared.subscribe_again(server);
        }
        let Some(params) = params else { return };
        match method {
            "notifications/resources/updated" => {
                shared.resource_updated(server, Real::from_server(params.into_inner()));
            }
            "notifications/message" => shared.forwarded_log(server, params),
            _ => tracing::debug!(%server, method, "an unknown notification of a shared server was left out"),
        }
    }

    /// There is a connection to the daemon, perhaps to another one: its shared servers may know of no
    /// subscription.
    pub fn daemon_connected(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        for server in shared.pipeline.shared.load().iter() {
            shared.subscribe_again(server);
        }
    }

    /// A task of this principal reached a final state.
    pub fn settled(&self, task: TaskId, state: State) {
        if let Some(shared) = self.0.upgrade() {
            let words = format!("Task {task} is {state}. portero__check_task tells its result.");
            shared.say(Level::Notice, &words);
        }
    }

    /// Rules or grants changed, and `pipeline.policy` holds them already.
    pub fn standing_changed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.tell_changes();
        }
    }

    /// The configuration was read anew and `pipeline` works by it already.
    pub fn config_changed(&self, skipped: Vec<Skipped>) {
        let Some(shared) = self.0.upgrade() else { return };
        *shared.skipped.lock().unwrap_or_else(PoisonError::into_inner) = skipped;
        shared.pipeline.offers.forget();
        shared.gathering.forget();
        shared.start_all();
        shared.tell_changes();
    }

    /// The client shook hands before, and was told that nothing works: once it runs, the session tells it that its
    /// lists changed, and with the next result what a new client would be told. Call it before [`super::Session::run`].
    pub fn resume(&self, resumed: &Resumed) {
        let Some(shared) = self.0.upgrade() else { return };
        if let Some((name, version)) = &resumed.client {
            shared.introduce(name, version);
        }
        if let Some(revision) = resumed.revision {
            shared.speech.initialize(revision);
        }
        if let Some(level) = resumed.log_level {
            shared.log_from(level);
        }
        shared.told.forget();
        self.introduce_anew();
    }

    /// With its next result the client is told what a new one would be told at the handshake.
    pub fn introduce_anew(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.introduces_anew.store(true, Ordering::Relaxed);
        }
    }

    /// Resolves once the session answered its first request, or ended: the time to start what need not be
    /// there before, such as the daemon.
    pub async fn answered(&self) {
        let Some(mut answered) = self.0.upgrade().map(|shared| shared.answered.subscribe()) else { return };
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

impl Shared {
    /// A server said that something changed: it is asked anew, and the client is told if a list differs.
    fn ask_again(self: &Arc<Self>, server: ServerName) {
        let shared = Arc::clone(self);
        self.spawn(async move {
            if shared.pipeline.refresh(&server).await.is_err() {
                shared.retry(&server).await;
            }
        });
    }

    /// Tells the client that these lists are not what it was told.
    pub(super) fn notify_changed(&self, changed: &[Listed]) {
        let tools = changed.contains(&Listed::Tools);
        let resources = changed.contains(&Listed::Resources) || changed.contains(&Listed::Templates);
        let prompts = changed.contains(&Listed::Prompts);
        if tools {
            for hearer in self.hearers_of(|filter| filter.tools_list_changed) {
                self.tell(hearer, "notifications/tools/list_changed", None);
            }
        }
        if resources {
            for hearer in self.hearers_of(|filter| filter.resources_list_changed) {
                self.tell(hearer, "notifications/resources/list_changed", None);
            }
        }
        if prompts {
            for hearer in self.hearers_of(|filter| filter.prompts_list_changed) {
                self.tell(hearer, "notifications/prompts/list_changed", None);
            }
        }
    }
}
