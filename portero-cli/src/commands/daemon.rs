//! The daemon: its start, its stop and its state (`portero daemon`, `portero status`).

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{
    ConnectError, CredentialPlace, CredentialsStatus, DaemonStatus, FailureKind, ProbeResult, TelegramGroup,
    TelegramPerson, TelegramRefused, TelegramState, TelegramStatus, UnreadableCredential, Welcome,
};
use portero::names::ServerName;
use portero::server::ServerCondition;
use serde_json::json;

use super::CommandContext;
use super::approvals::short_id;
use super::https::{print_https_clients, print_https_status};
use super::overrides::{overrides_json, print_overrides, print_pause, print_unsaved};
use crate::args::DaemonCommand;
use crate::daemon::{self, DaemonClient};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, format_age, pluralize};

pub(super) async fn run_daemon(context: &CommandContext, command: DaemonCommand) -> CommandResult {
    match command {
        DaemonCommand::Start => start(context).await,
        DaemonCommand::Stop => stop(context).await,
        DaemonCommand::Status => status(context).await,
    }
}

async fn start(context: &CommandContext) -> CommandResult {
    if context.no_start {
        return Err(CommandFailure::usage("`daemon start --no-start` asks for both"));
    }
    // Asked before the start, because afterwards a started daemon looks like one that ran already.
    let before = daemon::probe_daemon(&context.paths).await;
    let daemon = DaemonClient::connect_or_start(&context.paths, false).await?;
    let words = if matches!(before, ProbeResult::Ready(_)) { "runs already" } else { "listens" };
    print_daemon(context, words, &daemon.welcome)
}

async fn stop(context: &CommandContext) -> CommandResult {
    match DaemonClient::connect(&context.paths).await {
        Ok(daemon) => daemon.stop(&context.paths).await?,
        Err(ConnectError::Absent(_)) => {
            context.output.print_value_or_text(&json!({"running": false}), |out| {
                out.print_note("the daemon does not run");
                Ok(())
            })?;
            return Ok(());
        }
        // A daemon of another version refuses every request, also this one. Its hint is to stop it, so it is
        // ended by a signal.
        Err(ConnectError::Refused { failure, peer }) if failure.kind == FailureKind::Version => {
            daemon::terminate_daemon(&context.paths, peer, failure).await?;
        }
        Err(error) => return Err(daemon::connect_failure(&context.paths.socket(), &error)),
    }
    context
        .output
        .print_value_or_text(&json!({"running": false}), |out| out.print_line("the daemon has ended"))?;
    Ok(())
}

async fn status(context: &CommandContext) -> CommandResult {
    match daemon::probe_daemon(&context.paths).await {
        ProbeResult::Ready(welcome) => print_daemon(context, "runs", &welcome),
        ProbeResult::NeedsRestart(failure) => Err(failure.into()),
        ProbeResult::Unreachable(error) => Err(daemon::connect_failure(&context.paths.socket(), &error)),
    }
}

fn print_daemon(context: &CommandContext, words: &str, welcome: &Welcome) -> CommandResult {
    let value =
        json!({"running": true, "pid": welcome.pid, "build": welcome.build, "protocol": welcome.protocol});
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!(
            "the daemon {words}: porterod {}, process {}, at {}",
            welcome.build,
            welcome.pid,
            context.paths.socket().display()
        ))
    })?;
    Ok(())
}

pub(super) async fn show_status(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let mut value = json!(status);
    value["standing"] = overrides_json(&status.standing);
    context.output.print_value_or_text(&value, |out| print_status(out, &status))?;
    Ok(())
}

fn print_status(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    print_pause(out, &status.standing)?;
    print_unsaved(out, status.unsaved.as_ref())?;
    out.print_row(
        "daemon",
        format_args!(
            "porterod {}, process {}, started {}",
            escape_hidden(&status.build),
            status.pid,
            format_age(status.started)
        ),
    )?;
    out.print_row("config", format_args!("{}", escape_hidden(&status.config.to_string_lossy())))?;
    out.print_row("passphrase", match &status.passphrase {
        Some((set, by)) => format!("set {} ({set}) by {}", format_age(*set), escape_hidden(by)),
        None => "NOT SET: nothing can be approved at the terminal, and every configuration edit takes effect at once; run `portero passphrase set`".to_owned(),
    })?;
    out.print_row("totp", describe_authenticator(status))?;
    out.print_row(
        "waiting",
        format_args!(
            "{}",
            match status.pending {
                0 => "nothing".to_owned(),
                count => format!("{}; see `portero pending`", pluralize(count, "call", "calls")),
            }
        ),
    )?;
    for (task, tool, far) in &status.gathering {
        out.print_row("", format_args!("{} {tool}: {}", short_id(*task), escape_hidden(far)))?;
    }
    print_credentials(out, status.credentials.as_ref())?;
    print_telegram_status(out, &status.telegram)?;
    print_https_status(out, &status.https)?;
    print_counts(out, status)?;
    print_audit(out, status)?;
    for (at, about) in &status.alarms {
        out.print_row("alarm", format_args!("{}: {}", format_age(*at), escape_hidden(about)))?;
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
        out.print_table(["SESSION", "AGENT SESSION", "PROJECT"], rows.collect())?;
    }
    print_https_clients(out, status)?;
    if !status.standing.rules.is_empty() || !status.standing.grants.is_empty() {
        out.print_line("")?;
        print_overrides(out, &status.standing, status.unsaved.as_ref())?;
    }
    Ok(())
}

fn print_counts(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    let counts = status.counts;
    out.print_row(
        "calls",
        format_args!(
            "{} done, {} failed, {} refused, {} asked, since the daemon started",
            counts.done, counts.failed, counts.refused, counts.asked
        ),
    )?;
    if counts.withheld > 0 {
        out.print_row("", format_args!("{} messages withheld: they held a private value", counts.withheld))?;
    }
    match &status.counts_lack {
        Some(lack) => out.print_row("", format_args!("at least: {}", escape_hidden(lack))),
        None => Ok(()),
    }
}

fn describe_authenticator(status: &DaemonStatus) -> String {
    match &status.totp {
        Some(totp) if totp.is_outdated => format!(
            "CANNOT BE USED: an earlier version of Portero enrolled it {}, and this one cannot open it; \
             `portero totp remove` removes it with the passphrase alone; then enrol a new one",
            format_age(totp.since)
        ),
        Some(totp) => format!(
            "enrolled {} ({}) by {}, {} recovery codes left",
            format_age(totp.since),
            totp.since,
            escape_hidden(&totp.by),
            totp.recovery
        ),
        None => "not enrolled: wide acts need the passphrase alone; see `portero totp enroll`".to_owned(),
    }
}

/// Where credentials toward servers are kept, and those that can't be opened.
fn print_credentials(out: &Output, credentials: Option<&CredentialsStatus>) -> std::io::Result<()> {
    let Some(CredentialsStatus { place, reason, in_keyring, in_store, problem, hint, unreadable }) =
        credentials
    else {
        return Ok(());
    };
    let why = reason.as_deref().map(|reason| format!(" ({})", escape_hidden(reason))).unwrap_or_default();
    let count = match in_keyring + in_store {
        0 => "none kept".to_owned(),
        count => format!("{count} kept"),
    };
    out.print_row("credentials", format_args!("{count}; {}{why}", place.describe()))?;
    let elsewhere = match place {
        CredentialPlace::Keyring => (in_store, CredentialPlace::Store),
        CredentialPlace::Store => (in_keyring, CredentialPlace::Keyring),
    };
    if let (count @ 1.., place) = elsewhere {
        out.print_row("", format_args!("{count} of them still {}", place.describe()))?;
    }
    if let Some(problem) = problem {
        let hint = hint.as_deref().map(|hint| format!("; {}", escape_hidden(hint))).unwrap_or_default();
        out.print_row("", format_args!("KEYRING: {}{hint}", escape_hidden(problem)))?;
    }
    for UnreadableCredential { name, trouble } in unreadable {
        out.print_row(
            "",
            format_args!("{} CAN'T BE OPENED: {}", escape_hidden(name), escape_hidden(trouble)),
        )?;
    }
    Ok(())
}

/// What is wrong with kept credentials, in one line, with the next step; none if nothing is or no daemon runs.
pub(super) async fn find_credential_problem(context: &CommandContext) -> Option<(String, Option<String>)> {
    let daemon = DaemonClient::connect(&context.paths).await.ok()?;
    describe_credential_problem(daemon.request(GetStatus).await.ok()?.credentials?)
}

fn describe_credential_problem(status: CredentialsStatus) -> Option<(String, Option<String>)> {
    let names: Vec<&str> = status.unreadable.iter().map(|credential| credential.name.as_str()).collect();
    let unopened = (!names.is_empty()).then(|| format!("can't open {}", names.join(", ")));
    // Where the keyring as a whole is well, each credential says its own next step.
    let own = || status.unreadable.first().map(|credential| credential.trouble.clone());
    match (status.problem, unopened) {
        (Some(problem), Some(unopened)) => Some((format!("{problem}; {unopened}"), status.hint)),
        (Some(problem), None) => Some((problem, status.hint)),
        (None, Some(unopened)) => Some((unopened, own())),
        (None, None) => None,
    }
}

fn print_audit(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    let Some(audit) = &status.audit else { return Ok(()) };
    let since = audit.oldest.map(|at| format!(", since {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    let verified = match audit.verified {
        Some(at) => format!("verified {}", format_age(at)),
        None => "not verified since the daemon started".to_owned(),
    };
    match &audit.unread {
        Some(problem) => out.print_row("audit", format_args!("{}; {verified}", escape_hidden(problem)))?,
        None => out.print_row(
            "audit",
            format_args!(
                "{}, {}{since}; {verified}",
                pluralize(audit.segments, "file", "files"),
                format_megabytes(audit.bytes)
            ),
        )?,
    }
    if audit.problems > 0 {
        out.print_row(
            "",
            format_args!(
                "{} CHANGED, CUT OR REMOVED: run `portero logs verify`",
                pluralize(audit.problems, "FILE WAS", "FILES WERE")
            ),
        )?;
    }
    Ok(())
}

fn format_megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// The daemon's servers. The servers that aren't shared run in each session.
fn print_servers(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    if !status.servers.is_empty() {
        out.print_line("")?;
        let rows = status.servers.iter().map(|health| {
            let condition = match &health.condition {
                ServerCondition::Idle => "idle".to_owned(),
                ServerCondition::Starting => "starting".to_owned(),
                ServerCondition::Ready => "ready".to_owned(),
                ServerCondition::Failed(reason) => format!("failed: {reason}"),
                ServerCondition::LoginNeeded(step) => format!("WANTS A LOGIN: {step}"),
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

/// The problems of the configuration. A skipped server is named once only.
fn print_problems(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    if status.config_waits > 0 {
        let changes =
            pluralize(status.config_waits, "configuration change waits", "configuration changes wait");
        out.print_row(
            "unconfirmed",
            format_args!("{changes} for you, not in force; see `portero config diff`"),
        )?;
    }
    if !status.config_valid {
        out.print_row("", "the files are NOT VALID: the last valid configuration stays in force")?;
    }
    for problem in &status.config_problems {
        out.print_row("problem", format_args!("{}", escape_hidden(problem)))?;
    }
    // The problems of the configuration mention a skipped server already.
    let told = |server: &ServerName| {
        let words = format!("server `{server}` is skipped");
        status.config_problems.iter().any(|problem| problem.contains(&words))
    };
    for (server, reason) in status.skipped.iter().filter(|(server, _)| !told(server)) {
        out.print_row("skipped", format_args!("{server}: {}; see `portero check`", escape_hidden(reason)))?;
    }
    for (server, words) in &status.left_out {
        out.print_row("left out", format_args!("{server}: {}", escape_hidden(words)))?;
    }
    Ok(())
}

/// The state of the bot.
pub(super) fn print_telegram_status(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    let bot = telegram.bot.as_deref().map_or_else(|| "the bot".to_owned(), |name| format!("@{name}"));
    let bot = escape_hidden(&bot);
    let polled = match telegram.last_poll {
        Some(at) => format!("last reached {}", format_age(at)),
        None => "not reached yet".to_owned(),
    };
    let state = match telegram.state {
        TelegramState::Off => "off: no token is configured".to_owned(),
        TelegramState::Invalid => "NOT SERVED: the configuration names no bot".to_owned(),
        TelegramState::Connecting => format!("connecting to {bot}"),
        TelegramState::Serving => format!("{bot}, {polled}"),
        TelegramState::Troubled => format!("{bot} CANNOT BE REACHED, {polled}; retrying"),
        TelegramState::Conflict => {
            format!("{bot}: ANOTHER PROGRAM takes its messages, {polled}; stop that program, or create another bot")
        }
        TelegramState::Unauthorized => {
            "NOT SERVED: Telegram knows no bot with this token. Portero retries, ever more rarely; if this lasts, configure a new token"
                .to_owned()
        }
    };
    out.print_row("telegram", format_args!("{state}"))?;
    if telegram.state == TelegramState::Off {
        return Ok(());
    }
    out.print_row(
        "",
        match (&telegram.person, &telegram.group) {
            (_, Some(TelegramGroup { chat, deciders, .. })) => {
                let users = pluralize(deciders.len(), "user decides", "users decide");
                format!("{users} in the group {chat}")
            }
            (Some(TelegramPerson { user, configured: false }), None) => {
                format!("paired with user {user}")
            }
            (Some(TelegramPerson { user, configured: true }), None) => {
                format!("user {user} decides, by the configuration")
            }
            (None, None) => "not paired yet; run `portero telegram pair`".to_owned(),
        },
    )?;
    if let Some(trouble) = telegram.group.as_ref().and_then(|group| group.trouble.as_deref()) {
        out.print_row("", format_args!("in the group: {}", escape_hidden(trouble)))?;
    }
    if let Some(trouble) = &telegram.last_trouble {
        out.print_row(
            "",
            format_args!("last trouble {}: {}", format_age(trouble.at), escape_hidden(&trouble.what)),
        )?;
    }
    print_sending_problems(out, telegram)
}

/// Problems with sending, and updates that were given up.
fn print_sending_problems(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    if let Some(trouble) = &telegram.sending_trouble {
        out.print_row(
            "",
            format_args!("{} messages wait to be sent: {}", telegram.waiting, escape_hidden(trouble)),
        )?;
    }
    if let Some(TelegramRefused { count, last }) = &telegram.refused {
        let messages = pluralize(*count, "message", "messages");
        out.print_row(
            "",
            format_args!(
                "Telegram refused {messages}, the last {}: {}",
                format_age(last.at),
                escape_hidden(&last.what)
            ),
        )?;
    }
    if telegram.given_up > 0 {
        out.print_row(
            "",
            format_args!("{} messages and taps FAILED for good; see the daemon's log", telegram.given_up),
        )?;
    }
    Ok(())
}

/// The problem of a running daemon's bot; none if it works or no daemon runs.
pub(super) async fn find_bot_problem(context: &CommandContext) -> Option<String> {
    // A missing daemon is not a problem of the bot, so it is not started for this.
    let daemon = DaemonClient::connect(&context.paths).await.ok()?;
    let Ok(status) = daemon.request(GetStatus).await else { return None };
    let telegram = status.telegram;
    match telegram.state {
        TelegramState::Off | TelegramState::Connecting => None,
        TelegramState::Serving => {
            let of_group = telegram.group.and_then(|group| group.trouble);
            telegram.sending_trouble.or(of_group)
        }
        TelegramState::Invalid
        | TelegramState::Troubled
        | TelegramState::Conflict
        | TelegramState::Unauthorized => {
            Some(telegram.last_trouble.map_or_else(|| telegram.state.to_string(), |trouble| trouble.what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doctor_names_the_credentials_that_cannot_be_opened_with_the_next_step() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(describe_credential_problem(CredentialsStatus::default()), None);
        let gone = CredentialsStatus {
            unreadable: vec![UnreadableCredential {
                name: "oauth/linear".to_owned(),
                trouble: "run `portero login linear`".to_owned(),
            }],
            ..CredentialsStatus::default()
        };
        let problem = describe_credential_problem(gone.clone());
        assert_eq!(problem, Some(("can't open oauth/linear".to_owned(), text("run `portero login linear`"))));
        let locked = CredentialsStatus { problem: text("it is locked"), hint: text("unlock it"), ..gone };
        let problem = describe_credential_problem(locked);
        assert_eq!(problem, Some(("it is locked; can't open oauth/linear".to_owned(), text("unlock it"))));
    }
}
