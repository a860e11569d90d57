//! The daemon's own children: one fleet for the shared servers, and one for each project directory in which
//! something was approved.
//!
//! All of them work by the same policy, anonymizer and audit. Each project has a catalogue of its own, since two
//! checkouts may run two versions of a server. A project's fleet is made when it is
//! needed and closed when nobody used it for a while.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::audit::AuditWriter;
use portero::call::{Call, Method};
use portero::catalog::{Catalog, Tool};
use portero::clock::Clock;
use portero::config::{self, Config};
use portero::names::{ServerName, ToolId};
use portero::permit::Permitted;
use portero::pipeline::{
    Approvals, BoxFuture, CallContext, CallReply, GrantUses, InDaemon, ListingFetches, Pipeline, Refusal,
};
use portero::policy::Policy;
use portero::server::{
    CallOptions, GuardCommand, LaunchOptions, ListKind, LogLevel, ServerChange, ServerCondition, ServerError,
    ServerEventSink, ServerHealth, ServerListing, Upstreams,
};
use portero::sync::lock;
use tokio::sync::mpsc;

use crate::approvals::executor::CallRunner;
use crate::approvals::{
    BindingInputs, BindingSource, ConfiguredInputs, environment_digest, server_digest, values_digest,
};

/// How long a project's servers outlive their last use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How long a listing is given to other sessions though its server announced no change: many never do.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);

/// What all fleets have in common.
pub struct DaemonUpstreamsDeps {
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// The rules of the anonymizer in force.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The policy in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What the shared servers offer, and what the others were last heard to in any directory.
    pub catalog: Arc<Catalog>,
    /// Who counts the uses of grants.
    pub uses: Arc<dyn GrantUses>,
    /// Where calls are written down.
    pub audit: Arc<AuditWriter>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The supervisor of children.
    pub guard: Option<GuardCommand>,
    /// This process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory of the servers' logs.
    pub logs: PathBuf,
    /// The directory that shared servers run in.
    pub home: PathBuf,
    /// The version that servers are told.
    pub build: String,
}

/// Every child of the daemon.
pub struct DaemonUpstreams {
    deps: DaemonUpstreamsDeps,
    approval_queue: OnceLock<Arc<dyn Approvals>>,
    inner: Mutex<ProjectTable>,
    listings: Mutex<HashMap<ServerName, Arc<SharedListing>>>,
}

/// What a shared server said last that it offers: asked once for all sessions.
#[derive(Default)]
struct SharedListing {
    /// Held while the server is asked; each server has its own, so that one that hangs delays no other.
    cached: tokio::sync::Mutex<Option<CachedListing>>,
    /// Raised whenever what is kept may be out of date.
    generation: AtomicU64,
    /// The lists that changed since sessions were told.
    unreported_changes: Mutex<Vec<ListKind>>,
    /// Whether a task asks it anew until it answers.
    is_followed: AtomicBool,
}

struct CachedListing {
    listing: Arc<ServerListing>,
    generation: u64,
    read_at: Instant,
}

#[derive(Default)]
struct ProjectTable {
    shared: Option<Arc<ProjectUpstreams>>,
    projects: HashMap<PathBuf, Arc<ProjectUpstreams>>,
    closed: bool,
}

/// One directory's servers and the pipeline to them.
pub struct ProjectUpstreams {
    pipeline: Pipeline,
    upstreams: Arc<Upstreams>,
    /// The most talkative level of log messages that a session asked for.
    log_level: AtomicU8,
    last_used: Mutex<Instant>,
}

impl ProjectUpstreams {
    /// The life of a call here.
    #[must_use]
    pub const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// A session wants log messages from this level on: the servers must log at least so much.
    pub fn raise_log_level(&self, level: LogLevel) {
        if (level as u8) < self.log_level.fetch_min(level as u8, Ordering::Relaxed) {
            self.upstreams.set_log_level(level.as_str());
        }
    }
}

impl DaemonUpstreams {
    /// No server is started yet.
    #[must_use]
    pub fn new(parts: DaemonUpstreamsDeps) -> Arc<Self> {
        Arc::new(Self {
            deps: parts,
            approval_queue: OnceLock::new(),
            inner: Mutex::new(ProjectTable::default()),
            listings: Mutex::default(),
        })
    }

    /// Sets where calls that need a person go; once, before the first call. Desk and servers need each
    /// other, so that neither can be made with the other.
    pub fn set_approval_queue(&self, desk: Arc<dyn Approvals>) {
        let _ = self.approval_queue.set(desk);
    }

    /// Makes the fleet of the shared servers, and gives which of their lists change; everything else that they say
    /// unasked goes to the sink.
    pub fn start_shared(&self, sink: ServerEventSink) -> mpsc::Receiver<ServerChange> {
        let (project, changes) = self.build_project(&self.deps.home, true);
        project.upstreams.set_event_sink(sink);
        self.lock_projects().shared = Some(Arc::new(project));
        changes
    }

    /// A session wants log messages of the shared servers from this level on: they are told at once, and those that
    /// start later when they do.
    pub fn want_logs(&self, level: LogLevel) {
        if let Some(project) = self.lock_projects().shared.clone() {
            project.raise_log_level(level);
        }
    }

    /// The servers with which a call to `server` is made.
    ///
    /// # Errors
    /// When there is no such server, or the daemon is ending.
    pub fn project_for(
        &self,
        server: &ServerName,
        directory: &Path,
    ) -> Result<Arc<ProjectUpstreams>, Refusal> {
        let config = self.deps.config.load();
        let Some(found) = find_server(&config, server) else {
            return Err(Refusal::Unknown(server.to_string()));
        };
        let mut inner = self.lock_projects();
        let ending = || Refusal::DaemonUnavailable("the daemon is ending; try again in a moment".to_owned());
        if inner.closed {
            return Err(ending());
        }
        if found.shared {
            return inner.shared.clone().ok_or_else(ending);
        }
        let project = inner.projects.entry(directory.to_owned()).or_insert_with(|| {
            let (project, mut changes) = self.build_project(directory, false);
            // A project's lists are read anew before each approved call; its other words have no reader.
            tokio::spawn(async move { while changes.recv().await.is_some() {} });
            Arc::new(project)
        });
        *lock(&project.last_used) = Instant::now();
        Ok(Arc::clone(project))
    }

    /// What a shared server offers, as it said itself a moment ago or says now; the catalogue takes note.
    ///
    /// # Errors
    /// When it is not shared, or does not answer.
    pub async fn shared_listing(&self, server: &ServerName) -> Result<Arc<ServerListing>, ServerError> {
        let shared = self.lock_projects().shared.clone();
        let is_shared = find_server(&self.deps.config.load(), server).is_some_and(|server| server.shared);
        let Some(project) = shared.filter(|_| is_shared) else {
            return Err(ServerError::Unknown(server.clone()));
        };
        let listing = self.listing_slot(server);
        let mut kept = listing.cached.lock().await;
        let generation = listing.generation.load(Ordering::Acquire);
        if let Some(kept) = &*kept
            && kept.generation == generation
            && kept.read_at.elapsed() < LISTING_LIFETIME
        {
            return Ok(Arc::clone(&kept.listing));
        }
        match project.upstreams.fetch_listing(server).await {
            Ok(offer) => {
                let offer = Arc::new(offer);
                let changes = self.deps.catalog.set_listing(server, ServerListing::clone(&offer));
                if kept.is_some() {
                    lock(&listing.unreported_changes).extend(changes);
                }
                *kept =
                    Some(CachedListing { listing: Arc::clone(&offer), generation, read_at: Instant::now() });
                Ok(offer)
            }
            Err(error) => {
                self.deps.catalog.record_listing_failure(server, self.conceal_error(&error));
                Err(error)
            }
        }
    }

    /// Notes that a shared server may offer something else now; true when nobody asks it anew yet, which is the
    /// caller's to do then, with [`Self::relist_server`].
    #[must_use]
    pub fn mark_outdated(&self, server: &ServerName) -> bool {
        let listing = self.listing_slot(server);
        listing.generation.fetch_add(1, Ordering::AcqRel);
        !listing.is_followed.swap(true, Ordering::AcqRel)
    }

    /// Asks a server anew that was told to be out of date, and gives the lists that differ from what sessions were
    /// told; none when nothing is left to ask.
    ///
    /// # Errors
    /// When it does not answer: it stays the caller's to ask again.
    pub async fn relist_server(&self, server: &ServerName) -> Result<Option<Vec<ListKind>>, ServerError> {
        let listing = self.listing_slot(server);
        let is_current = |kept: &Option<CachedListing>| {
            let generation = listing.generation.load(Ordering::Acquire);
            kept.as_ref().is_some_and(|kept| kept.generation == generation)
        };
        let untold = || std::mem::take(&mut *lock(&listing.unreported_changes));
        if is_current(&*listing.cached.lock().await) {
            let untold = untold();
            if !untold.is_empty() {
                return Ok(Some(untold));
            }
            listing.is_followed.store(false, Ordering::Release);
            // It may have become out of date just before that.
            let is_done = is_current(&*listing.cached.lock().await);
            if is_done || listing.is_followed.swap(true, Ordering::AcqRel) {
                return Ok(None);
            }
        }
        match self.shared_listing(server).await {
            Ok(_) => {
                let mut untold = untold();
                untold.dedup();
                Ok(Some(untold))
            }
            Err(ServerError::Unknown(_)) => {
                listing.is_followed.store(false, Ordering::Release);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn listing_slot(&self, server: &ServerName) -> Arc<SharedListing> {
        let mut listings = lock(&self.listings);
        Arc::clone(listings.entry(server.clone()).or_default())
    }

    /// Whether a shared server runs or is being started.
    #[must_use]
    pub fn is_running(&self, server: &ServerName) -> bool {
        let shared = self.lock_projects().shared.clone();
        let health = shared.map(|project| project.upstreams.health()).unwrap_or_default();
        let condition =
            health.into_iter().find(|health| health.server == *server).map(|health| health.condition);
        matches!(condition, Some(ServerCondition::Starting | ServerCondition::Ready))
    }

    /// How the servers are; the shared ones first.
    #[must_use]
    pub fn health(&self) -> Vec<ServerHealth> {
        let inner = self.lock_projects();
        inner
            .shared
            .iter()
            .chain(inner.projects.values())
            .flat_map(|project| project.upstreams.health())
            .collect()
    }

    /// A tool as its server lists it in `directory`, or was last heard to.
    #[must_use]
    pub fn find_tool(&self, tool: &ToolId, directory: &Path) -> Option<Arc<Tool>> {
        let here = self.lock_projects().projects.get(directory).cloned();
        let here = here.and_then(|project| project.pipeline.catalog.tool(tool));
        here.or_else(|| self.deps.catalog.tool(tool))
    }

    /// Every tool that the daemon has heard of, in any directory.
    #[must_use]
    pub fn known_tools(&self) -> Vec<ToolId> {
        let projects: Vec<Arc<ProjectUpstreams>> = self.lock_projects().projects.values().cloned().collect();
        let of_projects = projects.iter().flat_map(|project| project.pipeline.catalog.tools());
        let mut known: Vec<ToolId> =
            self.deps.catalog.tools().into_iter().chain(of_projects).map(|tool| tool.id.clone()).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    /// Takes the servers of the configuration in force; unchanged ones go on running.
    pub fn apply_config(&self) {
        let config = self.deps.config.load();
        self.deps.catalog.replace_servers(&config.servers);
        lock(&self.listings).clear();
        let inner = self.lock_projects();
        for (project, shared) in
            inner.shared.iter().map(|p| (p, true)).chain(inner.projects.values().map(|p| (p, false)))
        {
            project.upstreams.replace_servers(servers_where(&config, shared));
            if !shared {
                project.pipeline.catalog.replace_servers(&config.servers);
            }
        }
    }

    /// Ends the servers of projects that nobody used for a while.
    pub async fn close_idle_projects(&self) {
        let idle: Vec<_> = {
            let mut inner = self.lock_projects();
            let is_idle = |project: &Arc<ProjectUpstreams>| {
                let used = *lock(&project.last_used);
                Arc::strong_count(project) == 1 && used.elapsed() >= IDLE_TIMEOUT
            };
            inner.projects.extract_if(|_, project| is_idle(project)).collect()
        };
        for (_, project) in idle {
            project.upstreams.close().await;
        }
    }

    /// Ends every server; none starts again.
    pub async fn close(&self) {
        let all: Vec<_> = {
            let mut inner = self.lock_projects();
            inner.closed = true;
            let projects = inner.projects.drain().map(|(_, project)| project).collect::<Vec<_>>();
            inner.shared.take().into_iter().chain(projects).collect()
        };
        futures_util::future::join_all(all.iter().map(|project| project.upstreams.close())).await;
    }

    fn conceal_error(&self, error: &ServerError) -> String {
        self.deps.anonymizer.load().conceal_text(&error.to_string()).into_inner()
    }

    fn build_project(
        &self,
        directory: &Path,
        shared: bool,
    ) -> (ProjectUpstreams, mpsc::Receiver<ServerChange>) {
        let parts = &self.deps;
        let config = parts.config.load();
        let launch = LaunchOptions {
            guard: parts.guard.clone(),
            directory: directory.to_owned(),
            environment: parts.environment.clone(),
            logs: parts.logs.clone(),
            limits: config.settings.limits.clone(),
            anonymizer: Arc::clone(&parts.anonymizer),
            client: ("portero".to_owned(), parts.build.clone()),
            clock: Arc::clone(&parts.clock),
        };
        let catalog =
            if shared { Arc::clone(&parts.catalog) } else { Arc::new(Catalog::new(&config.servers, None)) };
        let (fleet, changes) = Upstreams::new(servers_where(&config, shared), launch);
        let pipeline = Pipeline {
            anonymizer: Arc::clone(&parts.anonymizer),
            policy: Arc::clone(&parts.policy),
            catalog,
            servers: Arc::clone(&fleet) as _,
            audit: Arc::clone(&parts.audit),
            clock: Arc::clone(&parts.clock),
            approvals: Arc::clone(self.approval_queue.get().expect("the desk is set before the first call")),
            grant_uses: Arc::clone(&parts.uses),
            policy_source: Arc::new(InDaemon),
            shared_servers: Arc::new(InDaemon),
            shared_names: ArcSwap::default(),
            listing_fetches: ListingFetches::default(),
        };
        let project = ProjectUpstreams {
            pipeline,
            upstreams: fleet,
            log_level: AtomicU8::new(u8::MAX),
            last_used: Mutex::new(Instant::now()),
        };
        (project, changes)
    }

    fn lock_projects(&self) -> MutexGuard<'_, ProjectTable> {
        lock(&self.inner)
    }
}

fn find_server<'a>(config: &'a Config, server: &ServerName) -> Option<&'a config::ServerConfig> {
    config.servers.iter().find(|found| found.name == *server)
}

fn servers_where(config: &Config, shared: bool) -> Vec<config::ServerConfig> {
    config.servers.iter().filter(|server| server.shared == shared).cloned().collect()
}

impl BindingSource for DaemonUpstreams {
    fn configured_inputs(&self, call: &Call) -> Result<ConfiguredInputs, Refusal> {
        let (config, server) = (self.deps.config.load(), &call.tool.server);
        let found = find_server(&config, server).ok_or_else(|| Refusal::Unknown(server.to_string()))?;
        Ok(ConfiguredInputs {
            server: server_digest(found),
            environment: environment_digest(found),
            values: values_digest(&self.deps.anonymizer.load(), call)?,
        })
    }

    fn binding_inputs<'a>(
        &'a self,
        call: &'a Call,
        directory: &'a Path,
    ) -> BoxFuture<'a, Result<BindingInputs, Refusal>> {
        Box::pin(async move {
            let server = &call.tool.server;
            let project = self.project_for(server, directory)?;
            let offered = project.pipeline.fetch_listing(server).await;
            offered.map_err(|error| Refusal::ServerUnavailable(self.conceal_error(&error)))?;
            let definition = project.pipeline.catalog.definition_digest(&call.tool);
            if definition.is_none() && call.method == Method::CallTool {
                return Err(Refusal::Unknown(call.tool.to_string()));
            }
            // Last: asking a server takes time, and the configuration may have changed meanwhile.
            Ok(BindingInputs { configured: self.configured_inputs(call)?, definition })
        })
    }
}

impl CallRunner for DaemonUpstreams {
    fn run_call<'a>(
        &'a self,
        permitted: Permitted,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        Box::pin(async move {
            match self.project_for(&permitted.call().tool.server, &context.origin.directory) {
                Ok(project) => project.pipeline.run_permitted(permitted, context, follow).await,
                Err(refusal) => CallReply::Refused(refusal),
            }
        })
    }
}
