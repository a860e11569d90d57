//! `portero mcp`: one agent's session, put together and taken apart.
//!
//! stdout carries the protocol only. Nothing that survives is kept here: the agent's program may end this
//! process at any moment and start another.

mod checkpoints;
mod connection_problem;
mod daemon_approvals;
mod daemon_connection;
mod fallback_session;
mod running_session;
mod session_log;
mod startup;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::approved_config::EffectiveConfig;
use portero::audit::{AuditWriter, DigestKey};
use portero::catalog::{Catalog, ListingCache};
use portero::clock::{Clock, SystemClock};
use portero::config::{Config, ServerConfig};
use portero::ipc::PeerRole;
use portero::names::{AgentSessionId, Principal, ServerName, SessionId};
use portero::pipeline::{Approvals, ListingFetches, Pipeline};
use portero::policy::{Overrides, Policy};
use portero::server::{ServerChange, Upstreams};
use portero::session::{self, AgentTasks, Session, SessionHandle, Stdin, Stdout};
use portero::task::CallOrigin;
use tokio::sync::mpsc;

use super::CommandContext;
use crate::failure::{CommandFailure, CommandResult};
use crate::{daemon, launch, signals};
use daemon_approvals::{CallLimits, DaemonApprovals};
use daemon_connection::DaemonConnection;
use running_session::{ConfigInputs, RunningSession};
use startup::{ConfigPoller, SessionSetup, SessionStarter};

/// What this program calls itself in the audit.
const AUDIT_PROGRAM: &str = concat!("portero ", env!("CARGO_PKG_VERSION"));
/// How long the session may take to say its last words once it is told to end, and its servers after that:
/// together, and with the last word to the daemon, less than the 400 ms after which Claude Code kills.
const SESSION_END_GRACE: Duration = Duration::from_millis(30);
const SERVER_CLOSE_TIMEOUT: Duration = Duration::from_millis(260);

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    let mut beginning = SessionStarter::new(&context.paths);
    let (mut ready, mut resumed) = (beginning.first_attempt().await, None);
    let streams = session::stdio();
    let (mut reader, mut writer) =
        streams.map_err(|error| CommandFailure::refused("no connection to the agent").caused_by(&error))?;
    // An agent's person sees only "server failed" when this process ends at once, so it goes on and says what to do.
    if let Err(why) = &ready {
        context.output.print_note(why);
        let waited =
            fallback_session::serve_until_ready(reader, &mut writer, &mut beginning, why.clone()).await;
        match waited
            .map_err(|error| CommandFailure::refused("the connection to the agent broke").caused_by(&error))?
        {
            Some(mended) => {
                (ready, resumed, reader) = (Ok(mended.ready), Some(mended.resumed), mended.reader);
            }
            None => {
                let place = context.paths.config.display();
                return Err(CommandFailure::usage(format!(
                    "no session could begin on the configuration in `{place}`"
                ))
                .with_hint("run `portero check`"));
            }
        }
    }
    let SessionSetup { inputs: read, in_force, audit, poller: look } =
        ready.map_err(CommandFailure::refused)?;
    let EffectiveConfig { config, anonymizer, changes, problems: _ } = in_force;
    session_log::init_logging(&context.paths, config.settings.log_level.as_deref());
    running_session::log_unconfirmed(&changes);

    let (running, session, handle, changes) = assemble_session(context, config, anonymizer, &read, audit)?;
    if let Some(resumed) = resumed {
        handle.resume_client(&resumed);
    }
    let ended = run_session(&running, session, (reader, writer), changes, look).await;
    // Whatever the servers are at, the agent's program waits no longer.
    if tokio::time::timeout(SERVER_CLOSE_TIMEOUT, running.fleet.close()).await.is_err() {
        tracing::warn!("the servers took too long to end; their guards see to it");
    }
    checkpoints::report_final(&running.daemon_connection, &running.pipeline.audit).await;
    ended.map_err(|error| CommandFailure::refused("the connection to the agent broke").caused_by(&error))
}

/// Puts a session together. No server and no daemon is started here.
fn assemble_session(
    context: &CommandContext,
    config: Config,
    anonymizer: Anonymizer,
    read: &ConfigInputs,
    audit: AuditWriter,
) -> CommandResult<(RunningSession, Session, SessionHandle, mpsc::Receiver<ServerChange>)> {
    let paths = &context.paths;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let directory = launch::project_directory();
    let origin = CallOrigin {
        principal: Principal::from_project(&directory),
        session: SessionId::fresh(),
        agent_session: agent_session_from_env(),
        client: anonymizer.conceal_text("an MCP client"),
        directory: directory.clone(),
    };
    tracing::info!(session = %origin.session, agent_session = ?origin.agent_session, "a session begins");
    config.log_skipped();

    let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    let policy = Arc::new(ArcSwap::from_pointee(policy));
    let peer = PeerRole::Session {
        id: origin.session,
        agent_session: origin.agent_session.clone(),
        principal: origin.principal.clone(),
        directory,
    };
    let hello = daemon::hello(paths, peer);
    audit.set_max_segment_bytes(config.settings.audit.max_segment_bytes);
    let audit = Arc::new(audit.with_key(DigestKey::open(&paths.audit_key())));
    let link = DaemonConnection::new(
        paths.clone(),
        hello,
        context.no_start,
        Arc::clone(&policy),
        Arc::clone(&audit),
    );
    let link = Arc::new(link);
    let launch = launch::launch_settings(paths, &config, Arc::clone(&anonymizer), Arc::clone(&clock))?;
    let cache = ListingCache::new(paths.catalog(), launch.directory.clone());

    let (fleet, changes) = Upstreams::new(own_servers(&config), launch);
    let limits = Arc::new(CallLimits::new(&config));
    let desk = Arc::new(DaemonApprovals { link: Arc::clone(&link), limits: Arc::clone(&limits) });
    let pipeline = Arc::new(Pipeline {
        anonymizer,
        policy,
        catalog: Arc::new(Catalog::new(&config.servers, Some(cache))),
        servers: Arc::clone(&fleet) as _,
        audit,
        clock,
        approvals: Arc::clone(&desk) as Arc<dyn Approvals>,
        grant_uses: Arc::clone(&desk) as _,
        policy_source: Arc::clone(&desk) as _,
        shared_servers: Arc::clone(&desk) as _,
        shared_names: ArcSwap::from_pointee(shared_servers(&config)),
        listing_fetches: ListingFetches::default(),
    });
    let (session, handle) = Session::new(session::SessionDeps {
        pipeline: Arc::clone(&pipeline),
        tasks: desk as Arc<dyn AgentTasks>,
        origin,
        skipped: config.skipped,
        limits: config.settings.limits,
    });
    let hearing = handle.clone();
    fleet.set_event_sink(Arc::new(move |event| hearing.push_event(event)));
    let seen = std::sync::Mutex::new(read.digests());
    let running = RunningSession {
        paths: paths.clone(),
        pipeline,
        fleet,
        daemon_connection: link,
        limits,
        handle: handle.clone(),
        config_digests: seen,
    };
    Ok((running, session, handle, changes))
}

/// The session of the agent's own program, as Claude Code says it. What is no id is left out.
fn agent_session_from_env() -> Option<AgentSessionId> {
    let said = std::env::var("CLAUDE_CODE_SESSION_ID").ok().filter(|said| !said.is_empty())?;
    said.parse().inspect_err(|error| tracing::warn!(%error, "CLAUDE_CODE_SESSION_ID is no id")).ok()
}

/// Speaks until the agent leaves or somebody tells this process to end.
async fn run_session(
    running: &RunningSession,
    session: Session,
    (reader, writer): (Stdin, Stdout),
    mut changes: mpsc::Receiver<ServerChange>,
    look: ConfigPoller,
) -> std::io::Result<()> {
    let handle = &running.handle;
    // A task of its own: what wakes the runtime's outermost future makes it ask the system for events before
    // it goes on, once for each call.
    let mut speaking = tokio::spawn(session.run(reader, writer));
    let background = async {
        let changes = async {
            while let Some(change) = changes.recv().await {
                handle.server_changed(change);
            }
            std::future::pending::<()>().await;
        };
        let link = async {
            // The agent's first answer does not wait for the daemon.
            handle.wait_for_first_answer().await;
            running.daemon_connection.maintain(running).await;
        };
        let heads = checkpoints::report_periodically(&running.daemon_connection, &running.pipeline.audit);
        tokio::join!(changes, link, heads, running.poll_while_empty(look));
    };
    tokio::select! {
        ended = &mut speaking => return ended.unwrap_or_else(|broken| Err(broken.into())),
        () = background => {}
        () = signals::wait_for_termination() => tracing::info!("told to end"),
    }
    handle.shutdown();
    match tokio::time::timeout(SESSION_END_GRACE, &mut speaking).await {
        Ok(ended) => ended.unwrap_or_else(|broken| Err(broken.into())),
        Err(_) => {
            speaking.abort();
            Ok(())
        }
    }
}

/// The servers that run in this process.
fn own_servers(config: &Config) -> Vec<ServerConfig> {
    config.servers.iter().filter(|server| !server.shared).cloned().collect()
}

/// The servers that run in the daemon for all sessions.
fn shared_servers(config: &Config) -> HashSet<ServerName> {
    config.servers.iter().filter(|server| server.shared).map(|server| server.name.clone()).collect()
}
