//! Keeps the bot of the configuration in service: connects, listens, sends, and begins anew when the
//! configuration names another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::config::{Notices, Telegram};
use portero::ipc::{TelegramState, TelegramTrouble};
use portero::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::aside::Aside;
use super::bot::{Address, Bot, BotError, ChatId, Me, Refusal};
use super::courier::{Courier, Pace, doubled};
use super::ear::{Ear, Flow, Listening};
use crate::daemon::Daemon;
use crate::pairing::{Group, Place};
use crate::weather::Outward;

/// How fast everything goes; a test gives its own.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Sending.
    pub pace: Pace,
    /// Listening.
    pub listening: Listening,
    /// How long a request may take.
    pub patience: Duration,
    /// The person's time zone.
    pub zone: TimeZone,
    /// How often it is looked whether it is time to tell the head of the audit.
    pub head_look: Duration,
    /// For how long news is gathered after some was told.
    pub gather: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            listening: Listening::default(),
            patience: Address::PATIENCE,
            zone: TimeZone::system(),
            head_look: Duration::from_secs(60),
            gather: Duration::from_secs(10),
        }
    }
}

/// What a link is made from; another one makes another link.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    telegram: Telegram,
    proxy: Option<Secret>,
    /// How often a pairing was ended: nothing goes to whom the bot no longer listens to.
    endings: u64,
}

/// How long to wait before it is stored again that a group moved.
const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a bot is no longer talked to.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// Telegram does not know the bot, and whether it did before.
    Unknown { was_known: bool },
    /// The chat has another number.
    Moved,
}

/// Serves the bot that the configuration names, whichever that is, until the daemon is to end.
pub async fn serve(daemon: Arc<Daemon>, flow: Arc<dyn Flow>, tuning: Tuning) {
    let mut former = None;
    let mut changes = daemon.reloaded.subscribe();
    while !daemon.stop.is_cancelled() {
        let wanted = wanted(&daemon);
        let stop = daemon.stop.child_token();
        let other_is_wanted = async {
            while changes.changed().await.is_ok() && self::wanted(&daemon) == wanted {}
            stop.cancel();
        };
        let link = serve_one((&daemon, &flow, &tuning), wanted.as_ref(), &mut former, &stop);
        tokio::pin!(link);
        tokio::select! {
            () = other_is_wanted => link.await,
            () = &mut link => {}
        }
    }
}

fn wanted(daemon: &Daemon) -> Option<Wanted> {
    let telegram = daemon.config.load().settings.telegram.clone()?;
    // What is told of calls that nobody was asked about is read when it is told.
    let telegram = Telegram { notices: Notices::default(), ..telegram };
    let set = |name: &str| (daemon.environment)(name).and_then(|value| value.into_string().ok());
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(|name| set(name).filter(|value| !value.is_empty()))
        .map(Secret::new);
    Some(Wanted { telegram, proxy, endings: daemon.pairing.endings() })
}

/// Serves one bot until it is told to stop: what cannot be served waits for another configuration.
///
/// `former` is the last courier, to whose pace the next one keeps.
async fn serve_one(
    (daemon, flow, tuning): (&Arc<Daemon>, &Arc<dyn Flow>, &Tuning),
    wanted: Option<&Wanted>,
    former: &mut Option<Courier>,
    stop: &CancellationToken,
) {
    let weather = &daemon.weather;
    let Some(Wanted { telegram, proxy, .. }) = wanted else {
        weather.begins(TelegramState::Off, None);
        return stop.cancelled().await;
    };
    let address = Address {
        token: telegram.token.clone(),
        api_url: telegram.api_url.clone(),
        proxy: proxy.clone(),
        patience: tuning.patience,
    };
    let bot = match Bot::new(&address) {
        Ok(bot) => bot,
        Err(error) => {
            weather.begins(TelegramState::Invalid, None);
            trouble(daemon, TelegramState::Invalid, "invalid", error.to_string());
            return stop.cancelled().await;
        }
    };
    let place = place(&bot, telegram);
    weather.begins(TelegramState::Connecting, Some(place.clone()));
    let mut tries = 0;
    loop {
        let ended = match stop.run_until_cancelled(meet(daemon, &bot, tuning)).await {
            None => return,
            Some(None) => Ended::Unknown { was_known: false },
            Some(Some(me)) => {
                let (ear, courier) = linked(daemon, flow, tuning, (&bot, me, &place));
                if let Some(former) = former.replace(courier.clone()) {
                    courier.follow(&former);
                }
                talk(daemon, &ear, &courier, stop).await
            }
        };
        match ended {
            Ended::Stopped => return,
            Ended::Moved => continue,
            Ended::Unknown { was_known: true } => tries = 0,
            Ended::Unknown { was_known: false } => {}
        }
        let error = BotError::Unauthorized;
        trouble(daemon, TelegramState::Unauthorized, error.kind(), error.to_string());
        // A token that was revoked never comes back, but Telegram says so in outages, too.
        let Listening { first_unknown_pause, unknown_pause, .. } = tuning.listening;
        let pause = doubled(first_unknown_pause, unknown_pause, tries, rand::random());
        tries = tries.saturating_add(1);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// What listens to a bot that told its name, and what sends by it.
fn linked(
    daemon: &Arc<Daemon>,
    flow: &Arc<dyn Flow>,
    tuning: &Tuning,
    (bot, me, place): (&Bot, Me, &Place),
) -> (Ear, Courier) {
    let courier = Courier::new(
        bot.clone(),
        Arc::clone(&daemon.journal),
        Arc::clone(&daemon.anonymizer),
        tuning.pace.clone(),
    );
    let waiting = courier.clone();
    let in_group = place.group.is_some();
    let sending = move || Outward {
        waiting: waiting.waiting(),
        trouble: waiting.trouble().map(|error| told(&error, in_group)),
        refused: waiting.refused(),
    };
    daemon.weather.connected(me.username.clone(), Arc::new(sending));
    let ear = Ear {
        bot: bot.clone(),
        username: me.username,
        place: place.clone(),
        journal: Arc::clone(&daemon.journal),
        pairing: Arc::clone(&daemon.pairing),
        weather: Arc::clone(&daemon.weather),
        courier: courier.clone(),
        flow: Arc::clone(flow),
        listening: tuning.listening.clone(),
        aside: Aside::new(daemon.paths.updates(bot.id().0)),
        last_whoami: Mutex::default(),
        polled: AtomicBool::new(false),
    };
    (ear, courier)
}

fn place(bot: &Bot, telegram: &Telegram) -> Place {
    let group = telegram.group.as_ref().map(|group| Group {
        chat: group.chat,
        // No user has a number that does not fit.
        deciders: group.deciders.iter().filter_map(|user| i64::try_from(*user).ok()).collect(),
    });
    Place { bot: bot.id().0, api_url: telegram.api_url.clone(), admin: telegram.admin, group }
}

/// Sends and listens, until it is told to stop, Telegram knows the bot no more, or the chat has another number. A
/// poll that waits is given up.
async fn talk(daemon: &Daemon, ear: &Ear, courier: &Courier, stop: &CancellationToken) -> Ended {
    match ear.pairing.circle(&ear.place) {
        Ok(circle) => ear.flow.linked(courier, circle),
        Err(error) => tracing::error!(%error, "it cannot be told who is paired"),
    }
    let ending = stop.child_token();
    let sending = courier.run(ending.clone());
    tokio::pin!(sending);
    let listening = async {
        tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            () = ear.listen() => Ended::Unknown { was_known: true },
            () = moved(daemon, ear, courier) => Ended::Moved,
        }
    };
    let ended = tokio::select! {
        _ = &mut sending => None,
        ended = listening => Some(ended),
    };
    match ended {
        Some(ended @ (Ended::Stopped | Ended::Moved)) => {
            // What is under way may arrive still.
            ending.cancel();
            sending.await;
            ended
        }
        None if stop.is_cancelled() => Ended::Stopped,
        None | Some(Ended::Unknown { .. }) => {
            Ended::Unknown { was_known: ear.polled.load(Ordering::Relaxed) }
        }
    }
}

/// Returns once the chat in which the bot speaks became a supergroup, and that is stored.
async fn moved(daemon: &Daemon, ear: &Ear, courier: &Courier) {
    let mut moves = courier.moves();
    loop {
        let known = *moves.borrow_and_update();
        if let Some((ChatId(from), ChatId(to))) = known {
            match ear.pairing.moved(&ear.place, from, to).await {
                Ok(true) => {
                    tracing::warn!("Telegram: the group {from} is a supergroup now, and is followed to {to}");
                    return;
                }
                // It is some other chat.
                Ok(false) => {}
                Err(error) => {
                    trouble(daemon, TelegramState::Troubled, "store", error.to_string());
                    tokio::time::sleep(STORE_RETRY_INTERVAL).await;
                    continue;
                }
            }
        }
        // The sender lives as long as the courier.
        let _ = moves.changed().await;
    }
}

/// Asks the bot for its name, until it tells it. None when Telegram knows no such bot.
async fn meet(daemon: &Daemon, bot: &Bot, tuning: &Tuning) -> Option<Me> {
    let Listening { first_pause, longest_pause, .. } = tuning.listening;
    let mut failures = 0;
    loop {
        match bot.me().await {
            Ok(me) => return Some(me),
            Err(BotError::Unauthorized) => return None,
            Err(error) => {
                trouble(daemon, TelegramState::Troubled, error.kind(), error.to_string());
                let pause = doubled(first_pause, longest_pause, failures, rand::random());
                let asked = match error {
                    BotError::RetryAfter(after) => after.wait(),
                    BotError::Server(_)
                    | BotError::Conflict
                    | BotError::Unauthorized
                    | BotError::Blocked
                    | BotError::Moved(_)
                    | BotError::Refused(_)
                    | BotError::Network(_)
                    | BotError::Nonsense => Duration::ZERO,
                };
                tokio::time::sleep(pause.max(asked)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// What goes wrong with sending, and what to do.
fn told(error: &BotError, in_group: bool) -> String {
    match (error, in_group) {
        (BotError::Blocked | BotError::Refused(Refusal::ChatUnknown | Refusal::NoRightToWrite), true) => {
            format!(
                "{error}: the bot is not in the group, or may not write there; add it, or let it send messages. What \
             waits is sent by itself then"
            )
        }
        (BotError::Blocked | BotError::Refused(Refusal::ChatUnknown | Refusal::NoRightToWrite), false) => {
            format!(
                "{error}: write /start to the bot, and do not block it. What waits is sent by itself then"
            )
        }
        (error, _) => error.to_string(),
    }
}

fn trouble(daemon: &Daemon, state: TelegramState, kind: &str, what: String) {
    let at = daemon.clock.now().wall;
    daemon.weather.failed(state, TelegramTrouble { at, kind: kind.to_owned(), what });
}
