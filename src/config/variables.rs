//! `${NAME}` and `${NAME:-default}` in configured texts, and references such as `${secret:NAME}`.
//!
//! As in a shell, the default applies if the variable is unset or empty. `$${` is a plain `${`. The
//! environment wins over `.env`. A reference is not looked up here: it becomes a mark in the text (see
//! [`SecretReference`]).

use std::collections::HashMap;

use crate::secret::{self, Secret, SecretReference};

/// The sources of variables.
pub(super) struct Variables<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) dotenv: HashMap<String, Secret>,
    /// Whether the environment counts; used only for the wording of errors.
    pub(super) environment_counts: bool,
}

/// A text with its variables expanded.
#[derive(Debug)]
pub(super) struct ExpandedText {
    pub(super) text: Secret,
    /// The variables whose values are in it, with these values. Defaults aren't included.
    pub(super) sources: Vec<(String, Secret)>,
    /// What it holds that only the daemon looks up.
    pub(super) references: Vec<SecretReference>,
    /// Variables that are unset and have no default.
    pub(super) unset: Vec<String>,
    /// Variables that are set to nothing and have no default.
    pub(super) empty: Vec<String>,
}

/// A `${` that begins neither a variable nor a reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("a `${{` is not closed")]
    Open,
    #[error("a `${{…}}` does not hold the name of a variable")]
    Name,
    #[error("a default must not hold another `${{`")]
    Nested,
    #[error("a text with a reference must not hold a NUL character")]
    Nul,
    #[error(transparent)]
    Reference(#[from] secret::ReferenceError),
}

impl Variables<'_> {
    /// The same without the environment, which is chosen by the program that starts this one.
    pub(super) fn without_environment(&self) -> Variables<'static> {
        Variables { env: &|_| None, dotenv: self.dotenv.clone(), environment_counts: false }
    }

    /// The value of a variable that is set and not empty.
    pub(super) fn non_empty(&self, name: &str) -> Option<Secret> {
        self.lookup(name).filter(|value| !value.expose().is_empty())
    }

    fn lookup(&self, name: &str) -> Option<Secret> {
        (self.env)(name).map(Secret::new).or_else(|| self.dotenv.get(name).cloned())
    }

    pub(super) fn expand(&self, text: &str) -> Result<ExpandedText, ExpandError> {
        let mut put = zeroize::Zeroizing::new(String::with_capacity(text.len()));
        let (mut from, mut unset, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        let mut references = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            // `$${` is an escaped `${`. The second `$` is kept and the first is dropped.
            if rest[..at].ends_with('$') {
                put.push_str(&rest[..at - 1]);
                put.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            put.push_str(&rest[..at]);
            let (reference, after) = rest[at + 2..].split_once('}').ok_or(ExpandError::Open)?;
            rest = after;
            if let Some(parsed) = SecretReference::parse(reference) {
                let parsed = parsed?;
                put.push_str(&parsed.marked());
                references.push(parsed);
                continue;
            }
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            if !is_variable_name(name) {
                return Err(ExpandError::Name);
            }
            if default.is_some_and(|default| default.contains("${")) {
                return Err(ExpandError::Nested);
            }
            match (self.lookup(name), default) {
                (Some(value), _) if !value.expose().is_empty() => {
                    put.push_str(value.expose());
                    from.push((name.to_owned(), value));
                }
                (_, Some(default)) => put.push_str(default),
                (Some(_), None) => empty.push(name.to_owned()),
                (None, None) => unset.push(name.to_owned()),
            }
        }
        put.push_str(rest);
        // Each reference has two marks, and nothing else may look like one.
        if !references.is_empty() && put.matches('\0').count() != 2 * references.len() {
            return Err(ExpandError::Nul);
        }
        Ok(ExpandedText { text: Secret::new(put.as_str()), sources: from, references, unset, empty })
    }
}

/// Whether this is a variable's name: letters, digits and `_`, not beginning with a digit.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<(String, Vec<String>, Vec<String>), ExpandError> {
        let dotenv = [("HOST", "from-file"), ("ONLY", "file")];
        let variables = Variables {
            environment_counts: true,
            env: &|name| match name {
                "HOST" => Some("from-env".into()),
                "NOTHING" => Some(String::new()),
                _ => None,
            },
            dotenv: dotenv.map(|(name, value)| (name.to_owned(), Secret::new(value))).into(),
        };
        variables.expand(text).map(|done| (done.text.expose().to_owned(), done.unset, done.empty))
    }

    fn text(from: &str) -> String {
        expand(from).expect("good references").0
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        assert_eq!(text("a ${HOST} ${ONLY}"), "a from-env file");
    }

    #[test]
    fn a_default_holds_where_nothing_is_set() {
        assert_eq!(text("${GONE:-x:-y}/${NOTHING:-z}/${HOST:-q}/${GONE:-}"), "x:-y/z/from-env/");
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_, unset, empty) = expand("${GONE}${NOTHING}").expect("good references");
        assert_eq!((unset, empty), (vec!["GONE".to_owned()], vec!["NOTHING".to_owned()]));
    }

    #[test]
    fn dollars_that_begin_no_reference_stay() {
        assert_eq!(text("$HOST $5 $$ $${HOST} }"), "$HOST $5 $$ ${HOST} }");
    }

    #[test]
    fn a_broken_reference_is_an_error() {
        assert_eq!(expand("${HOST"), Err(ExpandError::Open));
        assert_eq!(expand("${}"), Err(ExpandError::Name));
        assert_eq!(expand("${1}"), Err(ExpandError::Name));
        assert_eq!(expand("${GONE:-${HOST}}"), Err(ExpandError::Nested));
    }

    #[test]
    fn a_reference_becomes_a_mark_that_no_text_can_hold() {
        let variables = Variables {
            env: &|_| Some("\0secret:b\0".into()),
            dotenv: HashMap::new(),
            environment_counts: true,
        };
        let one = variables.expand("Bearer ${secret:a}").expect("a reference");
        assert_eq!(one.references, one.text.references().collect::<Vec<_>>());
        assert_eq!(one.text.expose(), "Bearer \0secret:a\0");
        assert_eq!(variables.expand("${secret:a}${FORGED}").err(), Some(ExpandError::Nul));
        assert!(variables.expand("${FORGED}").expect("no reference").references.is_empty());
        assert_eq!(text("$${secret:a} ${file:-x}"), "${secret:a} x");
        assert!(matches!(expand("${secret:a b}"), Err(ExpandError::Reference(_))));
        assert_eq!(expand("${file:/a"), Err(ExpandError::Open));
    }
}
