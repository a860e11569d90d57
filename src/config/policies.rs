//! `policies.json`: allowed, denied and asking patterns, entries that look at arguments (`{"cases": […],
//! "otherwise": …}`), and the tools that only read.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{ConfigDocument, join_quoted, nearest_word};
use super::fields;
use super::snippet::escape_for_display;
use super::variables::Variables;
use crate::anonymize::ReplacementRule;
use crate::names::{BUILTIN_SERVER, ServerName};
use crate::pattern::Pattern;
use crate::policy::condition::{
    ArgumentCondition, CommandMatcher, Comparison, Decimal, Folder, JsonPointer, PolicyCase, TextMatcher,
    ValueTest,
};
use crate::policy::{Action, ConfigPolicy, DecisionSource, PolicyEntry};

/// Words that people write for an action, with the action that they mean.
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
                    read_cases(document, value, &format!("`{}`", escape_for_display(text)), known)
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
    for (at, text) in document.read_strings(file.get("reads"), "`reads`").unwrap_or_default() {
        policy.reads.extend(read_pattern(document, at, text, servers));
    }
    policy
}

/// Reads a pattern. Warns if it names an unknown server.
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

fn read_action<'a>(
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
        // Only a word that is nearly an action is shown. Anything else could be a value.
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

/// The tables that reading cases needs.
#[derive(Clone, Copy)]
struct CaseContext<'a> {
    variables: &'a Variables<'a>,
    replacements: &'a [ReplacementRule],
}

/// Reads the cases of one entry and its `otherwise`. `what` names the entry.
fn read_cases<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<(Vec<PolicyCase>, Action)> {
    let entry = document.read_object(value, what, &[fields::CONDITIONAL])?;
    let otherwise = match entry.get("otherwise") {
        Some(value) => read_action(document, value, &format!("`otherwise` of {what}"), known.variables),
        None => {
            let hint = "it says what holds when no case matches; `require-approval` asks a person".to_owned();
            document.add_error(entry.at, format!("{what} has no `otherwise`"), Some(hint));
            None
        }
    };
    let Some(cases) = entry.get("cases") else {
        document.add_error(
            entry.at,
            format!("{what} has no `cases`"),
            Some("write the action alone".to_owned()),
        );
        return None;
    };
    let values = document.read_array(cases, &format!("`cases` of {what}"));
    if values.is_empty() {
        document.add_error(cases.start(), format!("`cases` of {what} must not be empty"), None);
    }
    // Collected before the first failure ends it, so that the problems of all cases are reported together.
    let read: Vec<_> = (1..)
        .zip(values)
        .map(|(number, value)| read_case(document, value, number, &format!("case {number} of {what}"), known))
        .collect();
    Some((read.into_iter().collect::<Option<_>>()?, otherwise?))
}

fn read_case<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    number: u32,
    what: &str,
    known: CaseContext<'_>,
) -> Option<PolicyCase> {
    let members = document.read_object(value, what, &[fields::CASE])?;
    for name in fields::CASE {
        if members.get(name).is_none() {
            document.add_error(members.at, format!("{what} has no `{name}`"), None);
        }
    }
    let action = members
        .get("then")
        .and_then(|value| read_action(document, value, &format!("`then` of {what}"), known.variables));
    let when = members
        .get("when")
        .and_then(|value| read_conditions(document, value, &format!("`when` of {what}"), known));
    let (line, column) = document.line_and_column(value.start());
    Some(PolicyCase { when: when?, action: action?, number, source: DecisionSource::Config { line, column } })
}

fn read_conditions<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<Vec<ArgumentCondition>> {
    let members = document.read_map(value, what)?;
    if members.is_empty() {
        let hint = "a case without a condition would always match; use `otherwise`".to_owned();
        document.add_error(value.start(), format!("{what} must not be empty"), Some(hint));
        return None;
    }
    let mut conditions = Vec::new();
    let mut whole = true;
    for (text, (at, value)) in members {
        let pointer = JsonPointer::parse(text)
            .map_err(|error| document.add_error(at, format!("{what}: {error}"), None));
        let what = format!("`{}` in {what}", escape_for_display(text));
        let tests = read_tests(document, value, &what, known);
        match (pointer, tests) {
            (Ok(pointer), Some(tests)) => {
                conditions.extend(
                    tests.into_iter().map(|test| ArgumentCondition { pointer: pointer.clone(), test }),
                );
            }
            _ => whole = false,
        }
    }
    whole.then_some(conditions)
}

fn read_tests<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<Vec<ValueTest>> {
    let members = document.read_object(value, what, &[fields::TEST])?;
    let given: Vec<_> = fields::TEST.iter().filter_map(|name| Some((*name, members.get(name)?))).collect();
    if given.is_empty() {
        let hint = format!("the tests are {}", join_quoted(fields::TEST));
        document.add_error(members.at, format!("{what} must not be empty"), Some(hint));
    }
    let tests: Vec<_> = given
        .into_iter()
        .map(|(name, value)| read_test(document, name, value, &format!("`{name}` of {what}"), known))
        .collect();
    tests.into_iter().collect::<Option<Vec<_>>>().filter(|tests| !tests.is_empty())
}

fn read_test<'a>(
    document: &mut ConfigDocument<'a>,
    name: &str,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<ValueTest> {
    let side = match name {
        "above" => Comparison::Above,
        "below" => Comparison::Below,
        "atLeast" => Comparison::AtLeast,
        "atMost" => Comparison::AtMost,
        "equals" => return read_equals(document, value, what, known),
        "command" => return read_command(document, value, what, known),
        // A glob, a regular expression or a folder.
        _ => {
            let text = read_test_text(document, value, what, known)?;
            let read = match name {
                "glob" => TextMatcher::glob(&text)
                    .map(ValueTest::Matches)
                    .map_err(|_| "the glob is too long".to_owned()),
                "regex" => TextMatcher::regex(&text)
                    .map(ValueTest::Matches)
                    .map_err(|error| describe_regex_error(&error)),
                _ => Folder::parse(&text).map(ValueTest::Under).map_err(|error| error.to_string()),
            };
            return read
                .map_err(|error| document.add_error(value.start(), format!("{what}: {error}"), None))
                .ok();
        }
    };
    read_decimal(document, value, what).map(|bound| ValueTest::Bound(side, bound))
}

fn read_equals<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<ValueTest> {
    match value {
        Value::StringLit(_) => read_test_text(document, value, what, known).map(ValueTest::Text),
        Value::NumberLit(_) => read_decimal(document, value, what).map(ValueTest::Number),
        Value::BooleanLit(flag) => Some(ValueTest::Flag(flag.value)),
        Value::NullKeyword(_) => Some(ValueTest::Null),
        Value::Object(_) | Value::Array(_) => {
            let hint = "point to one of its members instead".to_owned();
            let message = format!("{what} must be a text, a number, true, false or null");
            document.add_error(value.start(), message, Some(hint));
            None
        }
    }
}

/// One pattern of commands, or a list of them.
fn read_command<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<ValueTest> {
    let values: Vec<_> = match value {
        Value::Array(array) => array.elements.iter().collect(),
        _ => vec![value],
    };
    let texts: Vec<_> =
        values.into_iter().map(|value| read_test_text(document, value, what, known)).collect();
    let texts: Vec<_> = texts.into_iter().collect::<Option<_>>()?;
    CommandMatcher::parse(texts.iter().map(String::as_str))
        .map(ValueTest::Command)
        .map_err(|error| document.add_error(value.start(), format!("{what}: {error}"), None))
        .ok()
}

fn read_decimal<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>, what: &str) -> Option<Decimal> {
    let Value::NumberLit(number) = value else {
        document.add_error(value.start(), format!("{what} must be a number"), None);
        return None;
    };
    let read = Decimal::parse(number.value);
    if read.is_none() {
        document.add_error(value.start(), format!("{what}: the number's exponent is too large"), None);
    }
    read
}

/// Reads a text that arguments are compared with. Arguments are concealed at that point, so a real value in it
/// could never match.
fn read_test_text<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    known: CaseContext<'_>,
) -> Option<String> {
    let expanded = document.read_expanded_complete(value, what, known.variables)?;
    let text = expanded.text.expose().to_owned();
    // Case is ignored whatever the rule says: a false alarm here is harmless, a condition that never matches
    // isn't.
    let small = text.to_lowercase();
    let is_real = |rule: &&ReplacementRule| small.contains(&rule.real.expose().to_lowercase());
    if let Some(rule) = known.replacements.iter().find(is_real) {
        let hint = format!(
            "rules see the arguments as the agent wrote them; write `{}`",
            escape_for_display(&rule.fake)
        );
        document.add_error(
            value.start(),
            format!("{what} holds the real value of a replacement"),
            Some(hint),
        );
        return None;
    }
    Some(text)
}

/// Describes the problem of a regular expression, without the expression.
fn describe_regex_error(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        other => {
            let text = other.to_string();
            let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("not a regular expression: {problem}")
        }
    }
}
