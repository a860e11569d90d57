//! `replacements.json`: real values and their fakes.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{CheckedMembers, ConfigDocument, nearest_word};
use super::fields;
use super::secret_names::is_secret_name;
use super::secret_shapes::secrets_by_shape;
use super::variables::{ExpandedText, Variables};
use crate::anonymize::{Direction, MIN_REDACTION_CHARS, MatchMode, ReplacementRule};
use crate::names::ServerName;

/// The redaction of a one-way rule that names none.
const DEFAULT_REDACTION: &str = "***REDACTED***";

/// The rules, with the position of each.
pub(super) struct ParsedReplacements {
    pub(super) rules: Vec<ReplacementRule>,
    pub(super) positions: Vec<usize>,
}

pub(super) fn read_replacements<'a>(
    document: &mut ConfigDocument<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
) -> ParsedReplacements {
    let mut found = ParsedReplacements { rules: Vec::new(), positions: Vec::new() };
    let file = root.and_then(|root| document.read_object(root, "replacements.json", &[fields::REPLACEMENTS]));
    let Some(list) = file.as_ref().and_then(|file| file.get("replacements")) else { return found };
    for value in document.read_array(list, "`replacements`") {
        let Some(entry) = document.read_object(value, "a replacement", &[fields::REPLACEMENT]) else {
            continue;
        };
        if let Some(rule) = read_rule(document, &entry, variables, servers) {
            found.rules.push(rule);
            found.positions.push(entry.at);
        }
    }
    found
}

fn read_rule<'a>(
    document: &mut ConfigDocument<'a>,
    entry: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
    servers: Option<&[ServerName]>,
) -> Option<ReplacementRule> {
    let fake = read_text(document, entry, "fake", variables);
    let real = read_text(document, entry, "real", variables);
    let redaction = entry
        .get("responseReplacement")
        .and_then(|value| document.read_expanded_complete(value, "`responseReplacement`", variables));
    let both = document.read_bool(entry.get("bidirectional"), "`bidirectional`", true);
    if let (true, Some(value)) = (both, entry.get("responseReplacement")) {
        let message = "`responseReplacement` has no effect: this replacement works both ways";
        let hint = "write \"bidirectional\": false, or remove it".to_owned();
        document.add_warning(value.start(), message.into(), Some(hint));
    }
    let case_sensitive = document.read_bool(entry.get("caseSensitive"), "`caseSensitive`", true);
    let matching = entry.get("match").and_then(|value| read_match_mode(document, value));
    let label = entry.get("label").and_then(|value| read_label(document, value));
    let servers = entry.get("servers").map(|value| read_scope(document, value, servers));
    let redaction =
        redaction.map_or_else(|| DEFAULT_REDACTION.to_owned(), |text| text.text.expose().to_owned());
    let is_secret = !both && real.as_ref().is_some_and(|real| is_secret_rule(label.as_deref(), real));
    if is_secret && servers.is_none() {
        let message =
            "this replacement is of a secret and names no `servers`, so its value is revealed to none";
        let hint = "name those that may have it, as in \"servers\": [\"github\"]; or write [], if none may";
        document.add_warning(entry.at, message.into(), Some(hint.into()));
    }
    // Guarantee N6: a secret goes to the servers that are named, and to no other.
    let servers = if is_secret { Some(servers.unwrap_or_default()) } else { servers };
    if !both && redaction.chars().count() < MIN_REDACTION_CHARS {
        let message = format!(
            "`responseReplacement` has fewer than {MIN_REDACTION_CHARS} characters, so Portero can't recognise it when \
             an agent writes it back over the value"
        );
        let hint = "take a text that stands nowhere else, such as \"***API-KEY***\"".to_owned();
        document.add_warning(entry.at, message, Some(hint));
    }
    Some(ReplacementRule {
        fake: fake?.text.expose().to_owned(),
        real: real?.text,
        direction: if both { Direction::Both } else { Direction::OneWay { redaction } },
        case_sensitive,
        matching,
        label,
        servers,
    })
}

/// Whether a one-way rule stands for a secret: its label says so, or its value looks like one.
fn is_secret_rule(label: Option<&str>, real: &ExpandedText) -> bool {
    let value = real.text.expose();
    label.is_some_and(is_secret_name) || secrets_by_shape(value).iter().any(|secret| secret == value)
}

fn read_text<'a>(
    document: &mut ConfigDocument<'a>,
    entry: &CheckedMembers<'_, 'a>,
    field: &str,
    variables: &Variables<'_>,
) -> Option<ExpandedText> {
    match entry.get(field) {
        Some(value) => document.read_expanded_complete(value, &format!("`{field}`"), variables),
        None => {
            document.add_error(entry.at, format!("this replacement has no `{field}`"), None);
            None
        }
    }
}

/// Reads where the values are found.
fn read_match_mode(document: &mut ConfigDocument<'_>, value: &Value<'_>) -> Option<MatchMode> {
    let word = match value {
        Value::StringLit(text) => text.value.as_ref(),
        _ => "",
    };
    match word {
        "word" => Some(MatchMode::Word),
        "substring" => Some(MatchMode::Substring),
        other => {
            let hint =
                nearest_word(other, ["word", "substring"]).map(|near| format!("did you mean \"{near}\"?"));
            document.add_error(value.start(), "`match` must be \"word\" or \"substring\"".into(), hint);
            None
        }
    }
}

/// Reads a label. The agent sees it, so it must be a plain word or two.
fn read_label(document: &mut ConfigDocument<'_>, value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::StringLit(text) => text.value.as_ref(),
        _ => "",
    };
    let plain = |c: char| c.is_alphanumeric() || " _-.".contains(c);
    if text.trim().is_empty() || text.chars().count() > 40 || !text.chars().all(plain) {
        let message = "`label` must be a word such as \"name\" or \"email\", at most 40 letters";
        document.add_error(value.start(), message.into(), None);
        return None;
    }
    Some(text.trim().to_owned())
}

/// Reads the servers of a scope. An unknown server only means that nothing is revealed to it, which is safe
/// but rarely meant, so it draws a warning.
fn read_scope<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    known: Option<&[ServerName]>,
) -> Vec<ServerName> {
    let mut servers = Vec::new();
    for (at, name) in document.read_strings(Some(value), "`servers`").unwrap_or_default() {
        match name.parse::<ServerName>() {
            Ok(name) => {
                if let Some(known) = known.filter(|known| !known.contains(&name)) {
                    let hint = nearest_word(name.as_str(), known.iter().map(ServerName::as_str));
                    let hint = hint.map(|near| format!("did you mean `{near}`?"));
                    document.add_warning(at, format!("no server in mcps.json is called `{name}`"), hint);
                }
                servers.push(name);
            }
            Err(error) => document.add_error(at, format!("`servers`: {error}"), None),
        }
    }
    servers
}
