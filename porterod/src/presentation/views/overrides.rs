//! The current rules and grants, with the ids that end them.

use std::time::Duration;

use portero::policy::{Action, Overrides};

use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, time_format};

/// The current rules and grants.
#[must_use]
pub fn overrides_text(standing: &Overrides, view: &ViewContext<'_>) -> StyledText {
    append_overrides(StyledText::new(), standing, view)
}

/// As [`overrides_text`], below other text.
pub(super) fn append_overrides(text: StyledText, standing: &Overrides, view: &ViewContext<'_>) -> StyledText {
    let text = match standing.paused {
        None => text,
        Some(since) => text
            .on_new_line()
            .bold("Everything is paused")
            .literal(", since ")
            .append(time_format::format_time(since, view.now, view.zone))
            .literal(": no call runs."),
    };
    if standing.rules.is_empty() && standing.grants.is_empty() {
        return text.on_new_line().literal("No rules and no grants: the configuration alone decides.");
    }
    append_grants(append_rules(text, standing, view), standing, view)
}

fn append_rules(text: StyledText, standing: &Overrides, view: &ViewContext<'_>) -> StyledText {
    if standing.rules.is_empty() {
        return text;
    }
    standing.rules.iter().fold(text.on_new_line().bold("Rules"), |text, rule| {
        let says = match rule.action {
            Action::Allow => " allows ",
            Action::RequireApproval => " asks for ",
            Action::Deny => " denies ",
        };
        text.literal("\n• rule ")
            .number(rule.id)
            .literal(says)
            .code(&EscapedText::line(rule.pattern.as_str()))
            .literal(", ")
            .append(time_format::format_age(rule.made, view.now))
    })
}

fn append_grants(text: StyledText, standing: &Overrides, view: &ViewContext<'_>) -> StyledText {
    if standing.grants.is_empty() {
        return text;
    }
    standing.grants.iter().fold(text.on_new_line().bold("Grants"), |text, grant| {
        let passed = Duration::try_from(view.now.duration_since(grant.made.wall)).unwrap_or_default();
        let text = text
            .literal("\n• grant ")
            .number(grant.id)
            .literal(" permits ")
            .code(&EscapedText::line(grant.pattern.as_str()))
            .literal(", ")
            .append(time_format::format_duration(grant.duration().saturating_sub(passed)))
            .literal(" left");
        let text = match (grant.limits.uses, grant.uses_left()) {
            (Some(uses), Some(left)) => text
                .literal(", ")
                .number(u64::from(left))
                .literal(" of ")
                .number(u64::from(uses.get()))
                .literal(" uses left"),
            (Some(_) | None, Some(_) | None) => text,
        };
        let whom = EscapedText::line(&grant.limits.describe_scope());
        let text = if whom.is_empty() { text } else { text.literal(", ").code(&whom) };
        standing
            .asking_rules_since(grant)
            .fold(text, |text, rule| text.literal(", not where rule ").number(rule.id).literal(" asks"))
    })
}
