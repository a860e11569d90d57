//! The last look at what leaves for Telegram: whatever it is made from, no real value is in it (guarantee N1).
//!
//! What a call holds is concealed where it is taken in. Here the rest is: the paths of projects, what a person
//! typed, a name.

use std::borrow::Cow;

use portero::anonymize::Anonymizer;

use crate::channels::telegram::text::{MESSAGE_MOST, Message, units};

/// What stands for a part that a concealed message has no room for.
const NO_ROOM: &str = "…";

/// The message as it may leave.
pub(super) fn concealed<'a>(message: &'a Message, anonymizer: &Anonymizer) -> Cow<'a, Message> {
    let conceal = |text: &str| anonymizer.conceal_text(text).into_inner();
    let changed = message.with_outside(conceal);
    if changed == *message {
        return Cow::Borrowed(message);
    }
    if units(&changed.text) <= MESSAGE_MOST {
        return Cow::Owned(changed);
    }
    Cow::Owned(message.with_outside(|text| if conceal(text) == text { text } else { NO_ROOM }.to_owned()))
}
