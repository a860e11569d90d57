//! Telegram: what a person reads and taps there. Nothing from outside becomes a part of it but as [`text::EscapedText`].
//!
//! [`client`] is the wire and the only place that knows HTTP; [`sender`] sends at the pace that Telegram allows;
//! [`updates`] listens, and sets `aside` what fails; [`access`] tells who is let in, and [`supervisor`] keeps all that in service. What the person says is
//! for a [`UpdateHandler`](updates::UpdateHandler) to decide on:
//! [`callbacks`] makes requests of it as the terminal makes them. What a person is shown of each task is in the store
//! first, and `board` draws it.

pub mod text;

pub mod format;

pub mod time_format;

pub mod card;

pub mod keyboard;

pub mod views;

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

pub mod commands;

pub mod callbacks;

pub mod supervisor;

#[cfg(test)]
mod tests;
