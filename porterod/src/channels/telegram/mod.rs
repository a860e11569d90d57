//! Telegram: what a person reads and taps there. Nothing from outside becomes a part of it but as [`text::Shown`].

pub mod text;
