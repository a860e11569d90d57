//! `policies.json`: what is allowed, refused, or asked about.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::cases::{self, CaseContext};
use super::document::{ConfigDocument, nearest_word};
use super::fields;
use super::snippet::escape_for_display;
use super::variables::Variables;
use crate::anonymize::ReplacementRule;
use crate::names::{BUILTIN_SERVER, ServerName};
use crate::pattern::Pattern;
use crate::policy::{Action, ConfigPolicy, DecisionSource, PolicyEntry};

/// Words that people write for an action, and what they mean by them.
const ACTION_SYNONYMS: [(&str, Action); 16] = [
    ("permit", Action::Allow),
    ("accept", Action::Allow),
    ("approve", Action::Allow),
    ("approved", Action::Allow),
    ("yes", Action::Allow),
    ("block", Action::Deny),
    ("reject", Action::Deny),
    ("refuse", Action::Deny),
    ("forbid", Action::Deny),
    ("no", Action::Deny),
    ("ask", Action::RequireApproval),
    ("approval", Action::RequireApproval),
    ("confirm", Action::RequireApproval),
    ("prompt", Action::RequireApproval),
    ("require", Action::RequireApproval),
    ("requires-approval", Action::RequireApproval),
];

pub(super) fn read_policies<'a>(
    document: &mut ConfigDocument<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
    replacements: &[ReplacementRule],
) -> ConfigPolicy {
    let known = CaseContext { variables, replacements };
    let mut policy = ConfigPolicy::default();
    let Some(root) = root else { return policy };
    let Some(file) = document.read_object(root, "policies.json", &[fields::POLICIES]) else { return policy };
    if let Some(entries) = file.get("policies") {
        for (text, (at, value)) in document.read_map(entries, "`policies`").unwrap_or_default() {
            let said = match value {
                Value::Object(_) => {
                    cases::read_cases(document, value, &format!("`{}`", escape_for_display(text)), known)
                }
                _ => read_action(
                    document,
                    value,
                    &format!("the action of `{}`", escape_for_display(text)),
                    variables,
                )
                .map(|action| (Vec::new(), action)),
            };
            let pattern = read_pattern(document, at, text, servers);
            if let (Some(pattern), Some((cases, action))) = (pattern, said) {
                let (line, column) = document.line_and_column(at);
                policy.entries.push(PolicyEntry {
                    pattern,
                    action,
                    cases,
                    source: DecisionSource::Config { line, column },
                });
            }
        }
    }
    if let Some(default) = file.get("defaultPolicy") {
        policy.default =
            read_action(document, default, "`defaultPolicy`", variables).unwrap_or(Action::RequireApproval);
    }
    for (at, text) in document.read_strings(file.get("locked"), "`locked`").unwrap_or_default() {
        policy.locked.extend(read_pattern(document, at, text, servers));
    }
    policy
}

/// A checked pattern; a warning where it names a server that is not known.
pub(super) fn read_pattern(
    document: &mut ConfigDocument<'_>,
    at: usize,
    text: &str,
    servers: Option<&[ServerName]>,
) -> Option<Pattern> {
    let pattern: Pattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            let hint = text.contains('$').then(|| "variables are not put into patterns".to_owned());
            document.add_error(at, format!("bad pattern `{}`: {error}", escape_for_display(text)), hint);
            return None;
        }
    };
    let unknown = pattern
        .server()
        .filter(|name| name.as_str() != BUILTIN_SERVER && servers.is_some_and(|known| !known.contains(name)));
    if let Some(name) = unknown {
        let known = servers.unwrap_or_default().iter().map(ServerName::as_str);
        let hint = nearest_word(name.as_str(), known).map(|near| format!("did you mean `{near}`?"));
        document.add_warning(at, format!("`{pattern}`: no server in mcps.json is called `{name}`"), hint);
    }
    Some(pattern)
}

pub(super) fn read_action<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    variables: &Variables<'_>,
) -> Option<Action> {
    let expanded = document.read_expanded_complete(value, what, variables)?;
    let word = expanded.text.expose();
    let known = Action::ALL.into_iter().find(|action| action.as_str() == word);
    if known.is_none() {
        let meant = ACTION_SYNONYMS.iter().find(|(meant, _)| meant.eq_ignore_ascii_case(word));
        let near = match meant {
            Some((_, action)) => Some(action.as_str()),
            None => nearest_word(word, Action::ALL.iter().map(|action| action.as_str())),
        };
        // Only a word that is nearly an action is shown: anything else could be a value.
        let message = match near {
            Some(_) if expanded.sources.is_empty() => format!("{what}: unknown action `{word}`"),
            _ => format!("{what}: unknown action"),
        };
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the actions are `allow`, `require-approval` and `deny`".to_owned(),
        };
        document.add_error(value.start(), message, Some(hint));
    }
    known
}
