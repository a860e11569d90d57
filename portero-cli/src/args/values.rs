//! How what is typed is read.

use portero::audit::Decided;
use portero::names::{NameError, ToolId};
use portero::task::State;

pub(super) fn decisions() -> impl clap::builder::TypedValueParser<Value = Decided> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(Decided::ALL.map(Decided::as_str)).map(|text| {
        let same = |decided: &Decided| decided.as_str() == text;
        Decided::ALL.into_iter().find(same).expect("only the decisions' own names are possible")
    })
}

pub(super) fn states() -> impl clap::builder::TypedValueParser<Value = State> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(State::ALL.map(State::as_str))
        .map(|text| text.parse().expect("only the states' own names are possible"))
}

/// The id of a rule or a grant.
pub(super) fn number(typed: &str) -> Result<u64, &'static str> {
    typed.parse().map_err(|_| "rules and grants have numbers as ids; `portero rules` lists them")
}

/// One tool by its canonical name; the name that the agent sees is told what it should have been.
pub(super) fn tool(typed: &str) -> Result<ToolId, String> {
    let wrong =
        |error: NameError| match typed.strip_prefix("mcp__portero__").unwrap_or(typed).split_once("__") {
            Some((server, name)) if !typed.contains('/') => {
                format!("{error}; did you mean `{server}/{name}`?")
            }
            _ if typed.contains(['*', '?', '{', '[']) => {
                format!("{error}. This command tells about one tool, such as `github/create_issue`")
            }
            _ => format!("{error}, such as `github/create_issue`"),
        };
    typed.parse().map_err(wrong)
}
