//! What a person is shown and may press, on any channel: texts and buttons as data.
//!
//! [`card`] says what a question and its outcome tell, [`buttons`] what can be pressed below it, and [`press`] what that
//! does; [`burst`] tells when many questions stand in one message, [`notices`] when a person is told of something else,
//! and [`views`] what is answered to a command. A channel draws the text, sends it, and carries presses back; how long its
//! messages may be and how it addresses them is its own business.

pub mod text;

pub mod format;

pub mod time_format;

pub mod card;

pub mod buttons;

pub mod burst;

pub mod press;

pub mod views;

pub mod notices;

#[cfg(test)]
pub(crate) mod tests;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When and where a text is read.
#[derive(Debug, Clone, Copy)]
pub struct ViewContext<'a> {
    /// The present.
    pub now: Timestamp,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}
