//! What a grant is limited to, as it is typed and as it is kept.

use std::path::Path;

use portero::ipc::{DaemonFailure, FailureKind};
use portero::names::Principal;
use portero::policy::GrantLimits;

use super::command_parser::TypedLimits;
use crate::daemon::Daemon;

/// Finds the session and the project that are meant.
pub(super) fn resolve_limits(daemon: &Daemon, bounds: &TypedLimits) -> Result<GrantLimits, DaemonFailure> {
    let within = match &bounds.session {
        Some(typed) => {
            let (sessions, agents) = (daemon.sessions.list_sessions(), daemon.sessions.agent_sessions());
            GrantLimits::for_session(&sessions, &agents, typed).map_err(|error| {
                DaemonFailure::new(FailureKind::NotFound, error.to_string())
                    .with_hint("`/status` lists the sessions")
            })?
        }
        None => GrantLimits::default(),
    };
    let project = bounds.project.as_deref().map(resolve_project).transpose()?;
    Ok(GrantLimits { project, uses: bounds.uses, ..within })
}

/// The principal of a directory, as a session in it has it.
fn resolve_project(typed: &str) -> Result<Principal, DaemonFailure> {
    let directory = Path::new(typed);
    let found = if directory.is_absolute() { directory.canonicalize().ok() } else { None };
    match found.filter(|found| found.is_dir()) {
        Some(found) => Ok(Principal::from_project(&found)),
        None => {
            Err(DaemonFailure::new(FailureKind::NotFound, format!("there is no project directory `{typed}`"))
                .with_hint("type its whole path; `/status` shows those of the sessions"))
        }
    }
}

/// The same as it is typed; nothing where nothing is limited.
pub(super) fn limits_as_typed(limits: &GrantLimits) -> String {
    let GrantLimits { session, agent_session, project, uses } = limits;
    let session = session.map(|id| id.to_string());
    let agent = agent_session.as_ref().map(|id| id.as_str().to_owned());
    let words = [
        uses.map(|uses| format!(" uses {uses}")),
        session.or(agent).map(|id| format!(" session {id}")),
        project.as_ref().map(|project| format!(" project {}", project.as_str())),
    ];
    words.into_iter().flatten().collect()
}
