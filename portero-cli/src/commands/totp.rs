//! `portero totp`: an authenticator beside the passphrase. What is secret is shown on the terminal device
//! alone, never on stdout.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portero::ipc::requests::auth::{EnrollTotp, OfferTotp, RemoveTotp};
use portero::ipc::{Challenge, DisclosedSecret, FailureKind, Risk};
use portero::secret::Secret;
use serde_json::json;

use super::CommandContext;
use crate::args::TotpCommand;
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmationPrompt};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::escape_hidden;
use crate::qr;

/// How often a first code may be wrong.
const MAX_CODE_ATTEMPTS: u32 = 3;

pub(super) async fn run(context: &CommandContext, command: TotpCommand) -> CommandResult {
    match command {
        TotpCommand::Enroll => enroll(context).await,
        TotpCommand::Remove => remove(context).await,
    }
}

async fn enroll(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person = elevate::open_with_passphrase(&daemon, "to enrol an authenticator").await?;
    if person.has_authenticator() {
        return Err(CommandFailure::refused("an authenticator is enrolled already; nothing changed")
            .with_hint("see `portero status`; `portero totp remove` removes it"));
    }
    let challenge = elevate::prompt_challenge(&mut person, "enrol an authenticator", Risk::Low)?;
    let offer = OfferTotp { challenge: challenge.clone() };
    let secret = daemon.request(offer).await?;
    show_secret(&mut person, &secret)?;
    let recovery = confirm_first_code(&daemon, &mut person, challenge).await?;
    person.print_line(
        "\nRecovery codes, shown this once. Each stands in for a code once; keep them on paper:\n",
    )?;
    for pair in recovery.chunks(2) {
        let codes: Vec<&str> = pair.iter().map(DisclosedSecret::expose).collect();
        person.print_line(format_args!("    {}", codes.join("    ")))?;
    }
    person.print_line("\nClear this window and what can be scrolled back to: it shows the secret.")?;
    context.output.print_value_or_text(&json!({"enrolled": true}), |out| {
        out.print_line("the authenticator is enrolled: what is wide needs its code beside the passphrase")
    })?;
    Ok(())
}

async fn remove(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person = elevate::open_with_passphrase(&daemon, "to remove the authenticator").await?;
    if !person.has_authenticator() {
        return Err(CommandFailure::refused("no authenticator is enrolled; nothing changed")
            .with_hint("`portero totp enroll` enrols one"));
    }
    let act = "remove the authenticator, so that the passphrase alone confirms what is wide";
    // No code of one that cannot be opened can be checked.
    let width = if person.has_outdated_authenticator() { Risk::Low } else { Risk::High };
    let challenge = elevate::prompt_challenge(&mut person, act, width)?;
    daemon.request(RemoveTotp { challenge }).await?;
    context.output.print_value_or_text(&json!({"enrolled": false}), |out| {
        out.print_line("the authenticator is removed; delete it in your app too")
    })?;
    Ok(())
}

/// Shows the secret as a QR code, and as text for an app without a camera.
fn show_secret(person: &mut ConfirmationPrompt, secret: &DisclosedSecret) -> CommandResult {
    let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    person.print_line("Scan this with an authenticator app:\n")?;
    for line in qr::render_lines(&otpauth_uri(&user, secret)).unwrap_or_default() {
        person.print_line(line)?;
    }
    person.print_line("\nOr type this secret into it (time based, six digits, 30 seconds):\n")?;
    person.print_line(format_args!("    {}\n", group_by_four(secret).expose()))
}

/// The key URI format of authenticator apps. What is left out there (SHA-1, six digits, thirty seconds) is
/// what they all take for granted, and some refuse to read.
fn otpauth_uri(user: &str, secret: &DisclosedSecret) -> Secret {
    let account = if user.is_empty() { "terminal" } else { user };
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    Secret::new(format!("otpauth://totp/Portero:{account}?secret={}&issuer=Portero", secret.expose()))
}

fn group_by_four(secret: &DisclosedSecret) -> Secret {
    let letters: Vec<char> = secret.expose().chars().collect();
    Secret::new(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
}

/// Asks for a first code until it is right, a few times, and gives the recovery codes.
async fn confirm_first_code(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    mut challenge: Challenge,
) -> CommandResult<Vec<DisclosedSecret>> {
    for left in (0..MAX_CODE_ATTEMPTS).rev() {
        challenge.code = Some(person.read_code("The code that it shows now")?);
        match daemon.request_or_refusal(EnrollTotp { challenge: challenge.clone() }).await? {
            Ok(codes) => return Ok(codes),
            Err(refused) if refused.kind == FailureKind::Challenge && left > 0 => {
                person.print_line(escape_hidden(&refused.message))?;
                if let Some(hint) = &refused.hint {
                    person.print_line(escape_hidden(hint))?;
                }
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(CommandFailure::refused("no code was right")
        .with_hint("see that the clocks of this machine and of your phone are right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_secret() -> DisclosedSecret {
        Secret::new("GEZDGNBVGY3TQOJQ").into()
    }

    #[test]
    fn the_uri_is_one_that_apps_read_whatever_the_user_is_called() {
        let of = |user| otpauth_uri(user, &sample_secret()).expose().to_owned();
        assert_eq!(of("jane"), "otpauth://totp/Portero:jane?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
        assert_eq!(of("a b&c"), "otpauth://totp/Portero:a%20b%26c?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
        assert_eq!(of(""), "otpauth://totp/Portero:terminal?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
    }

    #[test]
    fn the_secret_is_shown_in_groups_that_a_person_can_type() {
        assert_eq!(group_by_four(&sample_secret()).expose(), "GEZD GNBV GY3T QOJQ");
    }
}
