//! How the bot on Telegram fares, and how a person is paired with it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the bot fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramStatus {
    /// How it is.
    pub state: TelegramState,
    /// The bot's name, without `@`, once it told it.
    pub bot: Option<String>,
    /// The user that the bot listens to.
    pub person: Option<TelegramPerson>,
    /// The group that it listens to in place of one person.
    pub group: Option<TelegramGroup>,
    /// When the last poll went well.
    pub last_poll: Option<Timestamp>,
    /// What last went wrong.
    pub last_trouble: Option<TelegramTrouble>,
    /// How many messages wait to be sent.
    pub waiting: u64,
    /// What goes wrong with sending, until something arrives.
    pub sending_trouble: Option<String>,
    /// Whether what a terminal widens can be confirmed there now.
    #[serde(default)]
    pub confirms: TelegramConfirmation,
    /// What Telegram refused since the bot was connected; it is not shown there.
    #[serde(default)]
    pub refused: Option<TelegramRefused>,
    /// How many messages and taps could not be done, however often they were tried, since the daemon began.
    #[serde(default)]
    pub given_up: u64,
}

/// Whether what a terminal widens can be confirmed on Telegram, in place of the passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TelegramConfirmation {
    /// Its messages are ignored.
    #[default]
    Never,
    /// Now.
    Now,
    /// Not now: why, in words.
    NotNow(String),
}

/// How the bot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TelegramState {
    /// No token is configured.
    #[default]
    Off,
    /// The configuration names no bot that could be: what is wrong is told as the trouble.
    Invalid,
    /// It was not reached yet.
    Connecting,
    /// It listens.
    Serving,
    /// Telegram or the network fails; it goes on trying.
    Troubled,
    /// Another program takes the bot's messages; it goes on trying, slowly.
    Conflict,
    /// Telegram knows no bot with this token; it goes on trying, ever more rarely, up to every ten minutes.
    Unauthorized,
}

/// Whom the bot listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramPerson {
    /// Their user's number.
    pub user: i64,
    /// Whether the configuration names them; else they were paired with a code.
    pub configured: bool,
}

/// The group in which several people decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramGroup {
    /// Its chat's number.
    pub chat: i64,
    /// The users who may decide there.
    pub deciders: Vec<i64>,
    /// What a person should change there, if anything.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramTrouble {
    /// When.
    pub at: Timestamp,
    /// Its kind, in a word that stays the same.
    pub kind: String,
    /// What, in words; never a token, an address or anybody's text.
    pub what: String,
}

/// Messages that Telegram refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramRefused {
    /// How many.
    pub count: u64,
    /// The last of them; its kind is what kind of message it was.
    pub last: TelegramTrouble,
}

/// A code that pairs the person who sends it to the bot.
#[derive(Clone, Serialize, Deserialize)]
pub struct PairingCode {
    /// The code.
    pub code: String,
    /// An address that says it to the bot.
    pub link: String,
    /// Until when it holds.
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
