//! How the bot fares, as `portero status` tells it.
//!
//! The channel writes it, the terminal's questions read it. It holds no text of anybody's.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use portero::ipc::{TelegramRefused, TelegramState, TelegramTrouble};
use portero::sync::lock;
use tokio::sync::watch;

use crate::auth::pairing::ConfiguredBot;

/// What is known of the bot.
#[derive(Debug, Clone)]
pub struct BotState {
    /// How it is.
    pub state: TelegramState,
    /// Which bot it is; none without one.
    pub bot: Option<ConfiguredBot>,
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
pub struct BotHealth {
    state: watch::Sender<BotState>,
    sending: Mutex<Option<SendingProbe>>,
}

/// How sending goes.
#[derive(Debug, Clone, Default)]
pub struct SendingState {
    /// How many messages wait to be sent.
    pub waiting: usize,
    /// What goes wrong with sending.
    pub trouble: Option<String>,
    /// What was refused and will not be shown.
    pub refused: Option<TelegramRefused>,
}

/// Tells how sending goes.
pub type SendingProbe = Arc<dyn Fn() -> SendingState + Send + Sync>;

impl Default for BotHealth {
    fn default() -> Self {
        let seen = BotState {
            state: TelegramState::Off,
            bot: None,
            username: None,
            last_poll: None,
            last_trouble: None,
            group_trouble: None,
            given_up: 0,
        };
        Self { state: watch::Sender::new(seen), sending: Mutex::default() }
    }
}

impl BotHealth {
    /// What is known now.
    #[must_use]
    pub fn state(&self) -> BotState {
        self.state.borrow().clone()
    }

    /// How sending goes.
    #[must_use]
    pub fn sending_state(&self) -> SendingState {
        let sending = self.lock_sending().clone();
        sending.map_or_else(SendingState::default, |sending| sending())
    }

    /// Waits until it is known whether the bot can be reached.
    pub async fn wait_until_known(&self) -> BotState {
        let mut seen = self.state.subscribe();
        let known = seen.wait_for(|seen| seen.state != TelegramState::Connecting).await;
        known.map_or_else(|_| self.state(), |seen| seen.clone())
    }

    /// Another bot, or none.
    pub(crate) fn reset(&self, state: TelegramState, place: Option<ConfiguredBot>) {
        *self.lock_sending() = None;
        self.state.send_replace(BotState {
            state,
            bot: place,
            username: None,
            last_poll: None,
            last_trouble: None,
            group_trouble: None,
            given_up: self.state().given_up,
        });
    }

    /// An update failed for ever and was given up.
    pub(crate) fn count_given_up(&self) {
        self.state.send_modify(|seen| seen.given_up += 1);
    }

    /// The bot told its name, and messages can be sent.
    pub(crate) fn set_connected(&self, username: String, sending: SendingProbe) {
        *self.lock_sending() = Some(sending);
        self.state.send_modify(|seen| {
            seen.state = TelegramState::Serving;
            seen.username = Some(username);
        });
    }

    /// A poll went well.
    pub(crate) fn note_poll(&self, now: Timestamp) {
        self.set_state(TelegramState::Serving, |seen| seen.last_poll = Some(now));
    }

    /// Something went wrong.
    pub(crate) fn note_trouble(&self, state: TelegramState, trouble: TelegramTrouble) {
        let words = trouble.what.clone();
        let turned = self.set_state(state, |seen| seen.last_trouble = Some(trouble));
        if turned {
            tracing::warn!(state = %state, "Telegram: {words}");
        }
    }

    /// What a person should change in the group, or that all is well there. It is logged once.
    pub(crate) fn set_group_trouble(&self, trouble: Option<&str>) {
        let turned = self.state.send_if_modified(|seen| {
            let turned = seen.group_trouble.as_deref() != trouble;
            seen.group_trouble = trouble.map(str::to_owned);
            turned
        });
        if let (true, Some(words)) = (turned, trouble) {
            tracing::warn!("Telegram: {words}");
        }
    }

    /// Whether the state is another one now.
    fn set_state(&self, state: TelegramState, also: impl FnOnce(&mut BotState)) -> bool {
        let mut turned = false;
        self.state.send_modify(|seen| {
            turned = seen.state != state;
            seen.state = state;
            also(seen);
        });
        turned
    }

    fn lock_sending(&self) -> MutexGuard<'_, Option<SendingProbe>> {
        lock(&self.sending)
    }
}

impl std::fmt::Debug for BotHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weather").field("seen", &*self.state.borrow()).finish_non_exhaustive()
    }
}
