//! One file of JSON with comments: its values with their positions, and its problems.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::time::Duration;

use jsonc_parser::ast::{Object, ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::problem::{ConfigProblem, Severity};
use super::snippet::{blank_values, escape_for_display};
use super::variables::{ExpandedText, Variables};
use super::{duration, fields};
use crate::secret::SecretReference;

/// A file during its reading.
pub(super) struct ConfigDocument<'a> {
    file: &'static str,
    text: &'a str,
    lines: Vec<usize>,
    /// Where the keys begin; none if the file is no JSON.
    keys: Option<HashSet<usize>>,
    problems: Vec<ConfigProblem>,
}

/// The members of an object whose fields were checked.
pub(super) struct CheckedMembers<'v, 'a> {
    /// Where the object begins.
    pub(super) at: usize,
    members: HashMap<&'v str, &'v Value<'a>>,
}

impl<'v, 'a> CheckedMembers<'v, 'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'v Value<'a>> {
        self.members.get(name).copied()
    }
}

/// Strict JSON, except for comments and trailing commas.
const STRICT_PARSING: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl<'a> ConfigDocument<'a> {
    /// Parses a file. A missing file is no problem, and has no value.
    pub(super) fn open(file: &'static str, text: Option<&'a str>) -> (Self, Option<Value<'a>>) {
        let missing = text.is_none();
        let text = text.unwrap_or_default();
        // Some editors on Windows write a byte-order mark, which is no part of JSON.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut document = Self { file, text, lines, keys: None, problems: Vec::new() };
        if missing {
            return (document, None);
        }
        match parse_to_ast(text, &CollectOptions::default(), &STRICT_PARSING) {
            Ok(parsed) => {
                if let Some(root) = &parsed.value {
                    let mut keys = HashSet::new();
                    collect_keys(root, &mut keys);
                    document.keys = Some(keys);
                } else {
                    let hint = format!("write {{}} in it, or remove it; an empty {file} may be a lost one");
                    document.add_file_problem(Severity::Error, "the file is empty".into(), Some(hint));
                }
                (document, parsed.value)
            }
            Err(error) => {
                let (message, hint) = describe_syntax_error(&error);
                document.add_error(error.range().start, message, hint);
                (document, None)
            }
        }
    }

    pub(super) fn into_problems(self) -> Vec<ConfigProblem> {
        self.problems
    }

    pub(super) fn add_error(&mut self, at: usize, message: String, hint: Option<String>) {
        self.add_problem(Severity::Error, at, message, hint);
    }

    pub(super) fn add_warning(&mut self, at: usize, message: String, hint: Option<String>) {
        self.add_problem(Severity::Warning, at, message, hint);
    }

    /// One-based line and column, in characters.
    pub(super) fn line_and_column(&self, at: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let column = self.text[self.lines[line - 1]..at].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn add_file_problem(&mut self, severity: Severity, message: String, hint: Option<String>) {
        let file = self.file;
        self.problems.push(ConfigProblem {
            severity,
            file: file.into(),
            line: 0,
            column: 0,
            message,
            snippet: None,
            hint,
        });
    }

    fn add_problem(&mut self, severity: Severity, at: usize, message: String, hint: Option<String>) {
        // A parser's position may fall inside a character; go back to its start.
        let at = (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let (line, column) = self.line_and_column(at);
        let start = self.lines[line as usize - 1];
        let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        let is_key = |from: usize, token: &str| match &self.keys {
            Some(keys) => keys.contains(&(start + from)),
            None => is_known_field(token),
        };
        let snippet = blank_values(self.text[start..end].trim_end(), at - start, is_key);
        let snippet = Some(snippet).filter(|snippet| !snippet.is_empty());
        self.problems.push(ConfigProblem {
            severity,
            file: self.file.into(),
            line,
            column,
            message,
            snippet,
            hint,
        });
    }

    /// Reads an object with known fields. Unknown fields and duplicates are errors.
    pub(super) fn read_object<'v>(
        &mut self,
        value: &'v Value<'a>,
        what: &str,
        known: &[&[&str]],
    ) -> Option<CheckedMembers<'v, 'a>> {
        let members = self.read_map(value, what)?;
        for (name, (at, _)) in &members {
            if !known.concat().contains(name) {
                let hint = match nearest_word(name, known.concat()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "the fields are {}",
                        join_quoted(known.concat().iter().skip_while(|name| **name == "$schema"))
                    ),
                };
                self.add_error(
                    *at,
                    format!("{what} has no field `{}`", escape_for_display(name)),
                    Some(hint),
                );
            }
        }
        // `$schema` is for editors. Only its type is checked.
        if let Some((_, schema)) =
            members.iter().find(|(name, _)| *name == "$schema").map(|(_, found)| *found)
        {
            self.read_string(schema, "`$schema`");
        }
        let members = members.into_iter().map(|(name, (_, value))| (name, value)).collect();
        Some(CheckedMembers { at: value.start(), members })
    }

    /// Reads an object with free keys, in order and with their positions. Duplicates are errors.
    pub(super) fn read_map<'v>(
        &mut self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Option<Vec<(&'v str, (usize, &'v Value<'a>))>> {
        let Value::Object(object) = value else {
            self.add_type_error(value, what, "an object `{…}`");
            return None;
        };
        let mut members: Vec<(&str, (usize, &Value<'_>))> = Vec::with_capacity(object.properties.len());
        let mut first: HashMap<&str, usize> = HashMap::new();
        for property in &object.properties {
            let (name, at) = (property.name.as_str(), property.name.start());
            if let Some(before) = first.insert(name, at) {
                let (line, column) = self.line_and_column(before);
                let message = format!("the key `{}` appears twice in {what}", escape_for_display(name));
                self.add_error(
                    at,
                    message,
                    Some(format!("the first one is at {}:{line}:{column}", self.file)),
                );
            } else {
                members.push((name, (at, &property.value)));
            }
        }
        Some(members)
    }

    pub(super) fn read_array<'v>(&mut self, value: &'v Value<'a>, what: &str) -> &'v [Value<'a>] {
        match value {
            Value::Array(array) => &array.elements,
            _ => {
                self.add_type_error(value, what, "a list `[…]`");
                &[]
            }
        }
    }

    pub(super) fn read_string<'v>(&mut self, value: &'v Value<'a>, what: &str) -> Option<&'v str> {
        match value {
            Value::StringLit(text) => Some(&text.value),
            _ => {
                self.add_type_error(value, what, "a text in double quotes");
                None
            }
        }
    }

    /// Reads a list of texts, each with its position.
    pub(super) fn read_strings<'v>(
        &mut self,
        value: Option<&'v Value<'a>>,
        what: &str,
    ) -> Option<Vec<(usize, &'v str)>> {
        let items = self.read_array(value?, what);
        let each = format!("each entry of {what}");
        Some(items.iter().filter_map(|item| Some((item.start(), self.read_string(item, &each)?))).collect())
    }

    pub(super) fn read_bool(&mut self, value: Option<&Value<'a>>, what: &str, default: bool) -> bool {
        match value {
            None => default,
            Some(Value::BooleanLit(flag)) => flag.value,
            Some(other) => {
                self.add_type_error(other, what, "true or false");
                default
            }
        }
    }

    /// Reads a whole number of at least `least`.
    pub(super) fn read_number(&mut self, value: Option<&Value<'a>>, what: &str, least: u64) -> Option<u64> {
        let value = value?;
        let Value::NumberLit(number) = value else {
            self.add_type_error(value, what, "a whole number");
            return None;
        };
        let number = number.value.parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            self.add_error(value.start(), format!("{what} must be a whole number of at least {least}"), None);
        }
        number
    }

    pub(super) fn read_duration(
        &mut self,
        value: Option<&Value<'a>>,
        what: &str,
        default: Duration,
    ) -> Duration {
        let Some(value) = value else { return default };
        let Some(text) = self.read_string(value, what) else { return default };
        duration::parse_duration(text).unwrap_or_else(|error| {
            self.add_error(value.start(), format!("{what}: {error}"), None);
            default
        })
    }

    /// Reads a text and expands its variables. The caller handles unset ones.
    pub(super) fn read_expanded(
        &mut self,
        value: &Value<'a>,
        what: &str,
        variables: &Variables<'_>,
    ) -> Option<ExpandedText> {
        let text = self.read_string(value, what)?;
        match variables.expand(text) {
            Ok(expanded) => Some(expanded),
            Err(error) => {
                let hint = "a variable is written ${NAME} or ${NAME:-default}, a reference ${file:PATH}, ${exec:COMMAND}, \
                            ${keyring:SERVICE/ACCOUNT} or ${secret:NAME}; write $${ for a plain `${`";
                self.add_error(value.start(), format!("{what}: {error}"), Some(hint.to_owned()));
                None
            }
        }
    }

    /// Reads a text that must not be empty and whose variables must all be set and not empty.
    pub(super) fn read_expanded_complete(
        &mut self,
        value: &Value<'a>,
        what: &str,
        variables: &Variables<'_>,
    ) -> Option<ExpandedText> {
        let expanded = self.read_expanded(value, what, variables)?;
        if let Some(reference) = expanded.references.first() {
            self.refuse_reference(value.start(), what, reference);
            return None;
        }
        let missing = [(&expanded.unset, "not set"), (&expanded.empty, "empty")];
        let mut whole = true;
        for (names, how) in missing {
            for name in names {
                let hint = if variables.environment_counts {
                    "set it in the environment, or in the file .env beside this one".to_owned()
                } else {
                    "set it in the file .env beside this one; here the environment does not count".to_owned()
                };
                self.add_error(value.start(), format!("{what}: the variable `{name}` is {how}"), Some(hint));
                whole = false;
            }
        }
        if whole && expanded.text.expose().is_empty() {
            self.add_error(value.start(), format!("{what} must not be empty"), None);
            whole = false;
        }
        whole.then_some(expanded)
    }

    /// Refuses a reference in a text that every session must know, not only the daemon.
    pub(super) fn refuse_reference(&mut self, at: usize, what: &str, reference: &SecretReference) {
        let message = format!("{what} can't hold `{reference}`: it is not looked up here");
        let hint = "it may stand in `env`, `headers`, `url` and `credential_ref` of a server; write a variable here, and its \
                    value into .env";
        self.add_error(at, message, Some(hint.to_owned()));
    }

    fn add_type_error(&mut self, value: &Value<'a>, what: &str, expected: &str) {
        let found = match value {
            Value::StringLit(_) => "a text",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "true or false",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        };
        self.add_error(value.start(), format!("{what} must be {expected}, not {found}"), None);
    }
}

fn collect_keys(value: &Value<'_>, keys: &mut HashSet<usize>) {
    match value {
        Value::Object(Object { properties, .. }) => {
            for property in properties {
                if let ObjectPropName::String(name) = &property.name {
                    keys.insert(name.range.start);
                }
                collect_keys(&property.value, keys);
            }
        }
        Value::Array(array) => array.elements.iter().for_each(|element| collect_keys(element, keys)),
        Value::StringLit(_) | Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
    }
}

/// Whether a token is a known field. In a file that is no JSON, keys can't be told from values, so snippets
/// show only known fields.
fn is_known_field(token: &str) -> bool {
    let tables = [
        fields::MCPS,
        fields::SERVER,
        fields::NAME,
        fields::AUTH,
        fields::OAUTH,
        fields::REPLACEMENTS,
        fields::REPLACEMENT,
        fields::POLICIES,
        fields::CONDITIONAL,
        fields::CASE,
        fields::TEST,
        fields::PORTERO,
        fields::APPROVALS,
        fields::LIMITS,
        fields::LOGGING,
        fields::TELEGRAM,
        fields::QUORUM,
        fields::HTTPS,
        fields::HTTPS_LIMITS,
        fields::HTTPS_OIDC,
        fields::HTTPS_CERTIFICATES,
        fields::HTTPS_CERTIFICATE,
        fields::HTTPS_SCOPE,
    ];
    let name = token.trim_matches('"');
    tables.iter().any(|table| table.contains(&name))
}

/// Describes a parser's error, without the text at which it failed.
fn describe_syntax_error(error: &ParseError) -> (String, Option<String>) {
    let (message, hint) = match error.kind() {
        ParseErrorKind::String(_) => ("a text is not closed, or holds a bad escape".to_owned(), None),
        ParseErrorKind::ExpectedComma => ("a comma is missing before this".to_owned(), None),
        ParseErrorKind::SingleQuotedStringsNotAllowed => {
            ("a text needs double quotes, not single ones".to_owned(), None)
        }
        ParseErrorKind::ExpectedStringObjectProperty => ("a key must be in double quotes".to_owned(), None),
        kind => (
            format!("not JSON: {}", lower_first(&kind.to_string())),
            Some("comments and trailing commas are allowed, all else is plain JSON".to_owned()),
        ),
    };
    (message, hint)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The known word that is nearest to this one, if one is near enough.
#[must_use]
pub fn nearest_word<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let word = plain(word);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &plain(known)), known))
        // A third of the word may differ. Further away, a suggestion would only mislead.
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min()
        .map(|(_, known)| known)
}

/// The words in backquotes, separated by commas.
pub(super) fn join_quoted(words: impl IntoIterator<Item = impl Display>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
