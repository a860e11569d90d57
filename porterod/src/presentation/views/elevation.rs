//! The effect of a widening act, shown before a person confirms it, and its result.

use std::time::Duration;

use crate::api::Change;
use jiff::SignedDuration;
use portero::ipc::Act;
use portero::names::{Actor, ToolId};
use portero::policy::{Action, Grant, GrantLimits, PolicyRule};

use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};

/// The effect of confirming this act. `tools` are the covered tools that aren't allowed now, with their
/// present decision, denied ones first. `again` means that the effect has changed since it was last shown.
#[must_use]
pub fn elevation_question(
    what: &Act,
    tools: &[(ToolId, Action)],
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
    text.append(elevation_text(what, tools, limits, view))
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
        _ => return text,
    };
    append_tools(text.append(limits), what, tools)
}

fn append_tools(text: StyledText, what: &Act, tools: &[(ToolId, Action)]) -> StyledText {
    // A grant lifts no deny, so a denied tool is listed but not counted.
    let changes = |action: Action| tool_change(what, action).is_some_and(|(changes, _)| changes);
    let count = tools.iter().filter(|(_, action)| changes(*action)).count();
    let text = match count {
        0 => text.literal("\nThat changes nothing for the tools that are known now."),
        1 => text.literal("\nIt changes 1 tool:"),
        count => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            text.literal("\nIt changes ").number(count).literal(" tools:")
        }
    };
    let rows = tools.iter().fold(EscapedText::default(), |mut rows, (tool, action)| {
        if let Some((_, fate)) = tool_change(what, *action) {
            rows.push_line("", &format!("{tool}  {fate}"));
        }
        rows
    });
    let text = if rows.is_empty() { text } else { text.pre(&rows) };
    text.on_new_line().literal("Tools that servers add later and that match are covered too.")
}

/// Whether the act changes this decision, and how; none if the decision doesn't concern it.
const fn tool_change(what: &Act, now: Action) -> Option<(bool, &'static str)> {
    match (what, now) {
        (Act::Grant(..) | Act::Allow(_), Action::RequireApproval) => {
            Some((true, "asks now → would run unasked"))
        }
        (Act::Allow(_), Action::Deny) => Some((true, "DENIED now → would run unasked")),
        (Act::Grant(..), Action::Deny) => Some((false, "denied, and stays denied")),
        (Act::RemoveRule(_, _, Action::Deny), Action::Deny) => {
            Some((true, "DENIED now → would no longer be denied by this rule"))
        }
        (Act::RemoveRule(_, _, Action::RequireApproval), Action::RequireApproval | Action::Deny) => {
            Some((true, "asks now → would no longer be asked for by this rule"))
        }
        _ => None,
    }
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
        Change::Count(count) => text.bold("Done").literal(", changed: ").number(*count),
    };
    append_actor(text, by)
}

/// The text of a grant that was made.
pub(super) fn grant_text(grant: &Grant) -> StyledText {
    StyledText::new()
        .bold("Permitted")
        .literal(": grant ")
        .number(grant.id)
        .literal(", ")
        .code(&EscapedText::line(grant.pattern.as_str()))
        .literal(" for ")
        .append(time_format::format_duration(grant.duration()))
        .append(match grant.limits.to_string() {
            none if none.is_empty() => StyledText::new(),
            limits => StyledText::new().literal(", ").code(&EscapedText::line(&limits)),
        })
        .literal(". End it with ")
        .code(&EscapedText::line(&format!("/revoke {}", grant.id)))
}

/// The text of a rule that was made.
pub(super) fn rule_text(rule: &PolicyRule) -> StyledText {
    let word = match rule.action {
        Action::Allow => "Permitted from now on",
        Action::RequireApproval => "Asks from now on",
        Action::Deny => "Denied from now on",
    };
    StyledText::new()
        .bold(word)
        .literal(": rule ")
        .number(rule.id)
        .literal(", ")
        .code(&EscapedText::line(rule.pattern.as_str()))
        .literal(". End it with ")
        .code(&EscapedText::line(&format!("/unrule {}", rule.id)))
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
