//! What is answered to a question on the phone: each a pure function from the daemon's answer to pages.
//!
//! No answer is refused for its length: it gets more pages.

mod change;
mod standing;
mod status;
mod tasks;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::Entry;
use portero::ipc::Failure;
use portero::names::ToolId;
use portero::policy::{Action, Explanation};

pub use self::change::{change, done, nothing_done};
pub use self::standing::rules;
pub use self::status::status;
pub use self::tasks::{digest, pending, tasks};
use super::text::{Message, Shown, Text};

/// What a screen depends on besides what it shows.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The present.
    pub now: Timestamp,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}

/// Who the person is to the bot.
#[must_use]
pub fn whoami(user: i64, chat: i64) -> Vec<Message> {
    let number = |number: i64| Shown::line(&number.to_string());
    let text = Text::new().words("Your user: ").code(&number(user)).line();
    text.words("This chat: ").code(&number(chat)).words("\nPortero listens to you.").pages()
}

/// The commands that there are, each with what it does.
#[must_use]
pub fn help(commands: &[(&'static str, &'static str)]) -> Vec<Message> {
    let text = Text::new().bold("What I understand").words("\n");
    commands.iter().fold(text, |text, (name, what)| text.line().command(name).words("  ").words(what)).pages()
}

/// Why a tool is decided as it is, and what lost.
#[must_use]
pub fn why(tool: &ToolId, explanation: &Explanation) -> Vec<Message> {
    let text =
        Text::new().code(&Shown::line(&tool.to_string())).words(": ").bold(word(explanation.decision.action));
    let text = text.words("\nbecause ").code(&Shown::line(&explanation.decision.to_string()));
    let losing = explanation.losing.iter();
    losing
        .fold(text, |text, losing| text.words("\nstronger than ").code(&Shown::line(&losing.to_string())))
        .pages()
}

/// The newest records of the audit, in their order.
#[must_use]
pub fn logs(entries: &[Entry], view: &View<'_>) -> Vec<Message> {
    if entries.is_empty() {
        return Text::new().words("There are no such records.").pages();
    }
    let rows = entries.iter().fold(Shown::default(), |mut rows, entry| {
        let at = entry.record.at.to_zoned(view.zone.clone());
        rows.row("", &format!("{}  {}", at.strftime("%m-%d %H:%M:%S"), entry.record.event));
        rows
    });
    Text::new().bold("Log").words(", times in ").code(&zone(view)).pre(&rows).pages()
}

/// Why a question was not answered as asked.
#[must_use]
pub fn failure(failure: &Failure) -> Vec<Message> {
    let text = Text::new().bold("That did not work").words(": ").code(&Shown::line(&failure.message));
    match &failure.hint {
        Some(hint) => text.words("\nHint: ").code(&Shown::line(hint)).pages(),
        None => text.pages(),
    }
}

/// The person's zone by its name, or how far it is from UTC.
fn zone(view: &View<'_>) -> Shown {
    let there = view.now.to_zoned(view.zone.clone());
    Shown::line(view.zone.iana_name().unwrap_or(&there.strftime("%Z").to_string()))
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allowed",
        Action::RequireApproval => "needs approval",
        Action::Deny => "denied",
    }
}

#[cfg(test)]
mod tests;
