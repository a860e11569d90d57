//! `policies.json`: what is allowed, refused, or asked about.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::cases::{self, Known};
use super::document::{Document, nearest};
use super::fields;
use super::snippet::visible;
use super::variables::Variables;
use crate::anonymize::Rule;
use crate::names::{OWN_SERVER, ServerName};
use crate::pattern::Pattern;
use crate::policy::{Action, ConfigPolicy, Entry, Source};

/// Words that people write for an action, and what they mean by them.
const MEANT: [(&str, Action); 16] = [
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

pub(super) fn read<'a>(
    document: &mut Document<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
    replacements: &[Rule],
) -> ConfigPolicy {
    let known = Known { variables, replacements };
    let mut policy = ConfigPolicy::default();
    let Some(root) = root else { return policy };
    let Some(file) = document.object(root, "policies.json", &[fields::POLICIES]) else { return policy };
    if let Some(entries) = file.get("policies") {
        for (text, (at, value)) in document.map(entries, "`policies`").unwrap_or_default() {
            let said = match value {
                Value::Object(_) => cases::read(document, value, &format!("`{}`", visible(text)), known),
                _ => action(document, value, &format!("the action of `{}`", visible(text)), variables)
                    .map(|action| (Vec::new(), action)),
            };
            let pattern = pattern(document, at, text, servers);
            if let (Some(pattern), Some((cases, action))) = (pattern, said) {
                let (line, column) = document.place(at);
                policy.entries.push(Entry {
                    pattern,
                    action,
                    cases,
                    source: Source::Config { line, column },
                });
            }
        }
    }
    if let Some(default) = file.get("defaultPolicy") {
        policy.default =
            action(document, default, "`defaultPolicy`", variables).unwrap_or(Action::RequireApproval);
    }
    for (at, text) in document.strings(file.get("locked"), "`locked`").unwrap_or_default() {
        policy.locked.extend(pattern(document, at, text, servers));
    }
    policy
}

/// A checked pattern; a warning where it names a server that is not known.
pub(super) fn pattern(
    document: &mut Document<'_>,
    at: usize,
    text: &str,
    servers: Option<&[ServerName]>,
) -> Option<Pattern> {
    let pattern: Pattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            let hint = text.contains('$').then(|| "variables are not put into patterns".to_owned());
            document.error(at, format!("bad pattern `{}`: {error}", visible(text)), hint);
            return None;
        }
    };
    let unknown = pattern
        .server()
        .filter(|name| name.as_str() != OWN_SERVER && servers.is_some_and(|known| !known.contains(name)));
    if let Some(name) = unknown {
        let known = servers.unwrap_or_default().iter().map(ServerName::as_str);
        let hint = nearest(name.as_str(), known).map(|near| format!("did you mean `{near}`?"));
        document.warn(at, format!("`{pattern}`: no server in mcps.json is called `{name}`"), hint);
    }
    Some(pattern)
}

pub(super) fn action<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    what: &str,
    variables: &Variables<'_>,
) -> Option<Action> {
    let expanded = document.whole_text(value, what, variables)?;
    let word = expanded.text.expose();
    let known = Action::ALL.into_iter().find(|action| action.as_str() == word);
    if known.is_none() {
        let meant = MEANT.iter().find(|(meant, _)| meant.eq_ignore_ascii_case(word));
        let near = match meant {
            Some((_, action)) => Some(action.as_str()),
            None => nearest(word, Action::ALL.iter().map(|action| action.as_str())),
        };
        // Only a word that is nearly an action is shown: anything else could be a value.
        let message = match near {
            Some(_) if expanded.from.is_empty() => format!("{what}: unknown action `{word}`"),
            _ => format!("{what}: unknown action"),
        };
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the actions are `allow`, `require-approval` and `deny`".to_owned(),
        };
        document.error(value.start(), message, Some(hint));
    }
    known
}
