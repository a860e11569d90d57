//! How fast messages go out.

use std::time::Duration;

/// How fast things go.
#[derive(Debug, Clone)]
pub struct SendTiming {
    /// The time between two messages to the same chat. Telegram: about a second.
    pub chat_interval: Duration,
    /// How many messages a minute a group takes. Telegram: 20.
    pub max_group_per_minute: usize,
    /// The first pause after a failure; it doubles with each further one.
    pub initial_backoff: Duration,
    /// The longest.
    pub max_backoff: Duration,
    /// The first pause before a chat that the bot may not write to is tried again; it doubles with each try.
    pub initial_chat_backoff: Duration,
    /// The longest.
    pub max_chat_backoff: Duration,
    /// How long an answer to a press is tried.
    pub answer_timeout: Duration,
}

impl Default for SendTiming {
    fn default() -> Self {
        Self {
            chat_interval: Duration::from_secs(1),
            max_group_per_minute: 20,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            initial_chat_backoff: Duration::from_secs(60),
            max_chat_backoff: Duration::from_secs(600),
            answer_timeout: Duration::from_secs(15),
        }
    }
}
