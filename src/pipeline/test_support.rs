//! A fixture for tests: a real pipeline with scripted servers, approvals and clock.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::{
    Approvals, BoxFuture, CallContext, CallReply, DefinitionRegistry, DefinitionWatch, GrantUses, JoinedCall,
    ListedDefinitions, ListingFetches, Pipeline, PolicySource, RedactionMemory, Refusal, ServerAccess,
    SharedServers, WaitingCalls,
};
use crate::anonymize::{Anonymizer, Direction, Real, ReplacementRule};
use crate::audit::{self, AuditWriter};
use crate::call::{Call, Method};
use crate::catalog::{Catalog, ListingCache};
use crate::clock::{Clock, TestClock};
use crate::config;
use crate::json::{self, RawJson};
use crate::names::{Principal, ServerName, SessionId, TaskId};
use crate::permit::Outgoing;
use crate::policy::{
    Action, ConfigPolicy, DecisionSource, Grant, GrantLimits, Overrides, Policy, PolicyEntry,
};
use crate::secret::Secret;
use crate::server::{CallOptions, LogLevel, ServerAnswer, ServerError, ServerListing};
use crate::task::{CallOrigin, Task, TaskState};

/// What a server does with a call.
pub(crate) type CallHandler = Arc<
    dyn Fn(ReceivedCall, CallOptions) -> BoxFuture<'static, Result<ServerAnswer, ServerError>> + Send + Sync,
>;

/// What a server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedCall {
    pub(crate) tool: String,
    pub(crate) method: Method,
    pub(crate) params: String,
    pub(crate) meta: Option<String>,
}

/// One server's part.
#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) listing: Result<ServerListing, ServerError>,
    /// The offer waits for a permit; none at all while it is closed.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) handler: CallHandler,
}

/// The servers.
#[derive(Default)]
pub(crate) struct FakeServers {
    pub(crate) servers: Mutex<HashMap<ServerName, FakeServer>>,
    pub(crate) received: Mutex<Vec<ReceivedCall>>,
    pub(crate) levels: Mutex<Vec<String>>,
    pub(crate) listing_fetches: AtomicUsize,
}

/// The scripted approvals.
#[derive(Default)]
pub(crate) struct FakeApprovals {
    pub(crate) submitted: Mutex<Vec<Call>>,
    pub(crate) forwarded: Mutex<Vec<Call>>,
    pub(crate) is_unavailable: AtomicBool,
    /// How many uses of any grant are left.
    pub(crate) uses_left: AtomicUsize,
    /// The grants that have no use left.
    pub(crate) exhausted: Mutex<Vec<u64>>,
    /// The grants of which a use was consumed.
    pub(crate) consumed: Mutex<Vec<u64>>,
    /// The levels of log messages that shared servers were told.
    pub(crate) levels: Mutex<Vec<LogLevel>>,
    /// What servers listed, as it was reported.
    pub(crate) reported: Mutex<Vec<(ServerName, ListedDefinitions)>>,
    /// The calls that wait.
    pub(crate) waiting: WaitingCalls,
    /// What comes of the next calls that join.
    pub(crate) joins: Mutex<VecDeque<Result<JoinedCall, Refusal>>>,
    /// The tasks that calls asked to join.
    pub(crate) joined: Mutex<Vec<TaskId>>,
    /// The servers whose registration was waited for, each with the number of questions before.
    pub(crate) awaited: Mutex<Vec<(ServerName, usize)>>,
    /// What happens while the first use is consumed.
    pub(crate) on_first_use: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// All of it.
pub(crate) struct Fixture {
    pub(crate) servers: Arc<FakeServers>,
    pub(crate) approvals: Arc<FakeApprovals>,
    pub(crate) pipeline: Arc<Pipeline>,
    directory: tempfile::TempDir,
}

/// The settings of a fixture.
#[derive(Default)]
pub(crate) struct FixtureSetup {
    pub(crate) servers: Vec<(&'static str, FakeServer)>,
    pub(crate) policies: Vec<(&'static str, Action)>,
    pub(crate) default: Option<Action>,
    /// Fake and real.
    pub(crate) replacements: Vec<(&'static str, &'static str)>,
    pub(crate) pinned: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) shared: Vec<&'static str>,
    /// The servers that expose their own names.
    pub(crate) unprefixed: Vec<&'static str>,
    /// Where offers are cached.
    pub(crate) cache: Option<PathBuf>,
}

impl FakeServer {
    /// A server with these tools, which answers every call with what it got.
    pub(crate) fn with_tools(names: &[&str]) -> Self {
        let tools = names.iter().map(|name| tool_json(name)).collect();
        Self::with_listing(ServerListing { tools, ..ServerListing::default() })
    }

    pub(crate) fn with_listing(offer: ServerListing) -> Self {
        Self {
            listing: Ok(offer),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            handler: Arc::new(|heard, _| Box::pin(async move { Ok(result_answer(&echo_result(&heard))) })),
        }
    }

    /// Answers every call like this.
    pub(crate) fn answering_with(
        self,
        answer: impl Fn() -> Result<ServerAnswer, ServerError> + Send + Sync + 'static,
    ) -> Self {
        self.handling_calls_with(move |_, _| {
            let answer = answer();
            Box::pin(async move { answer })
        })
    }

    pub(crate) fn handling_calls_with(
        self,
        act: impl Fn(ReceivedCall, CallOptions) -> BoxFuture<'static, Result<ServerAnswer, ServerError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { handler: Arc::new(act), ..self }
    }

    /// Does not say what it offers until its gate opens.
    pub(crate) fn gated(self) -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..self }
    }
}

/// A tool's definition.
pub(crate) fn tool_json(name: &str) -> RawJson {
    raw_json(&format!(
        r#"{{"name":"{name}","description":"does {name}","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string"}}}}}}}}"#
    ))
}

pub(crate) fn raw_json(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("JSON")
}

pub(crate) fn result_answer(text: &str) -> ServerAnswer {
    ServerAnswer::Result(Real::from_server(raw_json(text)))
}

fn echo_result(heard: &ReceivedCall) -> String {
    let text = json::serialize_raw(&heard.params);
    format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)
}

impl ServerAccess for FakeServers {
    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        Box::pin(async move {
            self.listing_fetches.fetch_add(1, Ordering::SeqCst);
            let part = self.servers.lock().unwrap().get(server).cloned();
            let part = part.ok_or_else(|| ServerError::Unknown(server.clone()))?;
            part.gate.acquire().await.expect("a gate is never closed").forget();
            // What it offers may have changed while it was silent.
            self.servers.lock().unwrap()[server].listing.clone()
        })
    }

    fn call(&self, call: Outgoing, follow: CallOptions) -> BoxFuture<'_, Result<ServerAnswer, ServerError>> {
        let heard = ReceivedCall {
            tool: call.tool().to_string(),
            method: call.method(),
            params: call.params().expose().get().to_owned(),
            meta: call.meta().map(|meta| meta.expose().get().to_owned()),
        };
        self.received.lock().unwrap().push(heard.clone());
        let act = Arc::clone(&self.servers.lock().unwrap()[&call.tool().server].handler);
        act(heard, follow)
    }

    fn set_log_level(&self, level: &str) {
        self.levels.lock().unwrap().push(level.to_owned());
    }
}

impl Approvals for FakeApprovals {
    fn submit_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(async move {
            if self.is_unavailable.load(Ordering::SeqCst) {
                return Err(Refusal::DaemonUnavailable(
                    "porterod is not running; approval is not possible now".into(),
                ));
            }
            self.submitted.lock().unwrap().push(call.clone());
            Ok(make_task(call, context.origin.clone(), TaskState::PendingApproval))
        })
    }

    fn preview_call<'a>(
        &'a self,
        _: Call,
        _: &'a CallContext,
    ) -> BoxFuture<'a, Result<Option<TaskId>, Refusal>> {
        let declined = self.is_unavailable.load(Ordering::SeqCst);
        let words = || Refusal::Declined("a person said no to exactly this call".into());
        Box::pin(std::future::ready(if declined { Err(words()) } else { Ok(None) }))
    }

    fn find_waiting(&self, call: &Call, context: &CallContext) -> Option<TaskId> {
        self.waiting.find_task(call, &context.origin.principal, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    fn join_call<'a>(
        &'a self,
        task: TaskId,
        _: Call,
        _: &'a CallContext,
    ) -> BoxFuture<'a, Result<JoinedCall, Refusal>> {
        Box::pin(async move {
            self.joined.lock().unwrap().push(task);
            self.joins.lock().unwrap().pop_front().unwrap_or(Ok(JoinedCall::Ended))
        })
    }
}

impl SharedServers for FakeApprovals {
    fn forward_call<'a>(
        &'a self,
        call: Call,
        _: &'a CallContext,
        _: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        Box::pin(async move {
            let result = json::serialize_raw(&serde_json::json!({ "content": [], "got": call.params.get() }));
            self.forwarded.lock().unwrap().push(call);
            CallReply::Result(Anonymizer::empty().conceal_local(result).expect("nothing to conceal"))
        })
    }

    fn set_log_level(&self, level: LogLevel) {
        self.levels.lock().unwrap().push(level);
    }

    fn fetch_listing<'a>(&'a self, _: &'a ServerName) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        Box::pin(async { Ok(ServerListing { tools: vec![tool_json("remote")], ..ServerListing::default() }) })
    }
}

impl DefinitionRegistry for FakeApprovals {
    fn report_listing(&self, server: &ServerName, definitions: ListedDefinitions) {
        self.reported.lock().unwrap().push((server.clone(), definitions));
    }

    fn wait_until_registered<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, ()> {
        self.awaited.lock().unwrap().push((server.clone(), self.submitted.lock().unwrap().len()));
        Box::pin(std::future::ready(()))
    }
}

impl PolicySource for FakeApprovals {
    fn wait_for_policy(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn refresh_policy(&self) {}
}

impl GrantUses for FakeApprovals {
    fn consume_use<'a>(&'a self, grant: u64, _: &'a Call, _: &'a CallContext) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.exhausted.lock().unwrap().contains(&grant) {
                return false;
            }
            let one_less = |left: usize| left.checked_sub(1);
            let consumed = self.uses_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
            if consumed {
                self.consumed.lock().unwrap().push(grant);
            }
            if let Some(meanwhile) = self.on_first_use.lock().unwrap().take() {
                meanwhile();
            }
            consumed
        })
    }
}

/// A task as the approvals would make it.
pub(crate) fn make_task(call: Call, origin: CallOrigin, state: TaskState) -> Task {
    let asked = "2026-01-02T03:04:05Z".parse().unwrap();
    Task {
        id: TaskId::fresh(),
        state,
        decision: Policy::default().decide(&call.tool, None, None, TestClock::at(asked).now()),
        call,
        origin,
        binding: "b".into(),
        asked,
        expires: "2026-01-03T03:04:05Z".parse().unwrap(),
        changed: asked,
        note: None,
        result: None,
        error: None,
        repeats: None,
        repeated: None,
        child: None,
        fresh: false,
        votes: Vec::new(),
        quorums: Vec::new(),
    }
}

impl Fixture {
    pub(crate) fn new(set: FixtureSetup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-01-02T03:04:05Z".parse().unwrap()));
        let configured: Vec<config::ServerConfig> = set
            .servers
            .iter()
            .map(|(name, _)| server_config(name, &set))
            .chain(set.shared.iter().map(|name| server_config(name, &set)))
            .collect();
        let actors = Arc::new(FakeServers::default());
        *actors.servers.lock().unwrap() =
            set.servers.into_iter().map(|(name, part)| (name.parse().unwrap(), part)).collect();
        let window = Arc::new(FakeApprovals::default());
        let pipeline = Arc::new(Pipeline {
            anonymizer: Arc::new(ArcSwap::from_pointee(make_anonymizer(&set.replacements))),
            policy: Arc::new(ArcSwap::from_pointee(make_policy(&set.policies, set.default))),
            catalog: Arc::new(Catalog::new(
                &configured,
                set.cache.map(|folder| ListingCache::new(folder, "/project".into())),
            )),
            servers: Arc::clone(&actors) as _,
            audit: Arc::new(
                AuditWriter::open(directory.path(), "portero", clock.now())
                    .unwrap()
                    .with_key(audit::DigestKey::open(&directory.path().join("audit.key"))),
            ),
            clock: Arc::clone(&clock) as _,
            approvals: Arc::clone(&window) as _,
            grant_uses: Arc::clone(&window) as _,
            policy_source: Arc::clone(&window) as _,
            shared_servers: Arc::clone(&window) as _,
            shared_names: ArcSwap::from_pointee(
                set.shared.iter().map(|name| name.parse().unwrap()).collect(),
            ),
            definitions: DefinitionWatch::new(Arc::clone(&window) as _),
            listing_fetches: ListingFetches::default(),
            redaction_memory: RedactionMemory::default(),
            withheld_reports: Arc::default(),
        });
        Self { servers: actors, approvals: window, pipeline, directory }
    }

    /// What the audit holds, as JSON text, without the records of processes.
    pub(crate) fn audit_events(&self) -> Vec<String> {
        let log = audit::read_log(self.directory.path(), &audit::RecordFilter::default()).unwrap();
        log.entries
            .iter()
            .filter(|entry| !matches!(entry.record.event, audit::AuditEvent::Process { .. }))
            .map(|entry| serde_json::to_string(&entry.record.event).unwrap())
            .collect()
    }

    pub(crate) fn received_calls(&self) -> Vec<ReceivedCall> {
        self.servers.received.lock().unwrap().clone()
    }

    /// Changes what people said.
    pub(crate) fn set_policy(&self, policies: &[(&'static str, Action)], default: Option<Action>) {
        self.pipeline.policy.store(Arc::new(make_policy(policies, default)));
    }

    /// What a person granted, on everything, for an hour.
    pub(crate) fn add_grant(&self, id: u64, limits: GrantLimits) {
        let policy = self.pipeline.policy.load();
        let mut standing = policy.overrides().clone();
        standing.boot_id = "boot".to_owned();
        standing.grants.push(Grant {
            id,
            pattern: "*".parse().unwrap(),
            made: self.pipeline.clock.now(),
            boot_id: "boot".to_owned(),
            millis: 3_600_000,
            limits,
            used: 0,
        });
        self.pipeline.policy.store(Arc::new(policy.with_overrides(standing)));
    }

    /// Changes what a server offers.
    pub(crate) fn set_listing(&self, server: &str, offer: ServerListing) {
        self.servers.servers.lock().unwrap().get_mut(&server.parse().unwrap()).unwrap().listing = Ok(offer);
    }

    /// Lets a slow server speak.
    pub(crate) fn open_gate(&self, server: &str) {
        let server: ServerName = server.parse().unwrap();
        self.servers.servers.lock().unwrap()[&server].gate.add_permits(1000);
    }

    pub(crate) fn origin(&self) -> CallOrigin {
        CallOrigin {
            principal: Principal::from_project(&PathBuf::from("/project")),
            session: SessionId::fresh(),
            agent_session: None,
            client: self.pipeline.anonymizer.load().conceal_text("nobody"),
            directory: PathBuf::from("/project"),
        }
    }

    pub(crate) fn context(&self) -> CallContext {
        CallContext { origin: self.origin(), task: None }
    }

    /// A concealed call of a tool.
    pub(crate) fn make_call(&self, tool: &str, params: &str) -> Call {
        let params = self.pipeline.anonymizer.load().conceal_local(raw_json(params)).expect("concealed");
        Call { tool: tool.parse().unwrap(), method: Method::CallTool, params, meta: None }
    }
}

pub(crate) fn make_policy(policies: &[(&'static str, Action)], default: Option<Action>) -> Policy {
    let entries = policies
        .iter()
        .map(|(pattern, action)| PolicyEntry {
            pattern: pattern.parse().unwrap(),
            action: *action,
            cases: Vec::new(),
            source: DecisionSource::Config { line: 1, column: 1 },
        })
        .collect();
    let config =
        ConfigPolicy { entries, default: default.unwrap_or(Action::Allow), ..ConfigPolicy::default() };
    Policy::new(config, Overrides::default())
}

fn make_anonymizer(replacements: &[(&str, &str)]) -> Anonymizer {
    let rules: Vec<ReplacementRule> = replacements
        .iter()
        .map(|(fake, real)| ReplacementRule {
            fake: (*fake).to_owned(),
            real: Secret::new(*real),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: Some("name".to_owned()),
            servers: None,
        })
        .collect();
    Anonymizer::new(&rules).expect("rules that hold together")
}

fn server_config(name: &str, set: &FixtureSetup) -> config::ServerConfig {
    let pinned = set.pinned.iter().find(|(server, _)| *server == name);
    config::ServerConfig {
        name: name.parse().unwrap(),
        transport: config::ServerTransport::Stdio(config::StdioServer {
            command: "nothing".into(),
            ..config::StdioServer::default()
        }),
        timeout: None,
        prefix: !set.unprefixed.contains(&name),
        instance: match set.shared.contains(&name) {
            true => config::ServerInstance::User,
            false => config::ServerInstance::Session,
        },
        stateless: false,
        pinned_tools: pinned.map(|(_, tools)| tools.iter().map(|tool| (*tool).to_owned()).collect()),
        categories: Vec::new(),
        roots: None,
    }
}

/// Waits for a condition, for ten seconds at most.
pub(crate) async fn wait_until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("it happens in time");
}
