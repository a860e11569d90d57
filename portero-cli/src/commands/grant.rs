//! `portero grant PATTERN DURATION`: permit for a while what would otherwise ask. It widens.

use std::path::Path;
use std::time::Duration;

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::CreateGrant;
use portero::ipc::{Status, Width};
use portero::names::{AgentSession, Principal, SessionId};
use portero::policy::{Asker, Limits};

use super::{Context, check, rules};
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::launch;
use crate::output::{span, visible};
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, args: args::Grant) -> Outcome {
    let args::Grant { pattern, duration, uses, session, project, confirming } = args;
    let millis =
        u64::try_from(duration.as_millis()).map_err(|_| Failure::usage("that is too long a time"))?;
    let daemon = context.daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_too_long(&status, duration)?;
    let within = session.map_or_else(|| Ok(Limits::default()), |typed| session_limit(&status, &typed))?;
    let project = project.map(|directory| project_limit(&directory)).transpose()?;
    let limits = Limits { project, uses, ..within };
    check::note(context, &pattern);
    let mut terminal = widen::begin_either(&daemon, "to grant", confirming.telegram).await?;
    widen::show_reach(&daemon, &mut terminal, &pattern, &Change::Grant).await?;
    for line in describe(&limits, &status) {
        terminal.say(line)?;
    }
    let act = format!("grant this for {}", span(duration));
    let width = Width::of_grant(&pattern, duration);
    let grant =
        |challenge| CreateGrant { pattern: pattern.clone(), millis, limits: limits.clone(), challenge };
    let asked = widen::ask(&daemon, &mut terminal, (&act, width), grant).await?;
    let grant = asked;
    context.output.show(&rules::Shown::of(&grant), |out| {
        let limits = match grant.limits.to_string() {
            none if none.is_empty() => none,
            limits => format!(", {}", visible(&limits)),
        };
        out.line(format_args!(
            "grant {}: `{}` runs unasked for {}{limits}; `portero revoke {}` ends it",
            grant.id,
            grant.pattern,
            span(duration),
            grant.id
        ))
    })?;
    Ok(())
}

/// The daemon refuses it too; nobody types a passphrase for nothing.
fn refuse_too_long(status: &Status, duration: Duration) -> Outcome {
    let most = Duration::from_millis(status.grant_most);
    if duration <= most {
        return Ok(());
    }
    let (asked, most) = (span(duration), span(most));
    Err(Failure::refused(format!("a grant lasts at most {most}, and {asked} were asked for"))
        .hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}

fn session_limit(status: &Status, typed: &str) -> Outcome<Limits> {
    Limits::in_session(&status.sessions, &status.agent_sessions, typed)
        .map_err(|error| Failure::refused(error.to_string()).hint("`portero status` lists the sessions"))
}

fn project_limit(directory: &Path) -> Outcome<Principal> {
    launch::principal(directory).map_err(|error| {
        Failure::usage(format!("there is no project directory `{}`", directory.display())).because(&error)
    })
}

/// What a person reads before they confirm: every limit, and which of the connected sessions are meant.
fn describe(limits: &Limits, status: &Status) -> Vec<String> {
    if limits.is_none() {
        return Vec::new();
    }
    let mut lines = vec![format!("Limited: {}.", visible(&limits.to_string()))];
    if limits.whom().is_empty() {
        return lines;
    }
    let meant = status.sessions.iter().filter(|(id, project)| {
        let agent_session = agent_session(status, *id);
        limits.admit(Some(Asker { principal: project, session: *id, agent_session }))
    });
    lines.extend(
        meant.map(|(id, project)| format!("  it is for session {id} in {}", visible(project.as_str()))),
    );
    if lines.len() == 1 {
        lines.push("  no session that is connected now is meant".to_owned());
    }
    lines
}

fn agent_session(status: &Status, id: SessionId) -> Option<&AgentSession> {
    status.agent_sessions.iter().find(|(of, _)| *of == id).map(|(_, agent)| agent)
}

#[cfg(test)]
mod tests;
