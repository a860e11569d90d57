//! Telegram: draws and carries what [`crate::presentation`] says. Nothing from outside becomes a part of a message but as
//! [`text::EscapedText`].
//!
//! [`client`] is the wire and the only place that knows HTTP; [`sender`] sends at the pace that Telegram allows;
//! [`updates`] polls, and sets `aside` what fails; [`access`] tells who is let in, and [`supervisor`] keeps all that in
//! service. What a person presses is for [`callbacks`], what they type for [`commands`]: both make requests as the
//! terminal makes them. What is to be shown of each task is in the store first, and `card_sync` draws it.

pub mod text;

mod card_pages;

pub mod client;

pub mod sender;

pub mod access;

mod aside;

pub mod updates;

mod inline_buttons;

mod card_view;

mod topics;

mod card_sync;

mod notice_consumer;

pub mod notices;

pub mod menu;

pub mod commands;

pub mod callbacks;

pub mod supervisor;

#[cfg(test)]
mod tests;
