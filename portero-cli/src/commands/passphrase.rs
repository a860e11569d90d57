//! `portero passphrase set`: the second factor that lets a person widen and that no agent has.

use portero::ipc::Challenge;
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::GetStatus;
use serde_json::json;

use super::CommandContext;
use crate::args::PassphraseCommand;
use crate::failure::{CommandFailure, CommandResult};
use crate::terminal::TerminalDevice;

/// The fewest characters.
const MIN_PASSPHRASE_CHARS: usize = 8;

pub(super) async fn run(context: &CommandContext, command: PassphraseCommand) -> CommandResult {
    match command {
        PassphraseCommand::Set => set_passphrase(context).await,
    }
}

async fn set_passphrase(context: &CommandContext) -> CommandResult {
    let mut terminal = TerminalDevice::open("to set the passphrase")?;
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let old = match &status.passphrase {
        Some((set, by)) => {
            terminal.print_line(format_args!(
                "A passphrase was set on {set} by {}. To change it, type it first.",
                crate::output::escape_hidden(by)
            ))?;
            Some(Challenge::new(terminal.read_passphrase("Present passphrase")?))
        }
        None => None,
    };
    terminal.print_line(format_args!(
        "The passphrase lets you approve, grant and allow. At least {MIN_PASSPHRASE_CHARS} characters; keep it from your agent."
    ))?;
    let passphrase = terminal.read_passphrase("New passphrase")?;
    require_strong(&passphrase)?;
    if terminal.read_passphrase("The same again")? != passphrase {
        return Err(CommandFailure::refused("the two are not the same; nothing changed"));
    }
    let changed = old.is_some();
    let new = Challenge::new(passphrase);
    daemon.request(SetPassphrase { old, new }).await?;
    context.output.print_value_or_text(&json!({"set": true, "changed": changed}), |out| {
        out.print_line(if changed {
            "the passphrase is changed"
        } else {
            "the passphrase is set; from now on an edit of the configuration that widens waits for `portero config \
             confirm`"
        })
    })?;
    Ok(())
}

fn require_strong(passphrase: &str) -> CommandResult {
    if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
        return Err(CommandFailure::refused(format!(
            "a passphrase has at least {MIN_PASSPHRASE_CHARS} characters; nothing changed"
        )));
    }
    let first = passphrase.chars().next();
    if passphrase.chars().all(|character| Some(character) == first) {
        return Err(CommandFailure::refused(
            "a passphrase of one repeated character is no secret; nothing changed",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_passphrase_is_refused() {
        assert!(require_strong("short").is_err());
        assert!(require_strong("aaaaaaaaaaaa").is_err());
        assert!(require_strong("correct horse").is_ok());
    }
}
