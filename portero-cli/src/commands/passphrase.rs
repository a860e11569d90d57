//! `portero passphrase set`: the second factor that lets a person widen and that no agent has.

use portero::ipc::Challenge;
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::GetStatus;
use serde_json::json;

use super::Context;
use crate::args::PassphraseCommand;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

/// The fewest characters.
const LEAST: usize = 8;

pub(super) async fn run(context: &Context, command: PassphraseCommand) -> Outcome {
    match command {
        PassphraseCommand::Set => set(context).await,
    }
}

async fn set(context: &Context) -> Outcome {
    let mut terminal = Terminal::open("to set the passphrase")?;
    let daemon = context.daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let old = match &status.passphrase {
        Some((set, by)) => {
            terminal.say(format_args!(
                "A passphrase was set on {set} by {}. To change it, type it first.",
                crate::output::visible(by)
            ))?;
            Some(Challenge::new(terminal.passphrase("Present passphrase")?))
        }
        None => None,
    };
    terminal.say(format_args!(
        "The passphrase lets you approve, grant and allow. At least {LEAST} characters; keep it from your agent."
    ))?;
    let passphrase = terminal.passphrase("New passphrase")?;
    strong(&passphrase)?;
    if terminal.passphrase("The same again")? != passphrase {
        return Err(Failure::refused("the two are not the same; nothing changed"));
    }
    let changed = old.is_some();
    let new = Challenge::new(passphrase);
    daemon.request(SetPassphrase { old, new }).await?;
    context.output.show(&json!({"set": true, "changed": changed}), |out| {
        out.line(if changed {
            "the passphrase is changed"
        } else {
            "the passphrase is set; from now on an edit of the configuration that widens waits for `portero config \
             confirm`"
        })
    })?;
    Ok(())
}

fn strong(passphrase: &str) -> Outcome {
    if passphrase.chars().count() < LEAST {
        return Err(Failure::refused(format!(
            "a passphrase has at least {LEAST} characters; nothing changed"
        )));
    }
    let first = passphrase.chars().next();
    if passphrase.chars().all(|character| Some(character) == first) {
        return Err(Failure::refused("a passphrase of one repeated character is no secret; nothing changed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_passphrase_is_refused() {
        assert!(strong("short").is_err());
        assert!(strong("aaaaaaaaaaaa").is_err());
        assert!(strong("correct horse").is_ok());
    }
}
