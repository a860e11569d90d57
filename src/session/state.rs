//! What the parts of one session share.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lists::{Gathering, Told};
use super::logs::Logs;
use super::outbox::Outbox;
use super::request::Flights;
use super::subscriptions::Subscriptions;
use super::updates::Updates;
use super::{Parts, Tasks};
use crate::anonymize::{Fake, Leak};
use crate::config::{Limits, Skipped};
use crate::json::RawJson;
use crate::names::ToolId;
use crate::pipeline::{Context, Pipeline};
use crate::policy::Action;
use crate::task::Origin;
use crate::wire::Revision;

/// The state of a session: each part has one owner among the files of this module.
pub(super) struct Shared {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) limits: Limits,
    /// Who acts; replaced when the client says who it is.
    pub(super) context: ArcSwap<Context>,
    pub(super) skipped: Mutex<Vec<Skipped>>,
    pub(super) out: Outbox,
    pub(super) speech: Speech,
    pub(super) flights: Flights,
    pub(super) subscriptions: Subscriptions,
    pub(super) updates: Updates,
    pub(super) recent: Recent,
    pub(super) gathering: Gathering,
    pub(super) told: Told,
    pub(super) logs: Logs,
    /// Whether the next result tells what the handshake would.
    pub(super) introduces_anew: AtomicBool,
    pub(super) answered: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
    background: Mutex<JoinSet<()>>,
}

/// What the client speaks.
#[derive(Debug, Default)]
pub(super) struct Speech {
    initialized: Mutex<Option<Revision>>,
    introduced: AtomicBool,
}

/// The tools that were used of late; beside the pinned ones they stand in the list.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<ToolId>>);

/// The most characters that a client says of itself: a person reads them.
const CLIENT_MOST: usize = 200;
/// How many tools count as used of late.
const RECENT_MOST: usize = 20;

impl Shared {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            pipeline: parts.pipeline,
            tasks: parts.tasks,
            limits: parts.limits,
            context: ArcSwap::from_pointee(Context { origin: parts.origin, task: None }),
            skipped: Mutex::new(parts.skipped),
            out: Outbox::default(),
            speech: Speech::default(),
            flights: Flights::default(),
            subscriptions: Subscriptions::default(),
            updates: Updates::default(),
            recent: Recent::default(),
            gathering: Gathering::default(),
            told: Told::default(),
            logs: Logs::default(),
            introduces_anew: AtomicBool::new(false),
            answered: watch::Sender::new(false),
            stop: CancellationToken::new(),
            background: Mutex::default(),
        })
    }

    /// Starts something that nobody waits for; it ends with the session at the latest.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        if !self.stop.is_cancelled() {
            background.spawn(work);
        }
    }

    /// Ends everything that was started.
    pub(super) fn end(&self) {
        self.stop.cancel();
        self.background.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Conceals what Portero itself made, or what the client sent.
    pub(super) fn conceal_own(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal_own(json)
    }

    /// What policy says about a tool at this moment; where that depends on the arguments, a person may be asked.
    pub(super) fn action(&self, tool: &ToolId) -> Action {
        let pipeline = &self.pipeline;
        let asker = &self.context.load().origin;
        pipeline.policy.load().outlook(tool, Some(asker.asker()), pipeline.clock.now())
    }

    /// Takes what the client says about itself.
    pub(super) fn introduce(&self, name: &str, version: &str) {
        self.speech.introduced.store(true, Ordering::Relaxed);
        let anonymizer = self.pipeline.anonymizer.load();
        let said = anonymizer.conceal_text(format!("{name} {version}").trim()).into_inner();
        let client = anonymizer.conceal_text(&said.chars().take(CLIENT_MOST).collect::<String>());
        let before = self.context.load();
        let origin = Origin { client, ..before.origin.clone() };
        self.context.store(Arc::new(Context { origin, task: None }));
    }
}

impl Speech {
    /// Notes what `initialize` agreed on.
    pub(super) fn initialize(&self, revision: Revision) {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
    }

    /// What `initialize` agreed on, if it came.
    pub(super) fn revision(&self) -> Option<Revision> {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `initialize` came: only then notifications are sent unasked.
    pub(super) fn is_initialized(&self) -> bool {
        self.revision().is_some()
    }

    /// Whether the client said who it is.
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced.load(Ordering::Relaxed)
    }
}

impl Recent {
    /// Notes that a tool was used, and forgets the one whose last use is the longest ago where there are too
    /// many; true when it was not among the recent ones.
    pub(super) fn note(&self, tool: &ToolId) -> bool {
        let mut tools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = tools.iter().position(|recent| recent == tool) {
            // Its place is the last one again: a tool in constant use must not fall out of the list.
            tools.remove(at);
            tools.push_back(tool.clone());
            return false;
        }
        if tools.len() == RECENT_MOST {
            tools.pop_front();
        }
        tools.push_back(tool.clone());
        true
    }

    /// The recent ones.
    pub(super) fn tools(&self) -> HashSet<ToolId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
