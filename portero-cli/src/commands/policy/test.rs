//! `portero policy test FILE`: cases with the action that each should get. Only the files count, no rule and no
//! grant, so a test says the same on every machine.

use std::path::Path;

use portero::clock::{Clock as _, SystemClock};
use portero::files;
use portero::json::{self, RawJson};
use portero::names::ToolId;
use portero::policy::{Action, Decision, Policy, Standing};
use serde::{Deserialize, Serialize};

use crate::commands::{Context, arguments, check};
use crate::failure::{Failure, Outcome};

/// One case of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    tool: ToolId,
    arguments: Option<RawJson>,
    expect: Action,
}

/// What became of it.
#[derive(Serialize)]
struct Tried {
    case: usize,
    tool: ToolId,
    expected: Action,
    holds: bool,
    decision: Decision,
}

pub(super) fn run(context: &Context, file: &Path) -> Outcome {
    let cases = read(file)?;
    let config = check::valid(context)?;
    let policy = Policy::new(config.policy.clone(), Standing::default());
    let mut tried = Vec::with_capacity(cases.len());
    for (at, Case { tool, arguments, expect: expected }) in cases.into_iter().enumerate() {
        let arguments = arguments.map(|arguments| arguments::conceal(&config, arguments)).transpose()?;
        let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
        let decision = policy.decide(&tool, arguments, None, SystemClock.now());
        tried.push(Tried { case: at + 1, tool, expected, holds: decision.action == expected, decision });
    }
    let wrong = tried.iter().filter(|tried| !tried.holds).count();
    context.output.show(&tried, |out| {
        for Tried { case, tool, expected, decision, .. } in tried.iter().filter(|tried| !tried.holds) {
            out.line(format_args!("case {case}: {tool}"))?;
            out.line(format_args!("  - {expected}"))?;
            out.line(format_args!("  + {}: {decision}", decision.action))?;
        }
        out.line(format_args!("{} of {} cases are as expected", tried.len() - wrong, tried.len()))
    })?;
    match wrong {
        0 => Ok(()),
        wrong => Err(Failure::refused(format!("{wrong} of {} cases are not as expected", tried.len()))
            .hint("a line with - is what the file expects, one with + what holds")),
    }
}

fn read(file: &Path) -> Outcome<Vec<Case>> {
    let about = || format!("could not read the cases in `{}`", file.display());
    let hint = r#"it is a list of {"tool": "server/tool", "arguments": {…}, "expect": "allow"}"#;
    let text = files::read_given(file).map_err(|error| Failure::usage(about()).because(&error))?;
    let parse = |text: String| {
        let whole = json::parse_raw(text)?;
        json::refuse_duplicate_keys(&whole)?;
        serde_json::from_str::<Vec<Case>>(whole.get())
    };
    let cases = parse(text).map_err(|error| Failure::usage(about()).because(&error).hint(hint))?;
    if cases.is_empty() {
        return Err(Failure::usage(about()).hint("there is no case in it, so nothing would be tested"));
    }
    Ok(cases)
}
