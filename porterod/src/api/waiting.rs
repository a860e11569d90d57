//! The waiting calls that a grant or an allowing rule allows: shown before it is made, and run once it is.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::requests::overrides::PreviewWaiting;
use portero::ipc::{Act, DaemonFailure, InspectedTask};
use portero::names::{Actor, TaskId};
use portero::policy::GrantLimits;
use portero::task::Task;

use super::concealed_limits::conceal_limits;
use super::{PersonCaller, PersonRequest, failure, preview, shown};
use crate::daemon::Daemon;
use crate::store::StoreError;

/// The time for a server to list its tools, once a terminal confirmed.
const CONFIRMED_LISTING_TIMEOUT: Duration = Duration::from_secs(30);

impl PersonRequest for PreviewWaiting {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Vec<Task>, DaemonFailure> {
        let act = match self.act {
            Act::Grant(pattern, millis, limits) => {
                Act::Grant(pattern, millis, conceal_limits(&daemon.anonymizer.load(), limits)?)
            }
            other => other,
        };
        let policy = daemon.policy.load_full();
        let now = daemon.clock.now();
        let Some((pattern, mut after)) = preview::after(policy.overrides(), &act, GrantLimits::clone, now)
        else {
            return Ok(Vec::new());
        };
        // As long as it will last, since each call is decided a moment later.
        if let (Act::Grant(_, millis, _), Some(grant)) = (&act, after.grants.last_mut()) {
            grant.millis = *millis;
        }
        let after = policy.with_overrides(after);
        let agents = daemon.sessions.agent_sessions();
        let allowed = daemon.approval_queue.list_allowed(&after, &agents);
        let mut allowed = allowed.map_err(|error| failure::of_store(&error))?;
        allowed.retain(|task| pattern.matches(&task.call.tool));
        Ok(shown::tasks(daemon, allowed))
    }
}

/// The waiting calls that policy allows by now, as a person decides on them.
///
/// # Errors
/// When the store can't be read.
pub fn list_allowed(daemon: &Daemon) -> Result<Vec<InspectedTask>, StoreError> {
    let agents = daemon.sessions.agent_sessions();
    let allowed = daemon.approval_queue.list_allowed(&daemon.policy.load(), &agents)?;
    // One that is gone by now is nothing to decide on.
    Ok(allowed.iter().filter_map(|task| shown::look(daemon, task.id).ok()).collect())
}

/// Runs the waiting calls that the person was shown, now that what allows them is made. What doesn't run waits on; its
/// state and a check of it say so.
pub(super) async fn run_confirmed(daemon: &Daemon, tasks: Vec<TaskId>, by: &Actor) {
    if tasks.is_empty() {
        return;
    }
    let (agents, timeout) = (daemon.sessions.agent_sessions(), CONFIRMED_LISTING_TIMEOUT);
    match daemon.approval_queue.run_allowed(tasks, by, &agents, timeout).await {
        Ok(run) => {
            for (task, why) in run.left {
                tracing::info!(%task, why, "a waiting call does not run with the others");
            }
        }
        Err(error) => tracing::error!(%error, "the waiting calls could not be approved with a grant"),
    }
}
