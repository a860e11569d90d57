//! Outgoing content besides text: keyboards, files, commands.
//!
//! Each is checked against Telegram's limits when it is built, so that Telegram neither refuses nor cuts it.

use std::fmt;

use teloxide_core::types::{BotCommand, InlineKeyboardButton, InlineKeyboardMarkup};

use crate::telegram::text::{FormattedText, MAX_CAPTION_UNITS, utf16_len};

/// The most bytes of a button's callback data.
pub const MAX_CALLBACK_DATA_BYTES: usize = 64;
/// The most buttons, and the most in a row.
const MAX_BUTTONS: usize = 100;
const MAX_BUTTONS_PER_ROW: usize = 8;

/// Why content can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is empty.
    #[error("a button or file must not be empty")]
    Empty,
    /// It is too long.
    #[error("it is longer than Telegram takes")]
    TooLong,
    /// There are more buttons than Telegram takes.
    #[error("it has more buttons than Telegram takes")]
    TooManyButtons,
    /// A name has characters that it may not have.
    #[error("a name has characters that it may not have")]
    InvalidName,
}

/// A button under a message.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineButton(InlineKeyboardButton);

impl InlineButton {
    /// A button with a label. Its `name` is an unguessable token for the act and never the act itself.
    ///
    /// # Errors
    /// [`PayloadError::Empty`], or [`PayloadError::TooLong`] for a token of more than 64 bytes.
    pub fn new(text: impl Into<String>, name: impl Into<String>) -> Result<Self, PayloadError> {
        let (text, name) = (text.into(), name.into());
        if text.trim().is_empty() || name.is_empty() {
            return Err(PayloadError::Empty);
        }
        if name.len() > MAX_CALLBACK_DATA_BYTES {
            return Err(PayloadError::TooLong);
        }
        Ok(Self(InlineKeyboardButton::callback(text, name)))
    }
}

/// Buttons in rows.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineKeyboard(InlineKeyboardMarkup);

impl InlineKeyboard {
    /// A keyboard with these rows.
    ///
    /// # Errors
    /// [`PayloadError::Empty`] without a button or with an empty row; [`PayloadError::TooManyButtons`] above
    /// 100, or above eight in a row.
    pub fn new(rows: Vec<Vec<InlineButton>>) -> Result<Self, PayloadError> {
        if rows.is_empty() || rows.iter().any(Vec::is_empty) {
            return Err(PayloadError::Empty);
        }
        if rows.iter().any(|row| row.len() > MAX_BUTTONS_PER_ROW)
            || rows.iter().map(Vec::len).sum::<usize>() > MAX_BUTTONS
        {
            return Err(PayloadError::TooManyButtons);
        }
        let rows = rows.into_iter().map(|row| row.into_iter().map(|InlineButton(button)| button));
        Ok(Self(InlineKeyboardMarkup::new(rows)))
    }

    /// The keyboard as a type of `teloxide-core`.
    pub(super) fn to_markup(&self) -> InlineKeyboardMarkup {
        self.0.clone()
    }
}

impl fmt::Debug for InlineKeyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyboard").field("rows", &self.0.inline_keyboard.len()).finish()
    }
}

/// A file to send.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentUpload {
    name: String,
    bytes: Vec<u8>,
    caption: Option<FormattedText>,
}

impl DocumentUpload {
    /// The most bytes of a file that a bot may send.
    const MAX_BYTES: usize = 50 << 20;
    const MAX_NAME_BYTES: usize = 60;

    /// A file with a name of letters, digits, `.`, `-` and `_`.
    ///
    /// # Errors
    /// See [`PayloadError`].
    pub fn new(
        name: impl Into<String>,
        bytes: Vec<u8>,
        caption: Option<FormattedText>,
    ) -> Result<Self, PayloadError> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        // A quote or a line break in the name could change the headers of the upload.
        if name.is_empty() || name.len() > Self::MAX_NAME_BYTES || !name.chars().all(plain) {
            return Err(PayloadError::InvalidName);
        }
        if bytes.is_empty() {
            return Err(PayloadError::Empty);
        }
        let long = caption.as_ref().is_some_and(|caption| utf16_len(&caption.text) > MAX_CAPTION_UNITS);
        if long || bytes.len() > Self::MAX_BYTES {
            Err(PayloadError::TooLong)
        } else {
            Ok(Self { name, bytes, caption })
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its caption.
    #[must_use]
    pub const fn caption(&self) -> Option<&FormattedText> {
        self.caption.as_ref()
    }
}

impl fmt::Debug for DocumentUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A command of a chat's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuCommand(BotCommand);

impl MenuCommand {
    /// A command without its `/`, of small letters, digits and `_`.
    ///
    /// # Errors
    /// [`PayloadError::InvalidName`], [`PayloadError::Empty`] or [`PayloadError::TooLong`].
    pub fn new(command: &'static str, description: &'static str) -> Result<Self, PayloadError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if command.is_empty() || command.len() > 32 || !command.chars().all(plain) {
            return Err(PayloadError::InvalidName);
        }
        match description.chars().count() {
            0 => Err(PayloadError::Empty),
            257.. => Err(PayloadError::TooLong),
            _ => Ok(Self(BotCommand::new(command, description))),
        }
    }

    /// The command as a type of `teloxide-core`.
    pub(super) fn to_bot_command(&self) -> BotCommand {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_holds_at_most_64_bytes() {
        assert!(InlineButton::new("Yes", "x".repeat(64)).is_ok());
        assert_eq!(InlineButton::new("Yes", "x".repeat(65)).err(), Some(PayloadError::TooLong));
        assert_eq!(InlineButton::new("Yes", "").err(), Some(PayloadError::Empty));
        assert_eq!(InlineButton::new(" ", "x").err(), Some(PayloadError::Empty));
    }

    #[test]
    fn a_keyboard_has_buttons_in_every_row() {
        let button = InlineButton::new("Yes", "x").unwrap();
        assert!(InlineKeyboard::new(vec![vec![button.clone()]]).is_ok());
        assert_eq!(InlineKeyboard::new(vec![]), Err(PayloadError::Empty));
        assert_eq!(InlineKeyboard::new(vec![vec![button.clone()], vec![]]), Err(PayloadError::Empty));
        assert_eq!(InlineKeyboard::new(vec![vec![button; 9]]), Err(PayloadError::TooManyButtons));
    }

    #[test]
    fn a_files_name_cannot_leave_its_place() {
        assert!(DocumentUpload::new("call-1.json", b"{}".to_vec(), None).is_ok());
        for name in ["", "a\"b", "a\r\nb", "../a", "a b"] {
            assert_eq!(
                DocumentUpload::new(name, b"{}".to_vec(), None),
                Err(PayloadError::InvalidName),
                "{name}"
            );
        }
    }
}
