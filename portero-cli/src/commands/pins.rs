//! The pinned definitions of servers (`portero pins`): which are accepted, what differs, and its acceptance.

use portero::ipc::requests::definitions::{
    AcceptDefinitions, DefinitionDifference, GetDefinitions, ServerDefinitions, TaskDefinition,
};
use portero::names::ServerName;
use portero::policy::definition_pins::DefinitionItem;
use serde_json::json;

use super::CommandContext;
use crate::args::{PinsArgs, PinsCommand};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, pluralize};

pub(super) async fn run(context: &CommandContext, args: PinsArgs) -> CommandResult {
    match args.command {
        None => list_servers(context).await,
        Some(PinsCommand::Diff { server }) => show_differences(context, server).await,
        Some(PinsCommand::Accept { server, confirming }) => {
            accept(context, server, confirming.telegram).await
        }
    }
}

async fn list_servers(context: &CommandContext) -> CommandResult {
    let servers = context.connect_daemon().await?.request(GetDefinitions { server: None }).await?;
    context.output.print_value_or_text(&servers, |out| {
        if servers.is_empty() {
            return out.print_line("no definitions are pinned yet: a server's are when it is first listed");
        }
        servers.iter().flat_map(summarize).try_for_each(|line| out.print_line(line))
    })?;
    Ok(())
}

async fn show_differences(context: &CommandContext, server: ServerName) -> CommandResult {
    let waiting = fetch_server(&context.connect_daemon().await?, server).await?;
    context.output.print_value_or_text(&waiting, |out| {
        describe_differences(&waiting).iter().try_for_each(|line| out.print_line(line))
    })?;
    Ok(())
}

async fn accept(context: &CommandContext, server: ServerName, on_telegram: bool) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let waiting = fetch_server(&daemon, server).await?;
    if waiting.differences.is_empty() {
        let words = format!("nothing waits: every definition of `{}` is accepted", waiting.server);
        return Err(CommandFailure::refused(words));
    }
    let act = ConfirmedAct::AcceptDefinitions(&waiting.server);
    let mut terminal = elevate::open_prompt(&daemon, &act, on_telegram).await?;
    for line in describe_differences(&waiting) {
        terminal.print_line(line)?;
    }
    let accept = |challenge| AcceptDefinitions {
        server: waiting.server.clone(),
        shown: waiting.shown.clone(),
        challenge,
    };
    let count = elevate::send_confirmed(&daemon, &mut terminal, &act, accept).await?;
    context.output.print_value_or_text(&json!({"accepted": count}), |out| {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let what = pluralize(count, "definition", "definitions");
        out.print_line(format_args!("{what} of `{}` accepted, in every session", waiting.server))
    })?;
    Ok(())
}

async fn fetch_server(daemon: &DaemonClient, server: ServerName) -> CommandResult<ServerDefinitions> {
    let found = daemon.request(GetDefinitions { server: Some(server.clone()) }).await?;
    let none = || CommandFailure::refused(format!("no definitions of a server `{server}` are known"));
    found.into_iter().next().ok_or_else(none)
}

/// A server's line, and one for each item that a person should know of.
fn summarize(pins: &ServerDefinitions) -> Vec<String> {
    let ServerDefinitions { server, accepted, changed, added, gone, differences: _, shown: _ } = pins;
    let known = usize::try_from(*accepted).unwrap_or(usize::MAX);
    let mut lines = vec![format!("{server}: {} pinned", pluralize(known, "definition", "definitions"))];
    let mut rows = |items: &[DefinitionItem], words: &str| {
        lines.extend(items.iter().map(|item| format!("  {} {words}", escape_hidden(&item.to_string()))));
    };
    rows(changed, "changed, and asks");
    rows(added, "is new, and asks");
    rows(gone, "is gone");
    if !changed.is_empty() || !added.is_empty() {
        lines.push(format!(
            "  `portero pins diff {server}` shows it, `portero pins accept {server}` accepts it"
        ));
    }
    lines
}

/// Everything that a person must know before they accept it.
fn describe_differences(pins: &ServerDefinitions) -> Vec<String> {
    if pins.differences.is_empty() {
        return summarize(pins);
    }
    pins.differences.iter().flat_map(describe_difference).collect()
}

/// What a person must know of the definition because of which a task waits.
pub(super) fn describe_task_definition(definition: &TaskDefinition) -> String {
    let head = "definition, because of which it asks; a yes to this call accepts nothing".to_owned();
    let lines = definition.differences.iter().flat_map(describe_difference);
    [head].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

fn describe_difference(
    DefinitionDifference { item, is_new, lines: changed }: &DefinitionDifference,
) -> Vec<String> {
    let word = if *is_new { "New" } else { "Changed" };
    let mut lines = vec![format!("{word}: {}", escape_hidden(&item.to_string()))];
    // The mark comes first, so that no text of the server can look like another line or like Portero's words.
    lines.extend(changed.iter().map(|line| format!("  {}{}", line.change.mark(), escape_hidden(&line.text))));
    lines
}

#[cfg(test)]
mod tests {
    use portero::ipc::requests::definitions::{DifferenceLine, LineChange};

    use super::*;

    #[test]
    fn a_person_sees_each_difference_and_what_is_hidden_in_it() {
        let line = |change, text: &str| DifferenceLine { change, text: text.to_owned() };
        let pins = ServerDefinitions {
            server: "mail".parse().unwrap(),
            accepted: 2,
            changed: vec!["tool send".parse().unwrap()],
            added: Vec::new(),
            gone: vec!["tool old".parse().unwrap()],
            differences: vec![DefinitionDifference {
                item: "tool send".parse().unwrap(),
                is_new: false,
                lines: vec![
                    line(LineChange::Removed, "\"Sends\""),
                    line(LineChange::Added, "\"Sends\u{202e}\u{200b}\""),
                ],
            }],
            shown: String::new(),
        };
        let expected = ["Changed: tool send", "  - \"Sends\"", "  + \"Sends⟨U+202E⟩⟨U+200B⟩\""];
        assert_eq!(describe_differences(&pins), expected);
        let listed = summarize(&pins).join("\n");
        assert!(
            listed.contains("tool send changed, and asks") && listed.contains("tool old is gone"),
            "{listed}"
        );
    }
}
