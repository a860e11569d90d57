//! The methods of the Bot API that Portero uses, with its own types and errors.
//!
//! The token is part of every request's address. So no address, no error of the HTTP client and no response
//! that could repeat one leaves `http`.
//!
//! The vocabulary is `teloxide-core`'s: payloads, types, and the descriptions of refusals. Three things are
//! our own. See <https://core.telegram.org/bots/api>.
//! - *Sending requests.* Its calls sleep ten seconds after a server error before they report it, hide the
//!   status of a gateway's page, and carry raw responses in their errors.
//! - *Reading responses.* Only the needed fields are read: if a response to a sent message were unreadable,
//!   the message would be sent twice.
//! - *Reading updates.* See `incoming`.
//!
//! Its payloads show their content in `Debug`, so they are never logged.

mod error;
mod http;
mod incoming;
mod outgoing;

use std::time::Duration;

use portero::secret::Secret;
use reqwest::multipart::Part;
use serde::Deserialize;
use teloxide_core::payloads::{self, setters::*};
use teloxide_core::types::{
    self, AllowedUpdate, BotCommandScope, CallbackQueryId, ForceReply, InputFile, LinkPreviewOptions,
    MessageEntity, ThreadId,
};

use super::text::{self, TextEntity, TextStyle};

pub use error::{BotError, NetworkFailure, Refusal, RetryAfter};
use http::HttpClient;
pub use incoming::{
    CallbackQuery, ChatId, MessageId, QueryId, ReceivedMessage, TopicId, Update, UpdateId, UpdateKind, UserId,
};
pub use outgoing::{
    DocumentUpload, InlineButton, InlineKeyboard, MAX_CALLBACK_DATA_BYTES, MenuCommand, PayloadError,
};

/// Telegram's own address.
const DEFAULT_API_URL: &str = "https://api.telegram.org";
/// How many updates are requested at once; Telegram's limit is 100.
pub const MAX_UPDATES: usize = 100;
/// The most characters of a reply to a press.
pub(super) const MAX_CALLBACK_ANSWER_CHARS: usize = 200;

/// The address and settings of a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotAddress {
    /// Its token.
    pub token: Secret,
    /// Another address of the Bot API than Telegram's.
    pub api_url: Option<String>,
    /// A proxy for `https`, as `HTTPS_PROXY` names one; it may hold a password.
    pub proxy: Option<Secret>,
    /// How long a request may take; a long poll may take its wait in addition.
    pub request_timeout: Duration,
}

impl BotAddress {
    /// The default time limit of a request.
    pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
}

/// Why an address is invalid. No variant contains a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BotAddressError {
    /// It is not a token.
    #[error("`telegram.token` is not a bot's token, which is a number, `:` and letters")]
    Token,
    /// It is not an address.
    #[error("`telegram.apiUrl` is not an address")]
    ApiUrl,
    /// It is not a proxy's address.
    #[error("HTTPS_PROXY is not a proxy's address")]
    Proxy,
}

/// The number of a bot: the public part of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BotId(pub i64);

/// A bot, reached over HTTPS. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Bot {
    id: BotId,
    http: HttpClient,
}

/// A bot's own data.
#[derive(Debug, Clone, Deserialize)]
pub struct BotAccount {
    /// Its user name, without `@`.
    pub username: String,
}

/// The destination of a message: a chat or one of its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The chat.
    pub chat: ChatId,
    /// The topic; none for a chat without topics and for General.
    pub topic: Option<TopicId>,
}

impl From<ChatId> for Destination {
    fn from(chat: ChatId) -> Self {
        Self { chat, topic: None }
    }
}

/// A chat's own data.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatFullInfo {
    /// Whether it is a group that has topics.
    #[serde(default)]
    pub is_forum: bool,
}

/// The needed fields of a created topic.
#[derive(Deserialize)]
struct CreatedTopic {
    message_thread_id: TopicId,
}

/// The needed fields of a sent message.
#[derive(Deserialize)]
struct SentMessage {
    message_id: MessageId,
}

impl Bot {
    /// The bot at this address; this makes no request.
    ///
    /// # Errors
    /// See [`BotAddressError`].
    pub fn new(address: &BotAddress) -> Result<Self, BotAddressError> {
        let id = parse_bot_id(address.token.expose()).ok_or(BotAddressError::Token)?;
        let url = address.api_url.as_deref().unwrap_or(DEFAULT_API_URL);
        Ok(Self { id, http: HttpClient::new(url, address)? })
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> BotId {
        self.id
    }

    /// The bot's own data; success shows that the token is right.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn get_me(&self) -> Result<BotAccount, BotError> {
        self.http.call_method(&payloads::GetMe::new()).await
    }

    /// The updates from `from` on, which confirms all earlier ones; without it, all unconfirmed updates.
    /// Waits up to `wait` for the first one. Each request names the wanted kinds: messages, presses and the
    /// bot's own membership.
    ///
    /// # Errors
    /// See [`BotError`]; [`BotError::Conflict`] if another program polls the same bot.
    pub async fn get_updates(&self, from: Option<UpdateId>, wait: Duration) -> Result<Vec<Update>, BotError> {
        let mut payload = payloads::GetUpdates::new()
            .limit(u8::try_from(MAX_UPDATES).unwrap_or(u8::MAX))
            .timeout(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
            .allowed_updates([
                AllowedUpdate::Message,
                AllowedUpdate::CallbackQuery,
                AllowedUpdate::MyChatMember,
            ]);
        if let Some(UpdateId(from)) = from {
            payload = payload.offset(i32::try_from(from).map_err(|_| BotError::InvalidResponse)?);
        }
        self.http.call_method(&payload).await
    }

    /// Sends a message, without previews of links.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send_message(
        &self,
        room: impl Into<Destination>,
        text: &text::FormattedText,
        keyboard: Option<&InlineKeyboard>,
    ) -> Result<MessageId, BotError> {
        let payload = send_message_payload(room.into(), text)?;
        let sent: SentMessage = match keyboard {
            Some(keyboard) => self.http.call_method(&payload.reply_markup(keyboard.to_markup())).await?,
            None => self.http.call_method(&payload).await?,
        };
        Ok(sent.message_id)
    }

    /// Sends a message to which the person's client offers a reply.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send_question(
        &self,
        room: impl Into<Destination>,
        text: &text::FormattedText,
    ) -> Result<MessageId, BotError> {
        let payload = send_message_payload(room.into(), text)?.reply_markup(ForceReply::new());
        let sent: SentMessage = self.http.call_method(&payload).await?;
        Ok(sent.message_id)
    }

    /// Sends a file.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send_document(
        &self,
        room: impl Into<Destination>,
        document: &DocumentUpload,
    ) -> Result<MessageId, BotError> {
        let Destination { chat, topic } = room.into();
        // The file is sent beside the payload, under the name of its field.
        let mut payload = payloads::SendDocument::new(chat_id(chat), InputFile::memory(Vec::new()));
        payload.message_thread_id = topic.map(thread_id).transpose()?;
        if let Some(caption) = document.caption() {
            payload = payload.caption(&caption.text).caption_entities(message_entities(&caption.entities));
        }
        let file = Part::bytes(document.bytes().to_vec()).file_name(document.name().to_owned());
        let file = file.mime_str("application/octet-stream").map_err(|_| BotError::InvalidResponse)?;
        let sent: SentMessage = self.http.upload(&payload, ("document", file)).await?;
        Ok(sent.message_id)
    }

    /// Replaces a message's text and keyboard.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NotModified`] if the message has this content already.
    pub async fn edit_text(
        &self,
        chat: ChatId,
        message: MessageId,
        text: &text::FormattedText,
        keyboard: Option<&InlineKeyboard>,
    ) -> Result<(), BotError> {
        let mut payload = payloads::EditMessageText::new(chat_id(chat), message_id(message)?, &text.text)
            .entities(message_entities(&text.entities))
            .link_preview_options(NO_PREVIEW);
        payload.reply_markup = keyboard.map(InlineKeyboard::to_markup);
        self.http.call_method::<SentMessage>(&payload).await.map(drop)
    }

    /// Answers a press, which ends the client's wait. A text of up to 200 characters disappears by itself, or
    /// has to be closed if it is an `alert`.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::QueryTooOld`] if the press is too old.
    pub async fn answer_callback_query(
        &self,
        query: &QueryId,
        text: Option<&str>,
        alert: bool,
    ) -> Result<(), BotError> {
        let mut payload =
            payloads::AnswerCallbackQuery::new(CallbackQueryId(query.0.clone())).show_alert(alert);
        // Cut here, because Telegram would refuse a longer one and the press would stay unanswered.
        payload.text = text.map(|text| text.chars().take(MAX_CALLBACK_ANSWER_CHARS).collect());
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// Sets the commands that one chat offers.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn set_commands(&self, chat: ChatId, commands: &[MenuCommand]) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: chat_id(chat).into() };
        let payload =
            payloads::SetMyCommands::new(commands.iter().map(MenuCommand::to_bot_command)).scope(scope);
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// A chat's own data.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn get_chat(&self, chat: ChatId) -> Result<ChatFullInfo, BotError> {
        self.http.call_method(&payloads::GetChat::new(chat_id(chat))).await
    }

    /// Creates a topic with a name of 1 to 128 characters.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NotAllowed`] if the bot lacks the right, [`Refusal::NotAForum`] if the
    /// group has no topics.
    pub async fn create_topic(&self, chat: ChatId, name: &str) -> Result<TopicId, BotError> {
        let made: CreatedTopic =
            self.http.call_method(&payloads::CreateForumTopic::new(chat_id(chat), name)).await?;
        Ok(made.message_thread_id)
    }

    /// Opens a closed topic.
    ///
    /// # Errors
    /// As [`Bot::create_topic`].
    pub async fn reopen_topic(&self, chat: ChatId, topic: TopicId) -> Result<(), BotError> {
        let payload = payloads::ReopenForumTopic::new(chat_id(chat), thread_id(topic)?);
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// Removes the commands of one chat.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn clear_commands(&self, chat: ChatId) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: chat_id(chat).into() };
        self.http.call_method::<bool>(&payloads::DeleteMyCommands::new().scope(scope)).await.map(drop)
    }
}

/// Previews are off, so that Telegram fetches no link of a message.
const NO_PREVIEW: LinkPreviewOptions = LinkPreviewOptions {
    is_disabled: true,
    url: None,
    prefer_small_media: false,
    prefer_large_media: false,
    show_above_text: false,
};

fn send_message_payload(
    Destination { chat, topic }: Destination,
    text: &text::FormattedText,
) -> Result<payloads::SendMessage, BotError> {
    let mut payload = payloads::SendMessage::new(chat_id(chat), &text.text)
        .entities(message_entities(&text.entities))
        .link_preview_options(NO_PREVIEW);
    payload.message_thread_id = topic.map(thread_id).transpose()?;
    Ok(payload)
}

fn message_entities(entities: &[TextEntity]) -> impl Iterator<Item = MessageEntity> {
    entities.iter().map(|TextEntity { style, offset, length }| match style {
        TextStyle::Bold => MessageEntity::bold(*offset, *length),
        TextStyle::Code => MessageEntity::code(*offset, *length),
        TextStyle::Pre => MessageEntity::pre(None, *offset, *length),
    })
}

const fn chat_id(chat: ChatId) -> types::ChatId {
    types::ChatId(chat.0)
}

/// A topic has the number of the message that created it.
fn thread_id(topic: TopicId) -> Result<ThreadId, BotError> {
    message_id(MessageId(topic.0)).map(ThreadId).map_err(|_| BotError::Refused(Refusal::TopicGone))
}

/// Telegram's message numbers have 31 bits, so a larger number can't exist.
fn message_id(message: MessageId) -> Result<types::MessageId, BotError> {
    let number = i32::try_from(message.0).map_err(|_| BotError::Refused(Refusal::MessageGone))?;
    Ok(types::MessageId(number))
}

/// The number before a token's `:`. Other characters could change the address, so they make the token
/// invalid.
fn parse_bot_id(token: &str) -> Option<BotId> {
    let (number, rest) = token.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    // A sign before the number would still parse as a number.
    if rest.is_empty() || !rest.chars().all(plain) || !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().map(BotId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_an_address_is_no_token() {
        for wrong in ["", "abc", "1:", ":abc", "1:a/b", "1:a?b", "1:a#b", "1:a b", "+1:abc", "1:a:b", "1:ä"]
        {
            assert_eq!(parse_bot_id(wrong), None, "{wrong}");
        }
        assert_eq!(parse_bot_id("123456:AA-b_c"), Some(BotId(123_456)));
    }

    #[test]
    fn no_address_shows_its_token() {
        let address = BotAddress {
            token: Secret::new("1:hunter2"),
            api_url: Some("http://localhost".to_owned()),
            proxy: None,
            request_timeout: BotAddress::DEFAULT_REQUEST_TIMEOUT,
        };
        let bot = Bot::new(&address).unwrap();
        assert!(!format!("{bot:?} {bot:#?} {address:?}").contains("hunter2"));
        let wrong = BotAddress { token: Secret::new("hunter2"), ..address };
        let error = Bot::new(&wrong).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
