//! `portero mcp`: one agent's session, put together and taken apart.
//!
//! stdout carries the protocol only. Nothing that survives is kept here: the agent's program may end this
//! process at any moment and start another.

mod begin;
mod desk;
mod heads;
mod link;
mod log;
mod reload;
mod unreached;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::audit::{Key, Segment};
use portero::catalog::{Cache, Catalog};
use portero::clock::{Clock, SystemClock};
use portero::config::{Config, Server};
use portero::confirmed::InForce;
use portero::ipc::Peer;
use portero::names::{AgentSession, Principal, ServerName, SessionId};
use portero::pipeline::{Desk, Offers, Pipeline};
use portero::policy::{Policy, Standing};
use portero::server::{Fleet, ServerChange};
use portero::session::{self, Handle, Session, Stdin, Stdout, Tasks};
use portero::task::Origin;
use tokio::sync::mpsc;

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::{daemon, launch, signals};
use begin::{Beginning, Look, Ready};
use desk::{CallLimits, RemoteDesk};
use link::Link;
use reload::{Read, Running};

/// What this program calls itself in the audit.
const PROGRAM: &str = concat!("portero ", env!("CARGO_PKG_VERSION"));
/// How long the session may take to say its last words once it is told to end, and its servers after that:
/// together, and with the last word to the daemon, less than the 400 ms after which Claude Code kills.
const LAST_WORDS: Duration = Duration::from_millis(30);
const CLOSE_WITHIN: Duration = Duration::from_millis(260);

pub(super) async fn run(context: &Context) -> Outcome {
    let mut beginning = Beginning::new(&context.paths);
    let (mut ready, mut resumed) = (beginning.first_attempt().await, None);
    let streams = session::stdio();
    let (mut reader, mut writer) =
        streams.map_err(|error| Failure::refused("no connection to the agent").because(&error))?;
    // An agent's person sees only "server failed" when this process ends at once, so it goes on and says what to do.
    if let Err(why) = &ready {
        context.output.talk(why);
        let waited = waiting::serve(reader, &mut writer, &mut beginning, why.clone()).await;
        match waited.map_err(|error| Failure::refused("the connection to the agent broke").because(&error))? {
            Some(mended) => {
                (ready, resumed, reader) = (Ok(mended.ready), Some(mended.resumed), mended.reader);
            }
            None => {
                let place = context.paths.config.display();
                return Err(Failure::usage(format!(
                    "no session could begin on the configuration in `{place}`"
                ))
                .hint("run `portero check`"));
            }
        }
    }
    let Ready { read, in_force, audit, look } = ready.map_err(Failure::refused)?;
    let InForce { config, anonymizer, changes, problems: _ } = in_force;
    log::begin(&context.paths, config.settings.log.as_deref());
    reload::log_waiting(&changes);

    let (running, session, handle, changes) = assemble(context, config, anonymizer, &read, audit)?;
    if let Some(resumed) = resumed {
        handle.resume(&resumed);
    }
    let ended = converse(&running, session, (reader, writer), changes, look).await;
    // Whatever the servers are at, the agent's program waits no longer.
    if tokio::time::timeout(CLOSE_WITHIN, running.fleet.close()).await.is_err() {
        tracing::warn!("the servers took too long to end; their guards see to it");
    }
    heads::report_end(&running.link, &running.pipeline.audit).await;
    ended.map_err(|error| Failure::refused("the connection to the agent broke").because(&error))
}

/// Puts a session together. No server and no daemon is started here.
fn assemble(
    context: &Context,
    config: Config,
    anonymizer: Anonymizer,
    read: &Read,
    audit: Segment,
) -> Outcome<(Running, Session, Handle, mpsc::Receiver<ServerChange>)> {
    let paths = &context.paths;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let directory = launch::project();
    let origin = Origin {
        principal: Principal::of_project(&directory),
        session: SessionId::fresh(),
        agent_session: agent_session(),
        client: anonymizer.conceal_text("an MCP client"),
        directory: directory.clone(),
    };
    tracing::info!(session = %origin.session, agent_session = ?origin.agent_session, "a session begins");
    config.log_skipped();

    let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
    let policy = Policy::new(config.policy.clone(), Standing::default());
    let policy = Arc::new(ArcSwap::from_pointee(policy));
    let peer = Peer::Session {
        id: origin.session,
        agent_session: origin.agent_session.clone(),
        principal: origin.principal.clone(),
        directory,
    };
    let hello = daemon::hello(paths, peer);
    audit.continue_after(config.settings.audit.segment_bytes);
    let audit = Arc::new(audit.with_key(Key::open(&paths.audit_key())));
    let link = Link::new(paths.clone(), hello, context.no_start, Arc::clone(&policy), Arc::clone(&audit));
    let link = Arc::new(link);
    let launch = launch::parts(paths, &config, Arc::clone(&anonymizer), Arc::clone(&clock))?;
    let cache = Cache::new(paths.catalog(), launch.directory.clone());

    let (fleet, changes) = Fleet::new(own_servers(&config), launch);
    let limits = Arc::new(CallLimits::new(&config));
    let desk = Arc::new(RemoteDesk { link: Arc::clone(&link), limits: Arc::clone(&limits) });
    let pipeline = Arc::new(Pipeline {
        anonymizer,
        policy,
        catalog: Arc::new(Catalog::new(&config.servers, Some(cache))),
        fleet: Arc::clone(&fleet) as _,
        audit,
        clock,
        desk: Arc::clone(&desk) as Arc<dyn Desk>,
        uses: Arc::clone(&desk) as _,
        shared: ArcSwap::from_pointee(shared_servers(&config)),
        offers: Offers::default(),
    });
    let (session, handle) = Session::new(session::Parts {
        pipeline: Arc::clone(&pipeline),
        tasks: desk as Arc<dyn Tasks>,
        origin,
        skipped: config.skipped,
        limits: config.settings.limits,
    });
    let hearing = handle.clone();
    fleet.hear(Arc::new(move |event| hearing.event(event)));
    let seen = std::sync::Mutex::new(read.seen());
    let running =
        Running { paths: paths.clone(), pipeline, fleet, link, limits, handle: handle.clone(), seen };
    Ok((running, session, handle, changes))
}

/// The session of the agent's own program, as Claude Code says it. What is no id is left out.
fn agent_session() -> Option<AgentSession> {
    let said = std::env::var("CLAUDE_CODE_SESSION_ID").ok().filter(|said| !said.is_empty())?;
    said.parse().inspect_err(|error| tracing::warn!(%error, "CLAUDE_CODE_SESSION_ID is no id")).ok()
}

/// Speaks until the agent leaves or somebody tells this process to end.
async fn converse(
    running: &Running,
    session: Session,
    (reader, writer): (Stdin, Stdout),
    mut changes: mpsc::Receiver<ServerChange>,
    look: Look,
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
            handle.answered().await;
            running.link.keep(running).await;
        };
        let heads = heads::report(&running.link, &running.pipeline.audit);
        tokio::join!(changes, link, heads, running.fill_when_empty(look));
    };
    tokio::select! {
        ended = &mut speaking => return ended.unwrap_or_else(|broken| Err(broken.into())),
        () = background => {}
        () = signals::told_to_end() => tracing::info!("told to end"),
    }
    handle.shutdown();
    match tokio::time::timeout(LAST_WORDS, &mut speaking).await {
        Ok(ended) => ended.unwrap_or_else(|broken| Err(broken.into())),
        Err(_) => {
            speaking.abort();
            Ok(())
        }
    }
}

/// The servers that run in this process.
fn own_servers(config: &Config) -> Vec<Server> {
    config.servers.iter().filter(|server| !server.shared).cloned().collect()
}

/// The servers that run in the daemon for all sessions.
fn shared_servers(config: &Config) -> HashSet<ServerName> {
    config.servers.iter().filter(|server| server.shared).map(|server| server.name.clone()).collect()
}
