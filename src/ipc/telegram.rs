//! The status of the Telegram bot, and the pairing with it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The status of the bot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramStatus {
    /// Its state.
    pub state: TelegramState,
    /// The bot's name without `@`, once it is known.
    pub bot: Option<String>,
    /// The user that the bot obeys.
    pub person: Option<TelegramPerson>,
    /// The group that it obeys instead of one person.
    pub group: Option<TelegramGroup>,
    /// When the last poll succeeded.
    pub last_poll: Option<Timestamp>,
    /// The last problem.
    pub last_trouble: Option<TelegramTrouble>,
    /// How many messages wait to be sent.
    pub waiting: u64,
    /// The problem with sending, until a message arrives.
    pub sending_trouble: Option<String>,
    /// Whether a terminal's widening act can be confirmed there now.
    #[serde(default)]
    pub confirms: TelegramConfirmation,
    /// The messages that Telegram refused since the bot connected. They aren't shown there.
    #[serde(default)]
    pub refused: Option<TelegramRefused>,
    /// How many messages and taps were given up after repeated tries, since the daemon started.
    #[serde(default)]
    pub given_up: u64,
}

/// Whether a terminal's widening acts can be confirmed on Telegram instead of by passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TelegramConfirmation {
    /// Never, because its messages are ignored.
    #[default]
    Never,
    /// Now.
    Now,
    /// Not now, for this reason.
    NotNow(String),
}

/// The state of the bot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TelegramState {
    /// No token is configured.
    #[default]
    Off,
    /// The configured bot can't be valid. The reason is in the trouble.
    Invalid,
    /// It hasn't been reached yet.
    Connecting,
    /// It is listening.
    Serving,
    /// Telegram or the network fails. It keeps trying.
    Troubled,
    /// Another program takes the bot's messages. It keeps trying, slowly.
    Conflict,
    /// Telegram knows no bot with this token. It keeps trying, more and more rarely, down to every ten
    /// minutes.
    Unauthorized,
}

/// The person that the bot obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramPerson {
    /// Their Telegram user id.
    pub user: i64,
    /// Whether the configuration names them. Otherwise they were paired with a code.
    pub configured: bool,
}

/// The group in which several people decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramGroup {
    /// Its chat id.
    pub chat: i64,
    /// The users who may decide there.
    pub deciders: Vec<i64>,
    /// What a person should change there, if anything.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramTrouble {
    /// When it happened.
    pub at: Timestamp,
    /// Its kind, as a stable word.
    pub kind: String,
    /// The problem in words, without any token, address or foreign text.
    pub what: String,
}

/// Messages that Telegram refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramRefused {
    /// Their number.
    pub count: u64,
    /// The last of them. Its kind is the kind of message.
    pub last: TelegramTrouble,
}

/// A code that pairs the person who sends it to the bot.
#[derive(Clone, Serialize, Deserialize)]
pub struct PairingCode {
    /// The code.
    pub code: String,
    /// A link that sends the code to the bot.
    pub link: String,
    /// When it expires.
    pub expires: Timestamp,
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairingCode").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl fmt::Display for TelegramState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Invalid => "invalid",
            Self::Connecting => "connecting",
            Self::Serving => "serving",
            Self::Troubled => "troubled",
            Self::Conflict => "conflict",
            Self::Unauthorized => "unauthorized",
        })
    }
}
