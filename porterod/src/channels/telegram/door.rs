//! Who is let in: the paired person, in their own private chat and in their own words (guarantee A4).
//!
//! Everyone else is a stranger, for whom nothing is sent, stored or logged. Pure.

use super::bot::{ChatId, Incoming, Message, Press, UserId};
use crate::pairing::Person;

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
    /// Someone asks for their own number, while nobody is paired.
    Whoami(Person),
    /// Someone says a code, while nobody is paired.
    Code(Person, String),
    /// The person.
    Person(Word),
}

/// Looks who it is. `bot` is the bot's own name.
pub(super) fn look(what: Incoming, person: Option<Person>, bot: &str) -> Caller {
    let (who, word) = match what {
        Incoming::Message(message) => {
            let who = own_chat(message.from, message.chat, message.private).filter(|_| message.own);
            (who, Word::Said(message))
        }
        Incoming::Press(press) => {
            let place = press.place;
            let who = place.and_then(|(chat, private, _)| own_chat(Some(press.from), chat, private));
            (who, Word::Pressed(press))
        }
        Incoming::Other => return Caller::Stranger,
    };
    match (who, person) {
        (Some(who), Some(person)) if who == person => Caller::Person(word),
        (Some(who), None) => unpaired(who, &word, bot),
        (_, Some(_)) | (None, None) => Caller::Stranger,
    }
}

/// Someone in their own private chat.
fn own_chat(user: Option<UserId>, chat: ChatId, private: bool) -> Option<Person> {
    let UserId(user) = user?;
    (private && chat.0 == user).then_some(Person { user, chat: chat.0 })
}

fn unpaired(who: Person, word: &Word, bot: &str) -> Caller {
    let Word::Said(Message { text: Some(text), .. }) = word else { return Caller::Stranger };
    match command(text, bot) {
        Some(("whoami", "")) => Caller::Whoami(who),
        Some(("pair" | "start", code)) if !code.is_empty() => Caller::Code(who, code.to_owned()),
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

    const JANE: Person = Person { user: 501, chat: 501 };

    fn said(text: &str) -> Message {
        Message {
            id: MessageId(1),
            chat: ChatId(501),
            private: true,
            from: Some(UserId(501)),
            own: true,
            answers: None,
            text: Some(text.to_owned()),
        }
    }

    fn of(message: Message, person: Option<Person>) -> Caller {
        look(Incoming::Message(message), person, "portero_bot")
    }

    fn press(user: i64, place: Option<(ChatId, bool, MessageId)>) -> Incoming {
        let data = Some("token".to_owned());
        Incoming::Press(Press { query: QueryId("7".to_owned()), from: UserId(user), place, data })
    }

    #[test]
    fn only_the_person_is_heard_and_only_in_their_own_chat_and_words() {
        assert_eq!(of(said("hi"), Some(JANE)), Caller::Person(Word::Said(said("hi"))));
        let others = [
            Message { from: Some(UserId(666)), chat: ChatId(666), ..said("/pair X") },
            Message { from: Some(UserId(666)), ..said("hi") },
            Message { chat: ChatId(-5), private: false, ..said("hi") },
            Message { private: false, ..said("hi") },
            Message { from: None, ..said("hi") },
            Message { own: false, ..said("hi") },
        ];
        for other in others {
            assert_eq!(of(other, Some(JANE)), Caller::Stranger);
        }
        assert_eq!(look(Incoming::Other, Some(JANE), "portero_bot"), Caller::Stranger);
    }

    #[test]
    fn only_the_persons_presses_count() {
        let here = Some((ChatId(501), true, MessageId(3)));
        let look = |what| look(what, Some(JANE), "portero_bot");
        assert!(matches!(look(press(501, here)), Caller::Person(Word::Pressed(_))));
        assert_eq!(look(press(666, here)), Caller::Stranger);
        assert_eq!(look(press(501, Some((ChatId(-5), false, MessageId(3))))), Caller::Stranger);
        assert_eq!(look(press(501, None)), Caller::Stranger);
    }

    #[test]
    fn before_pairing_people_can_ask_who_they_are_and_say_a_code() {
        assert_eq!(of(said("/whoami"), None), Caller::Whoami(JANE));
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
}
