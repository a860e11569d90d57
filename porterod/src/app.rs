//! The composition root: everything that the daemon is made of, put together and taken apart.

mod compose;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portero::anonymize::Leak;
use portero::approved_config::ApprovedConfig;
use portero::audit::{AuditEvent, Disk};
use portero::clock::Clock;
use portero::config::ConfigFiles;
use portero::ipc::{BindError, DaemonFailure, DaemonListener, DaemonLock, FailureKind, PushMessage};
use portero::names::ServerName;
use portero::notice::{AlarmKind, Notice};
use portero::paths::Paths;
use portero::server::{GuardCommand, ListKind, RESTARTED_METHOD, ServerChange, ServerEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::compose::{compose_daemon, store_failure};
use crate::daemon::{Daemon, EnvironmentLookup};
use crate::journal::alarms::{AlarmWatcher, SessionChecks};
use crate::journal::outbox::NoticesAfter;
#[cfg(test)]
use crate::journal::outbox::Outbox;
use crate::sessions::ServerNotification;
use crate::telegram::callbacks::CallbackHandler;
use crate::telegram::commands::CommandHandler;
use crate::telegram::supervisor::{self, TelegramTiming};
use crate::{apply_config, approved_config, listen, reload};

/// How long approved calls that are with a server may take when the daemon ends.
const EXECUTION_GRACE: Duration = Duration::from_secs(5);
/// How long everything else may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often idle servers are looked for.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// What the daemon takes from the process that it runs in; a test gives its own.
pub struct AppDeps {
    /// Where things live.
    pub paths: Paths,
    /// The user's home: the directory that shared servers are started in.
    pub home: PathBuf,
    /// This process's environment: what `${VAR}` reads, and what children get after the allow-list.
    pub environment: Vec<(OsString, OsString)>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where the audit is written.
    pub disk: Arc<dyn Disk>,
    /// The machine's boot, as [`crate::boot::boot_id`] tells it; grants are void after another.
    pub boot_id: String,
    /// What children run under, on unix.
    pub guard: Option<GuardCommand>,
    /// The version, for people.
    pub build: String,
    /// How fast things go on Telegram.
    pub telegram: TelegramTiming,
}

/// A daemon that runs in this process, on the current runtime, which must have one thread: children are tied
/// to the thread that starts them.
pub struct App {
    daemon: Arc<Daemon>,
    listening: JoinHandle<DaemonLock>,
    executing: JoinHandle<()>,
    /// Takes back what executes.
    interrupt: CancellationToken,
    background: TaskTracker,
}

impl App {
    /// Starts it: it listens when this returns.
    ///
    /// # Errors
    /// [`FailureKind::Configuration`] when the files have errors or another store sealed them,
    /// [`FailureKind::Refused`] when another daemon is running, otherwise [`FailureKind::Internal`].
    pub async fn start(parts: AppDeps) -> Result<Self, DaemonFailure> {
        let internal = |what: &str, error: &dyn std::fmt::Display| {
            DaemonFailure::new(FailureKind::Internal, format!("{what}: {error}"))
        };
        let AppDeps { paths, .. } = &parts;
        paths.create_directories().map_err(|error| internal("could not prepare the directories", &error))?;
        let files = ConfigFiles::load_off_thread(&paths.config)
            .await
            .map_err(|problems| config_failure(&apply_config::describe_problems(&problems)))?;
        let environment = environment_lookup(parts.environment.clone());
        apply_config::check_files(&ApprovedConfig::Open, &files, &environment)
            .map_err(|problems| config_failure(&problems))?;
        approved_config::check_may_start(paths).await.map_err(|error| store_failure(paths, &error))?;
        let listener = bind_listener(paths).await.map_err(|error| bind_failure(&error))?;
        approved_config::mark_new_store(paths)
            .map_err(|error| internal("could not write to the state directory", &error))?;
        let tuning = parts.telegram.clone();
        let (daemon, executor) = compose_daemon(parts, environment, &files).await?;
        // What is kept of the passphrase must be readable: else each confirmation would fail later.
        let readable = daemon.passphrase.kdf_params();
        readable.map_err(|error| internal("could not read what is kept of the passphrase", &error))?;
        record_startup(&daemon, &files).await;
        let ended = daemon.remote_confirmations.end_leftover().await;
        ended.map_err(|error| internal("could not end what terminals asked for", &error))?;
        executor
            .recover_tasks()
            .await
            .map_err(|error| internal("could not take up where it ended", &error))?;
        let background = TaskTracker::new();
        let hearing = Arc::downgrade(&daemon);
        let changes = daemon.upstreams.start_shared(Arc::new(move |event| {
            if let Some(daemon) = hearing.upgrade() {
                forward_server_event(&daemon, event);
            }
        }));
        background.spawn(follow_server_changes(Arc::clone(&daemon), changes));
        let place =
            daemon.outbox.last_seq().map_err(|error| internal("could not read the outbox", &error))?;
        background.spawn(push_settled_tasks(Arc::clone(&daemon), place));
        background.spawn(Arc::clone(&daemon.outbox).run(daemon.stop.clone()));
        let alarms =
            AlarmWatcher::new(Arc::clone(&daemon.journal), session_checks(&daemon), &daemon.paths.audit());
        background.spawn(alarms.run(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.approval_queue).run_expiry(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.overrides).run_saver(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.approval_queue).run_rejection_saver(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon).run_grant_expiry());
        background.spawn(reload::follow_config(Arc::clone(&daemon), files));
        background.spawn(apply_config::run_edit_reports(Arc::clone(&daemon)));
        background.spawn(run_idle_closing(Arc::clone(&daemon)));
        let talk = CommandHandler::new(Arc::clone(&daemon), tuning.zone.clone());
        background.spawn(talk.notices().run_activity());
        background.spawn(talk.notices().send_audit_heads(tuning.audit_head_interval));
        background.spawn(talk.notices().run_news(tuning.news_window));
        background.spawn(talk.menu().run());
        background.spawn(talk.clone().run_remote_prompts());
        let deciding = CallbackHandler::new(Arc::clone(&daemon), tuning.zone.clone(), Arc::new(talk));
        background.spawn(deciding.consume_notices());
        background.spawn(supervisor::serve(Arc::clone(&daemon), Arc::new(deciding), tuning));
        background.spawn(Arc::clone(&daemon.approval_queue).run_pruning(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.checkpoints).run(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.retention).run(daemon.stop.clone()));
        let interrupt = CancellationToken::new();
        let executing = tokio::spawn(executor.run(interrupt.clone()));
        let listening = tokio::spawn(listen::serve_socket(Arc::clone(&daemon), listener));
        Ok(Self { daemon, listening, executing, interrupt, background })
    }

    /// What people are to be told, for a channel.
    #[cfg(test)]
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.daemon.outbox)
    }

    /// Returns once a person asked the daemon to stop over the socket.
    pub async fn wait_for_stop(&self) {
        self.daemon.stop.cancelled().await;
    }

    /// Ends it: accepts nothing new, lets what is under way finish for a while, ends every child and flushes
    /// the audit. Another daemon can start when this returns.
    pub async fn shutdown(self) {
        let Self { daemon, listening, executing, interrupt, background } = self;
        daemon.stop.cancel();
        let lock = listening.await;
        daemon.pending_work.close();
        background.close();
        let _ = tokio::time::timeout(EXECUTION_GRACE, daemon.approval_queue.none_executes()).await;
        interrupt.cancel();
        let ended = async {
            let _ = executing.await;
            daemon.pending_work.wait().await;
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("what is still under way is interrupted");
        }
        daemon.upstreams.close().await;
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, background.wait()).await;
        daemon.record_event(AuditEvent::Process {
            program: format!("porterod {}", daemon.build),
            what: "ended".to_owned(),
        });
        if let Err(error) = daemon.journal.save_checkpoint().await {
            tracing::error!(%error, "the audit cannot be written");
        }
        daemon.journal.store().close();
        drop(daemon);
        drop(lock);
    }
}

/// What tells a session of this daemon's from another.
fn session_checks(daemon: &Daemon) -> SessionChecks {
    let (heads, rules) = (Arc::clone(&daemon.checkpoints), Arc::clone(&daemon.overrides));
    let restricting = Arc::clone(&rules);
    SessionChecks {
        is_announced: Arc::new(move |segment| heads.is_announced(segment)),
        was_in_force: Arc::new(move |id| rules.was_in_force(id)),
        is_restricted: Arc::new(move |tool| restricting.overrides().narrows(tool)),
    }
}

fn environment_lookup(environment: Vec<(OsString, OsString)>) -> EnvironmentLookup {
    Arc::new(move |name| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()))
}

fn config_failure(problems: &[String]) -> DaemonFailure {
    let message = format!("the configuration has errors:\n  {}", problems.join("\n  "));
    DaemonFailure::new(FailureKind::Configuration, message).with_hint("run `portero check`")
}

/// Whoever holds the lock is the only one that listens here, and the only one that opens the store.
async fn bind_listener(paths: &Paths) -> Result<DaemonListener, BindError> {
    let lock = DaemonLock::acquire(&paths.runtime_lock())?.with_state(&paths.state_lock(), &paths.runtime)?;
    DaemonListener::bind(&paths.socket(), lock).await
}

fn bind_failure(error: &BindError) -> DaemonFailure {
    let failure = match error {
        BindError::Running => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        BindError::StateInUse(_) => DaemonFailure::new(FailureKind::Configuration, error.to_string()),
        BindError::Occupied(_) => DaemonFailure::new(FailureKind::Internal, error.to_string()),
        BindError::System(_, source) => {
            DaemonFailure::new(FailureKind::Internal, format!("{error}: {source}"))
        }
    };
    error.hint().into_iter().fold(failure, DaemonFailure::with_hint)
}

/// Writes down what is in force, and what waits.
async fn record_startup(daemon: &Daemon, files: &ConfigFiles) {
    let config = daemon.config.load_full();
    config.log_skipped();
    daemon.record_event(AuditEvent::Config { digest: config.digest.clone(), valid: true });
    apply_config::settle_at_start(daemon, files).await;
}

/// Tells sessions which of their principal's tasks reached a final state after `place`.
async fn push_settled_tasks(daemon: Arc<Daemon>, mut place: u64) {
    let mut changes = daemon.outbox.subscribe();
    loop {
        match daemon.outbox.entries_after(place) {
            Ok(NoticesAfter::Entries(entries)) => {
                for entry in &entries {
                    place = entry.seq;
                    push_settled_task(&daemon, &entry.notice);
                }
                if !entries.is_empty() {
                    continue;
                }
            }
            // A session that waits for a task reads its state itself.
            Ok(NoticesAfter::Removed) => place = daemon.outbox.last_seq().unwrap_or(place),
            Err(error) => tracing::warn!(%error, "sessions are not told of tasks that ended"),
        }
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            // The sender lives as long as the daemon.
            _ = changes.changed() => {}
        }
    }
}

fn push_settled_task(daemon: &Daemon, notice: &Notice) {
    if let Notice::Task { task, state, .. } = notice
        && state.is_final()
        && let Ok(found) = daemon.approval_queue.find_task(*task, None)
    {
        let settled = PushMessage::Settled { task: *task, state: *state };
        daemon.sessions.push_to_principal(&found.origin.principal, &settled);
    }
}

/// How soon a shared server that does not say what it offers is asked again, and how often at last.
const RELIST_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// Asks a shared server anew what it offers, until it says so, and tells sessions which lists differ. One task a
/// server does this, so one that hangs holds up nothing of the others.
async fn relist_until_current(daemon: &Daemon, server: &ServerName) {
    let mut interval = RELIST_INTERVAL.0;
    loop {
        let relisted = tokio::select! {
            relisted = daemon.upstreams.relist_server(server) => relisted,
            () = daemon.stop.cancelled() => return,
        };
        match relisted {
            Ok(None) => return,
            Ok(Some(lists)) => {
                interval = RELIST_INTERVAL.0;
                for list in lists {
                    let (server, method) = (server.clone(), list_changed_method(list));
                    daemon.sessions.notify_all(&ServerNotification { server, method, params: None });
                }
            }
            Err(_) => {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = daemon.stop.cancelled() => return,
                }
                interval = (interval * 2).min(RELIST_INTERVAL.1);
            }
        }
    }
}

/// Tells sessions what changed of shared servers, until their fleet is closed. Nothing here waits for a server.
async fn follow_server_changes(daemon: Arc<Daemon>, mut changes: mpsc::Receiver<ServerChange>) {
    while let Some(change) = changes.recv().await {
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                if daemon.upstreams.mark_outdated(&server) {
                    let of = Arc::clone(&daemon);
                    daemon.pending_work.spawn(async move { relist_until_current(&of, &server).await });
                }
            }
            ServerChange::Restarted(server) => {
                daemon.sessions.notify_all(&ServerNotification {
                    server,
                    method: RESTARTED_METHOD,
                    params: None,
                });
            }
        }
    }
}

/// Passes on what a shared server says unasked, concealed. Its answers take the same way to a session, so that what
/// it said before one arrives before it.
fn forward_server_event(daemon: &Arc<Daemon>, event: ServerEvent) {
    let (server, method, params) = match event {
        ServerEvent::ResourceUpdated(server, params) => (server, "notifications/resources/updated", params),
        ServerEvent::Log(server, params) => (server, "notifications/message", params),
        ServerEvent::LogsLeftOut(server, count) => {
            let why = "it sent more than are passed on in a second";
            return daemon.sessions.notify_all(&ServerNotification::logs_left_out(server, count, why));
        }
    };
    match daemon.anonymizer.load().conceal(params) {
        Ok(params) => {
            daemon.sessions.notify_all(&ServerNotification { server, method, params: Some(params) })
        }
        Err(Leak) => {
            tracing::error!(%server, "a notification was withheld: a private value stood in it");
            let about = format!("a notification of `{server}` was withheld: a private value stood in it");
            let journal = Arc::clone(&daemon.journal);
            daemon.pending_work.spawn(async move { journal.raise_alarm(AlarmKind::Withheld, &about).await });
        }
    }
}

const fn list_changed_method(list: ListKind) -> &'static str {
    match list {
        ListKind::Tools => "notifications/tools/list_changed",
        ListKind::Resources => "notifications/resources/list_changed",
        ListKind::Prompts => "notifications/prompts/list_changed",
    }
}

async fn run_idle_closing(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep(IDLE_CHECK_INTERVAL) => daemon.upstreams.close_idle_projects().await,
        }
    }
}
