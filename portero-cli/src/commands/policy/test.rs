//! `portero policy test FILE`: cases with the action that each should get. Only the files count, no rule and no
//! grant, so a test says the same on every machine.

use std::path::Path;

use portero::clock::{Clock as _, SystemClock};
use portero::files;
use portero::json::{self, RawJson};
use portero::names::ToolId;
use portero::policy::{Action, Decision, Overrides, Policy};
use serde::{Deserialize, Serialize};

use crate::commands::{CommandContext, call_arguments, check};
use crate::failure::{CommandFailure, CommandResult};

/// One case of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyCase {
    tool: ToolId,
    arguments: Option<RawJson>,
    expect: Action,
}

/// What became of it.
#[derive(Serialize)]
struct CaseOutcome {
    case: usize,
    tool: ToolId,
    expected: Action,
    holds: bool,
    decision: Decision,
}

pub(super) fn run(context: &CommandContext, file: &Path) -> CommandResult {
    let cases = read_cases(file)?;
    let config = check::load_valid_config(context)?;
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    let mut tried = Vec::with_capacity(cases.len());
    for (at, PolicyCase { tool, arguments, expect: expected }) in cases.into_iter().enumerate() {
        let arguments =
            arguments.map(|arguments| call_arguments::conceal_arguments(&config, arguments)).transpose()?;
        let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
        let decision = policy.decide(&tool, arguments, None, SystemClock.now());
        tried.push(CaseOutcome {
            case: at + 1,
            tool,
            expected,
            holds: decision.action == expected,
            decision,
        });
    }
    let wrong = tried.iter().filter(|tried| !tried.holds).count();
    context.output.print_value_or_text(&tried, |out| {
        for CaseOutcome { case, tool, expected, decision, .. } in tried.iter().filter(|tried| !tried.holds) {
            out.print_line(format_args!("case {case}: {tool}"))?;
            out.print_line(format_args!("  - {expected}"))?;
            out.print_line(format_args!("  + {}: {decision}", decision.action))?;
        }
        out.print_line(format_args!("{} of {} cases are as expected", tried.len() - wrong, tried.len()))
    })?;
    match wrong {
        0 => Ok(()),
        wrong => {
            Err(CommandFailure::refused(format!("{wrong} of {} cases are not as expected", tried.len()))
                .with_hint("a line with - is what the file expects, one with + what holds"))
        }
    }
}

fn read_cases(file: &Path) -> CommandResult<Vec<PolicyCase>> {
    let about = || format!("could not read the cases in `{}`", file.display());
    let hint = r#"it is a list of {"tool": "server/tool", "arguments": {…}, "expect": "allow"}"#;
    let text =
        files::read_argument_file(file).map_err(|error| CommandFailure::usage(about()).caused_by(&error))?;
    let parse = |text: String| {
        let whole = json::parse_raw(text)?;
        json::refuse_duplicate_keys(&whole)?;
        serde_json::from_str::<Vec<PolicyCase>>(whole.get())
    };
    let cases =
        parse(text).map_err(|error| CommandFailure::usage(about()).caused_by(&error).with_hint(hint))?;
    if cases.is_empty() {
        return Err(
            CommandFailure::usage(about()).with_hint("there is no case in it, so nothing would be tested")
        );
    }
    Ok(cases)
}
