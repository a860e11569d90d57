//! `portero check`: everything that is wrong with the configuration, at once. It needs no daemon.

use portero::config::{self, Config, Problem, Problems, Severity};
use serde_json::json;

use super::Context;
use crate::failure::{Failure, Outcome};

pub(super) fn run(context: &Context) -> Outcome {
    let (config, problems) = read(context)?;
    context.output.show(&shape(context, config.as_ref(), &problems), |out| {
        if !problems.0.is_empty() {
            out.line(problems.to_string().trim_end())?;
        }
        match &config {
            Some(config) => out.line(format_args!(
                "{} is valid: {} servers, {} skipped, {} policy entries, {} replacements",
                context.paths.config.display(),
                config.servers.len(),
                config.skipped.len(),
                config.policy.entries.len(),
                config.replacements.len()
            )),
            None => Ok(()),
        }
    })?;
    match config {
        Some(_) => Ok(()),
        None if context.output.json() => Err(Failure::said_of_configuration()),
        None => Err(Failure::usage(format!(
            "the configuration in `{}` is not valid",
            context.paths.config.display()
        ))
        .hint("mend what is named above, then run `portero check` again")),
    }
}

/// Reads the configuration by this process's environment.
pub(super) fn read(context: &Context) -> Outcome<(Option<Config>, Problems)> {
    let files = config::Files::load(&context.paths.config).map_err(|error| {
        Failure::usage(format!("could not read `{}`", context.paths.config.display())).because(&error)
    })?;
    Ok(config::read(&files, &|name| std::env::var(name).ok()))
}

/// Reads the configuration, and fails with everything that is wrong with it.
pub(super) fn valid(context: &Context) -> Outcome<Config> {
    let (config, problems) = read(context)?;
    config.ok_or_else(|| {
        context.output.talk(problems.to_string().trim_end());
        Failure::usage(format!("the configuration in `{}` is not valid", context.paths.config.display()))
            .hint("run `portero check`")
    })
}

fn shape(context: &Context, config: Option<&Config>, problems: &Problems) -> serde_json::Value {
    let problem = |problem: &Problem| {
        json!({
            "severity": match problem.severity { Severity::Warning => "warning", Severity::Error => "error" },
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
            "snippet": problem.snippet,
            "hint": problem.hint,
        })
    };
    json!({
        "directory": context.paths.config,
        "valid": config.is_some(),
        "servers": config.map(|config| config.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>()),
        "problems": problems.0.iter().map(problem).collect::<Vec<_>>(),
    })
}
