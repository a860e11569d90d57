//! `portero mcp`: builds an agent's session and takes it down.
//!
//! stdout carries only the protocol. This process has no state that must survive it, because the agent's
//! program may end it at any moment and start another.

mod config_files;
mod daemon_approvals;
mod daemon_connection;
mod fallback_session;
mod running_session;
mod session_children;
mod startup;

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::approved_config::EffectiveConfig;
use portero::audit::{AuditWriter, DigestKey};
use portero::catalog::{Catalog, ListingCache};
use portero::clock::{Clock, SystemClock};
use portero::config::{Config, ServerConfig};
use portero::files;
use portero::ipc::PeerRole;
use portero::names::{AgentSessionId, Principal, ServerName, SessionId};
use portero::paths::Paths;
use portero::pipeline::{Approvals, DefinitionWatch, ListingFetches, Pipeline, RedactionMemory};
use portero::policy::{Overrides, Policy};
use portero::printable::OneLineWriter;
use portero::server::{ServerChange, Upstreams};
use portero::session::{self, AgentTasks, Session, SessionHandle, Stdin, Stdout};
use portero::task::CallOrigin;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::failure::{CommandFailure, CommandResult};
use crate::output::Output;
use crate::{daemon, launch, signals};
use config_files::{ConfigInputs, ConfigPoller};
use daemon_approvals::{CallLimits, DaemonApprovals};
use daemon_connection::DaemonConnection;
use running_session::RunningSession;
use session_children::SessionChildren;
use startup::{SessionSetup, SessionStarter};

/// The name of this program in the audit.
const AUDIT_PROGRAM: &str = concat!("portero ", env!("CARGO_PKG_VERSION"));
/// How long the session may take to end, and its servers after that. Together with the last report to the
/// daemon this is less than the 400 ms after which Claude Code kills the process.
const SESSION_END_GRACE: Duration = Duration::from_millis(30);
const SERVER_CLOSE_TIMEOUT: Duration = Duration::from_millis(260);
/// A larger log is renamed when a session begins.
const MAX_LOG_BYTES: u64 = 10 << 20;

pub(crate) async fn run(paths: &Paths, no_start: bool, output: &Output) -> CommandResult {
    let mut starter = SessionStarter::new(paths);
    let (mut ready, mut resumed) = (starter.first_attempt().await, None);
    let streams = session::stdio();
    let (mut reader, mut writer) =
        streams.map_err(|error| CommandFailure::refused("no connection to the agent").caused_by(&error))?;
    // If a server ends at once, a client shows only "server failed". So this one continues and states the
    // next step.
    if let Err(why) = &ready {
        output.print_note(why);
        let waited =
            fallback_session::serve_until_ready(reader, &mut writer, &mut starter, why.clone()).await;
        match waited
            .map_err(|error| CommandFailure::refused("the connection to the agent broke").caused_by(&error))?
        {
            Some(recovered) => {
                (ready, resumed, reader) = (Ok(recovered.ready), Some(recovered.resumed), recovered.reader);
            }
            None => {
                let place = paths.config.display();
                return Err(CommandFailure::usage(format!(
                    "no session could begin on the configuration in `{place}`"
                ))
                .with_hint("run `portero check`"));
            }
        }
    }
    let SessionSetup { inputs, in_force, audit, poller } = ready.map_err(CommandFailure::refused)?;
    let EffectiveConfig { config, anonymizer, changes, problems: _ } = in_force;
    init_logging(paths, config.settings.log_level.as_deref());
    config_files::log_unconfirmed(&changes);

    let (running, session, handle, changes) =
        assemble_session(paths, no_start, config, anonymizer, &inputs, audit)?;
    if let Some(resumed) = resumed {
        handle.resume_client(&resumed);
    }
    let ended = run_session(&running, session, (reader, writer), changes, poller).await;
    // A slower end would be cut off by the agent's program in any case.
    if tokio::time::timeout(SERVER_CLOSE_TIMEOUT, running.upstreams.close()).await.is_err() {
        tracing::warn!("the servers took too long to end; their guards see to it");
    }
    running.daemon_connection.report_final_checkpoint().await;
    ended.map_err(|error| CommandFailure::refused("the connection to the agent broke").caused_by(&error))
}

/// Builds a session. It starts neither a server nor a daemon.
fn assemble_session(
    paths: &Paths,
    no_start: bool,
    config: Config,
    anonymizer: Anonymizer,
    inputs: &ConfigInputs,
    audit: AuditWriter,
) -> CommandResult<(RunningSession, Session, SessionHandle, mpsc::Receiver<ServerChange>)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let origin = session_origin(&anonymizer);
    tracing::info!(session = %origin.session, agent_session = ?origin.agent_session, "a session begins");
    config.log_skipped();

    let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    let policy = Arc::new(ArcSwap::from_pointee(policy));
    let peer = PeerRole::Session {
        id: origin.session,
        agent_session: origin.agent_session.clone(),
        principal: origin.principal.clone(),
        directory: origin.directory.clone(),
    };
    let hello = daemon::hello(paths, peer);
    audit.set_max_segment_bytes(config.settings.audit.max_segment_bytes);
    let audit = Arc::new(audit.with_key(DigestKey::open(&paths.audit_key())));
    let connection =
        DaemonConnection::new(paths.clone(), hello, no_start, Arc::clone(&policy), Arc::clone(&audit));
    let connection = Arc::new(connection);
    let launch = launch::launch_settings(paths, &config, Arc::clone(&anonymizer), Arc::clone(&clock))?;
    let cache = ListingCache::new(paths.catalog(), launch.directory.clone());

    let (upstreams, changes) = Upstreams::new(own_servers(&config), launch);
    let limits = Arc::new(CallLimits::new(&config));
    let children = Arc::new(SessionChildren::new(origin.clone(), Arc::clone(&upstreams)));
    let approvals = Arc::new(DaemonApprovals {
        connection: Arc::clone(&connection),
        limits: Arc::clone(&limits),
        children: Arc::clone(&children),
    });
    let pipeline = Arc::new(Pipeline {
        anonymizer,
        policy,
        catalog: Arc::new(Catalog::new(&config.servers, Some(cache))),
        servers: Arc::clone(&upstreams) as _,
        audit,
        clock,
        approvals: Arc::clone(&approvals) as Arc<dyn Approvals>,
        grant_uses: Arc::clone(&approvals) as _,
        policy_source: Arc::clone(&approvals) as _,
        shared_servers: Arc::clone(&approvals) as _,
        shared_names: ArcSwap::from_pointee(shared_servers(&config)),
        definitions: DefinitionWatch::new(Arc::clone(&approvals) as _),
        listing_fetches: ListingFetches::default(),
        redaction_memory: RedactionMemory::default(),
        withheld_reports: Arc::default(),
    });
    children.set_pipeline(&pipeline);
    let (session, handle) = Session::new(session::SessionDeps {
        pipeline: Arc::clone(&pipeline),
        tasks: approvals as Arc<dyn AgentTasks>,
        origin,
        skipped: config.skipped,
        limits: config.settings.limits,
        hold: config.settings.approvals.hold,
        param_headers: None,
    });
    let events = handle.clone();
    upstreams.set_event_sink(Arc::new(move |event| events.push_event(event)));
    let running = RunningSession {
        paths: paths.clone(),
        pipeline,
        upstreams,
        daemon_connection: connection,
        children,
        limits,
        handle: handle.clone(),
        config_digests: Mutex::new(inputs.digests()),
    };
    Ok((running, session, handle, changes))
}

/// The origin of this session's calls: the session in the agent's project.
fn session_origin(anonymizer: &Anonymizer) -> CallOrigin {
    let directory = launch::project_directory();
    CallOrigin {
        principal: Principal::from_project(&directory),
        session: SessionId::fresh(),
        agent_session: agent_session_from_env(),
        client: anonymizer.conceal_text("an MCP client"),
        directory,
    }
}

/// The session id of the agent's program, as Claude Code states it. An invalid one is ignored.
fn agent_session_from_env() -> Option<AgentSessionId> {
    let said = std::env::var("CLAUDE_CODE_SESSION_ID").ok().filter(|said| !said.is_empty())?;
    said.parse().inspect_err(|error| tracing::warn!(%error, "CLAUDE_CODE_SESSION_ID is no id")).ok()
}

/// Serves the agent until it leaves or this process is asked to end.
async fn run_session(
    running: &RunningSession,
    session: Session,
    (reader, writer): (Stdin, Stdout),
    mut changes: mpsc::Receiver<ServerChange>,
    poller: ConfigPoller,
) -> std::io::Result<()> {
    let handle = &running.handle;
    // A task of its own: each wake-up of the runtime's outermost future polls the system for events first,
    // which would cost every call some time.
    let mut serving = tokio::spawn(session.run(reader, writer));
    let background = async {
        let changes = async {
            while let Some(change) = changes.recv().await {
                handle.server_changed(change);
            }
            std::future::pending::<()>().await;
        };
        let connection = async {
            // The daemon's start must not delay the agent's first answer.
            handle.wait_for_first_answer().await;
            running.daemon_connection.maintain(running).await;
        };
        let checkpoints = running.daemon_connection.report_checkpoints();
        tokio::join!(changes, connection, checkpoints, running.poll_while_empty(poller));
    };
    tokio::select! {
        ended = &mut serving => return ended.unwrap_or_else(|broken| Err(broken.into())),
        () = background => {}
        () = signals::wait_for_termination() => tracing::info!("told to end"),
    }
    handle.shutdown();
    match tokio::time::timeout(SESSION_END_GRACE, &mut serving).await {
        Ok(ended) => ended.unwrap_or_else(|broken| Err(broken.into())),
        Err(_) => {
            serving.abort();
            Ok(())
        }
    }
}

/// The servers that run in this process.
fn own_servers(config: &Config) -> Vec<ServerConfig> {
    config.servers.iter().filter(|server| !server.instance.is_in_daemon()).cloned().collect()
}

/// The servers that the daemon runs, for this project or for all sessions.
fn shared_servers(config: &Config) -> HashSet<ServerName> {
    config
        .servers
        .iter()
        .filter(|server| server.instance.is_in_daemon())
        .map(|server| server.name.clone())
        .collect()
}

/// Logs to `logs/portero.log`. A session works without a log if it can't be written.
fn init_logging(paths: &Paths, level: Option<&str>) {
    let directory = paths.server_logs();
    let path = directory.join("portero.log");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        let _ = fs::rename(&path, directory.join("portero.log.1"));
    }
    let Ok(()) = fs::create_dir_all(&directory) else { return };
    let Ok(file) = files::open_for_append(&path) else { return };
    let filter = EnvFilter::try_new(level.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(OneLineWriter(file)))
        .try_init();
}
