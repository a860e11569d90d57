//! `portero grant PATTERN DURATION`: permit for a while what would otherwise ask. It widens.

use std::path::Path;
use std::time::Duration;

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::CreateGrant;
use portero::ipc::{DaemonStatus, Risk};
use portero::names::{AgentSessionId, Principal, SessionId};
use portero::policy::{CallerIdentity, GrantLimits};

use super::{CommandContext, check, rules};
use crate::args;
use crate::elevate::{self, PatternAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::launch;
use crate::output::{escape_hidden, format_duration};

pub(super) async fn run(context: &CommandContext, args: args::GrantArgs) -> CommandResult {
    let args::GrantArgs { pattern, duration, uses, session, project, confirming } = args;
    let millis =
        u64::try_from(duration.as_millis()).map_err(|_| CommandFailure::usage("that is too long a time"))?;
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_too_long(&status, duration)?;
    let within =
        session.map_or_else(|| Ok(GrantLimits::default()), |typed| session_limit(&status, &typed))?;
    let project = project.map(|directory| project_limit(&directory)).transpose()?;
    let limits = GrantLimits { project, uses, ..within };
    check::hint_unknown_pattern(context, &pattern);
    let mut terminal = elevate::open_prompt(&daemon, "to grant", confirming.telegram).await?;
    elevate::show_reach(&daemon, &mut terminal, &pattern, &PatternAct::Grant).await?;
    for line in describe_limits(&limits, &status) {
        terminal.print_line(line)?;
    }
    let act = format!("grant this for {}", format_duration(duration));
    let width = Risk::of_grant(&pattern, duration);
    let grant =
        |challenge| CreateGrant { pattern: pattern.clone(), millis, limits: limits.clone(), challenge };
    let asked = elevate::send_confirmed(&daemon, &mut terminal, (&act, width), grant).await?;
    let grant = asked;
    context.output.print_value_or_text(&rules::GrantStatus::from_grant(&grant), |out| {
        let limits = match grant.limits.to_string() {
            none if none.is_empty() => none,
            limits => format!(", {}", escape_hidden(&limits)),
        };
        out.print_line(format_args!(
            "grant {}: `{}` runs unasked for {}{limits}; `portero revoke {}` ends it",
            grant.id,
            grant.pattern,
            format_duration(duration),
            grant.id
        ))
    })?;
    Ok(())
}

/// The daemon refuses it too; nobody types a passphrase for nothing.
fn refuse_too_long(status: &DaemonStatus, duration: Duration) -> CommandResult {
    let most = Duration::from_millis(status.grant_most);
    if duration <= most {
        return Ok(());
    }
    let (asked, most) = (format_duration(duration), format_duration(most));
    Err(CommandFailure::refused(format!("a grant lasts at most {most}, and {asked} were asked for"))
        .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}

fn session_limit(status: &DaemonStatus, typed: &str) -> CommandResult<GrantLimits> {
    GrantLimits::for_session(&status.sessions, &status.agent_sessions, typed).map_err(|error| {
        CommandFailure::refused(error.to_string()).with_hint("`portero status` lists the sessions")
    })
}

fn project_limit(directory: &Path) -> CommandResult<Principal> {
    launch::project_principal(directory).map_err(|error| {
        CommandFailure::usage(format!("there is no project directory `{}`", directory.display()))
            .caused_by(&error)
    })
}

/// What a person reads before they confirm: every limit, and which of the connected sessions are meant.
fn describe_limits(limits: &GrantLimits, status: &DaemonStatus) -> Vec<String> {
    if limits.is_none() {
        return Vec::new();
    }
    let mut lines = vec![format!("Limited: {}.", escape_hidden(&limits.to_string()))];
    if limits.describe_scope().is_empty() {
        return lines;
    }
    let meant = status.sessions.iter().filter(|(id, project)| {
        let agent_session = agent_session_of(status, *id);
        limits.admits(Some(CallerIdentity { principal: project, session: *id, agent_session }))
    });
    lines.extend(
        meant.map(|(id, project)| format!("  it is for session {id} in {}", escape_hidden(project.as_str()))),
    );
    if lines.len() == 1 {
        lines.push("  no session that is connected now is meant".to_owned());
    }
    lines
}

fn agent_session_of(status: &DaemonStatus, id: SessionId) -> Option<&AgentSessionId> {
    status.agent_sessions.iter().find(|(of, _)| *of == id).map(|(_, agent)| agent)
}

#[cfg(test)]
mod tests;
