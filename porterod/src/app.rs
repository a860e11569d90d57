//! The composition root: builds the daemon from its parts and takes it down.

mod compose;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portero::approved_config::ApprovedConfig;
use portero::audit::{AuditEvent, Disk};
use portero::clock::Clock;
use portero::config::ConfigFiles;
use portero::ipc::{BindError, DaemonFailure, DaemonListener, DaemonLock, FailureKind, PushMessage};
use portero::names::ServerName;
use portero::notice::{AlarmKind, Notice};
use portero::paths::Paths;
use portero::server::{GuardCommand, ListKind, RESTARTED_METHOD, ServerChange, ServerEvent};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::compose::{compose_daemon, store_failure};
use crate::api;
use crate::approved_config::check::{EnvironmentLookup, check_files, describe_problems};
use crate::approved_config::store::{check_may_start, mark_new_store};
use crate::daemon::Daemon;
use crate::https::mcp::mcp_routes;
use crate::https::{self, Credentials, HttpsRoutes, metadata_routes};
use crate::journal::alarms::{AlarmWatcher, SessionChecks};
use crate::journal::outbox::NoticesAfter;
#[cfg(test)]
use crate::journal::outbox::Outbox;
use crate::keyring::Keyring;
use crate::listen;
use crate::remote_sessions::{RemoteSessions, SessionLimits};
use crate::sessions::{InstanceScope, ServerNotification};
use crate::telegram::callbacks::CallbackHandler;
use crate::telegram::commands::CommandHandler;
use crate::telegram::supervisor::{self, TelegramTiming};
use crate::upstreams::ServerListener;

/// How long running calls may take after the daemon is asked to end.
const EXECUTION_GRACE: Duration = Duration::from_secs(5);
/// How long everything else may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often idle servers are looked for.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that the daemon takes from its process; a test passes its own.
pub struct AppDeps {
    /// The directories and files.
    pub paths: Paths,
    /// The user's home, in which shared servers are started.
    pub home: PathBuf,
    /// The process's environment: `${VAR}` is read from it, and children get its allow-listed part.
    pub environment: Vec<(OsString, OsString)>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The disk for the audit.
    pub disk: Arc<dyn Disk>,
    /// The machine's boot id ([`crate::boot::boot_id`]); grants end with it.
    pub boot_id: String,
    /// The supervisor of children, on unix.
    pub guard: Option<GuardCommand>,
    /// The version, for people.
    pub build: String,
    /// The timing of everything on Telegram.
    pub telegram: TelegramTiming,
    /// The keyring of the system.
    pub keyring: Arc<dyn Keyring>,
}

/// A daemon in this process, on the current runtime. The runtime must have one thread, because children are
/// tied to the thread that starts them.
pub struct App {
    daemon: Arc<Daemon>,
    listening: JoinHandle<DaemonLock>,
    executing: JoinHandle<()>,
    /// Cancels the running calls.
    interrupt: CancellationToken,
    background: TaskTracker,
}

impl App {
    /// Starts the daemon, which listens when this returns.
    ///
    /// # Errors
    /// [`FailureKind::Configuration`] if the files have errors or another store sealed them,
    /// [`FailureKind::Refused`] if another daemon is running, otherwise [`FailureKind::Internal`].
    pub async fn start(parts: AppDeps) -> Result<Self, DaemonFailure> {
        let internal = |what: &str, error: &dyn std::fmt::Display| {
            DaemonFailure::new(FailureKind::Internal, format!("{what}: {error}"))
        };
        let AppDeps { paths, .. } = &parts;
        paths.create_directories().map_err(|error| internal("could not prepare the directories", &error))?;
        let files = ConfigFiles::load_off_thread(&paths.config)
            .await
            .map_err(|problems| config_failure(&describe_problems(&problems)))?;
        let environment = environment_lookup(parts.environment.clone());
        check_files(&ApprovedConfig::Open, &files, &environment)
            .map_err(|problems| config_failure(&problems))?;
        // The order matters: the seal is checked before the socket exists, and the socket's lock is held
        // before the store is opened, so two daemons never open one store.
        check_may_start(paths).await.map_err(|error| store_failure(paths, &error))?;
        let listener = bind_listener(paths).await.map_err(|error| bind_failure(&error))?;
        mark_new_store(paths).map_err(|error| internal("could not write to the state directory", &error))?;
        let tuning = parts.telegram.clone();
        let (daemon, executor) = compose_daemon(parts, environment, &files).await?;
        // An unreadable verifier must stop the start: otherwise each confirmation would fail later.
        let readable = daemon.passphrase.kdf_params();
        readable.map_err(|error| internal("could not read what is kept of the passphrase", &error))?;
        daemon.config.record_start(&files).await;
        let ended = daemon.remote_confirmations.end_leftover().await;
        ended.map_err(|error| internal("could not end what terminals asked for", &error))?;
        // Recovery comes before the executor and the socket, so no call runs and no client is served before
        // it.
        executor
            .recover_tasks()
            .await
            .map_err(|error| internal("could not take up where it ended", &error))?;
        // After the recovery, which takes over the rejections that the last daemon could not save.
        api::enforce_denials(&daemon).await;
        let background = TaskTracker::new();
        // Weak, because the upstreams belong to the daemon and would otherwise keep it alive for ever.
        daemon.upstreams.start_listening(Arc::new(SessionNotifier(Arc::downgrade(&daemon))));
        // The position is read before the first task can settle, so no push is missed.
        let place =
            daemon.outbox.last_seq().map_err(|error| internal("could not read the outbox", &error))?;
        background.spawn(push_settled_tasks(Arc::clone(&daemon), place));
        background.spawn(Arc::clone(&daemon.outbox).run(daemon.lifecycle.stop_signal().clone()));
        let alarms =
            AlarmWatcher::new(Arc::clone(&daemon.journal), session_checks(&daemon), daemon.audit.directory());
        background.spawn(alarms.run(daemon.lifecycle.stop_signal().clone()));
        background
            .spawn(Arc::clone(&daemon.approval_queue).run_expiry(daemon.lifecycle.stop_signal().clone()));
        background.spawn(Arc::clone(&daemon.overrides).run_saver(daemon.lifecycle.stop_signal().clone()));
        background.spawn(
            Arc::clone(daemon.approval_queue.rejections()).run_saver(daemon.lifecycle.stop_signal().clone()),
        );
        background.spawn(Arc::clone(&daemon.overrides).run_expiry(daemon.lifecycle.stop_signal().clone()));
        background
            .spawn(Arc::clone(&daemon.config).follow_files(files, daemon.lifecycle.stop_signal().clone()));
        background.spawn(Arc::clone(&daemon.config).run_edit_reports(daemon.lifecycle.stop_signal().clone()));
        background.spawn(run_idle_closing(Arc::clone(&daemon)));
        spawn_credential_keepers(&daemon, &background);
        let talk = CommandHandler::new(Arc::clone(&daemon), tuning.zone.clone());
        background.spawn(talk.notices().run_activity());
        background.spawn(talk.notices().send_audit_heads(tuning.audit_head_interval));
        background.spawn(talk.notices().run_news(tuning.news_window));
        background.spawn(talk.menu().run());
        background.spawn(talk.clone().run_remote_prompts());
        let deciding = CallbackHandler::new(Arc::clone(&daemon), tuning.zone.clone(), Arc::new(talk));
        background.spawn(deciding.consume_notices());
        background.spawn(deciding.follow_obstacles());
        background.spawn(deciding.follow_definitions());
        background.spawn(supervisor::serve(Arc::clone(&daemon), Arc::new(deciding), tuning));
        let remote_sessions = RemoteSessions::new(Arc::clone(&daemon), SessionLimits::default());
        background.spawn(Arc::clone(&remote_sessions).run(daemon.lifecycle.stop_signal().clone()));
        let credentials = Arc::new(Credentials::new(&daemon));
        background.spawn(Arc::clone(&credentials).follow_config(Arc::clone(&daemon)));
        let routes = https_routes(&daemon, credentials, &remote_sessions);
        background.spawn(https::serve(Arc::clone(&daemon), routes));
        background
            .spawn(Arc::clone(&daemon.approval_queue).run_pruning(daemon.lifecycle.stop_signal().clone()));
        background.spawn(Arc::clone(&daemon.access_tokens).run(daemon.lifecycle.stop_signal().clone()));
        background.spawn(Arc::clone(&daemon.audit).run(daemon.lifecycle.stop_signal().clone()));
        let interrupt = CancellationToken::new();
        let executing = tokio::spawn(executor.run(interrupt.clone()));
        let listening = tokio::spawn(listen::serve_socket(Arc::clone(&daemon), listener));
        Ok(Self { daemon, listening, executing, interrupt, background })
    }

    /// The notices for people, for a channel.
    #[cfg(test)]
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.daemon.outbox)
    }

    /// The running daemon, as its requests see it.
    #[must_use]
    pub const fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// Returns once a person has asked the daemon to stop over the socket.
    pub async fn wait_for_stop(&self) {
        self.daemon.lifecycle.stop_signal().cancelled().await;
    }

    /// Ends the daemon: accepts nothing new, gives running calls some time, ends every child and flushes the
    /// audit. Another daemon can start when this returns.
    pub async fn shutdown(self) {
        // The order: no new connections, then the calls, then their servers, then the audit and the store.
        // The lock is dropped last, because another daemon may start as soon as it is free.
        let Self { daemon, listening, executing, interrupt, background } = self;
        daemon.lifecycle.request_stop();
        let lock = listening.await;
        background.close();
        let _ = tokio::time::timeout(EXECUTION_GRACE, daemon.logins.close()).await;
        let _ = tokio::time::timeout(EXECUTION_GRACE, daemon.approval_queue.none_executes()).await;
        interrupt.cancel();
        let ended = async {
            let _ = executing.await;
            daemon.lifecycle.wait_for_work().await;
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("what is still under way is interrupted");
        }
        daemon.upstreams.close().await;
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, background.wait()).await;
        daemon.journal.record_event(AuditEvent::Process {
            program: format!("porterod {}", daemon.lifecycle.build()),
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

/// What is served over HTTPS.
fn https_routes(
    daemon: &Arc<Daemon>,
    credentials: Arc<Credentials>,
    sessions: &Arc<RemoteSessions>,
) -> HttpsRoutes {
    HttpsRoutes {
        authenticator: credentials,
        authenticated: mcp_routes(Arc::clone(sessions)),
        well_known: metadata_routes(daemon),
    }
}

/// Seals credentials under the key that the settings want, and tells which servers want a login.
fn spawn_credential_keepers(daemon: &Daemon, background: &TaskTracker) {
    let stop = daemon.lifecycle.stop_signal();
    background.spawn(Arc::clone(&daemon.credentials).run(daemon.config.subscribe(), stop.clone()));
    background.spawn(Arc::clone(daemon.logins.needs()).run(
        Arc::clone(&daemon.upstreams),
        Arc::clone(&daemon.journal),
        stop.clone(),
    ));
}

/// Tells the sessions of this daemon from others.
fn session_checks(daemon: &Daemon) -> SessionChecks {
    let (heads, rules) = (Arc::clone(daemon.audit.checkpoints()), Arc::clone(&daemon.overrides));
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

/// The holder of the lock is the only listener here, and the only one that opens the store.
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

/// Tells sessions which of their principal's tasks became final after `place`.
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
            // The skipped notices need no push: a session that waits for a task also reads its state.
            Ok(NoticesAfter::Removed) => place = daemon.outbox.last_seq().unwrap_or(place),
            Err(error) => tracing::warn!(%error, "sessions are not told of tasks that ended"),
        }
        tokio::select! {
            () = daemon.lifecycle.stop_signal().cancelled() => return,
            // The sender lives as long as the daemon, so this can't fail.
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

/// The first and the longest interval between attempts to list a shared server that doesn't answer.
const RELIST_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// Lists a shared server again until it answers, and tells its sessions which lists differ. Each server has a
/// task of its own, so one that hangs doesn't block the others.
async fn relist_until_current(daemon: &Daemon, scope: &InstanceScope, server: &ServerName) {
    let mut interval = RELIST_INTERVAL.0;
    loop {
        let relisted = tokio::select! {
            relisted = daemon.upstreams.relist_server(scope, server) => relisted,
            () = daemon.lifecycle.stop_signal().cancelled() => return,
        };
        match relisted {
            Ok(None) => return,
            Ok(Some(lists)) => {
                interval = RELIST_INTERVAL.0;
                for list in lists {
                    let (server, method) = (server.clone(), list_changed_method(list));
                    let notification = ServerNotification { server, method, params: None };
                    daemon.sessions.notify_scope(scope, &notification);
                }
            }
            Err(_) => {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = daemon.upstreams.wait_for_renewal(scope, server) => interval = RELIST_INTERVAL.0,
                    () = daemon.lifecycle.stop_signal().cancelled() => return,
                }
                interval = (interval * 2).min(RELIST_INTERVAL.1);
            }
        }
    }
}

/// Tells sessions about notifications and changes of shared servers. Nothing here waits for a server.
struct SessionNotifier(Weak<Daemon>);

impl ServerListener for SessionNotifier {
    fn take_event(&self, scope: &InstanceScope, event: ServerEvent) {
        if let Some(daemon) = self.0.upgrade() {
            forward_server_event(&daemon, scope, event);
        }
    }

    fn take_change(&self, scope: &InstanceScope, change: ServerChange) {
        let Some(daemon) = self.0.upgrade() else { return };
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                if daemon.upstreams.mark_outdated(scope, &server) {
                    let (of, scope) = (Arc::clone(&daemon), scope.clone());
                    daemon.lifecycle.spawn(async move { relist_until_current(&of, &scope, &server).await });
                }
            }
            ServerChange::Restarted(server) => {
                let notification = ServerNotification { server, method: RESTARTED_METHOD, params: None };
                daemon.sessions.notify_scope(scope, &notification);
            }
        }
    }
}

/// Forwards a shared server's notification, concealed. Answers reach a session by the same queue, so a
/// notification that came before an answer also arrives before it.
fn forward_server_event(daemon: &Arc<Daemon>, scope: &InstanceScope, event: ServerEvent) {
    let (server, method, params) = match event {
        ServerEvent::ResourceUpdated(server, params) => (server, "notifications/resources/updated", params),
        ServerEvent::Log(server, params) => (server, "notifications/message", params),
        ServerEvent::LogsLeftOut(server, count) => {
            let why = "it sent more than are passed on in a second";
            let notification = ServerNotification::logs_left_out(server, count, why);
            return daemon.sessions.notify_scope(scope, &notification);
        }
    };
    match daemon.anonymizer.load().conceal_from(&server, params) {
        Ok(params) => {
            let notification = ServerNotification { server, method, params: Some(params) };
            daemon.sessions.notify_scope(scope, &notification);
        }
        Err(leak) => {
            let what = leak.describe_value();
            tracing::error!(%server, what, "a notification was withheld: it held a private value");
            let about =
                format!("a notification of `{server}` ({method}) was withheld, because it held {what}");
            let journal = Arc::clone(&daemon.journal);
            daemon.lifecycle.spawn(async move { journal.raise_alarm(AlarmKind::Withheld, &about).await });
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
            () = daemon.lifecycle.stop_signal().cancelled() => return,
            () = tokio::time::sleep(IDLE_CHECK_INTERVAL) => {}
        }
        daemon.upstreams.close_idle_projects(|directory| daemon.sessions.has_session_in(directory)).await;
    }
}
