//! Rules and grants in force, with the ids by which they are ended.

use std::time::Duration;

use portero::policy::{Action, Standing};

use super::super::moments;
use super::super::text::{Message, Shown, Text};
use super::View;

/// Rules and grants in force.
#[must_use]
pub fn rules(standing: &Standing, view: &View<'_>) -> Vec<Message> {
    add(Text::new(), standing, view).pages()
}

/// As [`rules`], below other words.
pub(super) fn add(text: Text, standing: &Standing, view: &View<'_>) -> Text {
    let text = match standing.paused {
        None => text,
        Some(since) => text
            .line()
            .bold("Everything is paused")
            .words(", since ")
            .then(moments::at(since, view.now, view.zone))
            .words(": no call runs."),
    };
    if standing.rules.is_empty() && standing.grants.is_empty() {
        return text.line().words("No rules and no grants: the configuration alone decides.");
    }
    grants(rules_of(text, standing, view), standing, view)
}

fn rules_of(text: Text, standing: &Standing, view: &View<'_>) -> Text {
    if standing.rules.is_empty() {
        return text;
    }
    standing.rules.iter().fold(text.line().bold("Rules"), |text, rule| {
        let says = match rule.action {
            Action::Allow => " allows ",
            Action::RequireApproval => " asks for ",
            Action::Deny => " denies ",
        };
        text.words("\n• rule ")
            .count(rule.id)
            .words(says)
            .code(&Shown::line(rule.pattern.as_str()))
            .words(", ")
            .then(moments::ago(rule.made, view.now))
    })
}

fn grants(text: Text, standing: &Standing, view: &View<'_>) -> Text {
    if standing.grants.is_empty() {
        return text;
    }
    standing.grants.iter().fold(text.line().bold("Grants"), |text, grant| {
        let passed = Duration::try_from(view.now.duration_since(grant.made.wall)).unwrap_or_default();
        let text = text
            .words("\n• grant ")
            .count(grant.id)
            .words(" permits ")
            .code(&Shown::line(grant.pattern.as_str()))
            .words(", ")
            .then(moments::span(grant.lasts().saturating_sub(passed)))
            .words(" left");
        let text = match (grant.limits.uses, grant.uses_left()) {
            (Some(uses), Some(left)) => text
                .words(", ")
                .count(u64::from(left))
                .words(" of ")
                .count(u64::from(uses.get()))
                .words(" uses left"),
            (Some(_) | None, Some(_) | None) => text,
        };
        let whom = Shown::line(&grant.limits.whom());
        let text = if whom.is_empty() { text } else { text.words(", ").code(&whom) };
        standing
            .asked_since(grant)
            .fold(text, |text, rule| text.words(", not where rule ").count(rule.id).words(" asks"))
    })
}
