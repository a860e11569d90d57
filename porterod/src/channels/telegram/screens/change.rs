//! What would change, before a person confirms it, and what came of it.

use std::time::Duration;

use crate::api::Change;
use jiff::SignedDuration;
use portero::names::ToolId;
use portero::policy::{Action, Grant, Limits, Rule};

use super::super::moments;
use super::super::text::{Message, Shown, Text};
use super::View;
use crate::taps::Wider;

/// What would change if this were confirmed: `tools` are those it covers that are not allowed now, each with what
/// is decided for it now, denied ones first. `again` says that this is not what was shown before.
#[must_use]
pub fn change(what: &Wider, tools: &[(ToolId, Action)], again: bool, view: &View<'_>) -> Vec<Message> {
    let text = if again {
        Text::new().bold("Something changed meanwhile. This is how it stands now.").words("\n")
    } else {
        Text::new()
    };
    let limits = match what {
        Wider::Grant(_, _, limits) => limited(limits, &Shown::line),
        Wider::Allow(_) | Wider::Unrule(..) | Wider::Resume => Text::new(),
    };
    text.then(changing(what, tools, limits, view)).pages()
}

/// For whom a grant is, and how often.
pub(super) fn limited(limits: &Limits, line: &impl Fn(&str) -> Shown) -> Text {
    if limits.is_none() {
        return Text::new();
    }
    Text::new().words("\nLimited: ").code(&line(&limits.to_string()))
}

/// What would change. `limits` say for whom it would, and how often.
pub(super) fn changing(what: &Wider, tools: &[(ToolId, Action)], limits: Text, view: &View<'_>) -> Text {
    let text = Text::new();
    let text = match what {
        Wider::Grant(pattern, millis, _) => {
            let lasts = Duration::from_millis(*millis);
            let end = view.now.saturating_add(SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX));
            let text = text.bold("Permit for a while?").words("\n").code(&Shown::line(pattern.as_str()));
            let text = text.words(" for ").then(moments::span(lasts));
            match end {
                Ok(end) => text.words(", until ").then(moments::at(end, view.now, view.zone)),
                Err(_) => text,
            }
        }
        Wider::Allow(pattern) => {
            text.bold("Permit from now on?").words("\n").code(&Shown::line(pattern.as_str()))
        }
        Wider::Unrule(id, pattern, _) => text
            .bold("End a rule that narrows?")
            .words("\nrule ")
            .count(*id)
            .words(", ")
            .code(&Shown::line(pattern.as_str())),
        Wider::Resume => {
            return text.bold("Go on?").words(
                "\nCalls are decided by configuration, rules and grants again, and approved ones run.",
            );
        }
    };
    tools_of(text.then(limits), what, tools)
}

fn tools_of(text: Text, what: &Wider, tools: &[(ToolId, Action)]) -> Text {
    let changes = |action: Action| fate(what, action).is_some_and(|(changes, _)| changes);
    let count = tools.iter().filter(|(_, action)| changes(*action)).count();
    let text = match count {
        0 => text.words("\nThat changes nothing for the tools that are known now."),
        1 => text.words("\nIt changes 1 tool:"),
        count => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            text.words("\nIt changes ").count(count).words(" tools:")
        }
    };
    let rows = tools.iter().fold(Shown::default(), |mut rows, (tool, action)| {
        if let Some((_, fate)) = fate(what, *action) {
            rows.row("", &format!("{tool}  {fate}"));
        }
        rows
    });
    let text = if rows.is_empty() { text } else { text.pre(&rows) };
    text.line().words("Tools that servers add later and that match are covered too.")
}

/// Whether this changes what is decided now, and how; none where the decision is not its business.
const fn fate(what: &Wider, now: Action) -> Option<(bool, &'static str)> {
    match (what, now) {
        (Wider::Grant(..) | Wider::Allow(_), Action::RequireApproval) => {
            Some((true, "asks now → would run unasked"))
        }
        (Wider::Allow(_), Action::Deny) => Some((true, "DENIED now → would run unasked")),
        (Wider::Grant(..), Action::Deny) => Some((false, "denied, and stays denied")),
        (Wider::Unrule(_, _, Action::Deny), Action::Deny) => {
            Some((true, "DENIED now → would no longer be denied by this rule"))
        }
        (Wider::Unrule(_, _, Action::RequireApproval), Action::RequireApproval | Action::Deny) => {
            Some((true, "asks now → would no longer be asked for by this rule"))
        }
        (Wider::Grant(..) | Wider::Allow(_), Action::Allow) | (Wider::Unrule(..) | Wider::Resume, _) => None,
    }
}

/// What came of an act; `by` is the user who did it, where several could have.
#[must_use]
pub fn done(change: &Change, by: Option<i64>, view: &View<'_>) -> Vec<Message> {
    let text = Text::new();
    let text = match change {
        Change::Granted(grant) => granted(grant),
        Change::Ruled(rule) => ruled(rule),
        Change::Paused(standing) => match standing.paused {
            Some(since) => text
                .bold("Everything is paused")
                .words(", since ")
                .then(moments::at(since, view.now, view.zone))
                .words(": no call runs until ")
                .command("resume"),
            None => text.words("Done."),
        },
        Change::Count(count) => text.bold("Done").words(", changed: ").count(*count),
    };
    signed(text, by).pages()
}

/// A grant that was made.
pub(super) fn granted(grant: &Grant) -> Text {
    Text::new()
        .bold("Permitted")
        .words(": grant ")
        .count(grant.id)
        .words(", ")
        .code(&Shown::line(grant.pattern.as_str()))
        .words(" for ")
        .then(moments::span(grant.lasts()))
        .then(match grant.limits.to_string() {
            none if none.is_empty() => Text::new(),
            limits => Text::new().words(", ").code(&Shown::line(&limits)),
        })
        .words(". End it with ")
        .code(&Shown::line(&format!("/revoke {}", grant.id)))
}

/// A rule that was made.
pub(super) fn ruled(rule: &Rule) -> Text {
    let word = match rule.action {
        Action::Allow => "Permitted from now on",
        Action::RequireApproval => "Asks from now on",
        Action::Deny => "Denied from now on",
    };
    Text::new()
        .bold(word)
        .words(": rule ")
        .count(rule.id)
        .words(", ")
        .code(&Shown::line(rule.pattern.as_str()))
        .words(". End it with ")
        .code(&Shown::line(&format!("/unrule {}", rule.id)))
}

/// A person thought better of it: this one, where several could have.
#[must_use]
pub fn nothing_done(by: Option<i64>) -> Vec<Message> {
    signed(Text::new().words("Nothing was changed."), by).pages()
}

fn signed(text: Text, by: Option<i64>) -> Text {
    match by {
        None => text,
        Some(user) => text.words("\nBy ").code(&Shown::line(&format!("telegram user {user}"))),
    }
}
