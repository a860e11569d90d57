//! One life of the daemon: queue, overrides and executor behind a real pipeline, with servers that note what they get.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use portero::anonymize::{Anonymizer, Real};
use portero::catalog::Catalog;
use portero::clock::MonotonicWallClock;
use portero::config::{ServerConfig, ServerInstance, ServerTransport, StdioServer};
use portero::json;
use portero::names::TaskId;
use portero::permit::{Outgoing, Permitted};
use portero::pipeline::{
    CallReply, DefinitionRegistry, DefinitionWatch, InDaemon, ListedDefinitions, ListingFetches, Pipeline,
    RedactionMemory, ServerAccess,
};
use portero::policy::{Action, DecisionSource, PolicyEntry};
use portero::server::{CallOptions, ServerAnswer, ServerError, ServerListing};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::*;
use super::TOOLS;
use super::model::{COOLDOWN_SECONDS, DECISION_SECONDS, START_SECONDS};
use crate::approvals::executor::{CallRunner, Executor, ExecutorDeps};
use crate::overrides::OverrideStore;
use crate::overrides::tests::open_store_in_boot;

/// The servers of all calls: they note what they get, and may keep a caller waiting.
#[derive(Default)]
pub(super) struct RecordingServers {
    pub(super) received: watch::Sender<Vec<String>>,
    /// Whether they keep a caller waiting without end.
    pub(super) holds: AtomicBool,
}

impl ServerAccess for RecordingServers {
    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        let name = TOOLS.iter().find_map(|tool| tool.strip_prefix(server.as_str())?.strip_prefix('/'));
        let tool = format!(r#"{{"name":{:?},"inputSchema":{{"type":"object"}}}}"#, name.unwrap());
        let tools = vec![json::parse_raw(tool).unwrap()];
        Box::pin(async move { Ok(ServerListing { tools, ..ServerListing::default() }) })
    }

    fn call(&self, call: Outgoing, _: CallOptions) -> BoxFuture<'_, Result<ServerAnswer, ServerError>> {
        let text = call.params().expose().get().to_owned();
        self.received.send_modify(|received| received.push(text));
        let holds = self.holds.load(Ordering::SeqCst);
        Box::pin(async move {
            if holds {
                std::future::pending::<()>().await;
            }
            Ok(ServerAnswer::Result(Real::from_server(
                json::parse_raw(r#"{"content":[]}"#.to_owned()).unwrap(),
            )))
        })
    }

    fn set_log_level(&self, _: &str) {}
}

struct NoRegistry;

impl DefinitionRegistry for NoRegistry {
    fn report_listing(&self, _: &ServerName, _: ListedDefinitions) {}

    fn wait_until_registered<'a>(&'a self, _: &'a ServerName) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct PipelineRunner(Arc<Pipeline>);

impl CallRunner for PipelineRunner {
    fn run_call<'a>(
        &'a self,
        permitted: Permitted,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply> {
        Box::pin(self.0.run_permitted(permitted, context, follow))
    }
}

/// One life of the daemon.
pub(super) struct DaemonLife {
    pub(super) fixture: Fixture,
    pub(super) queue: Arc<ApprovalQueue>,
    pub(super) overrides: Arc<OverrideStore>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) executing: JoinHandle<()>,
}

impl DaemonLife {
    pub(super) async fn start(
        fixture: Fixture,
        servers: &Arc<RecordingServers>,
        config: usize,
        boot: u32,
    ) -> Self {
        fixture.settings.store(Arc::new(ApprovalSettings {
            decision_timeout: seconds(DECISION_SECONDS),
            start_timeout: seconds(START_SECONDS),
            deny_cooldown: seconds(COOLDOWN_SECONDS),
            ..ApprovalSettings::default()
        }));
        fixture.policy.store(Arc::new(Policy::new(make_config(config), Overrides::default())));
        let overrides = open_store_in_boot(&fixture, &format!("boot {boot}")).await;
        let task_clock = || Arc::new(MonotonicWallClock::new(Arc::clone(&fixture.clock) as _));
        let queue = ApprovalQueue::new(ApprovalQueueDeps {
            journal: Arc::clone(&fixture.journal),
            binding_source: Arc::clone(&fixture.binding_source) as _,
            children: Arc::clone(&fixture.children) as _,
            server_settings: Arc::clone(&fixture.children) as _,
            policy: Arc::clone(&fixture.policy),
            grant_uses: Arc::clone(&overrides) as _,
            settings: Arc::clone(&fixture.settings),
            clock: task_clock(),
            rejections: fixture.directory.path().join("rejections"),
        });
        let anonymizer = Arc::new(ArcSwap::from_pointee(Anonymizer::empty()));
        let calls = fixture.directory.path().join("calls");
        let audit = AuditWriter::open_on(Arc::new(SystemDisk), &calls, "test", fixture.clock.now()).unwrap();
        let pipeline = Arc::new(Pipeline {
            anonymizer: Arc::clone(&anonymizer),
            policy: Arc::clone(&fixture.policy),
            catalog: Arc::new(Catalog::new(&["mail", "notes"].map(server_config), None)),
            servers: Arc::clone(servers) as _,
            audit: Arc::new(audit),
            clock: Arc::clone(&fixture.clock) as _,
            approvals: Arc::clone(&queue) as _,
            grant_uses: Arc::clone(&overrides) as _,
            policy_source: Arc::new(InDaemon),
            shared_servers: Arc::new(InDaemon),
            shared_names: ArcSwap::default(),
            definitions: DefinitionWatch::new(Arc::new(NoRegistry)),
            listing_fetches: ListingFetches::default(),
            redaction_memory: RedactionMemory::default(),
            withheld_reports: Arc::default(),
        });
        let executor = Executor::new(ExecutorDeps {
            journal: Arc::clone(&fixture.journal),
            approval_queue: Arc::clone(&queue),
            runner: Arc::new(PipelineRunner(Arc::clone(&pipeline))),
            policy: Arc::clone(&fixture.policy),
            settings: Arc::clone(&fixture.settings),
            anonymizer,
            clock: task_clock(),
        });
        overrides.add_call_denials(queue.call_denials().unwrap()).await.unwrap();
        executor.recover_tasks().await.unwrap();
        queue.restore_waiting_calls().unwrap();
        let executing = tokio::spawn(executor.run(CancellationToken::new()));
        Self { fixture, queue, overrides, pipeline, executing }
    }

    pub(super) fn state(&self, task: TaskId) -> TaskState {
        self.queue.find_task(task, None).unwrap().state
    }

    pub(super) fn consumed_uses(&self) -> BTreeMap<u64, u32> {
        let policy = self.fixture.policy.load();
        policy.overrides().grants.iter().map(|grant| (grant.id, grant.used)).collect()
    }

    pub(super) async fn expire_due(&self) {
        self.queue.expire_due().await.unwrap();
        self.overrides.expire_grants().await.unwrap();
    }
}

pub(super) fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

/// The files that the model's table describes.
pub(super) fn make_config(config: usize) -> ConfigPolicy {
    use Action::{Allow, Deny, RequireApproval};
    let (entries, default, locked): (&[(&str, Action)], Action, &[&str]) = match config {
        0 => (&[], RequireApproval, &[]),
        1 => (&[("mail/send", Deny)], RequireApproval, &[]),
        2 => (&[("mail/send", Allow)], RequireApproval, &[]),
        3 => (&[("mail/*", Allow), ("notes/*", Deny)], RequireApproval, &[]),
        4 => (&[("mail/*", RequireApproval)], RequireApproval, &["mail/send"]),
        5 => (&[], Deny, &[]),
        _ => (&[("notes/add", Allow)], RequireApproval, &["notes/*"]),
    };
    let entry = |(pattern, action): &(&str, Action)| PolicyEntry {
        pattern: pattern.parse().unwrap(),
        action: *action,
        cases: Vec::new(),
        source: DecisionSource::Config { line: 1, column: 1 },
    };
    ConfigPolicy {
        entries: entries.iter().map(entry).collect(),
        default,
        locked: locked.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        ..ConfigPolicy::default()
    }
}

fn server_config(name: &str) -> ServerConfig {
    ServerConfig {
        name: name.parse().unwrap(),
        transport: ServerTransport::Stdio(StdioServer {
            command: "never-started".to_owned(),
            ..StdioServer::default()
        }),
        timeout: None,
        prefix: true,
        instance: ServerInstance::Session,
        stateless: true,
        pinned_tools: None,
        categories: Vec::new(),
        roots: None,
    }
}
