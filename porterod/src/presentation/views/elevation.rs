//! The effect of a widening act, shown before a person confirms it, and its result.

use std::time::Duration;

use crate::api::Change;
use crate::auth::remote_confirmation::ActPreview;
use jiff::SignedDuration;
use portero::ipc::Act;
use portero::names::{Actor, ToolId};
use portero::policy::{Action, GrantLimits};

use super::super::change_text::append_tools;
pub(super) use super::super::change_text::{grant_text, rule_text};
use super::super::definitions::acceptance_question;
use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};

/// The effect of confirming this act: the tools that it covers, or the definitions that it accepts. `again` means
/// that the effect has changed since it was last shown.
#[must_use]
pub fn elevation_question(
    what: &Act,
    preview: &ActPreview,
    again: bool,
    view: &ViewContext<'_>,
) -> StyledText {
    let text = if again {
        StyledText::new().bold("Something changed meanwhile. This is how it stands now.").literal("\n")
    } else {
        StyledText::new()
    };
    let limits = match what {
        Act::Grant(_, _, limits) => limits_text(limits, &EscapedText::line),
        _ => StyledText::new(),
    };
    match preview {
        ActPreview::Tools(tools) => text.append(elevation_text(what, tools, limits, view)),
        ActPreview::Definitions(waiting) => text.append(acceptance_question(waiting)),
        // No command asks about these.
        ActPreview::Task(_) | ActPreview::TaskAndTools(..) | ActPreview::Configuration(_) => text,
    }
}

/// The limits of a grant: sessions, projects and uses.
pub(super) fn limits_text(limits: &GrantLimits, line: &impl Fn(&str) -> EscapedText) -> StyledText {
    if limits.is_none() {
        return StyledText::new();
    }
    StyledText::new().literal("\nLimited: ").code(&line(&limits.to_string()))
}

/// The effect of an act; `limits` describes a grant's limits.
pub(super) fn elevation_text(
    what: &Act,
    tools: &[(ToolId, Action)],
    limits: StyledText,
    view: &ViewContext<'_>,
) -> StyledText {
    let text = StyledText::new();
    let text = match what {
        Act::Grant(pattern, millis, _) => {
            let lasts = Duration::from_millis(*millis);
            // A grant beyond the last representable time has no end to show.
            let end = view.now.saturating_add(SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX));
            let text =
                text.bold("Permit for a while?").literal("\n").code(&EscapedText::line(pattern.as_str()));
            let text = text.literal(" for ").append(time_format::format_duration(lasts));
            match end {
                Ok(end) => {
                    text.literal(", until ").append(time_format::format_time(end, view.now, view.zone))
                }
                Err(_) => text,
            }
        }
        Act::Allow(pattern) => {
            text.bold("Permit from now on?").literal("\n").code(&EscapedText::line(pattern.as_str()))
        }
        Act::RemoveRule(id, pattern, _) => text
            .bold("End a rule that narrows?")
            .literal("\nrule ")
            .number(*id)
            .literal(", ")
            .code(&EscapedText::line(pattern.as_str())),
        Act::Resume => {
            return text.bold("Go on?").literal(
                "\nCalls are decided by configuration, rules and grants again, and approved ones run.",
            );
        }
        Act::Login(server) => {
            return text
                .bold("Sign in at a server?")
                .literal("\n")
                .code(&EscapedText::line(server.as_str()))
                .literal(
                    "\nA browser opens at that terminal. Calls use the account that signs in there from then on.",
                );
        }
        Act::CreateToken(name, scope, millis) => {
            let text = text
                .bold("Let another machine ask?")
                .literal("\nWho has the token ")
                .code(&EscapedText::line(name.as_str()))
                .literal(" may ask over HTTPS for ")
                .code(&EscapedText::line(&scope.to_string()));
            return match millis {
                Some(millis) => text
                    .literal(", for ")
                    .append(time_format::format_duration(Duration::from_millis(*millis)))
                    .literal("."),
                None => text.literal(", until it is revoked."),
            };
        }
        _ => return text,
    };
    append_tools(text.append(limits), what, tools)
}

/// The result of an act; `by` is the user, where several could have acted.
#[must_use]
pub fn done_text(change: &Change, by: Option<i64>, view: &ViewContext<'_>) -> StyledText {
    let text = StyledText::new();
    let text = match change {
        Change::Granted(grant) => grant_text(grant),
        Change::Ruled(rule) => rule_text(rule),
        Change::Paused(standing) => match standing.paused {
            Some(since) => text
                .bold("Everything is paused")
                .literal(", since ")
                .append(time_format::format_time(since, view.now, view.zone))
                .literal(": no call runs until ")
                .command("resume"),
            None => text.literal("Done."),
        },
        Change::Accepted(server, count) => text
            .bold("Accepted")
            .literal(": ")
            .number(*count)
            .literal(" of the definitions of ")
            .code(&EscapedText::line(server.as_str()))
            .literal(". They count in every session."),
        Change::Count(count) => text.bold("Done").literal(", changed: ").number(*count),
    };
    append_actor(text, by)
}

/// The text after a cancelled question; `by` is the user, where several could have cancelled it.
#[must_use]
pub fn nothing_done_text(by: Option<i64>) -> StyledText {
    append_actor(StyledText::new().literal("Nothing was changed."), by)
}

fn append_actor(text: StyledText, by: Option<i64>) -> StyledText {
    match by {
        None => text,
        Some(user) => text.literal("\nBy ").code(&EscapedText::line(&Actor::TelegramUser(user).to_string())),
    }
}
