//! The texts and buttons that people see, as data for any channel.
//!
//! [`card`] has the text of a question and its outcome, [`buttons`] the buttons below it, and [`press`] the
//! effect of a press. [`burst`] shows calls that arrive together in one message, [`definitions`] what servers define
//! otherwise, [`notices`] reports other events, and [`views`] answers commands. [`waiting_offer`] lists the calls that a
//! grant allows and that still wait.
//! A channel draws the text, sends it, and returns the presses. The length and the addresses of its messages
//! are its own concern.

pub mod text;

pub mod format;

pub mod time_format;

mod change_text;

pub mod definitions;

pub mod card;

pub mod buttons;

pub mod burst;

pub mod waiting_offer;

pub mod press;

pub mod views;

pub mod notices;

#[cfg(test)]
pub(crate) mod tests;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time and zone in which a text is read.
#[derive(Debug, Clone, Copy)]
pub struct ViewContext<'a> {
    /// The present.
    pub now: Timestamp,
    /// The person's time zone.
    pub zone: &'a TimeZone,
}
