//! The second factors: passphrase, authenticator, and who decides on Telegram.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::requests::auth::{
    EnrollTotp, GetPassphraseSalt, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::{Disclosed, Failure, FailureKind, PairingCode, TelegramState, Width};
use portero::passphrase::Salted;

use super::attempt::Attempt;
use super::challenge::{confirm, typed};
use super::{PersonCaller, PersonRequest, failure};
use crate::configuration;
use crate::daemon::Daemon;
use crate::pairing::PairingError;
use crate::passphrase::What;
use crate::weather::Seen;

/// How long pairing waits for a bot that was not reached yet.
const BOT_TIMEOUT: Duration = Duration::from_secs(5);

impl PersonRequest for SetPassphrase {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("passphrase set", "the approval passphrase".to_owned()))
    }

    /// The first time it seals the configuration too.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), Failure> {
        let (old, new) = (self.old.map(typed).transpose()?, typed(self.new)?);
        let old = old.map(|old| old.take().0);
        let new = new
            .take_new()
            .ok_or_else(|| Failure::new(FailureKind::Invalid, "no new passphrase was given"))?;
        let set = daemon.passphrase.set(old, new, caller.by).await;
        set.map_err(|error| failure::of_passphrase(&error))?;
        // Until now nothing could be confirmed. A daemon that dies here does it when it starts.
        configuration::seal(daemon, caller.by).await.map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for GetPassphraseSalt {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Option<Salted>, Failure> {
        daemon.passphrase.salted().map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for OfferTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("totp enroll", "the authenticator".to_owned()))
    }

    /// A new secret, for a person who knows the passphrase; it has no effect yet.
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Disclosed, Failure> {
        let offered = daemon.passphrase.offer(typed(self.challenge)?.take().0).await;
        offered.map(Into::into).map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for EnrollTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("totp enroll", "the authenticator".to_owned()))
    }

    /// Puts that secret in force, once a first code shows that an authenticator has it.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Vec<Disclosed>, Failure> {
        let (given, code) = typed(self.challenge)?.take();
        let enrolled = daemon.passphrase.enroll(given, code, caller.by).await;
        enrolled
            .map(|codes| codes.into_iter().map(Into::into).collect())
            .map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for RemoveTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("totp remove", "the authenticator".to_owned()))
    }

    /// From then on the passphrase alone confirms what is wide.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), Failure> {
        let (given, code) = typed(self.challenge)?.take();
        let removed = daemon.passphrase.remove(given, code, caller.by).await;
        removed.map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for PairTelegram {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("telegram pair", "the bot".to_owned()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<PairingCode, Failure> {
        let known = tokio::time::timeout(BOT_TIMEOUT, daemon.weather.known()).await;
        let seen = known.unwrap_or_else(|_| daemon.weather.seen());
        let Seen { place: Some(place), username: Some(username), .. } = &seen else {
            return Err(unreachable_bot(&seen));
        };
        if daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?.is_some() {
            let missing = || Failure::new(FailureKind::Challenge, "this needs the approval passphrase");
            let confirming = caller.confirming_where_given(self.challenge).ok_or_else(missing)?;
            confirm(daemon, caller.by, confirming, What::Other(Width::PAIR)).await?;
        }
        let offer = daemon.pairing.offer(place, caller.by).await.map_err(|error| pairing_refused(&error))?;
        let code = offer.code.expose();
        Ok(PairingCode {
            code: spelled(code),
            link: format!("https://t.me/{username}?start={code}"),
            expires: offer.expires,
        })
    }
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

fn pairing_refused(error: &PairingError) -> Failure {
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

impl PersonRequest for UnpairTelegram {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("telegram unpair", "the bot".to_owned()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<bool, Failure> {
        let confirming = caller.confirming(self.challenge);
        let confirmed = confirm(daemon, caller.by, confirming, What::Other(Width::PAIR)).await?;
        let ended = daemon.pairing.unpair(&confirmed).await.map_err(|error| failure::of_store(&error))?;
        // The link begins anew, so nothing that waits goes to a person who is not paired any more.
        daemon.reloaded.send_replace(());
        Ok(ended)
    }
}
