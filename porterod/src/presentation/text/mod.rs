//! Text that a channel shows a person: parts with a style, of any length.
//!
//! A text is made of two kinds of parts. Portero's own words are fixed in the program. Everything else, from
//! an agent's argument to a server's name, is [`EscapedText`], and stands only in [`TextStyle::Code`] and
//! [`TextStyle::Pre`]: a channel makes no link, mention or command of it, and a reader does not take it for Portero's
//! words (guarantee A3).

mod escaped;

use serde::{Deserialize, Serialize};

pub use self::escaped::EscapedText;

/// How a part looks.
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

/// A text in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyledText {
    parts: Vec<StyledPart>,
}

/// A stretch of text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StyledPart {
    /// How it looks; none for Portero's own words as they are.
    pub style: Option<TextStyle>,
    /// What it says.
    pub text: String,
}

impl StyledText {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Portero's own words. They hold nothing that a channel would make a link, mention, command or hashtag of;
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

    /// A command of ours that can be tapped, without its slash.
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

    /// Its parts, in their order.
    #[must_use]
    pub fn parts(&self) -> &[StyledPart] {
        &self.parts
    }

    /// How many of its parts have a style.
    #[must_use]
    pub fn styled_count(&self) -> usize {
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

    /// Its beginning, of about `most` characters and `styled` parts with a style at most, and whether that is all.
    #[must_use]
    pub fn truncated(&self, most: usize, styled: usize) -> (Self, bool) {
        let (mut kept, mut left) = (Self::new(), most);
        for part in &self.parts {
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

fn check_literal(words: &'static str) {
    debug_assert!(is_inert(words), "a channel may read something into {words:?}");
}

/// Channels look for links, mentions, commands, hashtags and the like in what is not code: our own words hold none
/// of what these begin with.
fn is_inert(words: &str) -> bool {
    !words.contains(['@', '#', '/', '$', '_', '\\', '`']) && !words.split_whitespace().any(looks_like_host)
}

/// Whether a word could be a host's name.
fn looks_like_host(word: &str) -> bool {
    word.trim_end_matches(['.', '…', ')', ':']).contains('.')
}

#[cfg(test)]
pub(crate) mod tests;
