//! `replacements.json`: which real values stand behind which fakes.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{Document, Members, nearest};
use super::fields;
use super::variables::Variables;
use crate::anonymize::{Direction, Rule};
use crate::names::ServerName;

/// What the agent sees in place of a one-way value when nothing else is said.
const REDACTED: &str = "***REDACTED***";

/// The rules, and where each stands in the file.
pub(super) struct Replacements {
    pub(super) rules: Vec<Rule>,
    pub(super) places: Vec<usize>,
}

pub(super) fn read<'a>(
    document: &mut Document<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
) -> Replacements {
    let mut found = Replacements { rules: Vec::new(), places: Vec::new() };
    let file = root.and_then(|root| document.object(root, "replacements.json", &[fields::REPLACEMENTS]));
    let Some(list) = file.as_ref().and_then(|file| file.get("replacements")) else { return found };
    for value in document.array(list, "`replacements`") {
        let Some(entry) = document.object(value, "a replacement", &[fields::REPLACEMENT]) else { continue };
        if let Some(rule) = rule(document, &entry, variables, servers) {
            found.rules.push(rule);
            found.places.push(entry.at);
        }
    }
    found
}

fn rule<'a>(
    document: &mut Document<'a>,
    entry: &Members<'_, 'a>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
) -> Option<Rule> {
    let fake = text(document, entry, "fake", variables);
    let real = text(document, entry, "real", variables);
    let redaction = entry
        .get("responseReplacement")
        .and_then(|value| document.whole_text(value, "`responseReplacement`", variables));
    let both = document.flag(entry.get("bidirectional"), "`bidirectional`", true);
    if let (true, Some(value)) = (both, entry.get("responseReplacement")) {
        let message = "`responseReplacement` has no effect: this replacement works both ways";
        let hint = "write \"bidirectional\": false, or remove it".to_owned();
        document.warn(value.start(), message.into(), Some(hint));
    }
    let case_sensitive = document.flag(entry.get("caseSensitive"), "`caseSensitive`", true);
    let label = entry.get("label").and_then(|value| label(document, value));
    let servers = entry.get("servers").map(|value| scope(document, value, servers));
    let redaction = redaction.map_or_else(|| REDACTED.to_owned(), |text| text.text.expose().to_owned());
    Some(Rule {
        fake: fake?.text.expose().to_owned(),
        real: real?.text,
        direction: if both { Direction::Both } else { Direction::OneWay { redaction } },
        case_sensitive,
        label,
        servers,
    })
}

fn text<'a>(
    document: &mut Document<'a>,
    entry: &Members<'_, 'a>,
    field: &str,
    variables: &Variables<'_>,
) -> Option<super::variables::Expanded> {
    match entry.get(field) {
        Some(value) => document.whole_text(value, &format!("`{field}`"), variables),
        None => {
            document.error(entry.at, format!("this replacement has no `{field}`"), None);
            None
        }
    }
}

/// A label is told to the agent, so it is a plain word or two.
fn label(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::StringLit(text) => text.value.as_ref(),
        _ => "",
    };
    let plain = |c: char| c.is_alphanumeric() || " _-.".contains(c);
    if text.trim().is_empty() || text.chars().count() > 40 || !text.chars().all(plain) {
        let message = "`label` must be a word such as \"name\" or \"email\", at most 40 letters";
        document.error(value.start(), message.into(), None);
        return None;
    }
    Some(text.trim().to_owned())
}

/// The servers of a scope. Nobody of that name means that nothing is revealed there: safe, but seldom meant.
fn scope<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    known: Option<&[ServerName]>,
) -> Vec<ServerName> {
    let mut servers = Vec::new();
    for (at, name) in document.strings(Some(value), "`servers`").unwrap_or_default() {
        match name.parse::<ServerName>() {
            Ok(name) => {
                if let Some(known) = known.filter(|known| !known.contains(&name)) {
                    let hint = nearest(name.as_str(), known.iter().map(ServerName::as_str));
                    let hint = hint.map(|near| format!("did you mean `{near}`?"));
                    document.warn(at, format!("no server in mcps.json is called `{name}`"), hint);
                }
                servers.push(name);
            }
            Err(error) => document.error(at, format!("`servers`: {error}"), None),
        }
    }
    servers
}
