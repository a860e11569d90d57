//! The state that all parts of one session share.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client_queue::ClientQueue;
use super::list_state::{ListingRequests, RecentTools, ReportedLists};
use super::protocol::ProtocolState;
use super::request::InFlight;
use super::resource_updates::ResourceUpdates;
use super::subscriptions::Subscriptions;
use super::{AgentTasks, SessionDeps};
use crate::anonymize::{Fake, Leak};
use crate::config::{ServerLimits, SkippedServer};
use crate::json::RawJson;
use crate::names::ToolId;
use crate::pipeline::{CallContext, Pipeline};
use crate::policy::Action;
use crate::task::CallOrigin;

/// The state of a session. Each part is a type with private fields. Logic that needs several parts is a method
/// of this type, in the file of the request that needs it.
pub(super) struct SessionState {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) tasks: Arc<dyn AgentTasks>,
    pub(super) limits: ServerLimits,
    /// Who acts; replaced when the client introduces itself.
    pub(super) context: ArcSwap<CallContext>,
    pub(super) skipped: Mutex<Vec<SkippedServer>>,
    pub(super) client_queue: ClientQueue,
    pub(super) protocol: ProtocolState,
    pub(super) in_flight: InFlight,
    pub(super) subscriptions: Subscriptions,
    pub(super) resource_updates: ResourceUpdates,
    pub(super) recent_tools: RecentTools,
    pub(super) listing_requests: ListingRequests,
    pub(super) reported_lists: ReportedLists,
    pub(super) has_answered: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
    background: Mutex<JoinSet<()>>,
}

/// The most characters of the client's name and version, because people read them.
const MAX_CLIENT_CHARS: usize = 200;

impl SessionState {
    pub(super) fn new(parts: SessionDeps) -> Arc<Self> {
        Arc::new(Self {
            pipeline: parts.pipeline,
            tasks: parts.tasks,
            limits: parts.limits,
            context: ArcSwap::from_pointee(CallContext { origin: parts.origin, task: None }),
            skipped: Mutex::new(parts.skipped),
            client_queue: ClientQueue::default(),
            protocol: ProtocolState::default(),
            in_flight: InFlight::default(),
            subscriptions: Subscriptions::default(),
            resource_updates: ResourceUpdates::default(),
            recent_tools: RecentTools::default(),
            listing_requests: ListingRequests::default(),
            reported_lists: ReportedLists::default(),
            has_answered: watch::Sender::new(false),
            stop: CancellationToken::new(),
            background: Mutex::default(),
        })
    }

    /// Starts a task beside the requests. It ends with the session at the latest.
    pub(super) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        // Reaps finished tasks, which would otherwise pile up until the session ends.
        while background.try_join_next().is_some() {}
        // Checked under the lock that `stop_background` takes after it cancelled, so no task starts after the
        // abort.
        if !self.stop.is_cancelled() {
            background.spawn(work);
        }
    }

    /// Ends all background tasks.
    pub(super) fn stop_background(&self) {
        self.stop.cancel();
        self.background.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Conceals JSON that Portero made or the client sent.
    pub(super) fn conceal_own(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal_local(json)
    }

    /// The action to expect for a tool now. Where it depends on the arguments, that is `require-approval`.
    pub(super) fn tool_action(&self, tool: &ToolId) -> Action {
        let pipeline = &self.pipeline;
        let asker = &self.context.load().origin;
        pipeline.policy.load().expected_action(tool, Some(asker.asker()), pipeline.clock.now())
    }

    /// Takes the client's name and version.
    pub(super) fn set_client(&self, name: &str, version: &str) {
        self.protocol.introduce();
        let anonymizer = self.pipeline.anonymizer.load();
        let said = anonymizer.conceal_text(format!("{name} {version}").trim()).into_inner();
        // Concealed again, because the cut may have left a new text at the end.
        let client = anonymizer.conceal_text(&said.chars().take(MAX_CLIENT_CHARS).collect::<String>());
        let before = self.context.load();
        let origin = CallOrigin { client, ..before.origin.clone() };
        self.context.store(Arc::new(CallContext { origin, task: None }));
    }
}
