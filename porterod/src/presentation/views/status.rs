//! The daemon's status.

use portero::ipc::{DaemonStatus, TelegramRefused, TelegramState, TelegramStatus};
use portero::server::ServerCondition;

use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};
use super::overrides;

/// The daemon's status.
#[must_use]
pub fn status_text(status: &DaemonStatus, view: &ViewContext<'_>) -> StyledText {
    let counts = status.counts;
    let text = StyledText::new()
        .bold("Portero")
        .literal(" ")
        .code(&EscapedText::line(&status.build))
        .literal(", process ")
        .number(u64::from(status.pid))
        .literal(", started ")
        .append(time_format::format_age(status.started, view.now))
        .literal("\n")
        .bold("Waiting")
        .literal(": ")
        .number(status.pending)
        .literal("\n")
        .bold("Calls")
        .literal(": ")
        .number(counts.done)
        .literal(" done, ")
        .number(counts.failed)
        .literal(" failed, ")
        .number(counts.refused)
        .literal(" refused, ")
        .number(counts.asked)
        .literal(" asked, since the daemon started");
    let text = match &status.counts_lack {
        Some(lack) => text.literal(", at least: ").code(&EscapedText::line(lack)),
        None => text,
    };
    let text = append_audit(append_telegram(append_factors(text, status, view), status, view), status, view);
    let text = append_sessions(append_servers(append_problems(text, status), status), status);
    overrides::append_overrides(text.literal("\n"), &status.standing, view)
}

fn append_telegram(text: StyledText, status: &DaemonStatus, view: &ViewContext<'_>) -> StyledText {
    let TelegramStatus { state, last_poll, last_trouble, waiting, group, .. } = &status.telegram;
    let text = text.literal("\n").bold("Telegram").literal(": ").literal(match state {
        TelegramState::Off => "off",
        TelegramState::Invalid => "not set up as it should be",
        TelegramState::Connecting => "connecting",
        TelegramState::Serving => "well",
        TelegramState::Troubled => "in trouble, and trying on",
        TelegramState::Conflict => "another program takes the messages of the bot",
        TelegramState::Unauthorized => "knows no bot with this token",
    });
    let text = match last_poll {
        Some(at) => text.literal(", last heard ").append(time_format::format_age(*at, view.now)),
        None => text,
    };
    let text = match group {
        Some(group) => {
            let deciders = u64::try_from(group.deciders.len()).unwrap_or(u64::MAX);
            let text = text.literal("\n• the group ").code(&EscapedText::line(&group.chat.to_string()));
            let text = text.literal(", in which so many may decide: ").number(deciders);
            match &group.trouble {
                Some(trouble) => text.literal("\n• ").code(&EscapedText::line(trouble)),
                None => text,
            }
        }
        None => text,
    };
    let text = if *waiting > 0 { text.literal(", to be sent: ").number(*waiting) } else { text };
    let text = match last_trouble {
        Some(trouble) => text
            .literal("\n• ")
            .append(time_format::format_age(trouble.at, view.now))
            .literal(": ")
            .code(&EscapedText::line(&trouble.what)),
        None => text,
    };
    append_sending(text, &status.telegram, view)
}

/// Problems with sending, and updates that were given up.
fn append_sending(text: StyledText, telegram: &TelegramStatus, view: &ViewContext<'_>) -> StyledText {
    let TelegramStatus { sending_trouble, refused, given_up, .. } = telegram;
    let text = match sending_trouble {
        Some(trouble) => text.literal("\n• sending: ").code(&EscapedText::line(trouble)),
        None => text,
    };
    let text = match refused {
        Some(TelegramRefused { count, last }) => text
            .literal("\n• refused and not shown: ")
            .number(*count)
            .literal(", the last ")
            .append(time_format::format_age(last.at, view.now))
            .literal(": ")
            .code(&EscapedText::line(&last.what)),
        None => text,
    };
    if *given_up == 0 {
        return text;
    }
    text.literal("\n• failed for ever, of what was written or tapped: ").number(*given_up)
}

fn append_audit(text: StyledText, status: &DaemonStatus, view: &ViewContext<'_>) -> StyledText {
    let Some(audit) = &status.audit else { return text };
    let megabytes = format!("{}.{} MB", audit.bytes / 1_000_000, audit.bytes % 1_000_000 / 100_000);
    let text = text.literal("\n").bold("Audit").literal(": ");
    let text = match &audit.unread {
        Some(problem) => text.code(&EscapedText::line(problem)),
        None => text
            .number(audit.segments)
            .literal(if audit.segments == 1 { " file, " } else { " files, " })
            .code(&EscapedText::line(&megabytes)),
    };
    let text = match audit.oldest {
        Some(at) => text.literal(", since ").append(time_format::format_time(at, view.now, view.zone)),
        None => text,
    };
    let text = match audit.verified {
        Some(at) => text.literal("; verified ").append(time_format::format_age(at, view.now)),
        None => text.literal("; not verified since the daemon started"),
    };
    if audit.problems == 0 {
        return text;
    }
    let files = if audit.problems == 1 { " FILE WAS" } else { " FILES WERE" };
    text.literal("\n• ")
        .number(audit.problems)
        .literal(files)
        .literal(" CHANGED, CUT OR REMOVED: look with ")
        .code(&EscapedText::line("portero logs verify"))
}

/// The passphrase and the authenticator.
fn append_factors(text: StyledText, status: &DaemonStatus, view: &ViewContext<'_>) -> StyledText {
    let text = text.literal("\n").bold("Passphrase").literal(": ");
    let text = match &status.passphrase {
        Some((set, by)) => text
            .literal("set ")
            .append(time_format::format_age(*set, view.now))
            .literal(" by ")
            .code(&EscapedText::line(by)),
        None => text.bold("NOT SET").literal(
            ": nothing can be approved at the terminal, and every edit of the configuration counts at once",
        ),
    };
    let text = text.literal("\n").bold("Authenticator").literal(": ");
    match &status.totp {
        Some(totp) => text
            .literal("enrolled ")
            .append(time_format::format_age(totp.since, view.now))
            .literal(" by ")
            .code(&EscapedText::line(&totp.by))
            .literal(", recovery codes left: ")
            .number(u64::from(totp.recovery)),
        None => text.literal("not enrolled"),
    }
}

fn append_problems(text: StyledText, status: &DaemonStatus) -> StyledText {
    let mut text = match status.config_waits {
        0 => text,
        count => text
            .literal("\n")
            .bold("Unconfirmed")
            .literal(": changes of the configuration that wait for you and are not in force: ")
            .number(u64::try_from(count).unwrap_or(u64::MAX))
            .literal("; look with ")
            .code(&EscapedText::line("portero config diff")),
    };
    if !status.config_valid {
        text = text
            .literal("\n")
            .bold("NOT VALID")
            .literal(" as it is now: the last valid configuration stays in force");
    }
    if !status.config_problems.is_empty() {
        text = text.literal("\n").bold("Problems");
        for problem in &status.config_problems {
            text = text.literal("\n• ").code(&EscapedText::line(problem));
        }
    }
    for (server, reason) in &status.skipped {
        text = text.literal("\n").bold("Skipped").literal(": ").code(&EscapedText::line(server.as_str()));
        text = text.literal(" because ").code(&EscapedText::line(reason));
    }
    text
}

fn append_servers(text: StyledText, status: &DaemonStatus) -> StyledText {
    if status.servers.is_empty() {
        return text;
    }
    status.servers.iter().fold(text.literal("\n").bold("Servers"), |text, health| {
        let text = text.literal("\n• ").code(&EscapedText::line(health.server.as_str())).literal(" ");
        let text = match &health.condition {
            ServerCondition::Idle => text.literal("idle"),
            ServerCondition::Starting => text.literal("starting"),
            ServerCondition::Ready => text.literal("ready"),
            ServerCondition::Failed(reason) => text.literal("failed: ").code(&EscapedText::line(reason)),
            ServerCondition::LoginNeeded(step) => {
                text.bold("wants a login").literal(": ").code(&EscapedText::line(step))
            }
        };
        match health.tools {
            Some(tools) => {
                text.literal(", ").number(u64::try_from(tools).unwrap_or(u64::MAX)).literal(" tools")
            }
            None => text,
        }
    })
}

fn append_sessions(text: StyledText, status: &DaemonStatus) -> StyledText {
    if status.sessions.is_empty() {
        return text;
    }
    status.sessions.iter().fold(text.literal("\n").bold("Sessions"), |text, (id, project)| {
        let name = id.to_string();
        let text = text
            .literal("\n• ")
            // The end of an id is its random part, as on cards.
            .code(&EscapedText::line(name.get(name.len().saturating_sub(8)..).unwrap_or(&name)))
            .literal(" in ")
            .code(&EscapedText::line(project.as_str()));
        match status.agent_sessions.iter().find(|(of, _)| of == id) {
            Some((_, agent)) => {
                text.literal(", the agent calls it ").code(&EscapedText::line(agent.as_str()))
            }
            None => text,
        }
    })
}
