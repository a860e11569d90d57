//! The answers to commands: each is a pure function of the daemon's response, of any length.

mod elevation;
mod overrides;
mod remote_prompt;
mod status;
mod tasks;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{ReadPosition, SegmentRecord};
use portero::ipc::DaemonFailure;
use portero::names::ToolId;
use portero::policy::{Action, Explanation};

pub use self::elevation::{done_text, elevation_question, nothing_done_text};
pub use self::overrides::overrides_text;
pub use self::remote_prompt::{ended_prompt_text, prompt_end_text, remote_prompt_text, tap_reply};
pub use self::status::status_text;
pub use self::tasks::{TaskListKind, TaskListPart, all_tasks_text, task_list_text};
use super::ViewContext;
use super::text::{EscapedText, StyledText};

/// The list of commands with their summaries.
#[must_use]
pub fn help_text(commands: &[(&'static str, &'static str)]) -> StyledText {
    let text = StyledText::new().bold("What I understand").literal("\n");
    commands
        .iter()
        .fold(text, |text, (name, what)| text.on_new_line().command(name).literal("  ").literal(what))
}

/// The decision about a tool, its reason, and the entries that lost.
#[must_use]
pub fn decision_text(tool: &ToolId, explanation: &Explanation) -> StyledText {
    let text = StyledText::new()
        .code(&EscapedText::line(&tool.to_string()))
        .literal(": ")
        .bold(action_word(explanation.decision.action));
    let text = text.literal("\nbecause ").code(&EscapedText::line(&explanation.decision.to_string()));
    let losing = explanation.losing.iter();
    losing.fold(text, |text, losing| {
        let text = text.literal("\nstronger than ").code(&EscapedText::line(&losing.to_string()));
        if explanation.is_outdated_grant(losing) { text.literal(", made before that rule") } else { text }
    })
}

/// A page of the log, which is read backwards from its end.
#[derive(Debug, Default)]
pub struct LogPage {
    /// Records as [`record_line`] formats them, in the order of time.
    pub rows: Vec<String>,
    /// The position of the page's end, if more may follow.
    pub next: Option<ReadPosition>,
    /// How far back the search went, if the rows don't show it.
    pub searched_back_to: Option<Timestamp>,
    /// How many lines on the way were no records.
    pub unreadable: u64,
}

/// A record of the audit as one line.
#[must_use]
pub fn record_line(entry: &SegmentRecord, zone: &TimeZone) -> String {
    let at = entry.record.at.to_zoned(zone.clone());
    format!("{}  {}", at.strftime("%m-%d %H:%M:%S"), entry.record.event)
}

/// A page of the log; `number` counts from one, the newest page.
#[must_use]
pub fn log_text(stretch: &LogPage, number: usize, view: &ViewContext<'_>) -> StyledText {
    let text = if stretch.rows.is_empty() {
        let words = match (&stretch.next, number) {
            (Some(_), _) => "None of the records that were looked at is wanted.",
            (None, 1) => "There are no such records.",
            (None, _) => "There are no older records.",
        };
        StyledText::new().literal(words)
    } else {
        let text = StyledText::new().bold("Log").literal(", times in ").code(&zone_name(view));
        let text = if number == 1 && stretch.next.is_none() {
            text
        } else {
            text.literal(", page ")
                .number(u64::try_from(number).unwrap_or(u64::MAX))
                .literal(" from the newest")
        };
        text.pre(&stretch.rows.iter().fold(EscapedText::default(), |mut rows, row| {
            rows.push_line("", row);
            rows
        }))
    };
    let text = match stretch.searched_back_to {
        Some(at) => text
            .on_new_line()
            .literal("Looked back to ")
            .append(super::time_format::format_time(at, view.now, view.zone))
            .literal("; there may be more before."),
        None => text,
    };
    match stretch.unreadable {
        0 => text,
        lines => text
            .on_new_line()
            .literal("Lines that are no records: ")
            .number(lines)
            .literal(". See what is wrong with ")
            .code(&EscapedText::line("portero logs verify")),
    }
}

/// The text of a failed request.
#[must_use]
pub fn failure_text(failure: &DaemonFailure) -> StyledText {
    let text =
        StyledText::new().bold("That did not work").literal(": ").code(&EscapedText::line(&failure.message));
    match &failure.hint {
        Some(hint) => text.literal("\nHint: ").code(&EscapedText::line(hint)),
        None => text,
    }
}

/// The name of the person's zone, or its offset from UTC.
fn zone_name(view: &ViewContext<'_>) -> EscapedText {
    let there = view.now.to_zoned(view.zone.clone());
    EscapedText::line(view.zone.iana_name().unwrap_or(&there.strftime("%Z").to_string()))
}

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allowed",
        Action::RequireApproval => "needs approval",
        Action::Deny => "denied",
    }
}

#[cfg(test)]
mod tests;
