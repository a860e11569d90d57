//! Decides who is authorized: the paired person in their own private chat, or a decider in the configured
//! group. Forwarded messages don't count (guarantee A4).
//!
//! All others are strangers: nothing is sent, stored or logged for them. The functions are pure.

use super::client::{CallbackQuery, ChatId, ReceivedMessage, UpdateKind, UserId};
use crate::auth::pairing::{AuthorizedChat, ChatUser};

/// Input from an authorized user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserInput {
    /// A message that the person wrote themselves.
    Message(ReceivedMessage),
    /// A press of a button.
    Callback(CallbackQuery),
}

/// The sender of an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A stranger, who gets no reply.
    Stranger,
    /// Asks for their own number while no chat is authorized. The paired person may also ask this in a group.
    AsksWhoami(ChatUser, ReceivedMessage),
    /// The authorized group became a supergroup with a new number.
    ChatMigrated {
        /// The group.
        from: ChatId,
        /// The supergroup.
        to: ChatId,
    },
    /// The bot's rights in its chat changed.
    MembershipChanged(ChatId),
    /// Sends a pairing code while no person is paired.
    PairingCode(ChatUser, String),
    /// An authorized user.
    Authorized(ChatUser, UserInput),
}

/// Identifies the sender of an update; `bot` is the bot's own name.
pub(super) fn identify_sender(
    what: UpdateKind,
    authorized_chat: Option<&AuthorizedChat>,
    bot: &str,
) -> Sender {
    let (who, word) = match what {
        UpdateKind::Message(message) => {
            let who = person_in_chat(message.from, message.chat, message.is_private)
                // A forwarded message has another author, so it counts as a stranger's.
                .filter(|_| message.is_own_words);
            (who, UserInput::Message(message))
        }
        UpdateKind::CallbackQuery(press) => {
            let place = press.message_place;
            let who = place.and_then(|(chat, private, _)| person_in_chat(Some(press.from), chat, private));
            (who, UserInput::Callback(press))
        }
        UpdateKind::ChatMigrated { from, to } => {
            // Only the move of the authorized group counts: the bot may be in other groups too.
            let ours = matches!(authorized_chat, Some(AuthorizedChat::Group(group)) if group.chat == from.0);
            return if ours { Sender::ChatMigrated { from, to } } else { Sender::Stranger };
        }
        UpdateKind::BotMembership(chat) => {
            let ours = authorized_chat.is_some_and(|allowed| allowed.chat() == chat.0);
            return if ours { Sender::MembershipChanged(chat) } else { Sender::Stranger };
        }
        UpdateKind::Other => return Sender::Stranger,
    };
    match (who, authorized_chat) {
        (Some(who), Some(authorized_chat)) if authorized_chat.authorizes(who) => {
            Sender::Authorized(who, word)
        }
        // The person needs a group's number to write it into the configuration, and learns it in that group.
        (Some(who), Some(AuthorizedChat::Private(person))) if who.user == person.user => {
            match_whoami(who, word, bot)
        }
        (Some(who), None) => match match_pairing_code(who, &word, bot) {
            // A code comes before `/whoami`, so the reply to a code never depends on the other check.
            Sender::Stranger => match_whoami(who, word, bot),
            known => known,
        },
        (_, Some(_)) | (None, None) => Sender::Stranger,
    }
}

/// The user, if the chat is their own private one or a group.
fn person_in_chat(user: Option<UserId>, chat: ChatId, private: bool) -> Option<ChatUser> {
    let UserId(user) = user?;
    // Telegram: a private chat has its user's number, a group a negative one.
    let fits = if private { chat.0 == user } else { chat.0 < 0 };
    fits.then_some(ChatUser { user, chat: chat.0 })
}

fn match_whoami(who: ChatUser, word: UserInput, bot: &str) -> Sender {
    match word {
        UserInput::Message(said)
            if said.text.as_deref().and_then(|text| split_command(text, bot)) == Some(("whoami", "")) =>
        {
            Sender::AsksWhoami(who, said)
        }
        UserInput::Message(_) | UserInput::Callback(_) => Sender::Stranger,
    }
}

/// A code counts only in a private chat: in a group another reader could use it first.
fn match_pairing_code(who: ChatUser, word: &UserInput, bot: &str) -> Sender {
    let UserInput::Message(ReceivedMessage { text: Some(text), .. }) = word else { return Sender::Stranger };
    match split_command(text, bot) {
        Some(("pair" | "start", code)) if !code.is_empty() && who.owner().is_some() => {
            Sender::PairingCode(who, code.to_owned())
        }
        _ => Sender::Stranger,
    }
}

/// Splits a command from its arguments: `/pair CODE`, `/pair@bot CODE`. None if it is for another bot.
#[must_use]
pub fn split_command<'a>(text: &'a str, bot: &str) -> Option<(&'a str, &'a str)> {
    let text = text.trim().strip_prefix('/')?;
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = match name.split_once('@') {
        Some((name, other)) if other.eq_ignore_ascii_case(bot) => name,
        // A command for another bot of the same group is none of ours.
        Some(_) => return None,
        None => name,
    };
    Some((name, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::pairing::DecidingGroup;
    use crate::telegram::client::{MessageId, QueryId};

    const JANE: ChatUser = ChatUser { user: 501, chat: 501 };
    const GROUP: i64 = -1_001;

    fn jane() -> AuthorizedChat {
        AuthorizedChat::Private(JANE)
    }

    /// Jane and Ada decide in a group.
    fn group() -> AuthorizedChat {
        AuthorizedChat::Group(DecidingGroup { chat: GROUP, deciders: vec![501, 502] })
    }

    fn message_of_jane(text: &str) -> ReceivedMessage {
        ReceivedMessage {
            id: MessageId(1),
            chat: ChatId(501),
            is_private: true,
            is_forum: false,
            topic: None,
            from: Some(UserId(501)),
            is_own_words: true,
            reply_to: None,
            text: Some(text.to_owned()),
        }
    }

    fn identify(message: ReceivedMessage, authorized_chat: Option<&AuthorizedChat>) -> Sender {
        identify_sender(UpdateKind::Message(message), authorized_chat, "portero_bot")
    }

    fn message_in_group(user: i64, chat: i64) -> ReceivedMessage {
        ReceivedMessage {
            from: Some(UserId(user)),
            chat: ChatId(chat),
            is_private: false,
            ..message_of_jane("/status")
        }
    }

    fn callback_query(user: i64, place: Option<(ChatId, bool, MessageId)>) -> UpdateKind {
        let data = Some("token".to_owned());
        UpdateKind::CallbackQuery(CallbackQuery {
            query: QueryId("7".to_owned()),
            from: UserId(user),
            message_place: place,
            data,
        })
    }

    #[test]
    fn only_the_person_is_heard_and_only_in_their_own_chat_and_words() {
        assert_eq!(
            identify(message_of_jane("hi"), Some(&jane())),
            Sender::Authorized(JANE, UserInput::Message(message_of_jane("hi")))
        );
        let others = [
            ReceivedMessage { from: Some(UserId(666)), chat: ChatId(666), ..message_of_jane("/pair X") },
            ReceivedMessage { from: Some(UserId(666)), ..message_of_jane("hi") },
            ReceivedMessage { chat: ChatId(-5), is_private: false, ..message_of_jane("hi") },
            ReceivedMessage { is_private: false, ..message_of_jane("hi") },
            ReceivedMessage { from: None, ..message_of_jane("hi") },
            ReceivedMessage { is_own_words: false, ..message_of_jane("hi") },
        ];
        for other in others {
            assert_eq!(identify(other, Some(&jane())), Sender::Stranger);
        }
        assert_eq!(identify_sender(UpdateKind::Other, Some(&jane()), "portero_bot"), Sender::Stranger);
    }

    #[test]
    fn in_a_group_each_decider_is_heard_and_nobody_elsewhere_or_in_anothers_name() {
        for user in [501, 502] {
            let who = ChatUser { user, chat: GROUP };
            let said = message_in_group(user, GROUP);
            assert_eq!(
                identify(said.clone(), Some(&group())),
                Sender::Authorized(who, UserInput::Message(said))
            );
        }
        let others = [
            message_in_group(666, GROUP),
            message_in_group(501, -7),
            message_of_jane("hi"),
            message_of_jane("/whoami"),
            message_of_jane("/pair ABCD-EFGH"),
            // An administrator who does not show themselves writes in the group's name.
            ReceivedMessage { is_own_words: false, ..message_in_group(501, GROUP) },
            ReceivedMessage { from: None, ..message_in_group(501, GROUP) },
            ReceivedMessage { is_private: true, ..message_in_group(501, GROUP) },
        ];
        for other in others {
            assert_eq!(identify(other.clone(), Some(&group())), Sender::Stranger, "{other:?}");
        }
        let look = |user, chat: i64, private| {
            identify_sender(
                callback_query(user, Some((ChatId(chat), private, MessageId(3)))),
                Some(&group()),
                "portero_bot",
            )
        };
        assert!(matches!(
            look(502, GROUP, false),
            Sender::Authorized(ChatUser { user: 502, .. }, UserInput::Callback(_))
        ));
        for (user, chat, private) in
            [(666, GROUP, false), (501, 501, true), (501, -7, false), (501, GROUP, true)]
        {
            assert_eq!(look(user, chat, private), Sender::Stranger, "{user} in {chat}");
        }
    }

    #[test]
    fn that_a_group_became_a_supergroup_is_only_heard_of_the_one() {
        let moved = |from| UpdateKind::ChatMigrated { from: ChatId(from), to: ChatId(-9) };
        let told = Sender::ChatMigrated { from: ChatId(GROUP), to: ChatId(-9) };
        assert_eq!(identify_sender(moved(GROUP), Some(&group()), "bot"), told);
        for (from, authorized_chat) in
            [(-7, Some(group())), (501, Some(jane())), (GROUP, Some(jane())), (GROUP, None)]
        {
            assert_eq!(
                identify_sender(moved(from), authorized_chat.as_ref(), "bot"),
                Sender::Stranger,
                "{from}"
            );
        }
    }

    #[test]
    fn what_the_bot_may_do_is_only_heard_of_the_chat_in_which_it_speaks() {
        let changed = |chat| UpdateKind::BotMembership(ChatId(chat));
        assert_eq!(
            identify_sender(changed(GROUP), Some(&group()), "bot"),
            Sender::MembershipChanged(ChatId(GROUP))
        );
        assert_eq!(
            identify_sender(changed(501), Some(&jane()), "bot"),
            Sender::MembershipChanged(ChatId(501))
        );
        for (chat, authorized_chat) in [(-7, Some(group())), (502, Some(jane())), (GROUP, None)] {
            assert_eq!(
                identify_sender(changed(chat), authorized_chat.as_ref(), "bot"),
                Sender::Stranger,
                "{chat}"
            );
        }
    }

    #[test]
    fn only_the_persons_presses_count() {
        let here = Some((ChatId(501), true, MessageId(3)));
        let look = |what| identify_sender(what, Some(&jane()), "portero_bot");
        assert!(matches!(look(callback_query(501, here)), Sender::Authorized(JANE, UserInput::Callback(_))));
        assert_eq!(look(callback_query(666, here)), Sender::Stranger);
        assert_eq!(look(callback_query(501, Some((ChatId(-5), false, MessageId(3))))), Sender::Stranger);
        assert_eq!(look(callback_query(501, None)), Sender::Stranger);
    }

    #[test]
    fn before_pairing_people_can_ask_who_they_are_and_say_a_code() {
        assert_eq!(
            identify(message_of_jane("/whoami"), None),
            Sender::AsksWhoami(JANE, message_of_jane("/whoami"))
        );
        for text in ["/pair ABCD-EFGH", "/start ABCD-EFGH", " /pair@Portero_Bot  ABCD-EFGH\n"] {
            assert_eq!(
                identify(message_of_jane(text), None),
                Sender::PairingCode(JANE, "ABCD-EFGH".to_owned()),
                "{text}"
            );
        }
        for text in ["hi", "/start", "/pair", "/pair@other_bot X", "pair X", "/status"] {
            assert_eq!(identify(message_of_jane(text), None), Sender::Stranger, "{text}");
        }
        assert_eq!(
            identify(
                ReceivedMessage { chat: ChatId(-5), is_private: false, ..message_of_jane("/pair X") },
                None
            ),
            Sender::Stranger
        );
        assert_eq!(
            identify(ReceivedMessage { is_own_words: false, ..message_of_jane("/pair X") }, None),
            Sender::Stranger
        );
    }

    #[test]
    fn a_groups_number_is_told_there_before_anything_is_configured_and_to_the_one_person_after() {
        let asks = |user| ReceivedMessage {
            text: Some("/whoami@portero_bot".to_owned()),
            ..message_in_group(user, -7)
        };
        let told = |user| Sender::AsksWhoami(ChatUser { user, chat: -7 }, asks(user));
        assert_eq!((identify(asks(666), None), identify(asks(501), Some(&jane()))), (told(666), told(501)));
        assert_eq!(identify(asks(666), Some(&jane())), Sender::Stranger);
        assert_eq!(identify(asks(501), Some(&group())), Sender::Stranger);
        assert_eq!(identify(ReceivedMessage { is_own_words: false, ..asks(666) }, None), Sender::Stranger);
    }
}
