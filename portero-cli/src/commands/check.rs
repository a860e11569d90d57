//! `portero check`: everything that is wrong with the configuration, at once. It needs no daemon.

use portero::anonymize::Direction;
use portero::approved_config::{self, EffectiveConfig};
use portero::config::{self, Config, ConfigProblem, ConfigProblems, Severity};
use portero::pattern::Pattern;
use serde_json::json;

use super::CommandContext;
use crate::failure::{CommandFailure, CommandResult};
use crate::suggestions::KnownTools;

pub(super) fn run(context: &CommandContext) -> CommandResult {
    let (config, problems) = load_config(context);
    context.output.print_value_or_text(&check_json(context, config.as_ref(), &problems), |out| {
        if !problems.0.is_empty() {
            out.print_line(problems.to_string().trim_end())?;
        }
        match &config {
            Some(config) => {
                let replacements =
                    config.replacements.iter().filter(|rule| rule.direction != Direction::Injected).count();
                out.print_line(format_args!(
                    "{} is valid: {}, {} skipped, {}, {}",
                    context.paths.config.display(),
                    pluralize(config.servers.len(), "server", "servers"),
                    config.skipped.len(),
                    pluralize(config.policy.entries.len(), "policy entry", "policy entries"),
                    pluralize(replacements, "replacement", "replacements"),
                ))
            }
            None => Ok(()),
        }
    })?;
    if let Ok(EffectiveConfig { changes, .. }) = load_config_in_force(context)
        && changes.has_pending()
    {
        context.output.print_note(format!(
            "note: {} not in force; look with `portero config diff`, then run `portero config confirm`",
            match changes.widens.len() {
                1 => "1 change waits for a confirmation and is".to_owned(),
                count => format!("{count} changes wait for a confirmation and are"),
            }
        ));
    }
    match config {
        Some(_) => Ok(()),
        None if context.output.wants_json() => Err(CommandFailure::already_reported()),
        None => Err(CommandFailure::usage(format!(
            "the configuration in `{}` is not valid",
            context.paths.config.display()
        ))
        .with_hint(
            "mend what is named above, then run `portero check` again; what runs keeps the last valid one",
        )),
    }
}

fn pluralize(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reads the configuration by this process's environment.
pub(super) fn load_config(context: &CommandContext) -> (Option<Config>, ConfigProblems) {
    match config::ConfigFiles::load(&context.paths.config) {
        Ok(files) => config::read_config(&files, &|name| std::env::var(name).ok()),
        Err(problems) => (None, problems),
    }
}

/// What is in force of the configuration, as far as that can be told without the daemon, or what is wrong with it.
pub(super) fn load_config_in_force(context: &CommandContext) -> Result<EffectiveConfig, ConfigProblems> {
    let files = config::ConfigFiles::load(&context.paths.config)?;
    let confirmed = approved_config::read_approved(&context.paths);
    approved_config::effective_config(&confirmed, &files, &|name| std::env::var(name).ok())
}

/// Says so where a pattern names a server or tool that is not there: it may come, or be mistyped.
pub(super) fn hint_unknown_pattern(context: &CommandContext, pattern: &Pattern) {
    if let (Some(config), _) = load_config(context)
        && let Some(hint) = KnownTools::load(&config, &context.paths).hint_for_pattern(pattern)
    {
        context.output.print_note(format!("note: {hint}"));
    }
}

/// Reads the configuration, and fails with everything that is wrong with it.
pub(super) fn load_valid_config(context: &CommandContext) -> CommandResult<Config> {
    let (config, problems) = load_config(context);
    config.ok_or_else(|| {
        context.output.print_note(problems.to_string().trim_end());
        CommandFailure::usage(format!(
            "the configuration in `{}` is not valid",
            context.paths.config.display()
        ))
        .with_hint("run `portero check`")
    })
}

fn check_json(
    context: &CommandContext,
    config: Option<&Config>,
    problems: &ConfigProblems,
) -> serde_json::Value {
    let problem = |problem: &ConfigProblem| {
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
