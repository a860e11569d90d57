//! Updates: messages and presses, reduced to the fields that Portero uses.
//!
//! An update of another kind, or an unreadable one, keeps its number. So it is never requested again and
//! doesn't hide later ones. `Debug` leaves out what people write, because that must not reach a log.
//!
//! teloxide's `Update` loses a message's text, and whether it is forwarded, if one part has an unknown kind,
//! such as a new entity. With a new kind of chat it loses everything. So a person with a newer client would
//! not be heard.
//! Therefore only the needed fields are read here. A test shows that the used version still behaves like
//! this.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The number of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UpdateId(pub i64);

/// A chat. A private chat has its user's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChatId(pub i64);

/// The account of a person or bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub i64);

/// A message's number in its chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub i64);

/// A topic of a group, by the number of the message that created it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub i64);

/// The id of a press, for [`super::Bot::answer_callback_query`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryId(pub String);

/// An update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its number.
    pub id: UpdateId,
    /// Its content.
    pub kind: UpdateKind,
}

/// The content of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateKind {
    /// A message.
    Message(ReceivedMessage),
    /// A button was pressed.
    CallbackQuery(CallbackQuery),
    /// A group became a supergroup.
    ChatMigrated {
        /// The group.
        from: ChatId,
        /// The supergroup.
        to: ChatId,
    },
    /// The bot's membership or rights in a chat changed.
    BotMembership(ChatId),
    /// A kind that Portero doesn't use.
    Other,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedMessage {
    /// Its number.
    pub id: MessageId,
    /// The chat in which it was written.
    pub chat: ChatId,
    /// Whether the chat is private.
    pub is_private: bool,
    /// Whether the chat is a group with topics.
    pub is_forum: bool,
    /// Its topic; none in General.
    pub topic: Option<TopicId>,
    /// The author; none in channels.
    pub from: Option<UserId>,
    /// Whether the author wrote it themselves: it isn't forwarded, sent through another bot, or sent in
    /// another name.
    pub is_own_words: bool,
    /// The message to which it replies.
    pub reply_to: Option<MessageId>,
    /// Its text; none for pictures and similar messages.
    pub text: Option<String>,
}

/// A press of a button under one of the bot's messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackQuery {
    /// Its id for the answer.
    pub query: QueryId,
    /// The user who pressed.
    pub from: UserId,
    /// The chat, whether it is private, and the message with the button. None for an inline message, which is
    /// never ours.
    pub message_place: Option<(ChatId, bool, MessageId)>,
    /// The callback data.
    pub data: Option<String>,
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, chat, from, .. } = self;
        f.debug_struct("Message")
            .field("id", id)
            .field("chat", chat)
            .field("from", from)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallbackQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, message_place: place, .. } = self;
        f.debug_struct("Press").field("from", from).field("place", place).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Update {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct RawUpdate {
            update_id: UpdateId,
            message: Option<Box<RawValue>>,
            callback_query: Option<Box<RawValue>>,
            my_chat_member: Option<Box<RawValue>>,
        }
        let RawUpdate { update_id, message, callback_query, my_chat_member } = RawUpdate::deserialize(from)?;
        // An update contains at most one of these.
        let what = match (message, callback_query, my_chat_member) {
            (Some(raw), None, None) => serde_json::from_str(raw.get()).map(RawMessage::into_kind).ok(),
            (None, Some(raw), None) => serde_json::from_str(raw.get()).map(RawCallbackQuery::into_kind).ok(),
            (None, None, Some(raw)) => {
                serde_json::from_str(raw.get()).map(RawChatMemberUpdate::into_kind).ok()
            }
            _ => None,
        };
        Ok(Self { id: update_id, kind: what.unwrap_or(UpdateKind::Other) })
    }
}

#[derive(Deserialize)]
struct RawMessage {
    message_id: MessageId,
    chat: RawChat,
    from: Option<RawUser>,
    text: Option<String>,
    message_thread_id: Option<TopicId>,
    #[serde(default)]
    is_topic_message: bool,
    migrate_to_chat_id: Option<ChatId>,
    migrate_from_chat_id: Option<ChatId>,
    reply_to_message: Option<RawReply>,
    // Only the presence of these fields matters, not their content.
    forward_origin: Option<Box<RawValue>>,
    forward_date: Option<Box<RawValue>>,
    sender_chat: Option<Box<RawValue>>,
    via_bot: Option<Box<RawValue>>,
    sender_business_bot: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct RawChat {
    id: ChatId,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    is_forum: bool,
}

#[derive(Deserialize)]
struct RawUser {
    id: UserId,
    #[serde(default)]
    is_bot: bool,
}

#[derive(Deserialize)]
struct RawReply {
    message_id: MessageId,
}

#[derive(Deserialize)]
struct RawCallbackQuery {
    id: QueryId,
    from: RawUser,
    message: Option<RawCallbackMessage>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct RawCallbackMessage {
    message_id: MessageId,
    chat: RawChat,
}

impl RawMessage {
    fn into_kind(self) -> UpdateKind {
        // Each of the two groups reports the move, and either report suffices.
        if let Some(to) = self.migrate_to_chat_id {
            return UpdateKind::ChatMigrated { from: self.chat.id, to };
        }
        if let Some(from) = self.migrate_from_chat_id {
            return UpdateKind::ChatMigrated { from, to: self.chat.id };
        }
        let others = [
            &self.forward_origin,
            &self.forward_date,
            &self.sender_chat,
            &self.via_bot,
            &self.sender_business_bot,
        ];
        let own =
            others.iter().all(|other| other.is_none()) && self.from.as_ref().is_some_and(|from| !from.is_bot);
        UpdateKind::Message(ReceivedMessage {
            id: self.message_id,
            is_private: self.chat.is_private(),
            is_forum: self.chat.is_forum,
            // Replies outside of topics have a thread id too, but no message can be sent to such a thread.
            topic: self.message_thread_id.filter(|_| self.is_topic_message),
            chat: self.chat.id,
            from: self.from.map(|from| from.id),
            is_own_words: own,
            reply_to: self.reply_to_message.map(|answered| answered.message_id),
            text: self.text,
        })
    }
}

#[derive(Deserialize)]
struct RawChatMemberUpdate {
    chat: RawChat,
}

impl RawChatMemberUpdate {
    fn into_kind(self) -> UpdateKind {
        UpdateKind::BotMembership(self.chat.id)
    }
}

impl RawCallbackQuery {
    fn into_kind(self) -> UpdateKind {
        let place =
            self.message.map(|message| (message.chat.id, message.chat.is_private(), message.message_id));
        UpdateKind::CallbackQuery(CallbackQuery {
            query: self.id,
            from: self.from.id,
            message_place: place,
            data: self.data,
        })
    }
}

impl RawChat {
    fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(update: &str) -> Update {
        serde_json::from_str(update).unwrap()
    }

    const SAID: &str = r#"{"update_id":7,"message":{"message_id":1,"date":0,"from":{"id":5,"is_bot":false},
        "chat":{"id":5,"type":"private"},"text":"hunter2"EXTRA}}"#;

    #[test]
    fn a_message_is_its_writers_own_unless_it_comes_from_elsewhere() {
        let own = |extra: &str| match read(&SAID.replace("EXTRA", extra)).kind {
            UpdateKind::Message(message) => message.is_own_words,
            other => panic!("{other:?}"),
        };
        assert!(own(""));
        assert!(own(r#","reply_to_message":{"message_id":3,"chat":{"id":5,"type":"private"}}"#));
        for elsewhere in
            ["\"forward_origin\":{}", "\"forward_date\":1", "\"sender_chat\":{}", "\"via_bot\":{}"]
        {
            assert!(!own(&format!(",{elsewhere}")), "{elsewhere}");
        }
    }

    #[test]
    fn a_topic_is_told_from_a_thread_of_answers() {
        let topic = |extra: &str| match read(&SAID.replace("EXTRA", extra)).kind {
            UpdateKind::Message(message) => message.topic,
            other => panic!("{other:?}"),
        };
        assert_eq!(topic(r#","message_thread_id":17,"is_topic_message":true"#), Some(TopicId(17)));
        assert_eq!(topic(r#","message_thread_id":17"#), None);
        let moved = read(&SAID.replace("EXTRA", r#","migrate_to_chat_id":-1001"#)).kind;
        assert_eq!(moved, UpdateKind::ChatMigrated { from: ChatId(5), to: ChatId(-1001) });
        let moved = read(&SAID.replace("EXTRA", r#","migrate_from_chat_id":-7"#)).kind;
        assert_eq!(moved, UpdateKind::ChatMigrated { from: ChatId(-7), to: ChatId(5) });
    }

    #[test]
    fn what_cannot_be_read_keeps_its_number() {
        for strange in [
            r#"{"update_id":8}"#,
            r#"{"update_id":8,"poll":{"id":"x"}}"#,
            r#"{"update_id":8,"message":{"new":true}}"#,
            r#"{"update_id":8,"message":17}"#,
            r#"{"update_id":8,"callback_query":{"id":5}}"#,
        ] {
            assert_eq!(read(strange), Update { id: UpdateId(8), kind: UpdateKind::Other }, "{strange}");
        }
    }

    #[test]
    fn what_becomes_of_the_bot_in_a_chat_says_in_which() {
        let changed = read(
            r#"{"update_id":9,"my_chat_member":{"chat":{"id":-4,"type":"supergroup"},"from":{"id":5},"date":0,
                "old_chat_member":{"status":"restricted"},"new_chat_member":{"status":"telepath"}}}"#,
        );
        assert_eq!(changed.kind, UpdateKind::BotMembership(ChatId(-4)));
    }

    #[test]
    fn a_press_says_where() {
        let press = read(
            r#"{"update_id":9,"callback_query":{"id":"77","from":{"id":5,"is_bot":false},"chat_instance":"1",
                "message":{"message_id":3,"date":0,"chat":{"id":-4,"type":"group"}},"data":"hunter2"}}"#,
        );
        let UpdateKind::CallbackQuery(press) = press.kind else { panic!("{press:?}") };
        assert_eq!(press.message_place, Some((ChatId(-4), false, MessageId(3))));
        assert_eq!((press.from, press.data.as_deref()), (UserId(5), Some("hunter2")));
    }

    /// Why teloxide's types do not read what arrives. If this fails, they have become better: then use them.
    #[test]
    fn a_new_kind_of_mark_hides_no_text_as_it_would_in_teloxides_types() {
        use teloxide_core::types;

        let said = r#"{"update_id":7,"message":{"message_id":1,"date":0,"text":"/pause",
            "from":{"id":5,"is_bot":false,"first_name":"J"},"chat":{"id":5,"type":"private","first_name":"J"},
            "entities":[{"type":"MARK","offset":0,"length":6}]}}"#;
        let theirs = |mark: &str| match serde_json::from_str(&said.replace("MARK", mark)) {
            Ok(types::Update { kind: types::UpdateKind::Message(message), .. }) => {
                message.text().map(str::to_owned)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(theirs("bot_command").as_deref(), Some("/pause"));
        assert_eq!(theirs("telepathy"), None);
        let UpdateKind::Message(ours) = read(&said.replace("MARK", "telepathy")).kind else { panic!("lost") };
        assert_eq!(ours.text.as_deref(), Some("/pause"));
    }

    #[test]
    fn what_people_write_is_not_printed() {
        let said = read(&SAID.replace("EXTRA", ""));
        assert!(!format!("{said:?} {said:#?}").contains("hunter2"));
    }
}
