//! The bot's health, for `portero status`.
//!
//! The channel writes it and the terminal's requests read it. It holds no text from messages.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use portero::ipc::{TelegramRefused, TelegramState, TelegramTrouble};
use portero::sync::lock;
use tokio::sync::watch;

use crate::auth::pairing::ConfiguredBot;

/// The known state of the bot.
#[derive(Debug, Clone)]
pub struct BotState {
    /// Its present state.
    pub state: TelegramState,
    /// Its number and address; none without a bot.
    pub bot: Option<ConfiguredBot>,
    /// Its name, once Telegram stated it.
    pub username: Option<String>,
    /// The time of the last successful poll.
    pub last_poll: Option<Timestamp>,
    /// The last problem.
    pub last_trouble: Option<TelegramTrouble>,
    /// A problem in the group that a person should fix.
    pub group_trouble: Option<String>,
    /// How many updates failed permanently and were given up.
    pub given_up: u64,
}

/// The health of the bot.
pub struct BotHealth {
    state: watch::Sender<BotState>,
    sending: Mutex<Option<SendingProbe>>,
}

/// The state of the sender.
#[derive(Debug, Clone, Default)]
pub struct SendingState {
    /// How many messages wait.
    pub waiting: usize,
    /// The present problem with sending.
    pub trouble: Option<String>,
    /// The last refused message, which will not be shown.
    pub refused: Option<TelegramRefused>,
}

/// Returns the state of the sender.
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
    /// The present state.
    #[must_use]
    pub fn state(&self) -> BotState {
        self.state.borrow().clone()
    }

    /// The state of the sender.
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

    /// Starts again with another bot, or with none.
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

    /// Counts an update that failed permanently.
    pub(crate) fn count_given_up(&self) {
        self.state.send_modify(|seen| seen.given_up += 1);
    }

    /// Notes that the bot answered with its name and that messages can be sent.
    pub(crate) fn set_connected(&self, username: String, sending: SendingProbe) {
        *self.lock_sending() = Some(sending);
        self.state.send_modify(|seen| {
            seen.state = TelegramState::Serving;
            seen.username = Some(username);
        });
    }

    /// Notes a successful poll.
    pub(crate) fn note_poll(&self, now: Timestamp) {
        self.set_state(TelegramState::Serving, |seen| seen.last_poll = Some(now));
    }

    /// Notes a problem; it is logged when the state changes.
    pub(crate) fn note_trouble(&self, state: TelegramState, trouble: TelegramTrouble) {
        let words = trouble.what.clone();
        let turned = self.set_state(state, |seen| seen.last_trouble = Some(trouble));
        if turned {
            tracing::warn!(state = %state, "Telegram: {words}");
        }
    }

    /// Sets or clears the problem in the group. A new one is logged once.
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

    /// Sets the state, and returns whether it changed.
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
