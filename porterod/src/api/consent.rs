//! A terminal asks the person on Telegram, in place of the passphrase.
//!
//! Nothing that is said on the socket confirms: the terminal is told a number, and goes on once that number was
//! tapped in the chat. What was shown there is looked at again before anything is done.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portero::config::duration::show;
use portero::ipc::{
    Failure, FailureKind, FromDaemon, Outbox, Push, Reaching, TelegramConfirms, TelegramState, Width,
};
use portero::pattern::Pattern;
use portero::task::State;
use tokio_util::sync::CancellationToken;

use super::{PersonRequest, config, failure, preview};
use crate::approval::DeskError;
use crate::consent::{Asked, ConsentError, End, HELD_FOR, Outcome, PATIENCE, Sight, Waiting, Wish};
use crate::daemon::Daemon;
use crate::passphrase::{Confirmed, What};
use crate::weather::Seen;

/// How long ago the bot may have been reached, at the most: a poll waits for less than a minute.
const REACHED_WITHIN: Duration = Duration::from_secs(180);

/// The terminal beside the phone.
#[derive(Clone)]
pub(super) struct Beside {
    /// The number of its question on its connection.
    number: u64,
    outbox: Outbox,
    withdrawn: CancellationToken,
    /// What was asked on Telegram for it.
    asked: Arc<OnceLock<i64>>,
}

impl Beside {
    pub(super) fn new(number: u64, outbox: Outbox, withdrawn: CancellationToken) -> Self {
        Self { number, outbox, withdrawn, asked: Arc::default() }
    }

    /// Tells the chat what came of what was confirmed there.
    pub(super) async fn settle<R: PersonRequest>(
        &self,
        daemon: &Daemon,
        answered: &Result<R::Response, Failure>,
    ) {
        #[cfg(test)]
        if self.asked.get().is_some() {
            crate::crash::reached("consent done");
        }
        let Some(id) = self.asked.get().filter(|id| daemon.consents.is_under_way(**id)) else { return };
        let outcome = match answered {
            Ok(response) => R::outcome(response),
            Err(failure) => Outcome::Failed(Box::new(failure.clone())),
        };
        daemon.consents.settle(*id, outcome).await;
    }

    async fn show(&self, waiting: &Waiting) {
        let tap = waiting.question.numbers.right().into();
        let number = Push::Number { number: self.number, tap, seconds: PATIENCE.as_secs() };
        // A terminal that is gone is found to be.
        let _ = self.outbox.send(&FromDaemon::Push(number)).await;
    }
}

/// Asks, and waits for the tap.
pub(super) async fn ask(
    daemon: &Daemon,
    by: &str,
    beside: Beside,
    what: What<'_>,
) -> Result<Confirmed, Failure> {
    let wish = wish(daemon, &what)?;
    if what.width() == Width::Wide && enrolled(daemon)? {
        return Err(unable(
            "this is wide and an authenticator is enrolled, so it takes the passphrase and a code",
        ));
    }
    if daemon.rules.standing().paused.is_some() && wish != Wish::Resume {
        return Err(unable(
            "everything is paused, so a terminal can ask on Telegram to resume and for nothing else",
        ));
    }
    let place = place(daemon)?.map_err(|why| match why {
        TelegramConfirms::NotNow(why) => unable(why),
        TelegramConfirms::Never | TelegramConfirms::Now => unable("nobody is paired on Telegram"),
    })?;
    let sight = sight(daemon, &wish).await?;
    let seen = sight.digest();
    let asked = Asked { wish: wish.clone(), sight, by: by.to_owned(), place };
    let waiting = daemon.consents.ask(asked).await.map_err(|error| refused(&error))?;
    let id = *beside.asked.get_or_init(|| waiting.question.id);
    beside.show(&waiting).await;
    let answer = daemon.consents.answer(waiting, &beside.withdrawn, &daemon.stop).await;
    let consented = answer.map_err(ended)?;
    #[cfg(test)]
    crate::crash::reached("number tapped");
    let now = self::sight(daemon, &wish).await;
    if now.is_ok_and(|now| now.digest() == seen) {
        return Ok(Confirmed::of_consented(consented));
    }
    daemon.consents.settle(id, Outcome::Changed).await;
    Err(ended(End::Changed))
}

/// Whether what a terminal widens can be confirmed on Telegram now.
pub(super) async fn confirms(daemon: &Daemon) -> Result<TelegramConfirms, Failure> {
    if let Err(why) = place(daemon)? {
        return Ok(why);
    }
    let hindrance = daemon.consents.hindrance().await.map_err(|error| failure::of_store(&error))?;
    Ok(hindrance.map_or(TelegramConfirms::Now, |error| TelegramConfirms::NotNow(error.to_string())))
}

/// One factor does not change another, and who said no on their phone is not asked there again by a terminal.
pub(super) fn only_typed() -> Failure {
    Failure::new(FailureKind::Challenge, "this is not confirmed on Telegram: it takes the passphrase")
}

/// The bot and the chat, where both can be relied on now.
fn place(daemon: &Daemon) -> Result<Result<(i64, i64), TelegramConfirms>, Failure> {
    let seen = daemon.weather.seen();
    let Some(at) = &seen.place else { return Ok(Err(TelegramConfirms::Never)) };
    let circle = daemon.pairing.circle(at).map_err(|error| failure::of_store(&error))?;
    let Some(circle) = circle else { return Ok(Err(TelegramConfirms::Never)) };
    let well = well(daemon, &seen).map(|()| (at.bot, circle.chat()));
    Ok(well.map_err(TelegramConfirms::NotNow))
}

fn well(daemon: &Daemon, seen: &Seen) -> Result<(), String> {
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
    if let Some(trouble) = daemon.weather.sending().trouble {
        return Err(format!("messages on Telegram do not arrive: {trouble}"));
    }
    let Some(last) = seen.last_poll else { return Err("the bot was not reached yet".to_owned()) };
    let ago = Duration::try_from(daemon.clock.now().wall.duration_since(last)).unwrap_or_default();
    if ago > REACHED_WITHIN {
        let ago = show(Duration::from_secs(ago.as_secs()));
        return Err(format!("the bot was last reached {ago} ago"));
    }
    Ok(())
}

fn enrolled(daemon: &Daemon) -> Result<bool, Failure> {
    let enrolled = daemon.passphrase.enrolled().map_err(|error| failure::of_store(&error))?;
    Ok(enrolled.is_some())
}

/// What the terminal wants, as the person is asked for it.
fn wish(daemon: &Daemon, what: &What<'_>) -> Result<Wish, Failure> {
    Ok(match what {
        What::Call(task) => Wish::Run(*task),
        What::Grant(pattern, lasts, limits) => {
            let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            Wish::Grant((*pattern).clone(), millis, (*limits).clone())
        }
        What::Allow(pattern) => Wish::Allow((*pattern).clone()),
        What::Unrule(id, pattern) => {
            let rules = daemon.rules.standing().rules;
            let action = rules.iter().find(|rule| rule.id == *id).map(|rule| rule.action);
            let gone = || Failure::new(FailureKind::NotFound, format!("there is no rule {id}"));
            Wish::Unrule(*id, (*pattern).clone(), action.ok_or_else(gone)?)
        }
        What::Resume => Wish::Resume,
        What::Reveal(task) => Wish::Reveal(*task),
        What::Configuration(shown) => Wish::Configuration((*shown).to_owned()),
        What::Other(_) => return Err(only_typed()),
    })
}

/// What it would change, as it is now.
async fn sight(daemon: &Daemon, wish: &Wish) -> Result<Sight, Failure> {
    match wish {
        Wish::Grant(pattern, ..) => tools(daemon, pattern, Reaching::Grant).await,
        Wish::Allow(pattern) => tools(daemon, pattern, Reaching::Allow).await,
        Wish::Unrule(id, pattern, _) => tools(daemon, pattern, Reaching::Unrule(*id)).await,
        Wish::Resume => Ok(Sight::Tools(Vec::new())),
        Wish::Run(task) => {
            let look = super::look(daemon, *task)?;
            if look.task.state != State::PendingApproval {
                return Err(failure::of_desk(&DeskError::Settled(*task, look.task.state)));
            }
            if !look.task.quorums.is_empty() {
                let words = "this call takes several people, each on its card on Telegram; a terminal is none of them";
                return Err(Failure::new(FailureKind::Refused, words));
            }
            Ok(Sight::Task(Box::new(look)))
        }
        Wish::Reveal(task) => super::look(daemon, *task).map(|look| Sight::Task(Box::new(look))),
        Wish::Configuration(_) => {
            config::waiting(daemon).await.map(|waiting| Sight::Configuration(Box::new(waiting)))
        }
    }
}

async fn tools(daemon: &Daemon, pattern: &Pattern, by: Reaching) -> Result<Sight, Failure> {
    preview::tools(daemon, pattern, by).await.map(Sight::Tools)
}

/// Nobody was asked.
fn unable(why: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Challenge, why).with_hint("confirm it with the passphrase")
}

fn refused(error: &ConsentError) -> Failure {
    match error {
        ConsentError::Busy(_) => Failure::new(FailureKind::Challenge, error.to_string())
            .with_hint("if that was not you, refuse it on your phone; confirm yours with the passphrase"),
        ConsentError::Held(..) => unable(error.to_string()),
        ConsentError::Store(error) => failure::of_store(error),
    }
}

/// Why a question that was asked confirmed nothing.
fn ended(end: End) -> Failure {
    let failure = |what: &str| Failure::new(FailureKind::Refused, what.to_owned());
    let held = HELD_FOR.as_mins();
    let passphrase = format!("for {held} min no terminal can ask there; confirm it with the passphrase");
    match end {
        End::Refused => failure("it was refused on Telegram, so nothing changed").with_hint(passphrase),
        End::Wrong => {
            failure("another number was tapped on Telegram, so nothing changed").with_hint(passphrase)
        }
        End::Expired => failure("nobody answered on Telegram in time, so nothing changed")
            .with_hint("ask again, or confirm it with the passphrase"),
        End::Changed => failure("something changed since it was shown, so nothing was done")
            .with_hint("ask again, and look at it anew"),
        End::Gone => failure("it was withdrawn, so nothing changed"),
        End::Restarted => {
            failure("the daemon ended before this was answered on Telegram, so nothing changed")
                .with_hint("ask again, or confirm it with the passphrase")
        }
        End::Unsent => unable("the message could not be delivered on Telegram"),
        // Whoever is told of these has the answer.
        End::Done | End::Failed => failure("it was answered on Telegram"),
    }
}
