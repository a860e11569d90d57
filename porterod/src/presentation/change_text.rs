//! What an act changes for each tool, and the grant or rule that it made, as texts of cards and answers.

use portero::ipc::Act;
use portero::names::ToolId;
use portero::policy::{Action, Grant, GrantLimits, PolicyRule};

use super::text::{EscapedText, StyledText};
use super::time_format;

/// Adds the tools of an act's preview, with what it changes for each.
pub(super) fn append_tools(text: StyledText, what: &Act, tools: &[(ToolId, Action)]) -> StyledText {
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
    if names_one_tool(what) {
        return text;
    }
    text.on_new_line().literal("Tools that servers add later and that match are covered too.")
}

/// Whether the act is about a single tool by its literal name.
fn names_one_tool(what: &Act) -> bool {
    match what {
        Act::Grant(pattern, ..) | Act::Allow(pattern) | Act::RemoveRule(_, pattern, _) => pattern.is_exact(),
        _ => false,
    }
}

/// Whether the act changes this decision, and how; none if the decision doesn't concern it.
const fn tool_change(what: &Act, now: Action) -> Option<(bool, &'static str)> {
    match (what, now) {
        (Act::Grant(_, _, GrantLimits { arguments: Some(_), .. }), Action::RequireApproval) => {
            Some((true, "asks now → such calls would run unasked"))
        }
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
        .literal(". It stays until you end it with ")
        .code(&EscapedText::line(&format!("/unrule {}", rule.id)))
}
