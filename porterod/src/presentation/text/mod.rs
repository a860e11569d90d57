//! Text for people: styled parts, of any length.
//!
//! A text has two kinds of parts. Portero's own words are fixed in the program. All other text, from
//! arguments to server names, is [`EscapedText`] and appears only in [`TextStyle::Code`] and
//! [`TextStyle::Pre`].
//! So a channel makes no link, mention or command of it, and a reader can't mistake it for Portero's words
//! (guarantee A3).

mod escaped;

use serde::{Deserialize, Serialize};

pub use self::escaped::EscapedText;

/// The style of a part.
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

/// A text that is being built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyledText {
    parts: Vec<StyledPart>,
}

/// A part of a text with one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StyledPart {
    /// Its style; none for Portero's own plain words.
    pub style: Option<TextStyle>,
    /// Its text.
    pub text: String,
}

impl StyledText {
    /// An empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Adds Portero's own words. They must contain nothing that a channel would make a link, mention, command
    /// or hashtag of; names, paths and commands belong into [`StyledText::code`].
    #[must_use]
    pub fn literal(mut self, words: &'static str) -> Self {
        check_literal(words);
        self.push_part(None, words);
        self
    }

    /// Adds Portero's own words in bold.
    #[must_use]
    pub fn bold(mut self, words: &'static str) -> Self {
        check_literal(words);
        self.push_part(Some(TextStyle::Bold), words);
        self
    }

    /// Adds one of our commands as a link; `name` has no slash.
    #[must_use]
    pub fn command(mut self, name: &'static str) -> Self {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "not a command: {name:?}");
        self.push_part(None, "/");
        self.push_part(None, name);
        self
    }

    /// Adds a number within Portero's own words.
    #[must_use]
    pub fn number(mut self, count: u64) -> Self {
        self.push_part(None, &count.to_string());
        self
    }

    /// Adds text from outside within a line.
    #[must_use]
    pub fn code(mut self, shown: &EscapedText) -> Self {
        // Two adjacent code parts would look like one.
        if self.parts.last().is_some_and(|last| last.style == Some(TextStyle::Code)) {
            self.push_part(None, " ");
        }
        self.push_external(TextStyle::Code, shown)
    }

    /// Adds text from outside as a block of its own lines.
    #[must_use]
    pub fn pre(mut self, shown: &EscapedText) -> Self {
        self.start_line();
        self.push_external(TextStyle::Pre, shown)
    }

    /// Begins a new line, unless the text is at the start of one.
    #[must_use]
    pub fn on_new_line(mut self) -> Self {
        self.start_line();
        self
    }

    /// Appends another text.
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

    /// The text without styles, for a document.
    #[must_use]
    pub fn plain_text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }

    /// The parts in order.
    #[must_use]
    pub fn parts(&self) -> &[StyledPart] {
        &self.parts
    }

    /// The number of parts with a style.
    #[must_use]
    pub fn styled_count(&self) -> usize {
        self.parts.iter().filter(|part| part.style.is_some()).count()
    }

    /// Whether it contains a block.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.parts.iter().any(|part| part.style == Some(TextStyle::Pre))
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The text in one line: a block becomes a part of the line, with a mark for each line break.
    #[must_use]
    pub fn flattened(&self) -> Self {
        let part = |part: &StyledPart| match part.style {
            None | Some(TextStyle::Bold) => {
                StyledPart { style: part.style, text: part.text.replace('\n', " ") }
            }
            // The text is escaped already, so the mark can't be mistaken for one that came from outside.
            Some(TextStyle::Code | TextStyle::Pre) => {
                StyledPart { style: Some(TextStyle::Code), text: part.text.replace('\n', "⏎") }
            }
        };
        Self { parts: self.parts.iter().map(part).collect() }
    }

    /// The beginning with at most `most` characters and `styled` styled parts, and whether that is the whole
    /// text.
    #[must_use]
    pub fn truncated(&self, most: usize, styled: usize) -> (Self, bool) {
        let (mut kept, mut left) = (Self::new(), most);
        for part in &self.parts {
            // The number of styled parts is bounded too: Telegram ignores entities beyond a hundred.
            if left == 0 || part.style.is_some() && kept.styled_count() == styled {
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
            // An empty styled part would be dropped by the channel, and the reader would miss it.
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
            // Text after a block begins on a line of its own.
            if !text.starts_with('\n') {
                self.parts.push(StyledPart { style: None, text: "\n".to_owned() });
            }
        }
        match self.parts.last_mut() {
            // Only Portero's own words are joined: texts from outside keep their own bounds.
            Some(last) if last.style == style && matches!(style, None | Some(TextStyle::Bold)) => {
                last.text.push_str(text);
            }
            _ => self.parts.push(StyledPart { style, text: text.to_owned() }),
        }
    }
}

fn check_literal(words: &'static str) {
    debug_assert!(is_inert(words), "a channel may read something into {words:?}");
}

/// Channels make links, mentions, commands and hashtags of plain text, so our own words must not contain the
/// characters with which these begin.
fn is_inert(words: &str) -> bool {
    !words.contains(['@', '#', '/', '$', '_', '\\', '`']) && !words.split_whitespace().any(looks_like_host)
}

/// Whether a word could be a host name.
fn looks_like_host(word: &str) -> bool {
    word.trim_end_matches(['.', '…', ')', ':']).contains('.')
}

#[cfg(test)]
pub(crate) mod tests;
