//! The few methods of the Bot API that Portero uses, with types and errors of our own.
//!
//! The one rule: the token stands in the address of every request, so no address, no error of the HTTP client
//! and no answer that could repeat one leaves `http`.
//!
//! The words are `teloxide-core`'s: its payloads (what a method is called and takes), its types, and what it knows
//! of Telegram's refusals. Three things stay our own. *Asking*: its calls sleep ten seconds on a server's error
//! before they tell of it, make of a gateway's page a text that cannot be read, without the status, and carry
//! raw answers in their errors. *What is read of an answer*: only what is needed, since an answer that cannot be
//! read after sending would send twice. *What arrives*: see `incoming`. Its payloads show what they hold in
//! `Debug`, so none is logged. See <https://core.telegram.org/bots/api>.

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
/// How many updates are asked for at once; Telegram gives at most 100.
pub const MAX_UPDATES: usize = 100;
/// The most characters of the text that answers a press.
pub(super) const MAX_CALLBACK_ANSWER_CHARS: usize = 200;

/// How to reach a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotAddress {
    /// Its token.
    pub token: Secret,
    /// Another address of the Bot API than Telegram's.
    pub api_url: Option<String>,
    /// A proxy for `https`, as `HTTPS_PROXY` names one; it may hold a password.
    pub proxy: Option<Secret>,
    /// How long a request may take; the long poll may take its wait in addition.
    pub request_timeout: Duration,
}

impl BotAddress {
    /// What a request may take if nothing else is said.
    pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
}

/// Why there is no bot at an address. None of them holds a part of it.
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

/// What a bot says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct BotAccount {
    /// Its name, without `@`.
    pub username: String,
}

/// Where a message is sent: to a chat, or to one of its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The chat.
    pub chat: ChatId,
    /// The topic; none for a chat without topics, and for General.
    pub topic: Option<TopicId>,
}

impl From<ChatId> for Destination {
    fn from(chat: ChatId) -> Self {
        Self { chat, topic: None }
    }
}

/// What a chat says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatFullInfo {
    /// Whether it is a group that has topics.
    #[serde(default)]
    pub is_forum: bool,
}

/// What is read of a topic that was made.
#[derive(Deserialize)]
struct CreatedTopic {
    message_thread_id: TopicId,
}

/// What is read of a message that was sent.
#[derive(Deserialize)]
struct SentMessage {
    message_id: MessageId,
}

impl Bot {
    /// The bot at this address. Nothing is asked of it yet.
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

    /// What it says of itself; shows that the token is right.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn get_me(&self) -> Result<BotAccount, BotError> {
        self.http.call_method(&payloads::GetMe::new()).await
    }

    /// The updates from `from` on, those before it being done with; without it, all that are not. Waits up to
    /// `wait` for the first. Only messages, presses and the bot's
    /// own membership are asked for, each time.
    ///
    /// # Errors
    /// See [`BotError`]; [`BotError::Conflict`] when another program asks for the same bot.
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

    /// Sends a message that the person's client offers to answer.
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
        // The file travels beside the payload, under the name of its field.
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

    /// Puts a text and a keyboard, or none, in place of a message's own.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NotModified`] when the message is so already.
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

    /// Ends the wait that a person sees after pressing a button; a text of up to 200 characters is shown for a
    /// moment, or until it is closed if it is an `alert`.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::QueryTooOld`] some time after the press.
    pub async fn answer_callback_query(
        &self,
        query: &QueryId,
        text: Option<&str>,
        alert: bool,
    ) -> Result<(), BotError> {
        let mut payload =
            payloads::AnswerCallbackQuery::new(CallbackQueryId(query.0.clone())).show_alert(alert);
        payload.text = text.map(|text| text.chars().take(MAX_CALLBACK_ANSWER_CHARS).collect());
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// Sets the commands that are offered in one chat.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn set_commands(&self, chat: ChatId, commands: &[MenuCommand]) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: chat_id(chat).into() };
        let payload =
            payloads::SetMyCommands::new(commands.iter().map(MenuCommand::to_bot_command)).scope(scope);
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// What a chat says of itself.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn get_chat(&self, chat: ChatId) -> Result<ChatFullInfo, BotError> {
        self.http.call_method(&payloads::GetChat::new(chat_id(chat))).await
    }

    /// Makes a topic with a name of 1 to 128 characters.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NotAllowed`] where the bot may not, [`Refusal::NotAForum`] where there are none.
    pub async fn create_topic(&self, chat: ChatId, name: &str) -> Result<TopicId, BotError> {
        let made: CreatedTopic =
            self.http.call_method(&payloads::CreateForumTopic::new(chat_id(chat), name)).await?;
        Ok(made.message_thread_id)
    }

    /// Opens a topic that was closed.
    ///
    /// # Errors
    /// As [`Bot::create_topic`].
    pub async fn reopen_topic(&self, chat: ChatId, topic: TopicId) -> Result<(), BotError> {
        let payload = payloads::ReopenForumTopic::new(chat_id(chat), thread_id(topic)?);
        self.http.call_method::<bool>(&payload).await.map(drop)
    }

    /// Takes the commands of one chat away.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn clear_commands(&self, chat: ChatId) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: chat_id(chat).into() };
        self.http.call_method::<bool>(&payloads::DeleteMyCommands::new().scope(scope)).await.map(drop)
    }
}

/// No link in a message is looked up for its reader.
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

/// A topic has the number of the message that made it.
fn thread_id(topic: TopicId) -> Result<ThreadId, BotError> {
    message_id(MessageId(topic.0)).map(ThreadId).map_err(|_| BotError::Refused(Refusal::TopicGone))
}

/// Telegram's numbers of messages have 31 bits: there is no message with a greater one.
fn message_id(message: MessageId) -> Result<types::MessageId, BotError> {
    let number = i32::try_from(message.0).map_err(|_| BotError::Refused(Refusal::MessageGone))?;
    Ok(types::MessageId(number))
}

/// The number before a token's `:`. Whatever else could change an address is no token.
fn parse_bot_id(token: &str) -> Option<BotId> {
    let (number, rest) = token.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
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
