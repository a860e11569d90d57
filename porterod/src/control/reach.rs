//! What a pattern would change if it were allowed: shown to a person who is about to widen.

use std::sync::Arc;

use portero::catalog::Catalog;
use portero::ipc::{Failure, FailureKind, Reply};
use portero::names::{Operation, ToolId};
use portero::pattern::Pattern;
use portero::policy::Action;

use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Arc<Daemon>, pattern: Pattern) -> Result<Reply, Failure> {
    tools(daemon, &pattern).await.map(Reply::Reach)
}

/// The tools that it covers and that are not allowed now, denied ones first.
pub(super) async fn tools(daemon: &Arc<Daemon>, pattern: &Pattern) -> Result<Vec<(ToolId, Action)>, Failure> {
    let (policy, now) = (daemon.policy.load_full(), daemon.clock.now());
    let mut tools: Vec<(ToolId, Action)> = known_tools(daemon)
        .await?
        .into_iter()
        .filter(|tool| pattern.matches(tool))
        .map(|tool| {
            let action = policy.decide(&tool, None, None, now).action;
            (tool, action)
        })
        .filter(|(_, action)| *action != Action::Allow)
        .collect();
    tools.sort_by(|(one, one_is), (two, two_is)| two_is.cmp(one_is).then_with(|| one.cmp(two)));
    Ok(tools)
}

/// Every tool and operation that the daemon or, by the cache that they share, a session knows of.
async fn known_tools(daemon: &Arc<Daemon>) -> Result<Vec<ToolId>, Failure> {
    let (config, cache) = (daemon.config.load_full(), daemon.paths.catalog());
    let servers = config.servers.clone();
    let cached = tokio::task::spawn_blocking(move || Catalog::new(&servers, Some(cache)))
        .await
        .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
    let operations = config
        .servers
        .iter()
        .flat_map(|server| Operation::ALL.map(|operation| ToolId::new(server.name.clone(), operation)));
    let tools = daemon.catalog.tools().into_iter().chain(cached.tools()).map(|tool| tool.id.clone());
    let mut known: Vec<ToolId> = tools.chain(operations).collect();
    known.sort_unstable();
    known.dedup();
    Ok(known)
}
