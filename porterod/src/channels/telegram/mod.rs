//! Telegram: what a person reads and taps there. Nothing from outside becomes a part of it but as [`text::Shown`].
//!
//! [`bot`] is the wire: the only place that knows HTTP, and where nothing is decided.

pub mod text;

pub mod bot;
