//! The configuration: its problems (`portero check`, which needs no daemon), and its pending changes
//! (`portero config`).

use portero::anonymize::Direction;
use portero::approved_config::{self, ConfigChange, EffectiveConfig};
use portero::config::{self, Config, ConfigProblem, ConfigProblems, Severity};
use portero::ipc::UnconfirmedConfig;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::pattern::Pattern;
use portero::policy::Action;
use serde_json::json;

use super::CommandContext;
use crate::args::{ConfigCommand, ConfirmationArgs};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, pluralize};
use crate::suggestions::KnownTools;

pub(super) fn check(context: &CommandContext) -> CommandResult {
    let (config, mut problems) = load_config(context);
    if let Ok(files) = config::ConfigFiles::load(&context.paths.config) {
        problems.0.extend(config::find_placeholder_fakes(&files, &|name| std::env::var(name).ok()));
    }
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
    if let Some(config) = &config {
        let known = KnownTools::load(config, &context.paths);
        for hint in config.policy.reads.iter().filter_map(|pattern| known.hint_for_unmatched(pattern)) {
            context.output.print_note(format!("note: policies.json, `reads`: {hint}"));
        }
        hint_unlisted_tools(context, config);
    }
    if let Ok(EffectiveConfig { changes, .. }) = load_config_in_force(context)
        && changes.has_pending()
    {
        context.output.print_note(format!(
            "note: {} not in force; look with `portero config diff`, then run `portero config confirm`",
            pluralize(
                changes.widens.len(),
                "change waits for a confirmation and is",
                "changes wait for a confirmation and are"
            )
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
            "fix the lines above, then run `portero check` again; until then the last valid configuration stays in force",
        )),
    }
}

/// Reads the configuration with this process's environment.
pub(super) fn load_config(context: &CommandContext) -> (Option<Config>, ConfigProblems) {
    match config::ConfigFiles::load(&context.paths.config) {
        Ok(files) => config::read_config(&files, &|name| std::env::var(name).ok()),
        Err(problems) => (None, problems),
    }
}

/// The effective configuration as far as it is known without the daemon, or its problems.
pub(super) fn load_config_in_force(context: &CommandContext) -> Result<EffectiveConfig, ConfigProblems> {
    let files = config::ConfigFiles::load(&context.paths.config)?;
    let confirmed = approved_config::read_approved(&context.paths);
    approved_config::effective_config(&confirmed, &files, &|name| std::env::var(name).ok())
}

/// Prints a note if a pattern names an unknown server or tool. It isn't refused, because it may exist later.
pub(super) fn hint_unknown_pattern(context: &CommandContext, pattern: &Pattern) {
    if let (Some(config), _) = load_config(context)
        && let Some(hint) = KnownTools::load(&config, &context.paths).hint_for_pattern(pattern)
    {
        context.output.print_note(format!("note: {hint}"));
    }
}

/// Prints a note for each entry of the policy that names a tool which its server doesn't list. A mistyped deny
/// would otherwise look like one that holds.
pub(super) fn hint_unlisted_tools(context: &CommandContext, config: &Config) {
    for hint in KnownTools::load(config, &context.paths).hints_for_policy(&config.policy) {
        context.output.print_note(format!("note: {hint}"));
    }
}

/// Reads the configuration, and fails with all of its problems.
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

pub(super) async fn run_config(context: &CommandContext, command: ConfigCommand) -> CommandResult {
    match command {
        ConfigCommand::Diff => show_diff(context).await,
        ConfigCommand::Confirm(confirming) => confirm_config(context, confirming).await,
    }
}

async fn show_diff(context: &CommandContext) -> CommandResult {
    let waiting = fetch_config_changes(&context.connect_daemon().await?).await?;
    context.output.print_value_or_text(&waiting, |out| {
        describe_changes(&waiting).iter().try_for_each(|line| out.print_line(line))
    })?;
    Ok(())
}

async fn confirm_config(context: &CommandContext, confirming: ConfirmationArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut terminal =
        elevate::open_prompt(&daemon, &ConfirmedAct::ConfirmConfig, confirming.telegram).await?;
    let waiting = fetch_config_changes(&daemon).await?;
    for line in describe_changes(&waiting) {
        terminal.print_line(line)?;
    }
    if !waiting.changes.has_pending() {
        return Err(CommandFailure::refused("nothing waits: the configuration is in force as it is"));
    }
    let confirm = |challenge| ConfirmConfig { shown: waiting.shown.clone(), challenge };
    let confirmed =
        elevate::send_confirmed(&daemon, &mut terminal, &ConfirmedAct::ConfirmConfig, confirm).await?;
    context.output.print_value_or_text(&json!({"confirmed": confirmed}), |out| {
        out.print_line("confirmed; the configuration is in force")
    })?;
    Ok(())
}

async fn fetch_config_changes(daemon: &DaemonClient) -> CommandResult<UnconfirmedConfig> {
    Ok(*daemon.request(GetConfigChanges).await?)
}

/// Everything that a person must know before they confirm.
fn describe_changes(waiting: &UnconfirmedConfig) -> Vec<String> {
    let UnconfirmedConfig { note, changes, tools, shown: _ } = waiting;
    let mut lines: Vec<String> = note.iter().map(|note| format!("note: {}", escape_hidden(note))).collect();
    let mut section = |title: &str, changes: &[ConfigChange]| {
        if !changes.is_empty() {
            lines.push(title.to_owned());
            lines.extend(changes.iter().map(describe_change));
        }
    };
    section("Waits for you, because it permits more:", &changes.widens);
    section("In force already, because it restricts or changes nothing:", &changes.narrows);
    if !tools.is_empty() {
        lines.push("Known tools that would become looser:".to_owned());
        let width = tools.iter().map(|(tool, ..)| tool.to_string().len()).max().unwrap_or(0);
        lines.extend(tools.iter().map(|(tool, is, would_be)| {
            format!("  {:width$}  {} → {}", tool.to_string(), current_action(*is), would_be)
        }));
    }
    if lines.is_empty() {
        lines.push("The configuration is in force as it is.".to_owned());
    }
    lines
}

fn describe_change(ConfigChange { file, words }: &ConfigChange) -> String {
    format!("  {}: {}", escape_hidden(file), escape_hidden(words))
}

/// The word for the present decision. A deny is in capitals, because a person must not overlook that it ends.
const fn current_action(action: Action) -> &'static str {
    match action {
        Action::Deny => "DENIED now",
        Action::RequireApproval => "asks now",
        Action::Allow => "runs already",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero::approved_config::ConfigChanges;

    #[test]
    fn a_person_sees_what_waits_what_holds_and_which_tools_become_looser() {
        let change = |file: &str, words: &str| ConfigChange { file: file.into(), words: words.into() };
        let waiting = UnconfirmedConfig {
            note: None,
            changes: ConfigChanges {
                widens: vec![change("policies.json", "`notes/*`: deny → allow\u{202e}")],
                narrows: vec![change("mcps.json", "server `old` is not started any more")],
            },
            tools: vec![("notes/erase".parse().expect("a tool"), Action::Deny, Action::Allow)],
            shown: String::new(),
        };
        let expected = [
            "Waits for you, because it permits more:",
            "  policies.json: `notes/*`: deny → allow⟨U+202E⟩",
            "In force already, because it restricts or changes nothing:",
            "  mcps.json: server `old` is not started any more",
            "Known tools that would become looser:",
            "  notes/erase  DENIED now → allow",
        ];
        assert_eq!(describe_changes(&waiting), expected);
    }
}
