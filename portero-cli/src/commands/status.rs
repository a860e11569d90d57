//! `portero status`: how things stand.

use portero::ipc::DaemonStatus;
use portero::ipc::requests::daemon::GetStatus;
use portero::names::ServerName;
use portero::server::ServerCondition;
use serde_json::json;

use super::{CommandContext, rules, tasks, telegram};
use crate::failure::CommandResult;
use crate::output::{Output, escape_hidden, format_age};

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let mut value = json!(status);
    value["standing"] = rules::overrides_json(&status.standing);
    context.output.print_value_or_text(&value, |out| print_status(out, &status))?;
    Ok(())
}

fn print_status(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    rules::print_pause(out, &status.standing)?;
    rules::print_unsaved(out, status.unsaved.as_ref())?;
    out.print_line(format_args!(
        "daemon      porterod {}, process {}, started {}",
        escape_hidden(&status.build),
        status.pid,
        format_age(status.started)
    ))?;
    out.print_line(format_args!("config      {}", escape_hidden(&status.config.to_string_lossy())))?;
    out.print_line(match &status.passphrase {
        Some((set, by)) => format!("passphrase  set {} ({set}) by {}", format_age(*set), escape_hidden(by)),
        None => "passphrase  NOT SET: nothing can be approved at the terminal, and every edit of the configuration counts at once; run `portero passphrase set`".to_owned(),
    })?;
    out.print_line(authenticator(status))?;
    out.print_line(format_args!(
        "waiting     {}",
        match status.pending {
            0 => "nothing".to_owned(),
            1 => "1 call; see `portero pending`".to_owned(),
            count => format!("{count} calls; see `portero pending`"),
        }
    ))?;
    for (task, tool, far) in &status.gathering {
        out.print_line(format_args!(
            "            {} {tool}: {}",
            tasks::short_id(*task),
            escape_hidden(far)
        ))?;
    }
    telegram::print_telegram_status(out, &status.telegram)?;
    print_counts(out, status)?;
    print_audit(out, status)?;
    for (at, about) in &status.alarms {
        out.print_line(format_args!("alarm       {}: {}", format_age(*at), escape_hidden(about)))?;
    }
    print_problems(out, status)?;
    print_servers(out, status)?;
    if !status.sessions.is_empty() {
        out.print_line("")?;
        let rows = status.sessions.iter().map(|(id, project)| {
            let mut agents = status.agent_sessions.iter().filter(|(of, _)| of == id);
            let agent = agents.next().map_or_else(|| "-".to_owned(), |(_, agent)| agent.to_string());
            [id.to_string(), agent, project.as_str().to_owned()]
        });
        out.print_table(["SESSION", "OF THE AGENT'S", "PROJECT"], rows.collect())?;
    }
    if !status.standing.rules.is_empty() || !status.standing.grants.is_empty() {
        out.print_line("")?;
        rules::print_overrides(out, &status.standing, status.unsaved.as_ref())?;
    }
    Ok(())
}

fn print_counts(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    let counts = status.counts;
    out.print_line(format_args!(
        "calls       {} done, {} failed, {} refused, {} asked, since the daemon started",
        counts.done, counts.failed, counts.refused, counts.asked
    ))?;
    match &status.counts_lack {
        Some(lack) => out.print_line(format_args!("            at least: {}", escape_hidden(lack))),
        None => Ok(()),
    }
}

fn authenticator(status: &DaemonStatus) -> String {
    match &status.totp {
        Some(totp) if totp.is_outdated => format!(
            "totp        CANNOT BE USED: an earlier version of Portero enrolled it {}, and this one cannot open it; \
             `portero totp remove` removes it with the passphrase alone, then enrol it anew",
            format_age(totp.since)
        ),
        Some(totp) => format!(
            "totp        enrolled {} ({}) by {}, {} recovery codes left",
            format_age(totp.since),
            totp.since,
            escape_hidden(&totp.by),
            totp.recovery
        ),
        None => {
            "totp        not enrolled: what is wide needs the passphrase alone; see `portero totp enroll`"
                .to_owned()
        }
    }
}

fn print_audit(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    let Some(audit) = &status.audit else { return Ok(()) };
    let since = audit.oldest.map(|at| format!(", since {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    let verified = match audit.verified {
        Some(at) => format!("verified {}", format_age(at)),
        None => "not verified since the daemon started".to_owned(),
    };
    let files = if audit.segments == 1 { "file" } else { "files" };
    match &audit.unread {
        Some(problem) => {
            out.print_line(format_args!("audit       {}; {verified}", escape_hidden(problem)))?
        }
        None => out.print_line(format_args!(
            "audit       {} {files}, {}{since}; {verified}",
            audit.segments,
            format_megabytes(audit.bytes)
        ))?,
    }
    if audit.problems > 0 {
        let files = if audit.problems == 1 { "FILE WAS" } else { "FILES WERE" };
        out.print_line(format_args!(
            "            {} {files} CHANGED, CUT OR REMOVED: run `portero logs verify`",
            audit.problems
        ))?;
    }
    Ok(())
}

fn format_megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// The daemon's servers; each session runs its own of those that are not shared.
fn print_servers(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    if !status.servers.is_empty() {
        out.print_line("")?;
        let rows = status.servers.iter().map(|health| {
            let condition = match &health.condition {
                ServerCondition::Idle => "idle".to_owned(),
                ServerCondition::Starting => "starting".to_owned(),
                ServerCondition::Ready => "ready".to_owned(),
                ServerCondition::Failed(reason) => format!("failed: {reason}"),
            };
            let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
            [
                health.server.to_string(),
                condition,
                number(health.pid.map(|pid| pid.to_string())),
                number(health.tools.map(|tools| tools.to_string())),
            ]
        });
        out.print_table(["SERVER", "IN THE DAEMON", "PROCESS", "TOOLS"], rows.collect())?;
    }
    Ok(())
}

/// What is wrong with the configuration; a skipped server only once.
fn print_problems(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    if status.config_waits > 0 {
        let changes = match status.config_waits {
            1 => "1 change of the configuration waits".to_owned(),
            count => format!("{count} changes of the configuration wait"),
        };
        out.print_line(format_args!(
            "unconfirmed {changes} for you, not in force; see `portero config diff`"
        ))?;
    }
    if !status.config_valid {
        out.print_line("            NOT VALID as it is now: the last valid one stays in force")?;
    }
    for problem in &status.config_problems {
        out.print_line(format_args!("problem     {}", escape_hidden(problem)))?;
    }
    let told = |server: &ServerName| {
        let words = format!("server `{server}` is skipped");
        status.config_problems.iter().any(|problem| problem.contains(&words))
    };
    for (server, reason) in status.skipped.iter().filter(|(server, _)| !told(server)) {
        out.print_line(format_args!("skipped     {server}: {}; see `portero check`", escape_hidden(reason)))?;
    }
    for (server, words) in &status.left_out {
        out.print_line(format_args!("left out    {server}: {}", escape_hidden(words)))?;
    }
    Ok(())
}
