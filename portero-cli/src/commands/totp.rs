//! `portero totp`: an authenticator beside the passphrase. What is secret is shown on the terminal device
//! alone, never on stdout.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portero::ipc::requests::auth::{EnrollTotp, OfferTotp, RemoveTotp};
use portero::ipc::{Challenge, Disclosed, FailureKind, Width};
use portero::secret::Secret;
use serde_json::json;

use super::Context;
use crate::args::TotpCommand;
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::visible;
use crate::qr;
use crate::widen::{self, Person};

/// How often a first code may be wrong.
const FIRST_CODES: u32 = 3;

pub(super) async fn run(context: &Context, command: TotpCommand) -> Outcome {
    match command {
        TotpCommand::Enroll => enroll(context).await,
        TotpCommand::Remove => remove(context).await,
    }
}

async fn enroll(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let mut person = widen::begin(&daemon, "to enrol an authenticator").await?;
    if person.has_authenticator() {
        return Err(Failure::refused("an authenticator is enrolled already; nothing changed")
            .hint("see `portero status`; `portero totp remove` removes it"));
    }
    let challenge = widen::confirm(&mut person, "enrol an authenticator", Width::One)?;
    let offer = OfferTotp { challenge: challenge.clone() };
    let secret = daemon.request(offer).await?;
    show(&mut person, &secret)?;
    let recovery = first_code(&daemon, &mut person, challenge).await?;
    person.say("\nRecovery codes, shown this once. Each stands in for a code once; keep them on paper:\n")?;
    for pair in recovery.chunks(2) {
        let codes: Vec<&str> = pair.iter().map(Disclosed::expose).collect();
        person.say(format_args!("    {}", codes.join("    ")))?;
    }
    person.say("\nClear this window and what can be scrolled back to: it shows the secret.")?;
    context.output.show(&json!({"enrolled": true}), |out| {
        out.line("the authenticator is enrolled: what is wide needs its code beside the passphrase")
    })?;
    Ok(())
}

async fn remove(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let mut person = widen::begin(&daemon, "to remove the authenticator").await?;
    if !person.has_authenticator() {
        return Err(Failure::refused("no authenticator is enrolled; nothing changed")
            .hint("`portero totp enroll` enrols one"));
    }
    let act = "remove the authenticator, so that the passphrase alone confirms what is wide";
    // No code of one that cannot be opened can be checked.
    let width = if person.has_outdated_authenticator() { Width::One } else { Width::Wide };
    let challenge = widen::confirm(&mut person, act, width)?;
    daemon.request(RemoveTotp { challenge }).await?;
    context.output.show(&json!({"enrolled": false}), |out| {
        out.line("the authenticator is removed; delete it in your app too")
    })?;
    Ok(())
}

/// Shows the secret as a QR code, and as text for an app without a camera.
fn show(person: &mut Person, secret: &Disclosed) -> Outcome {
    let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    person.say("Scan this with an authenticator app:\n")?;
    for line in qr::lines(&uri(&user, secret)).unwrap_or_default() {
        person.say(line)?;
    }
    person.say("\nOr type this secret into it (time based, six digits, 30 seconds):\n")?;
    person.say(format_args!("    {}\n", in_fours(secret).expose()))
}

/// The key URI format of authenticator apps. What is left out there (SHA-1, six digits, thirty seconds) is
/// what they all take for granted, and some refuse to read.
fn uri(user: &str, secret: &Disclosed) -> Secret {
    let account = if user.is_empty() { "terminal" } else { user };
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    Secret::new(format!("otpauth://totp/Portero:{account}?secret={}&issuer=Portero", secret.expose()))
}

fn in_fours(secret: &Disclosed) -> Secret {
    let letters: Vec<char> = secret.expose().chars().collect();
    Secret::new(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
}

/// Asks for a first code until it is right, a few times, and gives the recovery codes.
async fn first_code(
    daemon: &Daemon,
    person: &mut Person,
    mut challenge: Challenge,
) -> Outcome<Vec<Disclosed>> {
    for left in (0..FIRST_CODES).rev() {
        challenge.code = Some(person.code("The code that it shows now")?);
        match daemon.request_or_refusal(EnrollTotp { challenge: challenge.clone() }).await? {
            Ok(codes) => return Ok(codes),
            Err(refused) if refused.kind == FailureKind::Challenge && left > 0 => {
                person.say(visible(&refused.message))?;
                if let Some(hint) = &refused.hint {
                    person.say(visible(hint))?;
                }
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Failure::refused("no code was right")
        .hint("see that the clocks of this machine and of your phone are right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Disclosed {
        Secret::new("GEZDGNBVGY3TQOJQ").into()
    }

    #[test]
    fn the_uri_is_one_that_apps_read_whatever_the_user_is_called() {
        let of = |user| uri(user, &secret()).expose().to_owned();
        assert_eq!(of("jane"), "otpauth://totp/Portero:jane?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
        assert_eq!(of("a b&c"), "otpauth://totp/Portero:a%20b%26c?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
        assert_eq!(of(""), "otpauth://totp/Portero:terminal?secret=GEZDGNBVGY3TQOJQ&issuer=Portero");
    }

    #[test]
    fn the_secret_is_shown_in_groups_that_a_person_can_type() {
        assert_eq!(in_fours(&secret()).expose(), "GEZD GNBV GY3T QOJQ");
    }
}
