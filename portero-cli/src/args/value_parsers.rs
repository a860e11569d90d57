//! Parsers for values on the command line.

use portero::audit::DecisionKind;
use portero::names::{NameError, ToolId};
use portero::policy::{ArgumentPointer, FixedArgument, ScalarValue};
use portero::task::TaskState;

pub(super) fn decision_parser() -> impl clap::builder::TypedValueParser<Value = DecisionKind> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(DecisionKind::ALL.map(DecisionKind::as_str)).map(|text| {
        let same = |decided: &DecisionKind| decided.as_str() == text;
        DecisionKind::ALL.into_iter().find(same).expect("only the decisions' own names are possible")
    })
}

pub(super) fn state_parser() -> impl clap::builder::TypedValueParser<Value = TaskState> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(TaskState::ALL.map(TaskState::as_str))
        .map(|text| text.parse().expect("only the states' own names are possible"))
}

/// The id of a rule or a grant.
pub(super) fn parse_override_id(typed: &str) -> Result<u64, &'static str> {
    typed.parse().map_err(|_| "rules and grants have numbers as ids; `portero rules` lists them")
}

/// Parses a tool's canonical name. The error for an agent's name (`mcp__portero__…`) suggests the canonical
/// one.
pub(super) fn parse_tool_id(typed: &str) -> Result<ToolId, String> {
    let wrong =
        |error: NameError| match typed.strip_prefix("mcp__portero__").unwrap_or(typed).split_once("__") {
            Some((server, name)) if !typed.contains('/') => {
                format!("{error}; did you mean `{server}/{name}`?")
            }
            _ if typed.contains(['*', '?', '{', '[']) => {
                format!("{error}. This command takes one tool, such as `github/create_issue`")
            }
            _ => format!("{error}, such as `github/create_issue`"),
        };
    typed.parse().map_err(wrong)
}

/// Parses an argument's name or JSON Pointer.
pub(super) fn parse_pointer(typed: &str) -> Result<ArgumentPointer, String> {
    ArgumentPointer::parse_typed(typed).map_err(|error| error.to_string())
}

/// Parses `FIELD=VALUE`. The field is a name or a JSON Pointer; the value is JSON, or else a text without quotes.
pub(super) fn parse_fixed_argument(typed: &str) -> Result<FixedArgument, String> {
    let (field, value) = typed.split_once('=').ok_or("write FIELD=VALUE, such as `owner=acme`")?;
    let pointer = ArgumentPointer::parse_typed(field).map_err(|error| error.to_string())?;
    let value = ScalarValue::parse_typed(value).map_err(|error| error.to_string())?;
    Ok(FixedArgument { pointer, value })
}
