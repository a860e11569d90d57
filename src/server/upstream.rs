//! One server's life: started when needed, watched, ended, and started again after a pause.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calls;
use super::connection::{self, Connection, ToolCheck};
use super::events::{EventSinkSlot, ServerEvents};
use super::handshake::{self, HandshakeError, ProtocolEra, UngreetedServer};
use super::http::{CarriedConversation, UpstreamConversation};
use super::lists::ListLimits;
use super::logs::ServerLog;
use super::peer::ServerPeer;
use super::process::{self, SpawnedChild};
use super::{
    CallOptions, LaunchOptions, ServerAnswer, ServerChange, ServerCondition, ServerError, ServerHealth,
    ServerListing,
};
use crate::call::Method;
use crate::config::{HttpServer, ServerConfig, ServerTransport, StdioServer};
use crate::json;
use crate::names::{ChildGeneration, ServerName};
use crate::permit::Outgoing;
use crate::sync::lock;
use crate::wire;

/// How long a child may live on after it closed its stdout.
const STDOUT_CLOSED_GRACE: Duration = Duration::from_millis(500);
/// The time limit for reading the output of an ended child.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the answer to a request without a waiting caller may take.
const UNREAD_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Callers wait out a pause up to this long. A longer one is an error that tells the time.
const MAX_WAITED_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a server's first failure.
const FIRST_RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// The longest pause.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// The references of a refused credential are looked up again at most once in this time: that may run a program of the
/// person's, and a server may refuse every call.
const REFERENCE_RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// A run this long clears the earlier failures.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// What all servers of one process share.
pub(super) struct UpstreamContext {
    pub(super) launch: LaunchOptions,
    pub(super) changes: mpsc::Sender<ServerChange>,
    /// Where the servers' other notifications go.
    pub(super) event_sink: EventSinkSlot,
    /// The tasks that run processes. `Upstreams::close` waits for them.
    pub(super) tasks: TaskTracker,
    pub(super) level: Mutex<Option<Arc<str>>>,
    /// Counts the starts and ends of processes.
    pub(super) process_changes: watch::Sender<u64>,
}

impl UpstreamContext {
    fn note_process_change(&self) {
        self.process_changes.send_modify(|count| *count += 1);
    }

    pub(super) fn log_level(&self) -> Option<Arc<str>> {
        lock(&self.level).clone()
    }
}

/// One server of the configuration.
pub(super) struct Upstream {
    pub(super) config: ServerConfig,
    common: Arc<UpstreamContext>,
    log: ServerLog,
    /// Cancelled when it must end and not start again.
    stop: CancellationToken,
    process: Mutex<ProcessState>,
    /// The entry with the values of its references, as it was last used; none if it has no references.
    resolved: Mutex<Option<ServerTransport>>,
    /// When they were looked up last because a credential was refused, since boot.
    references_looked_up: Mutex<Option<Duration>>,
}

struct ProcessState {
    phase: ProcessPhase,
    backoff: Backoff,
    /// The era of its last start that settled it.
    era: Option<ProtocolEra>,
    /// Whether a server that ended at `initialize` was already started once more for `server/discover`.
    tried_discover: bool,
    /// Whether it ever ended by itself after it was ready.
    ended_before: bool,
    /// Why it refused the credential of the last request, while it runs.
    login_needed: Option<String>,
    /// Whether it was ended for another credential, which is no failure.
    is_renewed: bool,
    tool_count: Option<usize>,
}

enum ProcessPhase {
    Idle,
    Starting(watch::Receiver<()>),
    /// `over` closes when it is no longer ready.
    Ready {
        connection: connection::SharedConnection,
        pid: Option<u32>,
        over: watch::Receiver<()>,
    },
    Failed {
        failure: StartFailure,
        until: Duration,
    },
}

/// Why a server doesn't run.
#[derive(Debug, Clone)]
enum StartFailure {
    /// It ended, or couldn't be started.
    Failed(String),
    /// It wants a login or another credential.
    LoginNeeded(String),
}

impl StartFailure {
    fn condition(&self) -> ServerCondition {
        match self {
            Self::Failed(reason) => ServerCondition::Failed(reason.clone()),
            Self::LoginNeeded(reason) => ServerCondition::LoginNeeded(reason.clone()),
        }
    }

    fn error(&self, server: ServerName) -> ServerError {
        match self {
            Self::Failed(reason) => ServerError::StartFailed(server, reason.clone()),
            Self::LoginNeeded(reason) => ServerError::LoginNeeded(server, reason.clone()),
        }
    }
}

/// The next step toward a connection.
enum ConnectStep {
    UseConnection(connection::SharedConnection),
    WaitForStart(watch::Receiver<()>),
    WaitForEnd(watch::Receiver<()>),
    Pause(Duration),
    Start(watch::Sender<()>),
    GiveUp(StartFailure),
}

impl Upstream {
    pub(super) fn new(config: ServerConfig, common: Arc<UpstreamContext>) -> Arc<Self> {
        let launch = &common.launch;
        let log = ServerLog::new(
            &launch.logs,
            &config.name,
            launch.limits.max_server_log_bytes,
            Arc::clone(&launch.anonymizer),
            Arc::clone(&launch.clock),
        );
        let life = ProcessState {
            phase: ProcessPhase::Idle,
            backoff: Backoff::default(),
            era: None,
            tried_discover: false,
            ended_before: false,
            login_needed: None,
            is_renewed: false,
            tool_count: None,
        };
        let (stop, process) = (CancellationToken::new(), Mutex::new(life));
        let (resolved, references_looked_up) = (Mutex::default(), Mutex::default());
        Arc::new(Self { config, common, log, stop, process, resolved, references_looked_up })
    }

    /// Sends a call and waits for its answer. A server over HTTP may have ended its session since, which only
    /// its refusal of the call tells; the call is then sent once more, in a new session. So is one whose credential was
    /// refused, if a reference gives another one by now.
    pub(super) async fn call(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        follow: CallOptions,
    ) -> Result<ServerAnswer, ServerError> {
        match self.call_once(outgoing, follow.clone()).await {
            Err(ServerError::SessionEnded(_)) => self.call_once(outgoing, follow).await,
            Err(ServerError::LoginNeeded(..)) if self.has_new_credential().await => {
                self.call_once(outgoing, follow).await
            }
            answered => answered,
        }
    }

    /// Looks up the references of a refused credential again. If they give another one, the connection is ended, so
    /// that the next one is made with it.
    async fn has_new_credential(&self) -> bool {
        let used = lock(&self.resolved).clone();
        let (Some(references), true) = (&self.common.launch.references, used.is_some()) else { return false };
        {
            let now = self.common.launch.clock.now().boot;
            let mut looked_up = lock(&self.references_looked_up);
            if looked_up.is_some_and(|at| now.saturating_sub(at) < REFERENCE_RETRY_INTERVAL) {
                return false;
            }
            *looked_up = Some(now);
        }
        references.forget(&self.config.transport);
        let now = references.resolve(&self.config.name, &self.config.transport).await.ok();
        let is_new = now.is_some() && now != used;
        if is_new {
            self.renew();
        }
        is_new
    }

    async fn call_once(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        follow: CallOptions,
    ) -> Result<ServerAnswer, ServerError> {
        let connection = tokio::select! {
            biased;
            connection = self.connection() => connection?,
            () = follow.cancel.cancelled() => return Err(ServerError::Cancelled),
        };
        if follow.only_in.is_some_and(|only| only != connection.generation) {
            return Err(ServerError::OtherProcess(self.config.name.clone()));
        }
        if outgoing.method() == Method::CallTool {
            self.refuse_other_tool(&connection, outgoing, &follow.cancel).await?;
            tokio::select! {
                biased;
                learned = connection.learn_tool_headers(self.list_limits()) => learned?,
                () = follow.cancel.cancelled() => return Err(ServerError::Cancelled),
            }
        }
        let limit = self.config.timeout.unwrap_or(self.common.launch.limits.request_timeout);
        let answered = calls::send_call(&connection, outgoing, follow, limit).await;
        self.note_credential(answered.as_ref().err());
        answered
    }

    /// Notes whether it took the credential of a request, by the request's failure. Other failures tell nothing of
    /// that.
    fn note_credential(&self, failure: Option<&ServerError>) {
        let refused = match failure {
            None => None,
            Some(ServerError::LoginNeeded(_, why)) => Some(why.clone()),
            Some(_) => return,
        };
        let mut life = self.lock_process();
        if life.login_needed != refused {
            life.login_needed = refused;
            drop(life);
            self.common.note_process_change();
        }
    }

    /// Lets it be tried again at once. What runs is ended first, so the next request uses the new credential.
    pub(super) fn renew(&self) {
        let mut life = self.lock_process();
        life.login_needed = None;
        life.backoff = Backoff::default();
        life.is_renewed = matches!(life.phase, ProcessPhase::Ready { .. });
        match &mut life.phase {
            ProcessPhase::Ready { connection, .. } => connection.close(),
            ProcessPhase::Failed { until, .. } => *until = Duration::ZERO,
            ProcessPhase::Idle | ProcessPhase::Starting(_) => {}
        }
        drop(life);
        self.common.note_process_change();
    }

    /// Guarantee P5 for a restarted server: refuses a tool that it no longer lists, or defines otherwise.
    async fn refuse_other_tool(
        &self,
        connection: &Connection,
        outgoing: &Outgoing,
        cancel: &CancellationToken,
    ) -> Result<(), ServerError> {
        let params = json::RawObject::read(outgoing.params().expose()).unwrap_or_default();
        let name = params.get_text("name").unwrap_or_default();
        let check = tokio::select! {
            biased;
            check = connection.check_tool(&name, outgoing.definition(), self.list_limits()) => check?,
            () = cancel.cancelled() => return Err(ServerError::Cancelled),
        };
        let (server, tool) = (|| self.config.name.clone(), || outgoing.tool().tool.clone());
        match check {
            ToolCheck::Fits => Ok(()),
            ToolCheck::NotListed => Err(ServerError::NotListed(server(), tool())),
            ToolCheck::Redefined => Err(ServerError::Redefined(server(), tool())),
        }
    }

    fn list_limits(&self) -> ListLimits {
        let limits = &self.common.launch.limits;
        let page = self.config.timeout.unwrap_or(limits.start_timeout).min(limits.start_timeout);
        ListLimits { page_timeout: page, max_bytes: limits.max_message_bytes }
    }

    /// Pages through everything that it offers.
    pub(super) async fn fetch_listing(self: &Arc<Self>) -> Result<ServerListing, ServerError> {
        let connection = self.connection().await?;
        let listed = connection.fetch_listing(self.list_limits()).await;
        self.note_credential(listed.as_ref().err());
        let mut offer = listed?;
        if let Some(references) = &self.common.launch.references {
            let withheld = "its listing is withheld: it holds a secret that could not be blanked";
            let withheld = || ServerError::StartFailed(self.config.name.clone(), withheld.to_owned());
            offer = references.blank_listing(&self.config.name, offer).ok_or_else(withheld)?;
        }
        self.lock_process().tool_count = Some(offer.tools.len());
        Ok(offer)
    }

    /// Sends the log level to the server if it runs.
    pub(super) fn set_log_level(&self, level: &str) {
        if let ProcessPhase::Ready { connection, .. } = &self.lock_process().phase {
            send_log_level(connection, level);
        }
    }

    pub(super) fn health(&self) -> ServerHealth {
        let life = self.lock_process();
        let (condition, pid) = match &life.phase {
            ProcessPhase::Idle => (ServerCondition::Idle, None),
            ProcessPhase::Starting(_) => (ServerCondition::Starting, None),
            ProcessPhase::Ready { connection, pid, .. } => {
                let condition = match (connection.unreachable(), &life.login_needed) {
                    (Some(why), _) => ServerCondition::Failed(why),
                    (None, Some(why)) => ServerCondition::LoginNeeded(why.clone()),
                    (None, None) => ServerCondition::Ready,
                };
                (condition, *pid)
            }
            ProcessPhase::Failed { failure, .. } => (failure.condition(), None),
        };
        ServerHealth { server: self.config.name.clone(), condition, pid, tools: life.tool_count }
    }

    /// Its process, while it can be called.
    pub(super) fn generation(&self) -> Option<ChildGeneration> {
        match &self.lock_process().phase {
            ProcessPhase::Ready { connection, .. } => Some(connection.generation),
            ProcessPhase::Idle | ProcessPhase::Starting(_) | ProcessPhase::Failed { .. } => None,
        }
    }

    /// Ends it for good. Its task does the work.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// The running connection. Starts the server if there is none; concurrent callers cause one start.
    async fn connection(self: &Arc<Self>) -> Result<connection::SharedConnection, ServerError> {
        let mut saw_start = false;
        // Each round reads the state under the lock and waits without it. The loop ends with a connection or a
        // reason to give up.
        loop {
            match self.poll_state(saw_start) {
                ConnectStep::UseConnection(connection) => return Ok(connection),
                // An error means that the sender was dropped, which marks the end of the start.
                ConnectStep::WaitForStart(mut started) => {
                    saw_start |= started.changed().await.is_err();
                }
                ConnectStep::WaitForEnd(mut over) => {
                    // The same: the dropped sender is the signal.
                    let _ = over.changed().await;
                }
                ConnectStep::Pause(pause) => tokio::time::sleep(pause).await,
                ConnectStep::Start(started) => {
                    let member = Arc::clone(self);
                    self.common.tasks.spawn(async move { Box::pin(member.run_process(started)).await });
                }
                ConnectStep::GiveUp(failure) => return Err(failure.error(self.config.name.clone())),
            }
        }
    }

    /// Decides under one lock. A caller that saw a start fail gives up. One that comes later waits out a short
    /// pause.
    fn poll_state(&self, saw_start: bool) -> ConnectStep {
        if self.stop.is_cancelled() {
            return ConnectStep::GiveUp(StartFailure::Failed("it is being ended".to_owned()));
        }
        let mut life = self.lock_process();
        match &life.phase {
            // Its output ended, but its task hasn't recorded that yet. A call now would be lost, so wait for
            // the record.
            ProcessPhase::Ready { connection, over, .. } if connection.is_closed() => {
                return ConnectStep::WaitForEnd(over.clone());
            }
            ProcessPhase::Ready { connection, .. } => {
                return ConnectStep::UseConnection(Arc::clone(connection));
            }
            ProcessPhase::Starting(started) => return ConnectStep::WaitForStart(started.clone()),
            ProcessPhase::Idle => {}
            ProcessPhase::Failed { failure, .. } if saw_start => return ConnectStep::GiveUp(failure.clone()),
            ProcessPhase::Failed { failure, until } => {
                let pause = until.saturating_sub(self.common.launch.clock.now().boot);
                if pause > MAX_WAITED_PAUSE {
                    return ConnectStep::GiveUp(match failure {
                        StartFailure::Failed(reason) => StartFailure::Failed(format!(
                            "{reason}; it is tried again in {} s",
                            pause.as_secs() + 1
                        )),
                        // A login helps, not the time.
                        StartFailure::LoginNeeded(_) => failure.clone(),
                    });
                }
                if !pause.is_zero() {
                    return ConnectStep::Pause(pause);
                }
            }
        }
        // Set before the lock is released, so that no second caller starts the server too.
        let (done, started) = watch::channel(());
        life.phase = ProcessPhase::Starting(started);
        ConnectStep::Start(done)
    }

    /// One life of the process, from its start to its end.
    async fn run_process(self: Arc<Self>, started: watch::Sender<()>) {
        let known = self.lock_process().era;
        let failure = match self.start_process(known).await {
            StartAttempt::Ready(running, greeting) => {
                return self.serve_until_end(*running, greeting, started).await;
            }
            StartAttempt::Unresolved(reason) => {
                self.mark_unresolved(reason);
                return drop(started);
            }
            StartAttempt::Failed(HandshakeError::ProcessEnded, how) if self.may_try_discover(known) => {
                // Some servers that only speak the modern revision end at `initialize`.
                match self.start_process(Some(ProtocolEra::Modern)).await {
                    StartAttempt::Ready(running, greeting) => {
                        return self.serve_until_end(*running, greeting, started).await;
                    }
                    StartAttempt::Failed(..) | StartAttempt::Unresolved(_) => StartFailure::Failed(how),
                }
            }
            StartAttempt::Failed(HandshakeError::ProcessEnded, how)
            | StartAttempt::Failed(HandshakeError::Refused(how), _) => StartFailure::Failed(how),
            StartAttempt::Failed(HandshakeError::LoginNeeded(why), _) => StartFailure::LoginNeeded(why),
        };
        if let (Some(references), true) = (&self.common.launch.references, lock(&self.resolved).is_some()) {
            // It may be the credential that was refused, so the next start looks it up again.
            references.forget(&self.config.transport);
        }
        if is_streamable_http(&self.config.transport) {
            // It may have turned to another revision, so the next start asks it again.
            self.lock_process().era = None;
        }
        // The state first, then the signal: waiting callers read the state when `started` closes.
        self.mark_failed(failure, Duration::ZERO);
        drop(started);
    }

    /// Whether a server that ended at the handshake is started once more for `server/discover`. Only once, or
    /// every start of a broken server would run it twice.
    fn may_try_discover(&self, known: Option<ProtocolEra>) -> bool {
        let may = known != Some(ProtocolEra::Modern) && !self.stop.is_cancelled();
        may && !std::mem::replace(&mut self.lock_process().tried_discover, true)
    }

    /// Starts the process, or opens the conversation over HTTP, and greets the server.
    async fn start_process(&self, known: Option<ProtocolEra>) -> StartAttempt {
        self.log.forget_last_lines();
        let transport = match self.resolve_transport().await {
            Ok(transport) => transport,
            Err(reason) => return StartAttempt::Unresolved(reason),
        };
        let connection = Arc::new(self.new_connection());
        let started = match &transport {
            ServerTransport::Stdio(server) => self.spawn_process(server, &connection),
            ServerTransport::Http(server) => self.open_conversation(server, &connection),
        };
        let (mut peer, talk) = match started {
            Ok(started) => started,
            Err(reason) => {
                let refusal = HandshakeError::Refused(reason.clone());
                return StartAttempt::Failed(refusal, reason);
            }
        };
        let is_reached: &(dyn Fn() -> bool + Send + Sync) = &|| connection.unreachable().is_none();
        let greeted = handshake::greet_server(UngreetedServer {
            rpc: &connection.rpc,
            launch: &self.common.launch,
            has_roots: connection.roots.is_some(),
            known,
            http_reached: is_streamable_http(&transport).then_some(is_reached),
        });
        let greeted = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(HandshakeError::ProcessEnded),
            greeted = greeted => greeted,
        };
        match greeted {
            Ok(greeting) => {
                StartAttempt::Ready(Box::new(RunningProcess { peer, connection, talk }), greeting)
            }
            Err(refusal) => {
                let ended = peer.end(&connection).await;
                talk.finish(&connection).await;
                StartAttempt::Failed(refusal, ended)
            }
        }
    }

    /// The entry with the values of its references.
    async fn resolve_transport(&self) -> Result<ServerTransport, String> {
        let transport = &self.config.transport;
        if !transport.has_references() {
            return Ok(transport.clone());
        }
        let Some(references) = &self.common.launch.references else {
            return Err("only the daemon knows its secret".to_owned());
        };
        let resolved = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err("it is being ended".to_owned()),
            resolved = references.resolve(&self.config.name, transport) => resolved,
        };
        let resolved = resolved?;
        *lock(&self.resolved) = Some(resolved.clone());
        Ok(resolved)
    }

    fn spawn_process(
        &self,
        server: &StdioServer,
        connection: &connection::SharedConnection,
    ) -> Result<(ServerPeer, ConversationTasks), String> {
        let SpawnedChild { process, stdin, stdout, stderr } =
            process::spawn_server(server, &self.common.launch)?;
        let mut talk = ConversationTasks::spawn(connection);
        let (reader, writer) = (Arc::clone(connection), Arc::clone(connection));
        talk.reading.push(tokio::spawn(async move { reader.read_stdout(stdout).await }));
        talk.reading.push(tokio::spawn(self.log.clone().read_stderr(stderr)));
        talk.others.push(tokio::spawn(async move { writer.rpc.stdin_queue.write_queued(stdin).await }));
        Ok((ServerPeer::Process(process), talk))
    }

    fn open_conversation(
        &self,
        server: &HttpServer,
        connection: &connection::SharedConnection,
    ) -> Result<(ServerPeer, ConversationTasks), String> {
        let Some(transport) = &self.common.launch.http else {
            return Err("only the daemon reaches it".to_owned());
        };
        let talk = ConversationTasks::spawn(connection);
        let conversation = Arc::new(UpstreamConversation::new(Arc::clone(connection), self.log.clone()));
        let carried = CarriedConversation::start(transport.carry(server, conversation));
        Ok((ServerPeer::Http(carried), talk))
    }

    /// Keeps a greeted server until its end.
    async fn serve_until_end(
        &self,
        running: RunningProcess,
        greeting: handshake::HandshakeResult,
        started: watch::Sender<()>,
    ) {
        let RunningProcess { mut peer, connection, talk } = running;
        let (ready, over) = watch::channel(());
        let is_again = self.mark_ready(&connection, greeting, peer.process_id(), over);
        drop(started);
        if is_again {
            self.announce_change(ServerChange::Restarted(self.config.name.clone())).await;
        }
        let since = Instant::now();
        let ended = self.wait_for_end(&connection, &mut peer).await;
        talk.finish(&connection).await;
        // In this order: the state is complete before `ready` closes and wakes the callers, and before the
        // owner hears of it.
        self.lock_process().ended_before = true;
        self.mark_failed(StartFailure::Failed(ended), since.elapsed());
        drop(ready);
        self.announce_change(ServerChange::Ended(self.config.name.clone())).await;
    }

    /// Reports a change to the owner, unless the server must not start again.
    async fn announce_change(&self, change: ServerChange) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            // An error means that the owner of these upstreams is gone.
            _ = self.common.changes.send(change) => {}
        }
    }

    fn new_connection(&self) -> Connection {
        let ended_before = self.lock_process().ended_before;
        let connection = Connection::new(
            self.config.name.clone(),
            ServerEvents::new(
                self.config.name.clone(),
                self.common.changes.clone(),
                Arc::clone(&self.common.event_sink),
            ),
            self.log.clone(),
            self.config.roots.as_deref().map(connection::roots_result),
            self.common.launch.limits.max_message_bytes,
        );
        let connection = match &self.config.transport {
            ServerTransport::Http(_) => connection.over_http(),
            ServerTransport::Stdio(_) => connection,
        };
        if ended_before { connection.after_restart() } else { connection }
    }

    /// Records that it can be called. Returns true if it had ended by itself before.
    fn mark_ready(
        &self,
        connection: &connection::SharedConnection,
        greeting: handshake::HandshakeResult,
        pid: Option<u32>,
        over: watch::Receiver<()>,
    ) -> bool {
        let greeting = connection.greeting.get_or_init(|| greeting);
        match (greeting.era, self.common.log_level()) {
            (ProtocolEra::Legacy, Some(level)) => send_log_level(connection, &level),
            (ProtocolEra::Legacy, None) => {}
            (ProtocolEra::Modern, _) => connection.subscriptions.start_listening(&connection.rpc, greeting),
        }
        // The level and the subscription are queued already, so they reach the server before the first call.
        let mut life = self.lock_process();
        if greeting.is_era_settled {
            life.era = Some(greeting.era);
        }
        life.login_needed = None;
        life.phase = ProcessPhase::Ready { connection: Arc::clone(connection), pid, over };
        let ended_before = life.ended_before;
        drop(life);
        self.common.note_process_change();
        ended_before
    }

    /// Waits for a running server's end, or ends it. Returns how it ended.
    async fn wait_for_end(&self, connection: &Connection, peer: &mut ServerPeer) -> String {
        tokio::select! {
            biased;
            ended = peer.wait_for_end() => return ended,
            () = self.stop.cancelled() => {}
            () = connection.wait_until_closed() => {
                // It closed its output and can't answer any more. Most servers end by themselves now.
                if let Ok(ended) = tokio::time::timeout(STDOUT_CLOSED_GRACE, peer.wait_for_end()).await {
                    return ended;
                }
            }
        }
        peer.end(connection).await
    }

    /// Records why it doesn't run, and how long it pauses.
    fn mark_failed(&self, failure: StartFailure, ran: Duration) {
        // It was ended on purpose, which is no failure.
        if self.stop.is_cancelled() {
            self.lock_process().phase = ProcessPhase::Idle;
            return self.common.note_process_change();
        }
        let failure = match failure {
            StartFailure::Failed(how) => StartFailure::Failed(match self.log.last_line() {
                Some(last) => format!("{how}: {last}"),
                None => how,
            }),
            login @ StartFailure::LoginNeeded(_) => login,
        };
        let (StartFailure::Failed(reason) | StartFailure::LoginNeeded(reason)) = &failure;
        tracing::warn!(server = %self.config.name, reason, "a server does not run");
        let mut life = self.lock_process();
        if std::mem::take(&mut life.is_renewed) {
            life.phase = ProcessPhase::Idle;
            drop(life);
            return self.common.note_process_change();
        }
        let pause = life.backoff.next_pause(ran);
        let until = self.common.launch.clock.now().boot + pause;
        life.phase = ProcessPhase::Failed { failure, until };
        drop(life);
        self.common.note_process_change();
    }

    /// Records that a secret is missing. Without a pause: looking it up costs little, and a person may just have set it.
    fn mark_unresolved(&self, reason: String) {
        tracing::warn!(server = %self.config.name, reason, "a server does not run");
        let until = self.common.launch.clock.now().boot;
        let failure = StartFailure::Failed(reason);
        self.lock_process().phase = ProcessPhase::Failed { failure, until };
        self.common.note_process_change();
    }

    fn lock_process(&self) -> MutexGuard<'_, ProcessState> {
        lock(&self.process)
    }
}

/// Whether it is reached over Streamable HTTP, as far as its entry says so.
fn is_streamable_http(transport: &ServerTransport) -> bool {
    matches!(transport, ServerTransport::Http(server) if !server.is_sse)
}

/// Counts a server's failures in a row, and sets its pause.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a failure of a server that was ready for `ran` (zero if it never was). A stable run
    /// clears earlier failures.
    fn next_pause(&mut self, ran: Duration) -> Duration {
        if ran >= STABLE_AFTER {
            self.failures = 0;
        }
        let pause = FIRST_RETRY_INTERVAL.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_INTERVAL);
        self.failures += 1;
        pause
    }
}

/// The outcome of starting a process.
enum StartAttempt {
    /// It answered the handshake.
    Ready(Box<RunningProcess>, handshake::HandshakeResult),
    /// It didn't answer; with how it ended.
    Failed(HandshakeError, String),
    /// A reference in its entry gave no value, for this reason.
    Unresolved(String),
}

/// A process that answered the handshake.
struct RunningProcess {
    peer: ServerPeer,
    connection: connection::SharedConnection,
    talk: ConversationTasks,
}

/// The tasks of one conversation.
struct ConversationTasks {
    /// They read what a process writes, to its end.
    reading: Vec<tokio::task::JoinHandle<()>>,
    others: Vec<tokio::task::JoinHandle<()>>,
}

impl ConversationTasks {
    /// Starts the tasks that every conversation has.
    fn spawn(connection: &connection::SharedConnection) -> Self {
        let (announcer, watcher) = (Arc::clone(connection), Arc::clone(connection));
        let others = vec![
            tokio::spawn(async move { announcer.events.announce_until_closed().await }),
            tokio::spawn(async move { watcher.rpc.pending.watch_deadlines().await }),
        ];
        Self { reading: Vec::new(), others }
    }

    /// After the other end is gone: reads its remaining output, then fails the waiting requests.
    async fn finish(self, connection: &Connection) {
        let Self { mut reading, others } = self;
        // All of them, with one limit: a descendant may hold the pipes open for ever.
        let rest = futures_util::future::join_all(&mut reading);
        if tokio::time::timeout(DRAIN_TIMEOUT, rest).await.is_err() {
            for task in &reading {
                task.abort();
            }
        }
        connection.close();
        for task in others {
            task.abort();
        }
    }
}

/// Sends `logging/setLevel` to a server that supports it. Nothing waits for the answer.
fn send_log_level(connection: &Connection, level: &str) {
    let wants = connection
        .greeting
        .get()
        .is_some_and(|told| told.era == ProtocolEra::Legacy && told.declares("logging"));
    if wants {
        let level = json::serialize_raw(level);
        let params = json::serialize_raw(&json::RawObject::default().with_member("level", &level));
        let id = connection.rpc.next_request_id();
        // Registered before it is sent, so that its answer finds it and is not taken for a stray one.
        connection.rpc.pending.register_unread(id, UNREAD_ANSWER_TIMEOUT);
        connection
            .rpc
            .stdin_queue
            .push_if_room(|out| wire::write_request(out, id, "logging/setLevel", Some(&params)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_a_stable_run_forgives() {
        let mut backoff = Backoff::default();
        let millis: Vec<u128> = (0..9).map(|_| backoff.next_pause(Duration::ZERO).as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.next_pause(Duration::from_secs(59)), MAX_RETRY_INTERVAL);
        assert_eq!(backoff.next_pause(Duration::from_secs(60)), FIRST_RETRY_INTERVAL);
    }
}
