//! The few methods of the Bot API that Portero uses, with types and errors of our own.
//!
//! The one rule: the token stands in the address of every request, so no address, no error of the HTTP client
//! and no answer that could repeat one leaves `http`. teloxide is not used: its calls sleep ten seconds on a
//! server's error, its errors carry addresses and raw answers and hide the status, and a message with one part
//! that its types do not know is lost whole. See <https://core.telegram.org/bots/api>.

mod error;
mod http;
mod incoming;
mod outgoing;

use std::time::Duration;

use portero::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::text;

pub use error::{BotError, Network, Refusal};
use http::{File, Http};
pub use incoming::{ChatId, Incoming, Message, MessageId, Press, QueryId, Update, UpdateId, UserId};
pub use outgoing::{Act, Button, Command, DATA_MOST, Document, Keyboard, Malformed};

/// Telegram's own address.
const TELEGRAM: &str = "https://api.telegram.org";
/// How many updates are asked for at once; Telegram gives at most 100.
const UPDATES_MOST: u32 = 100;
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
        self.http.call("getMe", &json!({})).await
    }

    /// The updates from `from` on, those before it being done with; without it, all that are not. Waits up to
    /// `wait` for the first. Only messages and presses are asked for, each time.
    ///
    /// # Errors
    /// See [`BotError`]; [`BotError::Conflict`] when another program asks for the same bot.
    pub async fn updates(&self, from: Option<UpdateId>, wait: Duration) -> Result<Vec<Update>, BotError> {
        let mut body = json!({
            "limit": UPDATES_MOST,
            "timeout": wait.as_secs(),
            "allowed_updates": ["message", "callback_query"],
        });
        if let Some(UpdateId(from)) = from {
            body["offset"] = from.into();
        }
        self.http.call_for("getUpdates", &body, wait).await
    }

    /// Sends a message, without previews of links.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send(
        &self,
        chat: ChatId,
        text: &text::Message,
        keyboard: Option<&Keyboard>,
    ) -> Result<MessageId, BotError> {
        let mut body = text_body(chat, text);
        put(&mut body, "reply_markup", keyboard);
        let sent: Sent = self.http.call("sendMessage", &body).await?;
        Ok(sent.message_id)
    }

    /// Sends a message that the person's client offers to answer.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn ask(&self, chat: ChatId, text: &text::Message) -> Result<MessageId, BotError> {
        let mut body = text_body(chat, text);
        body["reply_markup"] = json!({"force_reply": true});
        let sent: Sent = self.http.call("sendMessage", &body).await?;
        Ok(sent.message_id)
    }

    /// Sends a file.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn send_document(&self, chat: ChatId, document: &Document) -> Result<MessageId, BotError> {
        let mut fields = vec![("chat_id", chat.0.to_string())];
        if let Some(caption) = document.caption() {
            fields.push(("caption", caption.text.clone()));
            fields.push(("caption_entities", json!(caption.entities).to_string()));
        }
        let file = File { field: "document", name: document.name(), bytes: document.bytes() };
        let sent: Sent = self.http.upload("sendDocument", &fields, &file).await?;
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
        let mut body = text_body(chat, text);
        body["message_id"] = message.0.into();
        put(&mut body, "reply_markup", keyboard);
        self.http.call::<Sent>("editMessageText", &body).await.map(drop)
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
        let mut body = json!({"chat_id": chat, "message_id": message});
        put(&mut body, "reply_markup", keyboard);
        self.http.call::<Sent>("editMessageReplyMarkup", &body).await.map(drop)
    }

    /// Ends the wait that a person sees after pressing a button; a text of up to 200 characters is shown for a
    /// moment, or until it is closed if it is an `alert`.
    ///
    /// # Errors
    /// See [`BotError`]; [`Refusal::QueryTooOld`] some time after the press.
    pub async fn answer(&self, query: &QueryId, text: Option<&str>, alert: bool) -> Result<(), BotError> {
        let mut body = json!({"callback_query_id": query, "show_alert": alert});
        let short = text.map(|text| text.chars().take(ANSWER_MOST).collect::<String>());
        put(&mut body, "text", short.as_ref());
        self.http.call::<bool>("answerCallbackQuery", &body).await.map(drop)
    }

    /// Sets the commands that are offered in one chat.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn set_commands(&self, chat: ChatId, commands: &[Command]) -> Result<(), BotError> {
        let body = json!({"commands": commands, "scope": {"type": "chat", "chat_id": chat}});
        self.http.call::<bool>("setMyCommands", &body).await.map(drop)
    }

    /// Removes a message.
    ///
    /// # Errors
    /// See [`BotError`].
    pub async fn delete(&self, chat: ChatId, message: MessageId) -> Result<(), BotError> {
        let body = json!({"chat_id": chat, "message_id": message});
        self.http.call::<bool>("deleteMessage", &body).await.map(drop)
    }
}

fn text_body(chat: ChatId, text: &text::Message) -> Value {
    json!({
        "chat_id": chat,
        "text": text.text,
        "entities": text.entities,
        "link_preview_options": {"is_disabled": true},
    })
}

fn put(body: &mut Value, name: &str, value: Option<&impl Serialize>) {
    if let Some(value) = value {
        body[name] = json!(value);
    }
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
