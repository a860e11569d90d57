//! The parts of one session, put together.

use std::sync::Arc;

use tokio::sync::watch;

use super::agent::Agent;
use super::background::Background;
use super::calls::ServerCalls;
use super::client::Client;
use super::hold::HeldCalls;
use super::instructions::Instructions;
use super::listing_requests::ListingRequests;
use super::lists::ClientLists;
use super::notifications::Notifications;
use super::result_news::ResultNews;
use super::{AgentTasks, SessionDeps};

/// The state of a session. Each part keeps its own state and the logic that belongs to it. Only the handlers of
/// requests, which need most of them, take this type.
pub(super) struct SessionState {
    pub(super) client: Arc<Client>,
    pub(super) agent: Arc<Agent>,
    pub(super) tasks: Arc<dyn AgentTasks>,
    pub(super) listings: Arc<ListingRequests>,
    pub(super) lists: Arc<ClientLists>,
    pub(super) calls: ServerCalls,
    pub(super) held: Arc<HeldCalls>,
    pub(super) news: Arc<ResultNews>,
    pub(super) notifications: Arc<Notifications>,
    pub(super) instructions: Arc<Instructions>,
    pub(super) background: Arc<Background>,
    pub(super) has_answered: watch::Sender<bool>,
    pub(super) max_message_bytes: usize,
}

impl SessionState {
    pub(super) fn new(deps: SessionDeps) -> Arc<Self> {
        let SessionDeps { pipeline, tasks, origin, skipped, limits, hold, param_headers } = deps;
        let background = Arc::new(Background::default());
        let client = Arc::new(Client::new(Arc::clone(&pipeline)));
        let agent = Arc::new(Agent::new(Arc::clone(&pipeline), origin));
        let instructions = Arc::new(Instructions::new(Arc::clone(&pipeline), skipped));
        let listings = Arc::new(ListingRequests::new(pipeline, Arc::clone(&background), limits.list_timeout));
        let lists = Arc::new(ClientLists::new(
            Arc::clone(&client),
            Arc::clone(&agent),
            Arc::clone(&listings),
            Arc::clone(&background),
        ));
        let news = Arc::new(ResultNews::new(Arc::clone(&tasks), Arc::clone(&instructions)));
        let held = Arc::new(HeldCalls::new(
            Arc::clone(&client),
            Arc::clone(&agent),
            Arc::clone(&tasks),
            Arc::clone(&news),
            limits.request_timeout,
        ));
        held.set_hold(hold);
        let calls = ServerCalls {
            client: Arc::clone(&client),
            agent: Arc::clone(&agent),
            held: Arc::clone(&held),
            listings: Arc::clone(&listings),
            lists: Arc::clone(&lists),
            instructions: Arc::clone(&instructions),
            param_headers,
        };
        let notifications = Arc::new(Notifications::new(Arc::clone(&client), Arc::clone(&background)));
        Arc::new(Self {
            client,
            agent,
            tasks,
            listings,
            lists,
            calls,
            held,
            news,
            notifications,
            instructions,
            background,
            has_answered: watch::Sender::new(false),
            max_message_bytes: limits.max_message_bytes,
        })
    }

    /// Takes the client's name and version.
    pub(super) fn set_client(&self, name: &str, version: &str) {
        self.client.protocol.introduce();
        self.agent.set_client(name, version);
    }
}
