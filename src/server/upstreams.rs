//! One process's children: the part that the rest of Portero sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::events::{EventSinkSlot, MAX_QUEUED_CHANGES};
use super::upstream::{Upstream, UpstreamContext};
use super::{
    CallOptions, LaunchOptions, ServerAnswer, ServerChange, ServerError, ServerEventSink, ServerHealth,
    ServerListing,
};
use crate::config;
use crate::names::ServerName;
use crate::permit::Outgoing;
use crate::sync::lock;

/// How long [`Upstreams::close`] takes at most.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// The servers of this process.
///
/// All of it runs on the runtime's own thread: on Linux a child is tied to the thread that started it.
pub struct Upstreams {
    common: Arc<UpstreamContext>,
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Upstreams {
    /// A fleet of these servers, and which of their lists change; starts none.
    #[must_use]
    pub fn new(
        servers: Vec<config::ServerConfig>,
        launch: LaunchOptions,
    ) -> (Arc<Self>, mpsc::Receiver<ServerChange>) {
        let (changes, receiver) = mpsc::channel(MAX_QUEUED_CHANGES);
        let hearing = EventSinkSlot::default();
        let common = UpstreamContext {
            launch,
            changes,
            event_sink: hearing,
            tasks: TaskTracker::new(),
            level: Mutex::default(),
        };
        let common = Arc::new(common);
        let members = servers.into_iter().map(|server| Upstream::new(server, Arc::clone(&common))).collect();
        (Arc::new(Self { common, upstreams: ArcSwap::from_pointee(members) }), receiver)
    }

    /// From now on the servers' other notifications go to this sink; earlier ones are lost. The
    /// first sink stays.
    pub fn set_event_sink(&self, sink: ServerEventSink) {
        let _ = self.common.event_sink.set(sink);
    }

    /// What the server offers: starts it if needed and pages through every list whose capability it declared.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub async fn fetch_listing(&self, server: &ServerName) -> Result<ServerListing, ServerError> {
        self.find_upstream(server)?.fetch_listing().await
    }

    /// Sends a permitted call to its server, starting it if needed, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer; see [`ServerError`] for what that says about the call's effect.
    pub async fn call(&self, call: Outgoing, follow: CallOptions) -> Result<ServerAnswer, ServerError> {
        self.find_upstream(&call.tool().server)?.call(&call, follow).await
    }

    /// Tells every server that declares logging, now and after each start, which level to log from.
    pub fn set_log_level(&self, level: &str) {
        *lock(&self.common.level) = Some(level.into());
        for member in self.upstreams.load().iter() {
            member.set_log_level(level);
        }
    }

    /// How each server is, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<ServerHealth> {
        self.upstreams.load().iter().map(|member| member.health()).collect()
    }

    /// Takes the servers of a new configuration: those that stay the same go on running, the others end.
    pub fn replace_servers(&self, servers: Vec<config::ServerConfig>) {
        let before = self.upstreams.load_full();
        let now: Vec<Arc<Upstream>> = servers
            .into_iter()
            .map(|server| match before.iter().find(|member| member.config == server) {
                Some(member) => Arc::clone(member),
                None => Upstream::new(server, Arc::clone(&self.common)),
            })
            .collect();
        for member in before.iter().filter(|member| !now.iter().any(|kept| Arc::ptr_eq(kept, member))) {
            member.stop();
        }
        self.upstreams.store(Arc::new(now));
    }

    /// Ends every server and all its descendants, within 250 ms; nothing starts again.
    pub async fn close(&self) {
        self.stop_all();
        self.common.tasks.close();
        // What is not gone by then ends with this process: its guard sees to it.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.common.tasks.wait()).await.is_err() {
            tracing::warn!("a server did not end in time");
        }
    }

    fn stop_all(&self) {
        for member in self.upstreams.load().iter() {
            member.stop();
        }
    }

    fn find_upstream(&self, server: &ServerName) -> Result<Arc<Upstream>, ServerError> {
        let members = self.upstreams.load();
        let member = members.iter().find(|member| member.config.name == *server);
        member.cloned().ok_or_else(|| ServerError::Unknown(server.clone()))
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        self.stop_all();
    }
}
