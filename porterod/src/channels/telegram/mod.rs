//! Telegram: what a person reads and taps there. Nothing from outside becomes a part of it but as [`text::Shown`].
//!
//! [`bot`] is the wire and the only place that knows HTTP; [`courier`] sends at the pace that Telegram allows.
//! Neither decides anything.

pub mod text;

pub mod format;

pub mod moments;

pub mod card;

pub mod keyboard;

pub mod screens;

pub mod bot;

pub mod courier;

#[cfg(test)]
mod tests;
