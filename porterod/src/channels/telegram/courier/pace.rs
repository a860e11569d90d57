//! How fast messages go out.

use std::time::Duration;

/// How fast things go.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The time between two messages to the same chat. Telegram: about a second.
    pub gap: Duration,
    /// How many messages a minute a group takes. Telegram: 20.
    pub group_minute: usize,
    /// The first pause after a failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest.
    pub longest_pause: Duration,
    /// The first pause before a chat that the bot may not write to is tried again; it doubles with each try.
    pub first_chat_pause: Duration,
    /// The longest.
    pub longest_chat_pause: Duration,
    /// How long an answer to a press is tried.
    pub answer_for: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gap: Duration::from_secs(1),
            group_minute: 20,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            first_chat_pause: Duration::from_secs(60),
            longest_chat_pause: Duration::from_secs(600),
            answer_for: Duration::from_secs(15),
        }
    }
}
