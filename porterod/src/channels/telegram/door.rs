//! Who is let in: the paired person, in their own private chat, or a decider, in the one group; in their own words
//! (guarantee A4).
//!
//! Everyone else is a stranger, for whom nothing is sent, stored or logged. Pure.

use super::bot::{ChatId, Incoming, Message, Press, UserId};
use crate::pairing::{Circle, Person};

/// What the person said or pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A message, in the person's own words.
    Said(Message),
    /// A button.
    Pressed(Press),
}

/// Who is at the door.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody to whom anything is said.
    Stranger,
    /// Someone asks for their own number, while the bot listens to nobody; or its person does, in some group.
    Whoami(Person, Message),
    /// The group in which the bot listens is a supergroup now, and has this number.
    Moved {
        /// The group.
        from: ChatId,
        /// The supergroup.
        to: ChatId,
    },
    /// What the bot may do in the chat in which it speaks changed.
    Membership(ChatId),
    /// Someone says a code, while nobody is paired.
    Code(Person, String),
    /// One to whom the bot listens.
    Person(Person, Word),
}

/// Looks who it is. `bot` is the bot's own name.
pub(super) fn look(what: Incoming, circle: Option<&Circle>, bot: &str) -> Caller {
    let (who, word) = match what {
        Incoming::Message(message) => {
            let who = someone(message.from, message.chat, message.private).filter(|_| message.own);
            (who, Word::Said(message))
        }
        Incoming::Press(press) => {
            let place = press.place;
            let who = place.and_then(|(chat, private, _)| someone(Some(press.from), chat, private));
            (who, Word::Pressed(press))
        }
        Incoming::Moved { from, to } => {
            let ours = matches!(circle, Some(Circle::Group(group)) if group.chat == from.0);
            return if ours { Caller::Moved { from, to } } else { Caller::Stranger };
        }
        Incoming::Membership(chat) => {
            let ours = circle.is_some_and(|circle| circle.chat() == chat.0);
            return if ours { Caller::Membership(chat) } else { Caller::Stranger };
        }
        Incoming::Other => return Caller::Stranger,
    };
    match (who, circle) {
        (Some(who), Some(circle)) if circle.has(who) => Caller::Person(who, word),
        // Whoever is to name a group in the configuration learns its number there.
        (Some(who), Some(Circle::One(person))) if who.user == person.user => asks_who(who, word, bot),
        (Some(who), None) => match says_code(who, &word, bot) {
            Caller::Stranger => asks_who(who, word, bot),
            known => known,
        },
        (_, Some(_)) | (None, None) => Caller::Stranger,
    }
}

/// Someone in their own private chat, or in a group.
fn someone(user: Option<UserId>, chat: ChatId, private: bool) -> Option<Person> {
    let UserId(user) = user?;
    let fits = if private { chat.0 == user } else { chat.0 < 0 };
    fits.then_some(Person { user, chat: chat.0 })
}

fn asks_who(who: Person, word: Word, bot: &str) -> Caller {
    match word {
        Word::Said(said)
            if said.text.as_deref().and_then(|text| command(text, bot)) == Some(("whoami", "")) =>
        {
            Caller::Whoami(who, said)
        }
        Word::Said(_) | Word::Pressed(_) => Caller::Stranger,
    }
}

/// A code is said in private: who reads it in a group could be quicker.
fn says_code(who: Person, word: &Word, bot: &str) -> Caller {
    let Word::Said(Message { text: Some(text), .. }) = word else { return Caller::Stranger };
    match command(text, bot) {
        Some(("pair" | "start", code)) if !code.is_empty() && who.owner().is_some() => {
            Caller::Code(who, code.to_owned())
        }
        _ => Caller::Stranger,
    }
}

/// A command and what stands behind it: `/pair CODE`, `/pair@bot CODE`. None when it is for another bot.
#[must_use]
pub fn command<'a>(text: &'a str, bot: &str) -> Option<(&'a str, &'a str)> {
    let text = text.trim().strip_prefix('/')?;
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = match name.split_once('@') {
        Some((name, other)) if other.eq_ignore_ascii_case(bot) => name,
        Some(_) => return None,
        None => name,
    };
    Some((name, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::telegram::bot::{MessageId, QueryId};
    use crate::pairing::Group;

    const JANE: Person = Person { user: 501, chat: 501 };
    const GROUP: i64 = -1_001;

    fn jane() -> Circle {
        Circle::One(JANE)
    }

    /// Jane and Ada decide in a group.
    fn group() -> Circle {
        Circle::Group(Group { chat: GROUP, deciders: vec![501, 502] })
    }

    fn said(text: &str) -> Message {
        Message {
            id: MessageId(1),
            chat: ChatId(501),
            private: true,
            forum: false,
            topic: None,
            from: Some(UserId(501)),
            own: true,
            answers: None,
            text: Some(text.to_owned()),
        }
    }

    fn of(message: Message, circle: Option<&Circle>) -> Caller {
        look(Incoming::Message(message), circle, "portero_bot")
    }

    fn in_group(user: i64, chat: i64) -> Message {
        Message { from: Some(UserId(user)), chat: ChatId(chat), private: false, ..said("/status") }
    }

    fn press(user: i64, place: Option<(ChatId, bool, MessageId)>) -> Incoming {
        let data = Some("token".to_owned());
        Incoming::Press(Press { query: QueryId("7".to_owned()), from: UserId(user), place, data })
    }

    #[test]
    fn only_the_person_is_heard_and_only_in_their_own_chat_and_words() {
        assert_eq!(of(said("hi"), Some(&jane())), Caller::Person(JANE, Word::Said(said("hi"))));
        let others = [
            Message { from: Some(UserId(666)), chat: ChatId(666), ..said("/pair X") },
            Message { from: Some(UserId(666)), ..said("hi") },
            Message { chat: ChatId(-5), private: false, ..said("hi") },
            Message { private: false, ..said("hi") },
            Message { from: None, ..said("hi") },
            Message { own: false, ..said("hi") },
        ];
        for other in others {
            assert_eq!(of(other, Some(&jane())), Caller::Stranger);
        }
        assert_eq!(look(Incoming::Other, Some(&jane()), "portero_bot"), Caller::Stranger);
    }

    #[test]
    fn in_a_group_each_decider_is_heard_and_nobody_elsewhere_or_in_anothers_name() {
        for user in [501, 502] {
            let who = Person { user, chat: GROUP };
            let said = in_group(user, GROUP);
            assert_eq!(of(said.clone(), Some(&group())), Caller::Person(who, Word::Said(said)));
        }
        let others = [
            in_group(666, GROUP),
            in_group(501, -7),
            said("hi"),
            said("/whoami"),
            said("/pair ABCD-EFGH"),
            // An administrator who does not show themselves writes in the group's name.
            Message { own: false, ..in_group(501, GROUP) },
            Message { from: None, ..in_group(501, GROUP) },
            Message { private: true, ..in_group(501, GROUP) },
        ];
        for other in others {
            assert_eq!(of(other.clone(), Some(&group())), Caller::Stranger, "{other:?}");
        }
        let look = |user, chat: i64, private| {
            look(press(user, Some((ChatId(chat), private, MessageId(3)))), Some(&group()), "portero_bot")
        };
        assert!(matches!(
            look(502, GROUP, false),
            Caller::Person(Person { user: 502, .. }, Word::Pressed(_))
        ));
        for (user, chat, private) in
            [(666, GROUP, false), (501, 501, true), (501, -7, false), (501, GROUP, true)]
        {
            assert_eq!(look(user, chat, private), Caller::Stranger, "{user} in {chat}");
        }
    }

    #[test]
    fn that_a_group_became_a_supergroup_is_only_heard_of_the_one() {
        let moved = |from| Incoming::Moved { from: ChatId(from), to: ChatId(-9) };
        let told = Caller::Moved { from: ChatId(GROUP), to: ChatId(-9) };
        assert_eq!(look(moved(GROUP), Some(&group()), "bot"), told);
        for (from, circle) in [(-7, Some(group())), (501, Some(jane())), (GROUP, Some(jane())), (GROUP, None)]
        {
            assert_eq!(look(moved(from), circle.as_ref(), "bot"), Caller::Stranger, "{from}");
        }
    }

    #[test]
    fn what_the_bot_may_do_is_only_heard_of_the_chat_in_which_it_speaks() {
        let changed = |chat| Incoming::Membership(ChatId(chat));
        assert_eq!(look(changed(GROUP), Some(&group()), "bot"), Caller::Membership(ChatId(GROUP)));
        assert_eq!(look(changed(501), Some(&jane()), "bot"), Caller::Membership(ChatId(501)));
        for (chat, circle) in [(-7, Some(group())), (502, Some(jane())), (GROUP, None)] {
            assert_eq!(look(changed(chat), circle.as_ref(), "bot"), Caller::Stranger, "{chat}");
        }
    }

    #[test]
    fn only_the_persons_presses_count() {
        let here = Some((ChatId(501), true, MessageId(3)));
        let look = |what| look(what, Some(&jane()), "portero_bot");
        assert!(matches!(look(press(501, here)), Caller::Person(JANE, Word::Pressed(_))));
        assert_eq!(look(press(666, here)), Caller::Stranger);
        assert_eq!(look(press(501, Some((ChatId(-5), false, MessageId(3))))), Caller::Stranger);
        assert_eq!(look(press(501, None)), Caller::Stranger);
    }

    #[test]
    fn before_pairing_people_can_ask_who_they_are_and_say_a_code() {
        assert_eq!(of(said("/whoami"), None), Caller::Whoami(JANE, said("/whoami")));
        for text in ["/pair ABCD-EFGH", "/start ABCD-EFGH", " /pair@Portero_Bot  ABCD-EFGH\n"] {
            assert_eq!(of(said(text), None), Caller::Code(JANE, "ABCD-EFGH".to_owned()), "{text}");
        }
        for text in ["hi", "/start", "/pair", "/pair@other_bot X", "pair X", "/status"] {
            assert_eq!(of(said(text), None), Caller::Stranger, "{text}");
        }
        assert_eq!(
            of(Message { chat: ChatId(-5), private: false, ..said("/pair X") }, None),
            Caller::Stranger
        );
        assert_eq!(of(Message { own: false, ..said("/pair X") }, None), Caller::Stranger);
    }

    #[test]
    fn a_groups_number_is_told_there_before_anything_is_configured_and_to_the_one_person_after() {
        let asks = |user| Message { text: Some("/whoami@portero_bot".to_owned()), ..in_group(user, -7) };
        let told = |user| Caller::Whoami(Person { user, chat: -7 }, asks(user));
        assert_eq!((of(asks(666), None), of(asks(501), Some(&jane()))), (told(666), told(501)));
        assert_eq!(of(asks(666), Some(&jane())), Caller::Stranger);
        assert_eq!(of(asks(501), Some(&group())), Caller::Stranger);
        assert_eq!(of(Message { own: false, ..asks(666) }, None), Caller::Stranger);
    }
}
