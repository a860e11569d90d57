//! The daemon's own child servers: one set for the user, and one for each project directory.
//!
//! All of them use the same policy, anonymizer and audit. A project's set holds the servers with the instance
//! `project`, and makes the approved calls of `session` servers that may run outside their session. It has its own
//! catalog, because two checkouts may run two versions of a server. It is created when needed and closed when idle.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::audit::AuditWriter;
use portero::binding::{BindingInputs, ConfiguredInputs, environment_digest, server_digest, values_digest};
use portero::call::{Call, Method};
use portero::catalog::{Catalog, OmittedEntries, Tool};
use portero::clock::Clock;
use portero::config::{self, Config, ServerInstance};
use portero::names::{ServerName, ToolId};
use portero::permit::Permitted;
use portero::pipeline::{
    Approvals, BoxFuture, CallContext, CallReply, DefinitionRegistry, DefinitionWatch, GrantUses, InDaemon,
    ListingFetches, Pipeline, RedactionMemory, Refusal,
};
use portero::policy::Policy;
use portero::secret::SecretReference;
use portero::server::{
    CallOptions, GuardCommand, HttpTransport, LaunchOptions, ListKind, LogLevel, ReferenceResolver,
    ServerChange, ServerCondition, ServerError, ServerEvent, ServerHealth, ServerListing, Upstreams,
};
use portero::sync::lock;
use tokio::sync::{Notify, mpsc, watch};

use crate::approvals::executor::CallRunner;
use crate::approvals::{BindingSource, ServerSettings};
use crate::sessions::InstanceScope;

/// How long a project's servers outlive their last use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How long a listing is reused without an announced change; many servers never announce one.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);

/// Receives the notifications of the shared servers. It must not block.
pub trait ServerListener: Send + Sync {
    /// Receives a notification of a server of this scope.
    fn take_event(&self, scope: &InstanceScope, event: ServerEvent);
    /// Receives a change of a list or of a process of this scope.
    fn take_change(&self, scope: &InstanceScope, change: ServerChange);
}

/// A session is given at least so long for a call of its own server.
const MIN_HANDOVER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The parts that all upstreams share.
pub struct DaemonUpstreamsDeps {
    /// The current configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// The current anonymizer.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The current policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The listings of the user's servers, and the last known ones of the others in any directory.
    pub catalog: Arc<Catalog>,
    /// Counts the uses of grants.
    pub uses: Arc<dyn GrantUses>,
    /// Keeps the definition pins.
    pub definitions: Arc<dyn DefinitionRegistry>,
    /// The audit for calls.
    pub audit: Arc<AuditWriter>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The supervisor of children.
    pub guard: Option<GuardCommand>,
    /// This process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory of the servers' logs.
    pub logs: PathBuf,
    /// The directory that the user's servers run in.
    pub home: PathBuf,
    /// The version that servers get as the client's.
    pub build: String,
    /// Reaches servers over HTTP.
    pub http: Arc<dyn HttpTransport>,
    /// Looks up what references in the servers' entries stand for.
    pub references: Arc<dyn ReferenceResolver>,
    /// The directory with a directory for each principal over HTTPS.
    pub remote_directory: PathBuf,
}

/// All child servers of the daemon.
pub struct DaemonUpstreams {
    deps: DaemonUpstreamsDeps,
    approval_queue: OnceLock<Arc<dyn Approvals>>,
    listener: OnceLock<Arc<dyn ServerListener>>,
    inner: Mutex<ProjectTable>,
    listings: Mutex<HashMap<(InstanceScope, ServerName), Arc<SharedListing>>>,
}

/// The last listing of a shared server, fetched once for all sessions of its scope.
#[derive(Default)]
struct SharedListing {
    /// Held while the server is asked. Each server has its own lock, so one that hangs doesn't delay others.
    cached: tokio::sync::Mutex<Option<CachedListing>>,
    /// Raised whenever the cached listing may be outdated.
    generation: AtomicU64,
    /// The lists that changed since sessions were last told.
    unreported_changes: Mutex<Vec<ListKind>>,
    /// Whether a task is asking it again until it answers.
    is_followed: AtomicBool,
    /// Wakes that task when the server's credential changed.
    renewed: Notify,
}

struct CachedListing {
    listing: Arc<ServerListing>,
    generation: u64,
    read_at: Instant,
}

#[derive(Default)]
struct ProjectTable {
    user: Option<Arc<ProjectUpstreams>>,
    projects: HashMap<PathBuf, Arc<ProjectUpstreams>>,
    closed: bool,
}

/// The servers of one directory and the pipeline to them.
pub struct ProjectUpstreams {
    pipeline: Pipeline,
    upstreams: Arc<Upstreams>,
    /// The most verbose log level that a session asked for.
    log_level: AtomicU8,
    last_used: Mutex<Instant>,
}

impl ProjectUpstreams {
    /// The pipeline to these servers.
    #[must_use]
    pub const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Lowers the servers' log level to this one if it is more verbose than the present one.
    pub fn raise_log_level(&self, level: LogLevel) {
        if (level as u8) < self.log_level.fetch_min(level as u8, Ordering::Relaxed) {
            self.upstreams.set_log_level(level.as_str());
        }
    }
}

impl DaemonUpstreams {
    /// Upstreams without a started server.
    #[must_use]
    pub fn new(parts: DaemonUpstreamsDeps) -> Arc<Self> {
        Arc::new(Self {
            deps: parts,
            approval_queue: OnceLock::new(),
            listener: OnceLock::new(),
            inner: Mutex::new(ProjectTable::default()),
            listings: Mutex::default(),
        })
    }

    /// Sets the queue for calls that need a person. It must be called once, before the first call: queue and
    /// upstreams need each other, so one of them must be completed later.
    pub fn set_approval_queue(&self, queue: Arc<dyn Approvals>) {
        let _ = self.approval_queue.set(queue);
    }

    /// Creates the user's servers. From now on the listener receives the notifications of all shared servers.
    pub fn start_listening(&self, listener: Arc<dyn ServerListener>) {
        let _ = self.listener.set(listener);
        let (project, changes) = self.build_project(&self.deps.home, &InstanceScope::User);
        self.follow_servers(&project, changes, InstanceScope::User);
        self.lock_projects().user = Some(Arc::new(project));
    }

    /// Sets the log level that a session in `directory` wants of the shared servers: at once for running servers, and
    /// at their start for the others.
    pub fn want_logs(&self, level: LogLevel, directory: &Path) {
        let inner = self.lock_projects();
        for project in inner.user.iter().chain(inner.projects.get(directory)) {
            project.raise_log_level(level);
        }
    }

    /// The scope in which a session in `directory` reaches this server; none where each session runs its own.
    #[must_use]
    pub fn scope_of(&self, server: &ServerName, directory: &Path) -> Option<InstanceScope> {
        match find_server(&self.deps.config.load(), server)?.instance {
            ServerInstance::User => Some(InstanceScope::User),
            ServerInstance::Session if !self.is_remote(directory) => None,
            ServerInstance::Project | ServerInstance::Session => Some(self.scope_in(directory)),
        }
    }

    /// The directory of the servers of one principal over HTTPS.
    #[must_use]
    pub fn remote_directory(&self) -> &Path {
        &self.deps.remote_directory
    }

    /// Whether a directory belongs to a principal over HTTPS.
    #[must_use]
    pub fn is_remote(&self, directory: &Path) -> bool {
        directory.starts_with(&self.deps.remote_directory)
    }

    fn scope_in(&self, directory: &Path) -> InstanceScope {
        match self.is_remote(directory) {
            true => InstanceScope::Remote(directory.to_owned()),
            false => InstanceScope::Project(directory.to_owned()),
        }
    }

    /// The servers through which calls to `server` go.
    ///
    /// # Errors
    /// If there is no such server, or the daemon is ending.
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
        if found.instance == ServerInstance::User {
            return inner.user.clone().ok_or_else(ending);
        }
        let project = inner.projects.entry(directory.to_owned()).or_insert_with(|| {
            let scope = self.scope_in(directory);
            let (project, changes) = self.build_project(directory, &scope);
            self.follow_servers(&project, changes, scope);
            Arc::new(project)
        });
        *lock(&project.last_used) = Instant::now();
        Ok(Arc::clone(project))
    }

    /// Connects the listener with the shared servers of this set. The notifications of the other servers are dropped:
    /// a session would take them for those of its own process.
    fn follow_servers(
        &self,
        project: &ProjectUpstreams,
        mut changes: mpsc::Receiver<ServerChange>,
        scope: InstanceScope,
    ) {
        let Some(listener) = self.listener.get().cloned() else { return };
        let (config, of) = (Arc::clone(&self.deps.config), scope.clone());
        let is_reached = move |server: &ServerName| {
            find_server(&config.load(), server).is_some_and(|server| of.is_of(server.instance))
        };
        let (hears, is_heard, of) = (Arc::clone(&listener), is_reached.clone(), scope.clone());
        project.upstreams.set_event_sink(Arc::new(move |event| {
            if is_heard(event.server()) {
                hears.take_event(&of, event);
            }
        }));
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                if is_reached(change.server()) {
                    listener.take_change(&scope, change);
                }
            }
        });
    }

    /// The set with the shared servers of this scope.
    fn find_scope(&self, scope: &InstanceScope, server: &ServerName) -> Option<Arc<ProjectUpstreams>> {
        let instance = find_server(&self.deps.config.load(), server)?.instance;
        let directory = match scope {
            InstanceScope::User => &self.deps.home,
            InstanceScope::Project(directory) | InstanceScope::Remote(directory) => directory,
        };
        scope.is_of(instance).then(|| self.project_for(server, directory).ok()).flatten()
    }

    /// The recent or freshly fetched listing of a shared server; the catalog is updated.
    ///
    /// # Errors
    /// If the server isn't shared or doesn't answer.
    pub async fn scope_listing(
        &self,
        scope: &InstanceScope,
        server: &ServerName,
    ) -> Result<Arc<ServerListing>, ServerError> {
        let Some(project) = self.find_scope(scope, server) else {
            return Err(ServerError::Unknown(server.clone()));
        };
        let catalog = &project.pipeline.catalog;
        let listing = self.listing_slot(scope, server);
        let mut kept = listing.cached.lock().await;
        // Read before the server is asked: a change during the request then leaves the cached listing
        // outdated.
        let generation = listing.generation.load(Ordering::Acquire);
        if let Some(kept) = &*kept
            && kept.generation == generation
            && kept.read_at.elapsed() < LISTING_LIFETIME
        {
            return Ok(Arc::clone(&kept.listing));
        }
        let announcements = project.pipeline.listing_fetches.announcements(server);
        match project.upstreams.fetch_listing(server).await {
            Ok(offer) => {
                let offer = Arc::new(offer);
                let fetched = ServerListing::clone(&offer);
                let changes = project.pipeline.adopt_listing(server, fetched, announcements);
                if kept.is_some() {
                    lock(&listing.unreported_changes).extend(changes);
                }
                *kept =
                    Some(CachedListing { listing: Arc::clone(&offer), generation, read_at: Instant::now() });
                Ok(offer)
            }
            Err(error) => {
                let reason = self.deps.anonymizer.load().conceal_text(&error.describe_for_listing());
                catalog.record_listing_failure(server, reason.into_inner());
                Err(error)
            }
        }
    }

    /// Marks a shared server's listing as outdated. Returns true if no task is asking it again yet; then the
    /// caller must call [`Self::relist_server`].
    #[must_use]
    pub fn mark_outdated(&self, scope: &InstanceScope, server: &ServerName) -> bool {
        if let Some(project) = self.find_scope(scope, server) {
            project.pipeline.listing_fetches.mark_outdated(server);
        }
        let listing = self.listing_slot(scope, server);
        listing.generation.fetch_add(1, Ordering::AcqRel);
        !listing.is_followed.swap(true, Ordering::AcqRel)
    }

    /// Asks an outdated server again, and returns the lists that differ from what sessions were told; none if
    /// nothing is left to do.
    ///
    /// # Errors
    /// If it doesn't answer; then the caller must ask again.
    pub async fn relist_server(
        &self,
        scope: &InstanceScope,
        server: &ServerName,
    ) -> Result<Option<Vec<ListKind>>, ServerError> {
        let listing = self.listing_slot(scope, server);
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
            // The listing may have become outdated just before the flag was cleared. Then either this task or
            // the one that set the flag again continues.
            let is_done = is_current(&*listing.cached.lock().await);
            if is_done || listing.is_followed.swap(true, Ordering::AcqRel) {
                return Ok(None);
            }
        }
        match self.scope_listing(scope, server).await {
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

    /// Lets one of the user's servers be reached at once with the credential that it has now, and lists it again.
    /// Sessions are told of its lists, also where they never had any.
    pub fn renew(&self, server: &ServerName) {
        let Some(user) = self.lock_projects().user.clone() else { return };
        if user.upstreams.renew(server).is_err() {
            return;
        }
        let listing = self.listing_slot(&InstanceScope::User, server);
        let all = [ListKind::Tools, ListKind::Resources, ListKind::Prompts];
        lock(&listing.unreported_changes).extend(all);
        if let Some(listener) = self.listener.get() {
            listener.take_change(&InstanceScope::User, ServerChange::Ended(server.clone()));
        }
        listing.renewed.notify_one();
    }

    /// Returns when [`Self::renew`] was called for this server since the last time.
    pub async fn wait_for_renewal(&self, scope: &InstanceScope, server: &ServerName) {
        self.listing_slot(scope, server).renewed.notified().await;
    }

    fn listing_slot(&self, scope: &InstanceScope, server: &ServerName) -> Arc<SharedListing> {
        let mut listings = lock(&self.listings);
        Arc::clone(listings.entry((scope.clone(), server.clone())).or_default())
    }

    /// Whether a shared server runs or is starting.
    #[must_use]
    pub fn is_running(&self, scope: &InstanceScope, server: &ServerName) -> bool {
        let found = {
            let inner = self.lock_projects();
            match scope {
                InstanceScope::User => inner.user.clone(),
                InstanceScope::Project(directory) | InstanceScope::Remote(directory) => {
                    inner.projects.get(directory).cloned()
                }
            }
        };
        let health = found.map(|project| project.upstreams.health()).unwrap_or_default();
        let condition =
            health.into_iter().find(|health| health.server == *server).map(|health| health.condition);
        matches!(condition, Some(ServerCondition::Starting | ServerCondition::Ready))
    }

    /// The health of all servers: the daemon's own, the user's first, then every other server of the
    /// configuration as idle, since those run in sessions.
    #[must_use]
    pub fn health(&self) -> Vec<ServerHealth> {
        let mut servers: Vec<ServerHealth> = {
            let inner = self.lock_projects();
            let all = inner.user.iter().chain(inner.projects.values());
            all.flat_map(|project| project.upstreams.health()).collect()
        };
        let known = self.known_tools();
        for server in &self.deps.config.load().servers {
            if !servers.iter().any(|health| health.server == server.name) {
                let tools = known.iter().filter(|tool| tool.server == server.name).count();
                servers.push(ServerHealth {
                    server: server.name.clone(),
                    condition: ServerCondition::Idle,
                    pid: None,
                    tools: (tools > 0).then_some(tools),
                });
            }
        }
        servers
    }

    /// The servers over HTTP that want a login or another credential, each with the next step.
    #[must_use]
    pub fn logins_needed(&self) -> Vec<(ServerName, String)> {
        let user = self.lock_projects().user.clone();
        let health = user.map(|user| user.upstreams.health()).unwrap_or_default();
        let needed = health.into_iter().filter_map(|health| match health.condition {
            ServerCondition::LoginNeeded(step) => Some((health.server, step)),
            ServerCondition::Idle
            | ServerCondition::Starting
            | ServerCondition::Ready
            | ServerCondition::Failed(_) => None,
        });
        needed.collect()
    }

    /// Tells of each change of the condition of one of the user's servers; none before [`Self::start_listening`].
    #[must_use]
    pub fn subscribe_user_servers(&self) -> Option<watch::Receiver<u64>> {
        self.lock_projects().user.as_ref().map(|user| user.upstreams.subscribe_generations())
    }

    /// The entries that servers offer and that can't be listed, in one line for each server.
    #[must_use]
    pub fn describe_omitted_entries(&self) -> Vec<(ServerName, String)> {
        let anonymizer = self.deps.anonymizer.load();
        let all = self.deps.catalog.omitted_entries(&|name| anonymizer.is_private(name));
        let describe = |one: &OmittedEntries| format!("{}; {}", one.describe(&anonymizer), one.hint());
        all.iter().map(|one| (one.server.clone(), describe(one))).collect()
    }

    /// A tool as its server lists it in `directory`, or as it was last known anywhere.
    #[must_use]
    pub fn find_tool(&self, tool: &ToolId, directory: &Path) -> Option<Arc<Tool>> {
        let here = self.lock_projects().projects.get(directory).cloned();
        let here = here.and_then(|project| project.pipeline.catalog.tool(tool));
        here.or_else(|| self.deps.catalog.tool(tool))
    }

    /// All tools that the daemon knows, in any directory.
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

    /// Applies the current configuration; unchanged servers continue to run.
    pub fn apply_config(&self) {
        let config = self.deps.config.load();
        self.deps.catalog.replace_servers(&config.servers);
        lock(&self.listings).clear();
        let inner = self.lock_projects();
        if let Some(user) = &inner.user {
            user.upstreams.replace_servers(servers_where(&config, true));
        }
        for project in inner.projects.values() {
            project.upstreams.replace_servers(servers_where(&config, false));
            project.pipeline.catalog.replace_servers(&config.servers);
        }
    }

    /// Ends every server with this reference in its entry, because it stands for another value now.
    pub fn restart_with(&self, reference: &SecretReference) {
        let inner = self.lock_projects();
        for project in inner.user.iter().chain(inner.projects.values()) {
            project.upstreams.restart_with(reference);
        }
    }

    /// Ends these servers, wherever they run. Each starts again when it is called.
    pub fn restart_servers(&self, servers: &BTreeSet<ServerName>) {
        let inner = self.lock_projects();
        for project in inner.user.iter().chain(inner.projects.values()) {
            project.upstreams.restart_servers(servers);
        }
    }

    /// Closes the servers of idle projects. With a `project` server, and for a principal over HTTPS, they aren't idle
    /// while a session in their directory is connected, which `has_session` tells.
    pub async fn close_idle_projects(&self, has_session: impl Fn(&Path) -> bool) {
        let idle: Vec<_> = {
            let mut inner = self.lock_projects();
            let config = self.deps.config.load();
            let has_project_servers =
                config.servers.iter().any(|server| server.instance == ServerInstance::Project);
            let keeps = |directory: &Path| has_project_servers || self.is_remote(directory);
            let is_idle = |directory: &Path, project: &Arc<ProjectUpstreams>| {
                let used = *lock(&project.last_used);
                // A count of one means that only this table holds the project, so no call is running there.
                let is_unused = Arc::strong_count(project) == 1 && used.elapsed() >= IDLE_TIMEOUT;
                is_unused && !(keeps(directory) && has_session(directory))
            };
            inner.projects.extract_if(|directory, project| is_idle(directory, project)).collect()
        };
        for (_, project) in idle {
            project.upstreams.close().await;
        }
    }

    /// Closes every server; none is started again.
    pub async fn close(&self) {
        let all: Vec<_> = {
            let mut inner = self.lock_projects();
            inner.closed = true;
            let projects = inner.projects.drain().map(|(_, project)| project).collect::<Vec<_>>();
            inner.user.take().into_iter().chain(projects).collect()
        };
        futures_util::future::join_all(all.iter().map(|project| project.upstreams.close())).await;
    }

    fn conceal_error(&self, error: &ServerError) -> String {
        self.deps.anonymizer.load().conceal_text(&error.to_string()).into_inner()
    }

    fn build_project(
        &self,
        directory: &Path,
        scope: &InstanceScope,
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
            http: Some(Arc::clone(&parts.http)),
            references: Some(Arc::clone(&parts.references)),
        };
        let is_users = *scope == InstanceScope::User;
        let catalog = match is_users {
            true => Arc::clone(&parts.catalog),
            false => Arc::new(Catalog::new(&config.servers, None)),
        };
        let (fleet, changes) = Upstreams::new(servers_where(&config, is_users), launch);
        let pipeline = Pipeline {
            anonymizer: Arc::clone(&parts.anonymizer),
            policy: Arc::clone(&parts.policy),
            catalog,
            servers: Arc::clone(&fleet) as _,
            audit: Arc::clone(&parts.audit),
            clock: Arc::clone(&parts.clock),
            approvals: Arc::clone(self.approval_queue.get().expect("the queue is set before the first call")),
            grant_uses: Arc::clone(&parts.uses),
            policy_source: Arc::new(InDaemon),
            shared_servers: Arc::new(InDaemon),
            shared_names: ArcSwap::default(),
            definitions: DefinitionWatch::new(Arc::clone(&parts.definitions)),
            listing_fetches: ListingFetches::default(),
            redaction_memory: RedactionMemory::default(),
            withheld_reports: Arc::default(),
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

/// The user's servers, or those of a project.
fn servers_where(config: &Config, is_users: bool) -> Vec<config::ServerConfig> {
    let is_wanted = |server: &&config::ServerConfig| (server.instance == ServerInstance::User) == is_users;
    config.servers.iter().filter(is_wanted).cloned().collect()
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
            // Last, because asking a server takes time and the configuration may have changed meanwhile.
            Ok(BindingInputs { configured: self.configured_inputs(call)?, definition, child: None })
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

impl ServerSettings for DaemonUpstreams {
    fn is_stateless(&self, server: &ServerName) -> bool {
        find_server(&self.deps.config.load(), server).is_some_and(|server| server.stateless)
    }

    fn handover_timeout(&self, server: &ServerName) -> Duration {
        let config = self.deps.config.load();
        let limits = &config.settings.limits;
        let request = find_server(&config, server).and_then(|server| server.timeout);
        let request = request.unwrap_or(limits.request_timeout);
        // The session may have to list the server's tools first, and may know a timeout that the daemon doesn't.
        request.saturating_add(limits.start_timeout.saturating_mul(2)).max(MIN_HANDOVER_TIMEOUT)
    }
}
