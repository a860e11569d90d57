//! The composition root: everything that the daemon is made of, put together and taken apart.

mod compose;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portero::anonymize::Leak;
use portero::audit::{Disk, Event};
use portero::clock::Clock;
use portero::config::Files;
use portero::confirmed::Confirmed;
use portero::ipc::{BindError, Failure, FailureKind, Listener, Lock, Push};
use portero::names::ServerName;
use portero::notice::{Alarm, Notice};
use portero::paths::Paths;
use portero::server::{Event as ServerEvent, Guard, List, RESTARTED, ServerChange};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::compose::{compose, sealed};
use crate::alarms::{Alarms, Known};
use crate::channels::telegram::decide::Deciding;
use crate::channels::telegram::link::{self, Tuning};
use crate::channels::telegram::talk::Talk;
use crate::daemon::{Daemon, Environment};
use crate::outbox::After;
#[cfg(test)]
use crate::outbox::Outbox;
use crate::sessions::Notification;
use crate::{configuration, confirmed, listen, reload};

/// How long approved calls that are with a server may take when the daemon ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long everything else may take.
const FINISH: Duration = Duration::from_secs(10);
/// How often idle servers are looked for.
const IDLE_LOOK: Duration = Duration::from_secs(30);

/// What the daemon takes from the process that it runs in; a test gives its own.
pub struct Parts {
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
    pub guard: Option<Guard>,
    /// The version, for people.
    pub build: String,
    /// How fast things go on Telegram.
    pub telegram: Tuning,
}

/// A daemon that runs in this process, on the current runtime, which must have one thread: children are tied
/// to the thread that starts them.
pub struct App {
    daemon: Arc<Daemon>,
    listening: JoinHandle<Lock>,
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
    pub async fn start(parts: Parts) -> Result<Self, Failure> {
        let internal = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(FailureKind::Internal, format!("{what}: {error}"))
        };
        let Parts { paths, .. } = &parts;
        paths.create().map_err(|error| internal("could not prepare the directories", &error))?;
        let files = Files::load_off_thread(&paths.config)
            .await
            .map_err(|problems| faulty(&configuration::describe(&problems)))?;
        let environment = lookup(parts.environment.clone());
        configuration::check(&Confirmed::Open, &files, &environment).map_err(|problems| faulty(&problems))?;
        confirmed::may_begin(paths).await.map_err(|problem| sealed(paths, &problem))?;
        let listener = bind(paths).await.map_err(|error| unbound(&error))?;
        confirmed::note_new_store(paths)
            .map_err(|error| internal("could not write to the state directory", &error))?;
        let tuning = parts.telegram.clone();
        let (daemon, executor) = compose(parts, environment, &files).await?;
        let upgraded = daemon.passphrase.upgrade().await;
        upgraded.map_err(|error| internal("could not read what is kept of the passphrase", &error))?;
        begin(&daemon, &files).await;
        let ended = daemon.consents.recover().await;
        ended.map_err(|error| internal("could not end what terminals asked for", &error))?;
        executor.recover().await.map_err(|error| internal("could not take up where it ended", &error))?;
        let background = TaskTracker::new();
        let hearing = Arc::downgrade(&daemon);
        let changes = daemon.servers.share(Arc::new(move |event| {
            if let Some(daemon) = hearing.upgrade() {
                pass_on(&daemon, event);
            }
        }));
        background.spawn(follow_changes(Arc::clone(&daemon), changes));
        let place = daemon.outbox.last().map_err(|error| internal("could not read the outbox", &error))?;
        background.spawn(tell_sessions(Arc::clone(&daemon), place));
        background.spawn(Arc::clone(&daemon.outbox).run(daemon.stop.clone()));
        let alarms = Alarms::new(Arc::clone(&daemon.journal), known(&daemon), &daemon.paths.audit());
        background.spawn(alarms.run(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.desk).run_timer(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.rules).keep(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.desk).save_rejections(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon).end_grants());
        background.spawn(reload::follow(Arc::clone(&daemon), files));
        background.spawn(configuration::tell_gathered(Arc::clone(&daemon)));
        background.spawn(close_idle(Arc::clone(&daemon)));
        let talk = Talk::new(Arc::clone(&daemon), tuning.zone.clone());
        background.spawn(talk.clone().tell_activity());
        background.spawn(talk.clone().tell_heads(tuning.head_look));
        background.spawn(talk.clone().tell_news(tuning.gather));
        background.spawn(talk.clone().keep_menu());
        background.spawn(talk.clone().ask_for_terminals());
        let deciding = Deciding::new(Arc::clone(&daemon), tuning.zone.clone(), Arc::new(talk));
        background.spawn(deciding.telling());
        background.spawn(link::serve(Arc::clone(&daemon), Arc::new(deciding), tuning));
        background.spawn(Arc::clone(&daemon.desk).run_pruning(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.heads).run(daemon.stop.clone()));
        background.spawn(Arc::clone(&daemon.upkeep).run(daemon.stop.clone()));
        let interrupt = CancellationToken::new();
        let executing = tokio::spawn(executor.run(interrupt.clone()));
        let listening = tokio::spawn(listen::serve(Arc::clone(&daemon), listener));
        Ok(Self { daemon, listening, executing, interrupt, background })
    }

    /// What people are to be told, for a channel.
    #[cfg(test)]
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.daemon.outbox)
    }

    /// Returns once a person asked the daemon to stop over the socket.
    pub async fn stopped(&self) {
        self.daemon.stop.cancelled().await;
    }

    /// Ends it: accepts nothing new, lets what is under way finish for a while, ends every child and flushes
    /// the audit. Another daemon can start when this returns.
    pub async fn shutdown(self) {
        let Self { daemon, listening, executing, interrupt, background } = self;
        daemon.stop.cancel();
        let lock = listening.await;
        daemon.work.close();
        background.close();
        let _ = tokio::time::timeout(GRACE, daemon.desk.none_executes()).await;
        interrupt.cancel();
        let ended = async {
            let _ = executing.await;
            daemon.work.wait().await;
        };
        if tokio::time::timeout(FINISH, ended).await.is_err() {
            tracing::warn!("what is still under way is interrupted");
        }
        daemon.servers.close().await;
        let _ = tokio::time::timeout(FINISH, background.wait()).await;
        daemon.record(Event::Process {
            program: format!("porterod {}", daemon.build),
            what: "ended".to_owned(),
        });
        if let Err(error) = daemon.journal.keep_head().await {
            tracing::error!(%error, "the audit cannot be written");
        }
        daemon.journal.store().close();
        drop(daemon);
        drop(lock);
    }
}

/// What tells a session of this daemon's from another.
fn known(daemon: &Daemon) -> Known {
    let (heads, rules) = (Arc::clone(&daemon.heads), Arc::clone(&daemon.rules));
    let restricting = Arc::clone(&rules);
    Known {
        is_announced: Arc::new(move |segment| heads.is_announced(segment)),
        was_in_force: Arc::new(move |id| rules.was_in_force(id)),
        is_restricted: Arc::new(move |tool| restricting.standing().narrows(tool)),
    }
}

fn lookup(environment: Vec<(OsString, OsString)>) -> Environment {
    Arc::new(move |name| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()))
}

fn faulty(problems: &[String]) -> Failure {
    let message = format!("the configuration has errors:\n  {}", problems.join("\n  "));
    Failure::new(FailureKind::Configuration, message).with_hint("run `portero check`")
}

/// Whoever holds the lock is the only one that listens here, and the only one that opens the store.
async fn bind(paths: &Paths) -> Result<Listener, BindError> {
    let lock = Lock::take(&paths.lock())?.with_state(&paths.state_lock(), &paths.runtime)?;
    Listener::bind(&paths.socket(), lock).await
}

fn unbound(error: &BindError) -> Failure {
    let failure = match error {
        BindError::Running => Failure::new(FailureKind::Refused, error.to_string()),
        BindError::StateInUse(_) => Failure::new(FailureKind::Configuration, error.to_string()),
        BindError::Occupied(_) => Failure::new(FailureKind::Internal, error.to_string()),
        BindError::System(_, source) => Failure::new(FailureKind::Internal, format!("{error}: {source}")),
    };
    error.advice().into_iter().fold(failure, Failure::with_hint)
}

/// Writes down what is in force, and what waits.
async fn begin(daemon: &Daemon, files: &Files) {
    let config = daemon.config.load_full();
    config.log_skipped();
    daemon.record(Event::Config { digest: config.digest.clone(), valid: true });
    configuration::settle(daemon, files).await;
}

/// Tells sessions which of their principal's tasks reached a final state after `place`.
async fn tell_sessions(daemon: Arc<Daemon>, mut place: u64) {
    let mut changes = daemon.outbox.changes();
    loop {
        match daemon.outbox.after(place) {
            Ok(After::Entries(entries)) => {
                for entry in &entries {
                    place = entry.seq;
                    settled(&daemon, &entry.notice);
                }
                if !entries.is_empty() {
                    continue;
                }
            }
            // A session that waits for a task reads its state itself.
            Ok(After::Removed) => place = daemon.outbox.last().unwrap_or(place),
            Err(error) => tracing::warn!(%error, "sessions are not told of tasks that ended"),
        }
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            // The sender lives as long as the daemon.
            _ = changes.changed() => {}
        }
    }
}

fn settled(daemon: &Daemon, notice: &Notice) {
    if let Notice::Task { task, state, .. } = notice
        && state.is_final()
        && let Ok(found) = daemon.desk.task(*task, None)
    {
        let settled = Push::Settled { task: *task, state: *state };
        daemon.sessions.tell_principal(&found.origin.principal, &settled);
    }
}

/// How soon a shared server that does not say what it offers is asked again, and how often at last.
const RELIST_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// Asks a shared server anew what it offers, until it says so, and tells sessions which lists differ. One task a
/// server does this, so one that hangs holds up nothing of the others.
async fn relist(daemon: &Daemon, server: &ServerName) {
    let mut interval = RELIST_INTERVAL.0;
    loop {
        let relisted = tokio::select! {
            relisted = daemon.servers.relist(server) => relisted,
            () = daemon.stop.cancelled() => return,
        };
        match relisted {
            Ok(None) => return,
            Ok(Some(lists)) => {
                interval = RELIST_INTERVAL.0;
                for list in lists {
                    let (server, method) = (server.clone(), changed(list));
                    daemon.sessions.notify(&Notification { server, method, params: None });
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
async fn follow_changes(daemon: Arc<Daemon>, mut changes: mpsc::Receiver<ServerChange>) {
    while let Some(change) = changes.recv().await {
        match change {
            ServerChange::List(server, _) | ServerChange::Ended(server) => {
                if daemon.servers.outdate(&server) {
                    let of = Arc::clone(&daemon);
                    daemon.work.spawn(async move { relist(&of, &server).await });
                }
            }
            ServerChange::Restarted(server) => {
                daemon.sessions.notify(&Notification { server, method: RESTARTED, params: None });
            }
        }
    }
}

/// Passes on what a shared server says unasked, concealed. Its answers take the same way to a session, so that what
/// it said before one arrives before it.
fn pass_on(daemon: &Arc<Daemon>, event: ServerEvent) {
    let (server, method, params) = match event {
        ServerEvent::ResourceUpdated(server, params) => (server, "notifications/resources/updated", params),
        ServerEvent::Log(server, params) => (server, "notifications/message", params),
        ServerEvent::LogsLeftOut(server, count) => {
            let why = "it sent more than are passed on in a second";
            return daemon.sessions.notify(&Notification::left_out(server, count, why));
        }
    };
    match daemon.anonymizer.load().conceal(params) {
        Ok(params) => daemon.sessions.notify(&Notification { server, method, params: Some(params) }),
        Err(Leak) => {
            tracing::error!(%server, "a notification was withheld: a private value stood in it");
            let about = format!("a notification of `{server}` was withheld: a private value stood in it");
            let journal = Arc::clone(&daemon.journal);
            daemon.work.spawn(async move { journal.alarm(Alarm::Withheld, &about).await });
        }
    }
}

const fn changed(list: List) -> &'static str {
    match list {
        List::Tools => "notifications/tools/list_changed",
        List::Resources => "notifications/resources/list_changed",
        List::Prompts => "notifications/prompts/list_changed",
    }
}

async fn close_idle(daemon: Arc<Daemon>) {
    loop {
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep(IDLE_LOOK) => daemon.servers.close_idle().await,
        }
    }
}
