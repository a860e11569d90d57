//! Entries of `policies.json` that look at arguments: `{"cases": […], "otherwise": …}`.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::Document;
use super::fields;
use super::policies::action;
use super::snippet::visible;
use super::variables::Variables;
use crate::anonymize::Rule;
use crate::policy::condition::{Case, Condition, Decimal, Folder, Matcher, Pointer, Side, Test};
use crate::policy::{Action, Source};

/// What the reader of cases looks things up in.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) variables: &'a Variables<'a>,
    pub(super) replacements: &'a [Rule],
}

/// Reads the cases of one entry, and what holds otherwise. `what` names the entry.
pub(super) fn read<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    what: &str,
    known: Known<'_>,
) -> Option<(Vec<Case>, Action)> {
    let entry = document.object(value, what, &[fields::CONDITIONAL])?;
    let otherwise = match entry.get("otherwise") {
        Some(value) => action(document, value, &format!("`otherwise` of {what}"), known.variables),
        None => {
            let hint = "it says what holds when no case matches; `require-approval` asks a person".to_owned();
            document.error(entry.at, format!("{what} has no `otherwise`"), Some(hint));
            None
        }
    };
    let Some(cases) = entry.get("cases") else {
        document.error(entry.at, format!("{what} has no `cases`"), Some("write the action alone".to_owned()));
        return None;
    };
    let values = document.array(cases, &format!("`cases` of {what}"));
    if values.is_empty() {
        document.error(cases.start(), format!("`cases` of {what} must not be empty"), None);
    }
    let read: Vec<_> = (1..)
        .zip(values)
        .map(|(number, value)| case(document, value, number, &format!("case {number} of {what}"), known))
        .collect();
    Some((read.into_iter().collect::<Option<_>>()?, otherwise?))
}

fn case<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    number: u32,
    what: &str,
    known: Known<'_>,
) -> Option<Case> {
    let members = document.object(value, what, &[fields::CASE])?;
    for name in fields::CASE {
        if members.get(name).is_none() {
            document.error(members.at, format!("{what} has no `{name}`"), None);
        }
    }
    let action = members
        .get("then")
        .and_then(|value| action(document, value, &format!("`then` of {what}"), known.variables));
    let when = members
        .get("when")
        .and_then(|value| conditions(document, value, &format!("`when` of {what}"), known));
    let (line, column) = document.place(value.start());
    Some(Case { when: when?, action: action?, number, source: Source::Config { line, column } })
}

fn conditions<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    what: &str,
    known: Known<'_>,
) -> Option<Vec<Condition>> {
    let members = document.map(value, what)?;
    if members.is_empty() {
        let hint = "a case without a condition would always match; use `otherwise`".to_owned();
        document.error(value.start(), format!("{what} must not be empty"), Some(hint));
        return None;
    }
    let mut conditions = Vec::new();
    let mut whole = true;
    for (text, (at, value)) in members {
        let pointer =
            Pointer::read(text).map_err(|error| document.error(at, format!("{what}: {error}"), None));
        let what = format!("`{}` in {what}", visible(text));
        let tests = tests(document, value, &what, known);
        match (pointer, tests) {
            (Ok(pointer), Some(tests)) => {
                conditions.extend(tests.into_iter().map(|test| Condition { pointer: pointer.clone(), test }));
            }
            _ => whole = false,
        }
    }
    whole.then_some(conditions)
}

fn tests<'a>(
    document: &mut Document<'a>,
    value: &Value<'a>,
    what: &str,
    known: Known<'_>,
) -> Option<Vec<Test>> {
    let members = document.object(value, what, &[fields::TEST])?;
    let given: Vec<_> = fields::TEST.iter().filter_map(|name| Some((*name, members.get(name)?))).collect();
    if given.is_empty() {
        let hint = format!("the tests are {}", super::document::list(fields::TEST));
        document.error(members.at, format!("{what} must not be empty"), Some(hint));
    }
    let tests: Vec<_> = given
        .into_iter()
        .map(|(name, value)| test(document, name, value, &format!("`{name}` of {what}"), known))
        .collect();
    tests.into_iter().collect::<Option<Vec<_>>>().filter(|tests| !tests.is_empty())
}

fn test<'a>(
    document: &mut Document<'a>,
    name: &str,
    value: &Value<'a>,
    what: &str,
    known: Known<'_>,
) -> Option<Test> {
    let side = match name {
        "above" => Side::Above,
        "below" => Side::Below,
        "atLeast" => Side::AtLeast,
        "atMost" => Side::AtMost,
        "equals" => return equals(document, value, what, known),
        // A glob, a regular expression or a folder.
        _ => {
            let text = text(document, value, what, known)?;
            let read = match name {
                "glob" => {
                    Matcher::glob(&text).map(Test::Matches).map_err(|_| "the glob is too long".to_owned())
                }
                "regex" => Matcher::regex(&text).map(Test::Matches).map_err(|error| why(&error)),
                _ => Folder::read(&text).map(Test::Under).map_err(|error| error.to_string()),
            };
            return read
                .map_err(|error| document.error(value.start(), format!("{what}: {error}"), None))
                .ok();
        }
    };
    number(document, value, what).map(|bound| Test::Bound(side, bound))
}

fn equals<'a>(document: &mut Document<'a>, value: &Value<'a>, what: &str, known: Known<'_>) -> Option<Test> {
    match value {
        Value::StringLit(_) => text(document, value, what, known).map(Test::Text),
        Value::NumberLit(_) => number(document, value, what).map(Test::Number),
        Value::BooleanLit(flag) => Some(Test::Flag(flag.value)),
        Value::NullKeyword(_) => Some(Test::Null),
        Value::Object(_) | Value::Array(_) => {
            let hint = "point to one of its members instead".to_owned();
            let message = format!("{what} must be a text, a number, true, false or null");
            document.error(value.start(), message, Some(hint));
            None
        }
    }
}

fn number<'a>(document: &mut Document<'a>, value: &Value<'a>, what: &str) -> Option<Decimal> {
    let Value::NumberLit(number) = value else {
        document.error(value.start(), format!("{what} must be a number"), None);
        return None;
    };
    let read = Decimal::read(number.value);
    if read.is_none() {
        document.error(value.start(), format!("{what}: the number's exponent is too large"), None);
    }
    read
}

/// A text to compare arguments with. They are concealed when they are compared, so a real value in it would
/// never be met.
fn text<'a>(document: &mut Document<'a>, value: &Value<'a>, what: &str, known: Known<'_>) -> Option<String> {
    let expanded = document.whole_text(value, what, known.variables)?;
    let text = expanded.text.expose().to_owned();
    let small = text.to_lowercase();
    let is_real = |rule: &&Rule| small.contains(&rule.real.expose().to_lowercase());
    if let Some(rule) = known.replacements.iter().find(is_real) {
        let hint =
            format!("rules see the arguments as the agent wrote them; write `{}`", visible(&rule.fake));
        document.error(value.start(), format!("{what} holds the real value of a replacement"), Some(hint));
        return None;
    }
    Some(text)
}

/// What is wrong with a regular expression, without the expression.
fn why(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        other => {
            let text = other.to_string();
            let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("not a regular expression: {problem}")
        }
    }
}
