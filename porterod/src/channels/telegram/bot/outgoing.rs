//! What is sent beside messages: keyboards, files, commands.
//!
//! Each is checked when it is made, by Telegram's limits, so that nothing is refused or cut on the way.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

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
pub struct Button {
    text: String,
    act: Act,
}

/// What a button does.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// It tells the bot this: an unguessable name for something, never the thing itself.
    Press(String),
    /// It opens a page.
    Open(String),
    /// It puts a text on the clipboard.
    Copy(String),
}

impl Button {
    /// A button with its words.
    ///
    /// # Errors
    /// [`Malformed::Empty`], or [`Malformed::Long`] for a press of more than 64 bytes or a copy of more than
    /// 256 characters.
    pub fn new(text: impl Into<String>, act: Act) -> Result<Self, Malformed> {
        let text = text.into();
        let (length, most) = match &act {
            Act::Press(data) => (data.len(), DATA_MOST),
            Act::Open(url) => (url.len(), 2048),
            Act::Copy(copied) => (copied.encode_utf16().count(), 256),
        };
        if text.trim().is_empty() || length == 0 {
            return Err(Malformed::Empty);
        }
        if length > most { Err(Malformed::Long) } else { Ok(Self { text, act }) }
    }
}

impl Serialize for Button {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("text", &self.text)?;
        match &self.act {
            Act::Press(data) => map.serialize_entry("callback_data", data)?,
            Act::Open(url) => map.serialize_entry("url", url)?,
            Act::Copy(text) => map.serialize_entry("copy_text", &serde_json::json!({"text": text}))?,
        }
        map.end()
    }
}

/// Buttons in rows.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Keyboard {
    inline_keyboard: Vec<Vec<Button>>,
}

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
        Ok(Self { inline_keyboard: rows })
    }
}

impl fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyboard").field("rows", &self.inline_keyboard.len()).finish()
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    command: &'static str,
    description: &'static str,
}

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
            _ => Ok(Self { command, description }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_holds_at_most_64_bytes() {
        assert!(Button::new("Yes", Act::Press("x".repeat(64))).is_ok());
        assert_eq!(Button::new("Yes", Act::Press("x".repeat(65))).err(), Some(Malformed::Long));
        assert_eq!(Button::new("Yes", Act::Press(String::new())).err(), Some(Malformed::Empty));
        assert_eq!(Button::new(" ", Act::Press("x".to_owned())).err(), Some(Malformed::Empty));
    }

    #[test]
    fn a_keyboard_has_buttons_in_every_row() {
        let button = Button::new("Yes", Act::Press("x".to_owned())).unwrap();
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
