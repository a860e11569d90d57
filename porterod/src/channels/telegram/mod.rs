//! Telegram: what a person reads and taps there. Nothing from outside becomes a part of it but as [`text::Shown`].
//!
//! [`bot`] is the wire and the only place that knows HTTP; [`courier`] sends at the pace that Telegram allows;
//! [`ear`] listens, and sets `aside` what fails; [`door`] tells who is let in, and [`link`] keeps all that in service. What the person says is
//! for a [`Flow`](ear::Flow) to decide on:
//! [`decide`] makes requests of it as the terminal makes them. What a person is shown of each task is in the store
//! first, and `board` draws it.

pub mod text;

pub mod format;

pub mod moments;

pub mod card;

pub mod keyboard;

pub mod screens;

pub mod bot;

pub mod courier;

pub mod door;

mod aside;

pub mod ear;

mod buttons;

mod face;

mod topics;

mod board;

mod tell;

pub mod talk;

pub mod decide;

pub mod link;

#[cfg(test)]
mod tests;
