//! The chat that the bot serves: what is sent there, and for whom its buttons are.

use super::client::ChatId;
use super::sender::{MessageKey, TelegramSender};
use crate::auth::buttons::MessageRef;
use crate::auth::pairing::AuthorizedChat;
use crate::store::cards::BotChat;

/// The chat, and the sender to it.
#[derive(Debug, Clone)]
pub(super) struct ChatLink {
    pub(super) sender: TelegramSender,
    pub(super) bot_chat: BotChat,
    /// The owner of a private chat; none in a group.
    pub(super) owner: Option<i64>,
}

impl ChatLink {
    pub(super) fn new(sender: &TelegramSender, chat: &AuthorizedChat) -> Self {
        let bot_chat = BotChat { bot: sender.bot_id().0, chat: chat.chat() };
        Self { sender: sender.clone(), bot_chat, owner: chat.owner() }
    }

    pub(super) const fn chat(&self) -> ChatId {
        ChatId(self.bot_chat.chat)
    }

    /// The place of a message's buttons, usable by everyone authorized there.
    pub(super) fn message_ref(&self, key: &MessageKey) -> MessageRef {
        let BotChat { bot, chat } = self.bot_chat;
        MessageRef { bot, chat, user: self.owner, cause: key.as_str().to_owned() }
    }

    /// Whether this is the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.sender.is_same(&other.sender) && (self.bot_chat, self.owner) == (other.bot_chat, other.owner)
    }
}
