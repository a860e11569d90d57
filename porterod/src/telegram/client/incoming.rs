//! What arrives: messages and presses of buttons, as far as Portero looks at them.
//!
//! An update of another kind, or one that cannot be read, still has its number, so it is never asked for again
//! and hides no later one. What people write has no place in a log: `Debug` leaves it out.
//!
//! teloxide's own `Update` would lose the text of a message, and that it is forwarded, as soon as one part of it
//! (a mark of a new kind, say) is not known to its types, and all of it where the chat's kind is new: a person
//! whose client is newer than Portero would not be heard. So only what is looked at is read. A test holds this
//! reason against the version that is used.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The number of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UpdateId(pub i64);

/// A chat. A private one has its person's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChatId(pub i64);

/// A person's or bot's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub i64);

/// A message, by its number in its chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub i64);

/// A topic of a group, by the number of the message that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub i64);

/// A press of a button, as [`super::Bot::answer_callback_query`] wants it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryId(pub String);

/// One thing that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its number.
    pub id: UpdateId,
    /// What it is.
    pub kind: UpdateKind,
}

/// What arrived.
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
    /// What the bot may do in a chat changed, or whether it is in it.
    BotMembership(ChatId),
    /// Something that Portero does not know.
    Other,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedMessage {
    /// Its number.
    pub id: MessageId,
    /// Where it was written.
    pub chat: ChatId,
    /// Whether that is a private chat.
    pub is_private: bool,
    /// Whether that is a group with topics.
    pub is_forum: bool,
    /// In which of its topics; none in General.
    pub topic: Option<TopicId>,
    /// Who wrote it; none in channels.
    pub from: Option<UserId>,
    /// Whether the writer says it in their own words: it is not forwarded, nor sent through another bot or in
    /// another's name.
    pub is_own_words: bool,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Its text; none for pictures and the like.
    pub text: Option<String>,
}

/// A press of a button under one of the bot's messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackQuery {
    /// To answer it.
    pub query: QueryId,
    /// Who pressed.
    pub from: UserId,
    /// The chat, and whether it is a private one, and the message under which the button stands. None when
    /// that message is inline, which is none of ours.
    pub message_place: Option<(ChatId, bool, MessageId)>,
    /// What the button holds.
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
        // An update holds one of these at most.
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
    // That these are there is what counts, not what they hold.
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
            // Answers elsewhere than in a topic have a thread too, into which nobody can write.
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
