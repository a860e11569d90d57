//! The arguments of Portero's own tools, checked so that an error names the nearest valid word.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::BuiltinTool;
use crate::json::{self, RawObject};
use crate::names::TaskId;
use crate::pipeline::Refusal;

/// Arguments whose names are all known.
pub(in crate::session) struct BuiltinArguments<'a>(RawObject<'a>);

impl BuiltinTool {
    const fn argument_names(self) -> &'static [&'static str] {
        match self {
            Self::SearchTools => &["query", "category"],
            Self::Call | Self::Explain => &["tool", "args"],
            Self::CheckTask => &["task_id", "wait_seconds"],
            Self::ListTasks => &["status", "limit"],
            Self::CancelTask => &["task_id"],
        }
    }

    /// Other words for an argument: MCP's own, and that of the pending answer.
    const fn argument_synonyms(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Call | Self::Explain => &[("arguments", "args")],
            Self::CheckTask | Self::CancelTask => &[("taskId", "task_id")],
            Self::SearchTools | Self::ListTasks => &[],
        }
    }
}

impl<'a> BuiltinArguments<'a> {
    /// Reads the `arguments` of a call. A missing or null member means no arguments.
    pub(in crate::session) fn read(
        own: BuiltinTool,
        arguments: Option<&'a RawValue>,
    ) -> Result<Self, String> {
        let Some(arguments) = arguments.filter(|value| value.get() != "null") else {
            return Ok(Self(RawObject::default()));
        };
        // Parsers disagree on which of two equal keys counts, so the arguments could be read in two ways.
        json::refuse_duplicate_keys(arguments)
            .map_err(|error| format!("the arguments are not acceptable: {error}"))?;
        let object = RawObject::read(arguments).map_err(|_| "`arguments` must be an object".to_owned())?;
        let (known, synonyms) = (own.argument_names(), own.argument_synonyms());
        let is_known = |key: &str| known.contains(&key) || synonyms.iter().any(|(other, _)| *other == key);
        if let Some((unknown, _)) = object.iter().find(|(key, _)| !is_known(key)) {
            return Err(unknown_argument_message(own, unknown));
        }
        synonyms.iter().try_fold(object, unify_synonym).map(Self)
    }

    /// An optional text.
    pub(in crate::session) fn optional_text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.non_null(key)
            .map(|value| {
                json::as_text(value).ok_or_else(|| Refusal::Invalid(format!("`{key}` must be a text")))
            })
            .transpose()
    }

    /// A required text.
    pub(in crate::session) fn required_text(&self, key: &str) -> Result<Cow<'a, str>, Refusal> {
        self.optional_text(key)?.ok_or_else(|| Refusal::Invalid(format!("the argument `{key}` is missing")))
    }

    /// The required task id.
    pub(in crate::session) fn task_id(&self) -> Result<TaskId, Refusal> {
        let id = self.required_text("task_id")?;
        id.trim().parse().map_err(|wrong| Refusal::Invalid(format!("`task_id`: {wrong}")))
    }

    /// An optional whole number within bounds.
    pub(in crate::session) fn optional_number(
        &self,
        key: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, Refusal> {
        let wrong = || Refusal::Invalid(format!("`{key}` must be a whole number from {least} to {most}"));
        self.non_null(key)
            .map(|value| {
                value.get().parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
            })
            .transpose()
    }

    /// An optional object.
    pub(in crate::session) fn optional_object(&self, key: &str) -> Result<Option<&'a RawValue>, Refusal> {
        match self.non_null(key) {
            Some(value) if !value.get().trim_start().starts_with('{') => {
                Err(Refusal::Invalid(format!("`{key}` must be an object, not a text or a list")))
            }
            value => Ok(value),
        }
    }

    fn non_null(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).filter(|value| value.get() != "null")
    }
}

/// The arguments with the value of a synonym under the argument's own name. Two values that differ are an error, since
/// either could be the one that was meant.
fn unify_synonym<'a>(
    arguments: RawObject<'a>,
    (synonym, name): &(&'static str, &'static str),
) -> Result<RawObject<'a>, String> {
    let value = |key| arguments.get(key).filter(|value| value.get() != "null");
    match (value(synonym), value(name)) {
        (None, _) => Ok(arguments),
        (Some(other), Some(own)) if json::canonicalize(other).ok() != json::canonicalize(own).ok() => {
            Err(format!(
                "`{name}` and `{synonym}` are the same argument, and their values differ; give one of them"
            ))
        }
        (Some(other), _) => Ok(arguments.with_member(name, other)),
    }
}

fn unknown_argument_message(own: BuiltinTool, unknown: &str) -> String {
    let known = own.argument_names();
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let hint = nearest.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default();
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    format!("portero/{} has no argument `{unknown}`{hint} It takes {list}.", own.name())
        .replace("` It", "`. It")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(own: BuiltinTool, text: &str) -> Result<(), String> {
        BuiltinArguments::read(own, Some(&json::parse_raw(text.to_owned()).expect("JSON"))).map(|_| ())
    }

    #[test]
    fn an_unknown_argument_is_told_with_the_nearest_word() {
        assert_eq!(
            read(BuiltinTool::CheckTask, r#"{"taskid":"x"}"#).expect_err("unknown"),
            "portero/check_task has no argument `taskid`; did you mean `task_id`? It takes `task_id` and \
             `wait_seconds`."
        );
        assert_eq!(
            read(BuiltinTool::Call, r#"{"zzz":1}"#).expect_err("unknown"),
            "portero/call has no argument `zzz`. It takes `tool` and `args`."
        );
        assert!(read(BuiltinTool::Call, r#"{"tool":"a","tool":"b"}"#).expect_err("twice").contains("twice"));
        assert!(read(BuiltinTool::Call, "[]").is_err());
        assert!(read(BuiltinTool::ListTasks, "null").is_ok());
    }

    #[test]
    fn a_synonym_is_the_argument_unless_both_are_given_and_differ() {
        let id = |own, text: &str| {
            let text = json::parse_raw(text.to_owned()).expect("JSON");
            let arguments = BuiltinArguments::read(own, Some(&text))?;
            let name = if own == BuiltinTool::Call { "args" } else { "task_id" };
            Ok::<_, String>(arguments.non_null(name).map(|value| value.get().to_owned()))
        };
        for (own, text, read) in [
            (BuiltinTool::CheckTask, r#"{"taskId":"a"}"#, Some(r#""a""#)),
            (BuiltinTool::CancelTask, r#"{"taskId":"a","task_id":"\u0061"}"#, Some(r#""a""#)),
            (BuiltinTool::CheckTask, r#"{"taskId":"a","task_id":null}"#, Some(r#""a""#)),
            (BuiltinTool::CheckTask, r#"{"taskId":null,"task_id":"a"}"#, Some(r#""a""#)),
            (BuiltinTool::CheckTask, r#"{"taskId":null}"#, None),
            (BuiltinTool::Call, r#"{"arguments":{"n":1}}"#, Some(r#"{"n":1}"#)),
            (BuiltinTool::Call, r#"{"args":{"n":1},"arguments":{ "n": 1 }}"#, Some(r#"{ "n": 1 }"#)),
        ] {
            assert_eq!(id(own, text), Ok(read.map(str::to_owned)), "{text}");
        }
        for (own, text) in [
            (BuiltinTool::CheckTask, r#"{"taskId":"a","task_id":"b"}"#),
            (BuiltinTool::Call, r#"{"args":{"n":1},"arguments":{"n":2}}"#),
        ] {
            assert!(id(own, text).expect_err("they differ").contains("differ"), "{text}");
        }
        assert!(id(BuiltinTool::ListTasks, r#"{"taskId":"a"}"#).is_err());
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let text = json::parse_raw(r#"{"limit":101}"#.to_owned()).expect("JSON");
        let arguments = BuiltinArguments::read(BuiltinTool::ListTasks, Some(&text)).expect("known");
        assert!(arguments.optional_number("limit", 1, 100).is_err());
        assert_eq!(arguments.optional_number("limit", 1, 101), Ok(Some(101)));
    }
}
