//! What is sent beside messages: keyboards, files, commands.
//!
//! Each is checked when it is made, by Telegram's limits, so that nothing is refused or cut on the way.

use std::fmt;

use teloxide_core::types::{BotCommand, InlineKeyboardButton, InlineKeyboardMarkup};

use crate::channels::telegram::text::{CAPTION_MOST, Message, units};

/// The most bytes that a button holds.
pub const DATA_MOST: usize = 64;
/// The most buttons, and the most in a row.
const BUTTONS_MOST: usize = 100;
const ROW_MOST: usize = 8;

/// Why something cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is nothing in it.
    #[error("a button or file must not be empty")]
    Empty,
    /// It is too long.
    #[error("it is longer than Telegram takes")]
    Long,
    /// There are more buttons than Telegram takes.
    #[error("it has more buttons than Telegram takes")]
    Many,
    /// A name has characters that it may not have.
    #[error("a name has characters that it may not have")]
    Name,
}

/// A button under a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Button(InlineKeyboardButton);

impl Button {
    /// A button with its words. It holds an unguessable name for what it does, never the thing itself.
    ///
    /// # Errors
    /// [`Malformed::Empty`], or [`Malformed::Long`] for a name of more than 64 bytes.
    pub fn new(text: impl Into<String>, name: impl Into<String>) -> Result<Self, Malformed> {
        let (text, name) = (text.into(), name.into());
        if text.trim().is_empty() || name.is_empty() {
            return Err(Malformed::Empty);
        }
        if name.len() > DATA_MOST {
            return Err(Malformed::Long);
        }
        Ok(Self(InlineKeyboardButton::callback(text, name)))
    }
}

/// Buttons in rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyboard(InlineKeyboardMarkup);

impl Keyboard {
    /// Rows of buttons.
    ///
    /// # Errors
    /// [`Malformed::Empty`] without a button or with an empty row, [`Malformed::Many`] above 100 or with more
    /// than eight in a row.
    pub fn new(rows: Vec<Vec<Button>>) -> Result<Self, Malformed> {
        if rows.is_empty() || rows.iter().any(Vec::is_empty) {
            return Err(Malformed::Empty);
        }
        if rows.iter().any(|row| row.len() > ROW_MOST)
            || rows.iter().map(Vec::len).sum::<usize>() > BUTTONS_MOST
        {
            return Err(Malformed::Many);
        }
        let rows = rows.into_iter().map(|row| row.into_iter().map(|Button(button)| button));
        Ok(Self(InlineKeyboardMarkup::new(rows)))
    }

    /// As Telegram takes it.
    pub(super) fn markup(&self) -> InlineKeyboardMarkup {
        self.0.clone()
    }
}

impl fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyboard").field("rows", &self.0.inline_keyboard.len()).finish()
    }
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    name: String,
    bytes: Vec<u8>,
    caption: Option<Message>,
}

impl Document {
    /// The most bytes of a file that a bot may send.
    const BYTES_MOST: usize = 50 << 20;
    const NAME_MOST: usize = 60;

    /// A file with a name of letters, digits, `.`, `-` and `_`.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn new(name: impl Into<String>, bytes: Vec<u8>, caption: Option<Message>) -> Result<Self, Malformed> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > Self::NAME_MOST || !name.chars().all(plain) {
            return Err(Malformed::Name);
        }
        if bytes.is_empty() {
            return Err(Malformed::Empty);
        }
        let long = caption.as_ref().is_some_and(|caption| units(&caption.text) > CAPTION_MOST);
        if long || bytes.len() > Self::BYTES_MOST {
            Err(Malformed::Long)
        } else {
            Ok(Self { name, bytes, caption })
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text under it.
    #[must_use]
    pub const fn caption(&self) -> Option<&Message> {
        self.caption.as_ref()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A command that a chat offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(BotCommand);

impl Command {
    /// A command without its `/`, of small letters, digits and `_`.
    ///
    /// # Errors
    /// [`Malformed::Name`], [`Malformed::Empty`] or [`Malformed::Long`].
    pub fn new(command: &'static str, description: &'static str) -> Result<Self, Malformed> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if command.is_empty() || command.len() > 32 || !command.chars().all(plain) {
            return Err(Malformed::Name);
        }
        match description.chars().count() {
            0 => Err(Malformed::Empty),
            257.. => Err(Malformed::Long),
            _ => Ok(Self(BotCommand::new(command, description))),
        }
    }

    /// As Telegram takes it.
    pub(super) fn entry(&self) -> BotCommand {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_holds_at_most_64_bytes() {
        assert!(Button::new("Yes", "x".repeat(64)).is_ok());
        assert_eq!(Button::new("Yes", "x".repeat(65)).err(), Some(Malformed::Long));
        assert_eq!(Button::new("Yes", "").err(), Some(Malformed::Empty));
        assert_eq!(Button::new(" ", "x").err(), Some(Malformed::Empty));
    }

    #[test]
    fn a_keyboard_has_buttons_in_every_row() {
        let button = Button::new("Yes", "x").unwrap();
        assert!(Keyboard::new(vec![vec![button.clone()]]).is_ok());
        assert_eq!(Keyboard::new(vec![]), Err(Malformed::Empty));
        assert_eq!(Keyboard::new(vec![vec![button.clone()], vec![]]), Err(Malformed::Empty));
        assert_eq!(Keyboard::new(vec![vec![button; 9]]), Err(Malformed::Many));
    }

    #[test]
    fn a_files_name_cannot_leave_its_place() {
        assert!(Document::new("call-1.json", b"{}".to_vec(), None).is_ok());
        for name in ["", "a\"b", "a\r\nb", "../a", "a b"] {
            assert_eq!(Document::new(name, b"{}".to_vec(), None), Err(Malformed::Name), "{name}");
        }
    }
}
