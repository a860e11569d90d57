//! The second factors: the passphrase, the authenticator, and the person who decides on Telegram.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::requests::auth::{
    EnrollTotp, GetPassphraseSalt, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::{Act, DaemonFailure, DisclosedSecret, FailureKind, PairingCode, TelegramState};
use portero::passphrase::KdfParams;

use super::attempt::Attempt;
use super::confirmation::typed;
use super::{PersonCaller, PersonRequest, failure};
use crate::auth::pairing::PairingError;
use crate::bot_health::BotState;
use crate::daemon::Daemon;

/// The wait for a bot that was not reached yet.
const BOT_TIMEOUT: Duration = Duration::from_secs(5);

impl PersonRequest for SetPassphrase {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::SetPassphrase).into())
    }

    /// Sets the passphrase; the first one seals the configuration too.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let (old, new) = (self.old.map(typed).transpose()?, typed(self.new)?);
        let old = old.map(|old| old.into_given().0);
        let new = new
            .into_new_passphrase()
            .ok_or_else(|| DaemonFailure::new(FailureKind::Invalid, "no new passphrase was given"))?;
        let set = daemon.passphrase.set_passphrase(old, new, caller.by).await;
        set.map_err(|error| failure::of_passphrase(&error))?;
        // The first passphrase makes confirmations possible. A daemon that dies here seals at its next start.
        daemon.config.seal_present(caller.by).await.map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for GetPassphraseSalt {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Option<KdfParams>, DaemonFailure> {
        daemon.passphrase.kdf_params().map_err(|error| failure::of_store(&error))
    }
}

impl PersonRequest for OfferTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::EnrollTotp).into())
    }

    /// Offers a new secret to a person who knows the passphrase; it has no effect yet.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<DisclosedSecret, DaemonFailure> {
        let offered = daemon.passphrase.offer_totp(typed(self.challenge)?.into_given().0).await;
        offered.map(Into::into).map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for EnrollTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::EnrollTotp).into())
    }

    /// Enrols the offered secret, once a first code shows that an authenticator has it.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<Vec<DisclosedSecret>, DaemonFailure> {
        let (given, code) = typed(self.challenge)?.into_given();
        let enrolled = daemon.passphrase.enroll_totp(given, code, caller.by).await;
        enrolled
            .map(|codes| codes.into_iter().map(Into::into).collect())
            .map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for RemoveTotp {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::RemoveTotp).into())
    }

    /// Removes the authenticator: the passphrase alone then confirms high-risk acts.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let (given, code) = typed(self.challenge)?.into_given();
        let removed = daemon.passphrase.remove_totp(given, code, caller.by).await;
        removed.map_err(|error| failure::of_passphrase(&error))
    }
}

impl PersonRequest for PairTelegram {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Pair).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<PairingCode, DaemonFailure> {
        // A bot that was configured a moment ago may need a few seconds for its first answer.
        let known = tokio::time::timeout(BOT_TIMEOUT, daemon.bot_health.wait_until_known()).await;
        let seen = known.unwrap_or_else(|_| daemon.bot_health.state());
        let BotState { bot: Some(place), username: Some(username), .. } = &seen else {
            return Err(unreachable_bot(&seen));
        };
        // Without a passphrase nothing is protected yet, so a first pairing needs no proof.
        if daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?.is_some() {
            let missing = || DaemonFailure::new(FailureKind::Challenge, "this needs the approval passphrase");
            let challenge = self.challenge.ok_or_else(missing)?;
            caller.confirmation(challenge).authorize(daemon, caller.by, &Act::Pair).await?;
        }
        let offer =
            daemon.pairing.offer_code(place, caller.by).await.map_err(|error| pairing_refused(&error))?;
        let code = offer.code.expose();
        Ok(PairingCode {
            code: spelled(code),
            link: format!("https://t.me/{username}?start={code}"),
            expires: offer.expires,
        })
    }
}

/// Spells a code in groups of four, as people read it.
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

fn unreachable_bot(seen: &BotState) -> DaemonFailure {
    match seen.state {
        TelegramState::Off => DaemonFailure::new(FailureKind::Refused, "no bot is configured").with_hint(
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
            DaemonFailure::new(FailureKind::Refused, format!("the bot cannot be reached: {why}"))
                .with_hint("see `portero status`")
        }
    }
}

fn pairing_refused(error: &PairingError) -> DaemonFailure {
    match error {
        PairingError::Paired(_) => DaemonFailure::new(FailureKind::Refused, error.to_string())
            .with_hint("end that first with `portero telegram unpair`"),
        PairingError::NamedInConfig(_) => DaemonFailure::new(FailureKind::Refused, error.to_string()).with_hint(
            "remove `telegram.admin` from portero.json and TELEGRAM_ADMIN_CHAT_ID from .env to pair",
        ),
        PairingError::GroupInConfig(_) => DaemonFailure::new(FailureKind::Refused, error.to_string()).with_hint(
            "write a user's number into `telegram.deciders` of portero.json, or remove `telegram.chat` to pair one \
             person in their private chat",
        ),
        PairingError::Store(error) => failure::of_store(error),
    }
}

impl PersonRequest for UnpairTelegram {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Unpair).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<bool, DaemonFailure> {
        let confirmation = caller.confirmation(self.challenge);
        let confirmed = confirmation.authorize(daemon, caller.by, &Act::Unpair).await?;
        daemon.pairing.unpair(confirmed).await.map_err(|error| failure::of_store(&error))
    }
}
