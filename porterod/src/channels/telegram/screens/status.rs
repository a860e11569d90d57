//! How things stand.

use portero::ipc::{Status, TelegramRefused, TelegramState, TelegramStatus};
use portero::server::Condition;

use super::super::moments;
use super::super::text::{Message, Shown, Text};
use super::{View, standing};

/// How things stand.
#[must_use]
pub fn status(status: &Status, view: &View<'_>) -> Vec<Message> {
    let counts = status.counts;
    let text = Text::new()
        .bold("Portero")
        .words(" ")
        .code(&Shown::line(&status.build))
        .words(", process ")
        .count(u64::from(status.pid))
        .words(", started ")
        .then(moments::ago(status.started, view.now))
        .words("\n")
        .bold("Waiting")
        .words(": ")
        .count(status.pending)
        .words("\n")
        .bold("Calls")
        .words(": ")
        .count(counts.done)
        .words(" done, ")
        .count(counts.failed)
        .words(" failed, ")
        .count(counts.refused)
        .words(" refused, ")
        .count(counts.asked)
        .words(" asked, since the daemon started");
    let text = match &status.counts_lack {
        Some(lack) => text.words(", at least: ").code(&Shown::line(lack)),
        None => text,
    };
    let text = records(telegram(factors(text, status, view), status, view), status, view);
    let text = sessions(servers(problems(text, status), status), status);
    standing::add(text.words("\n"), &status.standing, view).pages()
}

fn telegram(text: Text, status: &Status, view: &View<'_>) -> Text {
    let TelegramStatus { state, last_poll, last_trouble, waiting, group, .. } = &status.telegram;
    let text = text.words("\n").bold("Telegram").words(": ").words(match state {
        TelegramState::Off => "off",
        TelegramState::Invalid => "not set up as it should be",
        TelegramState::Connecting => "connecting",
        TelegramState::Serving => "well",
        TelegramState::Troubled => "in trouble, and trying on",
        TelegramState::Conflict => "another program takes the messages of the bot",
        TelegramState::Unauthorized => "knows no bot with this token",
    });
    let text = match last_poll {
        Some(at) => text.words(", last heard ").then(moments::ago(*at, view.now)),
        None => text,
    };
    let text = match group {
        Some(group) => {
            let deciders = u64::try_from(group.deciders.len()).unwrap_or(u64::MAX);
            let text = text.words("\n• the group ").code(&Shown::line(&group.chat.to_string()));
            let text = text.words(", in which so many may decide: ").count(deciders);
            match &group.trouble {
                Some(trouble) => text.words("\n• ").code(&Shown::line(trouble)),
                None => text,
            }
        }
        None => text,
    };
    let text = if *waiting > 0 { text.words(", to be sent: ").count(*waiting) } else { text };
    let text = match last_trouble {
        Some(trouble) => text
            .words("\n• ")
            .then(moments::ago(trouble.at, view.now))
            .words(": ")
            .code(&Shown::line(&trouble.what)),
        None => text,
    };
    sending(text, &status.telegram, view)
}

/// What goes wrong with what is sent, and with what was written or tapped.
fn sending(text: Text, telegram: &TelegramStatus, view: &View<'_>) -> Text {
    let TelegramStatus { sending_trouble, refused, given_up, .. } = telegram;
    let text = match sending_trouble {
        Some(trouble) => text.words("\n• sending: ").code(&Shown::line(trouble)),
        None => text,
    };
    let text = match refused {
        Some(TelegramRefused { count, last }) => text
            .words("\n• refused and not shown: ")
            .count(*count)
            .words(", the last ")
            .then(moments::ago(last.at, view.now))
            .words(": ")
            .code(&Shown::line(&last.what)),
        None => text,
    };
    if *given_up == 0 {
        return text;
    }
    text.words("\n• failed for ever, of what was written or tapped: ").count(*given_up)
}

fn records(text: Text, status: &Status, view: &View<'_>) -> Text {
    let Some(audit) = &status.audit else { return text };
    let megabytes = format!("{}.{} MB", audit.bytes / 1_000_000, audit.bytes % 1_000_000 / 100_000);
    let text = text.words("\n").bold("Audit").words(": ");
    let text = match &audit.unread {
        Some(problem) => text.code(&Shown::line(problem)),
        None => text
            .count(audit.segments)
            .words(if audit.segments == 1 { " file, " } else { " files, " })
            .code(&Shown::line(&megabytes)),
    };
    let text = match audit.oldest {
        Some(at) => text.words(", since ").then(moments::at(at, view.now, view.zone)),
        None => text,
    };
    let text = match audit.verified {
        Some(at) => text.words("; verified ").then(moments::ago(at, view.now)),
        None => text.words("; not verified since the daemon started"),
    };
    if audit.problems == 0 {
        return text;
    }
    let files = if audit.problems == 1 { " FILE WAS" } else { " FILES WERE" };
    text.words("\n• ")
        .count(audit.problems)
        .words(files)
        .words(" CHANGED, CUT OR REMOVED: look with ")
        .code(&Shown::line("portero logs verify"))
}

/// The second factors of the terminal.
fn factors(text: Text, status: &Status, view: &View<'_>) -> Text {
    let text = text.words("\n").bold("Passphrase").words(": ");
    let text = match &status.passphrase {
        Some((set, by)) => {
            text.words("set ").then(moments::ago(*set, view.now)).words(" by ").code(&Shown::line(by))
        }
        None => text.bold("NOT SET").words(
            ": nothing can be approved at the terminal, and every edit of the configuration counts at once",
        ),
    };
    let text = text.words("\n").bold("Authenticator").words(": ");
    match &status.totp {
        Some(totp) => text
            .words("enrolled ")
            .then(moments::ago(totp.since, view.now))
            .words(" by ")
            .code(&Shown::line(&totp.by))
            .words(", recovery codes left: ")
            .count(u64::from(totp.recovery)),
        None => text.words("not enrolled"),
    }
}

fn problems(text: Text, status: &Status) -> Text {
    let mut text = match status.config_waits {
        0 => text,
        count => text
            .words("\n")
            .bold("Unconfirmed")
            .words(": changes of the configuration that wait for you and are not in force: ")
            .count(u64::try_from(count).unwrap_or(u64::MAX))
            .words("; look with ")
            .code(&Shown::line("portero config diff")),
    };
    if !status.config_valid {
        text = text
            .words("\n")
            .bold("NOT VALID")
            .words(" as it is now: the last valid configuration stays in force");
    }
    if !status.config_problems.is_empty() {
        text = text.words("\n").bold("Problems");
        for problem in &status.config_problems {
            text = text.words("\n• ").code(&Shown::line(problem));
        }
    }
    for (server, reason) in &status.skipped {
        text = text.words("\n").bold("Skipped").words(": ").code(&Shown::line(server.as_str()));
        text = text.words(" because ").code(&Shown::line(reason));
    }
    text
}

fn servers(text: Text, status: &Status) -> Text {
    if status.servers.is_empty() {
        return text;
    }
    status.servers.iter().fold(text.words("\n").bold("Servers"), |text, health| {
        let text = text.words("\n• ").code(&Shown::line(health.server.as_str())).words(" ");
        let text = match &health.condition {
            Condition::Idle => text.words("idle"),
            Condition::Starting => text.words("starting"),
            Condition::Ready => text.words("ready"),
            Condition::Failed(reason) => text.words("failed: ").code(&Shown::line(reason)),
        };
        match health.tools {
            Some(tools) => text.words(", ").count(u64::try_from(tools).unwrap_or(u64::MAX)).words(" tools"),
            None => text,
        }
    })
}

fn sessions(text: Text, status: &Status) -> Text {
    if status.sessions.is_empty() {
        return text;
    }
    status.sessions.iter().fold(text.words("\n").bold("Sessions"), |text, (id, project)| {
        let name = id.to_string();
        let text = text
            .words("\n• ")
            .code(&Shown::line(name.get(name.len().saturating_sub(8)..).unwrap_or(&name)))
            .words(" in ")
            .code(&Shown::line(project.as_str()));
        match status.agent_sessions.iter().find(|(of, _)| of == id) {
            Some((_, agent)) => text.words(", the agent calls it ").code(&Shown::line(agent.as_str())),
            None => text,
        }
    })
}
