//! `portero telegram pair`: a code that pairs whoever says it to the bot. It makes a door that widens.

use std::time::Duration;

use portero::ipc::{Failure, FailureKind, PairingCode, Reply, TelegramState, Width};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::pairing::PairingError;
use crate::passphrase::What;
use crate::weather::Seen;

/// How long to wait for a bot that was not reached yet.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    confirming: Option<Confirming>,
) -> Result<Reply, Failure> {
    let known = tokio::time::timeout(PATIENCE, daemon.weather.known()).await;
    let seen = known.unwrap_or_else(|_| daemon.weather.seen());
    let Seen { place: Some(place), username: Some(username), .. } = &seen else {
        return Err(unreachable_bot(&seen));
    };
    if daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?.is_some() {
        let missing = || Failure::new(FailureKind::Challenge, "this needs the approval passphrase");
        confirm(daemon, by, confirming.ok_or_else(missing)?, What::Other(Width::PAIR)).await?;
    }
    let offer = daemon.pairing.offer(place, by).await.map_err(|error| refused(&error))?;
    let code = offer.code.expose();
    Ok(Reply::PairingCode(PairingCode {
        code: spelled(code),
        link: format!("https://t.me/{username}?start={code}"),
        expires: offer.expires,
    }))
}

/// In groups of four, as people read it.
fn spelled(code: &str) -> String {
    let mut spelled = String::new();
    for (place, letter) in code.chars().enumerate() {
        if place > 0 && place % 4 == 0 {
            spelled.push('-');
        }
        spelled.push(letter);
    }
    spelled
}

fn unreachable_bot(seen: &Seen) -> Failure {
    match seen.state {
        TelegramState::Off => Failure::new(FailureKind::Refused, "no bot is configured").with_hint(
            "make one with @BotFather, put TELEGRAM_BOT_TOKEN=… into .env and \
             \"telegram\": {\"token\": \"${TELEGRAM_BOT_TOKEN}\"} into portero.json",
        ),
        TelegramState::Invalid
        | TelegramState::Connecting
        | TelegramState::Serving
        | TelegramState::Troubled
        | TelegramState::Conflict
        | TelegramState::Unauthorized => {
            let why = seen.last_trouble.as_ref().map_or("no answer yet", |trouble| trouble.what.as_str());
            Failure::new(FailureKind::Refused, format!("the bot cannot be reached: {why}"))
                .with_hint("see `portero status`")
        }
    }
}

fn refused(error: &PairingError) -> Failure {
    match error {
        PairingError::Paired(_) => Failure::new(FailureKind::Refused, error.to_string())
            .with_hint("end that first with `portero telegram unpair`"),
        PairingError::Named(_) => Failure::new(FailureKind::Refused, error.to_string()).with_hint(
            "remove `telegram.admin` from portero.json and TELEGRAM_ADMIN_CHAT_ID from .env to pair",
        ),
        PairingError::Group(_) => Failure::new(FailureKind::Refused, error.to_string()).with_hint(
            "write a user's number into `telegram.deciders` of portero.json, or remove `telegram.chat` to pair one \
             person in their private chat",
        ),
        PairingError::Store(error) => failure::of_store(error),
    }
}
