//! How the bot fares, as `portero status` tells it.
//!
//! The channel writes it, the terminal's questions read it. It holds no text of anybody's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use portero::ipc::{TelegramRefused, TelegramState, TelegramTrouble};
use tokio::sync::watch;

use crate::pairing::Place;

/// What is known of the bot.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How it is.
    pub state: TelegramState,
    /// Which bot it is; none without one.
    pub place: Option<Place>,
    /// Its name, once it told it.
    pub username: Option<String>,
    /// When the last poll went well.
    pub last_poll: Option<Timestamp>,
    /// What last went wrong.
    pub last_trouble: Option<TelegramTrouble>,
    /// What a person should change in the group, if anything.
    pub group_trouble: Option<String>,
    /// How many updates failed for ever and were given up.
    pub given_up: u64,
}

/// How the bot fares.
pub struct Weather {
    seen: watch::Sender<Seen>,
    sending: Mutex<Option<Sending>>,
}

/// How sending goes.
#[derive(Debug, Clone, Default)]
pub struct Outward {
    /// How many messages wait to be sent.
    pub waiting: usize,
    /// What goes wrong with sending.
    pub trouble: Option<String>,
    /// What was refused and will not be shown.
    pub refused: Option<TelegramRefused>,
}

/// Tells how sending goes.
pub type Sending = Arc<dyn Fn() -> Outward + Send + Sync>;

impl Default for Weather {
    fn default() -> Self {
        let seen = Seen {
            state: TelegramState::Off,
            place: None,
            username: None,
            last_poll: None,
            last_trouble: None,
            group_trouble: None,
            given_up: 0,
        };
        Self { seen: watch::Sender::new(seen), sending: Mutex::default() }
    }
}

impl Weather {
    /// What is known now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// How sending goes.
    #[must_use]
    pub fn sending(&self) -> Outward {
        let sending = self.queue().clone();
        sending.map_or_else(Outward::default, |sending| sending())
    }

    /// Waits until it is known whether the bot can be reached.
    pub async fn known(&self) -> Seen {
        let mut seen = self.seen.subscribe();
        let known = seen.wait_for(|seen| seen.state != TelegramState::Connecting).await;
        known.map_or_else(|_| self.seen(), |seen| seen.clone())
    }

    /// Another bot, or none.
    pub(crate) fn begins(&self, state: TelegramState, place: Option<Place>) {
        *self.queue() = None;
        self.seen.send_replace(Seen {
            state,
            place,
            username: None,
            last_poll: None,
            last_trouble: None,
            group_trouble: None,
            given_up: self.seen().given_up,
        });
    }

    /// An update failed for ever and was given up.
    pub(crate) fn gave_up(&self) {
        self.seen.send_modify(|seen| seen.given_up += 1);
    }

    /// The bot told its name, and messages can be sent.
    pub(crate) fn connected(&self, username: String, sending: Sending) {
        *self.queue() = Some(sending);
        self.seen.send_modify(|seen| {
            seen.state = TelegramState::Serving;
            seen.username = Some(username);
        });
    }

    /// A poll went well.
    pub(crate) fn polled(&self, now: Timestamp) {
        self.turn(TelegramState::Serving, |seen| seen.last_poll = Some(now));
    }

    /// Something went wrong.
    pub(crate) fn failed(&self, state: TelegramState, trouble: TelegramTrouble) {
        let words = trouble.what.clone();
        let turned = self.turn(state, |seen| seen.last_trouble = Some(trouble));
        if turned {
            tracing::warn!(state = %state, "Telegram: {words}");
        }
    }

    /// What a person should change in the group, or that all is well there. It is logged once.
    pub(crate) fn group(&self, trouble: Option<&str>) {
        let turned = self.seen.send_if_modified(|seen| {
            let turned = seen.group_trouble.as_deref() != trouble;
            seen.group_trouble = trouble.map(str::to_owned);
            turned
        });
        if let (true, Some(words)) = (turned, trouble) {
            tracing::warn!("Telegram: {words}");
        }
    }

    /// Whether the state is another one now.
    fn turn(&self, state: TelegramState, also: impl FnOnce(&mut Seen)) -> bool {
        let mut turned = false;
        self.seen.send_modify(|seen| {
            turned = seen.state != state;
            seen.state = state;
            also(seen);
        });
        turned
    }

    fn queue(&self) -> MutexGuard<'_, Option<Sending>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Weather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weather").field("seen", &*self.seen.borrow()).finish_non_exhaustive()
    }
}
