//! A session's connection to the daemon: it connects in the background, follows the overrides, and reconnects
//! with back-off. Without a connection only the last known denies apply (guarantee D4).
//!
//! A session starts the daemon when it begins and when a call needs it. It doesn't restart a daemon that
//! ended, because a person may have stopped it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use portero::audit::AuditWriter;
use portero::ipc::requests::definitions::{ReportDefinitions, ReportedDefinition};
use portero::ipc::requests::sessions::{ListUnseenTasks, ReportCheckpoint, SetLogLevel, SubscribeOverrides};
use portero::ipc::{
    ConnectError, Hello, IpcClient, NotificationSink, PushMessage, Request, RequestError, SendError,
};
use portero::json::RawJson;
use portero::names::ServerName;
use portero::paths::Paths;
use portero::pipeline::{BoxFuture, ListedDefinitions, Refusal};
use portero::policy::definition_pins::{DefinitionItem, ServerPins, definition_pin_digest};
use portero::policy::{Overrides, Policy};
use portero::server::LogLevel;
use portero::task::UnseenTasks;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::session_children::SessionChildren;
use crate::daemon;
use crate::offline_denies::DeniesFile;

/// How soon an unreadable configuration is read again.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);
/// The first and the longest pause between attempts to connect.
const RECONNECT_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long a call waits for a connection in progress, which is longer than a start of the daemon may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a call that would ask waits for an override that is on its way.
const OVERRIDES_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question waits for the report of what it is about.
const DEFINITION_REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the agent's first answer waits for unseen tasks.
const NEWS_TIMEOUT: Duration = Duration::from_millis(50);

/// How often the audit's checkpoint is reported, and how long the last report may take.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
const FINAL_REPORT_TIMEOUT: Duration = Duration::from_millis(40);

/// The state of the connection.
#[derive(Debug, Clone)]
enum ConnectionState {
    /// Connecting, for the first time or again.
    Connecting,
    /// Connected.
    Up(IpcClient),
    /// Not connected, with the reason.
    Down(ConnectionProblem),
}

/// The connection of one session.
pub(super) struct DaemonConnection {
    paths: Paths,
    hello: Hello,
    no_start: bool,
    policy: Arc<ArcSwap<Policy>>,
    audit: Arc<AuditWriter>,
    state: watch::Sender<ConnectionState>,
    /// A call needs the daemon, so the next attempt must not wait.
    connect_requested: Notify,
    denies_file: Mutex<DeniesFile>,
    /// The epoch of the overrides that the daemon pushed; none without a connection.
    adopted_epoch: watch::Sender<Option<u64>>,
    /// What the servers list, each as of its last listing.
    definitions: watch::Sender<BTreeMap<ServerName, Arc<ListedDefinitions>>>,
    /// Those that the daemon took from the present connection.
    reported: watch::Sender<BTreeMap<ServerName, Arc<ListedDefinitions>>>,
    /// The log level that the client wants of shared servers; none if it set none.
    log_level: watch::Sender<Option<LogLevel>>,
}

/// Handles pushes of the daemon.
pub(super) trait PushHandler: Send + Sync {
    /// Applies the present files with what the daemon counts as confirmed (`confirmed`). Returns whether they
    /// could be read.
    fn reload<'a>(&'a self, confirmed: &'a str) -> BoxFuture<'a, bool>;
    /// Called for each new connection. Pushes before it may have been missed.
    fn on_connected(&self);
    /// Called after the policy got other overrides.
    fn on_overrides_changed(&self);
    /// The sink for notifications of shared servers.
    fn notification_sink(&self) -> NotificationSink;
    /// The processes of this session's servers, which are announced to the daemon.
    fn children(&self) -> Arc<SessionChildren>;
    /// Handles any other push.
    fn handle_push(&self, push: PushMessage);
}

impl DaemonConnection {
    /// A connection that isn't made yet. The last known denies apply when this returns.
    pub(super) fn new(
        paths: Paths,
        hello: Hello,
        no_start: bool,
        policy: Arc<ArcSwap<Policy>>,
        audit: Arc<AuditWriter>,
    ) -> Self {
        let connection = Self {
            paths,
            hello,
            no_start,
            policy,
            audit,
            state: watch::Sender::new(ConnectionState::Connecting),
            connect_requested: Notify::new(),
            denies_file: Mutex::default(),
            adopted_epoch: watch::Sender::new(None),
            definitions: watch::Sender::new(BTreeMap::new()),
            reported: watch::Sender::new(BTreeMap::new()),
            log_level: watch::Sender::new(None),
        };
        connection.refresh_denies();
        connection
    }

    /// Keeps the connection until the future is dropped.
    pub(super) async fn maintain(&self, pushed: &dyn PushHandler) {
        let mut pause = RECONNECT_BACKOFF.0;
        let mut may_start = !self.no_start;
        loop {
            match self.try_connect(may_start).await {
                Ok((client, pushes, confirmed)) => {
                    pause = RECONNECT_BACKOFF.0;
                    let reason = self.follow_pushes(client, pushes, &confirmed, pushed).await;
                    tracing::info!(reason, "the connection to the daemon is gone");
                    self.state.send_replace(ConnectionState::Connecting);
                    // The denies of the file apply from this moment on, before the next attempt: no call may
                    // run by overrides that can no longer be revoked.
                    self.forget_overrides();
                    pushed.on_overrides_changed();
                }
                // A call asked for the daemon during an attempt that could not start it, so the next one may.
                Err(_) if !may_start && !self.no_start && self.take_connect_request() => {
                    may_start = true;
                    continue;
                }
                Err(unreached) => {
                    tracing::info!(reason = unreached.why, "no connection to the daemon");
                    self.state.send_replace(ConnectionState::Down(unreached));
                }
            }
            may_start = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = self.connect_requested.notified() => !self.no_start,
            };
            pause = (pause * 2).min(RECONNECT_BACKOFF.1);
        }
    }

    fn take_connect_request(&self) -> bool {
        self.connect_requested.notified().now_or_never().is_some()
    }

    /// Connects, and returns what the daemon counts as confirmed.
    async fn try_connect(
        &self,
        may_start: bool,
    ) -> Result<(IpcClient, mpsc::Receiver<PushMessage>, String), ConnectionProblem> {
        let first = daemon::connect_verified(&self.paths, &self.hello).await;
        let connected = match first {
            Err(ConnectError::Absent(_)) if self.no_start => {
                return Err("Portero's daemon does not run, and this session may not start it".into());
            }
            Err(ConnectError::Absent(_)) if !may_start => {
                return Err("Portero's daemon does not run".into());
            }
            Err(ConnectError::Absent(_)) => {
                daemon::start_daemon(&self.paths)
                    .await
                    .map_err(|error| format!("Portero's daemon could not be started: {error}"))
                    .map_err(|why| ConnectionProblem::from(why.as_str()))?;
                daemon::connect_verified(&self.paths, &self.hello).await
            }
            other => other,
        };
        let (client, pushes, welcome) = connected.map_err(ConnectionProblem::from)?;
        tracing::info!(pid = welcome.pid, build = welcome.build, "connected to the daemon");
        Ok((client, pushes, welcome.confirmed))
    }

    /// Subscribes and handles pushes until the connection is lost; returns the reason.
    async fn follow_pushes(
        &self,
        client: IpcClient,
        mut pushes: mpsc::Receiver<PushMessage>,
        confirmed: &str,
        pushed: &dyn PushHandler,
    ) -> String {
        client.set_notification_sink(pushed.notification_sink());
        // The segment is announced first, because the daemon raises an alarm for records of an unknown
        // session.
        if let Err(error) = self.announce(&client).await {
            tracing::warn!(%error, "the daemon does not know this session's segment of the audit");
        }
        match client.request(SubscribeOverrides).await {
            Ok(standing) => self.adopt_overrides(&client, standing, pushed).await,
            Err(error) => return error.to_string(),
        }
        let children = pushed.children();
        // Before any call is submitted: a call names one of these processes.
        let known = match children.announce(&client).await {
            Ok(known) => known,
            Err(error) => return error.to_string(),
        };
        // The configuration is applied before the state changes, because calls that wait for the connection
        // are decided by it.
        let is_read = pushed.reload(confirmed).await;
        pushed.on_connected();
        self.state.send_replace(ConnectionState::Up(client.clone()));
        // A call that requested the connection has it now. Its request must not start a daemon that is
        // stopped later.
        let _ = self.take_connect_request();
        let mut telling = std::pin::pin!(self.tell_log_level(&client));
        let mut reporting = std::pin::pin!(self.send_definitions(&client));
        let wanted = watch::Sender::new(confirmed.to_owned());
        // Reloading runs beside the loop, so that a hanging drive can't delay a deny.
        let reloading = keep_reloading(wanted.subscribe(), is_read, pushed);
        tokio::pin!(reloading);
        let mut announcing = std::pin::pin!(children.keep_announcing(&client, known));
        // What was handed over ends with the connection: no outcome is taken after it.
        let mut handed = JoinSet::new();
        loop {
            tokio::select! {
                push = pushes.recv() => match push {
                    Some(PushMessage::Standing(standing)) => self.adopt_overrides(&client, standing, pushed).await,
                    Some(PushMessage::Config { confirmed }) => drop(wanted.send_replace(confirmed)),
                    Some(PushMessage::CheckCall(check)) => {
                        let (children, client) = (Arc::clone(&children), client.clone());
                        handed.spawn(async move { children.answer_check(*check, &client).await });
                    }
                    Some(PushMessage::RunCall(permit)) => {
                        let (children, client) = (Arc::clone(&children), client.clone());
                        handed.spawn(async move { children.run_permit(*permit, &client).await });
                    }
                    Some(push) => pushed.handle_push(push),
                    None => return client.wait_until_closed().await,
                },
                reason = client.wait_until_closed() => return reason,
                () = &mut reloading => return "its configuration is no longer followed".to_owned(),
                () = &mut telling => {}
                () = &mut reporting => {}
                error = &mut announcing => return error.to_string(),
                Some(_) = handed.join_next() => {}
            }
        }
    }

    /// Sets the log level that the client wants of the shared servers.
    pub(super) fn want_logs(&self, level: LogLevel) {
        self.log_level.send_replace(Some(level));
    }

    /// Reports the client's log level to the daemon, now and after each change. It never returns.
    async fn tell_log_level(&self, client: &IpcClient) {
        let mut wanted = self.log_level.subscribe();
        loop {
            let level = *wanted.borrow_and_update();
            if let Some(level) = level
                && let Err(error) = client.request(SetLogLevel { level }).await
            {
                // An older daemon gets the level with the next call.
                tracing::debug!(%error, "the shared servers were not told the log level");
            }
            if wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes what a server lists now, for the daemon.
    pub(super) fn report_definitions(&self, server: &ServerName, definitions: ListedDefinitions) {
        self.definitions.send_modify(|all| drop(all.insert(server.clone(), Arc::new(definitions))));
    }

    /// Returns once the daemon has taken the last listing of a server, or after a short timeout.
    pub(super) async fn wait_until_reported(&self, server: &ServerName) {
        let Some(listed) = self.definitions.borrow().get(server).cloned() else { return };
        let mut reported = self.reported.subscribe();
        let taken = reported.wait_for(|all| is_reported(all, server, &listed));
        let _ = tokio::time::timeout(DEFINITION_REPORT_TIMEOUT, taken).await;
    }

    /// Reports what the servers list to the daemon, now and after each listing. It never returns.
    async fn send_definitions(&self, client: &IpcClient) {
        let mut listed = self.definitions.subscribe();
        // Another daemon may have been started since the last connection.
        self.reported.send_replace(BTreeMap::new());
        loop {
            let all = listed.borrow_and_update().clone();
            for (server, definitions) in all {
                if is_reported(&self.reported.borrow(), &server, &definitions) {
                    continue;
                }
                let report = self.unknown_definitions(&server, &definitions);
                if let Some(definitions) = report
                    && let Err(error) =
                        client.request(ReportDefinitions { server: server.clone(), definitions }).await
                {
                    // Until the daemon knows them, calls of what changed ask.
                    tracing::warn!(%server, %error, "the daemon was not told what a server lists");
                }
                self.reported.send_modify(|all| drop(all.insert(server, definitions)));
            }
            if listed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The report of a listing, without the definitions that the daemon's pins have; none if it would say nothing.
    fn unknown_definitions(
        &self,
        server: &ServerName,
        definitions: &ListedDefinitions,
    ) -> Option<Vec<ReportedDefinition>> {
        let policy = self.policy.load();
        let pins = policy.overrides().definition_pins.server(server);
        let is_known = |item: &DefinitionItem, text: &RawJson| {
            pins.is_some_and(|pins| pins.is_registered(item, &definition_pin_digest(text)))
        };
        let report: Vec<ReportedDefinition> = definitions
            .iter()
            .map(|(item, text)| ReportedDefinition {
                item: item.clone(),
                definition: (!is_known(item, text)).then(|| text.clone()),
            })
            .collect();
        let listed: HashSet<&DefinitionItem> = definitions.iter().map(|(item, _)| item).collect();
        let is_missing = |pins: &ServerPins| {
            pins.accepted.keys().any(|item| !listed.contains(item) && !pins.gone.contains(item))
        };
        let says = pins.is_none_or(is_missing) || report.iter().any(|one| one.definition.is_some());
        says.then_some(report)
    }

    /// Announces this session's audit segment and its checkpoint.
    async fn announce(&self, client: &IpcClient) -> Result<(), RequestError> {
        client.request(ReportCheckpoint(self.audit.checkpoint())).await
    }

    /// Applies `standing`, and confirms its epoch to the daemon.
    async fn adopt_overrides(&self, client: &IpcClient, standing: Overrides, pushed: &dyn PushHandler) {
        let epoch = standing.epoch;
        self.refresh_denies();
        // If the file of denies is newer than this push, its denies apply until the newer push comes.
        if epoch >= self.lock_denies_file().epoch() {
            self.adopted_epoch.send_replace(Some(epoch));
            self.set_overrides(standing);
            pushed.on_overrides_changed();
        }
        // The confirmation comes last: the command of a deny returns only after every session has applied it.
        if let Err(error) = client.report_epoch(epoch).await {
            tracing::debug!(%error, "the daemon did not hear that its rules are followed");
        }
    }

    fn lock_denies_file(&self) -> MutexGuard<'_, DeniesFile> {
        self.denies_file.lock().expect("no holder panics")
    }

    fn set_overrides(&self, standing: Overrides) {
        self.policy.rcu(|policy| policy.with_overrides(standing.clone()));
    }

    /// Returns to the last known denies; grants and allowing rules no longer apply.
    fn forget_overrides(&self) {
        self.adopted_epoch.send_replace(None);
        self.lock_denies_file().forget();
        self.refresh_denies();
    }

    /// Reads the last known denies if their file has changed. Called before each decision.
    ///
    /// With a connection the file still counts if it is newer than the last push. A session that was
    /// suspended while rules changed hasn't read its socket yet, although the command has returned.
    pub(super) fn refresh_denies(&self) {
        let adopted = *self.adopted_epoch.borrow();
        let changed = self.lock_denies_file().reread_if_changed(&self.paths, adopted);
        if let Some(overrides) = changed {
            self.set_overrides(overrides);
        }
    }

    /// Returns once there is a connection and no newer overrides are known to be on their way.
    pub(super) async fn wait_until_current(&self) -> Result<(), Refusal> {
        self.request_client().await?;
        let epoch = self.lock_denies_file().epoch();
        let mut adopted = self.adopted_epoch.subscribe();
        let arrived = adopted.wait_for(|adopted| adopted.is_none_or(|adopted| adopted >= epoch));
        // If they don't arrive in time, the denies of the file stay in effect.
        let _ = tokio::time::timeout(OVERRIDES_TIMEOUT, arrived).await;
        Ok(())
    }

    /// The client, if connected.
    pub(super) fn current_client(&self) -> Option<IpcClient> {
        match &*self.state.borrow() {
            ConnectionState::Up(client) => Some(client.clone()),
            ConnectionState::Connecting | ConnectionState::Down(_) => None,
        }
    }

    /// The client, once connected; this requests no connection.
    pub(super) async fn wait_for_client(&self) -> IpcClient {
        let mut state = self.state.subscribe();
        loop {
            if let ConnectionState::Up(client) = &*state.borrow_and_update() {
                return client.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The client, after waiting for a connection in progress.
    pub(super) async fn request_client(&self) -> Result<IpcClient, Refusal> {
        let mut state = self.state.subscribe();
        let now = state.borrow_and_update().clone();
        match now {
            ConnectionState::Up(client) => return Ok(client),
            // The last attempt may be long ago, so a new one is requested and awaited.
            ConnectionState::Down(_) => {
                self.state.send_replace(ConnectionState::Connecting);
                // Our own change must not count as the result, so it is marked as seen.
                state.mark_unchanged();
                self.connect_requested.notify_one();
            }
            ConnectionState::Connecting => self.connect_requested.notify_one(),
        }
        let settled = async {
            loop {
                if state.changed().await.is_err() {
                    return Err("the session is ending".into());
                }
                match state.borrow_and_update().clone() {
                    ConnectionState::Up(client) => return Ok(client),
                    ConnectionState::Down(reason) => return Err(reason),
                    ConnectionState::Connecting => {}
                }
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, settled).await {
            Ok(settled) => settled.map_err(Refusal::from),
            Err(_) => Err(ConnectionProblem::from("Portero's daemon does not answer").into()),
        }
    }

    /// Reports the audit's checkpoint so that a cut-off end is noticed: whenever it changed and there is a
    /// connection, until the future is dropped. An older daemon doesn't know the request and reads the files
    /// itself.
    pub(super) async fn report_checkpoints(&self) {
        let mut told = None;
        loop {
            let client = self.wait_for_client().await;
            let checkpoint = self.audit.checkpoint();
            if told.as_ref() != Some(&checkpoint) && self.report_checkpoint(&client).await {
                told = Some(checkpoint);
            }
            tokio::time::sleep(REPORT_INTERVAL).await;
        }
    }

    /// Reports the last checkpoint, with a new connection if there is none. It doesn't start a daemon.
    pub(super) async fn report_final_checkpoint(&self) {
        let report = async {
            let client = match self.current_client() {
                Some(client) => Some(client),
                None => {
                    daemon::connect_verified(&self.paths, &self.hello).await.ok().map(|(client, ..)| client)
                }
            };
            if let Some(client) = client {
                self.report_checkpoint(&client).await;
            }
        };
        // The daemon finds any records after it by itself.
        let _ = tokio::time::timeout(FINAL_REPORT_TIMEOUT, report).await;
    }

    async fn report_checkpoint(&self, client: &IpcClient) -> bool {
        let reported = self.announce(client).await;
        let reported = reported.inspect_err(
            |error| tracing::debug!(%error, "the daemon does not know how far the audit has come"),
        );
        reported.is_ok()
    }

    /// The finished tasks that no agent has fetched. The agent's first answer waits for this, and the
    /// session's own connection comes only after it. So a running daemon answers on a connection for this
    /// alone, and without a quick answer there is no news.
    ///
    /// The session announces its segment here. If it is killed before its own connection, it would otherwise
    /// look like a session that trusted another process as its daemon.
    pub(super) async fn fetch_news(&self) -> UnseenTasks {
        let asked = async {
            let (client, _pushes, _) = daemon::connect_verified(&self.paths, &self.hello).await.ok()?;
            let news = std::pin::pin!(client.request(ListUnseenTasks));
            let announced = std::pin::pin!(self.announce(&client));
            // Both requests are sent at once. Only the news is waited for; the daemon handles the
            // announcement meanwhile.
            let news = match select(news, announced).await {
                Either::Left((news, _)) => news,
                Either::Right((_, news)) => news.await,
            };
            news.ok()
        };
        tokio::time::timeout(NEWS_TIMEOUT, asked).await.ok().flatten().unwrap_or_default()
    }

    /// Makes a request of the session.
    pub(super) async fn request<R: Request>(&self, request: R) -> Result<R::Response, Refusal> {
        self.request_client().await?.request(request).await.map_err(refusal_from_error)
    }
}

/// Reloads the configuration after each change of what the daemon counts as confirmed, and again if it could
/// not be read.
async fn keep_reloading(mut wanted: watch::Receiver<String>, mut is_read: bool, pushed: &dyn PushHandler) {
    loop {
        let changed = wanted.changed();
        let changed = match is_read {
            true => changed.await,
            false => tokio::time::timeout(REREAD_INTERVAL, changed).await.unwrap_or(Ok(())),
        };
        if changed.is_err() {
            return;
        }
        let confirmed = wanted.borrow_and_update().clone();
        is_read = pushed.reload(&confirmed).await;
    }
}

/// Why there is no connection, in words for the agent.
#[derive(Debug, Clone)]
struct ConnectionProblem {
    why: String,
    /// The next step for the person.
    advice: String,
}

impl From<&str> for ConnectionProblem {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), advice: "run `portero daemon start`".to_owned() }
    }
}

impl From<ConnectError> for ConnectionProblem {
    fn from(error: ConnectError) -> Self {
        let unreached = Self::from(format!("Portero's daemon cannot be reached: {error}").as_str());
        match error {
            // The daemon's hint says which of the programs to restart, or which configuration it serves.
            ConnectError::Refused { failure, peer: _ } => {
                let advice = failure.hint.map(|hint| format!("do this: {hint}"));
                Self { advice: advice.unwrap_or(unreached.advice), why: unreached.why }
            }
            ConnectError::Absent(_)
            | ConnectError::Impostor
            | ConnectError::OtherStore(_)
            | ConnectError::Foreign(_)
            | ConnectError::Broken(_) => unreached,
        }
    }
}

impl From<ConnectionProblem> for Refusal {
    fn from(ConnectionProblem { why, advice }: ConnectionProblem) -> Self {
        Self::DaemonUnavailable(format!(
            "{why}. This needs the daemon, which alone asks a person for approval and keeps what they decide; \
             tell the person to {advice}. Do not look for another way to do it."
        ))
    }
}

/// Why the daemon refused a session's request, in words for the agent.
pub(super) fn refusal_from_error(error: RequestError) -> Refusal {
    match error {
        RequestError::Refused(failure) => failure.into_refusal(),
        error @ RequestError::Unreadable { .. } => Refusal::DaemonUnavailable(error.to_string()),
        RequestError::Closed(_) => Refusal::DaemonUnavailable(
            "the connection to Portero's daemon broke; look with portero/list_tasks whether the call waits \
             or ran before you try it again"
                .to_owned(),
        ),
        RequestError::Unsent(SendError::Closed | SendError::Full) => Refusal::DaemonUnavailable(
            "the connection to Portero's daemon was gone before this reached it, so nothing happened: it is safe \
             to do it again"
                .to_owned(),
        ),
        RequestError::Unsent(SendError::TooLong(_) | SendError::NotJson(_)) => Refusal::Invalid(error.to_string()),
    }
}

/// Why a forwarded call has no answer, in words for the agent. It isn't a task, so its result can't be
/// fetched later.
pub(super) fn describe_lost_answer(error: RequestError) -> Refusal {
    match error {
        RequestError::Closed(_) => Refusal::Interrupted(
            "the connection to Portero's daemon broke while the call was with it: the call may have run, and \
             whether it took effect is unknown"
                .to_owned(),
        ),
        error @ RequestError::Unreadable { .. } => Refusal::Interrupted(format!("{error}: the call may have run")),
        RequestError::Refused(_) | RequestError::Unsent(_) => refusal_from_error(error),
    }
}

/// Whether this very listing of a server is among those that the daemon took.
fn is_reported(
    reported: &BTreeMap<ServerName, Arc<ListedDefinitions>>,
    server: &ServerName,
    listed: &Arc<ListedDefinitions>,
) -> bool {
    reported.get(server).is_some_and(|reported| Arc::ptr_eq(reported, listed))
}
