//! The last look at what leaves for Telegram: whatever it is made from, no real value is in it (guarantee N1).
//!
//! What a call holds is concealed where it is taken in. Here the rest is: the paths of projects, what a person
//! typed, a name.

use std::borrow::Cow;

use portero::anonymize::Anonymizer;

use crate::telegram::text::{FormattedText, MAX_MESSAGE_UNITS, utf16_len};

/// What stands for a part that a concealed message has no room for.
const OMITTED: &str = "…";

/// The message as it may leave.
pub(super) fn conceal_message<'a>(
    message: &'a FormattedText,
    anonymizer: &Anonymizer,
) -> Cow<'a, FormattedText> {
    let conceal = |text: &str| anonymizer.conceal_text(text).into_inner();
    let changed = message.map_external(conceal);
    if changed == *message {
        return Cow::Borrowed(message);
    }
    if utf16_len(&changed.text) <= MAX_MESSAGE_UNITS {
        return Cow::Owned(changed);
    }
    Cow::Owned(message.map_external(|text| if conceal(text) == text { text } else { OMITTED }.to_owned()))
}
