//! The children of one process, as the rest of Portero sees them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::events::{EventSinkSlot, MAX_QUEUED_CHANGES};
use super::upstream::{Upstream, UpstreamContext};
use super::{
    CallOptions, LaunchOptions, ServerAnswer, ServerChange, ServerError, ServerEventSink, ServerHealth,
    ServerListing,
};
use crate::config;
use crate::names::{ChildGeneration, ServerName};
use crate::permit::Outgoing;
use crate::secret::SecretReference;
use crate::sync::lock;

/// The time limit of [`Upstreams::close`].
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// The servers of this process.
///
/// All of it runs on the runtime's own thread, because on Linux a child is tied to the thread that started it.
pub struct Upstreams {
    common: Arc<UpstreamContext>,
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Upstreams {
    /// Returns the upstreams for these servers, and the receiver of their changes. Starts none.
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
            process_changes: watch::Sender::new(0),
        };
        let common = Arc::new(common);
        let members = servers.into_iter().map(|server| Upstream::new(server, Arc::clone(&common))).collect();
        (Arc::new(Self { common, upstreams: ArcSwap::from_pointee(members) }), receiver)
    }

    /// Sets the sink for the servers' other notifications. Earlier ones are lost, and the first sink stays.
    pub fn set_event_sink(&self, sink: ServerEventSink) {
        let _ = self.common.event_sink.set(sink);
    }

    /// Fetches a server's listing. Starts the server if needed, and pages through every list that it declared.
    ///
    /// # Errors
    /// If it can't be started or doesn't answer.
    pub async fn fetch_listing(&self, server: &ServerName) -> Result<ServerListing, ServerError> {
        self.find_upstream(server)?.fetch_listing().await
    }

    /// Sends a permitted call to its server, starting it if needed, and waits for the answer.
    ///
    /// # Errors
    /// If there is no answer; [`ServerError`] tells what is known of the call's effect.
    pub async fn call(&self, call: Outgoing, follow: CallOptions) -> Result<ServerAnswer, ServerError> {
        self.find_upstream(&call.tool().server)?.call(&call, follow).await
    }

    /// Sets the lowest log level of every server that declares logging, now and after each start.
    pub fn set_log_level(&self, level: &str) {
        *lock(&self.common.level) = Some(level.into());
        for member in self.upstreams.load().iter() {
            member.set_log_level(level);
        }
    }

    /// The health of each server, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<ServerHealth> {
        self.upstreams.load().iter().map(|member| member.health()).collect()
    }

    /// The configuration of a server.
    #[must_use]
    pub fn find_config(&self, server: &ServerName) -> Option<config::ServerConfig> {
        self.find_upstream(server).ok().map(|found| found.config.clone())
    }

    /// The process of a server, while it can be called.
    #[must_use]
    pub fn generation(&self, server: &ServerName) -> Option<ChildGeneration> {
        self.find_upstream(server).ok()?.generation()
    }

    /// The process of each server that can be called.
    #[must_use]
    pub fn generations(&self) -> Vec<(ServerName, ChildGeneration)> {
        let all = self.upstreams.load();
        let running =
            all.iter().filter_map(|member| Some((member.config.name.clone(), member.generation()?)));
        running.collect()
    }

    /// Tells of each start and end of a process from now on.
    #[must_use]
    pub fn subscribe_generations(&self) -> watch::Receiver<u64> {
        self.common.process_changes.subscribe()
    }

    /// Lets a server be tried again at once with the credential that it has now. What runs is ended first.
    ///
    /// # Errors
    /// If there is no such server.
    pub fn renew(&self, server: &ServerName) -> Result<(), ServerError> {
        self.find_upstream(server).map(|found| found.renew())
    }

    /// Replaces the servers. Those with unchanged settings keep running, the others end.
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
            // Old servers end in the background. A call that still holds one gets an error, never an answer of
            // another server.
        }
        self.upstreams.store(Arc::new(now));
        self.common.process_changes.send_modify(|count| *count += 1);
    }

    /// Ends the servers with this reference in their entries, because it stands for another value now. Each starts again
    /// when it is called; what it was working on fails.
    pub fn restart_with(&self, reference: &SecretReference) {
        self.restart_where(|server| server.transport.references().contains(reference));
    }

    /// Ends these servers, because what they have must not be used any more. Each starts again when it is called.
    pub fn restart_servers(&self, servers: &BTreeSet<ServerName>) {
        self.restart_where(|server| servers.contains(&server.name));
    }

    fn restart_where(&self, is_meant: impl Fn(&config::ServerConfig) -> bool) {
        for member in self.upstreams.load().iter().filter(|member| is_meant(&member.config)) {
            member.renew();
            // Its lists may have failed for the lack of a value. If the owner is busy, it asks later anyway.
            let _ = self.common.changes.try_send(ServerChange::Ended(member.config.name.clone()));
        }
    }

    /// Ends every server and all its descendants within 250 ms. None starts again.
    pub async fn close(&self) {
        self.stop_all();
        self.common.tasks.close();
        // A server that is still there ends with this process, by its guard.
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
