//! Text for Telegram: plain text with entities, never a parse mode.
//!
//! A message is made of two kinds of parts. Portero's own words are fixed in the program. Everything else, from
//! an agent's argument to a server's name, is [`EscapedText`], and stands only inside `code` and `pre`: there Telegram
//! makes no link, mention, command or hashtag of it, and nobody takes it for Portero's words (guarantee A3).
//! Offsets and lengths are in UTF-16 code units (Bot API, "`MessageEntity`").

mod escaped;
mod json;
mod map_external;
mod page_split;

use serde::{Deserialize, Serialize};

pub use self::escaped::EscapedText;

/// The most UTF-16 code units of a message (Bot API, "sendMessage": 1-4096 characters after entities parsing).
pub const MAX_MESSAGE_UNITS: usize = 4096;
/// The most UTF-16 code units of a document's caption (Bot API, "sendDocument").
pub const MAX_CAPTION_UNITS: usize = 1024;
/// The most entities of a message; Telegram ignores what is beyond (<https://limits.tginfo.me/en>).
pub const MAX_ENTITIES: usize = 100;

/// A message as Telegram takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormattedText {
    /// The text.
    pub text: String,
    /// Its entities, in their order; none overlaps another.
    pub entities: Vec<TextEntity>,
}

/// A part of a message that is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextEntity {
    /// What it is.
    #[serde(rename = "type")]
    pub style: TextStyle,
    /// Where it begins, in UTF-16 code units.
    pub offset: usize,
    /// How long it is, in UTF-16 code units.
    pub length: usize,
}

/// How a part looks. The names are the Bot API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextStyle {
    /// Portero's own words, bold.
    Bold,
    /// Text from outside, within a line.
    Code,
    /// Text from outside, a block of lines.
    Pre,
}

/// A message in the making, of any length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyledText {
    parts: Vec<StyledPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct StyledPart {
    style: Option<TextStyle>,
    text: String,
}

impl StyledText {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Portero's own words. They hold nothing that Telegram would make a link, mention, command or hashtag of;
    /// names, paths and commands stand in [`StyledText::code`].
    #[must_use]
    pub fn literal(mut self, words: &'static str) -> Self {
        check_literal(words);
        self.push_part(None, words);
        self
    }

    /// Portero's own words, bold.
    #[must_use]
    pub fn bold(mut self, words: &'static str) -> Self {
        check_literal(words);
        self.push_part(Some(TextStyle::Bold), words);
        self
    }

    /// A command of ours that can be tapped, without its stroke.
    #[must_use]
    pub fn command(mut self, name: &'static str) -> Self {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "not a command: {name:?}");
        self.push_part(None, "/");
        self.push_part(None, name);
        self
    }

    /// A number in Portero's own words.
    #[must_use]
    pub fn number(mut self, count: u64) -> Self {
        self.push_part(None, &count.to_string());
        self
    }

    /// Text from outside, within a line.
    #[must_use]
    pub fn code(mut self, shown: &EscapedText) -> Self {
        if self.parts.last().is_some_and(|last| last.style == Some(TextStyle::Code)) {
            self.push_part(None, " ");
        }
        self.push_external(TextStyle::Code, shown)
    }

    /// Text from outside, a block of lines, on lines of its own.
    #[must_use]
    pub fn pre(mut self, shown: &EscapedText) -> Self {
        self.start_line();
        self.push_external(TextStyle::Pre, shown)
    }

    /// Begins a new line, unless one begins here.
    #[must_use]
    pub fn on_new_line(mut self) -> Self {
        self.start_line();
        self
    }

    /// Another text at the end of this one.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        for part in other.parts {
            if part.style == Some(TextStyle::Pre) {
                self.start_line();
            }
            self.push_part(part.style, &part.text);
        }
        self
    }

    /// The text with every style dropped, for a document.
    #[must_use]
    pub fn plain_text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }

    /// How many UTF-16 code units it has.
    #[must_use]
    pub fn utf16_len(&self) -> usize {
        self.parts.iter().map(|part| utf16_len(&part.text)).sum()
    }

    /// How many entities it has.
    #[must_use]
    pub fn entity_count(&self) -> usize {
        self.parts.iter().filter(|part| part.style.is_some()).count()
    }

    /// Whether it is more than a line.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.parts.iter().any(|part| part.style == Some(TextStyle::Pre))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The text as one message, if it fits into so many UTF-16 code units.
    #[must_use]
    pub fn fit_message(&self, most: usize) -> Option<FormattedText> {
        (self.utf16_len() <= most && self.entity_count() <= MAX_ENTITIES)
            .then(|| page_split::message_of_parts(&self.parts))
    }

    /// The text as messages of at most [`MAX_MESSAGE_UNITS`] units: one, or several that say which page they are. No
    /// page begins or ends with a blank, which Telegram would cut; no letter is split, and none is lost.
    #[must_use]
    pub fn to_pages(&self) -> Vec<FormattedText> {
        self.to_first_pages(usize::MAX)
    }

    /// The first `most` of [`StyledText::to_pages`]; where more would follow, the last says that a document has them.
    #[must_use]
    pub fn to_first_pages(&self, most: usize) -> Vec<FormattedText> {
        match self.fit_message(MAX_MESSAGE_UNITS) {
            Some(message) => vec![message],
            None => page_split::split_pages(&self.parts, most),
        }
    }

    /// Its beginning, of about `most` characters and `entities` entities at most, and whether that is all.
    #[must_use]
    pub fn truncated(&self, most: usize, entities: usize) -> (Self, bool) {
        let (mut kept, mut left) = (Self::new(), most);
        for part in &self.parts {
            if left == 0 || part.style.is_some() && kept.entity_count() == entities {
                return (kept, false);
            }
            let (text, whole) = EscapedText(part.text.clone()).truncated(left);
            left = left.saturating_sub(text.as_str().chars().count());
            if !text.is_empty() {
                kept.parts.push(StyledPart { style: part.style, text: text.0 });
            }
            if !whole {
                return (kept, false);
            }
        }
        (kept, true)
    }

    fn push_external(mut self, style: TextStyle, shown: &EscapedText) -> Self {
        if shown.is_empty() {
            self.push_part(None, "(nothing)");
        } else {
            self.push_part(Some(style), shown.as_str());
        }
        self
    }

    fn start_line(&mut self) {
        match self.parts.last() {
            None => {}
            Some(StyledPart { style: Some(TextStyle::Pre), .. }) => self.push_part(None, "\n"),
            Some(last) if last.text.ends_with('\n') => {}
            Some(_) => self.push_part(None, "\n"),
        }
    }

    fn push_part(&mut self, style: Option<TextStyle>, text: &str) {
        if text.is_empty() {
            return;
        }
        if style != Some(TextStyle::Pre)
            && self.parts.last().is_some_and(|last| last.style == Some(TextStyle::Pre))
        {
            // What follows a block stands on a line of its own.
            if !text.starts_with('\n') {
                self.parts.push(StyledPart { style: None, text: "\n".to_owned() });
            }
        }
        match self.parts.last_mut() {
            Some(last) if last.style == style && matches!(style, None | Some(TextStyle::Bold)) => {
                last.text.push_str(text);
            }
            _ => self.parts.push(StyledPart { style, text: text.to_owned() }),
        }
    }
}

/// The length of a text in UTF-16 code units.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn check_literal(words: &'static str) {
    debug_assert!(is_inert(words), "Telegram may read something into {words:?}");
}

/// Telegram looks for links, mentions, commands, hashtags and the like in what is not `code`: our own words hold
/// none of what they begin with.
fn is_inert(words: &str) -> bool {
    !words.contains(['@', '#', '/', '$', '_', '\\', '`']) && !words.split_whitespace().any(looks_like_host)
}

/// Whether a word could be a host's name.
fn looks_like_host(word: &str) -> bool {
    word.trim_end_matches(['.', '…', ')', ':']).contains('.')
}

#[cfg(test)]
pub(super) mod tests;
