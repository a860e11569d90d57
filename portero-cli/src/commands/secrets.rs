//! The secrets that servers get by name. A value is read without echo or from a pipe, and never shown.

use std::io::{IsTerminal as _, Read as _};

use portero::ipc::CredentialPlace;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::secrets::{ClearSecrets, ListSecrets, NamedSecret, SecretLifetime, SetSecret};
use portero::names::SecretName;
use portero::secret::Secret;
use serde_json::json;
use zeroize::Zeroizing;

use super::CommandContext;
use crate::args::{ClearSecretsArgs, SecretCommand, SetSecretArgs};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, pluralize};
use crate::terminal::TerminalDevice;

/// The longest value that is read, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

pub(super) async fn run(context: &CommandContext, command: SecretCommand) -> CommandResult {
    match command {
        SecretCommand::Set(args) => set(context, args).await,
        SecretCommand::List => list(context).await,
        SecretCommand::Clear(args) => clear(context, args).await,
    }
}

async fn set(context: &CommandContext, args: SetSecretArgs) -> CommandResult {
    let SetSecretArgs { name, ttl, keep } = args;
    let value = read_value(&name)?;
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let act = ConfirmedAct::SetSecret(&name);
    let challenge = match &status.passphrase {
        None => None,
        Some(_) => {
            let mut person = elevate::open_with_passphrase(&daemon, &act).await?;
            Some(elevate::prompt_challenge(&mut person, &act)?)
        }
    };
    let lifetime = if keep { SecretLifetime::Kept } else { SecretLifetime::InMemory(ttl) };
    let request = SetSecret { name: name.clone(), value: value.into(), lifetime, challenge };
    daemon.request(request).await?;
    let place = if keep { find_place(&daemon, &name).await? } else { None };
    context.output.print_value_or_text(&json!({"set": name, "kept": keep, "place": place}), |out| {
        let kept = place.map(|place| format!(", and kept, {}", place.describe())).unwrap_or_default();
        out.print_line(format_args!(
            "the secret `{name}` is set{kept}; servers get it where mcps.json says ${{secret:{name}}}"
        ))
    })?;
    if status.passphrase.is_none() {
        context.output.print_note(
            "No passphrase is set, so your agent could set secrets too: run `portero passphrase set`",
        );
    }
    Ok(())
}

/// Where the key of a kept secret is.
async fn find_place(daemon: &DaemonClient, name: &SecretName) -> CommandResult<Option<CredentialPlace>> {
    let secrets = daemon.request(ListSecrets).await?;
    Ok(secrets.into_iter().find(|secret| secret.name == *name).and_then(|secret| secret.place))
}

/// Asks for the value at the terminal, or reads it from a pipe, without one line end.
fn read_value(name: &SecretName) -> CommandResult<Secret> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let mut terminal = TerminalDevice::open("to set a secret")?;
        return terminal.read_secret(&format!("Value of `{name}`")).map(Secret::new);
    }
    let mut text = Zeroizing::new(String::new());
    stdin.lock().take(MAX_SECRET_BYTES + 1).read_to_string(&mut text).map_err(|error| {
        CommandFailure::refused("could not read the secret from standard input").caused_by(&error)
    })?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(CommandFailure::refused(format!("a secret has at most {MAX_SECRET_BYTES} bytes")));
    }
    let line = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if line.trim().is_empty() {
        return Err(CommandFailure::refused("standard input holds no secret; nothing changed")
            .with_hint("pipe the value into the command, or run it in a terminal and type it"));
    }
    Ok(Secret::new(line))
}

async fn list(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let secrets = daemon.request(ListSecrets).await?;
    context.output.print_value_or_text(&secrets, |out| {
        if secrets.is_empty() {
            return out.print_line("no secret is set");
        }
        secrets.iter().try_for_each(|secret| out.print_line(describe(secret)))
    })?;
    Ok(())
}

/// A secret in one line.
fn describe(secret: &NamedSecret) -> String {
    let NamedSecret { name, is_kept, place, trouble, since, expires } = secret;
    let place = match (is_kept, expires) {
        (true, _) => format!("kept, {}", place.unwrap_or_default().describe()),
        (false, Some(expires)) => format!("in memory until {expires}"),
        (false, None) => "in memory until the daemon ends".to_owned(),
    };
    let trouble = trouble.as_deref().map(|trouble| format!("\n  {}", escape_hidden(trouble)));
    format!("{}  {place}, set {since}{}", escape_hidden(name.as_str()), trouble.unwrap_or_default())
}

async fn clear(context: &CommandContext, args: ClearSecretsArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let name = if args.all { None } else { args.name };
    let cleared = daemon.request(ClearSecrets { name }).await?;
    context.output.print_value_or_text(&json!({"cleared": cleared}), |out| match cleared {
        0 => out.print_line("no such secret was set"),
        count => out.print_line(format_args!("cleared {}", pluralize(count, "secret", "secrets"))),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_a_secret_is_and_until_when() {
        let (since, until) = ("2026-11-20T08:00:00Z", "2026-11-20T08:15:00Z");
        let secret = |is_kept, expires: Option<&str>| NamedSecret {
            name: "github".parse().unwrap(),
            is_kept,
            place: is_kept.then_some(CredentialPlace::Keyring),
            trouble: None,
            since: since.parse().unwrap(),
            expires: expires.map(|at| at.parse().unwrap()),
        };
        let kept = secret(true, None);
        let place = "kept, sealed with a key in the system's keyring";
        assert_eq!(describe(&kept), format!("github  {place}, set {since}"));
        let locked = NamedSecret { trouble: Some("it is locked".to_owned()), ..kept };
        assert_eq!(describe(&locked), format!("github  {place}, set {since}\n  it is locked"));
        let limited = format!("github  in memory until {until}, set {since}");
        assert_eq!(describe(&secret(false, Some(until))), limited);
        let open = format!("github  in memory until the daemon ends, set {since}");
        assert_eq!(describe(&secret(false, None)), open);
    }
}
