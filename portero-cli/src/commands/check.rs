//! `portero check`: everything that is wrong with the configuration, at once. It needs no daemon.

use portero::anonymize::Direction;
use portero::config::{self, Config, Problem, Problems, Severity};
use portero::confirmed::{self, InForce};
use portero::pattern::Pattern;
use serde_json::json;

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::nearest::Known;

pub(super) fn run(context: &Context) -> Outcome {
    let (config, problems) = read(context);
    context.output.show(&shape(context, config.as_ref(), &problems), |out| {
        if !problems.0.is_empty() {
            out.line(problems.to_string().trim_end())?;
        }
        match &config {
            Some(config) => {
                let replacements =
                    config.replacements.iter().filter(|rule| rule.direction != Direction::Injected).count();
                out.line(format_args!(
                    "{} is valid: {}, {} skipped, {}, {}",
                    context.paths.config.display(),
                    count(config.servers.len(), "server", "servers"),
                    config.skipped.len(),
                    count(config.policy.entries.len(), "policy entry", "policy entries"),
                    count(replacements, "replacement", "replacements"),
                ))
            }
            None => Ok(()),
        }
    })?;
    if let Ok(InForce { changes, .. }) = in_force(context)
        && changes.waits()
    {
        context.output.talk(format!(
            "note: {} not in force; look with `portero config diff`, then run `portero config confirm`",
            match changes.widens.len() {
                1 => "1 change waits for a confirmation and is".to_owned(),
                count => format!("{count} changes wait for a confirmation and are"),
            }
        ));
    }
    match config {
        Some(_) => Ok(()),
        None if context.output.json() => Err(Failure::said_of_configuration()),
        None => Err(Failure::usage(format!(
            "the configuration in `{}` is not valid",
            context.paths.config.display()
        ))
        .hint(
            "mend what is named above, then run `portero check` again; what runs keeps the last valid one",
        )),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reads the configuration by this process's environment.
pub(super) fn read(context: &Context) -> (Option<Config>, Problems) {
    match config::Files::load(&context.paths.config) {
        Ok(files) => config::read(&files, &|name| std::env::var(name).ok()),
        Err(problems) => (None, problems),
    }
}

/// What is in force of the configuration, as far as that can be told without the daemon, or what is wrong with it.
pub(super) fn in_force(context: &Context) -> Result<InForce, Problems> {
    let files = config::Files::load(&context.paths.config)?;
    let confirmed = confirmed::read(&context.paths);
    confirmed::in_force(&confirmed, &files, &|name| std::env::var(name).ok())
}

/// Says so where a pattern names a server or tool that is not there: it may come, or be mistyped.
pub(super) fn note(context: &Context, pattern: &Pattern) {
    if let (Some(config), _) = read(context)
        && let Some(hint) = Known::of(&config, &context.paths).about_pattern(pattern)
    {
        context.output.talk(format!("note: {hint}"));
    }
}

/// Reads the configuration, and fails with everything that is wrong with it.
pub(super) fn valid(context: &Context) -> Outcome<Config> {
    let (config, problems) = read(context);
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
