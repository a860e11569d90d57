//! The channel Telegram: draws and carries the content of [`crate::presentation`]. Text from outside enters a
//! message only as [`text::EscapedText`].
//!
//! [`client`] makes the requests and is the only module that knows HTTP. [`sender`] sends at the pace that
//! Telegram permits. [`updates`] polls, and keeps failed updates in `aside`. [`access`] decides who is
//! authorized, and [`supervisor`] keeps all of that running.
//! Presses go to [`callbacks`] and typed text to [`commands`]; both make the same requests as a terminal. The
//! wanted content of each task's message is stored first, and `card_sync` draws it.

pub mod text;

mod card_pages;

pub mod client;

pub mod sender;

pub mod access;

mod aside;

pub mod updates;

mod inline_buttons;

mod card_view;

mod chat_link;

mod topics;

mod drawn_definitions;

mod card_sync;

mod list_view;

mod list_sync;

mod notice_consumer;

pub mod notices;

pub mod command_parser;

pub mod menu;

pub mod commands;

pub mod callbacks;

pub mod supervisor;

#[cfg(test)]
mod tests;
