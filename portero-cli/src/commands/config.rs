//! `portero config diff` and `portero config confirm`: what of the configuration waits for a person.

use std::fmt::Display;

use portero::approved_config::ConfigChange;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Risk, Waiting};
use portero::policy::Action;
use serde_json::json;

use super::{CommandContext, rules};
use crate::args::{ConfigCommand, ConfirmationArgs};
use crate::daemon::DaemonClient;
use crate::elevate;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::escape_hidden;

pub(super) async fn run(context: &CommandContext, command: ConfigCommand) -> CommandResult {
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
        elevate::open_prompt(&daemon, "confirming a configuration", confirming.telegram).await?;
    let waiting = fetch_config_changes(&daemon).await?;
    for line in describe_changes(&waiting) {
        terminal.print_line(line)?;
    }
    if !waiting.changes.has_pending() {
        return Err(CommandFailure::refused("nothing waits; the configuration is in force as it stands"));
    }
    let confirm = |challenge| ConfirmConfig { shown: waiting.shown.clone(), challenge };
    let act = ("put all of this in force", Risk::CONFIG);
    let confirmed = elevate::send_confirmed(&daemon, &mut terminal, act, confirm).await?;
    context.output.print_value_or_text(&json!({"confirmed": confirmed}), |out| {
        out.print_line("confirmed; the configuration is in force as it stood")
    })?;
    Ok(())
}

async fn fetch_config_changes(daemon: &DaemonClient) -> CommandResult<Waiting> {
    Ok(*daemon.request(GetConfigChanges).await?)
}

/// Everything that a person must know before they confirm it.
fn describe_changes(waiting: &Waiting) -> Vec<String> {
    let Waiting { note, changes, tools, shown: _ } = waiting;
    let mut lines: Vec<String> = note.iter().map(|note| format!("note: {}", escape_hidden(note))).collect();
    let mut section = |title: &str, changes: &[ConfigChange]| {
        if !changes.is_empty() {
            lines.push(title.to_owned());
            lines.extend(changes.iter().map(describe_change));
        }
    };
    section("Waits for you, since it widens:", &changes.widens);
    section("In force already, since it narrows or changes nothing:", &changes.narrows);
    if !tools.is_empty() {
        lines.push("Known tools that would become looser:".to_owned());
        let width = tools.iter().map(|(tool, ..)| tool.to_string().len()).max().unwrap_or(0);
        lines.extend(tools.iter().map(|(tool, is, would_be)| {
            format!(
                "  {:width$}  {} → {}",
                tool.to_string(),
                current_action(*is),
                rules::action_name(*would_be)
            )
        }));
    }
    if lines.is_empty() {
        lines.push("The configuration is in force as it stands.".to_owned());
    }
    lines
}

fn describe_change(ConfigChange { file, words }: &ConfigChange) -> String {
    format!("  {}: {}", escape_hidden(file), escape_hidden(words))
}

/// A deny stands out.
fn current_action(action: Action) -> impl Display {
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
        let waiting = Waiting {
            note: None,
            changes: ConfigChanges {
                widens: vec![change("policies.json", "`notes/*`: deny → allow\u{202e}")],
                narrows: vec![change("mcps.json", "server `old` is not started any more")],
            },
            tools: vec![("notes/erase".parse().expect("a tool"), Action::Deny, Action::Allow)],
            shown: String::new(),
        };
        let expected = [
            "Waits for you, since it widens:",
            "  policies.json: `notes/*`: deny → allow⟨U+202E⟩",
            "In force already, since it narrows or changes nothing:",
            "  mcps.json: server `old` is not started any more",
            "Known tools that would become looser:",
            "  notes/erase  DENIED now → allow",
        ];
        assert_eq!(describe_changes(&waiting), expected);
    }
}
