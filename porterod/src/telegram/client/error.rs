//! Errors of the Bot API.

use std::fmt;
use std::time::Duration;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NotRead;
use teloxide_core::ApiError;

use super::ChatId;

/// How long Telegram accepts no more requests (429).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// The longest wait that is observed, whatever Telegram asks for.
    pub const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

    /// The wait that Telegram asks for.
    #[must_use]
    pub const fn from_requested(asked: Duration) -> Self {
        Self(asked)
    }

    /// How long to wait.
    #[must_use]
    pub fn wait(self) -> Duration {
        // A server could ask for days, and the bot would be silent as long.
        self.0.min(Self::MAX_WAIT)
    }

    /// Whether Telegram asks for more than the longest wait.
    #[must_use]
    pub fn is_capped(self) -> bool {
        self.0 > Self::MAX_WAIT
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.wait().as_secs())?;
        if self.is_capped() {
            write!(f, ", though Telegram asks for {} s", self.0.as_secs())?;
        }
        Ok(())
    }
}

/// Why a request to the Bot API failed. No variant contains an address or text of a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BotError {
    /// Too many requests (429), with the time to wait.
    #[error("too many requests; again in {0}")]
    RetryAfter(RetryAfter),
    /// A failure of Telegram (5xx), with its code.
    #[error("Telegram's own failure ({0})")]
    ServerError(u16),
    /// Another program polls the same bot's updates (409).
    #[error("another program uses the same bot")]
    Conflict,
    /// The bot doesn't exist (401, 404).
    #[error("Telegram knows no bot with this token")]
    Unauthorized,
    /// The person blocked the bot, never started it, or no longer exists (403).
    #[error("the bot may not write to this chat")]
    Blocked,
    /// The group became a supergroup with this number (400).
    #[error("the group is a supergroup now: write {} as `telegram.chat` into portero.json", .0.0)]
    Migrated(ChatId),
    /// The request is impossible (400 and similar codes).
    #[error("Telegram refused it: {0}")]
    Refused(Refusal),
    /// The network failed; whether Telegram handled the request is unknown.
    #[error("the network failed: {0}")]
    Network(NetworkFailure),
    /// The response isn't one of the Bot API.
    #[error("what came back is not the Bot API's")]
    InvalidResponse,
}

/// The kind of a network failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFailure {
    /// No connection was made, so Telegram didn't get the request.
    #[error("no connection")]
    Unreachable,
    /// The request timed out.
    #[error("it took too long")]
    TimedOut,
    /// The connection was lost.
    #[error("the connection was lost")]
    Lost,
}

/// Why Telegram refused a request, derived from its description; the API gives no other detail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The edit changes nothing.
    #[error("the message is so already")]
    NotModified,
    /// The message to edit or remove doesn't exist, or is too old.
    #[error("the message is gone")]
    MessageGone,
    /// The press is too old to be answered.
    #[error("the press is too long ago")]
    QueryTooOld,
    /// The chat is not known to the bot.
    #[error("the chat is not known to the bot")]
    ChatUnknown,
    /// The text or the file is too long.
    #[error("it is too long")]
    TooLong,
    /// The server knows the bot but not the method (404).
    #[error("the server does not know the method")]
    MethodNotFound,
    /// The topic doesn't exist, or no longer.
    #[error("the topic is gone")]
    TopicGone,
    /// The topic is closed.
    #[error("the topic is closed")]
    TopicClosed,
    /// The group has no topics.
    #[error("the group has no topics")]
    NotAForum,
    /// The bot may not write there, or not now.
    #[error("the bot has no right to write there")]
    WriteForbidden,
    /// The bot lacks another right.
    #[error("the bot has no right to do that there")]
    NotAllowed,
    /// Another reason, in Telegram's words, cut to 200 plain characters.
    #[error("{0}")]
    Other(String),
}

/// Phrases that mean that the bot may not write to a chat, in lower case. They come from the Bot API's server
/// and from errors of Telegram's own API that it forwards.
const WRITE_FORBIDDEN_PHRASES: [&str; 18] = [
    "not enough rights to send",
    "no rights to send",
    "no write access to the chat",
    "need administrator rights in the channel",
    "bot was kicked",
    "bot was blocked",
    "bot is not a member",
    "bot can't initiate conversation",
    "user is deactivated",
    "chat was deactivated",
    "group chat was deleted",
    "chat_write_forbidden",
    "chat_admin_required",
    "chat_restricted",
    "chat_send_",
    "user_banned_in_channel",
    "user_is_blocked",
    "input_user_deactivated",
];
/// Phrases that mean that the chat doesn't exist for the bot.
const CHAT_UNKNOWN_PHRASES: [&str; 5] =
    ["chat not found", "user not found", "peer_id_invalid", "channel_private", "chat_id_invalid"];

impl Refusal {
    /// How many characters of Telegram's description are kept.
    const MAX_DESCRIPTION_CHARS: usize = 200;

    /// Whether the message's content is the reason, so that another message could be shown instead.
    #[must_use]
    pub const fn concerns_message(&self) -> bool {
        match self {
            Self::TooLong | Self::Other(_) => true,
            Self::NotModified
            | Self::MessageGone
            | Self::QueryTooOld
            | Self::ChatUnknown
            | Self::WriteForbidden
            | Self::MethodNotFound
            | Self::TopicGone
            | Self::TopicClosed
            | Self::NotAForum
            | Self::NotAllowed => false,
        }
    }

    /// Whether the topic is the reason, so that the message could be shown elsewhere in the chat.
    #[must_use]
    pub const fn concerns_topic(&self) -> bool {
        match self {
            Self::TopicGone | Self::TopicClosed | Self::NotAForum => true,
            Self::NotModified
            | Self::MessageGone
            | Self::QueryTooOld
            | Self::ChatUnknown
            | Self::WriteForbidden
            | Self::TooLong
            | Self::MethodNotFound
            | Self::NotAllowed
            | Self::Other(_) => false,
        }
    }

    /// Reads Telegram's description. `ApiError` knows one spelling of each; other spellings are found by
    /// phrases.
    pub(super) fn from_description(description: &str) -> Self {
        match ApiError::deserialize(description.into_deserializer()).map_err(|_: NotRead| ()) {
            Ok(ApiError::MessageNotModified) => Self::NotModified,
            Ok(
                ApiError::MessageToEditNotFound
                | ApiError::MessageToDeleteNotFound
                | ApiError::MessageCantBeEdited
                | ApiError::MessageCantBeDeleted
                | ApiError::MessageIdInvalid,
            ) => Self::MessageGone,
            Ok(ApiError::InvalidQueryId) => Self::QueryTooOld,
            Ok(ApiError::ChatNotFound) => Self::ChatUnknown,
            Ok(
                ApiError::MessageIsTooLong
                | ApiError::EditedMessageIsTooLong
                | ApiError::RequestEntityTooLarge,
            ) => Self::TooLong,
            Ok(_) | Err(()) => Self::from_phrases(description),
        }
    }

    fn from_phrases(description: &str) -> Self {
        let words = description.to_lowercase();
        // The first match wins, so phrases that contain others come first: "not enough rights to send" before
        // "not enough rights".
        let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
        if says(&["message is not modified"]) {
            Self::NotModified
        } else if says(&["query is too old", "query_id_invalid"]) {
            Self::QueryTooOld
        } else if says(&["message can't be edited", "message can't be deleted"]) {
            Self::MessageGone
        } else if says(&["too long", "too_long", "entity too large"]) {
            Self::TooLong
        } else if says(&["message thread not found", "topic_deleted", "topic_id_invalid"]) {
            Self::TopicGone
        } else if says(&["topic_closed"]) {
            Self::TopicClosed
        } else if says(&["not a forum"]) {
            Self::NotAForum
        } else if says(&CHAT_UNKNOWN_PHRASES) {
            Self::ChatUnknown
        } else if says(&WRITE_FORBIDDEN_PHRASES) {
            Self::WriteForbidden
        } else if says(&["not enough rights"]) {
            Self::NotAllowed
        } else {
            let plain = description.chars().filter(|c| *c == ' ' || c.is_ascii_graphic());
            Self::Other(plain.take(Self::MAX_DESCRIPTION_CHARS).collect())
        }
    }
}

impl BotError {
    /// Whether the chat is the reason, so that nothing can be written there until its members change that.
    #[must_use]
    pub const fn concerns_chat(&self) -> bool {
        match self {
            Self::Blocked | Self::Refused(Refusal::ChatUnknown | Refusal::WriteForbidden) => true,
            Self::RetryAfter(_)
            | Self::ServerError(_)
            | Self::Conflict
            | Self::Unauthorized
            | Self::Migrated(_)
            | Self::Refused(_)
            | Self::Network(_)
            | Self::InvalidResponse => false,
        }
    }

    /// The kind of failure as a stable word, for status and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RetryAfter(_) => "retry-after",
            Self::ServerError(_) => "server-error",
            Self::Conflict => "conflict",
            Self::Unauthorized => "unauthorized",
            Self::Blocked => "blocked",
            Self::Migrated(_) => "moved",
            Self::Refused(_) => "refused",
            Self::Network(_) => "network",
            Self::InvalidResponse => "nonsense",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telegrams_texts_are_told_apart() {
        for (text, refusal) in [
            (
                "Bad Request: message is not modified: specified new message content and reply markup are \
                 exactly the same as a current content and reply markup of the message",
                Refusal::NotModified,
            ),
            ("Bad Request: message is not modified", Refusal::NotModified),
            ("Bad Request: message to edit not found", Refusal::MessageGone),
            ("Bad Request: message can't be edited", Refusal::MessageGone),
            ("Bad Request: message can't be deleted for everyone", Refusal::MessageGone),
            ("Bad Request: MESSAGE_ID_INVALID", Refusal::MessageGone),
            (
                "Bad Request: query is too old and response timeout expired or query id is invalid",
                Refusal::QueryTooOld,
            ),
            (
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
                Refusal::QueryTooOld,
            ),
            ("Bad Request: QUERY_ID_INVALID", Refusal::QueryTooOld),
            ("Bad Request: chat not found", Refusal::ChatUnknown),
            ("Bad Request: message is too long", Refusal::TooLong),
            ("Bad Request: message caption is too long", Refusal::TooLong),
            ("Request Entity Too Large", Refusal::TooLong),
            ("Bad Request: not enough rights to create a topic", Refusal::NotAllowed),
        ] {
            assert_eq!(Refusal::from_description(text), refusal);
        }
        for text in [
            "Bad Request: not enough rights to send text messages to the chat",
            "Bad Request: not enough rights to send documents to the chat",
            "Bad Request: have no rights to send a message",
            "Bad Request: need administrator rights in the channel chat",
            "Bad Request: CHAT_WRITE_FORBIDDEN",
            "Bad Request: CHAT_SEND_PLAIN_FORBIDDEN",
            "Bad Request: CHAT_ADMIN_REQUIRED",
            "Bad Request: CHAT_RESTRICTED",
            "Bad Request: USER_BANNED_IN_CHANNEL",
            "Bad Request: USER_IS_BLOCKED",
            "Bad Request: group chat was deactivated",
            "Bad Request: bot is not a member of the supergroup chat",
            "Bad Request: bot was kicked from the group chat",
            "Bad Request: user is deactivated",
        ] {
            let refusal = Refusal::from_description(text);
            assert_eq!(refusal, Refusal::WriteForbidden, "{text}");
            assert!(BotError::Refused(refusal).concerns_chat());
        }
        for text in
            ["Bad Request: PEER_ID_INVALID", "Bad Request: CHANNEL_PRIVATE", "Bad Request: user not found"]
        {
            assert_eq!(Refusal::from_description(text), Refusal::ChatUnknown, "{text}");
        }
        let Refusal::Other(other) = Refusal::from_description(&format!("Bad\u{202e}\n{}", "x".repeat(500)))
        else {
            panic!("known")
        };
        assert_eq!((other.len(), &other[..4]), (200, "Badx"));
    }
}
