//! Text for Telegram: plain text with entities, never a parse mode.
//!
//! Offsets and lengths are in UTF-16 code units (Bot API, "`MessageEntity`").

mod map_external;
mod page_split;

use serde::{Deserialize, Serialize};

pub use crate::presentation::text::{EscapedText, StyledText, TextStyle};

/// The most UTF-16 code units of a message (Bot API, "sendMessage": 1-4096 characters after entities parsing).
pub const MAX_MESSAGE_UNITS: usize = 4096;
/// The most UTF-16 code units of a document's caption (Bot API, "sendDocument").
pub const MAX_CAPTION_UNITS: usize = 1024;
/// The most entities of a message; Telegram ignores further ones (<https://limits.tginfo.me/en>).
pub const MAX_ENTITIES: usize = 100;

/// A message in Telegram's form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormattedText {
    /// The text.
    pub text: String,
    /// Its entities in order; they don't overlap.
    pub entities: Vec<TextEntity>,
}

/// A styled part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextEntity {
    /// Its style, with the Bot API's name.
    #[serde(rename = "type")]
    pub style: TextStyle,
    /// Its offset in UTF-16 code units.
    pub offset: usize,
    /// Its length in UTF-16 code units.
    pub length: usize,
}

/// Conversion of a text to messages.
pub trait ToMessages {
    /// The text as one message, if it fits into `most` UTF-16 code units.
    #[must_use]
    fn fit_message(&self, most: usize) -> Option<FormattedText>;

    /// The first `most` messages of the text, of at most [`MAX_MESSAGE_UNITS`] units each. Several messages
    /// are numbered as pages; if more would follow, the last one refers to the document.
    /// No page begins or ends with a blank, which Telegram would cut, and no letter is split or lost.
    #[must_use]
    fn to_first_pages(&self, most: usize) -> Vec<FormattedText>;

    /// All messages of the text.
    #[must_use]
    fn to_pages(&self) -> Vec<FormattedText> {
        self.to_first_pages(usize::MAX)
    }
}

impl ToMessages for StyledText {
    fn fit_message(&self, most: usize) -> Option<FormattedText> {
        let units: usize = self.parts().iter().map(|part| utf16_len(&part.text)).sum();
        (units <= most && self.styled_count() <= MAX_ENTITIES)
            .then(|| page_split::message_of_parts(self.parts()))
    }

    fn to_first_pages(&self, most: usize) -> Vec<FormattedText> {
        match self.fit_message(MAX_MESSAGE_UNITS) {
            Some(message) => vec![message],
            None => page_split::split_pages(self.parts(), most),
        }
    }
}

/// The length of a text in UTF-16 code units.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
pub(super) mod tests;
