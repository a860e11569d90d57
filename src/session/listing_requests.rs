//! Asks the servers for their listings: at the first need, again after a failure, and after each change.
//!
//! A server with a cached listing is asked in the background. A server without one is waited for, but only by the
//! first list and no longer than the limit.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::background::Background;
use crate::catalog::alias;
use crate::names::ServerName;
use crate::pipeline::Pipeline;
use crate::sync::lock;

/// How long a failed server isn't asked again by lists.
const FAILED_SERVER_COOLDOWN: Duration = Duration::from_secs(15);
/// How long the start of a server with a cached listing is put off, so that it doesn't slow the first answers.
const CACHED_FETCH_DELAY: Duration = Duration::from_millis(200);
/// The first and the longest interval between automatic retries. A server whose program is missing must not
/// cost much.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The requests for listings that are under way.
pub(super) struct ListingRequests {
    pipeline: Arc<Pipeline>,
    background: Arc<Background>,
    /// How long the first list waits.
    list_timeout: Duration,
    state: Mutex<ListingRequestState>,
}

#[derive(Debug, Default)]
struct ListingRequestState {
    running: HashSet<ServerName>,
    /// Those that failed and will be asked again automatically.
    retrying: HashSet<ServerName>,
    /// When each was last asked.
    last_tried: HashMap<ServerName, Instant>,
    /// When lists stop waiting; set by the first list.
    wait_until: Option<Instant>,
}

impl ListingRequests {
    pub(super) fn new(pipeline: Arc<Pipeline>, background: Arc<Background>, list_timeout: Duration) -> Self {
        Self { pipeline, background, list_timeout, state: Mutex::default() }
    }

    /// Waits until the listings of all servers are known, up to the limit.
    pub(super) async fn wait_for_listings(self: &Arc<Self>) {
        // Subscribed before the check, so that a listing that arrives in between isn't missed.
        let mut settled = self.pipeline.listing_fetches.subscribe();
        self.fetch_stale_listings();
        let until = self.wait_deadline();
        while self.is_any_running(&self.pipeline.catalog.unanswered_servers()) {
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Starts to ask every server without a listing. Those that failed recently are left out.
    pub(super) fn fetch_unknown_listings(self: &Arc<Self>) {
        let catalog = &self.pipeline.catalog;
        for server in catalog.servers() {
            if !catalog.is_known(&server) {
                self.spawn_fetch(server);
            }
        }
    }

    /// Starts to ask every server that hasn't answered in this process.
    pub(super) fn fetch_stale_listings(self: &Arc<Self>) {
        for server in self.pipeline.catalog.servers() {
            if !self.pipeline.listing_fetches.is_fresh(&server) {
                self.spawn_fetch(server);
            }
        }
    }

    fn spawn_fetch(self: &Arc<Self>, server: ServerName) {
        if !self.try_start(&server) {
            return;
        }
        let requests = Arc::clone(self);
        let is_cached = requests.pipeline.catalog.is_known(&server);
        self.background.spawn(async move {
            if is_cached {
                tokio::time::sleep(CACHED_FETCH_DELAY).await;
            }
            let fetched = requests.pipeline.fetch_listing(&server).await;
            lock(&requests.state).running.remove(&server);
            if fetched.is_err() {
                requests.retry_fetch(&server).await;
            }
        });
    }

    /// Asks a failed server again, at growing intervals, until it answers or is no longer configured. The
    /// client is notified of changes.
    async fn retry_fetch(&self, server: &ServerName) {
        // One retry loop for each server, however many fetches failed.
        if !lock(&self.state).retrying.insert(server.clone()) {
            return;
        }
        let mut interval = MIN_RETRY_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            let is_configured = self.pipeline.catalog.servers().contains(server);
            // A call may have asked it in the meantime.
            if !is_configured || self.pipeline.listing_fetches.is_fresh(server) {
                break;
            }
            if self.pipeline.fetch_listing(server).await.is_ok() {
                break;
            }
            interval = (interval * 2).min(MAX_RETRY_INTERVAL);
        }
        lock(&self.state).retrying.remove(server);
    }

    /// Fetches a server's listing again after it reported a change. The client is notified if a list differs.
    pub(super) fn refresh_server(self: &Arc<Self>, server: ServerName) {
        let requests = Arc::clone(self);
        self.background.spawn(async move {
            if requests.pipeline.refresh_listing(&server).await.is_err() {
                requests.retry_fetch(&server).await;
            }
        });
    }

    /// Waits for the listings of servers that the name may begin with. Failed ones don't list the tool.
    pub(super) async fn fetch_likely_servers(&self, name: &str) {
        let missing = self.pipeline.catalog.unanswered_servers().into_iter();
        let meant = missing.filter(|server| may_begin_with_server(name, server));
        join_all(meant.map(|server| async move { self.pipeline.fetch_listing(&server).await.is_ok() })).await;
    }

    /// Registers that a server is being asked. Returns false if it already is, or was asked recently.
    fn try_start(&self, server: &ServerName) -> bool {
        let mut state = lock(&self.state);
        let lately = state.last_tried.get(server).is_some_and(|at| at.elapsed() < FAILED_SERVER_COOLDOWN);
        if lately || !state.running.insert(server.clone()) {
            return false;
        }
        state.last_tried.insert(server.clone(), Instant::now());
        true
    }

    /// Whether any of these is being asked.
    fn is_any_running(&self, servers: &[ServerName]) -> bool {
        let state = lock(&self.state);
        servers.iter().any(|server| state.running.contains(server))
    }

    /// When lists stop waiting. The first list sets it for all, so a server that never answers delays only one
    /// list.
    fn wait_deadline(&self) -> Instant {
        *lock(&self.state).wait_until.get_or_insert_with(|| Instant::now() + self.list_timeout)
    }

    /// Starts over after a change of the configuration.
    pub(super) fn reset(&self) {
        let mut state = lock(&self.state);
        state.last_tried.clear();
        state.wait_until = None;
    }
}

/// Whether a tool's name toward the agent may begin with this server's name. A long name may be cut within it.
fn may_begin_with_server(name: &str, server: &ServerName) -> bool {
    let begins = name.split(alias::SEPARATOR).next().unwrap_or_default();
    let is_canonical = name.split_once('/').is_some_and(|(begins, _)| begins == server.as_str());
    is_canonical || !begins.is_empty() && folded_server_name(server).starts_with(begins)
}

/// A server's name as it begins the names of its tools toward the agent.
pub(super) fn folded_server_name(server: &ServerName) -> String {
    server.as_str().replace('.', "_")
}
