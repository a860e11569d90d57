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

use super::text::{self, Entity, Style};

pub use error::{BotError, Network, Refusal, RetryAfter};
use http::Http;
pub use incoming::{ChatId, Incoming, Message, MessageId, Press, QueryId, TopicId, Update, UpdateId, UserId};
pub use outgoing::{Button, Command, DATA_MOST, Document, Keyboard, Malformed};

/// Telegram's own address.
const TELEGRAM: &str = "https://api.telegram.org";
/// How many updates are asked for at once; Telegram gives at most 100.
pub const MAX_UPDATES: usize = 100;
/// The most characters of the text that answers a press.
const ANSWER_MOST: usize = 200;

/// How to reach a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its token.
    pub token: Secret,
    /// Another address of the Bot API than Telegram's.
    pub api_url: Option<String>,
    /// A proxy for `https`, as `HTTPS_PROXY` names one; it may hold a password.
    pub proxy: Option<Secret>,
    /// How long a request may take; the long poll may take its wait in addition.
    pub patience: Duration,
}

impl Address {
    /// What a request may take if nothing else is said.
    pub const PATIENCE: Duration = Duration::from_secs(20);
}

/// Why there is no bot at an address. None of them holds a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not a token.
    #[error("`telegram.token` is not a bot's token, which is a number, `:` and letters")]
    Token,
    /// It is not an address.
    #[error("`telegram.apiUrl` is not an address")]
    Url,
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
    http: Http,
}

/// What a bot says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Me {
    /// Its name, without `@`.
    pub username: String,
}

/// Where a message is sent: to a chat, or to one of its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The chat.
    pub chat: ChatId,
    /// The topic; none for a chat without topics, and for General.
    pub topic: Option<TopicId>,
}

impl From<ChatId> for Room {
    fn from(chat: ChatId) -> Self {
        Self { chat, topic: None }
    }
}

/// What a chat says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Chat {
    /// Whether it is a group that has topics.
    #[serde(default)]
    pub is_forum: bool,
}

/// What is read of a topic that was made.
#[derive(Deserialize)]
struct Made {
    message_thread_id: TopicId,
}

/// What is read of a message that was sent.
#[derive(Deserialize)]
struct Sent {
    message_id: MessageId,
}

impl Bot {
    /// The bot at this address. Nothing is asked of it yet.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn new(address: &Address) -> Result<Self, AddressError> {
        let id = number(address.token.expose()).ok_or(AddressError::Token)?;
        let url = address.api_url.as_deref().unwrap_or(TELEGRAM);
        Ok(Self { id, http: Http::new(url, address)? })
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
    pub async fn me(&self) -> Result<Me, BotError> {
        self.http.call(&payloads::GetMe::new()).await
    }

    /// The updates from `from` on, those before it being done with; without it, all that are not. Waits up to
    /// `wait` for the first. Only messages, presses and the bot's
    /// own membership are asked for, each time.
    ///
    /// # Errors
    /// See [`BotError`]; [`BotError::Conflict`] when another program asks for the same bot.
    pub async fn updates(&self, from: Option<UpdateId>, wait: Duration) -> Result<Vec<Update>, BotError> {
        let mut payload = payloads::GetUpdates::new()
            .limit(u8::try_from(MAX_UPDATES).unwrap_or(u8::MAX))
            .timeout(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
            .allowed_updates([
                AllowedUpdate::Message,
                AllowedUpdate::CallbackQuery,
                AllowedUpdate::MyChatMember,
            ]);
        if let Some(UpdateId(from)) = from {
            payload = payload.offset(i32::try_from(from).map_err(|_| BotError::Nonsense)?);
        }
        self.http.call(&payload).await
    }

    /// Sends a message, without previews of links.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send(
        &self,
        room: impl Into<Room>,
        text: &text::Message,
        keyboard: Option<&Keyboard>,
    ) -> Result<MessageId, BotError> {
        let payload = message(room.into(), text)?;
        let sent: Sent = match keyboard {
            Some(keyboard) => self.http.call(&payload.reply_markup(keyboard.markup())).await?,
            None => self.http.call(&payload).await?,
        };
        Ok(sent.message_id)
    }

    /// Sends a message that the person's client offers to answer.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn ask(&self, room: impl Into<Room>, text: &text::Message) -> Result<MessageId, BotError> {
        let payload = message(room.into(), text)?.reply_markup(ForceReply::new());
        let sent: Sent = self.http.call(&payload).await?;
        Ok(sent.message_id)
    }

    /// Sends a file.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send_document(
        &self,
        room: impl Into<Room>,
        document: &Document,
    ) -> Result<MessageId, BotError> {
        let Room { chat, topic } = room.into();
        // The file travels beside the payload, under the name of its field.
        let mut payload = payloads::SendDocument::new(known(chat), InputFile::memory(Vec::new()));
        payload.message_thread_id = topic.map(thread).transpose()?;
        if let Some(caption) = document.caption() {
            payload = payload.caption(&caption.text).caption_entities(marks(&caption.entities));
        }
        let file = Part::bytes(document.bytes().to_vec()).file_name(document.name().to_owned());
        let file = file.mime_str("application/octet-stream").map_err(|_| BotError::Nonsense)?;
        let sent: Sent = self.http.upload(&payload, ("document", file)).await?;
        Ok(sent.message_id)
    }

    /// Puts a text and a keyboard, or none, in place of a message's own.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NotModified`] when the message is so already.
    pub async fn edit(
        &self,
        chat: ChatId,
        message: MessageId,
        text: &text::Message,
        keyboard: Option<&Keyboard>,
    ) -> Result<(), BotError> {
        let mut payload = payloads::EditMessageText::new(known(chat), number_of(message)?, &text.text)
            .entities(marks(&text.entities))
            .link_preview_options(NO_PREVIEW);
        payload.reply_markup = keyboard.map(Keyboard::markup);
        self.http.call::<Sent>(&payload).await.map(drop)
    }

    /// Puts a keyboard, or none, in place of a message's own.
    ///
    /// # Errors
    /// As [`Bot::edit`].
    pub async fn edit_keyboard(
        &self,
        chat: ChatId,
        message: MessageId,
        keyboard: Option<&Keyboard>,
    ) -> Result<(), BotError> {
        let mut payload = payloads::EditMessageReplyMarkup::new(known(chat), number_of(message)?);
        payload.reply_markup = keyboard.map(Keyboard::markup);
        self.http.call::<Sent>(&payload).await.map(drop)
    }

    /// Ends the wait that a person sees after pressing a button; a text of up to 200 characters is shown for a
    /// moment, or until it is closed if it is an `alert`.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::QueryTooOld`] some time after the press.
    pub async fn answer(&self, query: &QueryId, text: Option<&str>, alert: bool) -> Result<(), BotError> {
        let mut payload =
            payloads::AnswerCallbackQuery::new(CallbackQueryId(query.0.clone())).show_alert(alert);
        payload.text = text.map(|text| text.chars().take(ANSWER_MOST).collect());
        self.http.call::<bool>(&payload).await.map(drop)
    }

    /// Sets the commands that are offered in one chat.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn set_commands(&self, chat: ChatId, commands: &[Command]) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: known(chat).into() };
        let payload = payloads::SetMyCommands::new(commands.iter().map(Command::entry)).scope(scope);
        self.http.call::<bool>(&payload).await.map(drop)
    }

    /// What a chat says of itself.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn chat(&self, chat: ChatId) -> Result<Chat, BotError> {
        self.http.call(&payloads::GetChat::new(known(chat))).await
    }

    /// Makes a topic with a name of 1 to 128 characters.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::NoRight`] where the bot may not, [`Refusal::NoTopics`] where there are none.
    pub async fn make_topic(&self, chat: ChatId, name: &str) -> Result<TopicId, BotError> {
        let made: Made = self.http.call(&payloads::CreateForumTopic::new(known(chat), name)).await?;
        Ok(made.message_thread_id)
    }

    /// Opens a topic that was closed.
    ///
    /// # Errors
    /// As [`Bot::make_topic`].
    pub async fn reopen_topic(&self, chat: ChatId, topic: TopicId) -> Result<(), BotError> {
        let payload = payloads::ReopenForumTopic::new(known(chat), thread(topic)?);
        self.http.call::<bool>(&payload).await.map(drop)
    }

    /// Takes the commands of one chat away.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn clear_commands(&self, chat: ChatId) -> Result<(), BotError> {
        let scope = BotCommandScope::Chat { chat_id: known(chat).into() };
        self.http.call::<bool>(&payloads::DeleteMyCommands::new().scope(scope)).await.map(drop)
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

fn message(Room { chat, topic }: Room, text: &text::Message) -> Result<payloads::SendMessage, BotError> {
    let mut payload = payloads::SendMessage::new(known(chat), &text.text)
        .entities(marks(&text.entities))
        .link_preview_options(NO_PREVIEW);
    payload.message_thread_id = topic.map(thread).transpose()?;
    Ok(payload)
}

fn marks(entities: &[Entity]) -> impl Iterator<Item = MessageEntity> {
    entities.iter().map(|Entity { style, offset, length }| match style {
        Style::Bold => MessageEntity::bold(*offset, *length),
        Style::Code => MessageEntity::code(*offset, *length),
        Style::Pre => MessageEntity::pre(None, *offset, *length),
    })
}

const fn known(chat: ChatId) -> types::ChatId {
    types::ChatId(chat.0)
}

/// A topic has the number of the message that made it.
fn thread(topic: TopicId) -> Result<ThreadId, BotError> {
    number_of(MessageId(topic.0)).map(ThreadId).map_err(|_| BotError::Refused(Refusal::TopicGone))
}

/// Telegram's numbers of messages have 31 bits: there is no message with a greater one.
fn number_of(message: MessageId) -> Result<types::MessageId, BotError> {
    let number = i32::try_from(message.0).map_err(|_| BotError::Refused(Refusal::MessageGone))?;
    Ok(types::MessageId(number))
}

/// The number before a token's `:`. Whatever else could change an address is no token.
fn number(token: &str) -> Option<BotId> {
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
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(number("123456:AA-b_c"), Some(BotId(123_456)));
    }

    #[test]
    fn no_address_shows_its_token() {
        let address = Address {
            token: Secret::new("1:hunter2"),
            api_url: Some("http://localhost".to_owned()),
            proxy: None,
            patience: Address::PATIENCE,
        };
        let bot = Bot::new(&address).unwrap();
        assert!(!format!("{bot:?} {bot:#?} {address:?}").contains("hunter2"));
        let wrong = Address { token: Secret::new("hunter2"), ..address };
        let error = Bot::new(&wrong).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
