//! What can be permitted with a waiting call.

use portero::approval_scope::{AskingSession, ScopeTerms};
use portero::task::{CallOrigin, Task};

use crate::daemon::Daemon;

/// Calls `look` with all that decides what can be permitted with this call now.
pub(super) fn with_scope_terms<T>(
    daemon: &Daemon,
    task: &Task,
    look: impl FnOnce(&ScopeTerms<'_>) -> T,
) -> T {
    let policy = daemon.policy.load_full();
    let session = find_asking_session(daemon, &task.origin);
    look(&ScopeTerms {
        call: &task.call,
        principal: &task.origin.principal,
        session: session.as_ref(),
        policy: &policy,
        max_grant: daemon.config.current().settings.approvals.max_grant_duration,
    })
}

/// The session that asked; none if it isn't connected any more.
fn find_asking_session(daemon: &Daemon, origin: &CallOrigin) -> Option<AskingSession> {
    let session = origin.session;
    daemon.sessions.list_sessions().iter().find(|(id, _)| *id == session)?;
    let agents = daemon.sessions.agent_sessions();
    let agent_session = agents.into_iter().find(|(id, _)| *id == session).map(|(_, agent)| agent);
    Some(AskingSession { session, agent_session })
}
