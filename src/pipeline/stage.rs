//! A stage for tests: servers, a desk and a clock that do as they are told, around a real pipeline.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::{BoxFuture, Context, Desk, Offers, Pipeline, Refusal, Reply, Servers, Uses};
use crate::anonymize::{Anonymizer, Direction, Real, Rule};
use crate::audit::{self, Segment};
use crate::call::{Call, Method};
use crate::catalog::{Cache, Catalog};
use crate::clock::{Clock, TestClock};
use crate::config;
use crate::json::{self, RawJson};
use crate::names::{Principal, ServerName, SessionId, TaskId};
use crate::permit::Outgoing;
use crate::policy::{Action, ConfigPolicy, Entry, Grant, Limits, Policy, Source, Standing};
use crate::secret::Secret;
use crate::server::{Answer, Follow, LogLevel, Offer, ServerError};
use crate::task::{Origin, State, Task};

/// What a server does with a call.
pub(crate) type Act =
    Arc<dyn Fn(Heard, Follow) -> BoxFuture<'static, Result<Answer, ServerError>> + Send + Sync>;

/// What a server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) tool: String,
    pub(crate) method: Method,
    pub(crate) params: String,
    pub(crate) meta: Option<String>,
}

/// One server's part.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) offer: Result<Offer, ServerError>,
    /// The offer waits for a permit; none at all while it is closed.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) act: Act,
}

/// The servers.
#[derive(Default)]
pub(crate) struct Actors {
    pub(crate) parts: Mutex<HashMap<ServerName, Part>>,
    pub(crate) heard: Mutex<Vec<Heard>>,
    pub(crate) levels: Mutex<Vec<String>>,
    pub(crate) offers: AtomicUsize,
}

/// The desk.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) submitted: Mutex<Vec<Call>>,
    pub(crate) forwarded: Mutex<Vec<Call>>,
    pub(crate) closed: AtomicBool,
    /// How many uses of any grant are left.
    pub(crate) uses: AtomicUsize,
    /// The grants of which nobody gets a use.
    pub(crate) spent: Mutex<Vec<u64>>,
    /// The grants of which a use was consumed.
    pub(crate) consumed: Mutex<Vec<u64>>,
    /// The levels of log messages that shared servers were told.
    pub(crate) levels: Mutex<Vec<LogLevel>>,
    /// What happens while the first use is consumed.
    pub(crate) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// All of it.
pub(crate) struct Stage {
    pub(crate) actors: Arc<Actors>,
    pub(crate) window: Arc<Window>,
    pub(crate) pipeline: Arc<Pipeline>,
    directory: tempfile::TempDir,
}

/// What a stage is set up with.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) servers: Vec<(&'static str, Part)>,
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

impl Part {
    /// A server with these tools, which answers every call with what it got.
    pub(crate) fn with_tools(names: &[&str]) -> Self {
        let tools = names.iter().map(|name| tool(name)).collect();
        Self::offering(Offer { tools, ..Offer::default() })
    }

    pub(crate) fn offering(offer: Offer) -> Self {
        Self {
            offer: Ok(offer),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            act: Arc::new(|heard, _| Box::pin(async move { Ok(result(&echo(&heard))) })),
        }
    }

    /// Answers every call like this.
    pub(crate) fn answering(
        self,
        answer: impl Fn() -> Result<Answer, ServerError> + Send + Sync + 'static,
    ) -> Self {
        self.acting(move |_, _| {
            let answer = answer();
            Box::pin(async move { answer })
        })
    }

    pub(crate) fn acting(
        self,
        act: impl Fn(Heard, Follow) -> BoxFuture<'static, Result<Answer, ServerError>> + Send + Sync + 'static,
    ) -> Self {
        Self { act: Arc::new(act), ..self }
    }

    /// Does not say what it offers until its gate opens.
    pub(crate) fn slow(self) -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..self }
    }
}

/// A tool's definition.
pub(crate) fn tool(name: &str) -> RawJson {
    raw(&format!(
        r#"{{"name":"{name}","description":"does {name}","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string"}}}}}}}}"#
    ))
}

pub(crate) fn raw(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("JSON")
}

pub(crate) fn result(text: &str) -> Answer {
    Answer::Result(Real::from_server(raw(text)))
}

fn echo(heard: &Heard) -> String {
    let text = json::raw(&heard.params);
    format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)
}

impl Servers for Actors {
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(async move {
            self.offers.fetch_add(1, Ordering::SeqCst);
            let part = self.parts.lock().unwrap().get(server).cloned();
            let part = part.ok_or_else(|| ServerError::Unknown(server.clone()))?;
            part.gate.acquire().await.expect("a gate is never closed").forget();
            // What it offers may have changed while it was silent.
            self.parts.lock().unwrap()[server].offer.clone()
        })
    }

    fn call(&self, call: Outgoing, follow: Follow) -> BoxFuture<'_, Result<Answer, ServerError>> {
        let heard = Heard {
            tool: call.tool().to_string(),
            method: call.method(),
            params: call.params().expose().get().to_owned(),
            meta: call.meta().map(|meta| meta.expose().get().to_owned()),
        };
        self.heard.lock().unwrap().push(heard.clone());
        let act = Arc::clone(&self.parts.lock().unwrap()[&call.tool().server].act);
        act(heard, follow)
    }

    fn set_log_level(&self, level: &str) {
        self.levels.lock().unwrap().push(level.to_owned());
    }
}

impl Desk for Window {
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(async move {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Refusal::NoDesk("porterod is not running; approval is not possible now".into()));
            }
            self.submitted.lock().unwrap().push(call.clone());
            Ok(task(call, context.origin.clone(), State::PendingApproval))
        })
    }

    fn forward<'a>(&'a self, call: Call, _: &'a Context, _: Follow) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let result = json::raw(&serde_json::json!({ "content": [], "got": call.params.get() }));
            self.forwarded.lock().unwrap().push(call);
            Reply::Result(Anonymizer::none().conceal_own(result).expect("nothing to conceal"))
        })
    }

    fn set_log_level(&self, level: LogLevel) {
        self.levels.lock().unwrap().push(level);
    }

    fn offer<'a>(&'a self, _: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(async { Ok(Offer { tools: vec![tool("remote")], ..Offer::default() }) })
    }
}

impl Uses for Window {
    fn consume<'a>(&'a self, grant: u64, _: &'a Call, _: &'a Context) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.spent.lock().unwrap().contains(&grant) {
                return false;
            }
            let one_less = |left: usize| left.checked_sub(1);
            let consumed = self.uses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
            if consumed {
                self.consumed.lock().unwrap().push(grant);
            }
            if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
                meanwhile();
            }
            consumed
        })
    }
}

/// A task as the desk would make it.
pub(crate) fn task(call: Call, origin: Origin, state: State) -> Task {
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
        votes: Vec::new(),
        quorums: Vec::new(),
    }
}

impl Stage {
    pub(crate) fn new(set: Set) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-01-02T03:04:05Z".parse().unwrap()));
        let configured: Vec<config::Server> = set
            .servers
            .iter()
            .map(|(name, _)| configured(name, &set))
            .chain(set.shared.iter().map(|name| configured(name, &set)))
            .collect();
        let actors = Arc::new(Actors::default());
        *actors.parts.lock().unwrap() =
            set.servers.into_iter().map(|(name, part)| (name.parse().unwrap(), part)).collect();
        let window = Arc::new(Window::default());
        let pipeline = Arc::new(Pipeline {
            anonymizer: Arc::new(ArcSwap::from_pointee(anonymizer(&set.replacements))),
            policy: Arc::new(ArcSwap::from_pointee(policy(&set.policies, set.default))),
            catalog: Arc::new(Catalog::new(
                &configured,
                set.cache.map(|folder| Cache::new(folder, "/project".into())),
            )),
            fleet: Arc::clone(&actors) as _,
            audit: Arc::new(
                Segment::open(directory.path(), "portero", clock.now())
                    .unwrap()
                    .with_key(audit::Key::open(&directory.path().join("audit.key"))),
            ),
            clock: Arc::clone(&clock) as _,
            desk: Arc::clone(&window) as _,
            uses: Arc::clone(&window) as _,
            shared: ArcSwap::from_pointee(set.shared.iter().map(|name| name.parse().unwrap()).collect()),
            offers: Offers::default(),
        });
        Self { actors, window, pipeline, directory }
    }

    /// What the audit holds, as JSON text, without the records of processes.
    pub(crate) fn audited(&self) -> Vec<String> {
        let log = audit::read(self.directory.path(), &audit::Filter::default()).unwrap();
        log.entries
            .iter()
            .filter(|entry| !matches!(entry.record.event, audit::Event::Process { .. }))
            .map(|entry| serde_json::to_string(&entry.record.event).unwrap())
            .collect()
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.actors.heard.lock().unwrap().clone()
    }

    /// Changes what people said.
    pub(crate) fn set_policy(&self, policies: &[(&'static str, Action)], default: Option<Action>) {
        self.pipeline.policy.store(Arc::new(policy(policies, default)));
    }

    /// What a person granted, on everything, for an hour.
    pub(crate) fn grant(&self, id: u64, limits: Limits) {
        let policy = self.pipeline.policy.load();
        let mut standing = policy.standing().clone();
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
        self.pipeline.policy.store(Arc::new(policy.with_standing(standing)));
    }

    /// Changes what a server offers.
    pub(crate) fn set_offer(&self, server: &str, offer: Offer) {
        self.actors.parts.lock().unwrap().get_mut(&server.parse().unwrap()).unwrap().offer = Ok(offer);
    }

    /// Lets a slow server speak.
    pub(crate) fn open(&self, server: &str) {
        let server: ServerName = server.parse().unwrap();
        self.actors.parts.lock().unwrap()[&server].gate.add_permits(1000);
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin {
            principal: Principal::of_project(&PathBuf::from("/project")),
            session: SessionId::fresh(),
            agent_session: None,
            client: self.pipeline.anonymizer.load().conceal_text("nobody"),
            directory: PathBuf::from("/project"),
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context { origin: self.origin(), task: None }
    }

    /// A concealed call of a tool.
    pub(crate) fn call(&self, tool: &str, params: &str) -> Call {
        let params = self.pipeline.anonymizer.load().conceal_own(raw(params)).expect("concealed");
        Call { tool: tool.parse().unwrap(), method: Method::CallTool, params, meta: None }
    }
}

pub(crate) fn policy(policies: &[(&'static str, Action)], default: Option<Action>) -> Policy {
    let entries = policies
        .iter()
        .map(|(pattern, action)| Entry {
            pattern: pattern.parse().unwrap(),
            action: *action,
            cases: Vec::new(),
            source: Source::Config { line: 1, column: 1 },
        })
        .collect();
    let config =
        ConfigPolicy { entries, default: default.unwrap_or(Action::Allow), ..ConfigPolicy::default() };
    Policy::new(config, Standing::default())
}

fn anonymizer(replacements: &[(&str, &str)]) -> Anonymizer {
    let rules: Vec<Rule> = replacements
        .iter()
        .map(|(fake, real)| Rule {
            fake: (*fake).to_owned(),
            real: Secret::new(*real),
            direction: Direction::Both,
            case_sensitive: true,
            label: Some("name".to_owned()),
            servers: None,
        })
        .collect();
    Anonymizer::new(&rules).expect("rules that hold together")
}

fn configured(name: &str, set: &Set) -> config::Server {
    let pinned = set.pinned.iter().find(|(server, _)| *server == name);
    config::Server {
        name: name.parse().unwrap(),
        command: "nothing".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        env_passthrough: Vec::new(),
        cwd: None,
        timeout: None,
        prefix: !set.unprefixed.contains(&name),
        shared: set.shared.contains(&name),
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
