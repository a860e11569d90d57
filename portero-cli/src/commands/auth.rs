//! The factors: the passphrase, an authenticator, and the pairing with Telegram.
//!
//! Secrets are shown on the terminal device only, never on stdout.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portero::ipc::requests::auth::{
    EnrollTotp, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{Challenge, DaemonStatus, DisclosedSecret, FailureKind, PairingCode};
use portero::secret::Secret;
use serde_json::json;

use super::CommandContext;
use crate::args::{TelegramCommand, TotpCommand};
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmationPrompt, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden};
use crate::qr;
use crate::terminal::TerminalDevice;

/// The minimum length of a passphrase.
const MIN_PASSPHRASE_CHARS: usize = 8;

/// How many wrong first codes are accepted.
const MAX_CODE_ATTEMPTS: u32 = 3;

pub(super) async fn set_passphrase(context: &CommandContext) -> CommandResult {
    let mut terminal = TerminalDevice::open("to set the passphrase")?;
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    let old = match &status.passphrase {
        Some((set, by)) => {
            terminal.print_line(format_args!(
                "A passphrase was set on {set} by {}. To change it, type it first.",
                escape_hidden(by)
            ))?;
            Some(Challenge::new(terminal.read_passphrase("Current passphrase")?))
        }
        None => None,
    };
    terminal.print_line(format_args!(
        "The passphrase lets you approve, grant and allow. At least {MIN_PASSPHRASE_CHARS} characters; keep it from your agent."
    ))?;
    let passphrase = terminal.read_passphrase("New passphrase")?;
    require_strong(&passphrase)?;
    // A mistyped new passphrase would lock the person out.
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
            "the passphrase is set; from now on, a configuration edit that permits more waits for `portero config confirm`"
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
    // A length rule alone would accept `aaaaaaaa`.
    let first = passphrase.chars().next();
    if passphrase.chars().all(|character| Some(character) == first) {
        return Err(CommandFailure::refused(
            "a passphrase of one repeated character is no secret; nothing changed",
        ));
    }
    Ok(())
}

pub(super) async fn run_totp(context: &CommandContext, command: TotpCommand) -> CommandResult {
    match command {
        TotpCommand::Enroll => enroll_totp(context).await,
        TotpCommand::Remove => remove_totp(context).await,
    }
}

async fn enroll_totp(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person = elevate::open_with_passphrase(&daemon, &ConfirmedAct::EnrollTotp).await?;
    if person.has_authenticator() {
        return Err(CommandFailure::refused("an authenticator is enrolled already; nothing changed")
            .with_hint("see `portero status`; `portero totp remove` removes it"));
    }
    let challenge = elevate::prompt_challenge(&mut person, &ConfirmedAct::EnrollTotp)?;
    let offer = OfferTotp { challenge: challenge.clone() };
    let secret = daemon.request(offer).await?;
    show_secret(&mut person, &secret)?;
    // The challenge is reused with each code, so the person types the passphrase once.
    let recovery = confirm_first_code(&daemon, &mut person, challenge).await?;
    person.print_line(
        "\nRecovery codes, shown only this once. Each replaces one code, once; keep them on paper:\n",
    )?;
    for pair in recovery.chunks(2) {
        let codes: Vec<&str> = pair.iter().map(DisclosedSecret::expose).collect();
        person.print_line(format_args!("    {}", codes.join("    ")))?;
    }
    person.print_line("\nClear this window and its scrollback: they show the secret.")?;
    context.output.print_value_or_text(&json!({"enrolled": true}), |out| {
        out.print_line("the authenticator is enrolled: wide acts now need its code beside the passphrase")
    })?;
    Ok(())
}

async fn remove_totp(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person =
        elevate::open_with_passphrase(&daemon, &ConfirmedAct::RemoveTotp { is_outdated: false }).await?;
    if !person.has_authenticator() {
        return Err(CommandFailure::refused("no authenticator is enrolled; nothing changed")
            .with_hint("`portero totp enroll` enrols one"));
    }
    let act = ConfirmedAct::RemoveTotp { is_outdated: person.has_outdated_authenticator() };
    let challenge = elevate::prompt_challenge(&mut person, &act)?;
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
    // A secret that does not fit into a QR code can still be typed.
    for line in qr::render_lines(&otpauth_uri(&user, secret)).unwrap_or_default() {
        person.print_line(line)?;
    }
    person.print_line("\nOr type this secret into it (time based, six digits, 30 seconds):\n")?;
    person.print_line(format_args!("    {}\n", group_by_four(secret).expose()))
}

/// The key URI of authenticator apps. SHA-1, six digits and thirty seconds are left out: they are every app's
/// default, and some apps refuse to read them.
fn otpauth_uri(user: &str, secret: &DisclosedSecret) -> Secret {
    let account = if user.is_empty() { "terminal" } else { user };
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    Secret::new(format!("otpauth://totp/Portero:{account}?secret={}&issuer=Portero", secret.expose()))
}

fn group_by_four(secret: &DisclosedSecret) -> Secret {
    let letters: Vec<char> = secret.expose().chars().collect();
    Secret::new(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
}

/// Asks for the first code up to a few times, and returns the recovery codes.
async fn confirm_first_code(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    mut challenge: Challenge,
) -> CommandResult<Vec<DisclosedSecret>> {
    for left in (0..MAX_CODE_ATTEMPTS).rev() {
        challenge.code = Some(person.read_code("The code that the app shows now")?);
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
        .with_hint("check the clocks of this machine and of your phone"))
}

pub(super) async fn run_telegram(context: &CommandContext, command: TelegramCommand) -> CommandResult {
    match command {
        TelegramCommand::Pair => pair(context).await,
        TelegramCommand::Unpair => unpair(context).await,
    }
}

/// Shows a pairing code on stdout, because it is data. If a passphrase is set, it is asked for first.
async fn pair(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_second_pairing(&status)?;
    let challenge = match &status.passphrase {
        None => None,
        Some(_) => {
            let mut person = elevate::open_with_passphrase(&daemon, &ConfirmedAct::Pair).await?;
            person
                .print_line("The person who sends the code to the bot decides on Telegram from then on.")?;
            Some(elevate::prompt_challenge(&mut person, &ConfirmedAct::Pair)?)
        }
    };
    let shown = daemon.request(PairTelegram { challenge }).await?;
    if context.output.wants_json() {
        context.output.print_json_line(&shown)?;
    } else {
        print_pairing_code(&context.output, &shown)?;
    }
    if status.passphrase.is_none() {
        context.output.print_note(
            "No passphrase is set, so anyone at this terminal could pair: run `portero passphrase set`",
        );
    }
    Ok(())
}

fn print_pairing_code(
    out: &Output,
    PairingCode { code, link, expires }: &PairingCode,
) -> std::io::Result<()> {
    out.print_line("Scan this with your phone and press Start:\n")?;
    for line in qr::render_lines(&Secret::new(link.as_str())).unwrap_or_default() {
        out.print_line(line)?;
    }
    out.print_line(format_args!("\nor open  {}", escape_hidden(link)))?;
    out.print_line(format_args!("or send  /pair {}", escape_hidden(code)))?;
    out.print_line(format_args!(
        "to the bot, in a private chat, until {expires}. `portero status` shows who is paired."
    ))
}

/// Refuses early, because the daemon would only refuse after the passphrase was typed.
fn refuse_second_pairing(status: &DaemonStatus) -> CommandResult {
    if let Some(group) = &status.telegram.group {
        let words = format!("the configuration names the group {}, so no person can be paired", group.chat);
        return Err(CommandFailure::refused(words)
            .with_hint("`telegram.deciders` in portero.json lists who decides there"));
    }
    match &status.telegram.person {
        None => Ok(()),
        Some(person) if person.configured => Err(CommandFailure::refused(format!(
            "the configuration names user {}, who decides; no other person can be paired",
            person.user
        ))
        .with_hint("see `telegram.admin` in portero.json and TELEGRAM_ADMIN_CHAT_ID in .env")),
        Some(person) => Err(CommandFailure::refused(format!("the bot is paired with user {}", person.user))
            .with_hint("end that first with `portero telegram unpair`")),
    }
}

async fn unpair(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person = elevate::open_with_passphrase(&daemon, &ConfirmedAct::Unpair).await?;
    person.print_line("This ends the pairing. The bot answers no one until a person is paired again.")?;
    let challenge = elevate::prompt_challenge(&mut person, &ConfirmedAct::Unpair)?;
    let was_paired = daemon.request(UnpairTelegram { challenge }).await?;
    context.output.print_value_or_text(&json!({"unpaired": was_paired}), |out| match was_paired {
        false => out.print_line("no person was paired"),
        true => out.print_line("the pairing has ended"),
    })?;
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
