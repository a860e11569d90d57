//! What a grant is limited to, as it is typed and as it is kept.

use std::path::Path;

use portero::ipc::{Failure, FailureKind};
use portero::names::Principal;
use portero::policy::Limits;

use super::command::Bounds;
use crate::daemon::Daemon;

/// Finds the session and the project that are meant.
pub(super) fn limits(daemon: &Daemon, bounds: &Bounds) -> Result<Limits, Failure> {
    let within = match &bounds.session {
        Some(typed) => {
            let (sessions, agents) = (daemon.sessions.list(), daemon.sessions.agent_sessions());
            Limits::in_session(&sessions, &agents, typed).map_err(|error| {
                Failure::new(FailureKind::NotFound, error.to_string())
                    .with_hint("`/status` lists the sessions")
            })?
        }
        None => Limits::default(),
    };
    let project = bounds.project.as_deref().map(project).transpose()?;
    Ok(Limits { project, uses: bounds.uses, ..within })
}

/// The principal of a directory, as a session in it has it.
fn project(typed: &str) -> Result<Principal, Failure> {
    let directory = Path::new(typed);
    let found = if directory.is_absolute() { directory.canonicalize().ok() } else { None };
    match found.filter(|found| found.is_dir()) {
        Some(found) => Ok(Principal::of_project(&found)),
        None => Err(Failure::new(FailureKind::NotFound, format!("there is no project directory `{typed}`"))
            .with_hint("type its whole path; `/status` shows those of the sessions")),
    }
}

/// The same as it is typed; nothing where nothing is limited.
pub(super) fn words(limits: &Limits) -> String {
    let Limits { session, agent_session, project, uses } = limits;
    let session = session.map(|id| id.to_string());
    let agent = agent_session.as_ref().map(|id| id.as_str().to_owned());
    let words = [
        uses.map(|uses| format!(" uses {uses}")),
        session.or(agent).map(|id| format!(" session {id}")),
        project.as_ref().map(|project| format!(" project {}", project.as_str())),
    ];
    words.into_iter().flatten().collect()
}
