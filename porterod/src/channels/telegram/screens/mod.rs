//! What is answered to a question on the phone: each a pure function from the daemon's answer to pages.
//!
//! No answer is refused for its length: it gets more pages.

pub mod activity;
mod change;
mod standing;
mod status;
mod tasks;
mod terminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{Entry, Place};
use portero::ipc::Failure;
use portero::names::ToolId;
use portero::policy::{Action, Explanation};

pub use self::change::{change, done, nothing_done};
pub use self::standing::rules;
pub use self::status::status;
pub use self::tasks::{List, Part, digest, part, tasks};
pub use self::terminal::{answered, asked, ended, over};
use super::text::{Message, Shown, Text, units};

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
        .fold(text, |text, losing| {
            let text = text.words("\nstronger than ").code(&Shown::line(&losing.to_string()));
            if explanation.came_too_early(losing) { text.words(", made before that rule") } else { text }
        })
        .pages()
}

/// A part of the log, read from its end.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Records as [`record`] writes them, in the order of time.
    pub rows: Vec<String>,
    /// Where it ends, if more may follow.
    pub next: Option<Place>,
    /// How far back was looked, where that is not told by the rows.
    pub back_to: Option<Timestamp>,
    /// How many lines on the way are no records.
    pub unreadable: u64,
}

/// A record of the audit on a line.
#[must_use]
pub fn record(entry: &Entry, zone: &TimeZone) -> String {
    let at = entry.record.at.to_zoned(zone.clone());
    format!("{}  {}", at.strftime("%m-%d %H:%M:%S"), entry.record.event)
}

/// How many UTF-16 code units a row takes.
#[must_use]
pub fn width(row: &str) -> usize {
    let mut shown = Shown::default();
    shown.row("", row);
    units(shown.as_str()) + 1
}

/// A part of the log; which, from one, the newest being the first.
#[must_use]
pub fn logs(stretch: &Stretch, number: usize, view: &View<'_>) -> Vec<Message> {
    let text = if stretch.rows.is_empty() {
        let words = match (&stretch.next, number) {
            (Some(_), _) => "None of the records that were looked at is wanted.",
            (None, 1) => "There are no such records.",
            (None, _) => "There are no older records.",
        };
        Text::new().words(words)
    } else {
        let text = Text::new().bold("Log").words(", times in ").code(&zone(view));
        let text = if number == 1 && stretch.next.is_none() {
            text
        } else {
            text.words(", page ").count(u64::try_from(number).unwrap_or(u64::MAX)).words(" from the newest")
        };
        text.pre(&stretch.rows.iter().fold(Shown::default(), |mut rows, row| {
            rows.row("", row);
            rows
        }))
    };
    let text = match stretch.back_to {
        Some(at) => text
            .line()
            .words("Looked back to ")
            .then(super::moments::at(at, view.now, view.zone))
            .words("; there may be more before."),
        None => text,
    };
    match stretch.unreadable {
        0 => text.pages(),
        lines => text
            .line()
            .words("Lines that are no records: ")
            .count(lines)
            .words(". What is wrong is told by ")
            .code(&Shown::line("portero logs verify"))
            .pages(),
    }
}

/// Why a question was not answered as asked.
#[must_use]
pub fn failure(failure: &Failure) -> Vec<Message> {
    failed(failure).pages()
}

fn failed(failure: &Failure) -> Text {
    let text = Text::new().bold("That did not work").words(": ").code(&Shown::line(&failure.message));
    match &failure.hint {
        Some(hint) => text.words("\nHint: ").code(&Shown::line(hint)),
        None => text,
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
