//! How a person confirms an act (guarantee A7): the one place that gets an [`Authorization`] for it.
//!
//! A terminal can ask the person on Telegram in place of the passphrase. No message on the socket confirms then: the
//! terminal shows a number and goes on once that number was pressed in the chat. The preview is computed again before
//! the act, and must be the same.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portero::config::duration::format_duration;
use portero::ipc::{
    Act, Challenge, DaemonFailure, FailureKind, FromDaemon, MessageSender, PushMessage, Risk,
    TelegramConfirmation, TelegramState,
};
use portero::names::Actor;
use tokio_util::sync::CancellationToken;

use super::{PersonRequest, failure, preview};
use crate::auth::Authorization;
use crate::auth::remote_confirmation::{
    ANSWER_TIMEOUT, ActOutcome, ConfirmationEnd, ConfirmationRequest, PendingConfirmation, REFUSAL_COOLDOWN,
    RemoteConfirmationError,
};
use crate::bot_health::BotState;
use crate::daemon::Daemon;

/// The longest time since the bot was last reached; a poll waits for less than a minute.
const REACHED_WITHIN: Duration = Duration::from_secs(180);

/// The factor that the person confirms with.
pub(super) enum Confirmation {
    /// The passphrase, and perhaps a code, typed at a terminal.
    Typed(Challenge),
    /// A number in the chat, which this terminal shows.
    OnTelegram(NumberPrompt),
    /// A button in the chat, which authorized this very act.
    Pressed(Authorization),
}

impl Confirmation {
    /// Returns the authorization of the act, once the factor was checked or the person answered on Telegram.
    ///
    /// # Errors
    /// Why the act is not confirmed.
    pub(super) async fn authorize(
        self,
        daemon: &Daemon,
        by: &Actor,
        act: &Act,
    ) -> Result<Authorization, DaemonFailure> {
        match self {
            Self::Pressed(authorization) => Ok(authorization),
            Self::OnTelegram(prompt) => ask_on_telegram(daemon, by, prompt, act).await,
            Self::Typed(challenge) => {
                let (given, code) = challenge.into_given();
                let authorized = daemon.passphrase.authorize(given, code, act, by).await;
                authorized.map_err(|error| failure::of_passphrase(&error))
            }
        }
    }
}

/// Returns the typed challenge of an act that changes a factor: one factor must not change another.
pub(super) fn typed(challenge: Challenge) -> Result<Challenge, DaemonFailure> {
    if challenge.telegram { Err(only_typed()) } else { Ok(challenge) }
}

/// The terminal that shows the number of a question on Telegram.
#[derive(Clone)]
pub(super) struct NumberPrompt {
    /// The number of its request on its connection.
    number: u64,
    outbox: MessageSender,
    withdrawn: CancellationToken,
    /// The question that was asked on Telegram for it.
    asked: Arc<OnceLock<i64>>,
}

impl NumberPrompt {
    pub(super) fn new(number: u64, outbox: MessageSender, withdrawn: CancellationToken) -> Self {
        Self { number, outbox, withdrawn, asked: Arc::default() }
    }

    /// Shows the chat the outcome of the act that was confirmed there.
    pub(super) async fn settle<R: PersonRequest>(
        &self,
        daemon: &Daemon,
        answered: &Result<R::Response, DaemonFailure>,
    ) {
        #[cfg(test)]
        if self.asked.get().is_some() {
            crate::crash::crash_at("consent done");
        }
        // A question that was not confirmed has told its end already.
        let Some(id) = self.asked.get().filter(|id| daemon.remote_confirmations.is_under_way(**id)) else {
            return;
        };
        let outcome = match answered {
            Ok(response) => R::outcome(response),
            Err(failure) => ActOutcome::Failed(Box::new(failure.clone())),
        };
        daemon.remote_confirmations.settle_question(*id, outcome).await;
    }

    async fn show_number(&self, waiting: &PendingConfirmation) {
        let tap = waiting.question.numbers.right_number().into();
        let number = PushMessage::Number { number: self.number, tap, seconds: ANSWER_TIMEOUT.as_secs() };
        // A terminal that is gone is noticed by the wait for its answer.
        let _ = self.outbox.send(&FromDaemon::Push(number)).await;
    }
}

/// Asks the person, and waits for the press on the right number.
async fn ask_on_telegram(
    daemon: &Daemon,
    by: &Actor,
    prompt: NumberPrompt,
    act: &Act,
) -> Result<Authorization, DaemonFailure> {
    if !act.is_widening() {
        return Err(only_typed());
    }
    // A number is one factor, and a high-risk act needs two once an authenticator is enrolled.
    if act.risk() == Risk::High && enrolled(daemon)? {
        return Err(unable(
            "this is wide and an authenticator is enrolled, so it takes the passphrase and a code",
        ));
    }
    // During a pause a terminal may ask for its end alone, because the person stopped everything else.
    if daemon.overrides.overrides().paused.is_some() && *act != Act::Resume {
        return Err(unable(
            "everything is paused, so a terminal can ask on Telegram to resume and for nothing else",
        ));
    }
    let place = place(daemon)?.map_err(|why| match why {
        TelegramConfirmation::NotNow(why) => unable(why),
        TelegramConfirmation::Never | TelegramConfirmation::Now => unable("Telegram is not paired yet"),
    })?;
    let sight = preview::of_act(daemon, act).await?;
    let seen = sight.digest();
    let asked = ConfirmationRequest { act: act.clone(), preview: sight, by: by.to_owned(), chat: place };
    let waiting = daemon.remote_confirmations.ask_person(asked).await.map_err(|error| refused(&error))?;
    let id = *prompt.asked.get_or_init(|| waiting.question.id);
    prompt.show_number(&waiting).await;
    let answer = daemon
        .remote_confirmations
        .wait_for_answer(waiting, &prompt.withdrawn, daemon.lifecycle.stop_signal())
        .await;
    let authorization = answer.map_err(ended)?;
    #[cfg(test)]
    crate::crash::crash_at("number tapped");
    // The state may have changed while the person read, and they confirmed what they saw.
    let now = preview::of_act(daemon, act).await;
    if now.is_ok_and(|now| now.digest() == seen) {
        return Ok(authorization);
    }
    daemon.remote_confirmations.settle_question(id, ActOutcome::Changed).await;
    Err(ended(ConfirmationEnd::Changed))
}

/// Returns whether a widening act of a terminal can be confirmed on Telegram now.
pub(super) async fn telegram_confirms(daemon: &Daemon) -> Result<TelegramConfirmation, DaemonFailure> {
    if let Err(why) = place(daemon)? {
        return Ok(why);
    }
    let hindrance =
        daemon.remote_confirmations.blocked_reason().await.map_err(|error| failure::of_store(&error))?;
    Ok(hindrance.map_or(TelegramConfirmation::Now, |error| TelegramConfirmation::NotNow(error.to_string())))
}

/// The refusal of a confirmation on Telegram: one factor must not change another, and a denied call is not
/// pressed again.
fn only_typed() -> DaemonFailure {
    DaemonFailure::new(FailureKind::Challenge, "this is not confirmed on Telegram: it takes the passphrase")
}

/// The bot and the chat, if both can be relied on now.
fn place(daemon: &Daemon) -> Result<Result<(i64, i64), TelegramConfirmation>, DaemonFailure> {
    let seen = daemon.bot_health.state();
    let Some(at) = &seen.bot else { return Ok(Err(TelegramConfirmation::Never)) };
    let circle = daemon.pairing.authorized_chat(at).map_err(|error| failure::of_store(&error))?;
    let Some(circle) = circle else { return Ok(Err(TelegramConfirmation::Never)) };
    let well = well(daemon, &seen).map(|()| (at.bot, circle.chat()));
    Ok(well.map_err(TelegramConfirmation::NotNow))
}

fn well(daemon: &Daemon, seen: &BotState) -> Result<(), String> {
    // A question that can't be delivered would make the terminal wait in vain.
    let trouble = || seen.last_trouble.as_ref().map_or("no answer yet", |trouble| trouble.what.as_str());
    match seen.state {
        TelegramState::Serving => {}
        TelegramState::Off
        | TelegramState::Invalid
        | TelegramState::Connecting
        | TelegramState::Troubled
        | TelegramState::Conflict
        | TelegramState::Unauthorized => return Err(format!("the bot cannot be reached: {}", trouble())),
    }
    if let Some(trouble) = daemon.bot_health.sending_state().trouble {
        return Err(format!("messages on Telegram do not arrive: {trouble}"));
    }
    let Some(last) = seen.last_poll else { return Err("the bot was not reached yet".to_owned()) };
    let ago = Duration::try_from(daemon.clock.now().wall.duration_since(last)).unwrap_or_default();
    if ago > REACHED_WITHIN {
        let ago = format_duration(Duration::from_secs(ago.as_secs()));
        return Err(format!("the bot was last reached {ago} ago"));
    }
    Ok(())
}

fn enrolled(daemon: &Daemon) -> Result<bool, DaemonFailure> {
    let enrolled = daemon.passphrase.enrolled_totp().map_err(|error| failure::of_store(&error))?;
    Ok(enrolled.is_some())
}

/// The failure if no question was asked.
fn unable(why: impl Into<String>) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Challenge, why).with_hint("confirm it with the passphrase")
}

fn refused(error: &RemoteConfirmationError) -> DaemonFailure {
    match error {
        RemoteConfirmationError::Busy(_) => DaemonFailure::new(FailureKind::Challenge, error.to_string())
            .with_hint("if that was not you, refuse it on your phone; confirm yours with the passphrase"),
        RemoteConfirmationError::OnHold(..) => unable(error.to_string()),
        RemoteConfirmationError::Store(error) => failure::of_store(error),
    }
}

/// The failure of a question that ended without a confirmation.
fn ended(end: ConfirmationEnd) -> DaemonFailure {
    let failure = |what: &str| DaemonFailure::new(FailureKind::Refused, what.to_owned());
    let held = REFUSAL_COOLDOWN.as_mins();
    let passphrase = format!("for {held} min no terminal can ask there; confirm it with the passphrase");
    match end {
        ConfirmationEnd::Refused => {
            failure("it was refused on Telegram, so nothing changed").with_hint(passphrase)
        }
        ConfirmationEnd::Wrong => {
            failure("another number was tapped on Telegram, so nothing changed").with_hint(passphrase)
        }
        ConfirmationEnd::Expired => failure("no answer came on Telegram in time, so nothing changed")
            .with_hint("ask again, or confirm it with the passphrase"),
        ConfirmationEnd::Changed => failure("something changed since it was shown, so nothing was done")
            .with_hint("ask again, and read the new preview"),
        ConfirmationEnd::Gone => failure("it was withdrawn, so nothing changed"),
        ConfirmationEnd::Restarted => {
            failure("the daemon ended before this was answered on Telegram, so nothing changed")
                .with_hint("ask again, or confirm it with the passphrase")
        }
        ConfirmationEnd::Unsent => unable("the message could not be delivered on Telegram"),
        // These two ends follow a right number, whose terminal has its answer.
        ConfirmationEnd::Done | ConfirmationEnd::Failed => failure("it was answered on Telegram"),
    }
}
