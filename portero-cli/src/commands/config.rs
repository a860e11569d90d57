//! `portero config diff` and `portero config confirm`: what of the configuration waits for a person.

use std::fmt::Display;

use portero::confirmed::Change;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Waiting, Width};
use portero::policy::Action;
use serde_json::json;

use super::{Context, rules};
use crate::args::{ConfigCommand, Confirming};
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::visible;
use crate::widen;

pub(super) async fn run(context: &Context, command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Diff => diff(context).await,
        ConfigCommand::Confirm(confirming) => confirm(context, confirming).await,
    }
}

async fn diff(context: &Context) -> Outcome {
    let waiting = ask(&context.daemon().await?).await?;
    context.output.show(&waiting, |out| lines(&waiting).iter().try_for_each(|line| out.line(line)))?;
    Ok(())
}

async fn confirm(context: &Context, confirming: Confirming) -> Outcome {
    let daemon = context.daemon().await?;
    let mut terminal =
        widen::begin_either(&daemon, "confirming a configuration", confirming.telegram).await?;
    let waiting = ask(&daemon).await?;
    for line in lines(&waiting) {
        terminal.say(line)?;
    }
    if !waiting.changes.waits() {
        return Err(Failure::refused("nothing waits; the configuration is in force as it stands"));
    }
    let confirm = |challenge| ConfirmConfig { shown: waiting.shown.clone(), challenge };
    let act = ("put all of this in force", Width::CONFIG);
    let confirmed = widen::ask(&daemon, &mut terminal, act, confirm).await?;
    context.output.show(&json!({"confirmed": confirmed}), |out| {
        out.line("confirmed; the configuration is in force as it stood")
    })?;
    Ok(())
}

async fn ask(daemon: &Daemon) -> Outcome<Waiting> {
    Ok(*daemon.request(GetConfigChanges).await?)
}

/// Everything that a person must know before they confirm it.
fn lines(waiting: &Waiting) -> Vec<String> {
    let Waiting { note, changes, tools, shown: _ } = waiting;
    let mut lines: Vec<String> = note.iter().map(|note| format!("note: {}", visible(note))).collect();
    let mut section = |title: &str, changes: &[Change]| {
        if !changes.is_empty() {
            lines.push(title.to_owned());
            lines.extend(changes.iter().map(line));
        }
    };
    section("Waits for you, since it widens:", &changes.widens);
    section("In force already, since it narrows or changes nothing:", &changes.narrows);
    if !tools.is_empty() {
        lines.push("Known tools that would become looser:".to_owned());
        let width = tools.iter().map(|(tool, ..)| tool.to_string().len()).max().unwrap_or(0);
        lines.extend(tools.iter().map(|(tool, is, would_be)| {
            format!("  {:width$}  {} → {}", tool.to_string(), now(*is), rules::word(*would_be))
        }));
    }
    if lines.is_empty() {
        lines.push("The configuration is in force as it stands.".to_owned());
    }
    lines
}

fn line(Change { file, words }: &Change) -> String {
    format!("  {}: {}", visible(file), visible(words))
}

/// A deny stands out.
fn now(action: Action) -> impl Display {
    match action {
        Action::Deny => "DENIED now",
        Action::RequireApproval => "asks now",
        Action::Allow => "runs already",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero::confirmed::Changes;

    #[test]
    fn a_person_sees_what_waits_what_holds_and_which_tools_become_looser() {
        let change = |file: &str, words: &str| Change { file: file.into(), words: words.into() };
        let waiting = Waiting {
            note: None,
            changes: Changes {
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
        assert_eq!(lines(&waiting), expected);
    }
}
